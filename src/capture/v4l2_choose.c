/* SPDX-License-Identifier: MIT */
#include "v4l2_choose.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_WIDTH  1280
#define DEFAULT_HEIGHT 720
#define DEFAULT_FPS    30

enum {
    RANK_H264,
    RANK_JPEG,
    RANK_RAW,
    RANK_DECODED = 100,
    RANK_COLORLESS = 200,
    RANK_NEVER = 1000
};

int v4l2_wanted_fps(const struct source_wish *wish)
{
    return wish->fps > 0 ? wish->fps : DEFAULT_FPS;
}

void v4l2_wanted_size(const struct source_wish *wish, uint32_t *width, uint32_t *height)
{
    int w = wish->width > 0 ? wish->width : 0, h = wish->height > 0 ? wish->height : 0;
    *width = (uint32_t)(w ? w : h ? h * DEFAULT_WIDTH / DEFAULT_HEIGHT : DEFAULT_WIDTH);
    *height = (uint32_t)(h ? h : w ? w * DEFAULT_HEIGHT / DEFAULT_WIDTH : DEFAULT_HEIGHT);
}

/* 29.97 is as good as 30. */
static bool has_rate(const struct v4l2_offer *o, const struct source_wish *wish, double share)
{
    return o->fps <= 0 || o->fps >= share * v4l2_wanted_fps(wish);
}

static int size_distance(const struct v4l2_offer *o, const struct source_wish *wish)
{
    int width = wish->width > 0 ? abs(o->width - wish->width) : 0;
    int height = wish->height > 0 ? abs(o->height - wish->height) : 0;
    return width + height;
}

/* Raw layouts: first what the encoders read as it is, the nearest to theirs first; then what has to be
 * rewritten, the fewest bytes first; last what has lost its colours. */
static int rank_raw(enum format_id id)
{
    static const int rank[FORMAT_COUNT] = {
        [FORMAT_YU12] = 0,   [FORMAT_NV12] = 1,
        [FORMAT_YUYV] = 2,   [FORMAT_UYVY] = 3,
        [FORMAT_RGB24] = 4,  [FORMAT_YV12] = 5,
        [FORMAT_NV21] = 6,   [FORMAT_422P] = 7,
        [FORMAT_NV16] = 8,   [FORMAT_YVYU] = 9,
        [FORMAT_VYUY] = 10,  [FORMAT_BGRX] = 11,
        [FORMAT_RGBX] = 12,  [FORMAT_BGR24] = 13,
        [FORMAT_RGB16] = 14, [FORMAT_GREY] = RANK_COLORLESS,
    };
    return RANK_RAW + rank[id];
}

/* Small numbers first: what costs least to bring to the wanted codec. */
static int rank(enum format_id id, const struct source_wish *wish)
{
    if (!format_info(id)->compressed) {
        return rank_raw(id);
    }
    if (!wish->pictures && (wish->codec == FORMAT_NONE || wish->codec == id)) {
        return id == FORMAT_H264 ? RANK_H264
                                 : RANK_JPEG; /* what the camera compressed passes through */
    }
    return id == FORMAT_JPEG ? RANK_DECODED : RANK_NEVER; /* H.264 is not decoded here */
}

static bool allowed(const struct v4l2_offer *o, const struct source_wish *wish)
{
    if (wish->format != FORMAT_NONE && o->id != wish->format) {
        return false;
    }
    bool named = wish->format != FORMAT_NONE && !wish->pictures;
    return named || rank(o->id, wish) != RANK_NEVER;
}

/* Without a wish for a size: the largest up to 1280x720 that is not slow; if all are larger, the
 * smallest. Negative: a is better. */
static int compare_free_size(const struct v4l2_offer *a, const struct v4l2_offer *b,
                             const struct source_wish *wish)
{
    bool fits_a = a->width <= DEFAULT_WIDTH && a->height <= DEFAULT_HEIGHT;
    bool fits_b = b->width <= DEFAULT_WIDTH && b->height <= DEFAULT_HEIGHT;
    if (fits_a != fits_b) {
        return fits_a ? -1 : 1;
    }
    bool fast_a = has_rate(a, wish, 0.8), fast_b = has_rate(b, wish, 0.8);
    if (fits_a && fast_a != fast_b) {
        return fast_a ? -1 : 1;
    }
    int larger = b->width * b->height - a->width * a->height;
    return fits_a ? larger : -larger;
}

static int compare_format(const struct v4l2_offer *a, const struct v4l2_offer *b,
                          const struct source_wish *wish)
{
    int by_rank = rank(a->id, wish) - rank(b->id, wish);
    if (by_rank != 0) {
        return by_rank;
    }
    /* Planes in one piece of memory can be handed on as one. */
    return (a->fourcc == format_info(a->id)->fourcc_planes) -
           (b->fourcc == format_info(b->id)->fourcc_planes);
}

static int compare(const struct v4l2_offer *a, const struct v4l2_offer *b,
                   const struct source_wish *wish)
{
    bool free_size = wish->width <= 0 && wish->height <= 0;
    int by_size = free_size ? compare_free_size(a, b, wish)
                            : size_distance(a, wish) - size_distance(b, wish);
    if (by_size != 0) {
        return by_size;
    }
    bool enough_a = has_rate(a, wish, 0.95), enough_b = has_rate(b, wish, 0.95);
    if (enough_a != enough_b) {
        return enough_a ? -1 : 1;
    }
    if (!enough_a && fabs(a->fps - b->fps) > 0.5) {
        return a->fps > b->fps ? -1 : 1;
    }
    return compare_format(a, b, wish);
}

const struct v4l2_offer *v4l2_choose(const struct v4l2_offer *offers, size_t count,
                                     const struct source_wish *wish)
{
    const struct v4l2_offer *best = NULL;
    for (size_t i = 0; i < count; i++) {
        if (allowed(&offers[i], wish) && (!best || compare(&offers[i], best, wish) < 0)) {
            best = &offers[i];
        }
    }
    return best;
}

/* Of raw pictures at this size; -1: there are none. */
static double best_raw_rate(const struct v4l2_offer *offers, size_t count,
                            const struct v4l2_offer *size)
{
    double best = -1;
    for (size_t i = 0; i < count; i++) {
        const struct v4l2_offer *o = &offers[i];
        bool same = o->width == size->width && o->height == size->height;
        if (same && !format_info(o->id)->compressed && o->fps > best) {
            best = o->fps;
        }
    }
    return best;
}

char *v4l2_explain(const struct v4l2_offer *offers, size_t count, const struct v4l2_offer *taken,
                   const struct source_wish *wish, char *buf, size_t size)
{
    double raw_fps = best_raw_rate(offers, count, taken);
    bool compressed = format_info(taken->id)->compressed;
    const char *then = compressed && wish->pictures ? ", decoded here" : "";
    if (wish->format != FORMAT_NONE) {
        (void)snprintf(buf, size, "as --format says%s", then);
    } else if (!compressed) {
        (void)snprintf(buf, size, "raw, to be %scompressed here",
                       wish->pictures ? "turned or written on, then " : "");
    } else if (raw_fps > 0 && raw_fps < 0.95 * v4l2_wanted_fps(wish) && raw_fps < taken->fps) {
        (void)snprintf(buf, size, "raw pictures have only %.4g frames per second%s", raw_fps, then);
    } else {
        (void)snprintf(buf, size, "compressed by the camera%s", then);
    }
    return buf;
}

bool v4l2_misses(const struct format *mode, const struct source_wish *wish, char *buf, size_t size)
{
    bool width = wish->width > 0 && mode->width != wish->width;
    bool height = wish->height > 0 && mode->height != wish->height;
    double fps = mode->fps_num > 0 ? (double)mode->fps_num / mode->fps_den : 0;
    bool rate = wish->fps > 0 && fps > 0 && fabs(fps - wish->fps) > 0.02 * wish->fps;
    char what[3][24] = { "" };
    if (width || height) {
        (void)snprintf(what[0], sizeof what[0], wish->width > 0 ? "%d" : "any", wish->width);
        (void)snprintf(what[1], sizeof what[1], wish->height > 0 ? "x%d" : "xany", wish->height);
    }
    if (rate) {
        (void)snprintf(what[2], sizeof what[2], "%s@ %d", width || height ? " " : "", wish->fps);
    }
    (void)snprintf(buf, size, "%s%s%s", what[0], what[1], what[2]);
    return width || height || rate;
}
