/* SPDX-License-Identifier: MIT */
/*
 * First all rims, then all letters, so that no rim lies over a neighbour's ink. Dots of a row that touch
 * are one rectangle, and a rectangle is a memset a line: a clock at 1080p takes some ten microseconds.
 */
#include "pcs/draw_text.h"

#include <string.h>

#include "draw_text_glyphs.h"

#define UNKNOWN   0xFFFD    /* Unicode's replacement character: drawn as a box */
#define CELLS_MAX (1 << 14) /* in a line: far more than any picture shows */
#define SCALE_MAX (1 << 12)

/* In pixels of the picture; wide enough for any place that int can name. */
struct box {
    int64_t x, y, width, height;
};

struct pen {
    const struct draw_text_plane *to;
    int scale, grow; /* pixels that a dot is drawn larger on each side */
    int value;
};

static int at_most(int n, int most)
{
    return n < most ? n : most;
}

static int usable_scale(int scale)
{
    return scale < 1 ? 1 : at_most(scale, SCALE_MAX);
}

/* ---- UTF-8 (RFC 3629) ---- */

static int sequence_length(uint8_t first)
{
    if (first < 0x80) {
        return 1;
    }
    if (first < 0xC2 || first > 0xF4) {
        return 0; /* a continuation, or what only an overlong or too large one begins with */
    }
    return first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

/* The next character, and *text behind it. A byte that makes no sense is one unknown character. */
static uint32_t next_char(const char **text)
{
    static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
    const uint8_t *at = (const uint8_t *)*text;
    int length = sequence_length(at[0]);
    uint32_t c = length > 1 ? at[0] & (0x7Fu >> length) : at[0];
    (*text)++;
    for (int i = 1; i < length; i++) {
        if ((at[i] & 0xC0) != 0x80) { /* the end of the text too */
            return UNKNOWN;
        }
        c = c << 6 | (at[i] & 0x3F);
    }
    if (length == 0 || c < smallest[length] || (c >= 0xD800 && c < 0xE000) || c > 0x10FFFF) {
        return UNKNOWN;
    }
    *text += length - 1;
    return c;
}

/* ---- drawing ---- */

static int64_t clip(int64_t n, int64_t most)
{
    return n < 0 ? 0 : n > most ? most : n;
}

static void fill(const struct draw_text_plane *to, const struct box *b, int value)
{
    int64_t round = (1 << to->shift) - 1;
    int64_t left = clip(b->x >> to->shift, to->width), top = clip(b->y >> to->shift, to->height);
    int64_t right = clip((b->x + b->width + round) >> to->shift, to->width);
    int64_t bottom = clip((b->y + b->height + round) >> to->shift, to->height);
    for (int64_t y = top; y < bottom && left < right; y++) {
        memset(to->luma + y * to->stride + left, value, (size_t)(right - left));
    }
}

static void draw_run(const struct pen *pen, int64_t x, int64_t y, int first, int count)
{
    const struct box b = { .x = x + (int64_t)first * pen->scale - pen->grow,
                           .y = y - pen->grow,
                           .width = (int64_t)count * pen->scale + 2 * pen->grow,
                           .height = pen->scale + 2 * pen->grow };
    fill(pen->to, &b, pen->value);
}

static void draw_row(const struct pen *pen, int64_t x, int64_t y, unsigned dots)
{
    for (int i = 0; i < GLYPH_WIDTH; i++) {
        int first = i;
        while (i < GLYPH_WIDTH && dots >> (GLYPH_WIDTH - 1 - i) & 1) {
            i++;
        }
        if (i > first) {
            draw_run(pen, x, y, first, i - first);
        }
    }
}

static void draw_char(const struct pen *pen, int64_t x, int64_t y, uint32_t c)
{
    uint8_t rows[GLYPH_ROWS];
    glyph_get(c == '\t' ? ' ' : c, rows);
    for (int i = 0; i < GLYPH_ROWS; i++) {
        draw_row(pen, x, y + (int64_t)i * pen->scale, rows[i]);
    }
}

static void draw_all(const struct pen *pen, int left, int top, const char *text)
{
    int64_t x = left, y = top;
    while (*text) {
        uint32_t c = next_char(&text);
        if (c == '\n') {
            x = left;
            y += (int64_t)DRAW_TEXT_CELL_HEIGHT * pen->scale;
        } else {
            draw_char(pen, x, y, c);
            x += (int64_t)DRAW_TEXT_CELL_WIDTH * pen->scale;
        }
    }
}

void draw_text(const struct draw_text_plane *to, int x, int y, int scale, int ink, int rim,
               const char *text)
{
    struct pen pen = { .to = to, .scale = usable_scale(scale) };
    if (rim >= 0) {
        pen.grow = draw_text_rim(pen.scale);
        pen.value = rim;
        draw_all(&pen, x, y, text);
    }
    if (rim != ink) {
        pen.grow = 0;
        pen.value = ink;
        draw_all(&pen, x, y, text);
    }
}

/* ---- sizes ---- */

void draw_text_size(const char *text, int scale, int *width, int *height)
{
    int cells = 0, widest = 0, lines = 1;
    while (*text) {
        if (next_char(&text) == '\n') {
            cells = 0;
            lines = at_most(lines + 1, CELLS_MAX);
        } else {
            cells = at_most(cells + 1, CELLS_MAX);
        }
        widest = cells > widest ? cells : widest;
    }
    scale = usable_scale(scale);
    *width = widest * DRAW_TEXT_CELL_WIDTH * scale;
    *height = lines * DRAW_TEXT_CELL_HEIGHT * scale;
}

int draw_text_rim(int scale)
{
    return (3 * usable_scale(scale) + 3) / 4;
}

int draw_text_scale(int width, int height)
{
    int side = width < height ? width : height;
    int scale = (side + 180) / 270;
    return scale < 2 ? (side >= 200) + 1 : scale;
}
