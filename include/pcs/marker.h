/* SPDX-License-Identifier: MIT */
/*
 * Marker: a frame's number and capture time painted into the picture as black and white cells that
 * survive JPEG and H.264, so that what comes out of any decoder can be matched with what went in.
 *
 * 128 bits in reading order as 32 columns x 4 rows of square cells in the top left corner, white = 1:
 *   16 bits sync 0xA5C3 · 32 bits frame number · 64 bits capture time (us) · 16 bits CRC-16/CCITT-FALSE
 *   over the 12 bytes of number and time, all big-endian.
 * Cell size in pixels: the smaller of width / 64 and height / 4, rounded down to even, at least 2.
 * Pictures narrower than 64 or lower than 8 pixels carry none.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct marker {
    uint32_t number;
    uint64_t time_us;
};

int marker_cell(int width, int height); /* pixels; 0 = too small for a marker */
void marker_draw(uint8_t *luma, int stride, int width, int height, const struct marker *m);
/* False when there is no marker, or it is damaged. */
bool marker_read(const uint8_t *luma, int stride, int width, int height, struct marker *out);
