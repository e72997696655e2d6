/* SPDX-License-Identifier: MIT */
/* The test source, and the options of the capture stage that it is the easiest user of. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

#include <cmocka.h>

#include "camera_bench.h"
#include "capture/source.h"
#include "pcs/clock.h"
#include "pcs/stop.h"

static struct bench bench;

static int setup(void **state)
{
    (void)state;
    bench_init(&bench);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bench_finish(&bench);
    return 0;
}

static struct source *must_open(const struct source_wish *wish, struct format *f)
{
    struct source *s = NULL;
    struct err err = { 0 };
    if (source_test.open(&s, wish, NULL, bench.stop, f, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return s;
}

static const struct frame *must_next(struct source *s, unsigned *lost)
{
    const struct frame *frame = NULL;
    struct err err = { 0 };
    assert_int_equal(source_test.next(s, &frame, lost, &err), 0);
    return frame;
}

static void makes_every_raw_format(void **state)
{
    (void)state;
    static const int widths[] = { 320, 322, 161 };
    for (enum format_id id = FORMAT_YUYV; id <= FORMAT_RGB24; id++) {
        for (size_t i = 0; i < 3; i++) {
            const struct source_wish wish = {
                .width = widths[i], .height = 121, .fps = 500, .format = id
            };
            struct format f;
            unsigned lost = 0;
            struct source *s = must_open(&wish, &f);
            assert_int_equal(f.id, id);
            for (uint32_t n = 1; n <= 3; n++) {
                const struct frame *frame = must_next(s, &lost);
                struct marker m;
                assert_true(format_same(&frame->format, &f));
                assert_true(bench_marker(frame, &m));
                assert_int_equal(m.number, n);
                assert_int_equal(m.time_us, frame->capture_us);
                assert_int_equal(frame->flags, FRAME_KEY);
                frame_unref(frame);
            }
            source_test.close(s);
        }
    }
}

static void defaults_are_those_of_a_camera(void **state)
{
    (void)state;
    const struct source_wish none = { .codec = FORMAT_H264 }, wide = { .width = 640 };
    struct format f;
    source_test.close(must_open(&none, &f));
    assert_int_equal(f.id, FORMAT_YU12); /* raw, whatever --codec */
    assert_int_equal(f.width, 1280);
    assert_int_equal(f.height, 720);
    assert_int_equal(f.fps_num, 30);
    source_test.close(must_open(&wide, &f));
    assert_int_equal(f.height, 360);
}

static void refuses_what_it_cannot(void **state)
{
    (void)state;
    struct source *s;
    struct format f;
    struct err err = { 0 };
    const struct source_wish jpeg = { .format = FORMAT_JPEG };
    assert_int_equal(source_test.open(&s, &jpeg, NULL, bench.stop, &f, &err), -EINVAL);
    assert_non_null(strstr(err.text, "raw"));
    const struct source_wish small = { .width = 8, .height = 8 };
    assert_int_equal(source_test.open(&s, &small, NULL, bench.stop, &f, &err), -EINVAL);
}

static void keeps_the_pace(void **state)
{
    (void)state;
    const struct source_wish wish = { .width = 160, .height = 120, .fps = 50 };
    struct format f;
    unsigned lost = 0;
    struct source *s = must_open(&wish, &f);
    const struct frame *frame = must_next(s, &lost);
    int64_t first_us = frame->capture_us;
    frame_unref(frame);
    for (unsigned i = 1; i <= 25; i++) {
        frame = must_next(s, &lost);
        /* The time line is arithmetic; a slow machine may only lose frames of it. */
        assert_int_equal(frame->capture_us - first_us, (int64_t)(i + lost) * 20000);
        assert_true(clock_now_us() >= frame->capture_us);
        frame_unref(frame);
    }
    source_test.close(s);
}

static void gives_the_newest_when_late(void **state)
{
    (void)state;
    const struct source_wish wish = { .width = 160, .height = 120, .fps = 100 };
    struct format f;
    unsigned lost = 0;
    struct source *s = must_open(&wish, &f);
    frame_unref(must_next(s, &lost));
    lost = 0;
    (void)stop_wait(bench.stop, 100 * CLOCK_MS);
    const struct frame *frame = must_next(s, &lost);
    struct marker m;
    assert_true(lost >= 8);
    assert_true(clock_now_us() - frame->capture_us < 100 * CLOCK_MS);
    assert_true(bench_marker(frame, &m));
    assert_int_equal(m.number, 2); /* numbered as delivered */
    frame_unref(frame);
    source_test.close(s);
}

static void stops_at_once(void **state)
{
    (void)state;
    const struct source_wish wish = { .width = 160, .height = 120, .fps = 1 };
    struct format f;
    struct err err = { 0 };
    unsigned lost = 0;
    const struct frame *frame;
    struct source *s = must_open(&wish, &f);
    frame_unref(must_next(s, &lost));
    stop_request(bench.stop);
    assert_int_equal(source_test.next(s, &frame, &lost, &err), -ECANCELED);
    source_test.close(s);
}

static void frames_outlive_it(void **state)
{
    (void)state;
    const struct source_wish wish = { .width = 160, .height = 120 };
    struct format f;
    unsigned lost = 0;
    struct source *s = must_open(&wish, &f);
    const struct frame *frame = must_next(s, &lost);
    source_test.close(s);
    struct marker m;
    assert_true(bench_marker(frame, &m));
    frame_unref(frame);
}

/* As heavy as a real camera's picture: encoders and networks are judged with it. */
static void looks_real_to_an_encoder(void **state)
{
    (void)state;
    const struct source_wish wish = { .width = 1920, .height = 1080 };
    struct format f;
    unsigned lost = 0;
    struct source *s = must_open(&wish, &f);
    const struct frame *frame = must_next(s, &lost);
    tjhandle tj = tjInitCompress();
    unsigned char *jpeg = NULL;
    unsigned long size = 0;
    const uint8_t *planes[3] = { frame->plane[0], frame->plane[1], frame->plane[2] };
    assert_int_equal(tjCompressFromYUVPlanes(tj, planes, 1920, frame->stride, 1080, TJSAMP_420,
                                             &jpeg, &size, 80, 0),
                     0);
    assert_in_range(size, 200000, 400000);
    tjFree(jpeg);
    tjDestroy(tj);
    int64_t before_us = clock_thread_us();
    frame_unref(frame);
    frame_unref(must_next(s, &lost));
    print_message("one 1080p frame: %.2f ms of CPU time\n",
                  (double)(clock_thread_us() - before_us) / 1000);
    source_test.close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(makes_every_raw_format, setup, teardown),
        cmocka_unit_test_setup_teardown(defaults_are_those_of_a_camera, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_what_it_cannot, setup, teardown),
        cmocka_unit_test_setup_teardown(keeps_the_pace, setup, teardown),
        cmocka_unit_test_setup_teardown(gives_the_newest_when_late, setup, teardown),
        cmocka_unit_test_setup_teardown(stops_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(frames_outlive_it, setup, teardown),
        cmocka_unit_test_setup_teardown(looks_real_to_an_encoder, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
