/* SPDX-License-Identifier: MIT */
/* What is left after kill -9 or a power cut, and what the next start makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/log.h"
#include "pcs/queue.h"
#include "pcs/stop.h"
#include "record/boxes.h"
#include "record/mp4.h"
#include "record/naming.h"
#include "record/params.h"
#include "record/recorder.h"
#include "record_clip.h"

#define FRAMES    400
#define KILLS     32
#define MUTATIONS 3000

struct fixture {
    char *folder, *path;
    struct stop *stop;
    struct frame *frame[FRAMES];
    int count;
    uint8_t *bytes; /* of a recording */
    size_t size;
    uint64_t header_end, last_start;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    log_set_level(LOG_ERROR);
    f->folder = scratch_new();
    f->path = scratch_path(f->folder, "out.mp4");
    f->stop = stop_new();
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
    stop_free(f->stop);
    free(f->path);
    free(f->bytes);
    free(f);
    return 0;
}

static void make_frames(struct fixture *f, const struct clip_options *o, int count)
{
    struct clip *clip = clip_new(o);
    for (int i = 0; i < count; i++) {
        f->frame[f->count++] =
            clip_frame(clip, i, (uint64_t)i + 1, 1000000 + (int64_t)i * 100000 / 3);
    }
    clip_free(clip);
}

static struct mp4 *record(struct fixture *f, int count, int per_flush)
{
    struct params params;
    struct naming naming = { f->path, "cam", 1 };
    assert_int_equal(params_collect(f->frame[0], &params), 0);
    struct mp4 *m = NULL;
    assert_int_equal(mp4_new(&m, f->frame[0], &params), 0);
    for (int i = 0; i < count; i++) {
        assert_int_equal(mp4_add(m, f->frame[i]), 0);
        if (i % per_flush == per_flush - 1) {
            assert_int_equal(mp4_flush(m, &naming, NULL), 0);
        }
    }
    assert_int_equal(mp4_flush(m, &naming, NULL), 0);
    return m;
}

static int read_memory(void *arg, uint64_t offset, void *buf, size_t size)
{
    struct fixture *f = arg;
    size_t left = offset < f->size ? f->size - (size_t)offset : 0;
    size = size < left ? size : left;
    memcpy(buf, f->bytes + (left ? offset : 0), size);
    return (int)size;
}

static int scan(struct fixture *f, struct box_scan *out)
{
    struct box_source source = { .read = read_memory, .arg = f, .size = f->size };
    return boxes_scan(&source, out);
}

/* A recording of which nobody holds the file, in memory too. */
static void leave_unfinished(struct fixture *f, int count, int per_flush)
{
    struct stat st;
    struct box_scan s;
    mp4_free(record(f, count, per_flush));
    int fd = open(f->path, O_RDONLY);
    assert_int_equal(fstat(fd, &st), 0);
    f->size = (size_t)st.st_size;
    f->bytes = malloc(f->size);
    assert_int_equal(read(fd, f->bytes, f->size), st.st_size);
    close(fd);
    assert_int_equal(scan(f, &s), 0);
    assert_int_equal(s.good_end, f->size);
    assert_int_equal(s.samples, count);
    f->header_end = s.header_end;
    f->last_start = s.last_start;
}

static void put_file(struct fixture *f, const uint8_t *bytes, size_t size)
{
    int fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
}

static void expect_plain(struct fixture *f, int count)
{
    struct readback r;
    readback_open(&r, f->path);
    assert_true(r.clean && r.index_first && !r.fragmented && r.has_mark);
    assert_int_equal(r.count, count);
    expect_frames(&r, 0, f->frame, count);
    readback_close(&r);
}

static int recover(struct fixture *f)
{
    return record_recover(f->path, f->stop);
}

static void an_unfinished_recording_becomes_plain(void **state)
{
    struct fixture *f = *state;
    make_frames(f, &(struct clip_options){ 0 }, 100);
    leave_unfinished(f, 100, 30);
    assert_int_equal(recover(f), 1);
    expect_plain(f, 100);
    expect_plays(f->path, false);
    assert_int_equal(recover(f), 0);
    assert_int_equal(scratch_count(f->folder), 1);
}

static void a_torn_end_is_cut_at_any_byte(void **state)
{
    struct fixture *f = *state;
    struct clip_options tiny = { .width = 64, .height = 32, .frames = 20, .gop = 20 };
    make_frames(f, &tiny, 20);
    leave_unfinished(f, 20, 9); /* 9, 9 and the last 2 */
    for (size_t size = (size_t)f->last_start; size <= f->size; size++) {
        put_file(f, f->bytes, size);
        assert_int_equal(recover(f), 1);
        expect_plain(f, size == f->size ? 20 : 18);
    }
    assert_int_equal(scratch_count(f->folder), 1);
}

static void a_torn_beginning_is_no_recording(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    make_frames(f, &(struct clip_options){ .frames = 10 }, 10);
    leave_unfinished(f, 10, 10);
    for (size_t size = 0; size < f->header_end; size += 7) {
        put_file(f, f->bytes, size);
        assert_int_equal(recover(f), 0);
        assert_int_equal(stat(f->path, &st), 0);
        assert_int_equal(st.st_size, size);
    }
    put_file(f, f->bytes, (size_t)f->header_end + 11); /* it never held a frame */
    assert_int_equal(recover(f), 1);
    assert_int_equal(scratch_count(f->folder), 0);
}

/* The length is there after a power cut, the bytes are not. */
static void a_hollow_end_is_cut(void **state)
{
    struct fixture *f = *state;
    make_frames(f, &(struct clip_options){ 0 }, 40);
    leave_unfinished(f, 40, 30);
    memset(f->bytes + f->size - 300, 0, 100);
    put_file(f, f->bytes, f->size);
    assert_int_equal(recover(f), 1);
    expect_plain(f, 30);
}

static void jpeg_recordings_too(void **state)
{
    struct fixture *f = *state;
    make_frames(f, &(struct clip_options){ .jpeg = true, .frames = 20 }, 20);
    leave_unfinished(f, 20, 6);
    put_file(f, f->bytes, f->size - 1);
    assert_int_equal(recover(f), 1);
    expect_plain(f, 18);
    expect_plays(f->path, false);
}

static void a_recording_under_way_is_left_alone(void **state)
{
    struct fixture *f = *state;
    make_frames(f, &(struct clip_options){ .frames = 20 }, 20);
    struct mp4 *m = record(f, 20, 6);
    assert_int_equal(recover(f), 0);
    struct readback r;
    readback_open(&r, f->path);
    assert_true(r.fragmented);
    readback_close(&r);
    mp4_free(m);
    assert_int_equal(recover(f), 1);
}

static void touch(struct fixture *f, const char *name, const char *text)
{
    char *path = scratch_path(f->folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    free(path);
}

static bool exists(struct fixture *f, const char *name)
{
    struct stat st;
    char *path = scratch_path(f->folder, name);
    bool there = lstat(path, &st) == 0;
    free(path);
    return there;
}

static void what_is_not_ours_is_left_alone(void **state)
{
    struct fixture *f = *state;
    make_frames(f, &(struct clip_options){ .frames = 20 }, 20);
    leave_unfinished(f, 20, 6);
    char *link = scratch_path(f->folder, "out-7.mp4"), *away = scratch_path(f->folder, "away");
    assert_int_equal(rename(f->path, away), 0);
    assert_int_equal(symlink("away", link), 0);
    touch(f, "out.mp4", "a diary");
    char *fifo = scratch_path(f->folder, "out-8.mp4");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(recover(f), 0);
    assert_true(exists(f, "out.mp4") && exists(f, "out-7.mp4") && exists(f, "out-8.mp4"));
    memcpy(f->bytes + 40, "x", 1); /* another's fragmented file: the mark is not right */
    put_file(f, f->bytes, f->size);
    assert_int_equal(recover(f), 0);
    free(link);
    free(away);
    free(fifo);
}

static void temporary_files_of_dead_runs_go(void **state)
{
    struct fixture *f = *state;
    touch(f, ".out.mp4.123.tmp", "half a copy");
    touch(f, ".out-2.mp4.123.tmp", "half a copy");
    touch(f, ".out.mp4.4x5.tmp", "notes");
    touch(f, ".out.mp4.99.tmp", "being written");
    char *busy = scratch_path(f->folder, ".out.mp4.99.tmp");
    int fd = open(busy, O_RDONLY);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(recover(f), 0);
    assert_false(exists(f, ".out.mp4.123.tmp"));
    assert_false(exists(f, ".out-2.mp4.123.tmp"));
    assert_true(exists(f, ".out.mp4.4x5.tmp"));
    assert_true(exists(f, ".out.mp4.99.tmp"));
    close(fd);
    free(busy);
}

static void stopping_leaves_it_playing(void **state)
{
    struct fixture *f = *state;
    make_frames(f, &(struct clip_options){ .frames = 20 }, 20);
    leave_unfinished(f, 20, 6);
    stop_request(f->stop);
    assert_int_equal(recover(f), 0);
    expect_plays(f->path, false);
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void mutate(struct fixture *f, uint32_t *random)
{
    uint32_t n = next_random(random) % 4 + 1;
    for (uint32_t i = 0; i < n; i++) {
        size_t where = next_random(random) % 3 ? next_random(random) % (size_t)f->header_end
                                               : next_random(random) % f->size;
        where = next_random(random) % 2 ? where : (size_t)f->last_start + where % 150;
        f->bytes[where % f->size] = (uint8_t)next_random(random);
    }
}

/* Under the sanitizers. What a scan calls whole must be inside the file. */
static void hostile_bytes_are_survived(void **state)
{
    struct fixture *f = *state;
    uint32_t random = 4711;
    make_frames(f, &(struct clip_options){ .width = 64, .height = 32, .frames = 20 }, 20);
    leave_unfinished(f, 20, 6);
    uint8_t *good = malloc(f->size);
    size_t size = f->size;
    memcpy(good, f->bytes, size);
    for (int i = 0; i < MUTATIONS; i++) {
        struct box_scan s;
        memcpy(f->bytes, good, size);
        mutate(f, &random);
        f->size = next_random(&random) % 4 ? size : next_random(&random) % size + 1;
        if (scan(f, &s) == 0) {
            assert_true(s.header_end <= s.good_end && s.good_end <= f->size);
            assert_true(s.samples <= f->size && s.last_start <= s.good_end);
        }
        if (i % 20 == 0) {
            put_file(f, f->bytes, f->size);
            (void)recover(f); /* mended or refused, but survived */
            (void)unlink(f->path);
        }
        f->size = size;
    }
    free(good);
}

/* ---- kill -9 ---- */

static void on_synced(void *arg, uint64_t seq)
{
    atomic_store((_Atomic uint64_t *)arg, seq);
}

/* A receiver that is killed while it records. */
static void record_until_killed(struct fixture *f, _Atomic uint64_t *synced, int64_t segment_us)
{
    struct recorder *r;
    struct recorder_config c = {
        .pattern = f->path,
        .name = "cam",
        .segment_time_us = segment_us,
        .sync_us = 10 * CLOCK_MS,
        .synced = on_synced,
        .arg = synced,
    };
    struct queue *q = queue_new(&(struct queue_limits){ QUEUE_ALL, 10000, 0, 0 });
    if (!q || recorder_start(&r, &c, q, NULL) < 0) {
        _exit(1);
    }
    for (int i = 0; i < f->count; i++) {
        (void)queue_push(q, f->frame[i]);
        if (i % 3 == 0) {
            (void)stop_wait(f->stop, CLOCK_MS);
        }
    }
    recorder_finish(r, clock_now_us() + 10 * CLOCK_S);
    _exit(0);
}

static void kill_once(struct fixture *f, _Atomic uint64_t *synced, int64_t segment_us,
                      uint32_t random)
{
    int status;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        record_until_killed(f, synced, segment_us);
    }
    uint64_t at = random % (uint64_t)f->count;
    while (atomic_load(synced) < at && waitpid(pid, &status, WNOHANG) == 0) {
        (void)stop_wait(f->stop, CLOCK_MS / 4);
    }
    (void)stop_wait(f->stop, random % 7000);
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, &status, 0);
}

/* Goes through out.mp4, out-1.mp4 … as long as they are there. */
static int check_files(struct fixture *f, bool plain)
{
    int count = 0;
    struct stat st;
    for (int i = 0;; i++) {
        char name[32];
        struct readback r;
        snprintf(name, sizeof name, i ? "out-%d.mp4" : "out.mp4", i);
        char *path = scratch_path(f->folder, name);
        bool there = stat(path, &st) == 0 && st.st_size > 0;
        if (there) {
            readback_open(&r, path);
            assert_true(!plain || (r.clean && !r.fragmented));
            expect_frames(&r, 0, f->frame + count, r.count);
            count += r.count;
            readback_close(&r);
        }
        free(path);
        if (!there) {
            return count;
        }
    }
}

static void remove_files(struct fixture *f)
{
    scratch_free(f->folder);
    free(f->path);
    f->folder = scratch_new();
    f->path = scratch_path(f->folder, "out.mp4");
}

static void what_was_acknowledged_survives_kill_9(void **state)
{
    struct fixture *f = *state;
    uint32_t random = (uint32_t)clock_now_us();
    make_frames(f, &(struct clip_options){ .gop = 10 }, FRAMES);
    _Atomic uint64_t *synced =
        mmap(NULL, sizeof *synced, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < KILLS; i++) {
        atomic_store(synced, 0);
        kill_once(f, synced, i % 2 ? CLOCK_S : 0, next_random(&random));
        int acknowledged = (int)atomic_load(synced);
        int count = check_files(f, false);
        (void)recover(f);
        int after = check_files(f, true);
        assert_true(count >= acknowledged && after >= acknowledged);
        assert_true(after <= count); /* a torn fragment goes as a whole */
        remove_files(f);
    }
    munmap(synced, sizeof *synced);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_unfinished_recording_becomes_plain, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_torn_end_is_cut_at_any_byte, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_torn_beginning_is_no_recording, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_hollow_end_is_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(jpeg_recordings_too, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_recording_under_way_is_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_ours_is_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(temporary_files_of_dead_runs_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stopping_leaves_it_playing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hostile_bytes_are_survived, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_acknowledged_survives_kill_9, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
