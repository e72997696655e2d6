/* SPDX-License-Identifier: MIT */
/*
 * From the luma and colour differences of BT.709 or BT.2020, which HD cameras and HDMI send, to those of
 * BT.601, which JPEG (JFIF) means. Full range, 8 bits, in place.
 * Threads: any, pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "pcs/format.h"

/* What to add to each sample, in 1/512 of its own and the others' colour differences. */
struct matrix_step {
    int16_t y_cb, y_cr, cb_cb, cb_cr, cr_cb, cr_cr;
};

struct matrix_step matrix_to_601(enum color_matrix from);

/* A line of colour differences. `luma`, 2 * n values: what matrix_luma is to add to the lines above it. */
void matrix_chroma(const struct matrix_step *m, uint8_t *cb, uint8_t *cr, int16_t *luma, size_t n);
void matrix_luma(uint8_t *y, const int16_t *luma, size_t n);
