/* SPDX-License-Identifier: MIT */
/*
 * Digital video timings: inputs that take whatever size and rate their source sends (HDMI bridges).
 * Threads: one at a time per device.
 */
#pragma once

#include <linux/videodev2.h>
#include <stdbool.h>

#include "pcs/err.h"

struct v4l2_signal {
    bool present; /* else the input is a camera's: size and rate are ours to choose */
    int width, height;
    int fps_num, fps_den; /* whole pictures; 0/1 = unknown */
};

/*
 * Find out what arrives at the device's input and set it to that. 0, also when the input is of another
 * kind. -ENOLINK: no signal. -ENOLCK: an unstable one. -ERANGE: one that the hardware cannot take.
 */
int v4l2_signal_take(int fd, const char *name, struct v4l2_signal *out, struct err *err);

/* Pure: the rate of pictures, which is 24, 30, 60 … or those / 1.001 where the clock is that near. */
void v4l2_signal_rate(const struct v4l2_bt_timings *bt, int *fps_num, int *fps_den);
