/* SPDX-License-Identifier: MIT */
/*
 * Clocks. All waits and video times are CLOCK_MONOTONIC microseconds; the wall clock is only for
 * people (file names, creation times, overlays).
 * Threads: any.
 */
#pragma once

#include <stdint.h>

#define CLOCK_MS ((int64_t)1000)
#define CLOCK_S  ((int64_t)1000000)

int64_t clock_now_us(void);    /* CLOCK_MONOTONIC */
int64_t clock_wall_us(void);   /* CLOCK_REALTIME, since the Unix epoch */
int64_t clock_thread_us(void); /* CPU time of the calling thread */

/* Now + timeout; INT64_MAX ("never") for a negative or an absurdly long one. */
int64_t clock_deadline_us(int64_t timeout_us);

/* Milliseconds for poll(2) until `deadline_us`: rounded up, 0 when past, -1 for INT64_MAX. */
int clock_poll_ms(int64_t deadline_us, int64_t now_us);
