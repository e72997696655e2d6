/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include "heap_watch.h"
#include "pcs/frame.h"
#include "pcs/hub.h"
#include "pcs/queue.h"
#include "pcs/thread.h"

static atomic_int live; /* frames not yet released */

static void release(struct frame *frame)
{
    atomic_fetch_sub(&live, 1);
    free(frame);
}

static const struct frame *make(uint64_t seq, unsigned flags, enum format_id id)
{
    struct frame *frame = malloc(sizeof *frame);
    atomic_fetch_add(&live, 1);
    frame_init(frame, release, NULL);
    frame->format.id = id;
    frame->seq = seq;
    frame->flags = flags;
    frame->size = 1;
    return frame;
}

static void publish(struct hub *hub, uint64_t seq, unsigned flags)
{
    const struct frame *frame = make(seq, flags, FORMAT_H264);
    hub_publish(hub, frame);
    frame_unref(frame);
}

static struct queue *new_queue(enum queue_policy policy, size_t frames)
{
    const struct queue_limits limits = { .policy = policy, .max_frames = frames };
    struct queue *q = queue_new(&limits);
    assert_non_null(q);
    return q;
}

static uint64_t take(struct queue *q)
{
    const struct frame *frame = queue_take(q);
    uint64_t seq = frame ? frame->seq : 0;
    frame_unref(frame);
    return seq;
}

static uint64_t key_of(struct hub *hub)
{
    const struct frame *key = hub_ref_key(hub);
    uint64_t seq = key ? key->seq : 0;
    frame_unref(key);
    return seq;
}

static atomic_int changes;

static void count_change(void *arg)
{
    (void)arg;
    atomic_fetch_add(&changes, 1);
}

static struct hub *new_hub(void)
{
    struct hub *hub = hub_new();
    assert_non_null(hub);
    atomic_store(&changes, 0);
    hub_on_demand(hub, count_change, NULL);
    return hub;
}

static void end(struct hub *hub)
{
    hub_free(hub);
    assert_int_equal(atomic_load(&live), 0);
}

static void every_subscriber_gets_every_frame(void **state)
{
    (void)state;
    struct hub *hub = new_hub();
    struct queue *a = new_queue(QUEUE_ALL, 10), *b = new_queue(QUEUE_NEWEST, 10);
    publish(hub, 1, FRAME_KEY); /* to nobody */
    assert_int_equal(hub_subscribe(hub, a), 0);
    publish(hub, 2, FRAME_KEY);
    assert_int_equal(hub_subscribe(hub, b), 0);
    publish(hub, 3, 0);
    hub_unsubscribe(hub, a);
    publish(hub, 4, 0);
    assert_int_equal(hub_published(hub), 4);
    assert_int_equal(take(a), 2);
    assert_int_equal(take(a), 3);
    assert_int_equal(take(a), 0);
    assert_int_equal(take(b), 3);
    assert_int_equal(take(b), 4);
    assert_int_equal(take(b), 0);
    hub_unsubscribe(hub, b);
    queue_unref(a);
    queue_unref(b);
    end(hub);
    hub_free(NULL);
}

static void demand_is_told_exactly_when_it_changes(void **state)
{
    (void)state;
    struct hub *hub = new_hub();
    struct queue *a = new_queue(QUEUE_NEWEST, 1), *b = new_queue(QUEUE_NEWEST, 1);
    assert_false(hub_wanted(hub));
    hub_unsubscribe(hub, a); /* who never came cannot leave */
    assert_int_equal(atomic_load(&changes), 0);
    (void)hub_subscribe(hub, a);
    assert_true(hub_wanted(hub));
    assert_int_equal(atomic_load(&changes), 1);
    (void)hub_subscribe(hub, b);
    assert_int_equal(atomic_load(&changes), 1);
    hub_unsubscribe(hub, a);
    assert_true(hub_wanted(hub));
    assert_int_equal(atomic_load(&changes), 1);
    hub_unsubscribe(hub, b);
    assert_false(hub_wanted(hub));
    assert_int_equal(atomic_load(&changes), 2);
    queue_unref(a);
    queue_unref(b);
    end(hub);
}

static void a_key_frame_is_asked_for_once(void **state)
{
    (void)state;
    struct hub *hub = new_hub();
    struct queue *q = new_queue(QUEUE_GOP, 2);
    assert_false(hub_take_key_request(hub));
    (void)hub_subscribe(hub, q); /* whoever comes needs one */
    assert_true(hub_take_key_request(hub));
    assert_false(hub_take_key_request(hub));
    publish(hub, 1, FRAME_KEY);
    publish(hub, 2, 0);
    assert_false(hub_take_key_request(hub));
    publish(hub, 3, 0); /* overflows */
    assert_true(hub_take_key_request(hub));
    hub_request_key(hub);
    hub_request_key(hub);
    assert_true(hub_take_key_request(hub));
    assert_false(hub_take_key_request(hub));
    hub_unsubscribe(hub, q);
    queue_unref(q);
    end(hub);
}

static void the_newest_key_frame_is_kept(void **state)
{
    (void)state;
    struct hub *hub = new_hub();
    assert_null(hub_ref_key(hub));
    publish(hub, 1, 0);
    assert_null(hub_ref_key(hub));
    publish(hub, 2, FRAME_KEY);
    publish(hub, 3, 0);
    assert_int_equal(key_of(hub), 2);
    publish(hub, 4, FRAME_KEY);
    assert_int_equal(key_of(hub), 4);
    assert_int_equal(atomic_load(&live), 1);
    hub_end(hub);
    assert_int_equal(key_of(hub), 4);
    end(hub);
}

/* It is a driver's buffer, and the driver wants it back. */
static void a_raw_picture_is_not_kept(void **state)
{
    (void)state;
    struct hub *hub = new_hub();
    const struct frame *frame = make(1, FRAME_KEY, FORMAT_YUYV);
    hub_publish(hub, frame);
    frame_unref(frame);
    assert_int_equal(atomic_load(&live), 0);
    assert_null(hub_ref_key(hub));
    end(hub);
}

/* … and so does a camera that compresses itself. */
static void a_drivers_buffer_is_not_kept(void **state)
{
    (void)state;
    struct hub *hub = new_hub();
    const struct frame *frame = make(1, FRAME_KEY | FRAME_DRIVER, FORMAT_JPEG);
    hub_publish(hub, frame);
    frame_unref(frame);
    assert_int_equal(atomic_load(&live), 0);
    end(hub);
}

/* One turn of a producer: was it taken, and as what? */
static bool turn(struct hub *hub, unsigned flags, int64_t capture_us, int64_t in_hand_us,
                 struct frame *out)
{
    struct frame *frame = (struct frame *)make(0, flags, FORMAT_H264);
    frame->capture_us = capture_us;
    frame->stage_us[STAGE_DEQUEUED] = in_hand_us;
    bool taken = hub_publish_next(hub, frame);
    *out = *frame;
    frame_unref(frame);
    return taken;
}

static void producers_take_turns(void **state)
{
    (void)state;
    struct hub *hub = new_hub();
    struct frame f;
    assert_true(turn(hub, 0, 100, 110, &f));
    assert_true(turn(hub, FRAME_STANDBY, 500, 500, &f));
    assert_int_equal(f.seq, 2);
    /* The camera is back. Its picture began before the last stand-in; time goes on all the same. */
    assert_true(turn(hub, 0, 490, 520, &f));
    assert_int_equal(f.seq, 3);
    assert_int_equal(f.capture_us, 501);
    /* A stand-in that was still being encoded is stale, though its time is the later one. */
    assert_false(turn(hub, FRAME_STANDBY, 510, 510, &f));
    assert_int_equal(hub_published(hub), 3);
    assert_true(turn(hub, 0, 540, 550, &f));
    assert_int_equal(f.seq, 4);
    assert_int_equal(f.capture_us, 540);
    end(hub);
}

static void the_end_reaches_everyone(void **state)
{
    (void)state;
    struct hub *hub = new_hub();
    struct queue *early = new_queue(QUEUE_ALL, 4), *late = new_queue(QUEUE_ALL, 4);
    (void)hub_subscribe(hub, early);
    publish(hub, 1, FRAME_KEY);
    hub_end(hub);
    assert_true(queue_closed(early));
    assert_int_equal(take(early), 1);
    assert_int_equal(hub_subscribe(hub, late), 0);
    assert_true(queue_closed(late));
    hub_unsubscribe(hub, early);
    hub_unsubscribe(hub, late);
    assert_false(hub_wanted(hub));
    queue_unref(early);
    queue_unref(late);
    end(hub);
}

static void publishing_allocates_nothing(void **state)
{
    (void)state;
    struct hub *hub = new_hub();
    struct queue *q[5];
    const struct frame *frame = make(1, FRAME_KEY, FORMAT_H264);
    for (int i = 0; i < 5; i++) {
        q[i] = new_queue(QUEUE_NEWEST, 10);
        (void)hub_subscribe(hub, q[i]);
    }
    unsigned long before = atomic_load(&heap_calls);
    for (int i = 0; i < 1000; i++) {
        hub_publish(hub, frame);
    }
    assert_int_equal(atomic_load(&heap_calls), before);
    for (int i = 0; i < 5; i++) {
        hub_unsubscribe(hub, q[i]);
        queue_unref(q[i]);
    }
    frame_unref(frame);
    end(hub);
}

static void without_memory_nothing_changes(void **state)
{
    (void)state;
    struct hub *hub = new_hub();
    struct queue *a = new_queue(QUEUE_NEWEST, 4), *b = new_queue(QUEUE_NEWEST, 4);
    heap_fail_next(1);
    assert_int_equal(hub_subscribe(hub, a), -ENOMEM);
    assert_false(hub_wanted(hub));
    assert_int_equal(atomic_load(&changes), 0);
    heap_fail_next(1);
    assert_null(hub_new());
    (void)hub_subscribe(hub, a);
    (void)hub_subscribe(hub, b);
    heap_fail_next(1);
    hub_unsubscribe(hub, a); /* cannot fail: its queue takes nothing any more */
    publish(hub, 1, FRAME_KEY);
    assert_int_equal(take(a), 0);
    assert_int_equal(take(b), 1);
    hub_unsubscribe(hub, a);
    hub_unsubscribe(hub, b);
    assert_false(hub_wanted(hub));
    queue_unref(a);
    queue_unref(b);
    end(hub);
}

/* ---- threads ---- */

#define FRAMES 6000

struct visitor {
    struct hub *hub;
    atomic_bool *over;
    struct thread thread;
    unsigned visits;
};

/* Comes, looks, goes, again and again; what it sees is in order. */
static void visit(void *arg)
{
    struct visitor *v = arg;
    do {
        const struct queue_limits limits = { .policy = QUEUE_GOP, .max_frames = 8 };
        struct queue *q = queue_new(&limits);
        uint64_t last = 0, seq;
        if (hub_subscribe(v->hub, q) != 0) {
            abort();
        }
        for (int i = 0; i < 20; i++) {
            if ((seq = take(q)) != 0) {
                if (seq <= last) {
                    abort();
                }
                last = seq;
            }
            (void)key_of(v->hub);
        }
        hub_unsubscribe(v->hub, q);
        queue_unref(q); /* a push in flight may still hold it */
        v->visits++;
    } while (!atomic_load(v->over));
}

static void publish_many(void *arg)
{
    for (uint64_t seq = 1; seq <= FRAMES; seq++) {
        publish(arg, seq, seq % 5 == 1 ? FRAME_KEY : 0);
        (void)hub_take_key_request(arg);
    }
}

static void start_visitors(struct visitor *v, int n, struct hub *hub, atomic_bool *over)
{
    for (int i = 0; i < n; i++) {
        v[i] = (struct visitor){ .hub = hub, .over = over };
        assert_int_equal(thread_start(&v[i].thread, "visitor", visit, &v[i]), 0);
    }
}

static void join_visitors(struct visitor *v, int n, atomic_bool *over)
{
    atomic_store(over, true);
    for (int i = 0; i < n; i++) {
        thread_join(&v[i].thread);
        assert_true(v[i].visits > 0);
    }
}

static void visitors_disturb_nobody(void **state)
{
    (void)state;
    struct hub *hub = new_hub();
    struct queue *resident = new_queue(QUEUE_ALL, FRAMES);
    struct visitor visitors[3];
    atomic_bool over = false;
    struct thread publisher;
    (void)hub_subscribe(hub, resident);
    start_visitors(visitors, 3, hub, &over);
    assert_int_equal(thread_start(&publisher, "publisher", publish_many, hub), 0);
    thread_join(&publisher);
    join_visitors(visitors, 3, &over);
    for (uint64_t seq = 1; seq <= FRAMES; seq++) {
        assert_int_equal(take(resident), seq);
    }
    assert_int_equal(atomic_load(&changes), 1); /* it was wanted all the time */
    hub_unsubscribe(hub, resident);
    queue_unref(resident);
    end(hub);
}

struct observer {
    struct hub *hub;
    atomic_bool wanted; /* as told last */
};

static void follow_demand(void *arg)
{
    struct observer *o = arg;
    atomic_store(&o->wanted, hub_wanted(o->hub));
    atomic_fetch_add(&changes, 1);
}

static void demand_comes_and_goes_in_pairs(void **state)
{
    (void)state;
    struct observer o = { .hub = hub_new() };
    struct visitor visitors[2];
    atomic_bool over = false;
    struct thread publisher;
    atomic_store(&changes, 0);
    hub_on_demand(o.hub, follow_demand, &o);
    start_visitors(visitors, 2, o.hub, &over);
    assert_int_equal(thread_start(&publisher, "publisher", publish_many, o.hub), 0);
    thread_join(&publisher);
    join_visitors(visitors, 2, &over);
    int n = atomic_load(&changes);
    assert_true(n >= 2 && n % 2 == 0);
    assert_true((unsigned)n <= 2 * (visitors[0].visits + visitors[1].visits));
    assert_false(hub_wanted(o.hub));
    end(o.hub);
}

static void end_hub(void *arg)
{
    hub_end(arg);
}

static void nobody_waits_for_a_hub_that_ended(void **state)
{
    (void)state;
    for (int round = 0; round < 500; round++) {
        struct hub *hub = new_hub();
        struct queue *q = new_queue(QUEUE_ALL, 4);
        struct thread thread;
        assert_int_equal(thread_start(&thread, "ender", end_hub, hub), 0);
        (void)hub_subscribe(hub, q); /* before or after: it is closed */
        thread_join(&thread);
        assert_true(queue_closed(q));
        hub_unsubscribe(hub, q);
        queue_unref(q);
        end(hub);
    }
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
        TEST(every_subscriber_gets_every_frame),
        TEST(demand_is_told_exactly_when_it_changes),
        TEST(a_key_frame_is_asked_for_once),
        TEST(the_newest_key_frame_is_kept),
        TEST(a_raw_picture_is_not_kept),
        TEST(a_drivers_buffer_is_not_kept),
        TEST(producers_take_turns),
        TEST(the_end_reaches_everyone),
        TEST(publishing_allocates_nothing),
        TEST(without_memory_nothing_changes),
        TEST(visitors_disturb_nobody),
        TEST(demand_comes_and_goes_in_pairs),
        TEST(nobody_waits_for_a_hub_that_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
