/* SPDX-License-Identifier: MIT */
/*
 * Tally: which frames of a stream came, and how many of those that were sent did not. Pure.
 * A sender numbers its frames 1, 2, 3 … and says with each how many it never sent; so
 *   lost = (newest - first + 1) - received - (never sent in between).
 * Threads: one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct tally {
    uint64_t first, newest; /* numbers; 0 = none yet */
    uint64_t received;      /* each frame once */
    uint64_t again;         /* came a second time */
    uint64_t never_sent;    /* since the first */
    uint32_t last_skipped;  /* the sender's counter, modulo 2^32 */
};

/* A frame came. True when it is new. */
bool tally_frame(struct tally *t, uint64_t seq, uint32_t skipped);

/* The sender says that its stream ended before `next_seq`. */
void tally_end(struct tally *t, uint64_t next_seq, uint32_t skipped);

uint64_t tally_lost(const struct tally *t);
