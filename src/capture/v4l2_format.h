/* SPDX-License-Identifier: MIT */
/*
 * What a device offers, and setting it to what fits the wish best (v4l2_choose.h).
 * Threads: one at a time per device.
 */
#pragma once

#include <linux/videodev2.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/source.h"

struct v4l2_mode {
    struct format format;
    enum v4l2_buf_type type;
    int memories; /* 1: the whole picture in one piece; else each plane in its own */
    struct v4l2_piece {
        int stride;   /* bytes of the (first) plane's rows; 0 = compressed */
        size_t least; /* bytes of a usable picture … */
        size_t full;  /* … with the padding of its last row */
    } memory[FORMAT_MAX_PLANES];
    bool fields;     /* interlaced: each picture is one field, half as high */
    bool signal;     /* size and rate are those of a signal at its input (HDMI) */
    char why[120];   /* for the log: why this one */
    char missed[64]; /* … and what was asked for in vain; "" = nothing */
};

/* The next format that we can read, from *index (first 0) on; FORMAT_NONE at the end. */
enum format_id v4l2_next_format(int fd, enum v4l2_buf_type type, uint32_t *index, uint32_t *fourcc);
bool v4l2_has_formats(int fd, enum v4l2_buf_type type);

/*
 * Choose and set format, size and rate; at an input with a signal (v4l2_timings.h) those of the signal.
 * -ENOTSUP when it has nothing that the wish allows; errors of v4l2_signal_take.
 */
int v4l2_set_mode(int fd, enum v4l2_buf_type type, const char *name, const struct source_wish *wish,
                  struct v4l2_mode *out, struct err *err);
