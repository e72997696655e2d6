/* SPDX-License-Identifier: MIT */
/* Which recordings go, and that nothing else ever does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/log.h"
#include "record/dump.h"
#include "record/retention.h"
#include "record_clip.h"

#define DAY_US (24 * 3600 * CLOCK_S)

/* ---- the decision ---- */

static void expect_next(const struct retention_file *files, size_t count,
                        const struct retention_limits *limits, uint64_t space, size_t next)
{
    assert_int_equal(retention_next(files, count, limits, 10 * DAY_US, space), next);
}

static void limits_decide(void **state)
{
    (void)state;
    struct retention_file files[] = { { .bytes = 30, .written_us = 1 * DAY_US },
                                      { .bytes = 20, .written_us = 5 * DAY_US },
                                      { .bytes = 50, .written_us = 9 * DAY_US } };
    expect_next(files, 3, &(struct retention_limits){ 0 }, 0, 3);
    expect_next(files, 3, &(struct retention_limits){ .max_bytes = 100 }, 0, 3);
    expect_next(files, 3, &(struct retention_limits){ .max_bytes = 99 }, 0, 0);
    expect_next(files, 3, &(struct retention_limits){ .max_age_us = 9 * DAY_US }, 0, 3);
    expect_next(files, 3, &(struct retention_limits){ .max_age_us = 9 * DAY_US - 1 }, 0, 0);
    expect_next(files, 3, &(struct retention_limits){ .min_free = 7 }, 7, 3);
    expect_next(files, 3, &(struct retention_limits){ .min_free = 7 }, 6, 0);
    expect_next(files, 0, &(struct retention_limits){ .min_free = 7 }, 6, 0);
}

static void what_is_gone_or_held_is_passed_over(void **state)
{
    (void)state;
    struct retention_file files[] = { { .bytes = 30, .gone = true },
                                      { .bytes = 20, .held = true },
                                      { .bytes = 50 } };
    struct retention_limits limits = { .max_bytes = 60 };
    expect_next(files, 3, &limits, 0, 2); /* a held one counts, a gone one does not */
    limits.max_bytes = 70;
    expect_next(files, 3, &limits, 0, 3);
    limits.max_bytes = 1;
    files[2].gone = true;
    expect_next(files, 3, &limits, 0, 3); /* nothing can be done about it */
}

/* ---- in a folder ---- */

struct fixture {
    char *folder, *pattern;
    struct clip *clip;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    log_set_level(LOG_ERROR);
    f->folder = scratch_new();
    f->pattern = scratch_path(f->folder, "cam-%Y.mp4");
    f->clip = clip_new(&(struct clip_options){ .frames = 20 });
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    clip_free(f->clip);
    scratch_free(f->folder);
    free(f->pattern);
    free(f);
    return 0;
}

/* A recording of ours, last written `age_us` ago; negative: in the future, where its pictures are, too. */
static void make(struct fixture *f, const char *name, int64_t age_us)
{
    _Atomic int64_t deadline_us = INT64_MAX;
    const struct frame *frames[20];
    char *path = scratch_path(f->folder, name);
    for (int i = 0; i < 20; i++) {
        struct frame *frame =
            clip_frame(f->clip, i, (uint64_t)i + 1, 1000000 + (int64_t)i * 100000 / 3);
        frame->wall_us = age_us < 0 ? clock_wall_us() - age_us : frame->wall_us;
        frames[i] = frame;
    }
    const struct dump dump = {
        .pattern = path, .name = "cam", .frames = frames, .count = 20, .deadline_us = &deadline_us
    };
    assert_int_equal(dump_write(&dump, NULL), 0);
    int64_t at_us = clock_wall_us() - age_us;
    struct timespec times[2] = { { .tv_sec = at_us / CLOCK_S }, { .tv_sec = at_us / CLOCK_S } };
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    for (int i = 0; i < 20; i++) {
        frame_unref(frames[i]);
    }
    free(path);
}

static bool exists(const struct fixture *f, const char *name)
{
    struct stat st;
    char *path = scratch_path(f->folder, name);
    bool there = lstat(path, &st) == 0;
    free(path);
    return there;
}

static void put_text(const struct fixture *f, const char *name)
{
    char *path = scratch_path(f->folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < 100; i++) {
        assert_true(fputs("not a recording of ours\n", file) >= 0);
    }
    assert_int_equal(fclose(file), 0);
    free(path);
}

static struct retention_result run(struct fixture *f, struct retention_limits limits)
{
    struct retention_result result;
    assert_int_equal(retention_run(f->pattern, &limits, &result), 0);
    return result;
}

static void the_oldest_go_first(void **state)
{
    struct fixture *f = *state;
    make(f, "cam-2021.mp4", 1 * DAY_US);
    make(f, "cam-2022.mp4", 3 * DAY_US);
    make(f, "cam-2022-1.mp4", 2 * DAY_US);
    struct retention_result all = run(f, (struct retention_limits){ 0 });
    assert_int_equal(all.files, 3);
    assert_int_equal(all.removed, 0);
    struct retention_result two = run(f, (struct retention_limits){ .max_bytes = all.bytes - 1 });
    assert_int_equal(two.files, 2);
    assert_int_equal(two.removed, 1);
    assert_true(two.bytes < all.bytes && two.largest > 0 && two.largest < two.bytes);
    assert_false(exists(f, "cam-2022.mp4"));
    assert_int_equal(run(f, (struct retention_limits){ .max_age_us = 36 * 3600 * CLOCK_S }).files,
                     1);
    assert_true(exists(f, "cam-2021.mp4"));
    assert_int_equal(run(f, (struct retention_limits){ .min_free = UINT64_MAX }).files, 0);
}

/* A clock that was ahead, or has not been set since the machine was started: what comes after is newer. */
static void what_is_from_the_future_is_the_oldest(void **state)
{
    struct fixture *f = *state;
    make(f, "cam-2024.mp4", 1 * DAY_US);
    make(f, "cam-2030.mp4", -400 * DAY_US);
    make(f, "cam-2031.mp4", -800 * DAY_US);
    make(f, "cam-2025.mp4", 0);
    struct retention_result all = run(f, (struct retention_limits){ 0 });
    (void)run(f, (struct retention_limits){ .max_bytes = all.bytes - 1 });
    assert_false(exists(f, "cam-2030.mp4"));
    (void)run(f, (struct retention_limits){ .max_bytes = all.bytes / 2 });
    assert_false(exists(f, "cam-2031.mp4"));
    assert_true(exists(f, "cam-2024.mp4") && exists(f, "cam-2025.mp4"));
}

/* A name like ours is not enough, nor is our mark under another name. */
static void other_files_stay(void **state)
{
    struct fixture *f = *state;
    char *to = scratch_path(f->folder, "cam-2021-2.mp4");
    make(f, "holiday.mp4", 9 * DAY_US);
    make(f, "cam-2-2021.mp4", 9 * DAY_US);
    make(f, "cam-2021.mp4.bak", 9 * DAY_US);
    make(f, "cam-2021-2nd birthday.mp4", 9 * DAY_US);
    make(f, "cam-2021-1 (copy).mp4", 9 * DAY_US);
    put_text(f, "cam-2020.mp4");
    assert_int_equal(symlink("holiday.mp4", to), 0);
    free(to);
    to = scratch_path(f->folder, "cam-2019.mp4");
    assert_int_equal(mkfifo(to, 0600), 0);
    free(to);
    make(f, "cam-2023.mp4", 1 * DAY_US);
    struct retention_result result =
        run(f, (struct retention_limits){ .max_bytes = 1, .min_free = UINT64_MAX });
    assert_int_equal(result.removed, 1);
    assert_int_equal(result.files, 0);
    assert_int_equal(scratch_count(f->folder), 8);
    assert_false(exists(f, "cam-2023.mp4"));
}

static void what_is_being_written_stays(void **state)
{
    struct fixture *f = *state;
    char *path = scratch_path(f->folder, "cam-2021.mp4");
    make(f, "cam-2021.mp4", 9 * DAY_US);
    make(f, "cam-2022.mp4", 1 * DAY_US);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    struct retention_result result = run(f, (struct retention_limits){ .max_bytes = 1 });
    assert_int_equal(result.removed, 1);
    assert_int_equal(result.files, 1);
    assert_int_equal(result.largest, 0);
    assert_true(exists(f, "cam-2021.mp4"));
    close(fd);
    assert_int_equal(run(f, (struct retention_limits){ .max_bytes = 1 }).files, 0);
    free(path);
}

static void the_largest_of_late(void **state)
{
    struct fixture *f = *state;
    make(f, "cam-2021.mp4", 2 * DAY_US);
    make(f, "cam-2022.mp4", 0);
    struct retention_limits limits = { .since_us = clock_wall_us() - DAY_US };
    struct retention_result late = run(f, limits);
    assert_true(late.largest > 0 && late.files == 2);
    limits.since_us = clock_wall_us() + DAY_US;
    assert_int_equal(run(f, limits).largest, 0);
}

static void a_missing_folder_holds_nothing(void **state)
{
    struct retention_result result;
    (void)state;
    assert_int_equal(retention_run("/nonexistent/cam-%Y.mp4",
                                   &(struct retention_limits){ .max_bytes = 1 }, &result),
                     0);
    assert_int_equal(result.files, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_decide),
        cmocka_unit_test(what_is_gone_or_held_is_passed_over),
        cmocka_unit_test_setup_teardown(the_oldest_go_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_from_the_future_is_the_oldest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_files_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_being_written_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_largest_of_late, set_up, tear_down),
        cmocka_unit_test(a_missing_folder_holds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
