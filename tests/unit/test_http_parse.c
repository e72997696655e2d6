/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "web/http_parse.h"

static size_t head_size(const char *text)
{
    size_t scanned = 0;
    return http_head_size(text, strlen(text), &scanned);
}

static void test_head_ends_at_the_empty_line(void **state)
{
    (void)state;
    assert_int_equal(head_size("GET / HTTP/1.0\r\n\r\nbody"), 18);
    assert_int_equal(head_size("GET / HTTP/1.0\n\nbody"), 16);
    assert_int_equal(head_size("\r\n\nGET / HTTP/1.0\r\nA: b\n\r\n"), 26);
    assert_int_equal(head_size("GET / HTTP/1.0\r\n\r"), 0);
    assert_int_equal(head_size("GET / HTTP/1.0\r\n"), 0);
    assert_int_equal(head_size("\r\n\r\n"), 0);
    assert_int_equal(head_size(""), 0);
}

static void test_head_may_come_in_bytes(void **state)
{
    static const char text[] = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    size_t scanned = 0;
    (void)state;
    for (size_t n = 0; n < sizeof text - 1; n++) {
        assert_int_equal(http_head_size(text, n, &scanned), 0);
    }
    assert_int_equal(http_head_size(text, sizeof text - 1, &scanned), sizeof text - 1);
}

static int parse(const char *text, struct http_head *head)
{
    static char bytes[20000];
    memcpy(bytes, text, strlen(text) + 1);
    return http_parse(bytes, strlen(text), head);
}

static void test_request_is_taken_apart(void **state)
{
    struct http_head h;
    (void)state;
    assert_int_equal(
        parse("POST /a?b HTTP/1.1\r\nHost: x\r\nCONTENT-length:\t12 \r\nX:\r\n\r\n", &h), 0);
    assert_string_equal(h.method, "POST");
    assert_string_equal(h.target, "/a?b");
    assert_int_equal(h.minor, 1);
    assert_int_equal(h.body_size, 12);
    assert_string_equal(http_find(&h, "content-LENGTH"), "12");
    assert_string_equal(http_find(&h, "x"), "");
    assert_null(http_find(&h, "y"));
    assert_false(h.close || h.expect_continue);
}

/* Some take a bare LF for the end of a line and others for a part of it: what they disagree about is refused,
 * what nobody could have forwarded otherwise is not. */
static void test_lines_end_in_one_way(void **state)
{
    struct http_head h;
    (void)state;
    assert_int_equal(parse("GET / HTTP/1.0\nA: b\n\n", &h), 0);
    assert_int_equal(parse("\n\r\nGET / HTTP/1.0\r\nA: b\r\n\r\n", &h), 0);
    assert_int_equal(parse("GET / HTTP/1.0\r\nA: b\nContent-Length: 9\r\n\r\n", &h), -400);
    assert_int_equal(parse("GET / HTTP/1.0\nA: b\r\n\n", &h), -400);
    assert_int_equal(parse("GET / HTTP/1.0\r\nA: b\r\n\n", &h), -400);
}

/* … and are not looked at again and again. */
static void test_empty_lines_without_end_are_no_request(void **state)
{
    char bytes[1000];
    size_t scanned = 0, end = 0, n = 0;
    struct http_head h;
    (void)state;
    memset(bytes, '\n', sizeof bytes);
    while (end == 0 && n < sizeof bytes) {
        end = http_head_size(bytes, ++n, &scanned);
    }
    assert_in_range(end, 2, 32);
    assert_int_equal(http_parse(bytes, end, &h), -400);
}

static void test_who_closes(void **state)
{
    struct http_head h;
    (void)state;
    assert_int_equal(parse("GET / HTTP/1.1\r\nHost: x\r\nConnection: a, Close\r\n\r\n", &h), 0);
    assert_true(h.close);
    assert_int_equal(parse("GET / HTTP/1.0\r\n\r\n", &h), 0);
    assert_true(h.close);
    assert_int_equal(parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &h), 0);
    assert_false(h.close);
}

static void test_body_has_one_length(void **state)
{
    static const struct {
        const char *lines;
        int code;
    } cases[] = {
        { "Content-Length: 0\r\n", 0 },
        { "Content-Length: 999999999999999999\r\n", 0 },
        { "Content-Length: 9999999999999999999\r\n", -413 },
        { "Content-Length: 5\r\nContent-Length: 5\r\n", -400 },
        { "Content-Length: 5, 5\r\n", -400 },
        { "Content-Length: -1\r\n", -400 },
        { "Content-Length: 0x5\r\n", -400 },
        { "Content-Length: \r\n", -400 },
        { "Transfer-Encoding: chunked\r\n", -411 },
        { "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", -400 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_head h;
        char text[300] = "POST / HTTP/1.1\r\nHost: x\r\n";
        strcat(text, cases[i].lines);
        strcat(text, "\r\n");
        assert_int_equal(parse(text, &h), cases[i].code);
    }
}

static void test_tokens_of_a_list(void **state)
{
    struct http_head h;
    (void)state;
    assert_int_equal(
        parse("GET / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\n"
              "Accept-Encoding: deflate;q=0.5,gzip;q=1.0, br\r\nX: Upgraded\r\nY:\r\n\r\n",
              &h),
        0);
    assert_true(http_lists(&h, "connection", "upgrade"));
    assert_true(http_lists(&h, "Accept-Encoding", "br"));
    assert_false(http_lists(&h, "Accept-Encoding", "gzip;q"));
    assert_false(http_lists(&h, "X", "upgrade"));
    assert_false(http_lists(&h, "Y", "upgrade"));
    assert_false(http_lists(&h, "Z", "upgrade"));
    assert_int_equal(parse("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
                           "Connection: close\r\n\r\n",
                           &h),
                     0);
    assert_true(http_lists(&h, "Connection", "upgrade") &&
                h.close); /* a list may have several lines */
}

static int take_target(const char *text, char **path, char **query)
{
    static char bytes[300];
    strcpy(bytes, text);
    return http_target(bytes, path, query);
}

static void test_target_is_path_and_query(void **state)
{
    char *path, *query;
    (void)state;
    assert_int_equal(take_target("/a%20b+c?x=%41#no", &path, &query), 0);
    assert_string_equal(path, "/a b+c");
    assert_string_equal(query, "x=%41");
    assert_int_equal(take_target("HTTP://host:80/p", &path, &query), 0);
    assert_string_equal(path, "/p");
    assert_null(query);
    assert_int_equal(take_target("/...", &path, &query), 0);
    assert_int_equal(take_target("/%ff", &path, &query), 0);
    assert_string_equal(path, "/?");
}

static void test_tricks_are_no_targets(void **state)
{
    char *path, *query;
    (void)state;
    assert_int_equal(take_target("/a/../b", &path, &query), -404);
    assert_int_equal(take_target("/%2e%2E", &path, &query), -404);
    assert_int_equal(take_target("/./b", &path, &query), -404);
    assert_int_equal(take_target("/a%2f..%2fb", &path, &query), -404);
    assert_int_equal(take_target("/a%00", &path, &query), -400);
    assert_int_equal(take_target("/a%0a", &path, &query), -400);
    assert_int_equal(take_target("/a\\b", &path, &query), -400);
    assert_int_equal(take_target("/%4", &path, &query), -400);
    assert_int_equal(take_target("*", &path, &query), -400);
    assert_int_equal(take_target("http://host", &path, &query), -400);
}

static void test_query_is_pairs(void **state)
{
    char text[] = "a=1&&b=x%20y+z&c&=d&e=%e4%zz&a=2", bad[] = "k=%0d%0a%00z";
    struct http_pair p[8];
    (void)state;
    assert_int_equal(http_query(text, p, 8), 5);
    assert_string_equal(p[0].name, "a");
    assert_string_equal(p[0].value, "1");
    assert_string_equal(p[1].value, "x y z");
    assert_string_equal(p[2].name, "c");
    assert_string_equal(p[2].value, "");
    assert_string_equal(p[3].value, "?%zz");
    assert_string_equal(p[4].value, "2");
    assert_int_equal(http_query(bad, p, 8), 1);
    assert_string_equal(p[0].value, "???z");
    assert_int_equal(http_query(NULL, p, 8), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head_ends_at_the_empty_line),
        cmocka_unit_test(test_head_may_come_in_bytes),
        cmocka_unit_test(test_request_is_taken_apart),
        cmocka_unit_test(test_lines_end_in_one_way),
        cmocka_unit_test(test_empty_lines_without_end_are_no_request),
        cmocka_unit_test(test_who_closes),
        cmocka_unit_test(test_body_has_one_length),
        cmocka_unit_test(test_tokens_of_a_list),
        cmocka_unit_test(test_target_is_path_and_query),
        cmocka_unit_test(test_tricks_are_no_targets),
        cmocka_unit_test(test_query_is_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
