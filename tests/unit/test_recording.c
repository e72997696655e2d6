/* SPDX-License-Identifier: MIT */
/* Where files begin and end, and what failing writes do. Linked with pwritev and fdatasync wrapped. */
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
#include <sys/uio.h>
#include <unistd.h>

#include "pcs/clock.h"
#include "pcs/err.h"
#include "pcs/frame.h"
#include "pcs/log.h"
#include "record/mp4.h"
#include "record/plain.h"
#include "record/recording.h"
#include "record_clip.h"

#define FRAMES    240
#define MAX_FILES 64

struct fixture {
    char *folder, *pattern;
    struct frame *frame[FRAMES];
    int count;
    char *path[MAX_FILES];
    int opened, closed;
    struct recording *recording;
};

static struct {
    int write_fails, write_code; /* so many writes fail, each after half of its bytes */
    int sync_fails, sync_code;
} fault;

ssize_t __real_pwritev64(int fd, const struct iovec *iov, int count, off_t offset);
ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int count, off_t offset);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int count, off_t offset)
{
    if (fault.write_fails == 0) {
        return __real_pwritev64(fd, iov, count, offset);
    }
    if (count > 1) {
        return __real_pwritev64(fd, iov, (count + 1) / 2, offset); /* short: the rest fails next */
    }
    fault.write_fails--;
    errno = fault.write_code;
    return -1;
}

int __wrap_fdatasync(int fd)
{
    if (fault.sync_fails == 0) {
        return __real_fdatasync(fd);
    }
    fault.sync_fails--;
    errno = fault.sync_code;
    return -1;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    memset(&fault, 0, sizeof fault);
    log_set_level(LOG_ERROR);
    f->folder = scratch_new();
    f->pattern = scratch_path(f->folder, "%n.mp4");
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    recording_free(f->recording);
    for (int i = 0; i < f->count; i++) {
        frame_unref(f->frame[i]);
    }
    for (int i = 0; i < f->opened; i++) {
        free(f->path[i]);
    }
    assert_int_equal(clip_frames_alive(), 0);
    scratch_free(f->folder);
    free(f->pattern);
    free(f);
    return 0;
}

static void add_frames(struct fixture *f, const struct clip_options *o, int count)
{
    struct clip *clip = clip_new(o);
    for (int i = 0; i < count; i++) {
        int64_t us = 5000000 + (int64_t)f->count * 100000 / 3 + f->count % 5 * 777;
        f->frame[f->count] = clip_frame(clip, i, (uint64_t)f->count + 1, us);
        f->count++;
    }
    clip_free(clip);
}

static void opened(void *arg, const char *path)
{
    struct fixture *f = arg;
    assert_true(f->opened < MAX_FILES);
    f->path[f->opened++] = strdup(path);
}

static void closed(void *arg, struct mp4_closed *file)
{
    struct fixture *f = arg;
    f->closed++;
    assert_int_equal(plain_make(file, NULL, NULL), 0);
    mp4_closed_finish(file);
}

static void begin(struct fixture *f, int64_t time_us, int64_t bytes, bool replays)
{
    struct recording_config c = {
        .naming = { f->pattern, "cam", 1 },
        .segment_time_us = time_us,
        .segment_bytes = bytes,
        .replays = replays,
        .opened = opened,
        .closed = closed,
        .arg = f,
    };
    f->recording = recording_new(&c);
    assert_non_null(f->recording);
}

static void flush_ok(struct fixture *f)
{
    struct err err = { 0 };
    int ret = recording_flush(f->recording, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(ret, 0);
}

static void flush_fails(struct fixture *f, int code)
{
    struct err err = { 0 };
    assert_int_equal(recording_flush(f->recording, &err), code);
    assert_true(strlen(err.text) > 10);
}

static void add(struct fixture *f, int from, int to, int per_flush)
{
    for (int i = from; i < to; i++) {
        int ret = recording_add(f->recording, f->frame[i]);
        if (ret == -EAGAIN) {
            flush_ok(f);
            ret = recording_add(f->recording, f->frame[i]);
        }
        assert_int_equal(ret, 0);
        if (i % per_flush == per_flush - 1) {
            flush_ok(f);
        }
    }
}

static void end(struct fixture *f)
{
    flush_ok(f);
    recording_end(f->recording);
    assert_int_equal(f->closed, f->opened);
}

/* The files one after another are the frames from `from` on. Returns the largest file's bytes. */
static off_t expect_files(struct fixture *f, int files, int from)
{
    struct readback r;
    struct stat st;
    off_t largest = 0;
    assert_int_equal(f->opened, files);
    for (int i = 0; i < files; i++) {
        readback_open(&r, f->path[i]);
        assert_true(r.clean && r.index_first && !r.fragmented);
        assert_true(r.sample[0].key);
        assert_int_equal(r.sample[0].dts, 0);
        expect_frames(&r, 0, f->frame + from, r.count);
        from += r.count;
        readback_close(&r);
        expect_plays(f->path[i], false);
        assert_int_equal(stat(f->path[i], &st), 0);
        largest = st.st_size > largest ? st.st_size : largest;
    }
    assert_int_equal(from, f->count);
    return largest;
}

static void expect_totals(struct fixture *f, int written, int discarded)
{
    const struct recording_totals *t = recording_totals(f->recording);
    assert_int_equal(t->written, written);
    assert_int_equal(t->discarded, discarded);
    assert_int_equal(t->synced_seq, f->count);
}

static void one_file_holds_everything(void **state)
{
    struct fixture *f = *state;
    uint64_t bytes = 0;
    add_frames(f, &(struct clip_options){ 0 }, 200);
    begin(f, 0, 0, false);
    add(f, 0, 200, 30);
    end(f);
    expect_files(f, 1, 0);
    expect_totals(f, 200, 0);
    for (int i = 0; i < 200; i++) {
        bytes += f->frame[i]->size;
    }
    assert_int_equal(recording_totals(f->recording)->bytes, bytes);
}

static void time_segments_lose_nothing(void **state)
{
    struct fixture *f = *state;
    add_frames(f, &(struct clip_options){ .gop = 10 }, 200);
    begin(f, CLOCK_S, 0, false); /* every third key frame, in spite of the jitter */
    add(f, 0, 200, 7);
    end(f);
    expect_files(f, 7, 0);
    expect_totals(f, 200, 0);
}

static void size_segments_lose_nothing(void **state)
{
    struct fixture *f = *state;
    add_frames(f, &(struct clip_options){ .jpeg = true }, 200);
    int64_t limit = 20 * (int64_t)f->frame[0]->size;
    begin(f, 0, limit, false);
    add(f, 0, 200, 7);
    end(f);
    assert_in_range(f->opened, 10, 13);
    assert_true(expect_files(f, f->opened, 0) <=
                limit + 4096); /* room that was kept for the index */
    expect_totals(f, 200, 0);
}

static void new_parameter_sets_begin_a_file(void **state)
{
    struct fixture *f = *state;
    struct clip_options a = { .frames = 20 }, b = { .frames = 20, .width = 640, .height = 360 },
                        c = { .frames = 20, .width = 640, .height = 360, .x264 = "cabac=1" };
    add_frames(f, &a, 20);
    add_frames(f, &b, 20);
    add_frames(f, &c, 20);
    f->frame[40]->format = f->frame[20]->format; /* only the parameter sets tell */
    begin(f, 0, 0, false);
    add(f, 0, 60, 7);
    end(f);
    expect_files(f, 3, 0);
}

static void another_codec_begins_a_file(void **state)
{
    struct fixture *f = *state;
    add_frames(f, &(struct clip_options){ .frames = 20 }, 20);
    add_frames(f, &(struct clip_options){ .jpeg = true, .frames = 5 }, 5);
    add_frames(f, &(struct clip_options){ .jpeg = true, .frames = 5, .width = 64 }, 5);
    begin(f, 0, 0, false);
    add(f, 0, 30, 7);
    end(f);
    expect_files(f, 3, 0);
}

static void a_gap_of_a_day_begins_a_file(void **state)
{
    struct fixture *f = *state;
    add_frames(f, &(struct clip_options){ .frames = 40 }, 40);
    for (int i = 10; i < 40; i++) {
        f->frame[i]->capture_us += 3 * 3600 * CLOCK_S; /* fits */
        f->frame[i]->capture_us += i < 20 ? 0 : 24 * 3600 * CLOCK_S;
    }
    begin(f, 0, 0, false);
    add(f, 0, 40, 7);
    end(f);
    expect_files(f, 2, 0);
}

static void files_begin_with_a_key_frame(void **state)
{
    static const uint8_t no_sets[] = { 0, 0, 0, 1, 0x65, 0x88, 0x84 };
    struct fixture *f = *state;
    add_frames(f, &(struct clip_options){ .frames = 40 }, 40);
    f->frame[10]->data = no_sets; /* a key frame in name only */
    f->frame[10]->size = sizeof no_sets;
    begin(f, 0, 0, false);
    add(f, 3, 40, 7);
    end(f);
    expect_files(f, 1, 20);
    expect_totals(f, 20, 17);
}

static void an_empty_recording_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    add_frames(f, &(struct clip_options){ .frames = 40 }, 40);
    begin(f, 0, 0, false);
    add(f, 3, 9, 100);
    end(f);
    assert_int_equal(f->opened, 0);
    assert_int_equal(scratch_count(f->folder), 0);
}

/* Half a fragment on a full disk, then half of the retry, then room. */
static void a_full_disk_loses_nothing(void **state)
{
    struct fixture *f = *state;
    add_frames(f, &(struct clip_options){ 0 }, 200);
    begin(f, 0, 0, true);
    add(f, 0, 30, 30);
    add(f, 30, 55, 100);
    struct stat before, after;
    assert_int_equal(stat(f->path[0], &before), 0);
    fault.write_fails = 7;
    fault.write_code = ENOSPC;
    for (int i = 0; i < 7; i++) {
        flush_fails(f, -ENOSPC);
        assert_int_equal(stat(f->path[0], &after), 0);
        assert_int_equal(after.st_size, before.st_size);
    }
    assert_int_equal(recording_totals(f->recording)->synced_seq, 30);
    add(f, 55, 200, 30);
    end(f);
    expect_files(f, 1, 0);
    expect_totals(f, 200, 0);
}

static void a_full_disk_at_the_first_write(void **state)
{
    struct fixture *f = *state;
    add_frames(f, &(struct clip_options){ .frames = 40 }, 40);
    begin(f, 0, 0, false);
    add(f, 0, 15, 100);
    fault.write_fails = 5;
    fault.write_code = ENOSPC;
    for (int i = 0; i < 5; i++) {
        flush_fails(f, -ENOSPC);
    }
    add(f, 15, 40, 30);
    end(f);
    expect_files(f, 1, 0);
    expect_totals(f, 40, 0);
    assert_int_equal(scratch_count(f->folder), 1);
}

static void a_failed_sync_writes_again(void **state)
{
    struct fixture *f = *state;
    add_frames(f, &(struct clip_options){ .frames = 40 }, 40);
    begin(f, 0, 0, false);
    add(f, 0, 35, 30);
    fault.sync_fails = 2;
    fault.sync_code = EIO;
    flush_fails(f, -EIO);
    flush_fails(f, -EIO);
    add(f, 35, 40, 100);
    end(f);
    expect_files(f, 1, 0);
    expect_totals(f, 40, 0);
}

static void a_lost_file_goes_on_in_another(void **state)
{
    struct fixture *f = *state;
    uint64_t seq, frames;
    add_frames(f, &(struct clip_options){ .frames = 60, .gop = 10 }, 60);
    begin(f, 0, 0, false);
    add(f, 0, 15, 15);
    add(f, 15, 33, 100);
    assert_int_equal(unlink(f->path[0]), 0);
    flush_fails(f, -ESTALE);
    assert_false(recording_take_lost(f->recording, &seq, &frames));
    add(f, 33, 60, 100); /* 15 to 19 had no key frame to begin with */
    flush_ok(f);
    recording_end(f->recording);
    assert_int_equal(f->opened, 2);
    free(f->path[0]);
    f->path[0] = f->path[1];
    f->opened = 1;
    expect_files(f, 1, 20);
    expect_totals(f, 55, 5);
}

static void a_broken_file_is_given_up_and_kept(void **state)
{
    struct fixture *f = *state;
    struct readback r;
    uint64_t seq, frames;
    add_frames(f, &(struct clip_options){ .frames = 60, .gop = 10 }, 60);
    begin(f, 0, 0, true);
    add(f, 0, 15, 15);
    add(f, 15, 33, 100);
    fault.sync_fails = 3;
    fault.sync_code = EIO;
    for (int i = 0; i < 3; i++) {
        assert_false(recording_take_lost(f->recording, &seq, &frames));
        flush_fails(f, -EIO);
    }
    assert_true(recording_take_lost(f->recording, &seq, &frames));
    assert_int_equal(seq, 16);
    assert_int_equal(frames, 18);
    assert_true(recording_needs_key(f->recording));
    add(f, 10, 60, 100); /* the replay: from the key frame before */
    flush_ok(f);
    recording_end(f->recording);
    assert_int_equal(f->opened, 2);
    readback_open(&r, f->path[0]); /* was never finished, but plays */
    assert_int_equal(r.count, 15);
    expect_frames(&r, 0, f->frame, 15);
    readback_close(&r);
    readback_open(&r, f->path[1]);
    assert_int_equal(r.count, 50);
    expect_frames(&r, 0, f->frame + 10, 50);
    readback_close(&r);
    expect_totals(f, 60, 0); /* each once, though five are in both */
}

static void what_is_never_written_is_counted(void **state)
{
    struct fixture *f = *state;
    add_frames(f, &(struct clip_options){ .frames = 40 }, 40);
    begin(f, 0, 0, false);
    add(f, 0, 35, 30);
    fault.write_fails = 1000;
    fault.write_code = ENOSPC;
    flush_fails(f, -ENOSPC);
    recording_end(f->recording);
    assert_int_equal(recording_totals(f->recording)->written, 30);
    assert_int_equal(recording_totals(f->recording)->discarded, 5);
}

static void a_key_frame_is_wanted_when_one_is_due(void **state)
{
    struct fixture *f = *state;
    add_frames(f, &(struct clip_options){ .frames = 90, .gop = 60 }, 90);
    begin(f, CLOCK_S, 0, false);
    assert_false(recording_wants_key(f->recording));
    add(f, 0, 25, 10);
    assert_false(recording_wants_key(f->recording));
    add(f, 25, 35, 10);
    assert_true(recording_wants_key(f->recording));
    recording_limit(f->recording, 0, 0);
    add(f, 35, 36, 10);
    assert_false(recording_wants_key(f->recording));
    recording_limit(f->recording, CLOCK_S, 0);
    add(f, 36, 61, 10);
    assert_false(recording_wants_key(f->recording)); /* there it is */
    add(f, 61, 80, 10);
    recording_limit(f->recording, 0, 1000);
    add(f, 80, 90, 10);
    assert_true(recording_wants_key(f->recording));
    end(f);
    expect_files(f, 2, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_file_holds_everything, set_up, tear_down),
        cmocka_unit_test_setup_teardown(time_segments_lose_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(size_segments_lose_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(new_parameter_sets_begin_a_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_codec_begins_a_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_gap_of_a_day_begins_a_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_begin_with_a_key_frame, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_empty_recording_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_disk_loses_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_disk_at_the_first_write, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failed_sync_writes_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_lost_file_goes_on_in_another, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_broken_file_is_given_up_and_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_never_written_is_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_key_frame_is_wanted_when_one_is_due, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
