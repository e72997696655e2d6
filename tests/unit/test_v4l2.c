/* SPDX-License-Identifier: MIT */
/* Streams of the v4l2 source, from the emulated camera (LD_PRELOAD of tests/fake). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "camera_bench.h"
#include "capture/source.h"
#include "pcs/clock.h"
#include "pcs/stop.h"
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

static bool is_rgb(enum format_id id)
{
    return id == FORMAT_RGB24 || id == FORMAT_BGR24 || id == FORMAT_BGRX || id == FORMAT_RGBX ||
           id == FORMAT_RGB16;
}

/* The emulated sensor sees no colours: all chroma bytes of separate planes are neutral. */
static void planes_are_where_they_should_be(const struct frame *frame)
{
    size_t offset[FORMAT_MAX_PLANES + 1] = { 0 };
    int tight[FORMAT_MAX_PLANES];
    const struct format_info *info = format_info(frame->format.id);
    offset[info->planes] = format_layout(&frame->format, 0, offset, tight);
    for (int i = 1; i < info->planes; i++) {
        size_t lines = (offset[i + 1] - offset[i]) / (size_t)tight[i];
        for (size_t y = 0; y < lines; y++) {
            for (int x = 0; x < tight[i]; x++) {
                assert_int_equal(frame->plane[i][y * (size_t)frame->stride[i] + (size_t)x], 128);
            }
        }
    }
}

static void check_raw(const struct frame *frame, int padding)
{
    struct marker m;
    assert_true(bench_marker(frame, &m));
    assert_int_equal(m.time_us, frame->capture_us);
    assert_int_equal(frame->flags, FRAME_KEY | FRAME_DRIVER);
    assert_int_equal(frame->stride[0] % 320, padding);
    assert_in_range(clock_now_us() - frame->capture_us, 0, 5 * CLOCK_S);
    bool full = is_rgb(frame->format.id) || frame->format.id == FORMAT_GREY;
    assert_int_equal(frame->format.range == COLOR_RANGE_FULL, full);
    planes_are_where_they_should_be(frame);
}

static void gives_raw(const char *kind, const char *fourcc, int padding)
{
    const enum format_id id = format_by_name(fourcc);
    const struct source_wish wish = { .width = 320, .height = 240, .format = id };
    struct format f;
    unsigned lost = 0;
    bench_camera_is("PCS_FAKE_KIND", kind);
    bench_camera_is("PCS_FAKE_FORMATS", fourcc);
    bench_camera_is("PCS_FAKE_PADDING", padding ? "32" : "0");
    struct source *s = v4l2_bench_open(&bench, &wish, &f);
    assert_int_equal(f.id, id);
    assert_int_equal(f.width, 320);
    assert_int_equal(f.height, 240);
    assert_int_equal(f.fps_num, 30);
    const struct frame *frame = v4l2_bench_next(s, &lost);
    check_raw(frame, padding);
    frame_unref(frame);
    source_v4l2.close(s);
}

static void gives_every_raw_format(void **state)
{
    (void)state;
    static const char *const names[] = { "YUYV", "UYVY", "YVYU", "VYUY", "NV12", "NV21",
                                         "YU12", "YV12", "NV16", "422P", "GREY", "RGB3",
                                         "BGR3", "XR24", "XB24", "RGBP" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        gives_raw("camera", names[i], 0);
        gives_raw("camera", names[i], 32);
    }
}

static void gives_planes_in_memory_of_their_own(void **state)
{
    (void)state;
    static const char *const names[] = { "NM12", "NM21", "YM12", "YM21", "NM16",
                                         "YM16", "NV12", "YUYV", "422P" };
    static const char *const fronts[] = { "0", "128" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        for (int k = 0; k < 2; k++) {
            bench_camera_is("PCS_FAKE_FRONT", fronts[k]);
            gives_raw("mplane", names[i], 0);
            gives_raw("mplane", names[i], 32);
        }
    }
}

static void gives_the_newest_and_counts_the_rest(void **state)
{
    (void)state;
    const struct source_wish wish = { .width = 320, .height = 240, .format = FORMAT_GREY };
    struct format f;
    unsigned lost = 0, captured = 1;
    struct source *s = v4l2_bench_open(&bench, &wish, &f);
    const struct frame *frame = v4l2_bench_next(s, &lost);
    uint32_t first = v4l2_bench_number(frame), last = first;
    frame_unref(frame);
    lost = 0;
    for (int round = 0; round < 4; round++) {
        int64_t until_us = clock_now_us() + 250 * CLOCK_MS; /* longer than all buffers last */
        (void)stop_wait(bench.stop, until_us - clock_now_us());
        frame = v4l2_bench_next(s, &lost);
        captured++;
        last = v4l2_bench_number(frame);
        frame_unref(frame);
    }
    assert_true(lost >= 4 * 5);
    assert_int_equal(captured + lost, last - first + 1);
    source_v4l2.close(s);
}

static void counts_frames_the_driver_dropped(void **state)
{
    (void)state;
    const struct source_wish wish = { .width = 320, .height = 240, .format = FORMAT_GREY };
    struct format f;
    unsigned lost = 0;
    struct source *s = v4l2_bench_open(&bench, &wish, &f);
    const struct frame *frame = v4l2_bench_next(s, &lost);
    uint32_t first = v4l2_bench_number(frame);
    frame_unref(frame);
    lost = 0;
    bench_camera(&bench, "skip 5");
    unsigned captured = 1;
    do {
        frame = v4l2_bench_next(s, &lost);
        captured++;
        assert_int_equal(captured + lost, v4l2_bench_number(frame) - first + 1);
        frame_unref(frame);
    } while (lost < 5);
    source_v4l2.close(s);
}

static void drops_damaged(enum format_id id, size_t size)
{
    static const char *const commands[] = { "error 3", "short 3", "empty 3" };
    bench_camera_is("PCS_FAKE_FPS", "15"); /* so that a busy machine keeps up */
    const struct source_wish wish = { .width = 320, .height = 240, .format = id };
    struct format f;
    unsigned lost = 0;
    struct source *s = v4l2_bench_open(&bench, &wish, &f);
    for (int i = 0; i < 3; i++) {
        frame_unref(v4l2_bench_next(s, &lost));
        lost = 0;
        bench_camera(&bench, commands[i]);
        while (lost < 3) {
            const struct frame *frame = v4l2_bench_next(s, &lost);
            assert_int_equal(frame->size, size);
            frame_unref(frame);
        }
        assert_int_equal(lost, 3);
    }
    source_v4l2.close(s);
}

static void drops_what_is_damaged(void **state)
{
    (void)state;
    drops_damaged(FORMAT_YUYV, 320 * 240 * 2);
    bench_camera_is("PCS_FAKE_KIND", "mplane"); /* in the last of three planes */
    bench_camera_is("PCS_FAKE_FORMATS", "YM12");
    drops_damaged(FORMAT_YU12, 320 * 240);
}

static void h264_comes_whole_and_in_order(void **state)
{
    (void)state;
    const char *path = bench_clip(&bench, "clip.h264", 320, 240, 40,
                                  "-c:v libx264 -preset ultrafast -g 20 -f h264");
    bench_camera_is("PCS_FAKE_H264", path);
    bench_camera_is("PCS_FAKE_FPS", "15"); /* so that a busy machine keeps up */
    FILE *file = fopen(path, "rb");
    static uint8_t whole[2 << 20];
    size_t size = fread(whole, 1, sizeof whole, file);
    fclose(file);

    const struct source_wish wish = { .width = 320, .height = 240, .codec = FORMAT_H264 };
    struct format f;
    unsigned lost = 0;
    struct source *s = v4l2_bench_open(&bench, &wish, &f);
    assert_int_equal(f.id, FORMAT_H264);
    assert_int_equal(f.width, 320);
    size_t at = 0;
    for (int i = 0; i < 40; i++) {
        if (i == 10) { /* three frames wait: none may be skipped */
            (void)stop_wait(bench.stop, 200 * CLOCK_MS);
        }
        const struct frame *frame = v4l2_bench_next(s, &lost);
        assert_true(at + frame->size <= size);
        assert_memory_equal(frame->data, whole + at, frame->size);
        assert_int_equal(!!(frame->flags & FRAME_KEY), i % 20 == 0);
        at += frame->size;
        frame_unref(frame);
    }
    assert_int_equal(at, size);
    assert_int_equal(lost, 0);
    source_v4l2.close(s);
}

static void takes_jpegs(bool mplane)
{
    bench_camera_is("PCS_FAKE_MJPG",
                    bench_clip(&bench, "clip.mjpg", 640, 480, 5, "-c:v mjpeg -q:v 5 -f mjpeg"));
    const struct source_wish wish = { .width = 640, .height = 480 };
    struct format f;
    unsigned lost = 0;
    if (mplane) { /* the size is the picture's alone */
        bench_camera_is("PCS_FAKE_KIND", "mplane");
        bench_camera_is("PCS_FAKE_FRONT", "64");
    }
    struct source *s = v4l2_bench_open(&bench, &wish, &f);
    assert_int_equal(f.id, FORMAT_JPEG); /* auto passes through what the camera compressed */
    assert_int_equal(f.range, COLOR_RANGE_FULL);
    for (int i = 0; i < 12; i++) {
        const struct frame *frame = v4l2_bench_next(s, &lost);
        assert_int_equal(frame->data[0] << 8 | frame->data[1], 0xFFD8);
        assert_int_equal(frame->data[frame->size - 2] << 8 | frame->data[frame->size - 1], 0xFFD9);
        frame_unref(frame);
    }
    source_v4l2.close(s);
}

static void jpeg_comes_untouched(void **state)
{
    (void)state;
    takes_jpegs(false);
    takes_jpegs(true);
}

static void unplugged_is_noticed_at_once(void **state)
{
    (void)state;
    const struct source_wish wish = { .width = 320, .height = 240, .format = FORMAT_YUYV };
    struct format f;
    struct err err = { 0 };
    unsigned lost = 0;
    struct source *s = v4l2_bench_open(&bench, &wish, &f);
    const struct frame *kept = v4l2_bench_next(s, &lost), *frame;
    bench_camera(&bench, "unplug");
    int64_t start_us = clock_now_us();
    int code;
    while ((code = source_v4l2.next(s, &frame, &lost, &err)) == 0 || code == -EAGAIN) {
        if (code == 0) {
            frame_unref(frame);
        }
    }
    assert_int_equal(code, -ENODEV);
    assert_non_null(strstr(err.text, BENCH_DEVICE));
    assert_true(clock_now_us() - start_us < CLOCK_S);
    frame_unref(kept); /* on a dead device */
    source_v4l2.close(s);

    assert_int_equal(v4l2_bench_try(&bench, BENCH_DEVICE, &s, &wish, &f, &err), -ENOENT);
    assert_non_null(strstr(err.text, BENCH_DEVICE));
    bench_camera(&bench, "plug");
    s = v4l2_bench_open(&bench, &wish, &f);
    frame_unref(v4l2_bench_next(s, &lost));
    source_v4l2.close(s);
}

static void silence_is_reported(void **state)
{
    (void)state;
    const struct source_wish wish = { .width = 320, .height = 240, .format = FORMAT_YUYV };
    struct format f;
    struct err err = { 0 };
    unsigned lost = 0;
    struct source *s = v4l2_bench_open(&bench, &wish, &f);
    bench_camera(&bench, "hang");
    int64_t start_us = clock_now_us();
    const struct frame *frame;
    int code;
    while ((code = source_v4l2.next(s, &frame, &lost, &err)) == 0) {
        frame_unref(frame);
    }
    assert_int_equal(code, -ETIMEDOUT);
    assert_in_range(clock_now_us() - start_us, 4 * CLOCK_S, 7 * CLOCK_S);
    source_v4l2.close(s);
    s = v4l2_bench_open(&bench, &wish, &f); /* starting again is what helps */
    frame_unref(v4l2_bench_next(s, &lost));
    source_v4l2.close(s);
}

static void stop_ends_a_wait(void **state)
{
    (void)state;
    const struct source_wish wish = { .width = 320, .height = 240 };
    struct format f;
    struct err err = { 0 };
    unsigned lost = 0;
    const struct frame *frame;
    struct source *s = v4l2_bench_open(&bench, &wish, &f);
    stop_request(bench.stop);
    assert_int_equal(source_v4l2.next(s, &frame, &lost, &err), -ECANCELED);
    source_v4l2.close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(gives_every_raw_format, setup, teardown),
        cmocka_unit_test_setup_teardown(gives_planes_in_memory_of_their_own, setup, teardown),
        cmocka_unit_test_setup_teardown(gives_the_newest_and_counts_the_rest, setup, teardown),
        cmocka_unit_test_setup_teardown(counts_frames_the_driver_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(drops_what_is_damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(h264_comes_whole_and_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(jpeg_comes_untouched, setup, teardown),
        cmocka_unit_test_setup_teardown(unplugged_is_noticed_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(silence_is_reported, setup, teardown),
        cmocka_unit_test_setup_teardown(stop_ends_a_wait, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
