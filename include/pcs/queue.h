/* SPDX-License-Identifier: MIT */
/*
 * Bounded queue of frames between two threads, with a pollable fd. What happens when it is full is
 * fixed at creation and counted:
 *   QUEUE_NEWEST  the oldest go: raw pictures, JPEG. The reader always gets the newest.
 *   QUEUE_GOP     all that is queued goes, and arriving frames up to the next key frame: H.264 live.
 *   QUEUE_ALL     what is queued stays; arriving frames are refused up to the next key frame after
 *                 there is room: recording. max_bytes bounds it.
 * GOP and ALL queues begin with a key frame.
 *
 * Life: reference-counted, because a publisher may still be pushing while its reader leaves.
 * Threads: push from any, take from one reader.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct frame;
struct queue;
struct stop;

enum queue_policy { QUEUE_NEWEST, QUEUE_GOP, QUEUE_ALL };

struct queue_limits {
    enum queue_policy policy;
    size_t max_frames; /* > 0 */
    size_t max_bytes;  /* of frame->size; 0 = no limit. One frame always fits. */
    /* The fd becomes readable only when this much waits (or when full, or on close): a reader that
     * works in batches sleeps meanwhile, with a time-out of its own. 0 = at every frame. */
    size_t wake_bytes;
};

struct queue *queue_new(const struct queue_limits *limits); /* NULL: no memory or fds */
struct queue *queue_ref(struct queue *q);
void queue_unref(struct queue *q);

enum queue_pushed {
    QUEUE_TAKEN,
    QUEUE_DROPPED, /* this frame or others had to go */
    QUEUE_WANT_KEY, /* … the reader needs a key frame to go on, and half the queue is free for it */
};

/* Takes its own reference to `frame`. Never blocks. A closed queue takes nothing. */
enum queue_pushed queue_push(struct queue *q, const struct frame *frame);

/* The oldest frame with its reference, or NULL when empty (this also calms the fd). */
const struct frame *queue_take(struct queue *q);

/* Wait for a frame: 0 with *out, -EAGAIN on time-out, -ECANCELED when stopped, -EPIPE when closed
 * and empty. What is queued comes first, stopped or closed. Negative timeout: for ever. */
int queue_wait(struct queue *q, struct stop *stop, int64_t timeout_us, const struct frame **out);

/*
 * Let whoever pushes do the reader's work while the reader sleeps: `help` is called after a push, by the
 * pusher and without locks, and may take from the queue as the reader would (the two keep apart by a lock
 * of their own). True: the reader need not wake up. Set before the queue is subscribed.
 */
void queue_on_push(struct queue *q, bool (*help)(void *arg), void *arg);

int queue_fd(const struct queue *q); /* POLLIN: something to take, or closed */
void queue_close(struct queue *q);   /* no more frames in; what is queued can still be taken */
void queue_clear(struct queue *q);   /* drop what is queued, without counting it */
bool queue_closed(struct queue *q);  /* ask before taking: afterwards a last frame may have come */

struct queue_stats {
    uint64_t pushed, taken, dropped; /* pushed = taken + dropped + frames (unless cleared) */
    size_t frames, bytes;            /* in it now */
};
void queue_get_stats(struct queue *q, struct queue_stats *out);
