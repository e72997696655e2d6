/* SPDX-License-Identifier: MIT */
/*
 * The letters of draw_text: what they look like and how they are found. Drawn as they appear, many side
 * by side, so that a letter is changed where it is seen.
 * Threads: any, pure.
 */
#pragma once

#include <stdint.h>

#define GLYPH_WIDTH    5
#define GLYPH_ROWS     10 /* 0, 1 accents; 1 to 7 capitals; 3 to 7 small letters; 8, 9 descenders */
#define GLYPH_BASELINE 7

/* Bit 4 of each row is the leftmost dot. What it lacks is a box. */
void glyph_get(uint32_t code_point, uint8_t rows[GLYPH_ROWS]);
