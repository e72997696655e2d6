/* SPDX-License-Identifier: MIT */
/*
 * How fast pictures really come: a camera halves its rate in the dark, and some promise none. Encoders
 * count pictures, not time, and must be told to keep their bits per second.
 * Threads: one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct tempo {
    int64_t begin_us, last_us;
    int count;    /* intervals since begin_us */
    double scale; /* real interval over the nominal one; 1 to begin with */
};

/* Note a picture. True when the tempo has become another one, by more than a tenth. */
bool tempo_note(struct tempo *t, int64_t now_us, double nominal_us);
