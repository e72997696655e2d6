/* SPDX-License-Identifier: MIT */
/*
 * What V4L2 says about colours (kernel documentation, "Defining Colorspaces"), in our terms.
 * Threads: any, pure.
 */
#pragma once

#include <stdint.h>

#include "pcs/format.h"

/* As in struct v4l2_pix_format; 0 = the default that follows from the colorspace. */
struct v4l2_colors {
    uint32_t colorspace;
    uint32_t ycbcr_enc;
    uint32_t quantization;
    uint32_t xfer_func;
};

/* Fills range, matrix, primaries and transfer of *format, whose id says whether it is RGB or a JPEG. */
void v4l2_colors_take(const struct v4l2_colors *colors, struct format *format);
