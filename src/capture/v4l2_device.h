/* SPDX-License-Identifier: MIT */
/*
 * Small things that the files of the v4l2 source share. V4L2 is described in the kernel's
 * "Video for Linux API"; names in capitals are from there.
 */
#pragma once

#include <stdint.h>

#include "pcs/err.h"

/* ioctl(2) that goes on after EINTR. 0 or a negative errno. */
int v4l2_ioctl(int fd, unsigned long request, void *arg);

/* Fill err with what `code` means for the device `name` while it was to `what`. Returns code, but
 * -EIO for -EINVAL, so that it is tried again. */
int v4l2_fail(struct err *err, int code, const char *name, const char *what);
