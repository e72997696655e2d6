/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "app/standby.h"
#include "pcs/clock.h"

#define NOW (1000 * CLOCK_S)

static struct capture_stats live(int fps, int64_t silent_us)
{
    return (struct capture_stats){
        .state = CAPTURE_LIVE,
        .started_us = NOW - 100 * CLOCK_S,
        .since_us = NOW - 90 * CLOCK_S,
        .last_frame_us = NOW - silent_us,
        .format = { .id = FORMAT_YUYV, .width = 640, .height = 480, .fps_num = fps, .fps_den = 1 },
    };
}

static bool due(const struct capture_stats *stats, char why[200])
{
    why[0] = 0;
    return standby_due_us(stats, NOW, why) <= NOW;
}

static void a_camera_that_works_needs_none(void **state)
{
    (void)state;
    char why[200];
    struct capture_stats s = live(30, 33 * CLOCK_MS);
    assert_false(due(&s, why));
    assert_string_equal(why, "");
    /* and is not looked at before it could be needed */
    assert_true(standby_due_us(&s, NOW, why) > NOW + CLOCK_S);
}

static void silence_is_judged_by_the_rate(void **state)
{
    (void)state;
    char why[200];
    struct capture_stats s = live(30, 2 * CLOCK_S);
    assert_true(due(&s, why));
    assert_string_equal(why, "the camera sends no pictures");
    s = live(1, 2 * CLOCK_S);
    assert_false(due(&s, why));
    s = live(1, 4 * CLOCK_S);
    assert_true(due(&s, why));
    s = live(0, 4 * CLOCK_S); /* rate unknown */
    assert_false(due(&s, why));
    s = live(0, 6 * CLOCK_S);
    assert_true(due(&s, why));
}

static void a_stream_that_has_just_begun_is_given_time(void **state)
{
    (void)state;
    char why[200];
    struct capture_stats s = live(30, 0);
    s.last_frame_us = 0;
    s.since_us = NOW - CLOCK_S;
    assert_false(due(&s, why));
    s.since_us = NOW - 2 * CLOCK_S;
    assert_true(due(&s, why));
}

static void a_lost_camera_is_named(void **state)
{
    (void)state;
    char why[200];
    struct capture_stats s = live(30, CLOCK_S / 2);
    s.state = CAPTURE_FAILED;
    (void)snprintf(s.why, sizeof s.why, "/dev/video0: the camera is gone");
    assert_false(due(&s, why)); /* half a second may be a replug */
    s.last_frame_us = NOW - CLOCK_S;
    assert_true(due(&s, why));
    assert_string_equal(why, "/dev/video0: the camera is gone");
    s.state = CAPTURE_OPENING;
    assert_true(due(&s, why));
    s.state = CAPTURE_ENDED;
    assert_false(due(&s, why));
}

static void one_that_never_came_is_waited_for_longer(void **state)
{
    (void)state;
    char why[200];
    struct capture_stats s = { .state = CAPTURE_FAILED, .started_us = NOW - 4 * CLOCK_S };
    assert_false(due(&s, why));
    s.started_us = NOW - 6 * CLOCK_S;
    assert_true(due(&s, why));
}

/* The whole picture is written, nothing besides, whatever the size and the words. */
static void draws_in_every_size(void **state)
{
    (void)state;
    static const int sizes[][2] = { { 16, 16 },   { 17, 33 },    { 160, 120 },
                                    { 641, 481 }, { 1280, 720 }, { 1920, 1080 } };
    char why[200];
    memset(why, 'w', sizeof why - 1);
    why[sizeof why - 1] = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct format f = { .id = FORMAT_YU12, .width = sizes[i][0], .height = sizes[i][1] };
        size_t luma = (size_t)f.width * (size_t)f.height;
        size_t all = luma + 2 * (size_t)((f.width + 1) / 2) * (size_t)((f.height + 1) / 2);
        uint8_t *picture = malloc(all);
        memset(picture, 255, all);
        standby_draw(picture, &f, i % 2 ? why : "short", 3700 * CLOCK_S, NOW);
        size_t bright = 0;
        for (size_t k = 0; k < luma; k++) {
            bright += picture[k] > 128;
        }
        assert_true(bright < luma / 2);
        assert_true(f.width < 100 || bright > 100);
        for (size_t k = luma; k < all; k++) {
            assert_int_equal(picture[k], 128);
        }
        free(picture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_camera_that_works_needs_none),
        cmocka_unit_test(silence_is_judged_by_the_rate),
        cmocka_unit_test(a_stream_that_has_just_begun_is_given_time),
        cmocka_unit_test(a_lost_camera_is_named),
        cmocka_unit_test(one_that_never_came_is_waited_for_longer),
        cmocka_unit_test(draws_in_every_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
