/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "clocksync.h"
#include "tally.h"

static void counts_nothing_lost(void **state)
{
    (void)state;
    struct tally t = { 0 };
    for (uint64_t seq = 1; seq <= 100; seq++) {
        assert_true(tally_frame(&t, seq, 0));
    }
    tally_end(&t, 101, 0);
    assert_int_equal(t.received, 100);
    assert_int_equal(tally_lost(&t), 0);
}

static void holes_are_lost_unless_never_sent(void **state)
{
    (void)state;
    struct tally t = { 0 };
    assert_true(tally_frame(&t, 10, 3)); /* what was before the first is not ours */
    assert_true(tally_frame(&t, 15, 5)); /* 11 … 14 missing, two of them never sent */
    assert_int_equal(tally_lost(&t), 2);
    tally_end(&t, 21, 6); /* 16 … 20 missing, one never sent */
    assert_int_equal(tally_lost(&t), 6);
    /* received + lost = what the sender sent from 10 to 20: 11 - 3 */
    assert_int_equal(t.received + tally_lost(&t), 8);
}

static void a_frame_counts_once(void **state)
{
    (void)state;
    struct tally t = { 0 };
    assert_true(tally_frame(&t, 1, 0));
    assert_true(tally_frame(&t, 2, 0));
    assert_false(tally_frame(&t, 1, 0));
    assert_false(tally_frame(&t, 2, 0));
    assert_true(tally_frame(&t, 3, 0));
    assert_int_equal(t.received, 3);
    assert_int_equal(t.again, 2);
    assert_int_equal(tally_lost(&t), 0);
}

static void skipped_counter_wraps(void **state)
{
    (void)state;
    struct tally t = { 0 };
    assert_true(tally_frame(&t, 1, UINT32_MAX - 1));
    assert_true(tally_frame(&t, 10, 3)); /* five were never sent */
    assert_int_equal(t.never_sent, 5);
    assert_int_equal(tally_lost(&t), 3);
}

static void a_liar_cannot_make_it_negative(void **state)
{
    (void)state;
    struct tally t = { 0 };
    assert_true(tally_frame(&t, 1, 0));
    assert_true(tally_frame(&t, 2, 1000000));
    assert_int_equal(tally_lost(&t), 0);
    tally_end(&t, 0, 0);
    assert_int_equal(t.newest, 2);
}

static void offset_of_a_symmetric_line(void **state)
{
    (void)state;
    struct clocksync c = { 0 };
    int64_t offset_us, error_us;
    assert_false(clocksync_offset(&c, &offset_us, &error_us));
    /* theirs = ours + 5000, 100 us each way, 10 us to answer */
    assert_true(clocksync_add(&c, 1000, 6100, 6110, 1210));
    assert_true(clocksync_offset(&c, &offset_us, &error_us));
    assert_int_equal(offset_us, 5000);
    assert_int_equal(error_us, 100);
}

static void the_shortest_round_trip_is_believed(void **state)
{
    (void)state;
    struct clocksync c = { 0 };
    int64_t offset_us, error_us;
    assert_true(clocksync_add(&c, 0, 50000, 50000, 10000)); /* 10 ms, all on one way: 45000 */
    assert_true(clocksync_add(&c, 20000, 60050, 60050, 20100));
    for (int i = 0; i < 5; i++) {
        assert_true(clocksync_add(&c, 30000, 99000, 99000, 70000));
    }
    assert_true(clocksync_offset(&c, &offset_us, &error_us));
    assert_int_equal(offset_us, 40000);
    assert_int_equal(error_us, 50);
    /* and forgotten once it is old: clocks drift */
    for (int i = 0; i < CLOCKSYNC_PROBES; i++) {
        assert_true(clocksync_add(&c, 100000, 141500, 141500, 101000));
    }
    assert_true(clocksync_offset(&c, &offset_us, &error_us));
    assert_int_equal(offset_us, 41000);
}

static void nonsense_probes_are_ignored(void **state)
{
    (void)state;
    struct clocksync c = { 0 };
    assert_false(clocksync_add(&c, 1000, 10, 20, 900));      /* came before it was sent */
    assert_false(clocksync_add(&c, 1000, 2000, 1000, 1500)); /* answered before it came */
    assert_false(clocksync_add(&c, 1000, 10, 5000, 1500));   /* answering took too long */
    assert_false(clocksync_add(&c, 0, INT64_MAX, INT64_MAX, 10));
    assert_false(clocksync_add(&c, 0, INT64_MIN, INT64_MAX, 10));
    assert_int_equal(c.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_nothing_lost),
        cmocka_unit_test(holes_are_lost_unless_never_sent),
        cmocka_unit_test(a_frame_counts_once),
        cmocka_unit_test(skipped_counter_wraps),
        cmocka_unit_test(a_liar_cannot_make_it_negative),
        cmocka_unit_test(offset_of_a_symmetric_line),
        cmocka_unit_test(the_shortest_round_trip_is_believed),
        cmocka_unit_test(nonsense_probes_are_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
