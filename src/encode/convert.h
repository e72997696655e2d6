/* SPDX-License-Identifier: MIT */
/*
 * Any raw layout to planar 4:2:0, by libyuv. Chroma of 4:2:2 is the mean of two lines, as libyuv makes it; RGB
 * becomes limited range by BT.601's matrix.
 * A view is a picture, a part of its lines, or either upside down: nothing is copied to look at it so.
 * Threads: any, pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pcs/format.h"

struct frame;

struct raw_view {
    enum format_id id;
    int width, height;
    const uint8_t *plane[FORMAT_MAX_PLANES]; /* the upper line, anywhere in memory */
    int stride[FORMAT_MAX_PLANES];           /* negative: upside down */
};

struct yu12 {
    uint8_t *y, *u, *v;
    int stride_y, stride_uv;
};

struct raw_view raw_view_of(const struct frame *frame);
struct raw_view raw_view_flipped(const struct raw_view *v);
struct raw_view raw_view_lines(const struct raw_view *v, int y, int lines); /* y even */

/* 0, or -EINVAL when it is not raw. */
int convert_to_yu12(const struct raw_view *from, const struct yu12 *to);

/* What the samples mean after that: only RGB's become others. */
bool convert_is_rgb(enum format_id id);
