/* SPDX-License-Identifier: MIT */
/* The newest frames in memory, and the file that they become. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcs/frame.h"
#include "pcs/log.h"
#include "record/dump.h"
#include "record/recent.h"
#include "record_clip.h"

#define GOP 5

static unsigned released;

static void count_release(struct frame *frame)
{
    released++;
    free(frame);
}

static struct frame *new_frame(uint64_t seq, bool key, size_t size)
{
    static const uint8_t bytes[1];
    struct frame *f = calloc(1, sizeof *f);
    frame_init(f, count_release, NULL);
    f->seq = seq;
    f->flags = key ? FRAME_KEY : 0;
    f->capture_us = (int64_t)seq * 1000;
    f->data = bytes;
    f->size = size;
    return f;
}

static bool add(struct recent *r, uint64_t seq, bool key, size_t size)
{
    struct frame *f = new_frame(seq, key, size);
    bool taken = recent_add(r, f);
    frame_unref(f);
    return taken;
}

static unsigned drop_surplus(struct recent *r, size_t at_once)
{
    const struct frame *out[16];
    unsigned all = 0;
    size_t n;
    while ((n = recent_take_surplus(r, out, at_once)) > 0) {
        for (size_t i = 0; i < n; i++) {
            frame_unref(out[i]);
        }
        all += (unsigned)n;
    }
    return all;
}

static void it_begins_with_a_key_frame(void **state)
{
    struct recent r;
    (void)state;
    recent_init(&r, 1 << 20);
    assert_false(add(&r, 1, false, 100));
    assert_true(add(&r, 2, true, 100));
    assert_true(add(&r, 3, false, 100));
    assert_int_equal(r.count, 2);
    assert_int_equal(r.bytes, 2 * 4096);
    assert_int_equal(recent_span_us(&r), 1000);
    recent_finish(&r);
}

static void whole_groups_go(void **state)
{
    struct recent r;
    (void)state;
    recent_init(&r, 12 * 10000);
    for (uint64_t seq = 1; seq <= 1000; seq++) {
        assert_true(add(&r, seq, seq % GOP == 1, 10000));
        (void)drop_surplus(&r, 3);
        const struct frame *first;
        uint64_t next = 0;
        assert_int_equal(recent_copy(&r, &next, &first, 1), 1);
        assert_true(first->flags & FRAME_KEY && first->seq % GOP == 1);
        frame_unref(first);
        assert_true(r.bytes <= 120000);
        assert_true(seq < 13 || r.count > 12 - GOP);
    }
    released = 0;
    size_t left = r.count;
    recent_finish(&r);
    assert_int_equal(released, left);
}

/* While a group is on its way out, a copy begins behind it. */
static void a_group_in_part_is_not_copied(void **state)
{
    struct recent r;
    const struct frame *out[16];
    (void)state;
    recent_init(&r, 7 * 10000);
    for (uint64_t seq = 1; seq <= 8; seq++) {
        assert_true(add(&r, seq, seq % GOP == 1, 10000));
    }
    assert_int_equal(recent_take_surplus(&r, out, 2), 2);
    frame_unref(out[0]);
    frame_unref(out[1]);
    uint64_t next = 0;
    assert_int_equal(recent_copy(&r, &next, out, 16), 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(out[i]->seq, 6 + i);
        frame_unref(out[i]);
    }
    assert_int_equal(drop_surplus(&r, 16), 3);
    assert_int_equal(r.count, 3);
    recent_finish(&r);
}

/* Expects numbers `from` to `to`, `to` not included. */
static void expect_copied(struct recent *r, uint64_t *next, size_t max, uint64_t from, uint64_t to)
{
    const struct frame *out[16];
    size_t n = recent_copy(r, next, out, max);
    assert_int_equal(n, to - from);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(out[i]->seq, from + i);
        frame_unref(out[i]);
    }
}

static void a_copy_is_taken_bit_by_bit(void **state)
{
    struct recent r;
    uint64_t next = 0, seq = 0;
    (void)state;
    recent_init(&r, 20 * 10000);
    while (seq < 18) {
        seq++;
        assert_true(add(&r, seq, seq % GOP == 1, 10000));
    }
    expect_copied(&r, &next, 4, 1, 5);
    expect_copied(&r, &next, 16, 5, 19);
    expect_copied(&r, &next, 16, 19, 19);
    next = 0;
    expect_copied(&r, &next, 4, 1, 5);
    while (seq < 22) {
        seq++;
        assert_true(add(&r, seq, seq % GOP == 1, 10000));
    }
    assert_int_equal(drop_surplus(&r, 16), 5); /* what is copied has gone: that is no matter */
    expect_copied(&r, &next, 3, 6, 9);
    while (seq < 32) {
        seq++;
        assert_true(add(&r, seq, seq % GOP == 1, 10000));
    }
    assert_int_equal(drop_surplus(&r, 16), 10); /* overtaken: on with a key frame */
    expect_copied(&r, &next, 2, 16, 18);
    recent_finish(&r);
}

static void a_group_that_is_too_large_goes_whole(void **state)
{
    struct recent r;
    (void)state;
    recent_init(&r, 30000);
    assert_true(add(&r, 1, true, 20000));
    assert_true(add(&r, 2, false, 20000));
    assert_int_equal(drop_surplus(&r, 16), 2);
    assert_false(add(&r, 3, false, 100)); /* nothing that it refers to is there */
    assert_true(add(&r, 4, true, 100));
    assert_int_equal(r.count, 1);
    recent_finish(&r);
}

/* ---- dumps ---- */

static void on_opened(void *arg, const char *path)
{
    (void)snprintf(arg, 300, "%s", path);
}

static void expect_dump(bool jpeg)
{
    char *folder = scratch_new(), *pattern = scratch_path(folder, "%n-ram.mp4");
    struct clip *clip = clip_new(&(struct clip_options){ .frames = 30, .jpeg = jpeg });
    _Atomic int64_t deadline_us = INT64_MAX;
    struct frame *frames[30];
    char path[300] = "";
    for (int i = 0; i < 30; i++) {
        frames[i] = clip_frame(clip, i, (uint64_t)i + 7, 5000000 + (int64_t)i * 100000 / 3);
    }
    const struct dump dump = { .pattern = pattern,
                               .name = "cam",
                               .frames = (const struct frame *const *)frames,
                               .count = 30,
                               .deadline_us = &deadline_us,
                               .opened = on_opened,
                               .arg = path };
    assert_int_equal(dump_write(&dump, NULL), 0);
    struct readback r;
    readback_open(&r, path);
    assert_true(r.clean && !r.fragmented && r.has_mark);
    assert_int_equal(r.count, 30);
    expect_frames(&r, 0, frames, 30);
    readback_close(&r);
    for (int i = 0; i < 30; i++) {
        frame_unref(frames[i]);
    }
    clip_free(clip);
    free(pattern);
    scratch_free(folder);
}

static void dumps_are_whole(void **state)
{
    (void)state;
    expect_dump(false);
    expect_dump(true);
    assert_int_equal(clip_frames_alive(), 0);
}

static void what_cannot_be_written_is_said(void **state)
{
    struct clip *clip = clip_new(&(struct clip_options){ .frames = 1 });
    _Atomic int64_t deadline_us = INT64_MAX;
    struct frame *frame = clip_frame(clip, 0, 1, 1000000);
    const struct frame *frames[] = { frame };
    struct dump dump = { .pattern = "/nonexistent/x.mp4",
                         .name = "cam",
                         .frames = frames,
                         .count = 1,
                         .deadline_us = &deadline_us };
    struct err err = { 0 };
    (void)state;
    assert_int_equal(dump_write(&dump, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/nonexistent"));
    deadline_us = 0;
    assert_int_equal(dump_write(&dump, &err), -ECANCELED);
    frame_unref(frame);
    clip_free(clip);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_begins_with_a_key_frame),
        cmocka_unit_test(whole_groups_go),
        cmocka_unit_test(a_group_in_part_is_not_copied),
        cmocka_unit_test(a_copy_is_taken_bit_by_bit),
        cmocka_unit_test(a_group_that_is_too_large_goes_whole),
        cmocka_unit_test(dumps_are_whole),
        cmocka_unit_test(what_cannot_be_written_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
