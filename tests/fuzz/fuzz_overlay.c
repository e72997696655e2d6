/* SPDX-License-Identifier: MIT */
/*
 * --overlay's text, for any pattern, moment and size of picture: it ends, it fits its room, and it is drawn
 * inside the picture. Input: width, height, room for the text (one byte each), 8 bytes of time, the pattern.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "encode/convert.h"
#include "encode/overlay.h"

#define HEAD 11

static void expect_text(const char *pattern, int64_t wall_us, size_t room)
{
    char *out = malloc(room);
    assert(out);
    overlay_expand(pattern, wall_us, out, room);
    assert(memchr(out, 0, room));
    free(out);
}

static void draw(const char *pattern, int64_t wall_us, int width, int height)
{
    size_t luma = (size_t)width * (size_t)height;
    int chroma_width = (width + 1) / 2;
    size_t chroma = (size_t)chroma_width * (size_t)((height + 1) / 2);
    const struct yu12 on = { malloc(luma), malloc(chroma), malloc(chroma), width, chroma_width };
    struct overlay *o = overlay_new(pattern);
    assert(o && on.y && on.u && on.v);
    overlay_draw(o, &on, width, height, wall_us);
    overlay_draw(o, &on, width, height, wall_us ^ 1 << 20);
    overlay_free(o);
    free(on.y);
    free(on.u);
    free(on.v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int64_t wall_us;
    if (size < HEAD) {
        return 0;
    }
    char *pattern = calloc(1, size - HEAD + 1);
    assert(pattern);
    memcpy(pattern, data + HEAD, size - HEAD);
    memcpy(&wall_us, data + 3, sizeof wall_us);
    expect_text(pattern, wall_us, data[2] + 1u);
    draw(pattern, wall_us, data[0] + 1, data[1] + 1);
    free(pattern);
    return 0;
}
