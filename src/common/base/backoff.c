/* SPDX-License-Identifier: MIT */
#include "pcs/backoff.h"

#include <errno.h>
#include <sys/random.h>

int64_t backoff_next(struct backoff *b, uint32_t random)
{
    b->step_us = b->step_us == 0 ? b->first_us : b->step_us * 2;
    if (b->step_us > b->max_us) {
        b->step_us = b->max_us;
    }
    int64_t spread_us = b->step_us * 2 / 5; /* 40 %: from -20 to +20 */
    return b->step_us - spread_us / 2 + (int64_t)((uint64_t)spread_us * random >> 32);
}

void backoff_reset(struct backoff *b)
{
    b->step_us = 0;
}

void random_bytes(void *data, unsigned n)
{
    /* Up to 256 bytes getrandom(2) is whole and cannot fail once the pool is ready. */
    while (getrandom(data, n, 0) < 0 && errno == EINTR) {
    }
}

uint32_t random_u32(void)
{
    uint32_t v = 0;
    random_bytes(&v, sizeof v);
    return v;
}
