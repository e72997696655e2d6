/* SPDX-License-Identifier: MIT */
/*
 * Feed: the frames of a hub into a segment, while somebody reads it. Packets are copied by whoever publishes
 * them, so that readers wake up at once; pictures, which are large, by the feed's own thread.
 * Life: shm_feed_start → shm_feed_stop → shm_feed_free. Threads: main; totals any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pcs/err.h"

struct hub;
struct shm_feed;

struct shm_feed_plan {
    const char *name;   /* of the segment, with or without its slash; outlives the feed */
    const char *camera; /* what it is called */
    struct hub *hub;
    bool raw; /* pictures */
};

int shm_feed_start(struct shm_feed **out, const struct shm_feed_plan *plan, struct err *err);
/* What is queued is still published. */
void shm_feed_stop(struct shm_feed *feed);
void shm_feed_free(struct shm_feed *feed); /* NULL is fine */

struct shm_feed_totals {
    uint64_t sent, bytes;
    uint64_t refused; /* too large, or no memory for them */
    bool read;        /* has readers now, or had until a second ago */
    bool done;        /* the hub has ended and all of it is in the segment */
};
void shm_feed_get_totals(struct shm_feed *feed, struct shm_feed_totals *out);

/* Can this be a segment's name? */
bool shm_feed_name_ok(const char *name);
