/* SPDX-License-Identifier: MIT */
/*
 * Small things that the files of the v4l2 source share. V4L2 is described in the kernel's
 * "Video for Linux API"; names in capitals are from there.
 */
#pragma once

#include <linux/videodev2.h>
#include <stdint.h>

#include "pcs/err.h"

/* ioctl(2) that goes on after EINTR. 0 or a negative errno. */
int v4l2_ioctl(int fd, unsigned long request, void *arg);

/* Fill err with what `code` means for the device `name` while it was to `what`. Returns code, but
 * -EIO for -EINVAL, so that it is tried again. */
int v4l2_fail(struct err *err, int code, const char *name, const char *what);

/* V4L2_CAP_…, of this node where the driver tells it apart from the others of the device. */
uint32_t v4l2_capabilities(const struct v4l2_capability *cap);

/* Is it one that we can take pictures from? 0 with *cap filled; -ENOTSUP, or what asking failed with. */
int v4l2_check_camera(int fd, const char *name, struct v4l2_capability *cap, struct err *err);

/* Of its pictures: VIDEO_CAPTURE where it can, else VIDEO_CAPTURE_MPLANE. */
enum v4l2_buf_type v4l2_capture_type(const struct v4l2_capability *cap);
