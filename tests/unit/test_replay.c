/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pcs/frame.h"
#include "pcs/pool.h"
#include "pcs/wire.h"
#include "sinks/replay.h"

#define GOP   5
#define BYTES 1000

struct fixture {
    struct pool *pool;
    struct replay replay;
};

static int setup(void **state)
{
    static struct fixture f;
    f.pool = pool_new(1 << 20);
    replay_init(&f.replay, 20 * BYTES);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    replay_finish(&f->replay);
    pool_free(f->pool);
    return 0;
}

/* Frame `seq`; every GOP-th from 1 on is a key frame; captured at seq milliseconds. */
static bool add(struct fixture *f, uint64_t seq)
{
    struct frame *frame = pool_get(f->pool, BYTES);
    frame->size = BYTES;
    frame->seq = seq;
    frame->capture_us = (int64_t)seq * 1000;
    frame->flags = seq % GOP == 1 ? FRAME_KEY : 0;
    bool taken = replay_add(&f->replay, frame);
    frame_unref(frame);
    return taken;
}

static void add_range(struct fixture *f, uint64_t from, uint64_t to)
{
    for (uint64_t seq = from; seq <= to; seq++) {
        assert_true(add(f, seq));
    }
}

/* Send everything that is due; returns the number of the first and counts what was sent before. */
static uint64_t send_all(struct fixture *f, size_t *again_count)
{
    const struct replay_entry *e;
    uint64_t first = 0;
    bool again;
    *again_count = 0;
    while ((e = replay_peek(&f->replay, &again)) != NULL) {
        first = first ? first : e->frame->seq;
        *again_count += again;
        replay_advance(&f->replay);
    }
    return first;
}

static void sends_in_order_once(void **state)
{
    struct fixture *f = *state;
    size_t again;
    add_range(f, 1, 12);
    assert_int_equal(send_all(f, &again), 1);
    assert_int_equal(again, 0);
    assert_int_equal(f->replay.sent, 12);
    assert_int_equal(f->replay.sent_bytes, 12 * BYTES);
    assert_int_equal(replay_unsent(&f->replay), 0);
}

static void begins_with_a_key_frame(void **state)
{
    struct fixture *f = *state;
    assert_false(add(f, 1 + 1)); /* 1 never came, 2 is no key frame */
    assert_int_equal(replay_skipped(&f->replay), 2);
    assert_true(add(f, 6) || true);
    assert_int_equal(replay_first_seq(&f->replay), 6);
    assert_int_equal(replay_skipped(&f->replay), 5);
}

static void ack_keeps_what_a_new_file_needs(void **state)
{
    struct fixture *f = *state;
    size_t again;
    add_range(f, 1, 12);
    (void)send_all(f, &again);
    replay_ack(&f->replay, 8); /* 9 is next: its group began at 6 */
    assert_int_equal(replay_first_seq(&f->replay), 6);
    assert_int_equal(f->replay.acked, 8);
    replay_ack(&f->replay, 10); /* 11 is a key frame itself */
    assert_int_equal(replay_first_seq(&f->replay), 11);
    replay_ack(&f->replay, 12);
    assert_int_equal(replay_first_seq(&f->replay), 11);
    assert_int_equal(f->replay.acked, 12);
}

static void what_was_before_the_beginning_is_no_loss(void **state)
{
    struct fixture *f = *state;
    size_t again;
    replay_begin(&f->replay, 100);
    add_range(f, 101, 112);
    (void)send_all(f, &again);
    replay_ack(&f->replay, 105);
    assert_int_equal(f->replay.acked, 5);
    assert_int_equal(replay_after(&f->replay, 110), 2);
    replay_ack(&f->replay, 112);
    assert_int_equal(f->replay.acked, 12);
    assert_int_equal(replay_skipped(&f->replay), 0);
}

static void nonsense_acks_are_ignored(void **state)
{
    struct fixture *f = *state;
    size_t again;
    add_range(f, 1, 6);
    replay_ack(&f->replay, 3); /* never sent */
    assert_int_equal(f->replay.acked, 0);
    (void)send_all(f, &again);
    replay_ack(&f->replay, 1000);
    replay_ack(&f->replay, UINT64_MAX);
    assert_int_equal(f->replay.acked, 0);
    assert_int_equal(replay_first_seq(&f->replay), 1);
}

static void full_buffer_drops_whole_groups(void **state)
{
    struct fixture *f = *state;
    add_range(f, 1, 20);
    assert_int_equal(replay_skipped(&f->replay), 0);
    assert_true(add(f, 21));
    assert_int_equal(replay_first_seq(&f->replay), 6);
    assert_int_equal(replay_skipped(&f->replay), 5);
    size_t again;
    assert_int_equal(send_all(f, &again), 6);
    assert_int_equal(f->replay.sent, 16);
    /* sent + never sent = all there ever were */
    assert_int_equal(f->replay.sent + replay_skipped(&f->replay), 21);
}

static void skipped_counts_what_came_before(void **state)
{
    struct fixture *f = *state;
    size_t again_count;
    bool again;
    add_range(f, 1, 8);
    (void)send_all(f, &again_count);
    add_range(f, 9, 20);
    assert_true(add(f, 26)); /* 21 … 25 were lost before they came here; 1 … 5 leave, sent */
    const struct replay_entry *e = replay_peek(&f->replay, &again);
    assert_int_equal(e->frame->seq, 9);
    assert_int_equal(replay_skipped_before(&f->replay, e), 0);
    add_range(f, 27, 31); /* 6 … 10 have to go, of which 6 … 8 were sent */
    e = replay_peek(&f->replay, &again);
    assert_int_equal(e->frame->seq, 11);
    assert_int_equal(replay_skipped_before(&f->replay, e), 2);
    while (e && e->frame->seq < 26) {
        replay_advance(&f->replay);
        e = replay_peek(&f->replay, &again);
    }
    assert_non_null(e);
    assert_int_equal(replay_skipped_before(&f->replay, e), 7);
}

static void one_group_larger_than_the_buffer(void **state)
{
    struct fixture *f = *state;
    replay_finish(&f->replay);
    replay_init(&f->replay, 3 * BYTES);
    add_range(f, 1, 3);
    assert_false(add(f, 4)); /* no room without the key frame: all goes, a key frame is wanted */
    assert_false(add(f, 5));
    assert_true(add(f, 6));
    assert_int_equal(replay_first_seq(&f->replay), 6);
    assert_int_equal(replay_skipped(&f->replay), 5);
}

static void rewind_goes_where_it_is_told(void **state)
{
    struct fixture *f = *state;
    size_t again;
    add_range(f, 1, 14);
    (void)send_all(f, &again);
    replay_rewind(&f->replay, 9, false);
    assert_int_equal(send_all(f, &again), 9);
    assert_int_equal(again, 6);
    replay_rewind(&f->replay, 9, true);
    assert_int_equal(send_all(f, &again), 6);
    replay_rewind(&f->replay, 0, true);
    assert_int_equal(send_all(f, &again), 1);
    replay_rewind(&f->replay, 15, false); /* all of it is there already */
    assert_int_equal(send_all(f, &again), 0);
    replay_rewind(&f->replay, 15, true); /* … but a new file begins */
    assert_int_equal(send_all(f, &again), 11);
    replay_rewind(&f->replay, UINT64_MAX, false);
    assert_int_equal(send_all(f, &again), 0);
    assert_int_equal(f->replay.sent, 14);
}

static void rewind_before_the_buffer(void **state)
{
    struct fixture *f = *state;
    size_t again;
    add_range(f, 1, 14);
    (void)send_all(f, &again);
    replay_ack(&f->replay, 12);
    replay_rewind(&f->replay, 3, false);
    assert_int_equal(send_all(f, &again), 11);
}

static void live_skips_to_the_newest_key_frame(void **state)
{
    struct fixture *f = *state;
    add_range(f, 1, 18);
    assert_true(replay_skip_late(&f->replay, 1000)); /* nothing is late */
    assert_true(replay_skip_late(&f->replay, 10 * 1000));
    bool again;
    assert_int_equal(replay_peek(&f->replay, &again)->frame->seq, 16);
    assert_int_equal(replay_skipped(&f->replay), 15);
    replay_advance(&f->replay);
    /* 17 is late and no key frame is behind it */
    assert_false(replay_skip_late(&f->replay, 30 * 1000));
    assert_null(replay_peek(&f->replay, &again));
    assert_false(add(f, 19));
    add_range(f, 21, 22); /* 20 was lost on the way: a hole */
    assert_int_equal(replay_skipped(&f->replay), 15 + 2 + 2);
    (void)send_all(f, &(size_t){ 0 });
    assert_int_equal(f->replay.sent + replay_skipped(&f->replay), 22);
}

static void confirmed_never_counts_what_is_gone(void **state)
{
    struct fixture *f = *state;
    size_t again;
    add_range(f, 1, 20);
    (void)send_all(f, &again);
    assert_true(add(f, 21));            /* 1 … 5 leave, sent but not confirmed … */
    replay_rewind(&f->replay, 0, true); /* … and whoever had them is dead */
    (void)send_all(f, &again);
    replay_ack(&f->replay, 21);
    assert_int_equal(f->replay.acked, 16);
}

static void confirmed_never_counts_what_came_too_late(void **state)
{
    struct fixture *f = *state;
    size_t again;
    add_range(f, 1, 20);
    (void)send_all(f, &again);
    replay_ack(&f->replay, 2);
    assert_true(add(f, 21));              /* 3, 4 and 5 leave, sent but not confirmed */
    replay_rewind(&f->replay, 4, true);   /* 3 is there, 4 and 5 are wanted again: too late */
    replay_rewind(&f->replay, 4, true);   /* asked twice, counted once */
    replay_rewind(&f->replay, 21, false); /* a new line loses nothing more */
    (void)send_all(f, &again);
    replay_ack(&f->replay, 20);
    assert_int_equal(f->replay.acked, 18);
    replay_ack(&f->replay, 21);
    assert_int_equal(f->replay.acked, 19);
}

static void confirmed_counts_what_has_left_the_buffer(void **state)
{
    struct fixture *f = *state;
    size_t again;
    add_range(f, 1, 20);
    (void)send_all(f, &again);
    f->replay.max_bytes = BYTES;
    assert_false(add(f, 22)); /* 21 never came: a key frame is needed, and nothing is left here */
    replay_ack(&f->replay, 20);
    assert_int_equal(f->replay.acked, 20);
}

static void a_number_never_sent_skips_nothing(void **state)
{
    struct fixture *f = *state;
    size_t again;
    add_range(f, 1, 12);
    replay_rewind(&f->replay, 9, false);
    assert_int_equal(send_all(f, &again), 1);
    add_range(f, 13, 14);
    replay_rewind(&f->replay, WIRE_SEQ_MAX, false);
    assert_int_equal(send_all(f, &again), 13);
    assert_int_equal(f->replay.sent, 14);
}

static void what_never_came_at_the_end_is_counted(void **state)
{
    struct fixture *f = *state;
    size_t again;
    add_range(f, 1, 12);
    (void)send_all(f, &again);
    replay_end(&f->replay, 12);
    assert_int_equal(replay_skipped(&f->replay), 0);
    replay_end(&f->replay, 15);
    assert_int_equal(f->replay.last_seq, 15);
    assert_int_equal(f->replay.sent + replay_skipped(&f->replay), 15);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(sends_in_order_once),
        TEST(begins_with_a_key_frame),
        TEST(ack_keeps_what_a_new_file_needs),
        TEST(what_was_before_the_beginning_is_no_loss),
        TEST(nonsense_acks_are_ignored),
        TEST(full_buffer_drops_whole_groups),
        TEST(skipped_counts_what_came_before),
        TEST(one_group_larger_than_the_buffer),
        TEST(rewind_goes_where_it_is_told),
        TEST(rewind_before_the_buffer),
        TEST(live_skips_to_the_newest_key_frame),
        TEST(confirmed_never_counts_what_is_gone),
        TEST(confirmed_never_counts_what_came_too_late),
        TEST(confirmed_counts_what_has_left_the_buffer),
        TEST(a_number_never_sent_skips_nothing),
        TEST(what_never_came_at_the_end_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
