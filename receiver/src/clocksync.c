/* SPDX-License-Identifier: MIT */
#include "clocksync.h"

static bool plausible(int64_t t_us)
{
    return t_us >= 0 && t_us < INT64_MAX / 8;
}

bool clocksync_add(struct clocksync *c, int64_t t0_us, int64_t t1_us, int64_t t2_us, int64_t t3_us)
{
    if (!plausible(t0_us) || !plausible(t1_us) || !plausible(t2_us) || !plausible(t3_us)) {
        return false;
    }
    int64_t rtt_us = (t3_us - t0_us) - (t2_us - t1_us);
    if (rtt_us < 0 || t2_us < t1_us || t3_us < t0_us) {
        return false;
    }
    unsigned i = c->count++ % CLOCKSYNC_PROBES;
    c->probe[i].offset_us = ((t1_us - t0_us) + (t2_us - t3_us)) / 2;
    c->probe[i].rtt_us = rtt_us;
    return true;
}

bool clocksync_offset(const struct clocksync *c, int64_t *offset_us, int64_t *error_us)
{
    if (c->count == 0) {
        return false;
    }
    unsigned held = c->count < CLOCKSYNC_PROBES ? c->count : CLOCKSYNC_PROBES;
    unsigned best = 0;
    for (unsigned i = 1; i < held; i++) {
        if (c->probe[i].rtt_us < c->probe[best].rtt_us) {
            best = i;
        }
    }
    *offset_us = c->probe[best].offset_us;
    *error_us = c->probe[best].rtt_us / 2;
    return true;
}
