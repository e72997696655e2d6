/* SPDX-License-Identifier: MIT */
/*
 * Which of a camera's modes fits a wish best.
 * Threads: any, pure.
 */
#pragma once

#include <stdbool.h>
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

/* The rate that is wanted, also when none was asked for. */
int v4l2_wanted_fps(const struct source_wish *wish);
/* The size to ask of a camera that takes any: the wish's, what it leaves open at 16:9. */
void v4l2_wanted_size(const struct source_wish *wish, uint32_t *width, uint32_t *height);

/* The offer that fits the wish best, NULL when there is none it allows. */
const struct v4l2_offer *v4l2_choose(const struct v4l2_offer *offers, size_t count,
                                     const struct source_wish *wish);

/* For the log: why it was `taken` from among them. Returns buf. */
char *v4l2_explain(const struct v4l2_offer *offers, size_t count, const struct v4l2_offer *taken,
                   const struct source_wish *wish, char *buf, size_t size);

/* For the log: the part of the wish that this mode does not fulfil, as "1000x700 @ 60" into buf; false
 * when there is none. A size asked for by one side only is held against that side; a rate may be 2 % off. */
bool v4l2_misses(const struct format *mode, const struct source_wish *wish, char *buf, size_t size);
