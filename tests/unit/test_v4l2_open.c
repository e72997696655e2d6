/* SPDX-License-Identifier: MIT */
/* What the v4l2 source makes of devices as it opens them: emulated ones, and what is none. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "camera_bench.h"
#include "capture/source.h"
#include "pcs/clock.h"
#include "v4l2_bench.h"

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

/* Until the source ends: with what. */
static int end_of(struct source *s, struct err *err)
{
    const struct frame *frame;
    unsigned lost = 0;
    int code;
    while ((code = source_v4l2.next(s, &frame, &lost, err)) == 0 || code == -EAGAIN) {
        if (code == 0) {
            frame_unref(frame);
        }
    }
    return code;
}

static void changes_of_size_are_reported(void **state)
{
    (void)state;
    static const char *const kinds[] = { "camera", "mplane" };
    const struct source_wish wish = { .format = FORMAT_NV12 };
    for (int i = 0; i < 2; i++) {
        struct format f;
        struct err err = { 0 };
        unsigned lost = 0;
        bench_camera_is("PCS_FAKE_KIND", kinds[i]);
        bench_camera(&bench, "resize 1280x720");
        struct source *s = v4l2_bench_open(&bench, &wish, &f);
        assert_int_equal(f.width, 1280);
        bench_camera(&bench, "resize 400x300");
        assert_int_equal(end_of(s, &err), -ESTALE);
        source_v4l2.close(s);
        s = v4l2_bench_open(&bench, &wish, &f);
        assert_int_equal(f.width, 400);
        assert_int_equal(f.height, 300);
        frame_unref(v4l2_bench_next(s, &lost));
        source_v4l2.close(s);
    }
}

static void expect_error(int code, const char *text)
{
    const struct source_wish wish = { .width = 320, .height = 240, .format = FORMAT_YUYV };
    struct source *s;
    struct format f;
    struct err err;
    assert_int_equal(v4l2_bench_try(&bench, BENCH_DEVICE, &s, &wish, &f, &err), code);
    if (!strstr(err.text, text) || !strstr(err.text, BENCH_DEVICE) || strchr(err.text, '\n')) {
        fail_msg("\"%s\" does not say \"%s\"", err.text, text);
    }
}

static void says_what_is_wrong(void **state)
{
    (void)state;
    bench_camera_is("PCS_FAKE_KIND", "meta");
    expect_error(-ENOTSUP, "metadata");
    bench_camera_is("PCS_FAKE_KIND", "output");
    expect_error(-ENOTSUP, "cannot capture");
    bench_camera_is("PCS_FAKE_KIND", "camera");
    bench_camera_is("PCS_FAKE_FORMATS", "NV12,GREY");
    expect_error(-ENOTSUP, "NV12 GREY");
    bench_camera_is("PCS_FAKE_FORMATS", "YUYV");
    bench_camera(&bench, "busy");
    expect_error(-EBUSY, "in use");
    bench_camera(&bench, "free");
    bench_camera_is("PCS_FAKE_V4L2", "/dev/elsewhere");
    expect_error(-ENOENT, "no such device");
}

static int open_path(const char *path, struct err *err)
{
    const struct source_wish wish = { 0 };
    struct source *s = NULL;
    struct format f;
    int code = v4l2_bench_try(&bench, path, &s, &wish, &f, err);
    if (code == 0) {
        source_v4l2.close(s);
    }
    return code;
}

static void refuses_what_is_no_device(void **state)
{
    (void)state;
    struct err err = { 0 };
    assert_int_equal(open_path("/dev/null", &err), -ENOTSUP);
    assert_string_equal(err.text, "/dev/null: not a video device");
}

static void follows_a_link(void **state)
{
    (void)state;
    struct err err = { 0 };
    const char *link = bench_path(&bench, "by-id-video");
    assert_int_equal(symlink(BENCH_DEVICE, link), 0);
    assert_int_equal(open_path(link, &err), 0);
}

static void finds_the_first_camera(void **state)
{
    (void)state;
    struct v4l2_bench_config none = { .device = NULL };
    assert_false(source_v4l2.implied(&none));
    assert_false(source_v4l2.available(&none));
    bench_camera_is("PCS_FAKE_V4L2", "/dev/video3");
    assert_true(source_v4l2.available(&none));
    struct err err = { 0 };
    assert_int_equal(open_path(NULL, &err), 0);
    bench_camera_is("PCS_FAKE_KIND", "meta");
    assert_false(source_v4l2.available(&none));
    assert_int_equal(open_path(NULL, &err), -ENODEV);
}

static void colors_and_stamps_come_from_the_driver(void **state)
{
    (void)state;
    static const char *const stamps[] = { "unknown", "zero" };
    const struct source_wish wish = { .width = 320, .height = 240, .format = FORMAT_YUYV };
    struct format f;
    bench_camera_is("PCS_FAKE_QUANTIZATION", "full");
    struct source *s = v4l2_bench_open(&bench, &wish, &f);
    assert_int_equal(f.range, COLOR_RANGE_FULL);
    source_v4l2.close(s);
    bench_camera_is("PCS_FAKE_QUANTIZATION", "default");
    for (int i = 0; i < 2; i++) {
        unsigned lost = 0;
        bench_camera_is("PCS_FAKE_STAMP", stamps[i]);
        s = v4l2_bench_open(&bench, &wish, &f);
        assert_int_equal(f.range, COLOR_RANGE_LIMITED);
        assert_int_equal(f.matrix, COLOR_MATRIX_601);
        const struct frame *frame = v4l2_bench_next(s, &lost);
        assert_in_range(clock_now_us() - frame->capture_us, 0, CLOCK_S);
        frame_unref(frame);
        source_v4l2.close(s);
    }
}

static void takes_size_and_rate_of_the_signal(void **state)
{
    (void)state;
    const struct source_wish wish = { .width = 640, .height = 480, .fps = 30 };
    struct format f;
    struct err err = { 0 };
    unsigned lost = 0;
    bench_camera_is("PCS_FAKE_KIND", "hdmi");
    struct source *s = v4l2_bench_open(&bench, &wish, &f);
    assert_int_equal(f.width, 1280);
    assert_int_equal(f.height, 720);
    assert_int_equal(f.fps_num, 60);
    assert_int_equal(f.fps_den, 1);
    frame_unref(v4l2_bench_next(s, &lost));

    bench_camera(&bench, "signal 320x240@25");
    assert_int_equal(end_of(s, &err), -ESTALE);
    source_v4l2.close(s);
    s = v4l2_bench_open(&bench, &wish, &f);
    assert_int_equal(f.width, 320);
    assert_int_equal(f.height, 240);
    assert_int_equal(f.fps_num, 25);
    const struct frame *frame = v4l2_bench_next(s, &lost);
    assert_int_equal(frame->stride[0], f.id == FORMAT_YUYV ? 640 : 320);
    frame_unref(frame);
    source_v4l2.close(s);
}

static void says_what_is_wrong_with_the_signal(void **state)
{
    (void)state;
    bench_camera_is("PCS_FAKE_KIND", "hdmi");
    const struct source_wish wish = { 0 };
    struct format f;
    struct err err = { 0 };
    struct source *s = v4l2_bench_open(&bench, &wish, &f);
    bench_camera(&bench, "nosignal");
    assert_int_equal(end_of(s, &err), -ESTALE);
    source_v4l2.close(s);
    expect_error(-ENOLINK, "no HDMI signal (input \"HDMI 1\")");
    bench_camera(&bench, "signal unstable");
    expect_error(-ENOLCK, "unstable");
    bench_camera(&bench, "signal strange");
    expect_error(-ERANGE, "out of the range");
    bench_camera(&bench, "signal 640x480@50");
    s = v4l2_bench_open(&bench, &wish, &f);
    assert_int_equal(f.fps_num, 50);
    source_v4l2.close(s);
}

static void colors_come_by_either_kind_of_call(void **state)
{
    (void)state;
    const struct source_wish wish = { .width = 320, .height = 240, .format = FORMAT_NV12 };
    static const char *const kinds[] = { "camera", "mplane" };
    struct format f;
    for (int i = 0; i < 2; i++) {
        bench_camera_is("PCS_FAKE_KIND", kinds[i]);
        bench_camera_is("PCS_FAKE_COLORS",
                        "10,1,1,7"); /* BT.2020 with the matrix of BT.601, full, PQ */
        source_v4l2.close(v4l2_bench_open(&bench, &wish, &f));
        assert_int_equal(f.range, COLOR_RANGE_FULL);
        assert_int_equal(f.matrix, COLOR_MATRIX_601);
        assert_int_equal(f.primaries, COLOR_PRIMARIES_2020);
        assert_int_equal(f.transfer, COLOR_TRANSFER_PQ);
        bench_camera_is("PCS_FAKE_COLORS", "3,0,0,0"); /* BT.709 and what follows from it */
        source_v4l2.close(v4l2_bench_open(&bench, &wish, &f));
        assert_int_equal(f.range, COLOR_RANGE_LIMITED);
        assert_int_equal(f.matrix, COLOR_MATRIX_709);
        assert_int_equal(f.primaries, COLOR_PRIMARIES_709);
        assert_int_equal(f.transfer, COLOR_TRANSFER_709);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(changes_of_size_are_reported, setup, teardown),
        cmocka_unit_test_setup_teardown(says_what_is_wrong, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_what_is_no_device, setup, teardown),
        cmocka_unit_test_setup_teardown(follows_a_link, setup, teardown),
        cmocka_unit_test_setup_teardown(finds_the_first_camera, setup, teardown),
        cmocka_unit_test_setup_teardown(colors_and_stamps_come_from_the_driver, setup, teardown),
        cmocka_unit_test_setup_teardown(takes_size_and_rate_of_the_signal, setup, teardown),
        cmocka_unit_test_setup_teardown(says_what_is_wrong_with_the_signal, setup, teardown),
        cmocka_unit_test_setup_teardown(colors_come_by_either_kind_of_call, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
