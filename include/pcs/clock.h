/* SPDX-License-Identifier: MIT */
/*
 * Clocks. All waits and video times are CLOCK_MONOTONIC microseconds; the wall clock is only for
 * people (file names, creation times, overlays).
 * Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CLOCK_MS ((int64_t)1000)
#define CLOCK_S  ((int64_t)1000000)

int64_t clock_now_us(void);    /* CLOCK_MONOTONIC */
int64_t clock_wall_us(void);   /* CLOCK_REALTIME, since the Unix epoch */
int64_t clock_thread_us(void); /* CPU time of the calling thread */

/*
 * Monotonic moments as wall time, for what should not jitter: two readings of two clocks are as far apart as
 * the thread was held up between them. So the difference is kept, and another one taken only when the wall
 * clock has been set: when it is off by more than WALL_STEP_US and what the look itself may be wrong by. The
 * kernel slews both clocks alike; between two steps the difference is the same.
 * Zeroed: none yet. Threads: one.
 */
#define WALL_STEP_US 500
struct wall_clock {
    bool known;
    int64_t offset_us; /* wall time less monotonic time */
};
int64_t wall_clock_at(struct wall_clock *w, int64_t at_us); /* looks at the clocks first */
/* The decision, pure: the wall clock was read between the two monotonic readings. */
void wall_clock_look(struct wall_clock *w, int64_t before_us, int64_t wall_us, int64_t after_us);

/* Now + timeout; INT64_MAX ("never") for a negative or an absurdly long one. */
int64_t clock_deadline_us(int64_t timeout_us);

/* Milliseconds for poll(2) until `deadline_us`: rounded up, 0 when past, -1 for INT64_MAX. */
int clock_poll_ms(int64_t deadline_us, int64_t now_us);
