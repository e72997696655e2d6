/* SPDX-License-Identifier: MIT */
/* The v4l2 source against the emulated camera (LD_PRELOAD of tests/fake). */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "camera_bench.h"
#include "capture/source.h"
#include "capture/v4l2_choose.h"
#include "capture/v4l2_find.h"
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

/* The backend's config: its one option, and what it remembers. */
struct device {
    const char *path;
    struct v4l2_history history;
};

static int open_camera(struct source **s, const struct source_wish *wish, struct format *f,
                       struct err *err)
{
    struct device config = { BENCH_DEVICE };
    assert_int_equal(source_v4l2.config_size, sizeof config);
    *err = (struct err){ 0 };
    return source_v4l2.open(s, wish, &config, bench.stop, f, err);
}

static struct source *must_open(const struct source_wish *wish, struct format *f)
{
    struct source *s = NULL;
    struct err err;
    if (open_camera(&s, wish, f, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return s;
}

static const struct frame *must_next(struct source *s, unsigned *lost)
{
    const struct frame *frame = NULL;
    struct err err = { 0 };
    int code;
    do {
        code = source_v4l2.next(s, &frame, lost, &err);
    } while (code == -EAGAIN);
    if (code != 0) {
        fail_msg("%s", err.text);
    }
    return frame;
}

static uint32_t number_of(const struct frame *frame)
{
    struct marker m;
    assert_true(bench_marker(frame, &m));
    return m.number;
}

static void gives_every_raw_format(void **state)
{
    (void)state;
    for (enum format_id id = FORMAT_YUYV; id <= FORMAT_RGB24; id++) {
        for (int padding = 0; padding <= 32; padding += 32) {
            bench_camera_is("PCS_FAKE_PADDING", padding ? "32" : "0");
            const struct source_wish wish = { .width = 320, .height = 240, .format = id };
            struct format f;
            unsigned lost = 0;
            struct source *s = must_open(&wish, &f);
            assert_int_equal(f.id, id);
            assert_int_equal(f.width, 320);
            assert_int_equal(f.height, 240);
            assert_int_equal(f.fps_num, 30);
            const struct frame *frame = must_next(s, &lost);
            struct marker m;
            assert_true(bench_marker(frame, &m));
            assert_int_equal(m.time_us, frame->capture_us);
            assert_int_equal(frame->flags, FRAME_KEY | FRAME_DRIVER);
            assert_int_equal(frame->stride[0] % 320, padding);
            assert_in_range(clock_now_us() - frame->capture_us, 0, 5 * CLOCK_S);
            frame_unref(frame);
            source_v4l2.close(s);
        }
    }
}

/* Does [at, at + size) lie in memory that is mapped from the camera's buffers? */
static bool in_camera_memory(const void *at, size_t size)
{
    char line[500];
    bool inside = false;
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps)) {
        uintptr_t from, to, p = (uintptr_t)at;
        if (strstr(line, "v4l2fake") && strstr(line, "rw-s") &&
            sscanf(line, "%lx-%lx", &from, &to) == 2) {
            inside |= p >= from && p + size <= to;
        }
    }
    fclose(maps);
    return inside;
}

static void hands_out_the_drivers_memory(void **state)
{
    (void)state;
    const struct source_wish wish = { .width = 640, .height = 480, .format = FORMAT_NV12 };
    struct format f;
    unsigned lost = 0;
    struct source *s = must_open(&wish, &f);
    const struct frame *frame = must_next(s, &lost);
    assert_true(in_camera_memory(frame->data, frame->size));
    assert_ptr_equal(frame->plane[0], frame->data);
    assert_ptr_equal(frame->plane[1], frame->data + 640 * 480);
    const void *at = frame->data;
    frame_unref(frame);
    source_v4l2.close(s);
    assert_false(in_camera_memory(at, 1)); /* the last holder unmapped it */
}

static void frames_outlive_the_device(void **state)
{
    (void)state;
    const struct source_wish wish = { .width = 320, .height = 240, .format = FORMAT_GREY };
    struct format f;
    unsigned lost = 0;
    struct source *s = must_open(&wish, &f);
    const struct frame *first = must_next(s, &lost), *second = must_next(s, &lost);
    uint32_t number = number_of(first);
    source_v4l2.close(s);
    assert_int_equal(number_of(first), number);

    /* The device is free although old buffers are still mapped; and giving those back does not give
     * it the new ones of the same number, which would then be painted over. */
    s = must_open(&wish, &f);
    const struct frame *held = must_next(s, &lost);
    uint32_t held_number = number_of(held);
    assert_int_equal(number_of(second), number + 1);
    frame_unref(first);
    frame_unref(second);
    for (int i = 0; i < 8; i++) {
        frame_unref(must_next(s, &lost));
    }
    assert_int_equal(number_of(held), held_number);
    frame_unref(held);
    source_v4l2.close(s);
}

static void gives_the_newest_and_counts_the_rest(void **state)
{
    (void)state;
    const struct source_wish wish = { .width = 320, .height = 240, .format = FORMAT_GREY };
    struct format f;
    unsigned lost = 0, captured = 1;
    struct source *s = must_open(&wish, &f);
    const struct frame *frame = must_next(s, &lost);
    uint32_t first = number_of(frame), last = first;
    frame_unref(frame);
    lost = 0;
    for (int round = 0; round < 4; round++) {
        int64_t until_us = clock_now_us() + 250 * CLOCK_MS; /* longer than all buffers last */
        (void)stop_wait(bench.stop, until_us - clock_now_us());
        frame = must_next(s, &lost);
        captured++;
        last = number_of(frame);
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
    struct source *s = must_open(&wish, &f);
    const struct frame *frame = must_next(s, &lost);
    uint32_t first = number_of(frame);
    frame_unref(frame);
    lost = 0;
    bench_camera(&bench, "skip 5");
    unsigned captured = 1;
    do {
        frame = must_next(s, &lost);
        captured++;
        assert_int_equal(captured + lost, number_of(frame) - first + 1);
        frame_unref(frame);
    } while (lost < 5);
    source_v4l2.close(s);
}

static void drops_what_is_damaged(void **state)
{
    (void)state;
    static const char *const commands[] = { "error 3", "short 3", "empty 3" };
    bench_camera_is("PCS_FAKE_FPS", "15"); /* so that a busy machine keeps up */
    const struct source_wish wish = { .width = 320, .height = 240, .format = FORMAT_YUYV };
    struct format f;
    unsigned lost = 0;
    struct source *s = must_open(&wish, &f);
    for (int i = 0; i < 3; i++) {
        frame_unref(must_next(s, &lost));
        lost = 0;
        bench_camera(&bench, commands[i]);
        while (lost < 3) {
            const struct frame *frame = must_next(s, &lost);
            assert_int_equal(frame->size, 320 * 240 * 2);
            frame_unref(frame);
        }
        assert_int_equal(lost, 3);
    }
    source_v4l2.close(s);
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
    struct source *s = must_open(&wish, &f);
    assert_int_equal(f.id, FORMAT_H264);
    assert_int_equal(f.width, 320);
    size_t at = 0;
    for (int i = 0; i < 40; i++) {
        if (i == 10) { /* three frames wait: none may be skipped */
            (void)stop_wait(bench.stop, 200 * CLOCK_MS);
        }
        const struct frame *frame = must_next(s, &lost);
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

static void jpeg_comes_untouched(void **state)
{
    (void)state;
    bench_camera_is("PCS_FAKE_MJPG",
                    bench_clip(&bench, "clip.mjpg", 640, 480, 5, "-c:v mjpeg -q:v 5 -f mjpeg"));
    const struct source_wish wish = { .width = 640, .height = 480 };
    struct format f;
    unsigned lost = 0;
    struct source *s = must_open(&wish, &f);
    assert_int_equal(f.id, FORMAT_JPEG); /* auto passes through what the camera compressed */
    assert_int_equal(f.range, COLOR_RANGE_FULL);
    for (int i = 0; i < 12; i++) {
        const struct frame *frame = must_next(s, &lost);
        assert_int_equal(frame->data[0] << 8 | frame->data[1], 0xFFD8);
        assert_int_equal(frame->data[frame->size - 2] << 8 | frame->data[frame->size - 1], 0xFFD9);
        frame_unref(frame);
    }
    source_v4l2.close(s);
}

static void unplugged_is_noticed_at_once(void **state)
{
    (void)state;
    const struct source_wish wish = { .width = 320, .height = 240, .format = FORMAT_YUYV };
    struct format f;
    struct err err = { 0 };
    unsigned lost = 0;
    struct source *s = must_open(&wish, &f);
    const struct frame *kept = must_next(s, &lost), *frame;
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

    assert_int_equal(open_camera(&s, &wish, &f, &err), -ENOENT);
    assert_non_null(strstr(err.text, BENCH_DEVICE));
    bench_camera(&bench, "plug");
    s = must_open(&wish, &f);
    frame_unref(must_next(s, &lost));
    source_v4l2.close(s);
}

static void silence_is_reported(void **state)
{
    (void)state;
    const struct source_wish wish = { .width = 320, .height = 240, .format = FORMAT_YUYV };
    struct format f;
    struct err err = { 0 };
    unsigned lost = 0;
    struct source *s = must_open(&wish, &f);
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
    s = must_open(&wish, &f); /* starting again is what helps */
    frame_unref(must_next(s, &lost));
    source_v4l2.close(s);
}

static void changed_format_is_reported(void **state)
{
    (void)state;
    const struct source_wish wish = { .format = FORMAT_YUYV };
    struct format f;
    struct err err = { 0 };
    unsigned lost = 0;
    const struct frame *frame;
    struct source *s = must_open(&wish, &f);
    assert_int_equal(f.width, 1280);
    bench_camera(&bench, "resize 400x300");
    int code;
    while ((code = source_v4l2.next(s, &frame, &lost, &err)) == 0) {
        frame_unref(frame);
    }
    assert_int_equal(code, -ESTALE);
    source_v4l2.close(s);
    s = must_open(&wish, &f);
    assert_int_equal(f.width, 400);
    assert_int_equal(f.height, 300);
    frame_unref(must_next(s, &lost));
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
    struct source *s = must_open(&wish, &f);
    stop_request(bench.stop);
    assert_int_equal(source_v4l2.next(s, &frame, &lost, &err), -ECANCELED);
    source_v4l2.close(s);
}

static void expect_error(int code, const char *text)
{
    const struct source_wish wish = { .width = 320, .height = 240, .format = FORMAT_YUYV };
    struct source *s;
    struct format f;
    struct err err;
    assert_int_equal(open_camera(&s, &wish, &f, &err), code);
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
    struct device config = { path };
    const struct source_wish wish = { 0 };
    struct source *s = NULL;
    struct format f;
    int code = source_v4l2.open(&s, &wish, &config, bench.stop, &f, err);
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
    struct device none = { NULL };
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
    struct source *s = must_open(&wish, &f);
    assert_int_equal(f.range, COLOR_RANGE_FULL);
    source_v4l2.close(s);
    bench_camera_is("PCS_FAKE_QUANTIZATION", "default");
    for (int i = 0; i < 2; i++) {
        unsigned lost = 0;
        bench_camera_is("PCS_FAKE_STAMP", stamps[i]);
        s = must_open(&wish, &f);
        assert_int_equal(f.range, COLOR_RANGE_LIMITED);
        assert_int_equal(f.matrix, COLOR_MATRIX_601);
        const struct frame *frame = must_next(s, &lost);
        assert_in_range(clock_now_us() - frame->capture_us, 0, CLOCK_S);
        frame_unref(frame);
        source_v4l2.close(s);
    }
}

static void *unref_later(void *arg)
{
    const struct frame **frames = arg;
    for (int i = 0; i < 4; i++) {
        frame_unref(frames[i]);
    }
    return NULL;
}

static void frames_return_from_another_thread(void **state)
{
    (void)state;
    const struct source_wish wish = { .width = 320, .height = 240, .format = FORMAT_YUYV };
    struct format f;
    unsigned lost = 0;
    struct source *s = must_open(&wish, &f);
    for (int round = 0; round < 5; round++) {
        const struct frame *frames[4];
        pthread_t thread;
        for (int i = 0; i < 4; i++) {
            frames[i] = must_next(s, &lost);
        }
        assert_int_equal(pthread_create(&thread, NULL, unref_later, frames), 0);
        if (round == 4) {
            source_v4l2.close(s); /* while they come back */
        }
        pthread_join(thread, NULL);
    }
}

/* What a usual USB 2 webcam offers. */
static const struct v4l2_offer webcam[] = {
    { FORMAT_YUYV, 1, 640, 480, 30 },  { FORMAT_YUYV, 1, 1280, 720, 10 },
    { FORMAT_YUYV, 1, 1920, 1080, 5 }, { FORMAT_JPEG, 2, 640, 480, 30 },
    { FORMAT_JPEG, 2, 1280, 720, 30 }, { FORMAT_JPEG, 2, 1920, 1080, 30 },
    { FORMAT_H264, 3, 1280, 720, 30 },
};

static void expect_choice(struct source_wish wish, enum format_id id, int width)
{
    const struct v4l2_offer *o = v4l2_choose(webcam, sizeof webcam / sizeof webcam[0], &wish);
    assert_non_null(o);
    assert_int_equal(o->id, id);
    assert_int_equal(o->width, width);
}

static void chooses_as_a_user_would(void **state)
{
    (void)state;
    expect_choice((struct source_wish){ 0 }, FORMAT_H264, 1280);
    expect_choice((struct source_wish){ .codec = FORMAT_JPEG }, FORMAT_JPEG, 1280);
    expect_choice((struct source_wish){ .width = 1920, .height = 1080 }, FORMAT_JPEG, 1920);
    /* Raw is better food for the encoder, when it is fast enough. */
    struct source_wish vga = { .width = 640, .height = 480, .codec = FORMAT_H264 };
    expect_choice(vga, FORMAT_YUYV, 640);
    vga.width = 1920, vga.height = 1080;
    expect_choice(vga, FORMAT_JPEG, 1920);
    vga.fps = 5;
    expect_choice(vga, FORMAT_YUYV, 1920);
    /* The nearest size; a named format before everything. */
    expect_choice((struct source_wish){ .width = 700, .height = 500, .codec = FORMAT_JPEG },
                  FORMAT_JPEG, 640);
    expect_choice((struct source_wish){ .format = FORMAT_YUYV }, FORMAT_YUYV, 640);
    expect_choice((struct source_wish){ .height = 1080, .format = FORMAT_YUYV }, FORMAT_YUYV, 1920);
    const struct source_wish nv12 = { .format = FORMAT_NV12 }, jpeg = { .codec = FORMAT_JPEG };
    assert_null(v4l2_choose(webcam, sizeof webcam / sizeof webcam[0], &nv12));
    assert_null(v4l2_choose(&webcam[6], 1, &jpeg)); /* nobody here decodes H.264 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(gives_every_raw_format, setup, teardown),
        cmocka_unit_test_setup_teardown(hands_out_the_drivers_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(frames_outlive_the_device, setup, teardown),
        cmocka_unit_test_setup_teardown(gives_the_newest_and_counts_the_rest, setup, teardown),
        cmocka_unit_test_setup_teardown(counts_frames_the_driver_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(drops_what_is_damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(h264_comes_whole_and_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(jpeg_comes_untouched, setup, teardown),
        cmocka_unit_test_setup_teardown(unplugged_is_noticed_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(silence_is_reported, setup, teardown),
        cmocka_unit_test_setup_teardown(changed_format_is_reported, setup, teardown),
        cmocka_unit_test_setup_teardown(stop_ends_a_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(says_what_is_wrong, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_what_is_no_device, setup, teardown),
        cmocka_unit_test_setup_teardown(follows_a_link, setup, teardown),
        cmocka_unit_test_setup_teardown(finds_the_first_camera, setup, teardown),
        cmocka_unit_test_setup_teardown(colors_and_stamps_come_from_the_driver, setup, teardown),
        cmocka_unit_test_setup_teardown(frames_return_from_another_thread, setup, teardown),
        cmocka_unit_test(chooses_as_a_user_would),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
