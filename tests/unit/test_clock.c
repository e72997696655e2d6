/* SPDX-License-Identifier: MIT */
/* Wall times that do not jitter, and follow a clock that is set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "pcs/clock.h"

#define HOUR_US (3600 * CLOCK_S)

/* One look, `late_us` of it between the readings before and after, `at_us` before the wall clock's. */
static void look(struct wall_clock *w, int64_t now_us, int64_t at_us, int64_t late_us,
                 int64_t wall_offset_us)
{
    wall_clock_look(w, now_us, now_us + at_us + wall_offset_us, now_us + late_us);
}

static void held_up_between_the_readings(void **state)
{
    struct wall_clock w = { 0 };
    (void)state;
    look(&w, 1000, 0, 0, HOUR_US);
    assert_int_equal(w.offset_us, HOUR_US);
    look(&w, 2000, 1, 2, HOUR_US);
    look(&w, 3000, 0, 80000, HOUR_US);     /* before, */
    look(&w, 4000, 80000, 80000, HOUR_US); /* or behind the wall clock's */
    assert_int_equal(w.offset_us, HOUR_US);
}

static void a_first_look_may_be_wrong(void **state)
{
    struct wall_clock w = { 0 };
    (void)state;
    look(&w, 1000, 0, 80000, HOUR_US);
    assert_true(llabs(w.offset_us - HOUR_US) <= 40000);
    look(&w, 100000, 1, 2, HOUR_US);
    assert_int_equal(w.offset_us, HOUR_US);
}

static void the_clock_is_set(void **state)
{
    struct wall_clock w = { 0 };
    (void)state;
    look(&w, 1000, 0, 0, 2 * HOUR_US);
    look(&w, 2000, 0, 0, HOUR_US); /* back */
    assert_int_equal(w.offset_us, HOUR_US);
    look(&w, 3000, 0, 100, HOUR_US + CLOCK_S); /* forth */
    assert_true(llabs(w.offset_us - HOUR_US - CLOCK_S) <= 50);
    for (int i = 1; i <= 20; i++) { /* by little and little */
        look(&w, 3000 + i, 0, 0, i * 100);
    }
    assert_true(llabs(w.offset_us - 2000) <= WALL_STEP_US);
}

static void it_is_the_time_of_day(void **state)
{
    struct wall_clock w = { 0 };
    (void)state;
    int64_t now_us = clock_now_us(), before_us = clock_wall_us();
    assert_in_range(wall_clock_at(&w, now_us), before_us - CLOCK_S, before_us + CLOCK_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(held_up_between_the_readings),
        cmocka_unit_test(a_first_look_may_be_wrong),
        cmocka_unit_test(the_clock_is_set),
        cmocka_unit_test(it_is_the_time_of_day),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
