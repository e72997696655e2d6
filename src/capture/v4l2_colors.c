/* SPDX-License-Identifier: MIT */
#include "v4l2_colors.h"

#include <linux/videodev2.h>
#include <stdbool.h>

static bool is_rgb(enum format_id id)
{
    return id == FORMAT_RGB24 || id == FORMAT_BGR24 || id == FORMAT_BGRX || id == FORMAT_RGBX ||
           id == FORMAT_RGB16;
}

static enum color_matrix matrix_of(uint32_t encoding)
{
    switch (encoding) {
    case V4L2_YCBCR_ENC_709:
    case V4L2_YCBCR_ENC_XV709:
    case V4L2_YCBCR_ENC_SMPTE240M: /* its coefficients differ from these by 0.015 at most */
        return COLOR_MATRIX_709;
    case V4L2_YCBCR_ENC_BT2020:
    case V4L2_YCBCR_ENC_BT2020_CONST_LUM:
        return COLOR_MATRIX_2020;
    default:
        return COLOR_MATRIX_601;
    }
}

static enum color_primaries primaries_of(uint32_t colorspace)
{
    switch (colorspace) {
    case V4L2_COLORSPACE_REC709:
    case V4L2_COLORSPACE_SRGB:
    case V4L2_COLORSPACE_JPEG:
        return COLOR_PRIMARIES_709;
    case V4L2_COLORSPACE_SMPTE170M:
    case V4L2_COLORSPACE_SMPTE240M: /* the same chromaticities */
        return COLOR_PRIMARIES_170M;
    case V4L2_COLORSPACE_470_SYSTEM_BG:
        return COLOR_PRIMARIES_470BG;
    case V4L2_COLORSPACE_BT2020:
        return COLOR_PRIMARIES_2020;
    default:
        return COLOR_PRIMARIES_UNKNOWN;
    }
}

static enum color_transfer transfer_of(const struct v4l2_colors *c)
{
    bool unknown = c->xfer_func == V4L2_XFER_FUNC_DEFAULT &&
                   c->colorspace == V4L2_COLORSPACE_DEFAULT;
    uint32_t function = c->xfer_func ? c->xfer_func
                                     : (uint32_t)V4L2_MAP_XFER_FUNC_DEFAULT(c->colorspace);
    switch (unknown ? V4L2_XFER_FUNC_NONE : function) {
    case V4L2_XFER_FUNC_709:
        return COLOR_TRANSFER_709;
    case V4L2_XFER_FUNC_SRGB:
        return COLOR_TRANSFER_SRGB;
    case V4L2_XFER_FUNC_SMPTE2084:
        return COLOR_TRANSFER_PQ;
    default:
        return COLOR_TRANSFER_UNKNOWN;
    }
}

void v4l2_colors_take(const struct v4l2_colors *c, struct format *format)
{
    uint32_t encoding = c->ycbcr_enc ? c->ycbcr_enc
                                     : (uint32_t)V4L2_MAP_YCBCR_ENC_DEFAULT(c->colorspace);
    uint32_t range = c->quantization ? c->quantization
                                     : (uint32_t)V4L2_MAP_QUANTIZATION_DEFAULT(
                                           is_rgb(format->id), c->colorspace, encoding);
    bool jfif = format->id == FORMAT_JPEG; /* knows only full range and BT.601 */
    /* The kernel's rule is made for Y'CbCr; infrared and other grey cameras use all values. */
    bool grey = format->id == FORMAT_GREY && c->quantization == V4L2_QUANTIZATION_DEFAULT;
    bool full = jfif || grey || range == V4L2_QUANTIZATION_FULL_RANGE;
    format->range = full ? COLOR_RANGE_FULL : COLOR_RANGE_LIMITED;
    format->matrix = jfif ? COLOR_MATRIX_601 : matrix_of(encoding);
    format->primaries = primaries_of(c->colorspace);
    format->transfer = transfer_of(c);
}
