/* SPDX-License-Identifier: MIT */
/*
 * Replay buffer: the frames that a receiver has not yet confirmed to be on its disk, and how far they
 * have been sent. Pure: no I/O, no clock, no lock.
 *
 * It always begins with a key frame, because a receiver that begins a new file needs one: frames leave
 * by whole groups (a key frame and what follows up to the next), either because they are acknowledged
 * and a later group has begun to be, or because the buffer is full. What leaves unsent is counted.
 *
 * Life: init/finish in the caller's memory; holds references. Threads: one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct frame;

struct replay_entry {
    const struct frame *frame;
    uint64_t refused; /* of the frames before it */
};

struct replay {
    struct replay_entry *ring; /* grown by doubling; its size follows max_bytes */
    size_t space, head, count;
    size_t cursor; /* of `count`: the next to send */
    size_t bytes, max_bytes;
    bool need_key;

    uint64_t last_seq;  /* newest frame seen */
    uint64_t base_seq;  /* … before the first that counts: what was before it, nobody misses */
    uint64_t sent_seq;  /* highest number ever sent */
    uint64_t acked_seq; /* … confirmed to be on disk */
    uint64_t evicted;   /* frames that left unsent: older than all that is here */
    uint64_t refused;   /* frames that were never taken in */
    uint64_t sent;      /* frames sent, each once */
    uint64_t sent_bytes, resent;
    uint64_t acked;       /* frames of `sent` that were confirmed */
    uint64_t unconfirmed; /* left the buffer sent but not confirmed, since the last confirmation */
    uint64_t unconfirmed_seq; /* … the newest of them */
    uint64_t gone;            /* … and who should confirm them has asked for them again */
};

void replay_init(struct replay *r, size_t max_bytes);
void replay_finish(struct replay *r);
void replay_rest(
    struct replay *r); /* let all frames go and free what held them; all numbers stay */

/* Nothing was taken or sent yet: the stream begins behind frame `seq`. */
void replay_begin(struct replay *r, uint64_t seq);

/* Take a reference to the stream's next frame. False: a key frame should be asked for. */
bool replay_add(struct replay *r, const struct frame *frame);

/* The stream has ended with frame `last_seq`; those that never got here were never sent. */
void replay_end(struct replay *r, uint64_t last_seq);

/* The next to send (borrowed), or NULL. `again`: it was sent before. */
const struct replay_entry *replay_peek(const struct replay *r, bool *again);
void replay_advance(struct replay *r); /* the one peeked is on its way */

/* Everything up to `seq` is on disk. */
void replay_ack(struct replay *r, uint64_t seq);

/* Go back: to `seq`, or with need_key to the key frame at or before it; 0 = to the beginning (for a
 * receiver that knows nothing of what was sent). A position that has left the buffer becomes the
 * oldest there is; one that was never sent the first unsent. */
void replay_rewind(struct replay *r, uint64_t seq, bool need_key);

/* Live: when the next frame was captured before `oldest_us`, go on at the newest key frame if that is
 * younger, else wait for one (false: ask for it). */
bool replay_skip_late(struct replay *r, int64_t oldest_us);

uint64_t replay_skipped(const struct replay *r); /* frames never sent, so far */
/* … of those, the ones with a lower number than this entry's */
uint64_t replay_skipped_before(const struct replay *r, const struct replay_entry *entry);
size_t replay_unsent(const struct replay *r);              /* frames not sent ever */
size_t replay_after(const struct replay *r, uint64_t seq); /* frames held with a higher number */
uint64_t replay_first_seq(const struct replay *r); /* oldest held; last_seq + 1 when empty */
