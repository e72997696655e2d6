/* SPDX-License-Identifier: MIT */
/*
 * Which of a camera's modes to take, and setting it.
 * Threads: one at a time per device.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "capture/source.h"

/* One thing the camera offers: a format at a size, with the highest rate it has there. */
struct v4l2_offer {
    enum format_id id;
    uint32_t fourcc;
    int width, height;
    double fps; /* 0 = the driver does not say */
};

struct v4l2_mode {
    struct format format;
    int stride;    /* bytes of the first plane's rows; raw only */
    char why[120]; /* for the log */
};

/* Pure: the offer that fits the wish best, NULL when there is none it allows. */
const struct v4l2_offer *v4l2_choose(const struct v4l2_offer *offers, size_t count,
                                     const struct source_wish *wish);

/* Does the device offer any format we can read? */
bool v4l2_has_formats(int fd);

/* Choose and set format, size and rate. -ENOTSUP when it has nothing that the wish allows. */
int v4l2_set_mode(int fd, const char *name, const struct source_wish *wish, struct v4l2_mode *out,
                  struct err *err);
