/* SPDX-License-Identifier: MIT */
/*
 * Digits as big blocky characters: 0-9 : . # and space, 5 x 7 dots each in a cell of 6 x 8.
 * Threads: any, pure.
 */
#pragma once

#include <stdint.h>

#define DIGITS_CELL_WIDTH  6
#define DIGITS_CELL_HEIGHT 8

/* Dots become squares of `scale` pixels of `ink`; paper is left alone. Characters that it lacks are
 * blank. The text must fit: strlen(text) * 6 * scale wide, 8 * scale high. */
void digits_draw(uint8_t *plane, int stride, int scale, uint8_t ink, const char *text);
