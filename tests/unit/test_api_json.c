/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <cJSON.h>

#include "app/api_json.h"

static void objects_are_taken(void **state)
{
    static const char *const good[] = {
        "{}",
        " {\"a\": 1} ",
        "{\"a\":\"{[\\\"\\\\\",\"b\":[[[[[[[1]]]]]]]}",
        "{\"a\":\"\\u00e4\xc3\xa4\\n\\u0001\",\r\n\t\"b\":null}",
        "{\"a\":\"\\\\u0000\"}", /* a backslash and "u0000" */
    };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct cJSON *o = NULL;
        struct err err = { 0 };
        assert_int_equal(api_json_parse(good[i], strlen(good[i]), &o, &err), 0);
        assert_true(cJSON_IsObject(o));
        cJSON_Delete(o);
    }
}

static void others_are_refused(void **state)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        { "", "this is not JSON" },
        { "{", "this is not JSON" },
        { "{} {}", "this is not JSON" },
        { "{\"a\":1,}", "this is not JSON" },
        { "[]", "this JSON is not an object" },
        { "1", "this JSON is not an object" },
        { "{\"a\":[[[[[[[[1]]]]]]]]}", "this JSON is nested deeper than 8" },
        { "{\"a\":\"\\u0000\"}", "this JSON has a NUL or a bare control character in a string" },
        { "{\"a\":\"\n\"}", "this JSON has a NUL or a bare control character in a string" },
        { "{\"a\t\":1}", "this JSON has a NUL or a bare control character in a string" },
        { "{\"a\":\"\x01\"}", "this is not UTF-8 text" },
        { "{\f}", "this is not UTF-8 text" },
        { "{\"a\":1,\"b\":2,\"a\":3}", "this JSON says \"a\" twice" },
        { "{\"a\":\"\xff\"}", "this is not UTF-8 text" },
        { "{\"a\":\"\xc0\x80\"}", "this is not UTF-8 text" },
        { "{\"a\":\"\xed\xa0\x80\"}", "this is not UTF-8 text" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct cJSON *o = NULL;
        struct err err = { 0 };
        assert_int_equal(api_json_parse(bad[i].text, strlen(bad[i].text), &o, &err), -EINVAL);
        assert_string_equal(err.text, bad[i].why);
        assert_null(o);
    }
    struct cJSON *o = NULL;
    assert_int_equal(api_json_parse("{}\0", 3, &o, NULL), -EINVAL); /* a bare NUL */
}

static void members_have_a_limit(void **state)
{
    char text[2000] = "{";
    struct err err = { 0 };
    struct cJSON *o = NULL;
    (void)state;
    for (int i = 0; i <= API_JSON_MEMBERS; i++) {
        size_t n = strlen(text);
        (void)snprintf(text + n, sizeof text - n, "%s\"%d\":0", i > 0 ? "," : "", i);
    }
    strcat(text, "}");
    assert_int_equal(api_json_parse(text, strlen(text), &o, &err), -EINVAL);
    assert_string_equal(err.text, "this JSON has more than 64 members");
}

static void values_become_what_a_user_types(void **state)
{
    static const struct {
        const char *json, *text;
    } cases[] = {
        { "1", "1" },
        { "-7", "-7" },
        { "4000000", "4000000" },
        { "999999999999999", "999999999999999" },
        { "0.5", "0.500000" },
        { "1e3", "1000" },
        { "1e15", NULL },
        { "1e999", NULL },
        { "true", "yes" },
        { "false", "no" },
        { "\"a b\"", "a b" },
        { "null", NULL },
        { "[]", NULL },
        { "{}", NULL },
    };
    char buf[40];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cJSON *v = cJSON_Parse(cases[i].json);
        const char *got = api_json_text(v, buf);
        assert_non_null(v);
        if (cases[i].text) {
            assert_string_equal(got, cases[i].text);
        } else {
            assert_null(got);
        }
        cJSON_Delete(v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_taken),
        cmocka_unit_test(others_are_refused),
        cmocka_unit_test(members_have_a_limit),
        cmocka_unit_test(values_become_what_a_user_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
