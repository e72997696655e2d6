/* SPDX-License-Identifier: MIT */
#include "picture.h"

#include "pcs/frame.h"
#include "pcs/pool.h"

#define STRIDE_UNIT 64

struct frame *picture_like(struct pool *pool, const struct frame *in, const struct format *format)
{
    size_t offset[FORMAT_MAX_PLANES];
    int stride[FORMAT_MAX_PLANES];
    int stride0 = (format->width + STRIDE_UNIT - 1) / STRIDE_UNIT * STRIDE_UNIT;
    size_t size = format_layout(format, stride0, offset, stride);
    struct frame *out = size ? pool_get(pool, size) : NULL;
    if (!out) {
        return NULL;
    }
    frame_copy_meta(out, in);
    out->flags &= ~(unsigned)FRAME_DRIVER;
    out->format = *format;
    out->size = size;
    (void)frame_set_planes(out, stride0); /* the size is this layout's */
    return out;
}
