/* SPDX-License-Identifier: MIT */
/*
 * The luma of both is a weighted sum of the same R, G, B, so one follows from the other by adding multiples
 * of the colour differences, and these likewise. The multiples are small: 16 bits hold them and the sums,
 * with half a step of error at most. Written for the vectoriser (this file is built with -O3).
 */
#include "matrix.h"

#include <math.h>

#define ONE  512
#define HALF (ONE / 2)

static int16_t fixed(double v)
{
    return (int16_t)lround(v * ONE);
}

/* ITU-T H.273, 8.3: with Kr and Kb, R = Y + 2(1-Kr) Cr, B = Y + 2(1-Kb) Cb, Y = Kr R + Kg G + Kb B. */
struct matrix_step matrix_to_601(enum color_matrix from)
{
    bool uhd = from == COLOR_MATRIX_2020, hd = from == COLOR_MATRIX_709;
    double kr = uhd ? 0.2627 : hd ? 0.2126 : 0.299, kb = uhd ? 0.0593 : hd ? 0.0722 : 0.114;
    double r_cr = 2 * (1 - kr), b_cb = 2 * (1 - kb), kg = 1 - kr - kb;
    double g_cr = -r_cr * kr / kg, g_cb = -b_cb * kb / kg;
    double y_cr = 0.299 * r_cr + 0.587 * g_cr, y_cb = 0.114 * b_cb + 0.587 * g_cb;
    return (struct matrix_step){
        .y_cb = fixed(y_cb),
        .y_cr = fixed(y_cr),
        .cb_cb = fixed((b_cb - y_cb) / 1.772 - 1),
        .cb_cr = fixed(-y_cr / 1.772),
        .cr_cb = fixed(-y_cb / 1.402),
        .cr_cr = fixed((r_cr - y_cr) / 1.402 - 1),
    };
}

static inline int16_t clamp(int16_t v)
{
    return (int16_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static inline int16_t step(int16_t a, int16_t u, int16_t b, int16_t v)
{
    return (int16_t)((int16_t)((int16_t)(a * u) + (int16_t)(b * v) + HALF) >> 9);
}

void matrix_chroma(const struct matrix_step *m, uint8_t *cb, uint8_t *cr, int16_t *luma, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int16_t u = (int16_t)(cb[i] - 128), v = (int16_t)(cr[i] - 128);
        int16_t add = step(m->y_cb, u, m->y_cr, v);
        luma[2 * i] = add;
        luma[2 * i + 1] = add;
        cb[i] = (uint8_t)clamp((int16_t)(cb[i] + step(m->cb_cb, u, m->cb_cr, v)));
        cr[i] = (uint8_t)clamp((int16_t)(cr[i] + step(m->cr_cb, u, m->cr_cr, v)));
    }
}

void matrix_luma(uint8_t *y, const int16_t *luma, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        y[i] = (uint8_t)clamp((int16_t)(y[i] + luma[i]));
    }
}
