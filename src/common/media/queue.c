/* SPDX-License-Identifier: MIT */
#include "pcs/queue.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/stop.h"

struct queue {
    struct queue_limits limits; /* fixed */
    int fd;                     /* fixed; `signalled`: readable, or about to be */
    atomic_uint refs;
    bool (*help)(void *arg); /* fixed before use */
    void *help_arg;

    pthread_mutex_t lock;      /* guards everything below */
    const struct frame **ring; /* `space` entries, grown by doubling up to max_frames */
    size_t space, head, count;
    size_t bytes;
    bool closed, signalled;
    bool need_key; /* GOP and ALL: nothing is taken before the next key frame */
    struct queue_stats stats;
};

#define FIRST_SPACE 16

struct queue *queue_new(const struct queue_limits *limits)
{
    struct queue *q = calloc(1, sizeof *q);
    if (!q) {
        return NULL;
    }
    q->limits = *limits;
    q->need_key = limits->policy != QUEUE_NEWEST;
    q->space = limits->max_frames < FIRST_SPACE ? limits->max_frames : FIRST_SPACE;
    q->ring = calloc(q->space, sizeof(const struct frame *));
    q->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&q->lock, NULL);
    atomic_init(&q->refs, 1);
    if (!q->ring || q->fd < 0) {
        queue_unref(q);
        return NULL;
    }
    return q;
}

struct queue *queue_ref(struct queue *q)
{
    atomic_fetch_add_explicit(&q->refs, 1, memory_order_relaxed);
    return q;
}

static const struct frame *pop_locked(struct queue *q)
{
    const struct frame *frame = q->ring[q->head];
    q->head = (q->head + 1) % q->space;
    q->count--;
    q->bytes -= frame->size;
    return frame;
}

void queue_unref(struct queue *q)
{
    if (!q || atomic_fetch_sub_explicit(&q->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    while (q->count > 0) {
        frame_unref(pop_locked(q));
    }
    if (q->fd >= 0) {
        close(q->fd);
    }
    pthread_mutex_destroy(&q->lock);
    free(q->ring);
    free(q);
}

/* Waking is done without the lock, or the woken reader would run straight into it. */
static bool must_signal_locked(struct queue *q)
{
    bool must = !q->signalled;
    q->signalled = true;
    return must;
}

static void send_signal(const struct queue *q)
{
    static const uint64_t one = 1;
    (void)!write(q->fd, &one, sizeof one); /* fails only when the counter is full: readable too */
}

/* A signal that is still under way stays `signalled`: it wakes the reader once for nothing. */
static void calm_locked(struct queue *q)
{
    uint64_t n;
    if (q->signalled && !q->closed) {
        q->signalled = read(q->fd, &n, sizeof n) != sizeof n;
    }
}

static bool fits_locked(const struct queue *q, size_t size)
{
    return q->count == 0 || (q->count < q->limits.max_frames &&
                             (q->limits.max_bytes == 0 || q->bytes + size <= q->limits.max_bytes));
}

static bool grow_locked(struct queue *q)
{
    if (q->count < q->space) {
        return true;
    }
    size_t space = q->space * 2 < q->limits.max_frames ? q->space * 2 : q->limits.max_frames;
    const struct frame **ring = calloc(space, sizeof(const struct frame *));
    if (!ring) {
        return false;
    }
    for (size_t i = 0; i < q->count; i++) {
        ring[i] = q->ring[(q->head + i) % q->space];
    }
    free(q->ring);
    q->ring = ring;
    q->space = space;
    q->head = 0;
    return true;
}

/* Frames that have to go. They are unreferenced after the lock is dropped: a release hook may take
 * locks of its own. */
struct victims {
    const struct frame *few[8];
    size_t count;
    const struct frame **ring; /* a whole backlog, as it stood in the ring */
    size_t space, head, ring_count;
};

static void release_victims(struct victims *v)
{
    for (size_t i = 0; i < v->count; i++) {
        frame_unref(v->few[i]);
    }
    for (size_t i = 0; i < v->ring_count; i++) {
        frame_unref(v->ring[(v->head + i) % v->space]);
    }
    free(v->ring);
}

/* Hand the whole backlog over; an empty ring takes its place and the fd is calm again. */
static bool drop_all_locked(struct queue *q, struct victims *v)
{
    const struct frame **ring = calloc(q->space, sizeof(const struct frame *));
    if (!ring) {
        return false;
    }
    v->ring = q->ring;
    v->space = q->space;
    v->head = q->head;
    v->ring_count = q->count;
    q->stats.dropped += q->count;
    q->ring = ring;
    q->head = q->count = q->bytes = 0;
    calm_locked(q);
    return true;
}

static bool drop_oldest_locked(struct queue *q, struct victims *v, size_t size)
{
    while (!fits_locked(q, size)) {
        if (v->count == sizeof v->few / sizeof v->few[0]) {
            return drop_all_locked(q, v); /* one large frame in place of many small ones */
        }
        v->few[v->count++] = pop_locked(q);
        q->stats.dropped++;
    }
    return true;
}

/* Make room for `frame` as the policy says. False: it must not be taken. */
static bool make_room_locked(struct queue *q, const struct frame *frame, struct victims *v)
{
    bool key = frame->flags & FRAME_KEY;
    if (q->need_key && !key) {
        return false;
    }
    if (fits_locked(q, frame->size)) {
        return true;
    }
    switch (q->limits.policy) {
    case QUEUE_NEWEST:
        return drop_oldest_locked(q, v, frame->size);
    case QUEUE_GOP:
        q->need_key = true;
        return drop_all_locked(q, v) && key;
    case QUEUE_ALL:
        q->need_key = true;
        break;
    }
    return false;
}

static bool store_locked(struct queue *q, const struct frame *frame, struct victims *v)
{
    q->stats.pushed++;
    if (!make_room_locked(q, frame, v) || !grow_locked(q)) {
        q->stats.dropped++;
        return false;
    }
    q->need_key = false;
    q->ring[(q->head + q->count++) % q->space] = frame_ref(frame);
    q->bytes += frame->size;
    return true;
}

/* A reader that works in batches is also woken when there is no room for its batch. */
static bool must_wake_locked(const struct queue *q, bool full)
{
    full |= q->bytes >= q->limits.wake_bytes || q->count == q->limits.max_frames;
    return full && q->count > 0;
}

static void wake_reader(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    bool wake = must_signal_locked(q);
    pthread_mutex_unlock(&q->lock);
    if (wake) {
        send_signal(q);
    }
}

void queue_on_push(struct queue *q, bool (*help)(void *arg), void *arg)
{
    q->help = help;
    q->help_arg = arg;
}

/* A key frame is large, so it is not asked for before half of the queue is free: else it would be
 * refused too, and asked for again at every frame. */
static bool wants_key_locked(const struct queue *q)
{
    return q->need_key && q->count <= q->limits.max_frames / 2 &&
           (q->limits.max_bytes == 0 || q->bytes <= q->limits.max_bytes / 2);
}

enum queue_pushed queue_push(struct queue *q, const struct frame *frame)
{
    struct victims victims = { 0 };
    enum queue_pushed result = QUEUE_DROPPED;
    bool wake = false, signal = false;
    pthread_mutex_lock(&q->lock);
    if (!q->closed) {
        bool stored = store_locked(q, frame, &victims);
        bool clean = stored && victims.count + victims.ring_count == 0;
        result = wants_key_locked(q) ? QUEUE_WANT_KEY : clean ? QUEUE_TAKEN : QUEUE_DROPPED;
        wake = must_wake_locked(q, !clean);
        signal = wake && !q->help && must_signal_locked(q);
    }
    pthread_mutex_unlock(&q->lock);
    if (signal) {
        send_signal(q);
    } else if (wake && q->help && !q->help(q->help_arg)) {
        wake_reader(q);
    }
    release_victims(&victims);
    return result;
}

/* Taking and "closed" are one look: a last frame may come between two. */
static const struct frame *take(struct queue *q, bool *closed)
{
    const struct frame *frame = NULL;
    pthread_mutex_lock(&q->lock);
    *closed = q->closed;
    if (q->count > 0) {
        frame = pop_locked(q);
        q->stats.taken++;
    }
    if (q->count == 0) {
        calm_locked(q);
    }
    pthread_mutex_unlock(&q->lock);
    return frame;
}

const struct frame *queue_take(struct queue *q)
{
    bool closed;
    return take(q, &closed);
}

static int64_t time_left(int64_t deadline_us)
{
    int64_t left_us = deadline_us == INT64_MAX ? -1 : deadline_us - clock_now_us();
    return deadline_us != INT64_MAX && left_us < 0 ? 0 : left_us;
}

int queue_wait(struct queue *q, struct stop *stop, int64_t timeout_us, const struct frame **out)
{
    int64_t deadline_us = clock_deadline_us(timeout_us);
    for (bool waited = false;;) {
        bool closed;
        const struct frame *frame = take(q, &closed);
        if (frame) {
            *out = frame;
            return 0;
        }
        if (closed || waited) {
            return closed ? -EPIPE : -EAGAIN;
        }
        int got = stop_poll(stop, q->fd, POLLIN, time_left(deadline_us));
        if (got < 0) {
            return got;
        }
        waited = got == 0; /* a batch below wake_bytes may be there all the same: look once more */
    }
}

int queue_fd(const struct queue *q)
{
    return q->fd;
}

void queue_close(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    bool wake = must_signal_locked(q);
    pthread_mutex_unlock(&q->lock);
    if (wake) {
        send_signal(q);
    }
}

void queue_clear(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    while (q->count > 0) {
        const struct frame *frame = pop_locked(q);
        pthread_mutex_unlock(&q->lock);
        frame_unref(frame);
        pthread_mutex_lock(&q->lock);
    }
    q->need_key = q->limits.policy != QUEUE_NEWEST; /* whatever was pushed meanwhile went too */
    calm_locked(q);
    pthread_mutex_unlock(&q->lock);
}

bool queue_closed(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    bool closed = q->closed;
    pthread_mutex_unlock(&q->lock);
    return closed;
}

void queue_get_stats(struct queue *q, struct queue_stats *out)
{
    pthread_mutex_lock(&q->lock);
    *out = q->stats;
    out->frames = q->count;
    out->bytes = q->bytes;
    pthread_mutex_unlock(&q->lock);
}
