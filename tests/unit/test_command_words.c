/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "capture/command_words.h"

static void check(const char *text, const char *const *expected)
{
    struct command_words words = { 0 };
    assert_int_equal(command_words_split(&words, text, "--camera-args", NULL), 0);
    size_t n = 0;
    for (; expected[n]; n++) {
        assert_true(n < words.count);
        assert_string_equal(words.item[n], expected[n]);
    }
    assert_int_equal(words.count, n);
    if (n > 0) {
        assert_null(words.item[n]);
    }
    command_words_finish(&words);
}
#define CHECK(text, ...) check(text, (const char *const[]){ __VA_ARGS__, NULL })

static void test_spaces(void **state)
{
    (void)state;
    check("", (const char *const[]){ NULL });
    check(" \t\n", (const char *const[]){ NULL });
    CHECK("one", "one");
    CHECK("  -t 0\t--nopreview\n", "-t", "0", "--nopreview");
}

static void test_quotes(void **state)
{
    (void)state;
    CHECK("'a  b' c", "a  b", "c");
    CHECK("a'b c'd", "ab cd");
    CHECK("'' \"\"", "", "");
    CHECK("'a\\b\"'", "a\\b\"");
    CHECK("\"a\\\"b\\\\c\\$d\\`\"", "a\"b\\c$d`");
    CHECK("\"a\\nb 'c'\"", "a\\nb 'c'");
    CHECK("'it'\\''s'", "it's");
    CHECK("a\\ b \\'c \\\\", "a b", "'c", "\\");
    CHECK("a\\\nb \"c\\\nd\"", "ab", "cd");
}

static void test_nothing_is_expanded(void **state)
{
    (void)state;
    CHECK("$HOME ~ * `id` a|b > ; & #c {1,2}", "$HOME", "~", "*", "`id`", "a|b", ">", ";", "&",
          "#c", "{1,2}");
}

static void test_what_is_open_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = { "a 'b", "a \"b", "a\\", "\"a\\", "\"a\\\"", "'" };
    struct command_words words = { 0 };
    assert_int_equal(command_words_add(&words, "first"), 0);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct err err = { 0 };
        assert_int_equal(command_words_split(&words, texts[i], "--camera-cmd", &err), -EINVAL);
        assert_non_null(strstr(err.text, "--camera-cmd"));
        assert_int_equal(words.count, 1); /* as before */
        assert_null(words.item[1]);
    }
    command_words_finish(&words);
    assert_null(words.item);
    command_words_finish(&words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spaces),
        cmocka_unit_test(test_quotes),
        cmocka_unit_test(test_nothing_is_expanded),
        cmocka_unit_test(test_what_is_open_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
