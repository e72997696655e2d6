/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "pcs/backoff.h"

#define FIRST 200000
#define MAX   10000000

static void doubles_up_to_the_maximum(void **state)
{
    (void)state;
    static const int64_t want_us[] = { 200000,  400000,   800000,   1600000, 3200000,
                                       6400000, 10000000, 10000000, 10000000 };
    struct backoff b = { .first_us = FIRST, .max_us = MAX };
    for (size_t i = 0; i < sizeof want_us / sizeof want_us[0]; i++) {
        assert_int_equal(backoff_next(&b, UINT32_C(1) << 31), want_us[i]); /* the middle */
    }
}

static void spreads_by_a_fifth(void **state)
{
    (void)state;
    struct backoff low = { .first_us = FIRST, .max_us = MAX }, high = low;
    int64_t step_us = FIRST;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(backoff_next(&low, 0), step_us - step_us / 5);
        assert_in_range(backoff_next(&high, UINT32_MAX), step_us + step_us / 5 - 1,
                        step_us + step_us / 5);
        step_us = step_us * 2 < MAX ? step_us * 2 : MAX;
    }
}

static void begins_anew_after_reset(void **state)
{
    (void)state;
    struct backoff b = { .first_us = FIRST, .max_us = MAX };
    for (int i = 0; i < 5; i++) {
        (void)backoff_next(&b, 0);
    }
    backoff_reset(&b);
    assert_int_equal(backoff_next(&b, UINT32_C(1) << 31), FIRST);
}

static void a_first_step_beyond_the_maximum_is_cut(void **state)
{
    (void)state;
    struct backoff b = { .first_us = 5 * MAX, .max_us = MAX };
    assert_int_equal(backoff_next(&b, UINT32_C(1) << 31), MAX);
}

static void random_is_random(void **state)
{
    (void)state;
    uint8_t bytes[256] = { 0 };
    int seen[256] = { 0 }, different = 0;
    random_bytes(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        different += seen[bytes[i]]++ == 0;
    }
    assert_true(different > 100); /* 162 are expected; below 100 once in far more than 2^64 runs */
    assert_true(random_u32() != random_u32() || random_u32() != random_u32());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_up_to_the_maximum),
        cmocka_unit_test(spreads_by_a_fifth),
        cmocka_unit_test(begins_anew_after_reset),
        cmocka_unit_test(a_first_step_beyond_the_maximum_is_cut),
        cmocka_unit_test(random_is_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
