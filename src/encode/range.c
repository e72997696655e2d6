/* SPDX-License-Identifier: MIT */
/* Written for the compiler's vectoriser: 16-bit steps without branches (this file is built with -O3). */
#include "range.h"

/* 255/219 = 149/128 to within half a step at white. */
void range_expand_luma(uint8_t *row, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t above_black = (uint16_t)((row[i] < 16 ? 16 : row[i]) - 16);
        uint16_t v = (uint16_t)(above_black * 149 + 64) >> 7;
        row[i] = (uint8_t)(v > 255 ? 255 : v);
    }
}

/* 255/224 = 146/128 likewise, around 128. */
void range_expand_chroma(uint8_t *row, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int16_t v = (int16_t)((int16_t)((row[i] - 128) * 146 + 64) >> 7);
        v = (int16_t)(v < -128 ? -128 : v > 127 ? 127 : v);
        row[i] = (uint8_t)(v + 128);
    }
}
