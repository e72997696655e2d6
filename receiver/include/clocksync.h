/* SPDX-License-Identifier: MIT */
/*
 * Clock offset between two machines from probes (as NTP, RFC 5905 section 8: t0 sent, t1 arrived at
 * the other side, t2 answered there, t3 back): offset = ((t1 - t0) + (t2 - t3)) / 2, wrong by at most
 * half the round trip. The probe with the shortest round trip of the last ones is believed, so a
 * queue that builds up for a while does not count, and a drifting clock is followed.
 * Pure. Threads: one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CLOCKSYNC_PROBES 16

struct clocksync {
    struct {
        int64_t offset_us, rtt_us;
    } probe[CLOCKSYNC_PROBES];
    unsigned count; /* ever added */
};

/* Nonsense (negative round trip, times far out of range) is ignored: false. */
bool clocksync_add(struct clocksync *c, int64_t t0_us, int64_t t1_us, int64_t t2_us, int64_t t3_us);

/* Other side's clock minus ours, and the most it can be wrong. False: no probe yet. */
bool clocksync_offset(const struct clocksync *c, int64_t *offset_us, int64_t *error_us);
