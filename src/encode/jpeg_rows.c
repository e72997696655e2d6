/* SPDX-License-Identifier: MIT */
#include "jpeg_rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <libyuv.h>

#include "pcs/frame.h"
#include "range.h"

/* Some lines of one plane. */
struct strip {
    const uint8_t *p;
    int stride;
};

static int round_up(int n, int unit)
{
    return (n + unit - 1) / unit * unit;
}

int jpeg_rows_init(struct jpeg_rows *r, const struct format *format)
{
    const struct format_info *info = format_info(format->id);
    if (info->compressed || !info->planes || format->width < 1 || format->height < 1) {
        return -EINVAL;
    }
    memset(r, 0, sizeof *r);
    r->format = *format;
    r->planes = format->id == FORMAT_GREY ? 1 : 3;
    r->padded = round_up(format->width, 16);
    r->expand = format->range == COLOR_RANGE_LIMITED && format->id != FORMAT_RGB24;
    r->recolor = format->matrix != COLOR_MATRIX_601 && r->planes == 3 && format->id != FORMAT_RGB24;
    r->step = matrix_to_601(format->matrix);
    void *scratch = NULL;
    size_t planes = (size_t)r->padded * JPEG_ROWS * 3 / 2;
    if (posix_memalign(&scratch, 64, planes + (size_t)r->padded * sizeof *r->luma)) {
        return -ENOMEM;
    }
    r->scratch = scratch;
    r->luma = (int16_t *)(r->scratch + planes);
    return 0;
}

void jpeg_rows_finish(struct jpeg_rows *r)
{
    free(r->scratch);
    r->scratch = NULL;
}

static int plane_stride(const struct jpeg_rows *r, int plane)
{
    return plane ? r->padded / 2 : r->padded;
}

static uint8_t *plane_scratch(const struct jpeg_rows *r, int plane)
{
    size_t luma = (size_t)r->padded * JPEG_ROWS;
    return r->scratch + (plane > 0 ? luma : 0) + (plane > 1 ? luma / 4 : 0);
}

static void convert(const struct jpeg_rows *r, const uint8_t *p, int stride, int lines)
{
    uint8_t *y = plane_scratch(r, 0), *u = plane_scratch(r, 1), *v = plane_scratch(r, 2);
    int luma = r->padded, chroma = r->padded / 2, width = r->format.width;
    switch (r->format.id) {
    case FORMAT_YUYV:
        (void)YUY2ToI420(p, stride, y, luma, u, chroma, v, chroma, width, lines);
        break;
    case FORMAT_UYVY:
        (void)UYVYToI420(p, stride, y, luma, u, chroma, v, chroma, width, lines);
        break;
    default: /* RGB24; "RAW" is libyuv's name for R, G, B in memory, "J" for full range */
        (void)RAWToJ420(p, stride, y, luma, u, chroma, v, chroma, width, lines);
        break;
    }
}

/* The planes' lines from `y` on, converted where the camera's layout is another. */
static void find_strips(const struct jpeg_rows *r, const struct frame *in, int y, int lines,
                        struct strip out[3])
{
    enum format_id id = r->format.id;
    bool packed = id != FORMAT_YU12 && id != FORMAT_NV12 && id != FORMAT_GREY;
    const uint8_t *p = in->plane[0] + (ptrdiff_t)y * in->stride[0];
    if (packed) {
        convert(r, p, in->stride[0], lines);
    }
    for (int i = 0; i < 3; i++) {
        out[i] = (struct strip){ plane_scratch(r, i), plane_stride(r, i) };
    }
    if (packed) {
        return;
    }
    out[0] = (struct strip){ p, in->stride[0] };
    if (id == FORMAT_NV12) {
        SplitUVPlane(in->plane[1] + (ptrdiff_t)(y / 2) * in->stride[1], in->stride[1],
                     plane_scratch(r, 1), r->padded / 2, plane_scratch(r, 2), r->padded / 2,
                     (r->format.width + 1) / 2, (lines + 1) / 2);
    }
    for (int i = 1; id == FORMAT_YU12 && i < 3; i++) {
        out[i] = (struct strip){ in->plane[i] + (ptrdiff_t)(y / 2) * in->stride[i], in->stride[i] };
    }
}

/* A line that the encoder can take: full range, and its last sample repeated up to whole blocks. */
static uint8_t *finish_line(const struct jpeg_rows *r, int plane, int line, const uint8_t *from)
{
    int width = plane ? (r->format.width + 1) / 2 : r->format.width;
    int padded = plane_stride(r, plane);
    if (!r->expand && !r->recolor && width == padded) {
        return (uint8_t *)from; /* the library takes it without const and only reads it */
    }
    uint8_t *to = plane_scratch(r, plane) + (ptrdiff_t)line * padded;
    if (to != from) {
        memcpy(to, from, (size_t)width);
    }
    if (r->expand && plane) {
        range_expand_chroma(to, (size_t)width);
    } else if (r->expand) {
        range_expand_luma(to, (size_t)width);
    }
    memset(to + width, to[width - 1], (size_t)(padded - width));
    return to;
}

/* Whole lines in our own memory, padding included. */
static void recolor(struct jpeg_rows *r, int lines)
{
    for (int k = 0; 2 * k < lines; k++) {
        matrix_chroma(&r->step, r->row[1][k], r->row[2][k], r->luma, (size_t)r->padded / 2);
        matrix_luma(r->row[0][2 * k], r->luma, (size_t)r->padded);
        if (2 * k + 1 < lines) {
            matrix_luma(r->row[0][2 * k + 1], r->luma, (size_t)r->padded);
        }
    }
}

void jpeg_rows_fill(struct jpeg_rows *r, const struct frame *in, int y)
{
    int below = r->format.height - y;
    int lines = below < JPEG_ROWS ? below : JPEG_ROWS;
    struct strip strip[3];
    find_strips(r, in, y, lines, strip);
    for (int i = 0; i < r->planes; i++) {
        int have = i ? (lines + 1) / 2 : lines;
        for (int k = 0; k < (i ? JPEG_ROWS / 2 : JPEG_ROWS); k++) {
            r->row[i][k] = k < have
                               ? finish_line(r, i, k, strip[i].p + (ptrdiff_t)k * strip[i].stride)
                               : r->row[i][have - 1];
        }
    }
    if (r->recolor) {
        recolor(r, lines);
    }
}
