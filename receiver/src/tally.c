/* SPDX-License-Identifier: MIT */
#include "tally.h"

static void advance(struct tally *t, uint64_t seq, uint32_t skipped)
{
    if (t->newest > 0) {
        t->never_sent += (uint32_t)(skipped - t->last_skipped);
    } else {
        t->first = seq;
    }
    t->newest = seq;
    t->last_skipped = skipped;
}

bool tally_frame(struct tally *t, uint64_t seq, uint32_t skipped)
{
    if (seq <= t->newest) {
        t->again++;
        return false;
    }
    advance(t, seq, skipped);
    t->received++;
    return true;
}

void tally_end(struct tally *t, uint64_t next_seq, uint32_t skipped)
{
    if (t->newest > 0 && next_seq > t->newest + 1) {
        advance(t, next_seq - 1, skipped);
    }
}

uint64_t tally_lost(const struct tally *t)
{
    if (t->newest == 0) {
        return 0;
    }
    /* A hostile sender can claim what it likes; a count is never negative. */
    uint64_t span = t->newest - t->first + 1;
    uint64_t known = t->received + t->never_sent;
    return span > known ? span - known : 0;
}
