/* SPDX-License-Identifier: MIT */
/* The memory of the v4l2 source's frames: whose it is, how long it lives, who else may read it. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "camera_bench.h"
#include "capture/source.h"
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
    struct source *s = v4l2_bench_open(&bench, &wish, &f);
    const struct frame *frame = v4l2_bench_next(s, &lost);
    assert_true(in_camera_memory(frame->data, frame->size));
    assert_ptr_equal(frame->plane[0], frame->data);
    assert_ptr_equal(frame->plane[1], frame->data + 640 * 480);
    const void *at = frame->data;
    frame_unref(frame);
    source_v4l2.close(s);
    assert_false(in_camera_memory(at, 1)); /* the last holder unmapped it */
}

/* NM12: each plane in a mapping of its own, which data and size do not pretend to span. */
static void hands_out_each_memory(void **state)
{
    (void)state;
    const struct source_wish wish = { .width = 320, .height = 240, .format = FORMAT_NV12 };
    struct format f;
    unsigned lost = 0;
    bench_camera_is("PCS_FAKE_KIND", "mplane");
    bench_camera_is("PCS_FAKE_FORMATS", "NM12");
    struct source *s = v4l2_bench_open(&bench, &wish, &f);
    const struct frame *frame = v4l2_bench_next(s, &lost);
    const void *at[2] = { frame->plane[0], frame->plane[1] };
    assert_ptr_equal(frame->data, at[0]);
    assert_int_equal(frame->size, 320 * 240);
    assert_true(in_camera_memory(at[0], 320 * 240));
    assert_true(in_camera_memory(at[1], 320 * 120));
    assert_int_equal(frame->dmabuf_fd, -1);
    source_v4l2.close(s);
    assert_true(in_camera_memory(at[1], 320 * 120)); /* as long as the frame lives */
    frame_unref(frame);
    assert_false(in_camera_memory(at[0], 1));
    assert_false(in_camera_memory(at[1], 1));
}

/* What another driver would read there is the picture. */
static void exports_raw_buffers(void **state)
{
    (void)state;
    static const char *const kinds[] = { "camera", "mplane" };
    const struct source_wish wish = { .width = 320, .height = 240, .format = FORMAT_NV12 };
    for (int i = 0; i < 2; i++) {
        struct format f;
        unsigned lost = 0;
        bench_camera_is("PCS_FAKE_KIND", kinds[i]);
        struct source *s = v4l2_bench_open(&bench, &wish, &f);
        int fds = bench_fds(), fd[12];
        for (int k = 0; k < 12; k++) {
            const struct frame *frame = v4l2_bench_next(s, &lost);
            static uint8_t copy[320 * 240 * 3 / 2];
            fd[k] = frame->dmabuf_fd;
            assert_true(fd[k] >= 0);
            assert_int_equal(pread(fd[k], copy, sizeof copy, 0), sizeof copy);
            assert_memory_equal(copy, frame->data, frame->size);
            frame_unref(frame);
        }
        assert_int_equal(fd[0], fd[6]); /* one for each of the six buffers, made once */
        assert_int_equal(bench_fds(), fds);
        source_v4l2.close(s);
    }
    bench_camera_is("PCS_FAKE_FRONT", "64"); /* the picture is not where the memory begins */
    struct format f;
    unsigned lost = 0;
    struct source *s = v4l2_bench_open(&bench, &wish, &f);
    const struct frame *frame = v4l2_bench_next(s, &lost);
    assert_int_equal(frame->dmabuf_fd, -1);
    frame_unref(frame);
    source_v4l2.close(s);
}

static void two_buffers_are_enough(void **state)
{
    (void)state;
    bench_camera_is("PCS_FAKE_BUFFERS", "2");
    const struct source_wish wish = { .width = 320, .height = 240, .format = FORMAT_GREY };
    struct format f;
    unsigned lost = 0, captured = 0;
    struct source *s = v4l2_bench_open(&bench, &wish, &f);
    const struct frame *frame = v4l2_bench_next(s, &lost);
    uint32_t first = v4l2_bench_number(frame), last = first;
    lost = 0;
    for (; captured < 10; captured++) {
        const struct frame *next = v4l2_bench_next(s, &lost);
        last = v4l2_bench_number(next);
        frame_unref(frame); /* one is always held */
        frame = next;
    }
    assert_int_equal(captured + lost, last - first);
    frame_unref(frame);
    source_v4l2.close(s);
}

static void frames_outlive_the_device(void **state)
{
    (void)state;
    const struct source_wish wish = { .width = 320, .height = 240, .format = FORMAT_GREY };
    struct format f;
    unsigned lost = 0;
    struct source *s = v4l2_bench_open(&bench, &wish, &f);
    const struct frame *first = v4l2_bench_next(s, &lost), *second = v4l2_bench_next(s, &lost);
    uint32_t number = v4l2_bench_number(first);
    source_v4l2.close(s);
    assert_int_equal(v4l2_bench_number(first), number);

    /* The device is free although old buffers are still mapped; and giving those back does not give
     * it the new ones of the same number, which would then be painted over. */
    s = v4l2_bench_open(&bench, &wish, &f);
    const struct frame *held = v4l2_bench_next(s, &lost);
    uint32_t held_number = v4l2_bench_number(held);
    assert_int_equal(v4l2_bench_number(second), number + 1);
    frame_unref(first);
    frame_unref(second);
    for (int i = 0; i < 8; i++) {
        frame_unref(v4l2_bench_next(s, &lost));
    }
    assert_int_equal(v4l2_bench_number(held), held_number);
    frame_unref(held);
    source_v4l2.close(s);
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
    struct source *s = v4l2_bench_open(&bench, &wish, &f);
    for (int round = 0; round < 5; round++) {
        const struct frame *frames[4];
        pthread_t thread;
        for (int i = 0; i < 4; i++) {
            frames[i] = v4l2_bench_next(s, &lost);
        }
        assert_int_equal(pthread_create(&thread, NULL, unref_later, frames), 0);
        if (round == 4) {
            source_v4l2.close(s); /* while they come back */
        }
        pthread_join(thread, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(hands_out_the_drivers_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(hands_out_each_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(exports_raw_buffers, setup, teardown),
        cmocka_unit_test_setup_teardown(two_buffers_are_enough, setup, teardown),
        cmocka_unit_test_setup_teardown(frames_outlive_the_device, setup, teardown),
        cmocka_unit_test_setup_teardown(frames_return_from_another_thread, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
