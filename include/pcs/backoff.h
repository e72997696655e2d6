/* SPDX-License-Identifier: MIT */
/*
 * Back-off between attempts: from `first_us` doubling to `max_us`, each +-20 %. Pure: the caller
 * brings the random number.
 */
#pragma once

#include <stdint.h>

struct backoff {
    int64_t first_us, max_us;
    int64_t step_us; /* 0 = none yet */
};

/* How long to wait before the next attempt. `random` is any 32 random bits. */
int64_t backoff_next(struct backoff *b, uint32_t random);
void backoff_reset(struct backoff *b);

uint32_t random_u32(void);                 /* getrandom(2) */
void random_bytes(void *data, unsigned n); /* n <= 256 */
