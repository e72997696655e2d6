/* SPDX-License-Identifier: MIT */
/*
 * Being told when a camera may have been plugged in: /dev is watched for video nodes that appear or
 * whose owner, mode or ACL changes (udev sets these a moment after the kernel made the node, and makes
 * the links of /dev/v4l a moment after that).
 * Life: node_watch_open … close(2). Threads: one at a time.
 */
#pragma once

#include <stdbool.h>

int node_watch_open(void);    /* a non-blocking fd for poll(2), or a negative errno */
bool node_watch_read(int fd); /* takes all that waits: was a video node among it? */
