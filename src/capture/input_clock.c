/* SPDX-License-Identifier: MIT */
#include "input_clock.h"

#include "pcs/clock.h"

#define MAX_STEP_US (10 * CLOCK_S) /* a longer pause in a file is a cut */
#define MAX_LATE_US (5 * CLOCK_S)  /* farther behind our clock, the time line starts anew */

static int64_t next_file(struct input_clock *c, int64_t stamp_us, int64_t now_us)
{
    if (!c->started) {
        c->base_us = now_us - stamp_us;
    } else if (stamp_us < c->last_us || stamp_us > c->last_us + MAX_STEP_US) {
        c->base_us = c->last_capture_us + c->frame_us - stamp_us;
    }
    /* Too slow for real time, or the machine slept: do not run after what cannot be caught. */
    if (now_us - (c->base_us + stamp_us) > MAX_LATE_US) {
        c->base_us = now_us - stamp_us;
    }
    return c->base_us + stamp_us;
}

static int64_t next_live(struct input_clock *c, int64_t stamp_us, int64_t now_us)
{
    int64_t late_us = now_us - (c->base_us + stamp_us);
    if (!c->started || late_us < 0 || late_us > MAX_LATE_US) {
        c->base_us = now_us - stamp_us;
    }
    return c->base_us + stamp_us;
}

int64_t input_clock_next(struct input_clock *c, int64_t stamp_us, int64_t now_us)
{
    if (stamp_us == INPUT_NO_TIME) {
        stamp_us = !c->started ? 0 : c->live ? now_us - c->base_us : c->last_us + c->frame_us;
    }
    c->last_capture_us = c->live ? next_live(c, stamp_us, now_us) : next_file(c, stamp_us, now_us);
    c->last_us = stamp_us;
    c->started = true;
    return c->last_capture_us;
}
