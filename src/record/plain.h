/* SPDX-License-Identifier: MIT */
/*
 * Making a growing recording plain: the same samples, times and order in an MP4 with one index in
 * front, written beside it as `.NAME.<pid>.tmp`, synced, and put in its place by rename(2). At every
 * moment one whole file has the name.
 * Threads: any. Blocks; dirty pages are pushed out while copying, so that giving up is quick.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct mp4_closed;

/*
 * `cancelled` (may be NULL) is asked between frames. 0; -ECANCELED; -ENOSPC …: the file is as it was.
 * -ESTALE: its name leads to another file now. -EBADMSG: the copy did not come out the same. -ENOSYS:
 * this libavformat has no MP4.
 */
int plain_make(const struct mp4_closed *file, bool (*cancelled)(void *arg), void *arg);
