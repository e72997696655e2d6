/* SPDX-License-Identifier: MIT */
/* Live options, set by the program: all or none, until the file says something new. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "option_fixture.h"
#include "pcs/log.h"
#include "pcs/option_live.h"

#define CHANGE(n, ...)                                                                             \
    {                                                                                              \
        n, (const char *const[]){ __VA_ARGS__ },                                                   \
            sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(const char *)                    \
    }

static int set(struct fixture *f, const struct option_change *changes, size_t count, size_t *failed)
{
    return options_set_live(f->o, changes, count, failed, &f->err);
}

static int set_one(struct fixture *f, const char *name, const char *text)
{
    size_t failed;
    const struct option_change change = { name, text ? &text : NULL, text != NULL };
    return set(f, &change, 1, &failed);
}

static void test_set_and_take_back(void **state)
{
    struct fixture *f = *state;
    size_t failed;
    const struct option_change changes[] = { CHANGE("bitrate", "2M"), CHANGE("dest-ip", "b"),
                                             CHANGE("publish", "x", "y"),
                                             CHANGE("log-level", "error") };
    assert_int_equal(load(f, "--dest-ip", "a", "--bitrate", "1M"), OPTIONS_RUN);
    assert_int_equal(set(f, changes, 4, &failed), 0);
    assert_int_equal(f->push.bitrate, 2000000); /* also over the command line */
    assert_string_equal(f->push.host, "b");
    assert_int_equal(f->push.publish.count, 2);
    assert_string_equal(f->push.publish.item[1], "y");
    assert_false(log_enabled(LOG_WARN));

    assert_int_equal(set_one(f, "bitrate", NULL), 0);
    assert_int_equal(set_one(f, "dest-ip", NULL), 0);
    assert_int_equal(set_one(f, "publish", NULL), 0);
    assert_int_equal(set_one(f, "log-level", NULL), 0);
    assert_int_equal(f->push.bitrate, 1000000);
    assert_string_equal(f->push.host, "a");
    assert_int_equal(f->push.publish.count, 0);
    assert_true(log_enabled(LOG_INFO));
}

static void test_an_empty_list_is_a_value(void **state)
{
    struct fixture *f = *state;
    size_t failed;
    const struct option_change none = { "publish", (const char *const[]){ NULL }, 0 };
    assert_int_equal(load(f, "--publish", "x"), OPTIONS_RUN);
    assert_int_equal(set(f, &none, 1, &failed), 0);
    assert_int_equal(f->push.publish.count, 0);
    assert_int_equal(set_one(f, "publish", NULL), 0);
    assert_int_equal(f->push.publish.count, 1);
}

static void test_all_or_none(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *name, *text, *message;
        int code;
    } wrong[] = {
        { "bitrate", "fast", "bitrate: 'fast' is not allowed: 0 or more (a rate like 4M)",
          -EINVAL },
        { "bitrates", "1", "there is no option 'bitrates'", -ENOENT },
        { "bitr", "1", "there is no option 'bitr'", -ENOENT },
        { "config", "x", "there is no option 'config'", -ENOENT },
        { "port", "81", "port needs a restart: say it in the file", -EPERM },
    };
    assert_int_equal(load(f, "--max-latency", "1"), OPTIONS_RUN);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        size_t failed;
        const struct option_change changes[] = { CHANGE("max-latency", "2"), CHANGE("dest-ip", "b"),
                                                 CHANGE(wrong[i].name, wrong[i].text) };
        assert_int_equal(set(f, changes, 3, &failed), wrong[i].code);
        assert_int_equal(failed, 2);
        assert_string_equal(f->err.text, wrong[i].message);
        assert_int_equal(f->push.max_latency, 1000000);
        assert_null(f->push.host);
    }
}

static void test_the_whole_is_judged(void **state)
{
    struct fixture *f = *state;
    size_t failed;
    const struct option_change changes[] = { CHANGE("bitrate", "12"), CHANGE("bitrate", "13") };
    assert_int_equal(
        load_checked(f, (const char *[]){ "tester", "--bitrate", "7", NULL }, check_unlucky),
        OPTIONS_RUN);
    assert_true(set(f, changes, 2, &failed) < 0);
    assert_int_equal(failed, 2);
    assert_int_equal(f->push.bitrate, 7);
    assert_int_equal(set(f, changes, 1, &failed), 0);
    assert_int_equal(f->push.bitrate, 12);
    assert_true(set_one(f, "bitrate", "13") < 0);
    assert_int_equal(f->push.bitrate, 12);
}

static void hear(void *arg, const char *name, bool live)
{
    char *heard = arg;
    (void)live;
    strcat(strcat(heard, name), " ");
}

/* The newer word counts: what the file has not changed stays as it was set. */
static void test_beside_the_file(void **state)
{
    struct fixture *f = *state;
    char heard[100] = "";
    char *path = write_file("bitrate = 1M\ndest-ip = a\n");
    assert_int_equal(load(f, "--config", path, "--max-latency", "1"), OPTIONS_RUN);
    assert_int_equal(set_one(f, "bitrate", "2M"), 0);
    assert_int_equal(set_one(f, "dest-ip", "c"), 0);
    assert_int_equal(set_one(f, "max-latency", "2"), 0);

    rewrite_file(path, "bitrate = 1M\ndest-ip = b\nmax-latency = 3\n");
    assert_int_equal(options_reload(f->o, hear, heard, &f->err), 0);
    assert_string_equal(heard, "dest-ip ");
    assert_int_equal(f->push.bitrate, 2000000);
    assert_string_equal(f->push.host, "b");
    assert_int_equal(f->push.max_latency,
                     2000000); /* the file has no say beside the command line */

    rewrite_file(path, "bitrate = oops\n");
    assert_true(options_reload(f->o, hear, heard, &f->err) < 0);
    assert_int_equal(f->push.bitrate, 2000000);
    assert_int_equal(set_one(f, "dest-ip", NULL), 0);
    assert_string_equal(f->push.host, "b"); /* the file's last good word */
    remove_file(path);
}

/* The file comes to say what was set: the value stays, and stays readable. */
static void test_the_file_says_the_same(void **state)
{
    struct fixture *f = *state;
    char heard[100] = "";
    char *path = write_file("dest-ip = a\n");
    assert_int_equal(load(f, "--config", path), OPTIONS_RUN);
    assert_int_equal(set_one(f, "dest-ip", "b"), 0);
    rewrite_file(path, "dest-ip = b\n");
    assert_int_equal(options_reload(f->o, hear, heard, &f->err), 0);
    assert_int_equal(set_one(f, "bitrate", "1M"), 0);
    assert_int_equal(set_one(f, "bitrate", "2M"), 0);
    assert_string_equal(f->push.host, "b");
    remove_file(path);
}

static void test_a_replaced_string_is_readable_for_a_while(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load(f, "--dest-ip", "a"), OPTIONS_RUN);
    assert_int_equal(set_one(f, "dest-ip", "b"), 0);
    const char *old = f->push.host;
    assert_int_equal(set_one(f, "dest-ip", "c"), 0);
    assert_string_equal(old, "b");
    assert_string_equal(f->push.host, "c");
}

static void test_lists_do_not_grow_for_ever(void **state)
{
    struct fixture *f = *state;
    static char text[60000];
    int code = 0;
    assert_int_equal(load(f, "--dest-ip", "a"), OPTIONS_RUN);
    memset(text, 'x', sizeof(text) - 1);
    for (int i = 0; i < 30 && code == 0; i++)
        code = set_one(f, "publish", text);
    assert_int_equal(code, -ENOSPC);
}

static void look(void *arg, const struct option_view *view)
{
    char *seen = arg;
    size_t used = strlen(seen);
    snprintf(seen + used, 400 - used, "%s%s[%s] ", view->def->name, view->set ? "*" : "",
             view->allowed);
    if (strcmp(view->def->name, "bitrate") == 0)
        assert_int_equal(*(const int64_t *)view->value, 2000000);
}

static void test_each(void **state)
{
    struct fixture *f = *state;
    char seen[400] = "";
    assert_int_equal(load(f, "--dest-ip", "a"), OPTIONS_RUN);
    assert_int_equal(set_one(f, "bitrate", "2M"), 0);
    options_each_live(f->o, look, seen);
    assert_string_equal(seen, "dest-ip[any text] bitrate*[0 or more (a rate like 4M)] "
                              "max-latency[0 or more (a time like 500ms, 30s, 5m)] "
                              "publish[any text] log-level[error, warn, info, debug or trace] ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_set_and_take_back),
        TEST(test_an_empty_list_is_a_value),
        TEST(test_all_or_none),
        TEST(test_the_whole_is_judged),
        TEST(test_beside_the_file),
        TEST(test_the_file_says_the_same),
        TEST(test_a_replaced_string_is_readable_for_a_while),
        TEST(test_lists_do_not_grow_for_ever),
        TEST(test_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
