/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "pcs/clock.h"
#include "pcs/err.h"
#include "record/naming.h"
#include "record/recorder.h"
#include "record_clip.h"

/* 2025-06-15 15:06:40 UTC */
#define WALL_US (INT64_C(1750000000) * CLOCK_S)

static void expect_expansion(const char *pattern, const char *name, unsigned number,
                             const char *want)
{
    struct naming n = { pattern, name, number };
    char *got = naming_expand(&n, WALL_US);
    assert_non_null(got);
    assert_string_equal(got, want);
    free(got);
}

static void patterns_expand(void **state)
{
    (void)state;
    expect_expansion("out.mp4", "cam", 1, "out.mp4");
    expect_expansion("/rec/%n-%s.mp4", "front door", 7, "/rec/front_door-7.mp4");
    expect_expansion("%n_%Y-%m-%d_%H:%M:%S.mp4", "cam", 1, "cam_2025-06-15_15:06:40.mp4");
    expect_expansion("100%%.mp4", "cam", 1, "100%.mp4");
    expect_expansion("%%n%%s%n", "a%Yb", 1, "%n%sa_Yb");
    expect_expansion("x%", "cam", 1, "x%");
    expect_expansion("%-m", "cam", 1, "6");
}

static void expect_safe(const char *name, const char *want)
{
    char got[NAMING_NAME_MAX + 1];
    naming_safe(name, got);
    assert_string_equal(got, want);
}

static void names_become_safe(void **state)
{
    (void)state;
    expect_safe("cam-1.a_b", "cam-1.a_b");
    expect_safe("../../etc/passwd", "_._.._etc_passwd");
    expect_safe(".hidden", "_hidden");
    expect_safe("-rf", "_rf");
    expect_safe("a/b\\c\nd:e\"f", "a_b_c_d_e_f");
    expect_safe("", "camera");
    expect_safe(NULL, "camera");
    expect_safe("B\xC3\xBCro", "B\xC3\xBCro");
    expect_safe("bad\xFF\xC3", "bad__");
    char longer[300], got[NAMING_NAME_MAX + 1];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    memcpy(longer + NAMING_NAME_MAX - 1, "\xC3\xBC", 2); /* would be cut in two */
    naming_safe(longer, got);
    assert_int_equal(strlen(got), NAMING_NAME_MAX - 1);
}

static void taken_names_get_numbers(void **state)
{
    (void)state;
    static const char *const want[] = { "out.mp4", "out-1.mp4", "out-2.mp4" };
    char *folder = scratch_new(), *pattern = scratch_path(folder, "out.mp4");
    struct naming n = { pattern, "cam", 1 };
    for (int i = 0; i < 3; i++) {
        char *path = NULL, *expected = scratch_path(folder, want[i]);
        int fd = naming_create(&n, WALL_US, &path, NULL);
        assert_true(fd >= 0);
        assert_string_equal(path, expected);
        assert_int_equal(write(fd, "x", 1), 1);
        close(fd);
        free(path);
        free(expected);
    }
    free(pattern);
    scratch_free(folder);
}

static void a_dangling_link_is_not_followed(void **state)
{
    (void)state;
    char *folder = scratch_new(), *pattern = scratch_path(folder, "out"), *path = NULL;
    struct naming n = { pattern, "cam", 1 };
    assert_int_equal(symlink("elsewhere", pattern), 0);
    int fd = naming_create(&n, WALL_US, &path, NULL);
    assert_true(fd >= 0);
    assert_string_equal(strrchr(path, '/'), "/out-1");
    close(fd);
    free(path);
    free(pattern);
    scratch_free(folder);
}

static void expect_refused(const char *pattern, int code, const char *text)
{
    struct err err = { 0 };
    assert_int_equal(record_check_pattern(pattern, &err), code);
    assert_non_null(strstr(err.text, text));
    assert_non_null(strstr(err.text, pattern[0] == '/' ? "/" : pattern));
}

static void what_cannot_work_is_said(void **state)
{
    (void)state;
    char text[300], *folder = scratch_new(), *path = NULL;
    struct err err = { 0 };
    assert_int_equal(record_check_pattern("out.mp4", NULL), 0);
    expect_refused("/no/such/folder/out.mp4", -ENOENT, "does not exist");
    expect_refused("", -EINVAL, "no file");
    expect_refused(folder, -EISDIR, "is a folder");
    snprintf(text, sizeof text, "%s/", folder);
    expect_refused(text, -EISDIR, "is a folder");
    expect_refused("/dev/null", -EINVAL, "not a regular file");
    expect_refused("/dev/null/out.mp4", -ENOTDIR, "does not exist");
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    expect_refused(text, -ENAMETOOLONG, "200 bytes");

    struct naming n = { "/no/such/folder/out.mp4", "cam", 1 };
    assert_int_equal(naming_create(&n, WALL_US, &path, &err), -ENOENT);
    assert_null(path);
    assert_non_null(strstr(err.text, "'/no/such/folder'"));
    scratch_free(folder);
}

static void unwritable_folders_are_said(void **state)
{
    (void)state;
    struct err err = { 0 };
    if (geteuid() == 0) {
        /* /proc takes no files, not even root's. */
        assert_true(record_check_pattern("/proc/out.mp4", &err) < 0);
        assert_non_null(strstr(err.text, "/proc"));
        return;
    }
    char *folder = scratch_new(), *path = scratch_path(folder, "out.mp4");
    assert_int_equal(chmod(folder, 0500), 0);
    assert_int_equal(record_check_pattern(path, &err), -EACCES);
    assert_non_null(strstr(err.text, folder));
    free(path);
    scratch_free(folder);
}

static void expect_glob(const char *pattern, int which, const char *name, bool match)
{
    char *globs[NAMING_GLOBS];
    assert_int_equal(naming_globs(pattern, globs), 0);
    assert_int_equal(fnmatch(globs[which], name, FNM_PATHNAME | FNM_PERIOD) == 0, match);
    naming_free_globs(globs);
}

static void numbers_are_ours_only_when_they_are_numbers(void **state)
{
    (void)state;
    assert_true(naming_is_numbered("/r/cam-20251120-101112-3.mp4"));
    assert_true(naming_is_numbered("cam-12"));
    assert_false(naming_is_numbered("/r/cam-20251120-101112-2nd birthday.mp4"));
    assert_false(naming_is_numbered("/r/cam-20251120-101112-1 (copy).mp4"));
    assert_false(naming_is_numbered("/r/cam-1-.mp4"));
    assert_false(naming_is_numbered("/r-1/cam.mp4"));
    assert_false(naming_is_numbered("/r/cam-01.mp4"));
    assert_false(naming_is_numbered("/r/cam1.mp4"));
    assert_false(naming_is_numbered("12"));
}

static void globs_match_what_patterns_make(void **state)
{
    (void)state;
    expect_glob("/r/out.mp4", 0, "/r/out.mp4", true);
    expect_glob("/r/out.mp4", 0, "/r/out-1.mp4", false);
    expect_glob("/r/out.mp4", 1, "/r/out-12.mp4", true);
    expect_glob("/r/out.mp4", 1, "/r/outdoor.mp4", false);
    expect_glob("/r/out.mp4", 2, "/r/.out.mp4.77.tmp", true);
    expect_glob("/r/out.mp4", 3, "/r/.out-3.mp4.77.tmp", true);
    expect_glob("%n_%Y-%-m%EY.mp4", 0, "cam_2025-62025.mp4", true);
    expect_glob("/r/cam-%Y%m%d-%H%M%S.mp4", 0, "/r/cam-20251120-101112.mp4", true);
    expect_glob("/r/cam-%Y%m%d-%H%M%S.mp4", 0, "/r/cam-2-20251120-101112.mp4", false);
    expect_glob("/r/cam-%Y%m%d-%H%M%S.mp4", 1, "/r/cam-20251120-101112-3.mp4", true);
    expect_glob("%j-%s.mp4", 0, "366-12.mp4", true);
    expect_glob("100%%[a]*?.mp4", 0, "100%[a]*?.mp4", true);
    expect_glob("100%%[a]*?.mp4", 0, "100%a11.mp4", false);
    expect_glob("%n", 0, "cam", true);
    expect_glob("%n", 1, "cam-4", true);
}

int main(void)
{
    (void)setenv("TZ", "UTC", 1);
    tzset();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_expand),
        cmocka_unit_test(names_become_safe),
        cmocka_unit_test(taken_names_get_numbers),
        cmocka_unit_test(a_dangling_link_is_not_followed),
        cmocka_unit_test(what_cannot_work_is_said),
        cmocka_unit_test(unwritable_folders_are_said),
        cmocka_unit_test(globs_match_what_patterns_make),
        cmocka_unit_test(numbers_are_ours_only_when_they_are_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
