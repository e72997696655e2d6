/* SPDX-License-Identifier: MIT */
/*
 * Guests of the TCP service: the receivers it serves and those that it expects back. Each has a feed of its
 * own, so nobody waits for anybody; the frames in them are shared, so many cost little more than one.
 *
 * A guest is *here* while it has a connection; then *away*, its buffer still filled, so that it can go on
 * where it was; and after a minute *asleep*: its frames are let go, but its numbers stay, so that
 * one that comes back even later is told exactly what it missed. A receiver is recognised by the id of its
 * WELCOME; one without is forgotten when it goes.
 *
 * Life: init/finish in the caller's memory. Pure: the caller brings the time. Threads: one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "feed.h"
#include "pcs/sink.h"

struct caller; /* a connection, the sink's */

struct guest {
    struct feed feed;
    bool has_id;
    uint8_t id[16];
    struct caller *caller; /* NULL: not here */
    int64_t heard_us;      /* while here */
    int64_t away_us;       /* since when it is not */
    bool asleep;
    bool waits; /* for its first key frame since it was new, or asleep */
    uint64_t connections;
    uint64_t counted; /* of the frames it was sent */
};

struct guests {
    struct guest **list; /* the longest unseen first among those asleep */
    size_t count, space;
    size_t max;              /* here and away */
    size_t buffer_bytes;     /* of each */
    struct sink_totals gone; /* of those that are forgotten */
    uint64_t gone_resent;
    uint64_t sent, sent_seq; /* frames that went to anybody, the newest of them */
};

void guests_init(struct guests *g, size_t max, size_t buffer_bytes);
void guests_finish(struct guests *g);

/*
 * The one who says this, now to be served over `caller`: known, or new and to be served from the frame
 * behind `last_seq` on. The guest's caller is still the older one, if it has one that is not heard any
 * more; it is to be closed. NULL, with err for the receiver: no room, or no memory.
 */
struct guest *guests_admit(struct guests *g, const struct wire_welcome *welcome, uint64_t last_seq,
                           int64_t now_us, struct err *err);

/* Its connection has ended; `delivered`: and it has all there will ever be. */
void guests_leave(struct guests *g, struct guest *guest, bool delivered, int64_t now_us);

/* The stream's next frame, for all who are not asleep. False: a key frame should be asked for. */
bool guests_add(struct guests *g, const struct frame *frame);
void guests_end(struct guests *g, uint64_t last_seq); /* … has ended */

/* Let those sleep who have been away too long. When the next one will have been; INT64_MAX: nobody. */
int64_t guests_expire(struct guests *g, int64_t now_us);

size_t guests_here(const struct guests *g);
size_t guests_awake(const struct guests *g); /* here or away */
bool guests_waiting(
    const struct guests *g); /* is anything not delivered to one who may come back? */
uint64_t guests_first_seq(const struct guests *g, uint64_t next_seq); /* the oldest frame held */
/* Frames that went to anybody, each once; and those that are still to. */
void guests_count(struct guests *g, uint64_t *sent, uint64_t *queued);
/* Frames × guests. */
void guests_add_totals(const struct guests *g, struct sink_totals *sum, uint64_t *resent);
