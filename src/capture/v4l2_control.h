/* SPDX-License-Identifier: MIT */
/*
 * The controls of a V4L2 device, by the names that v4l2-ctl uses too. Nothing is kept: each call asks
 * the driver anew, since ranges and states change with other controls.
 * Threads: any, also while the device streams in another.
 */
#pragma once

#include "capture/source.h"

/* Each that is not disabled, in the driver's order. */
void v4l2_control_each(int fd, void (*visit)(void *arg, const struct control *control), void *arg);

/*
 * `device` is for err. -ENOENT: it has no such control; -EINVAL, -ERANGE: not this value; -EACCES: it is
 * read only or switched off by another one; -EBUSY: not while it streams; or what the driver says.
 */
int v4l2_control_set(int fd, const char *device, const char *name, const char *value,
                     struct err *err);

/*
 * Let the camera do the flips that are wished, and undo those that an earlier program left on. What the
 * user sets by name stays his. Returns the part of wish->transform that the camera now does.
 */
unsigned v4l2_control_flip(int fd, const struct source_wish *wish);
