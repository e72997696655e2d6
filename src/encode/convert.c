/* SPDX-License-Identifier: MIT */
#include "convert.h"

#include <errno.h>
#include <libyuv.h>

#include "pcs/frame.h"

/* ---- views ---- */

/* YV12 is YU12 with two planes exchanged. */
static struct raw_view as_yu12(const struct raw_view *v)
{
    struct raw_view f = *v;
    f.id = FORMAT_YU12;
    f.plane[1] = v->plane[2];
    f.plane[2] = v->plane[1];
    f.stride[1] = v->stride[2];
    f.stride[2] = v->stride[1];
    return f;
}

struct raw_view raw_view_of(const struct frame *frame)
{
    struct raw_view v = { .id = frame->format.id,
                          .width = frame->format.width,
                          .height = frame->format.height };
    for (int i = 0; i < FORMAT_MAX_PLANES; i++) {
        v.plane[i] = frame->plane[i];
        v.stride[i] = frame->stride[i];
    }
    return v.id == FORMAT_YV12 ? as_yu12(&v) : v;
}

static int plane_lines(const struct raw_view *v, int plane)
{
    int shift = format_info(v->id)->plane_shift_y[plane];
    return (v->height + (1 << shift) - 1) >> shift;
}

struct raw_view raw_view_flipped(const struct raw_view *v)
{
    struct raw_view f = *v;
    for (int i = 0; i < format_info(v->id)->planes; i++) {
        f.plane[i] += (ptrdiff_t)(plane_lines(v, i) - 1) * v->stride[i];
        f.stride[i] = -v->stride[i];
    }
    return f;
}

struct raw_view raw_view_lines(const struct raw_view *v, int y, int lines)
{
    struct raw_view part = *v;
    part.height = lines;
    for (int i = 0; i < format_info(v->id)->planes; i++) {
        part.plane[i] += (ptrdiff_t)(y >> format_info(v->id)->plane_shift_y[i]) * v->stride[i];
    }
    return part;
}

/* ---- 4:2:2 in planes, which libyuv has no single call for ---- */

static int half(int n)
{
    return (n + 1) / 2;
}

static void halve_lines(const uint8_t *from, int from_stride, uint8_t *to, int to_stride, int width,
                        int height)
{
    int last = height / 2;
    (void)InterpolatePlane(from, 2 * from_stride, from + from_stride, 2 * from_stride, to,
                           to_stride, width, last, 128);
    if (height % 2) {
        CopyPlane(from + (ptrdiff_t)2 * last * from_stride, from_stride,
                  to + (ptrdiff_t)last * to_stride, to_stride, width, 1);
    }
}

static int from_422p(const struct raw_view *from, const struct yu12 *to)
{
    int width = half(from->width);
    CopyPlane(from->plane[0], from->stride[0], to->y, to->stride_y, from->width, from->height);
    halve_lines(from->plane[1], from->stride[1], to->u, to->stride_uv, width, from->height);
    halve_lines(from->plane[2], from->stride[2], to->v, to->stride_uv, width, from->height);
    return 0;
}

static int from_nv16(const struct raw_view *from, const struct yu12 *to)
{
    uint8_t mean[FORMAT_MAX_SIZE + 2];
    int width = half(from->width), stride = from->stride[1];
    CopyPlane(from->plane[0], from->stride[0], to->y, to->stride_y, from->width, from->height);
    for (int y = 0; y < half(from->height); y++) {
        const uint8_t *line = from->plane[1] + (ptrdiff_t)2 * y * stride;
        ptrdiff_t at = (ptrdiff_t)y * to->stride_uv;
        halve_lines(line, stride, mean, 0, 2 * width, 2 * y + 1 < from->height ? 2 : 1);
        SplitUVPlane(mean, 0, to->u + at, 0, to->v + at, 0, width, 1);
    }
    return 0;
}

/* ---- the others ---- */

/* U and V change places by changing them in the result. */
static struct yu12 swapped(const struct yu12 *to)
{
    struct yu12 s = *to;
    s.u = to->v;
    s.v = to->u;
    return s;
}

static int from_pairs(const struct raw_view *from, const struct yu12 *to)
{
    bool luma_first = from->id == FORMAT_YUYV || from->id == FORMAT_YVYU;
    return (luma_first ? YUY2ToI420 : UYVYToI420)(from->plane[0], from->stride[0], to->y,
                                                  to->stride_y, to->u, to->stride_uv, to->v,
                                                  to->stride_uv, from->width, from->height);
}

static int from_nv12(const struct raw_view *from, const struct yu12 *to)
{
    return NV12ToI420(from->plane[0], from->stride[0], from->plane[1], from->stride[1], to->y,
                      to->stride_y, to->u, to->stride_uv, to->v, to->stride_uv, from->width,
                      from->height);
}

static int from_planes(const struct raw_view *from, const struct yu12 *to)
{
    return I420Copy(from->plane[0], from->stride[0], from->plane[1], from->stride[1],
                    from->plane[2], from->stride[2], to->y, to->stride_y, to->u, to->stride_uv,
                    to->v, to->stride_uv, from->width, from->height);
}

static int from_grey(const struct raw_view *from, const struct yu12 *to)
{
    return I400ToI420(from->plane[0], from->stride[0], to->y, to->stride_y, to->u, to->stride_uv,
                      to->v, to->stride_uv, from->width, from->height);
}

/* libyuv names the order in a little-endian word; ours is the order in memory. */
static int from_rgb(const struct raw_view *from, const struct yu12 *to)
{
    int (*convert)(const uint8_t *, int, uint8_t *, int, uint8_t *, int, uint8_t *, int, int, int) =
        from->id == FORMAT_RGB24   ? RAWToI420
        : from->id == FORMAT_BGR24 ? RGB24ToI420
        : from->id == FORMAT_BGRX  ? ARGBToI420
        : from->id == FORMAT_RGBX  ? ABGRToI420
                                   : RGB565ToI420;
    return convert(from->plane[0], from->stride[0], to->y, to->stride_y, to->u, to->stride_uv,
                   to->v, to->stride_uv, from->width, from->height);
}

bool convert_is_rgb(enum format_id id)
{
    return id == FORMAT_RGB24 || id == FORMAT_BGR24 || id == FORMAT_BGRX || id == FORMAT_RGBX ||
           id == FORMAT_RGB16;
}

static int convert(const struct raw_view *from, const struct yu12 *to)
{
    struct yu12 other = swapped(to);
    switch (from->id) {
    case FORMAT_YUYV:
    case FORMAT_UYVY:
        return from_pairs(from, to);
    case FORMAT_YVYU:
    case FORMAT_VYUY:
        return from_pairs(from, &other);
    case FORMAT_NV12:
        return from_nv12(from, to);
    case FORMAT_NV21:
        return from_nv12(from, &other);
    case FORMAT_YU12:
        return from_planes(from, to);
    case FORMAT_GREY:
        return from_grey(from, to);
    case FORMAT_NV16:
        return from_nv16(from, to);
    case FORMAT_422P:
        return from_422p(from, to);
    default:
        return convert_is_rgb(from->id) ? from_rgb(from, to) : -1;
    }
}

int convert_to_yu12(const struct raw_view *from, const struct yu12 *to)
{
    return convert(from, to) ? -EINVAL : 0;
}
