/* SPDX-License-Identifier: MIT */
/*
 * Finding the camera: the one the user named, the first there is, or the one that was open before and
 * has been plugged in again, perhaps under another number. A camera that was replaced by another is
 * waited for some seconds; then the other is taken.
 *
 * Life: v4l2_history is zeroed at first and outlives the opens. It is a part of the v4l2 source's config,
 * because that is all of a source that lasts from one open to the next.
 * Threads: that of the capture stage, which alone opens sources.
 */
#pragma once

#include <linux/videodev2.h>
#include <stdbool.h>
#include <stdint.h>

#include "pcs/err.h"
#include "v4l2_identity.h"

#define V4L2_PATH_SIZE 256
#define V4L2_NODES     256 /* the kernel makes no more */

struct v4l2_history {
    bool known; /* what follows is valid */
    struct v4l2_identity camera;
    char path[V4L2_PATH_SIZE]; /* … where it was */
    int64_t other_us; /* since when there is only another; 0: that was not so, the last time */
};

struct v4l2_found {
    int fd; /* the caller's to close */
    char path[V4L2_PATH_SIZE];
    struct v4l2_identity camera;
    bool identified;
};

int v4l2_open_node(const char *path); /* an fd, or a negative errno */

/* Of a camera: does it give pictures by itself, not from memory, nor only as a part of a pipeline? */
bool v4l2_is_plain(const struct v4l2_capability *cap);

/* Open the camera to take now: 0, or a negative errno with err. `device` NULL: any. */
int v4l2_find(struct v4l2_history *history, const char *device, struct v4l2_found *out,
              struct err *err);
/* It works: remember it, and log when that is news. */
void v4l2_found_it(struct v4l2_history *history, const struct v4l2_found *found);

/* Is there any, for --source auto? */
bool v4l2_find_any(void);
