/* SPDX-License-Identifier: MIT */
/*
 * Waiting for a moment, to the microsecond: poll(2) counts in milliseconds.
 * Threads: one at a time per timer.
 */
#pragma once

#include <stdint.h>

struct stop;

int pace_timer(void); /* an fd to close(2), or a negative errno */
/* Sleep until `at_us` (monotonic); at once when past. 0, -ECANCELED when stopped, or negative. */
int pace_wait(int timer, struct stop *stop, int64_t at_us);
