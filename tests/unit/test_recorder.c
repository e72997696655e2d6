/* SPDX-License-Identifier: MIT */
/* The recorder with its threads: syncing, pausing, asking again, ending. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/log.h"
#include "pcs/queue.h"
#include "pcs/stop.h"
#include "record/recorder.h"
#include "record_clip.h"

#define FRAMES    1200
#define MAX_FILES 64
#define PATIENCE  (20 * CLOCK_S)

struct fixture {
    char *folder, *pattern;
    bool mounted;
    struct frame *frame[FRAMES];
    int count;
    struct queue *queue;
    struct recorder *recorder;
    char *path[MAX_FILES];
    int paths;

    _Atomic uint64_t synced; /* told by the recorder */
    atomic_bool went_back;
    atomic_int asked;
    _Atomic uint64_t asked_seq;
    int64_t sync_us, segment_us;
    bool no_replay;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    log_set_level(LOG_ERROR);
    f->folder = scratch_new();
    f->pattern = scratch_path(f->folder, "out.mp4");
    f->sync_us = 50 * CLOCK_MS;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    queue_unref(f->queue);
    for (int i = 0; i < f->count; i++) {
        frame_unref(f->frame[i]);
    }
    for (int i = 0; i < f->paths; i++) {
        free(f->path[i]);
    }
    assert_int_equal(clip_frames_alive(), 0);
    if (f->mounted) {
        assert_int_equal(umount(f->folder), 0);
    }
    scratch_free(f->folder);
    free(f->pattern);
    free(f);
    return 0;
}

static void make_frames(struct fixture *f, const struct clip_options *o, int count)
{
    struct clip *clip = clip_new(o);
    for (int i = 0; i < count; i++) {
        f->frame[f->count] = clip_frame(clip, f->count, (uint64_t)f->count + 1,
                                        INT64_C(77000000) + (int64_t)f->count * 100000 / 3);
        f->count++;
    }
    clip_free(clip);
}

static void on_synced(void *arg, uint64_t seq)
{
    struct fixture *f = arg;
    if (seq <= atomic_load(&f->synced)) {
        atomic_store(&f->went_back, true);
    }
    atomic_store(&f->synced, seq);
}

static void on_replay(void *arg, uint64_t seq)
{
    struct fixture *f = arg;
    atomic_store(&f->asked_seq, seq);
    atomic_fetch_add(&f->asked, 1);
}

static void begin(struct fixture *f, size_t max_bytes, size_t wake_bytes)
{
    struct err err = { 0 };
    struct recorder_config c = {
        .pattern = f->pattern,
        .name = "cam",
        .number = 1,
        .segment_time_us = f->segment_us,
        .sync_us = f->sync_us,
        .synced = on_synced,
        .replay = f->no_replay ? NULL : on_replay,
        .arg = f,
    };
    struct queue_limits limits = { QUEUE_ALL, 100000, max_bytes, wake_bytes };
    f->queue = queue_new(&limits);
    assert_non_null(f->queue);
    assert_int_equal(recorder_start(&f->recorder, &c, f->queue, &err), 0);
    assert_string_equal(err.text, "");
}

static void push(struct fixture *f, int from, int to)
{
    for (int i = from; i < to; i++) {
        assert_int_equal(queue_push(f->queue, f->frame[i]), QUEUE_TAKEN);
    }
}

/* Waits without sleeping on a condition that another thread makes true. */
#define expect_soon(condition)                                                                     \
    do {                                                                                           \
        struct stop *never = stop_new();                                                           \
        int64_t limit_us = clock_now_us() + PATIENCE;                                              \
        while (!(condition) && clock_now_us() < limit_us) {                                        \
            (void)stop_wait(never, CLOCK_MS);                                                      \
        }                                                                                          \
        stop_free(never);                                                                          \
        assert_true(condition);                                                                    \
    } while (0)

static size_t queued(struct fixture *f)
{
    struct queue_stats stats;
    queue_get_stats(f->queue, &stats);
    return stats.frames;
}

/* Never more than a queue of some 100 KB holds. */
static void push_slowly(struct fixture *f, int from, int to)
{
    for (int i = from; i < to; i++) {
        expect_soon(queued(f) < 5);
        push(f, i, i + 1);
    }
}

static void remember(void *arg, const char *path)
{
    struct fixture *f = arg;
    assert_true(f->paths < MAX_FILES);
    f->path[f->paths++] = strdup(path);
}

static struct recorder_stats finish(struct fixture *f, int64_t deadline_us)
{
    struct recorder_stats stats;
    recorder_finish(f->recorder, deadline_us);
    recorder_get_stats(f->recorder, &stats);
    recorder_each_file(f->recorder, remember, f);
    recorder_free(f->recorder);
    assert_false(atomic_load(&f->went_back));
    return stats;
}

static int64_t in_time(void)
{
    return clock_now_us() + PATIENCE;
}

static struct recorder_stats stats_of(struct fixture *f)
{
    struct recorder_stats stats;
    recorder_get_stats(f->recorder, &stats);
    return stats;
}

/* All files one after another are the frames from `from` to the last. */
static void expect_files(struct fixture *f, int files, int from, bool plain)
{
    struct readback r;
    assert_int_equal(f->paths, files);
    for (int i = 0; i < files; i++) {
        readback_open(&r, f->path[i]);
        assert_true(r.clean && r.index_first);
        assert_int_equal(r.fragmented, !plain);
        assert_true(r.sample[0].key);
        expect_frames(&r, 0, f->frame + from, r.count);
        from += r.count;
        readback_close(&r);
        expect_plays(f->path[i], false);
    }
    assert_int_equal(from, f->count);
}

static void everything_arrives_and_is_acknowledged(void **state)
{
    struct fixture *f = *state;
    make_frames(f, &(struct clip_options){ 0 }, 600);
    begin(f, 0, 0);
    for (int i = 0; i < 600; i += 60) {
        push(f, i, i + 60);
        expect_soon(atomic_load(&f->synced) == (uint64_t)i + 60);
    }
    struct recorder_stats stats = finish(f, in_time());
    assert_int_equal(stats.written, 600);
    assert_int_equal(stats.discarded, 0);
    assert_int_equal(stats.synced_seq, 600);
    assert_false(stats.paused);
    assert_int_equal(atomic_load(&f->asked), 0);
    expect_files(f, 1, 0, true);
    assert_int_equal(scratch_count(f->folder), 1);
}

/* A queue that wakes its reader late does not make the sync late. */
static void the_sync_needs_no_wake_up(void **state)
{
    struct fixture *f = *state;
    make_frames(f, &(struct clip_options){ .frames = 10 }, 10);
    begin(f, 0, (size_t)1 << 30);
    push(f, 0, 5);
    expect_soon(atomic_load(&f->synced) == 5);
    push(f, 5, 10); /* these are taken at the end */
    finish(f, in_time());
    expect_files(f, 1, 0, true);
}

static void a_closed_queue_is_synced_at_once(void **state)
{
    struct fixture *f = *state;
    f->sync_us = 3600 * CLOCK_S;
    make_frames(f, &(struct clip_options){ .frames = 10 }, 10);
    begin(f, 0, (size_t)1 << 30);
    push(f, 0, 10);
    queue_close(f->queue);
    expect_soon(atomic_load(&f->synced) == 10);
    finish(f, in_time());
    expect_files(f, 1, 0, true);
}

static void too_late_leaves_it_fragmented(void **state)
{
    struct fixture *f = *state;
    make_frames(f, &(struct clip_options){ .frames = 60 }, 60);
    begin(f, 0, 0);
    push(f, 0, 60);
    expect_soon(atomic_load(&f->synced) == 60);
    finish(f, 0);
    expect_files(f, 1, 0, false);
    assert_int_equal(scratch_count(f->folder), 1);
}

/* Whoever finishes without a deadline can be given one, and it never moves away again. */
static void a_hurry_counts_whenever_it_comes(void **state)
{
    struct fixture *f = *state;
    make_frames(f, &(struct clip_options){ 0 }, 60);
    begin(f, 0, 0);
    push(f, 0, 60);
    expect_soon(atomic_load(&f->synced) == 60);
    recorder_hurry(f->recorder, clock_now_us());
    recorder_hurry(f->recorder, in_time());
    struct recorder_stats stats = finish(f, INT64_MAX);
    assert_int_equal(stats.written, 60);
    expect_files(f, 1, 0, false);
}

static void no_frame_no_file(void **state)
{
    struct fixture *f = *state;
    begin(f, 0, 0);
    struct recorder_stats stats = finish(f, in_time());
    assert_int_equal(stats.written, 0);
    assert_int_equal(f->paths, 0);
    assert_int_equal(scratch_count(f->folder), 0);
}

static void segments_lose_nothing(void **state)
{
    struct fixture *f = *state;
    f->segment_us = CLOCK_S;
    make_frames(f, &(struct clip_options){ .gop = 15 }, 600);
    begin(f, 0, 0);
    push(f, 0, 600);
    struct recorder_stats stats = finish(f, in_time());
    assert_int_equal(stats.written, 600);
    expect_files(f, 20, 0, true);
    assert_int_equal(scratch_count(f->folder), 20);
}

static void what_came_before_is_skipped(void **state)
{
    struct fixture *f = *state;
    make_frames(f, &(struct clip_options){ .frames = 60 }, 60);
    begin(f, 0, 0);
    push(f, 0, 40);
    push(f, 20, 60); /* resumed from an acknowledgement that was behind */
    struct recorder_stats stats = finish(f, in_time());
    assert_int_equal(stats.written, 60);
    assert_int_equal(stats.discarded, 0);
    expect_files(f, 1, 0, true);
}

static void a_gap_of_the_sender_just_stays(void **state)
{
    struct fixture *f = *state;
    make_frames(f, &(struct clip_options){ .frames = 60 }, 60);
    begin(f, 0, 0);
    push(f, 0, 15);
    push(f, 30, 60);
    struct recorder_stats stats = finish(f, in_time());
    assert_int_equal(stats.written, 45);
    assert_int_equal(atomic_load(&f->asked), 0);
    struct readback r;
    readback_open(&r, f->path[0]);
    assert_int_equal(r.count, 45);
    expect_frames(&r, 0, f->frame, 15);
    expect_frames(&r, 15, f->frame + 30, 30);
    assert_in_range(r.sample[15].dts - r.sample[14].dts, 16 * 3000 - 1, 16 * 3000 + 1);
    readback_close(&r);
    expect_plays(f->path[0], false);
}

static void a_folder_that_is_missing_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct err err = { 0 };
    struct recorder_config c = { .pattern = "/no/such/folder/x.mp4", .name = "cam" };
    struct queue_limits limits = { QUEUE_ALL, 100, 0, 0 };
    f->queue = queue_new(&limits);
    assert_int_equal(recorder_start(&f->recorder, &c, f->queue, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/no/such/folder"));
}

static void mark_rewound(struct frame *frame)
{
    frame->flags |= FRAME_REWOUND;
}

/* What a sender does when asked: from there on again, the first one marked. */
static void answer(struct fixture *f, int to)
{
    int from = (int)atomic_load(&f->asked_seq) - 1;
    unsigned flags = f->frame[from]->flags;
    mark_rewound(f->frame[from]);
    push(f, from, from + 1);
    expect_soon(stats_of(f).synced_seq > (uint64_t)from); /* it is read: the flag can go */
    f->frame[from]->flags = flags;
    push_slowly(f, from + 1, to);
}

static void mount_small(struct fixture *f, const char *options)
{
    if (mount("tmpfs", f->folder, "tmpfs", 0, options) < 0) {
        print_message("SKIPPED: cannot mount a tmpfs here: %s\n", strerror(errno));
        skip();
    }
    f->mounted = true;
}

static char *fill_disk(struct fixture *f)
{
    static char block[4096];
    char *path = scratch_path(f->folder, "ballast");
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_true(fd >= 0);
    while (write(fd, block, sizeof block) > 0) {
    }
    assert_int_equal(errno, ENOSPC);
    close(fd);
    return path;
}

/* Pushes what fits, as a session would; the rest the queue refuses. */
static int push_until_refused(struct fixture *f, int from)
{
    while (from < f->count && queue_push(f->queue, f->frame[from]) == QUEUE_TAKEN) {
        from++;
    }
    return from;
}

static void a_full_disk_pauses_and_goes_on(void **state)
{
    struct fixture *f = *state;
    mount_small(f, "size=24m");
    make_frames(f, &(struct clip_options){ 0 }, 600);
    begin(f, 500000, 0);
    push(f, 0, 30);
    expect_soon(atomic_load(&f->synced) == 30);
    char *ballast = fill_disk(f);
    push(f, 30, 60);
    expect_soon(stats_of(f).paused);
    assert_non_null(strstr(stats_of(f).problem, "No space left"));
    int refused = push_until_refused(f, 60);
    assert_in_range(refused, 61, 599);
    for (int i = refused + 1; i < 500; i++) {
        assert_int_not_equal(queue_push(f->queue, f->frame[i]), QUEUE_TAKEN);
    }
    assert_int_equal(stats_of(f).synced_seq, 30);
    assert_int_equal(unlink(ballast), 0);
    expect_soon(stats_of(f).synced_seq == (uint64_t)refused);
    assert_false(stats_of(f).paused);
    push(f, 500, 510); /* a key frame behind a gap: now it notices */
    expect_soon(atomic_load(&f->asked) > 0);
    assert_int_equal(atomic_load(&f->asked), 1);
    assert_int_equal(atomic_load(&f->asked_seq), refused + 1);
    answer(f, 600);
    struct recorder_stats stats = finish(f, in_time());
    assert_int_equal(stats.written, 600);
    assert_int_equal(stats.discarded, 0);
    expect_files(f, 1, 0, true);
    free(ballast);
}

static void ending_on_a_full_disk_keeps_what_is_there(void **state)
{
    struct fixture *f = *state;
    mount_small(f, "size=8m");
    make_frames(f, &(struct clip_options){ 0 }, 90);
    begin(f, 0, 0);
    push(f, 0, 30);
    expect_soon(atomic_load(&f->synced) == 30);
    char *ballast = fill_disk(f);
    push(f, 30, 90);
    expect_soon(stats_of(f).paused);
    int64_t before_us = clock_now_us();
    struct recorder_stats stats = finish(f, in_time());
    assert_in_range(clock_now_us() - before_us, 0, PATIENCE / 2); /* does not wait for room */
    assert_int_equal(stats.written, 30);
    assert_int_equal(stats.discarded, 60);
    struct readback r;
    readback_open(&r, f->path[0]); /* no room to make it plain */
    assert_true(r.clean && r.fragmented);
    assert_int_equal(r.count, 30);
    expect_frames(&r, 0, f->frame, 30);
    readback_close(&r);
    assert_int_equal(scratch_count(f->folder), 2);
    free(ballast);
}

static void without_replay_the_gap_stays(void **state)
{
    struct fixture *f = *state;
    f->no_replay = true;
    mount_small(f, "size=8m");
    make_frames(f, &(struct clip_options){ 0 }, 600);
    begin(f, 300000, 0);
    char *ballast = fill_disk(f);
    push(f, 0, 5);
    expect_soon(stats_of(f).paused);
    int refused = push_until_refused(f, 5);
    assert_int_equal(unlink(ballast), 0);
    expect_soon(stats_of(f).synced_seq == (uint64_t)refused);
    push_slowly(f, 550, 600);
    struct recorder_stats stats = finish(f, in_time());
    assert_int_equal(stats.written, refused + 50);
    free(ballast);
}

/* The folder goes away with the file in it, and comes back. */
static void a_deleted_folder_is_waited_for(void **state)
{
    struct fixture *f = *state;
    char *sub = scratch_path(f->folder, "sub");
    free(f->pattern);
    f->pattern = scratch_path(sub, "out.mp4");
    assert_int_equal(mkdir(sub, 0700), 0);
    make_frames(f, &(struct clip_options){ .gop = 10 }, 100);
    begin(f, 0, 0);
    push(f, 0, 15);
    expect_soon(atomic_load(&f->synced) == 15);
    assert_int_equal(unlink(f->pattern), 0);
    assert_int_equal(rmdir(sub), 0);
    push(f, 15, 35);
    expect_soon(stats_of(f).paused && atomic_load(&f->asked) > 0);
    assert_int_equal(atomic_load(&f->asked_seq), 16);
    mark_rewound(f->frame[10]); /* the sender begins at the key frame before */
    push(f, 10, 100);
    expect_soon(strstr(stats_of(f).problem, "does not exist"));
    assert_int_equal(mkdir(sub, 0700), 0);
    expect_soon(atomic_load(&f->synced) == 100);
    struct recorder_stats stats = finish(f, in_time());
    assert_int_equal(stats.discarded, 0);
    assert_int_equal(stats.written, 100);
    assert_int_equal(f->paths, 2); /* the first one was there once */
    free(f->path[0]);
    f->path[0] = f->path[1];
    f->paths = 1;
    expect_files(f, 1, 10, true);
    free(sub);
}

/* An answer that begins too late, as that of a new connection: asked again, then believed. */
static void a_late_answer_is_questioned_once(void **state)
{
    struct fixture *f = *state;
    mount_small(f, "size=8m");
    make_frames(f, &(struct clip_options){ .gop = 10 }, 600);
    begin(f, 300000, 0);
    char *ballast = fill_disk(f);
    push(f, 0, 5);
    expect_soon(stats_of(f).paused);
    int refused = push_until_refused(f, 5);
    assert_int_equal(unlink(ballast), 0);
    expect_soon(stats_of(f).synced_seq == (uint64_t)refused);
    push(f, 500, 505);
    expect_soon(atomic_load(&f->asked) == 1);
    mark_rewound(f->frame[520]);
    push(f, 520, 525);
    expect_soon(atomic_load(&f->asked) == 2);
    assert_int_equal(atomic_load(&f->asked_seq), refused + 1);
    mark_rewound(f->frame[550]);
    push_slowly(f, 550, 600);
    struct recorder_stats stats = finish(f, in_time());
    assert_int_equal(atomic_load(&f->asked), 2);
    assert_int_equal(stats.written, refused + 50);
    free(ballast);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everything_arrives_and_is_acknowledged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_sync_needs_no_wake_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_closed_queue_is_synced_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_late_leaves_it_fragmented, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_hurry_counts_whenever_it_comes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_frame_no_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(segments_lose_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_came_before_is_skipped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_gap_of_the_sender_just_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_folder_that_is_missing_is_an_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_disk_pauses_and_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ending_on_a_full_disk_keeps_what_is_there, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(without_replay_the_gap_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_deleted_folder_is_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_late_answer_is_questioned_once, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
