/* SPDX-License-Identifier: MIT */
/*
 * Text in a picture: letters of dots, drawn into the luma plane, each with a dark rim so that they are
 * readable on anything. UTF-8: ASCII and the letters of Latin-1; the rest is a box.
 * Threads: any, pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define DRAW_TEXT_CELL_WIDTH  6  /* dots, the gap between letters included */
#define DRAW_TEXT_CELL_HEIGHT 10 /* … descenders and the gap between lines included */

struct draw_text_plane {
    uint8_t *luma;
    int stride, width, height;
    /*
     * log2 of the plane's subsampling, when it is not luma: x, y and scale stay those of the luma plane,
     * every sample that a dot touches is covered. With ink and rim 128 it takes the colour from the
     * letters.
     */
    int shift;
};

/* Width of the longest line and height of all, in pixels, at `scale` pixels a dot. */
void draw_text_size(const char *text, int scale, int *width, int *height);

/* The upper left corner at x, y; '\n' begins a line; what lies outside the picture is cut off. `ink` and
 * `rim` are luma values; rim < 0: none. The rim is draw_text_rim(scale) pixels wide, outside the cells
 * too. */
void draw_text(const struct draw_text_plane *to, int x, int y, int scale, int ink, int rim,
               const char *text);
int draw_text_rim(int scale);

/* The scale at which text is read comfortably in a picture of that size. */
int draw_text_scale(int width, int height);
