/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pcs/frame.h"
#include "sinks/tcp_guests.h"

#define S ((int64_t)1000000)

static uint8_t byte;

static void release(struct frame *frame)
{
    free(frame);
}

static bool add(struct guests *g, uint64_t seq, bool key)
{
    struct frame *frame = calloc(1, sizeof *frame);
    assert_non_null(frame);
    frame_init(frame, release, NULL);
    frame->seq = seq;
    frame->flags = key ? FRAME_KEY : 0;
    frame->data = &byte;
    frame->size = 1000;
    bool satisfied = guests_add(g, frame);
    frame_unref(frame);
    return satisfied;
}

static struct wire_welcome welcome(uint8_t id)
{
    struct wire_welcome w = { .version = WIRE_VERSION, .has_id = id > 0 };
    memset(w.id, id, sizeof w.id);
    return w;
}

/* Callers are only compared here. */
static struct caller *caller(int i)
{
    static char place[100];
    return (struct caller *)(void *)&place[i];
}

static struct guest *admit(struct guests *g, uint8_t id, int who, uint64_t last, int64_t now_us)
{
    struct err err = { 0 };
    const struct wire_welcome w = welcome(id);
    struct guest *guest = guests_admit(g, &w, last, now_us, &err);
    if (guest) {
        guest->caller = caller(who);
        guest->heard_us = now_us;
    } else {
        assert_int_equal(err.code, -EBUSY);
    }
    return guest;
}

static unsigned send_all(struct guest *guest)
{
    bool again;
    unsigned n = 0;
    for (; replay_peek(&guest->feed.replay, &again); n++) {
        replay_advance(&guest->feed.replay);
    }
    return n;
}

static void a_new_one_begins_with_the_next_key_frame(void **state)
{
    (void)state;
    struct guests g;
    struct sink_totals t = { 0 };
    uint64_t resent = 0;
    guests_init(&g, 10, 1 << 20);
    struct guest *guest = admit(&g, 1, 0, 100, 0);
    assert_false(add(&g, 101, false));
    assert_false(add(&g, 102, false));
    assert_true(add(&g, 103, true));
    assert_true(add(&g, 104, false));
    assert_int_equal(send_all(guest), 2);
    guests_add_totals(&g, &t, &resent);
    assert_int_equal(t.sent, 2);
    assert_int_equal(t.dropped, 0);
    guests_finish(&g);
}

static void a_frame_counts_once_however_many_get_it(void **state)
{
    (void)state;
    struct guests g;
    uint64_t sent, queued;
    guests_init(&g, 10, 1 << 20);
    struct guest *fast = admit(&g, 1, 0, 100, 0), *slow = admit(&g, 0, 1, 100, 0);
    (void)add(&g, 101, true);
    (void)add(&g, 102, false);
    guests_count(&g, &sent, &queued);
    assert_true(sent == 0 && queued == 2);
    assert_int_equal(send_all(fast), 2);
    guests_count(&g, &sent, &queued);
    assert_true(sent == 2 && queued == 0);
    (void)add(&g, 103, false);
    assert_int_equal(send_all(slow), 3);
    guests_leave(&g, slow, false, 0); /* and is forgotten */
    guests_count(&g, &sent, &queued);
    assert_true(sent == 3 && queued == 0);
    assert_int_equal(send_all(fast), 1);
    guests_count(&g, &sent, &queued);
    assert_true(sent == 3 && queued == 0);
    guests_finish(&g);
}

static void one_that_is_away_goes_on_where_it_was(void **state)
{
    (void)state;
    struct guests g;
    guests_init(&g, 10, 1 << 20);
    struct guest *guest = admit(&g, 1, 0, 0, 0);
    (void)add(&g, 1, true);
    (void)add(&g, 2, false);
    (void)send_all(guest);
    replay_ack(&guest->feed.replay, 1);
    guests_leave(&g, guest, false, S);
    assert_true(guests_waiting(&g));
    (void)add(&g, 3, false);
    assert_int_equal(guests_expire(&g, 30 * S), 61 * S);
    assert_ptr_equal(admit(&g, 1, 1, 3, 31 * S), guest);
    replay_rewind(&guest->feed.replay, 2, false);
    assert_int_equal(send_all(guest), 2);
    assert_int_equal(guest->connections, 2);
    guests_finish(&g);
}

static void one_that_sleeps_is_told_what_it_missed(void **state)
{
    (void)state;
    struct guests g;
    guests_init(&g, 10, 1 << 20);
    struct guest *guest = admit(&g, 1, 0, 0, 0);
    (void)add(&g, 1, true);
    (void)send_all(guest);
    replay_ack(&guest->feed.replay, 1);
    guests_leave(&g, guest, false, 0);
    (void)add(&g, 2, false);
    assert_true(guests_expire(&g, 61 * S) == INT64_MAX);
    assert_int_equal(guests_awake(&g), 0);
    assert_false(guests_waiting(&g));
    assert_int_equal(guest->feed.replay.count, 0);
    (void)add(&g, 3, true); /* not for it */
    assert_ptr_equal(admit(&g, 1, 1, 3, 62 * S), guest);
    assert_false(add(&g, 10, false));
    assert_true(add(&g, 11, true));
    bool again;
    const struct replay_entry *entry = replay_peek(&guest->feed.replay, &again);
    assert_int_equal(entry->frame->seq, 11);
    assert_int_equal(replay_skipped_before(&guest->feed.replay, entry), 9); /* 2 … 10 */
    guests_finish(&g);
}

static void who_cannot_be_recognised_is_forgotten(void **state)
{
    (void)state;
    struct guests g;
    struct sink_totals t = { 0 };
    uint64_t resent = 0;
    guests_init(&g, 10, 1 << 20);
    struct guest *stranger = admit(&g, 0, 0, 0, 0), *shy = admit(&g, 2, 1, 0, 0);
    (void)add(&g, 1, true);
    assert_int_equal(send_all(stranger) + send_all(shy), 2);
    guests_leave(&g, stranger, false, 0);
    assert_int_equal(g.count, 1);
    guests_leave(&g, shy, false, 0); /* it never confirmed anything */
    assert_int_equal(guests_awake(&g), 0);
    guests_add_totals(&g, &t, &resent);
    assert_int_equal(t.sent, 2);
    guests_finish(&g);
}

static void a_twin_is_somebody_else(void **state)
{
    (void)state;
    struct guests g;
    guests_init(&g, 10, 1 << 20);
    struct guest *first = admit(&g, 1, 0, 0, 0);
    struct guest *twin = admit(&g, 1, 1, 0, 2 * S);
    assert_ptr_not_equal(first, twin);
    twin->heard_us = 5 * S;
    /* the first has been silent for too long: its connection is dead, and this is it */
    const struct wire_welcome w = welcome(1);
    assert_ptr_equal(guests_admit(&g, &w, 0, 5 * S, NULL), first);
    assert_ptr_equal(first->caller, caller(0));
    guests_finish(&g);
}

static void places_are_limited(void **state)
{
    (void)state;
    struct guests g;
    guests_init(&g, 2, 1 << 20);
    struct guest *a = admit(&g, 1, 0, 0, 0), *b = admit(&g, 2, 1, 0, 0);
    assert_null(admit(&g, 3, 2, 0, 0));
    (void)add(&g, 1, true);
    (void)send_all(a);
    (void)send_all(b);
    replay_ack(&a->feed.replay, 1);
    replay_ack(&b->feed.replay, 1);
    guests_leave(&g, a, false, S);
    assert_int_equal(guests_awake(&g), 2);
    assert_non_null(admit(&g, 3, 2, 1, 2 * S)); /* who is away makes room */
    assert_true(a->asleep);
    assert_int_equal(guests_here(&g), 2);
    guests_leave(&g, b, false, 3 * S);
    for (uint8_t i = 4; i < 255; i++) {
        for (int k = 0; k < 3; k++) {
            struct wire_welcome w = welcome(i);
            w.id[0] = (uint8_t)k;
            struct guest *guest = guests_admit(&g, &w, 1, i * S, NULL);
            assert_non_null(guest);
            guest->caller = caller(5);
            guests_leave(&g, guest, false, i * S);
        }
    }
    assert_true(g.count <= 2 + 256);
    guests_finish(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_one_begins_with_the_next_key_frame),
        cmocka_unit_test(a_frame_counts_once_however_many_get_it),
        cmocka_unit_test(one_that_is_away_goes_on_where_it_was),
        cmocka_unit_test(one_that_sleeps_is_told_what_it_missed),
        cmocka_unit_test(who_cannot_be_recognised_is_forgotten),
        cmocka_unit_test(a_twin_is_somebody_else),
        cmocka_unit_test(places_are_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
