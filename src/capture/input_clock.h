/* SPDX-License-Identifier: MIT */
/*
 * The time line of an input: from the time stamps in a file or stream to capture times on our clock.
 * A file is as if it happened now: its first frame at the moment it is read, the others as far apart
 * as their stamps. Stamps that jump (a loop, a cut) go on one frame after the last. A live stream's
 * frames happened when they came, minus the jitter that their stamps tell.
 * Threads: any, pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define INPUT_NO_TIME INT64_MIN

struct input_clock {
    bool live;
    int64_t frame_us; /* nominal distance of frames */

    bool started;
    int64_t base_us; /* capture time of stamp 0 */
    int64_t last_us, last_capture_us;
};

/* The capture time of the next frame in decoding order. `stamp_us` may be INPUT_NO_TIME. Of a file
 * this lies in the future as a rule: wait for it. */
int64_t input_clock_next(struct input_clock *c, int64_t stamp_us, int64_t now_us);
