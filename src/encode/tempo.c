/* SPDX-License-Identifier: MIT */
#include "tempo.h"

#define WINDOW_US 1000000 /* over which it is measured */
#define GAP_US    500000  /* a pause, not a rate */

bool tempo_note(struct tempo *t, int64_t now_us, double nominal_us)
{
    int64_t step = now_us - t->last_us;
    t->last_us = now_us;
    t->count++;
    if (step <= 0 || step > GAP_US) {
        t->begin_us = now_us;
        t->count = 0;
    }
    if (now_us - t->begin_us < WINDOW_US) {
        return false;
    }
    double scale = (double)(now_us - t->begin_us) / t->count / nominal_us;
    scale = scale < 0.2 ? 0.2 : scale > 5 ? 5 : scale;
    t->begin_us = now_us;
    t->count = 0;
    bool changed = scale > 1.1 * t->scale || scale < 0.9 * t->scale;
    t->scale = changed ? scale : t->scale;
    return changed;
}
