/* SPDX-License-Identifier: MIT */
#include "command_walk.h"

#include <string.h>

#include "pcs/format.h"

enum marker_code { /* ITU-T T.81, table B.1: the byte behind 0xFF */
                   M_SOF0 = 0xC0,
                   M_DHT = 0xC4,
                   M_JPG = 0xC8,
                   M_DAC = 0xCC,
                   M_SOF15 = 0xCF,
                   M_RST0 = 0xD0,
                   M_RST7 = 0xD7,
                   M_SOI = 0xD8,
                   M_EOI = 0xD9,
                   M_SOS = 0xDA,
                   M_DRI = 0xDD,
                   M_APP0 = 0xE0,
                   M_APP15 = 0xEF,
                   M_COM = 0xFE,
};

static bool is_frame_header(int marker)
{
    return marker >= M_SOF0 && marker <= M_SOF15 && marker != M_DHT && marker != M_JPG &&
           marker != M_DAC;
}

static bool has_length(int marker)
{
    return (marker >= M_SOF0 && marker <= M_SOF15 && marker != M_JPG) ||
           (marker >= M_SOS && marker <= M_DRI) || (marker >= M_APP0 && marker <= M_APP15) ||
           marker == M_COM;
}

static bool is_restart(int marker)
{
    return marker >= M_RST0 && marker <= M_RST7;
}

static bool read_size(struct jpeg_walk *w, const uint8_t *segment)
{
    w->height = segment[5] << 8 | segment[6];
    w->width = segment[7] << 8 | segment[8];
    return w->width > 0 && w->width <= FORMAT_MAX_SIZE && w->height > 0 &&
           w->height <= FORMAT_MAX_SIZE;
}

static enum walk_result walk_segment(struct jpeg_walk *w, const uint8_t *p, size_t left)
{
    int marker = p[1];
    if (left < 4) {
        return WALK_MORE;
    }
    size_t length = 2 + (size_t)(p[2] << 8 | p[3]);
    bool sizes = is_frame_header(marker);
    if (sizes && left < 9) {
        return WALK_MORE;
    }
    bool scans = marker == M_SOS;
    if (length < 4 || (sizes && (length < 10 || w->width != 0 || !read_size(w, p))) ||
        (scans && w->width == 0)) {
        return WALK_BROKEN;
    }
    w->pos += length;
    w->coded = scans;
    w->has_scan |= scans;
    return WALK_MORE;
}

/* A marker at w->pos. WALK_MORE with w->pos unmoved: bytes are missing. */
static enum walk_result walk_marker(struct jpeg_walk *w, const uint8_t *p, size_t left)
{
    if (left < 2) {
        return WALK_MORE;
    }
    if (p[0] != 0xFF) {
        return WALK_BROKEN;
    }
    if (p[1] == 0xFF) { /* a fill byte */
        w->pos++;
        return WALK_MORE;
    }
    if (p[1] == M_EOI && w->has_scan) {
        w->pos += 2;
        return WALK_WHOLE;
    }
    if (is_restart(p[1]) && w->has_scan) {
        w->pos += 2;
        w->coded = true;
        return WALK_MORE;
    }
    if (p[1] == M_SOI) {
        return w->has_scan ? WALK_CUT : WALK_BROKEN;
    }
    return has_length(p[1]) ? walk_segment(w, p, left) : WALK_BROKEN;
}

/* To the next marker that does not belong to coded data. */
static void walk_coded(struct jpeg_walk *w, const uint8_t *data, size_t size)
{
    while (w->coded && w->pos < size) {
        const uint8_t *ff = memchr(data + w->pos, 0xFF, size - w->pos);
        w->pos = ff ? (size_t)(ff - data) : size;
        if (!ff || w->pos + 1 == size) {
            return;
        }
        if (ff[1] == 0 || is_restart(ff[1])) {
            w->pos += 2;
        } else {
            w->coded = false;
        }
    }
}

enum walk_result jpeg_walk(struct jpeg_walk *w, const uint8_t *data, size_t size)
{
    enum walk_result result = WALK_MORE;
    size_t before;
    w->pos += w->pos == 0 ? 2 : 0; /* SOI */
    do {
        walk_coded(w, data, size);
        before = w->pos;
        if (!w->coded && w->pos < size) {
            result = walk_marker(w, data + w->pos, size - w->pos);
        }
    } while (result == WALK_MORE && w->pos != before);
    return result;
}
