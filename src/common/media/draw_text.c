/* SPDX-License-Identifier: MIT */
#include "pcs/draw_text.h"

void draw_text_size(const char *text, int scale, int *width, int *height)
{
    int columns = 0, longest = 0, lines = 1;
    for (; *text; text++) {
        columns = *text == '\n' ? 0 : columns + 1;
        lines += *text == '\n';
        longest = columns > longest ? columns : longest;
    }
    *width = longest * scale * DRAW_TEXT_CELL_WIDTH;
    *height = lines * scale * DRAW_TEXT_CELL_HEIGHT;
}

static void dot(const struct draw_text_plane *to, int x, int y, int scale, int ink)
{
    for (int i = 0; i < scale * scale; i++) {
        int px = x + i % scale, py = y + i / scale;
        if (px >= 0 && py >= 0 && px < to->width && py < to->height) {
            to->luma[(ptrdiff_t)py * to->stride + px] = (uint8_t)ink;
        }
    }
}

void draw_text(const struct draw_text_plane *to, int x, int y, int scale, int ink, int rim,
               const char *text)
{
    (void)rim;
    for (; *text; text++, x += scale * DRAW_TEXT_CELL_WIDTH) {
        for (int i = 0; i < 35 && *text != ' '; i++) {
            dot(to, x + i % 5 * scale, y + i / 5 * scale, scale, ink);
        }
    }
}

int draw_text_scale(int width, int height)
{
    int by_height = height / 240, by_width = width / 320;
    int scale = by_height < by_width ? by_height : by_width;
    return scale < 1 ? 1 : scale;
}
