/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "pcs/frame.h"
#include "pcs/thread.h"

static struct frame *released;
static pthread_t released_in;
static int releases;

static void note_release(struct frame *frame)
{
    released = frame;
    released_in = pthread_self();
    releases++;
}

static void the_last_unref_releases(void **state)
{
    (void)state;
    struct frame frame;
    int owner;
    memset(&frame, 0xff, sizeof frame); /* init takes any memory */
    releases = 0;
    frame_init(&frame, note_release, &owner);
    assert_ptr_equal(frame.owner, &owner);
    assert_null(frame.data);
    assert_int_equal(frame.seq, 0);
    assert_int_equal(frame.flags, 0);
    assert_ptr_equal(frame_ref(&frame), &frame);
    frame_unref(&frame);
    assert_int_equal(releases, 0);
    frame_unref(&frame);
    assert_int_equal(releases, 1);
    assert_ptr_equal(released, &frame);
    frame_unref(NULL);
}

static void ref_and_unref(void *arg)
{
    const struct frame *frame = arg;
    for (int i = 0; i < 20000; i++) {
        frame_unref(frame_ref(frame));
    }
    frame_unref(frame);
}

static void counts_across_threads(void **state)
{
    (void)state;
    struct frame *frame = malloc(sizeof *frame);
    struct thread threads[4];
    releases = 0;
    frame_init(frame, note_release, NULL);
    frame->seq = 42;
    for (int i = 0; i < 4; i++) {
        (void)frame_ref(frame);
        assert_int_equal(thread_start(&threads[i], "reader", ref_and_unref, frame), 0);
    }
    frame_unref(frame);
    for (int i = 0; i < 4; i++) {
        thread_join(&threads[i]);
    }
    assert_int_equal(releases, 1);
    free(frame);
}

static void drop_last(void *arg)
{
    frame_unref(arg);
}

static void release_happens_where_the_last_reader_is(void **state)
{
    (void)state;
    struct frame frame;
    struct thread thread;
    frame_init(&frame, note_release, NULL);
    assert_int_equal(thread_start(&thread, "last", drop_last, &frame), 0);
    thread_join(&thread);
    assert_false(pthread_equal(released_in, pthread_self()));
}

static void planes_point_into_the_picture(void **state)
{
    (void)state;
    static uint8_t picture[641 * 481 + 2 * 321 * 241];
    struct frame f;
    frame_init(&f, note_release, NULL);
    f.format = (struct format){ .id = FORMAT_YU12, .width = 641, .height = 481 };
    f.data = picture;
    f.size = sizeof picture;
    assert_int_equal(frame_set_planes(&f, 0), 0);
    assert_ptr_equal(f.plane[0], picture);
    assert_ptr_equal(f.plane[1], picture + 641 * 481);
    assert_ptr_equal(f.plane[2], picture + 641 * 481 + 321 * 241);
    assert_int_equal(f.stride[0], 641);
    assert_int_equal(f.stride[2], 321);
    assert_ptr_equal(f.plane[2] + 321 * 241, picture + sizeof picture); /* ends where it ends */
}

static void a_picture_too_short_has_no_planes(void **state)
{
    (void)state;
    static uint8_t picture[640 * 480 * 2];
    struct frame f;
    frame_init(&f, note_release, NULL);
    f.format = (struct format){ .id = FORMAT_YUYV, .width = 640, .height = 480 };
    f.data = picture;
    f.size = sizeof picture - 1;
    assert_int_equal(frame_set_planes(&f, 0), -EINVAL);
    f.size = sizeof picture;
    assert_int_equal(frame_set_planes(&f, 0), 0);
    assert_int_equal(frame_set_planes(&f, 1281), -EINVAL); /* padding that is not there */
    f.format.id = FORMAT_JPEG;
    assert_int_equal(frame_set_planes(&f, 0), -EINVAL);
}

static void meta_is_all_but_bytes_and_owner(void **state)
{
    (void)state;
    uint8_t bytes[4];
    struct frame from, to;
    frame_init(&from, note_release, bytes);
    from.format = (struct format){ FORMAT_H264, 64, 48, 25, 1, COLOR_RANGE_FULL, COLOR_MATRIX_709 };
    from.flags = FRAME_KEY | FRAME_REPLAY;
    from.seq = 7;
    from.capture_us = 8;
    from.wall_us = 9;
    from.pts_delay_us = 10;
    from.stage_us[STAGE_RECEIVED] = 11;
    from.data = from.buffer = bytes;
    from.size = from.capacity = sizeof bytes;
    (void)frame_ref(&from);
    frame_init(&to, note_release, NULL);
    frame_copy_meta(&to, &from);
    assert_memory_equal(&to.format, &from.format, sizeof to.format);
    assert_int_equal(to.flags, FRAME_KEY | FRAME_REPLAY);
    assert_int_equal(to.seq, 7);
    assert_int_equal(to.capture_us, 8);
    assert_int_equal(to.wall_us, 9);
    assert_int_equal(to.pts_delay_us, 10);
    assert_int_equal(to.stage_us[STAGE_RECEIVED], 11);
    assert_null(to.data);
    assert_null(to.buffer);
    assert_null(to.owner);
    assert_int_equal(to.size, 0);
    assert_int_equal(atomic_load(&to.refs), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_unref_releases),
        cmocka_unit_test(counts_across_threads),
        cmocka_unit_test(release_happens_where_the_last_reader_is),
        cmocka_unit_test(planes_point_into_the_picture),
        cmocka_unit_test(a_picture_too_short_has_no_planes),
        cmocka_unit_test(meta_is_all_but_bytes_and_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
