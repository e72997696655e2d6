/* SPDX-License-Identifier: MIT */
/*
 * Every one of the eight transforms is an upside-down view or none, then one step of libyuv: nothing, a
 * mirror, a quarter turn clockwise, or one back. (Mirrored and turned clockwise is turned upside down and
 * then back.)
 *
 * It is done a few lines at a time, so that what has to be converted first is turned while it is in the
 * cache: one pass over the memory. And a quarter turn in tiles, because it writes downwards.
 */
#include "turn.h"

#include <errno.h>
#include <libyuv.h>
#include <stdbool.h>

#include "convert.h"

/* A strip's, even; and so many columns of it become as many lines: within any first-level cache. */
#define LINES       64
#define TILE_WIDTH  128
#define STRIDE_UNIT 64

enum way { WAY_STRAIGHT, WAY_MIRROR, WAY_CLOCKWISE, WAY_BACK };

/* One plane of a strip, and the whole plane that it becomes a part of. */
struct strip {
    const uint8_t *from;
    int from_stride;
    int width, lines;
    int y, height; /* where it lies in the plane of that height */
    uint8_t *to;
    int to_stride;
};

static int half(int n)
{
    return (n + 1) / 2;
}

static int round_up(int n)
{
    return (n + STRIDE_UNIT - 1) / STRIDE_UNIT * STRIDE_UNIT;
}

size_t turn_scratch_size(int width)
{
    return (size_t)round_up(width) * LINES + (size_t)round_up(half(width)) * LINES;
}

static void quarter_turn(const struct strip *s, enum way way)
{
    bool clockwise = way == WAY_CLOCKWISE;
    int left = clockwise ? s->height - s->y - s->lines : s->y;
    for (int x = 0; x < s->width; x += TILE_WIDTH) {
        int columns = s->width - x < TILE_WIDTH ? s->width - x : TILE_WIDTH;
        int top = clockwise ? x : s->width - x - columns;
        (void)RotatePlane(s->from + x, s->from_stride, s->to + (ptrdiff_t)top * s->to_stride + left,
                          s->to_stride, columns, s->lines, clockwise ? kRotate90 : kRotate270);
    }
}

static void turn_plane(const struct strip *s, enum way way)
{
    if (way == WAY_MIRROR) {
        MirrorPlane(s->from, s->from_stride, s->to + (ptrdiff_t)s->y * s->to_stride, s->to_stride,
                    s->width, s->lines);
    } else {
        quarter_turn(s, way);
    }
}

/* `strip`: lines y … of a YU12 picture of that height. */
static void turn_strip(const struct raw_view *strip, int y, int height, enum way way,
                       const struct yu12 *to)
{
    uint8_t *const planes[] = { to->y, to->u, to->v };
    for (int i = 0; i < 3; i++) {
        const struct strip s = {
            .from = strip->plane[i],
            .from_stride = strip->stride[i],
            .width = i ? half(strip->width) : strip->width,
            .lines = i ? half(strip->height) : strip->height,
            .y = i ? y / 2 : y,
            .height = i ? half(height) : height,
            .to = planes[i],
            .to_stride = i ? to->stride_uv : to->stride_y,
        };
        turn_plane(&s, way);
    }
}

static struct yu12 on_scratch(uint8_t *scratch, int width)
{
    struct yu12 s = { .y = scratch,
                      .stride_y = round_up(width),
                      .stride_uv = round_up(half(width)) };
    s.u = s.y + (ptrdiff_t)LINES * s.stride_y;
    s.v = s.u + (ptrdiff_t)LINES / 2 * s.stride_uv;
    return s;
}

/* The same strip as YU12: converted, unless it is that already. */
static int prepare_strip(struct raw_view *strip, uint8_t *scratch)
{
    if (strip->id == FORMAT_YU12) {
        return 0;
    }
    struct yu12 s = on_scratch(scratch, strip->width);
    int rc = convert_to_yu12(strip, &s);
    const struct raw_view converted = { .id = FORMAT_YU12,
                                        .width = strip->width,
                                        .height = strip->height,
                                        .plane = { s.y, s.u, s.v },
                                        .stride = { s.stride_y, s.stride_uv, s.stride_uv } };
    *strip = converted;
    return rc;
}

/* A strip that is turned clockwise becomes columns counted from the right: the odd ones first, so that the
 * others begin where a cache line does. */
static int first_lines(int height, enum way way)
{
    int odd = height % LINES & ~1;
    return way == WAY_CLOCKWISE && odd ? odd : LINES;
}

int turn_to_yu12(const struct raw_view *from, unsigned transform, const struct yu12 *to,
                 uint8_t *scratch)
{
    bool mirror = transform & TRANSFORM_HFLIP, flip = transform & TRANSFORM_VFLIP;
    enum way way = mirror ? WAY_MIRROR : WAY_STRAIGHT;
    if (transform & TRANSFORM_ROTATE) {
        way = mirror ? WAY_BACK : WAY_CLOCKWISE;
        flip ^= mirror;
    }
    struct raw_view view = flip ? raw_view_flipped(from) : *from;
    if (way == WAY_STRAIGHT) {
        return convert_to_yu12(&view, to);
    }
    int rc = 0, lines = first_lines(view.height, way);
    for (int y = 0; y < view.height && rc == 0; y += lines, lines = LINES) {
        lines = view.height - y < lines ? view.height - y : lines;
        struct raw_view strip = raw_view_lines(&view, y, lines);
        rc = prepare_strip(&strip, scratch);
        if (rc == 0) {
            turn_strip(&strip, y, view.height, way, to);
        }
    }
    return rc;
}
