/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "heap_watch.h"
#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/queue.h"
#include "pcs/stop.h"
#include "pcs/thread.h"

#define K       FRAME_KEY
#define LONG_US (10 * CLOCK_S) /* a wait that ends sooner, or the test fails */

static atomic_int live;    /* frames not yet released */
static struct stop *never; /* a token that nobody sets */

static void release(struct frame *frame)
{
    atomic_fetch_sub(&live, 1);
    free(frame);
}

static const struct frame *make(uint64_t seq, unsigned flags, size_t size)
{
    struct frame *frame = malloc(sizeof *frame);
    atomic_fetch_add(&live, 1);
    frame_init(frame, release, NULL);
    frame->seq = seq;
    frame->flags = flags;
    frame->size = size;
    return frame;
}

static enum queue_pushed push(struct queue *q, uint64_t seq, unsigned flags, size_t size)
{
    const struct frame *frame = make(seq, flags, size);
    enum queue_pushed result = queue_push(q, frame);
    frame_unref(frame);
    return result;
}

/* Number of the next frame, 0 when there is none. */
static uint64_t take(struct queue *q)
{
    const struct frame *frame = queue_take(q);
    uint64_t seq = frame ? frame->seq : 0;
    frame_unref(frame);
    return seq;
}

static bool readable(const struct queue *q)
{
    struct pollfd fd = { .fd = queue_fd(q), .events = POLLIN };
    return poll(&fd, 1, 0) == 1;
}

static struct queue *new_queue(enum queue_policy policy, size_t frames, size_t bytes, size_t wake)
{
    const struct queue_limits limits = { policy, frames, bytes, wake };
    struct queue *q = queue_new(&limits);
    assert_non_null(q);
    return q;
}

static void check_stats(struct queue *q, uint64_t pushed, uint64_t taken, uint64_t dropped,
                        size_t frames, size_t bytes)
{
    struct queue_stats s;
    queue_get_stats(q, &s);
    assert_int_equal(s.pushed, pushed);
    assert_int_equal(s.taken, taken);
    assert_int_equal(s.dropped, dropped);
    assert_int_equal(s.frames, frames);
    assert_int_equal(s.bytes, bytes);
    assert_true(pushed == taken + dropped + frames);
}

/* Everything left is released with the queue. */
static void end(struct queue *q)
{
    queue_unref(q);
    assert_int_equal(atomic_load(&live), 0);
}

/* ---- newest ---- */

static void newest_gives_in_order(void **state)
{
    (void)state;
    struct queue *q = new_queue(QUEUE_NEWEST, 100, 0, 0);
    for (uint64_t seq = 1; seq <= 100; seq++) { /* grows from its first 16 places */
        assert_int_equal(push(q, seq, 0, 1), QUEUE_TAKEN);
    }
    for (uint64_t seq = 1; seq <= 100; seq++) {
        assert_int_equal(take(q), seq);
    }
    assert_int_equal(take(q), 0);
    check_stats(q, 100, 100, 0, 0, 0);
    end(q);
}

static void newest_drops_the_oldest(void **state)
{
    (void)state;
    struct queue *q = new_queue(QUEUE_NEWEST, 3, 0, 0);
    for (uint64_t seq = 1; seq <= 8; seq++) {
        assert_int_equal(push(q, seq, 0, 10), seq <= 3 ? QUEUE_TAKEN : QUEUE_DROPPED);
    }
    check_stats(q, 8, 0, 5, 3, 30);
    assert_int_equal(take(q), 6);
    assert_int_equal(take(q), 7);
    assert_int_equal(take(q), 8);
    check_stats(q, 8, 3, 5, 0, 0);
    end(q);
}

static void newest_heeds_bytes(void **state)
{
    (void)state;
    struct queue *q = new_queue(QUEUE_NEWEST, 100, 100, 0);
    assert_int_equal(push(q, 1, 0, 40), QUEUE_TAKEN);
    assert_int_equal(push(q, 2, 0, 60), QUEUE_TAKEN); /* exactly full */
    assert_int_equal(push(q, 3, 0, 1), QUEUE_DROPPED);
    check_stats(q, 3, 0, 1, 2, 61);
    assert_int_equal(push(q, 4, 0, 500), QUEUE_DROPPED); /* alone, though too large */
    check_stats(q, 4, 0, 3, 1, 500);
    assert_int_equal(push(q, 5, 0, 10), QUEUE_DROPPED);
    check_stats(q, 5, 0, 4, 1, 10);
    assert_int_equal(take(q), 5);
    end(q);
}

static void one_large_frame_replaces_many_small(void **state)
{
    (void)state;
    struct queue *q = new_queue(QUEUE_NEWEST, 100, 100, 0);
    for (uint64_t seq = 1; seq <= 50; seq++) {
        assert_int_equal(push(q, seq, 0, 2), QUEUE_TAKEN);
    }
    assert_int_equal(push(q, 51, 0, 80), QUEUE_DROPPED);
    struct queue_stats s;
    queue_get_stats(q, &s);
    assert_true(s.bytes <= 100);
    assert_int_equal(s.pushed, s.dropped + s.frames);
    uint64_t seq, last = 0;
    while ((seq = take(q)) != 0) {
        assert_true(seq > last);
        last = seq;
    }
    assert_int_equal(last, 51);
    end(q);
}

static void a_queue_of_one_holds_the_newest(void **state)
{
    (void)state;
    struct queue *q = new_queue(QUEUE_NEWEST, 1, 0, 0);
    for (uint64_t seq = 1; seq <= 20; seq++) {
        (void)push(q, seq, 0, 1);
        assert_true(readable(q));
    }
    assert_int_equal(take(q), 20);
    check_stats(q, 20, 1, 19, 0, 0);
    end(q);
}

/* ---- GOP ---- */

static void gop_begins_with_a_key_frame(void **state)
{
    (void)state;
    struct queue *q = new_queue(QUEUE_GOP, 4, 0, 0);
    assert_int_equal(push(q, 1, 0, 1), QUEUE_WANT_KEY);
    assert_int_equal(push(q, 2, 0, 1), QUEUE_WANT_KEY);
    assert_false(readable(q));
    assert_int_equal(push(q, 3, K, 1), QUEUE_TAKEN);
    assert_int_equal(push(q, 4, 0, 1), QUEUE_TAKEN);
    check_stats(q, 4, 0, 2, 2, 2);
    end(q);
}

static void gop_drops_everything_and_waits_for_a_key_frame(void **state)
{
    (void)state;
    struct queue *q = new_queue(QUEUE_GOP, 4, 0, 0);
    assert_int_equal(push(q, 1, K, 1), QUEUE_TAKEN);
    for (uint64_t seq = 2; seq <= 4; seq++) {
        assert_int_equal(push(q, seq, 0, 1), QUEUE_TAKEN);
    }
    assert_int_equal(push(q, 5, 0, 1), QUEUE_WANT_KEY);
    check_stats(q, 5, 0, 5, 0, 0);
    assert_false(readable(q)); /* nothing to take: the reader need not wake */
    assert_int_equal(push(q, 6, 0, 1), QUEUE_WANT_KEY);
    assert_int_equal(push(q, 7, K, 1), QUEUE_TAKEN);
    assert_true(readable(q));
    assert_int_equal(push(q, 8, 0, 1), QUEUE_TAKEN);
    assert_int_equal(take(q), 7);
    assert_int_equal(take(q), 8);
    check_stats(q, 8, 2, 6, 0, 0);
    end(q);
}

static void gop_takes_the_key_frame_that_overflows_it(void **state)
{
    (void)state;
    struct queue *q = new_queue(QUEUE_GOP, 100, 100, 0);
    assert_int_equal(push(q, 1, K, 60), QUEUE_TAKEN);
    assert_int_equal(push(q, 2, 0, 30), QUEUE_TAKEN);
    assert_int_equal(push(q, 3, K, 60), QUEUE_DROPPED);
    check_stats(q, 3, 0, 2, 1, 60);
    assert_int_equal(push(q, 4, K, 5000), QUEUE_DROPPED); /* one always fits */
    check_stats(q, 4, 0, 3, 1, 5000);
    assert_int_equal(push(q, 5, 0, 1), QUEUE_WANT_KEY);
    assert_int_equal(take(q), 0);
    end(q);
}

static void gop_goes_on_after_the_reader_caught_up(void **state)
{
    (void)state;
    struct queue *q = new_queue(QUEUE_GOP, 2, 0, 0);
    (void)push(q, 1, K, 1);
    for (uint64_t seq = 2; seq < 50; seq++) {
        assert_int_equal(take(q), seq - 1);
        assert_int_equal(push(q, seq, 0, 1), QUEUE_TAKEN);
    }
    end(q);
}

/* ---- all ---- */

static void all_keeps_what_it_has(void **state)
{
    (void)state;
    struct queue *q = new_queue(QUEUE_ALL, 4, 0, 0);
    assert_int_equal(push(q, 1, 0, 1), QUEUE_WANT_KEY);
    assert_int_equal(push(q, 2, K, 1), QUEUE_TAKEN);
    for (uint64_t seq = 3; seq <= 5; seq++) {
        assert_int_equal(push(q, seq, 0, 1), QUEUE_TAKEN);
    }
    assert_int_equal(push(q, 6, 0, 1), QUEUE_DROPPED);
    assert_int_equal(push(q, 7, K, 1), QUEUE_DROPPED); /* no room, key or not */
    check_stats(q, 7, 0, 3, 4, 4);
    assert_int_equal(take(q), 2);
    assert_int_equal(push(q, 8, 0, 1), QUEUE_DROPPED); /* room, but no key; not asked for yet */
    assert_int_equal(take(q), 3);
    assert_int_equal(push(q, 9, 0, 1), QUEUE_WANT_KEY); /* half is free: now it helps */
    assert_int_equal(push(q, 10, K, 1), QUEUE_TAKEN);
    assert_int_equal(push(q, 11, 0, 1), QUEUE_TAKEN);
    assert_int_equal(take(q), 4);
    assert_int_equal(take(q), 5);
    assert_int_equal(take(q), 10);
    assert_int_equal(take(q), 11);
    check_stats(q, 11, 6, 5, 0, 0);
    end(q);
}

static void all_heeds_bytes(void **state)
{
    (void)state;
    struct queue *q = new_queue(QUEUE_ALL, 100, 100, 0);
    assert_int_equal(push(q, 1, K, 1000), QUEUE_TAKEN); /* alone, though too large */
    assert_int_equal(push(q, 2, 0, 1), QUEUE_DROPPED);
    assert_int_equal(take(q), 1);
    assert_int_equal(push(q, 3, 0, 1), QUEUE_WANT_KEY);
    assert_int_equal(push(q, 4, K, 60), QUEUE_TAKEN);
    assert_int_equal(push(q, 5, 0, 41), QUEUE_DROPPED);
    assert_int_equal(push(q, 6, 0, 1), QUEUE_DROPPED); /* would fit, but 5 is missing */
    assert_int_equal(push(q, 7, K, 40), QUEUE_TAKEN);
    check_stats(q, 7, 1, 4, 2, 100);
    end(q);
}

/* ---- the fd ---- */

static void the_fd_follows_the_queue(void **state)
{
    (void)state;
    struct queue *q = new_queue(QUEUE_NEWEST, 3, 0, 0);
    for (int round = 0; round < 3; round++) {
        assert_false(readable(q));
        for (uint64_t seq = 1; seq <= 5; seq++) {
            (void)push(q, seq, 0, 1);
            assert_true(readable(q));
        }
        for (uint64_t seq = 3; seq <= 5; seq++) {
            assert_true(readable(q));
            assert_int_equal(take(q), seq);
        }
        assert_false(readable(q));
        assert_int_equal(take(q), 0);
        assert_false(readable(q));
    }
    end(q);
}

static void a_batch_reader_is_woken_late(void **state)
{
    (void)state;
    struct queue *q = new_queue(QUEUE_ALL, 100, 1000, 300);
    const struct frame *frame;
    (void)push(q, 1, K, 100);
    (void)push(q, 2, 0, 100);
    assert_false(readable(q));
    assert_int_equal(queue_wait(q, never, LONG_US, &frame), 0); /* what is there is given */
    assert_int_equal(frame->seq, 1);
    frame_unref(frame);
    (void)push(q, 3, 0, 100);
    assert_false(readable(q));
    (void)push(q, 4, 0, 100);
    assert_true(readable(q));
    assert_int_equal(take(q), 2);
    assert_true(readable(q)); /* until the batch is done */
    assert_int_equal(take(q), 3);
    assert_int_equal(take(q), 4);
    assert_false(readable(q));
    (void)push(q, 5, 0, 100);
    queue_close(q);
    assert_true(readable(q));
    end(q);
}

static void a_batch_reader_is_woken_when_full(void **state)
{
    (void)state;
    struct queue *q = new_queue(QUEUE_ALL, 2, 0, 1000); /* by frames */
    (void)push(q, 1, K, 1);
    assert_false(readable(q));
    (void)push(q, 2, 0, 1);
    assert_true(readable(q));
    end(q);

    q = new_queue(QUEUE_ALL, 100, 250, 240); /* by a frame that had no room */
    (void)push(q, 1, K, 200);
    assert_false(readable(q));
    assert_int_equal(push(q, 2, 0, 100), QUEUE_DROPPED);
    assert_true(readable(q));
    end(q);

    q = new_queue(QUEUE_NEWEST, 100, 250, 1000); /* a batch that can never be complete */
    (void)push(q, 1, 0, 200);
    assert_false(readable(q));
    assert_int_equal(push(q, 2, 0, 100), QUEUE_DROPPED);
    assert_true(readable(q));
    end(q);
}

/* ---- waiting, closing, clearing ---- */

static void waiting_ends_as_it_says(void **state)
{
    (void)state;
    struct queue *q = new_queue(QUEUE_NEWEST, 3, 0, 0);
    struct stop *stop = stop_new();
    const struct frame *frame = NULL;
    int64_t before_us = clock_now_us();
    assert_int_equal(queue_wait(q, stop, 3000, &frame), -EAGAIN);
    assert_true(clock_now_us() - before_us >= 3000);
    assert_int_equal(queue_wait(q, stop, 0, &frame), -EAGAIN);
    stop_request(stop);
    assert_int_equal(queue_wait(q, stop, -1, &frame), -ECANCELED);
    assert_null(frame); /* untouched so far */
    (void)push(q, 1, 0, 1);
    assert_int_equal(queue_wait(q, stop, -1, &frame), 0); /* what is there comes first */
    assert_int_equal(frame->seq, 1);
    frame_unref(frame);
    stop_free(stop);
    end(q);
}

static void a_closed_queue_gives_what_it_has(void **state)
{
    (void)state;
    struct queue *q = new_queue(QUEUE_ALL, 10, 0, 0);
    const struct frame *frame;
    (void)push(q, 1, K, 1);
    (void)push(q, 2, 0, 1);
    assert_false(queue_closed(q));
    queue_close(q);
    queue_close(q);
    assert_true(queue_closed(q));
    assert_int_equal(push(q, 3, K, 1), QUEUE_DROPPED);
    check_stats(q, 2, 0, 0, 2, 2); /* what came after the end does not count */
    assert_int_equal(queue_wait(q, never, -1, &frame), 0);
    frame_unref(frame);
    assert_true(readable(q));
    assert_int_equal(take(q), 2);
    assert_true(readable(q)); /* for ever */
    assert_int_equal(queue_wait(q, never, -1, &frame), -EPIPE);
    assert_int_equal(take(q), 0);
    assert_true(readable(q));
    end(q);
}

static void clearing_begins_anew(void **state)
{
    (void)state;
    struct queue *q = new_queue(QUEUE_GOP, 10, 0, 0);
    (void)push(q, 1, K, 5);
    (void)push(q, 2, 0, 5);
    queue_clear(q);
    assert_int_equal(atomic_load(&live), 0);
    assert_false(readable(q));
    struct queue_stats s;
    queue_get_stats(q, &s);
    assert_int_equal(s.dropped, 0);
    assert_int_equal(s.frames + s.bytes, 0);
    assert_int_equal(push(q, 3, 0, 5), QUEUE_WANT_KEY);
    assert_int_equal(push(q, 4, K, 5), QUEUE_TAKEN);
    queue_close(q);
    queue_clear(q);
    assert_true(readable(q));
    end(q);
}

static void a_queue_lives_while_anyone_holds_it(void **state)
{
    (void)state;
    struct queue *q = new_queue(QUEUE_NEWEST, 3, 0, 0);
    assert_ptr_equal(queue_ref(q), q);
    queue_unref(q);
    (void)push(q, 1, 0, 1);
    end(q);
    queue_unref(NULL);
}

/* ---- memory ---- */

static void steady_state_allocates_nothing(void **state)
{
    (void)state;
    struct queue *q = new_queue(QUEUE_NEWEST, 100, 0, 0);
    const struct frame *frame = make(1, K, 1);
    unsigned long before = atomic_load(&heap_calls);
    for (int i = 0; i < 1000; i++) {
        for (int k = 0; k < 10; k++) {
            (void)queue_push(q, frame);
        }
        for (int k = 0; k < 10; k++) {
            frame_unref(queue_take(q));
        }
    }
    assert_int_equal(atomic_load(&heap_calls), before);
    frame_unref(frame);
    end(q);
}

static void without_memory_frames_are_dropped_and_counted(void **state)
{
    (void)state;
    static const enum queue_policy policies[] = { QUEUE_NEWEST, QUEUE_GOP, QUEUE_ALL };
    const struct frame *frame = make(1, K, 1);
    for (size_t p = 0; p < 3; p++) {
        const struct queue_limits limits = { policies[p], 20, 0, 0 };
        for (unsigned long n = 1; n <= 2; n++) {
            heap_fail_next(n);
            assert_null(queue_new(&limits));
        }
        struct queue *q = queue_new(&limits);
        uint64_t dropped = 0, taken = 0;
        for (int i = 0; i < 60; i++) { /* growing at 17, overflowing from 21 on: all fail */
            heap_fail_next(1);
            dropped += queue_push(q, frame) != QUEUE_TAKEN;
        }
        heap_fail_next(0);
        assert_true(dropped > 0);
        while (take(q) != 0) {
            taken++;
        }
        struct queue_stats s;
        queue_get_stats(q, &s);
        assert_int_equal(s.pushed, 60);
        assert_int_equal(s.taken, taken);
        assert_int_equal(s.dropped, 60 - taken);
        assert_int_equal(queue_push(q, frame), QUEUE_TAKEN); /* and it goes on */
        queue_unref(q);
    }
    frame_unref(frame);
    assert_int_equal(atomic_load(&live), 0);
}

static void without_fds_there_is_no_queue(void **state)
{
    (void)state;
    struct rlimit old, none;
    const struct queue_limits limits = { QUEUE_NEWEST, 3, 0, 0 };
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = old, none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct queue *q = queue_new(&limits);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_null(q);
}

/* ---- threads ---- */

#define PUSHERS 3
#define EACH    8000 /* frames of a pusher, at least */
#define ENOUGH  200 /* frames the taker must have seen: on a busy machine pushers go on until then */
#define APART   UINT64_C(1000000000000) /* numbers of one pusher from those of the next */

struct pusher {
    struct queue *q;
    uint64_t base, pushed;
    atomic_ulong *taken;
    atomic_uint *running;
    struct thread thread;
};

static void push_many(void *arg)
{
    struct pusher *p = arg;
    while (p->pushed < EACH || atomic_load(p->taken) < ENOUGH) {
        uint64_t i = ++p->pushed;
        (void)push(p->q, p->base + i, i % 10 == 1 ? K : 0, 1 + i % 7);
    }
    atomic_fetch_sub(p->running, 1);
}

struct taken {
    atomic_ulong count;
    uint64_t last[PUSHERS], gaps_without_key;
};

static void note(struct taken *t, const struct frame *frame)
{
    uint64_t *last = &t->last[frame->seq / APART];
    assert_true(frame->seq > *last);
    t->gaps_without_key += frame->seq != *last + 1 && !(frame->flags & K);
    *last = frame->seq;
    atomic_fetch_add(&t->count, 1);
    frame_unref(frame);
}

/* Pushers run and the taker takes, both for as long as it needs; in the end every frame is accounted
 * for. */
static void run_threads(enum queue_policy policy, size_t wake, int pushers, struct taken *t)
{
    struct queue *q = new_queue(policy, 50, 150, wake);
    struct pusher p[PUSHERS];
    atomic_uint running = (unsigned)pushers;
    const struct frame *frame;
    uint64_t pushed = 0;
    *t = (struct taken){ 0 };
    for (int i = 0; i < pushers; i++) {
        p[i] = (struct pusher){ .q = queue_ref(q), .taken = &t->count, .running = &running };
        t->last[i] = p[i].base = (uint64_t)i * APART;
        assert_int_equal(thread_start(&p[i].thread, "pusher", push_many, &p[i]), 0);
    }
    while (atomic_load(&running) > 0) {
        if (queue_wait(q, never, wake ? CLOCK_MS : 0, &frame) == 0) {
            note(t, frame);
        }
    }
    for (int i = 0; i < pushers; i++) {
        thread_join(&p[i].thread);
        pushed += p[i].pushed;
        queue_unref(p[i].q);
    }
    for (int left = 0; left < 10 && (frame = queue_take(q)) != NULL; left++) {
        note(t, frame);
    }
    struct queue_stats s;
    queue_get_stats(q, &s);
    assert_int_equal(s.pushed, pushed);
    assert_int_equal(s.taken, atomic_load(&t->count));
    assert_true(s.taken >= ENOUGH);
    assert_int_equal(s.pushed, s.taken + s.dropped + s.frames);
    end(q);
}

static void numbers_add_up_with_many_pushers(void **state)
{
    (void)state;
    static const enum queue_policy policies[] = { QUEUE_NEWEST, QUEUE_GOP, QUEUE_ALL };
    for (size_t i = 0; i < 3; i++) {
        struct taken t;
        run_threads(policies[i], i == 2 ? 40 : 0, PUSHERS, &t);
    }
}

/* With one pusher it can be seen that no reader is shown a stream with a hole before a key frame. */
static void after_a_hole_comes_a_key_frame(void **state)
{
    (void)state;
    struct taken t;
    run_threads(QUEUE_GOP, 0, 1, &t);
    assert_int_equal(t.gaps_without_key, 0);
    run_threads(QUEUE_ALL, 60, 1, &t);
    assert_int_equal(t.gaps_without_key, 0);
}

static void push_slowly(void *arg)
{
    struct pusher *p = arg;
    for (uint64_t i = 1; i <= EACH; i++) {
        struct queue_stats s;
        (void)push(p->q, i, K, 1);
        do { /* so that the reader goes to sleep as often as can be */
            queue_get_stats(p->q, &s);
        } while (s.frames > 1 && !queue_closed(p->q));
    }
    queue_close(p->q);
}

/* By the fd alone: queue_wait looks once more after its time-out and would hide a lost wake-up. */
static void a_push_always_wakes(void **state)
{
    (void)state;
    struct pusher p = { .q = new_queue(QUEUE_ALL, 4, 0, 0) };
    uint64_t want = 1;
    int woken = 0;
    assert_int_equal(thread_start(&p.thread, "pusher", push_slowly, &p), 0);
    while (want <= EACH && (woken = stop_poll(never, queue_fd(p.q), POLLIN, LONG_US)) > 0) {
        uint64_t seq = take(p.q);
        assert_true(seq == 0 || seq == want); /* 0: woken once too often is no harm */
        want += seq != 0;
    }
    if (woken <= 0) {
        queue_close(p.q); /* the pusher must not wait for us */
        while (take(p.q) != 0) {
        }
    }
    thread_join(&p.thread);
    assert_int_equal(woken, POLLIN);
    assert_int_equal(want, EACH + 1);
    assert_true(readable(p.q)); /* and the close */
    end(p.q);
}

static void push_one_and_close(void *arg)
{
    (void)push(arg, 1, K, 1);
    queue_close(arg);
}

/* The last frame before the end is never overlooked. */
static void the_last_frame_is_not_lost(void **state)
{
    (void)state;
    for (int round = 0; round < 1000; round++) {
        struct queue *q = new_queue(QUEUE_ALL, 4, 0, 0);
        struct thread thread;
        const struct frame *frame;
        int code;
        assert_int_equal(thread_start(&thread, "pusher", push_one_and_close, q), 0);
        do {
            code = queue_wait(q, never, 0, &frame);
        } while (code == -EAGAIN);
        assert_int_equal(code, 0);
        frame_unref(frame);
        assert_int_equal(queue_wait(q, never, LONG_US, &frame), -EPIPE);
        thread_join(&thread);
        end(q);
    }
}

static void clear_often(void *arg)
{
    for (int i = 0; i < 2000; i++) {
        queue_clear(arg);
    }
}

static void clearing_while_pushed_to(void **state)
{
    (void)state;
    atomic_ulong taken = ENOUGH; /* nobody takes here */
    atomic_uint running = 1;
    struct pusher p = { .q = new_queue(QUEUE_GOP, 50, 150, 0),
                        .taken = &taken,
                        .running = &running };
    struct thread clearer;
    assert_int_equal(thread_start(&p.thread, "pusher", push_many, &p), 0);
    assert_int_equal(thread_start(&clearer, "clearer", clear_often, p.q), 0);
    thread_join(&clearer);
    thread_join(&p.thread);
    const struct frame *frame = queue_take(p.q);
    assert_true(!frame || frame->flags & K); /* whatever is left begins with one */
    frame_unref(frame);
    end(p.q);
}

struct helper {
    struct queue *q;
    uint64_t taken;
    bool enough;
};

static bool help(void *arg)
{
    struct helper *h = arg;
    h->taken = take(h->q);
    return h->enough;
}

/* The fd only wakes the reader for what a helper has not done. */
static void a_pusher_helps(void **state)
{
    (void)state;
    struct helper h = { .q = new_queue(QUEUE_ALL, 4, 0, 0), .enough = true };
    queue_on_push(h.q, help, &h);
    assert_int_equal(push(h.q, 1, K, 1), QUEUE_TAKEN);
    assert_int_equal(h.taken, 1);
    assert_false(readable(h.q));
    h.enough = false;
    assert_int_equal(push(h.q, 2, K, 1), QUEUE_TAKEN);
    assert_int_equal(h.taken, 2);
    assert_true(readable(h.q)); /* although it is empty: there is something else to do */
    assert_int_equal(take(h.q), 0);
    assert_false(readable(h.q));
    queue_close(h.q);
    assert_true(readable(h.q));
    end(h.q);
}

static int open_token(void **state)
{
    (void)state;
    never = stop_new();
    return never ? 0 : -1;
}

static int close_token(void **state)
{
    (void)state;
    stop_free(never);
    return 0;
}

/* What a failed test left behind is not held against the next. */
static int begin(void **state)
{
    (void)state;
    atomic_store(&live, 0);
    heap_fail_next(0);
    return 0;
}

#define TEST(function) cmocka_unit_test_setup(function, begin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(newest_gives_in_order),
        TEST(newest_drops_the_oldest),
        TEST(newest_heeds_bytes),
        TEST(one_large_frame_replaces_many_small),
        TEST(a_queue_of_one_holds_the_newest),
        TEST(gop_begins_with_a_key_frame),
        TEST(gop_drops_everything_and_waits_for_a_key_frame),
        TEST(gop_takes_the_key_frame_that_overflows_it),
        TEST(gop_goes_on_after_the_reader_caught_up),
        TEST(all_keeps_what_it_has),
        TEST(all_heeds_bytes),
        TEST(the_fd_follows_the_queue),
        TEST(a_batch_reader_is_woken_late),
        TEST(a_batch_reader_is_woken_when_full),
        TEST(waiting_ends_as_it_says),
        TEST(a_closed_queue_gives_what_it_has),
        TEST(clearing_begins_anew),
        TEST(a_queue_lives_while_anyone_holds_it),
        TEST(steady_state_allocates_nothing),
        TEST(without_memory_frames_are_dropped_and_counted),
        TEST(without_fds_there_is_no_queue),
        TEST(numbers_add_up_with_many_pushers),
        TEST(after_a_hole_comes_a_key_frame),
        TEST(a_push_always_wakes),
        TEST(the_last_frame_is_not_lost),
        TEST(clearing_while_pushed_to),
        TEST(a_pusher_helps),
    };
    return cmocka_run_group_tests(tests, open_token, close_token);
}
