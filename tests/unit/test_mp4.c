/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pcs/clock.h"
#include "pcs/err.h"
#include "pcs/frame.h"
#include "record/mp4.h"
#include "record/moof.h"
#include "record/naming.h"
#include "record/params.h"
#include "record/plain.h"
#include "record_clip.h"

#define FRAMES 240

struct fixture {
    char *folder, *path;
    struct naming naming;
    struct frame *frame[FRAMES];
    int count;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->folder = scratch_new();
    f->path = scratch_path(f->folder, "out.mp4");
    f->naming = (struct naming){ f->path, "cam", 1 };
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < f->count; i++) {
        frame_unref(f->frame[i]);
    }
    assert_int_equal(clip_frames_alive(), 0);
    scratch_free(f->folder);
    free(f->path);
    free(f);
    return 0;
}

/* 30 fps with jitter; now and then some seconds, or ten minutes, are missing. */
static int64_t irregular_us(int i)
{
    int64_t us = (int64_t)i * 100000 / 3 + (i * 7919) % 9001;
    us += i >= 50 ? 3 * CLOCK_S + 1 : 0;
    us += i >= 120 ? 600 * CLOCK_S + 7 : 0;
    return us + INT64_C(123456789012);
}

static void make_frames(struct fixture *f, const struct clip_options *o, int count)
{
    struct clip *clip = clip_new(o);
    for (int i = 0; i < count; i++) {
        f->frame[f->count++] = clip_frame(clip, i, (uint64_t)i + 1, irregular_us(i));
    }
    clip_free(clip);
}

static struct mp4 *begin(const struct frame *key)
{
    struct params params;
    assert_int_equal(params_collect(key, &params), 0);
    struct mp4 *m = NULL;
    assert_int_equal(mp4_new(&m, key, &params), 0);
    return m;
}

static void flush_ok(struct fixture *f, struct mp4 *m)
{
    struct err err = { 0 };
    int ret = mp4_flush(m, &f->naming, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(ret, 0);
}

static struct mp4_closed write_all(struct fixture *f, int per_flush)
{
    struct mp4_closed closed;
    struct mp4 *m = begin(f->frame[0]);
    for (int i = 0; i < f->count; i++) {
        assert_int_equal(mp4_add(m, f->frame[i]), 0);
        if (i % per_flush == per_flush - 1) {
            flush_ok(f, m);
        }
    }
    flush_ok(f, m);
    mp4_close(m, &closed);
    return closed;
}

static void expect_file(struct fixture *f, bool fragmented)
{
    struct readback r;
    readback_open(&r, f->path);
    assert_true(r.clean);
    assert_int_equal(r.fragmented, fragmented);
    assert_int_equal(r.has_mark, true);
    assert_true(r.index_first);
    assert_int_equal(r.width, f->frame[0]->format.width);
    assert_int_equal(r.height, f->frame[0]->format.height);
    assert_int_equal(r.count, f->count);
    assert_int_equal(r.sample[0].dts, 0);
    if (r.sample[0].pts == 0) { /* else it counts from the first presented to the last */
        assert_int_equal(r.duration, r.sample[r.count - 1].dts + 3000); /* at 30 fps */
    }
    expect_frames(&r, 0, f->frame, f->count);
    readback_close(&r);
}

static void check_both_shapes(struct fixture *f, int per_flush)
{
    struct mp4_closed closed = write_all(f, per_flush);
    assert_string_equal(closed.path, f->path);
    assert_int_equal(closed.samples, f->count);
    expect_file(f, true);
    expect_plays(f->path, false);
    assert_int_equal(plain_make(&closed, NULL, NULL), 0);
    mp4_closed_finish(&closed);
    expect_file(f, false);
    expect_plays(f->path, false);
    assert_int_equal(scratch_count(f->folder), 1);
}

static void h264_keeps_bytes_and_times(void **state)
{
    struct fixture *f = *state;
    make_frames(f, &(struct clip_options){ 0 }, FRAMES);
    check_both_shapes(f, 30);
}

static void delimiters_slices_and_b_frames(void **state)
{
    struct fixture *f = *state;
    make_frames(f, &(struct clip_options){ .frames = 60, .bframes = 2, .x264 = "aud=1:slices=4" },
                60);
    check_both_shapes(f, 7);
}

static void jpeg_keeps_bytes_and_times(void **state)
{
    struct fixture *f = *state;
    make_frames(f, &(struct clip_options){ .jpeg = true }, 60);
    check_both_shapes(f, 1);
}

/* What the stream says of its colours (x264's options) or, where it is silent, the frame's format. */
static void check_colour(struct fixture *f, const char *x264, const struct format *said,
                         const int want[4])
{
    struct readback r;
    make_frames(f, &(struct clip_options){ .frames = 10, .x264 = x264 }, 10);
    for (int i = 0; i < 10; i++) {
        f->frame[i]->format.range = said->range;
        f->frame[i]->format.matrix = said->matrix;
        f->frame[i]->format.primaries = said->primaries;
        f->frame[i]->format.transfer = said->transfer;
    }
    struct mp4_closed closed = write_all(f, 10);
    for (int plain = 0; plain < 2; plain++) {
        readback_open(&r, f->path);
        assert_int_equal(r.color_range, want[0]);
        assert_int_equal(r.color_space, want[1]);
        assert_int_equal(r.color_primaries, want[2]);
        assert_int_equal(r.color_transfer, want[3]);
        readback_close(&r);
        assert_int_equal(plain ? 0 : plain_make(&closed, NULL, NULL), 0);
    }
    mp4_closed_finish(&closed);
}

/* Numbers of ITU-T H.273; range 2 is full, 1 limited. */
static void colour_is_told(void **state)
{
    check_colour(*state, "colormatrix=undef",
                 &(struct format){ .range = COLOR_RANGE_FULL, .matrix = COLOR_MATRIX_601 },
                 (int[]){ 2, 6, 6, 6 });
}

static void colour_of_hdr_is_told(void **state)
{
    check_colour(*state, "colormatrix=undef",
                 &(struct format){ .matrix = COLOR_MATRIX_2020, .transfer = COLOR_TRANSFER_PQ },
                 (int[]){ 1, 9, 9, 16 });
}

static void colour_in_the_stream_counts(void **state)
{
    check_colour(*state, "colormatrix=bt2020nc:colorprim=bt2020:transfer=bt2020-10:fullrange=on",
                 &(struct format){ .matrix = COLOR_MATRIX_709 }, (int[]){ 2, 9, 9, 14 });
}

static void grows_readable(void **state)
{
    struct fixture *f = *state;
    struct readback r;
    make_frames(f, &(struct clip_options){ 0 }, 100);
    struct mp4 *m = begin(f->frame[0]);
    for (int i = 0; i < f->count; i++) {
        assert_int_equal(mp4_add(m, f->frame[i]), 0);
        if (i % 20 == 19) {
            flush_ok(f, m);
            readback_open(&r, f->path);
            assert_true(r.clean);
            assert_int_equal(r.count, i + 1);
            expect_frames(&r, 0, f->frame, i + 1);
            readback_close(&r);
        }
    }
    expect_plays(f->path, false);
    mp4_free(m);
    assert_int_equal(scratch_count(f->folder), 1);
}

static void clock_oddities_do_not_break_it(void **state)
{
    struct fixture *f = *state;
    struct readback r;
    make_frames(f, &(struct clip_options){ .frames = 40 }, 40);
    f->frame[10]->capture_us = f->frame[9]->capture_us;          /* stands still */
    f->frame[20]->capture_us = f->frame[19]->capture_us - 50000; /* goes back */
    struct mp4_closed closed = write_all(f, 11);
    assert_int_equal(plain_make(&closed, NULL, NULL), 0);
    mp4_closed_finish(&closed);
    readback_open(&r, f->path);
    assert_int_equal(r.count, 40);
    for (int i = 1; i < 40; i++) {
        assert_true(r.sample[i].dts > r.sample[i - 1].dts);
    }
    assert_int_equal(r.sample[10].dts, r.sample[9].dts + 1);
    int64_t want = (f->frame[39]->capture_us - f->frame[0]->capture_us) * 9 / 100;
    assert_in_range(r.sample[39].dts, want, want + 1); /* nobody drifts for it */
    readback_close(&r);
    expect_plays(f->path, true); /* two frames within 11 us: ffmpeg at 30 fps says so */
}

static void nothing_written_leaves_no_file(void **state)
{
    struct fixture *f = *state;
    make_frames(f, &(struct clip_options){ .frames = 10 }, 10);
    struct mp4 *m = begin(f->frame[0]);
    assert_int_equal(mp4_add(m, f->frame[0]), 0);
    mp4_free(m);
    assert_int_equal(scratch_count(f->folder), 0);
}

static void a_full_fragment_says_so(void **state)
{
    struct fixture *f = *state;
    make_frames(f, &(struct clip_options){ .frames = 10 }, 10);
    struct mp4 *m = begin(f->frame[0]);
    int n = 0;
    while (mp4_add(m, f->frame[0]) == 0) {
        n++;
    }
    assert_in_range(n, 100, 1024);
    assert_int_equal(mp4_add(m, f->frame[0]), -EAGAIN);
    flush_ok(f, m);
    assert_int_equal(mp4_add(m, f->frame[0]), 0);
    assert_int_equal(mp4_pending(m), 1);
    mp4_free(m);
}

static void frames_without_pictures_are_refused(void **state)
{
    static const uint8_t only_delimiter[] = { 0, 0, 0, 1, 9, 0xF0 };
    struct fixture *f = *state;
    make_frames(f, &(struct clip_options){ .frames = 10 }, 10);
    struct mp4 *m = begin(f->frame[0]);
    f->frame[1]->data = only_delimiter;
    f->frame[1]->size = sizeof only_delimiter;
    assert_int_equal(mp4_add(m, f->frame[1]), -EBADMSG);
    f->frame[1]->size = 0;
    assert_int_equal(mp4_add(m, f->frame[1]), -EBADMSG);
    assert_int_equal(mp4_pending(m), 0);
    mp4_free(m);
}

static void a_picture_without_size_makes_no_file(void **state)
{
    struct fixture *f = *state;
    struct mp4 *m = NULL;
    struct params none = { .size = 0 };
    make_frames(f, &(struct clip_options){ .jpeg = true, .frames = 1 }, 1);
    f->frame[0]->format.width = 0;
    assert_int_equal(mp4_new(&m, f->frame[0], &none), -EINVAL);
}

static void a_moved_file_is_left_alone(void **state)
{
    struct fixture *f = *state;
    make_frames(f, &(struct clip_options){ .frames = 10 }, 10);
    struct mp4_closed closed = write_all(f, 10);
    char *moved = scratch_path(f->folder, "mine.mp4");
    assert_int_equal(rename(f->path, moved), 0);
    assert_int_equal(plain_make(&closed, NULL, NULL), -ESTALE);
    assert_int_equal(scratch_count(f->folder), 1);
    mp4_closed_finish(&closed);
    free(moved);
}

static bool always(void *arg)
{
    (void)arg;
    return true;
}

static void cancelling_leaves_it_fragmented(void **state)
{
    struct fixture *f = *state;
    make_frames(f, &(struct clip_options){ .frames = 10 }, 10);
    struct mp4_closed closed = write_all(f, 10);
    assert_int_equal(plain_make(&closed, always, NULL), -ECANCELED);
    mp4_closed_finish(&closed);
    assert_int_equal(scratch_count(f->folder), 1);
    expect_file(f, true);
}

static void a_wrong_count_replaces_nothing(void **state)
{
    struct fixture *f = *state;
    make_frames(f, &(struct clip_options){ .frames = 10 }, 10);
    struct mp4_closed closed = write_all(f, 10);
    closed.samples++;
    assert_int_equal(plain_make(&closed, NULL, NULL), -EBADMSG);
    mp4_closed_finish(&closed);
    assert_int_equal(scratch_count(f->folder), 1);
    expect_file(f, true);
}

static void plain_keeps_mode_and_age(void **state)
{
    struct fixture *f = *state;
    struct stat before, after;
    make_frames(f, &(struct clip_options){ .frames = 10 }, 10);
    struct mp4_closed closed = write_all(f, 10);
    assert_int_equal(chmod(f->path, 0640), 0);
    assert_int_equal(stat(f->path, &before), 0);
    assert_int_equal(plain_make(&closed, NULL, NULL), 0);
    assert_int_equal(stat(f->path, &after), 0);
    assert_int_equal(after.st_mode, before.st_mode);
    assert_memory_equal(&after.st_mtim, &before.st_mtim, sizeof after.st_mtim);
    assert_int_not_equal(after.st_ino, before.st_ino);
    mp4_closed_finish(&closed);
}

/* Thousands of tiny samples: the space that is kept for the index must do. */
static void the_index_always_fits(void **state)
{
    struct fixture *f = *state;
    struct readback r;
    struct mp4_closed closed;
    make_frames(f, &(struct clip_options){ .jpeg = true, .width = 16, .height = 16 }, 1);
    struct mp4 *m = begin(f->frame[0]);
    f->frame[0]->pts_delay_us =
        40000; /* every sample with an offset, key, and a length of its own */
    for (int i = 0; i < 20000; i++) {
        f->frame[0]->capture_us += 20000 + i % 7 * 100;
        f->frame[0]->pts_delay_us = i % 2 * 20000;
        if (mp4_add(m, f->frame[0]) == -EAGAIN) {
            flush_ok(f, m);
            assert_int_equal(mp4_add(m, f->frame[0]), 0);
        }
    }
    flush_ok(f, m);
    mp4_close(m, &closed);
    assert_int_equal(plain_make(&closed, NULL, NULL), 0);
    mp4_closed_finish(&closed);
    readback_open(&r, f->path);
    assert_int_equal(r.count, 20000);
    readback_close(&r);
}

static void moof_reads_what_it_wrote(void **state)
{
    (void)state;
    struct moof_sample samples[3] = { { 3000, 10, 0, true },
                                      { 3001, 20, 5, false },
                                      { 7, 30, 0, false } };
    uint8_t buf[256];
    struct moof_info info;
    assert_true(moof_capacity(3) <= sizeof buf);
    size_t n = moof_put(buf, sizeof buf, 9, UINT64_C(1) << 40, samples, 3);
    assert_int_equal(n, moof_capacity(3));
    assert_int_equal(moof_parse(buf, n - MDAT_HEADER, &info), 0);
    assert_int_equal(info.sequence, 9);
    assert_int_equal(info.samples, 3);
    assert_int_equal(info.dts, UINT64_C(1) << 40);
    assert_int_equal(info.bytes, 60);
    for (size_t cut = 0; cut < n - MDAT_HEADER; cut++) {
        assert_int_equal(moof_parse(buf, cut, &info), -EBADMSG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(h264_keeps_bytes_and_times, set_up, tear_down),
        cmocka_unit_test_setup_teardown(delimiters_slices_and_b_frames, set_up, tear_down),
        cmocka_unit_test_setup_teardown(jpeg_keeps_bytes_and_times, set_up, tear_down),
        cmocka_unit_test_setup_teardown(colour_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(colour_of_hdr_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(colour_in_the_stream_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(grows_readable, set_up, tear_down),
        cmocka_unit_test_setup_teardown(clock_oddities_do_not_break_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_written_leaves_no_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_fragment_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(frames_without_pictures_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_picture_without_size_makes_no_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_moved_file_is_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cancelling_leaves_it_fragmented, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wrong_count_replaces_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(plain_keeps_mode_and_age, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_index_always_fits, set_up, tear_down),
        cmocka_unit_test(moof_reads_what_it_wrote),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
