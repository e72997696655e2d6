/* SPDX-License-Identifier: MIT */
/* How frames look on the web: heads and tails of multipart and of WebSocket messages. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "pcs/frame.h"
#include "web/mjpeg.h"
#include "web/part.h"
#include "web/ws.h"

static void keep(struct frame *frame)
{
    (void)frame;
}

static void make_frame(struct frame *f, size_t size)
{
    static const uint8_t bytes[70000];
    frame_init(f, keep, NULL);
    f->data = bytes;
    f->size = size;
    f->seq = 42;
    f->flags = FRAME_KEY;
    f->wall_us = INT64_C(1700000000123456);
}

static void test_accept_is_the_rfcs(void **state)
{
    char accept[WS_ACCEPT_SIZE];
    (void)state;
    assert_true(ws_accept_key("dGhlIHNhbXBsZSBub25jZQ==", accept)); /* RFC 6455, 1.3 */
    assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_false(ws_accept_key(NULL, accept));
    assert_false(ws_accept_key("", accept));
    assert_false(ws_accept_key("dGhlIHNhbXBsZSBub25jZQ=", accept));
    assert_false(ws_accept_key("dGhlIHNhbXBsZSBub25jZQ====", accept));
    assert_false(ws_accept_key("!GhlIHNhbXBsZSBub25jZQ==", accept));
}

static void check_head(uint64_t payload, const void *expected, size_t size)
{
    uint8_t head[WS_HEAD_MAX];
    assert_int_equal(ws_head(2, payload, head), size);
    assert_memory_equal(head, expected, size);
}

static void test_heads_have_the_shortest_length(void **state)
{
    (void)state;
    check_head(0, "\x82\0", 2);
    check_head(125, "\x82\x7d", 2);
    check_head(126, "\x82\x7e\0\x7e", 4);
    check_head(65535, "\x82\x7e\xff\xff", 4);
    check_head(65536, "\x82\x7f\0\0\0\0\0\1\0\0", 10);
}

static void test_message_is_frame_and_time(void **state)
{
    uint8_t expected[8];
    struct frame f;
    (void)state;
    for (int i = 0; i < 8; i++) {
        expected[i] = (uint8_t)(UINT64_C(1700000000123) >> (8 * i));
    }
    make_frame(&f, 1000);
    struct part *part = ws_part(&f);
    assert_non_null(part);
    assert_true(part->key);
    assert_int_equal(part->head_size, 4);
    assert_memory_equal(part->bytes, "\x82\x7e\x03\xf0", 4); /* 1008 */
    assert_int_equal(part->tail_size, 8);
    assert_memory_equal(part->bytes + 4, expected, 8);
    assert_int_equal(part_size(part), 1012);
    part_unref(part);
    assert_int_equal(f.refs, 1);
}

static void test_part_of_a_multipart(void **state)
{
    static const char head[] = "Content-Type: image/jpeg\r\nContent-Length: 70000\r\n"
                               "X-Timestamp: 1700000000.123456\r\nX-Frame-Number: 42\r\n\r\n";
    struct frame f;
    (void)state;
    make_frame(&f, 70000);
    struct part *part = mjpeg_part(&f);
    assert_non_null(part);
    assert_int_equal(part->head_size, strlen(head));
    assert_memory_equal(part->bytes, head, strlen(head));
    assert_memory_equal(part->bytes + part->head_size, "\r\n--", 4);
    assert_memory_equal(part->bytes + part->head_size + part->tail_size - 2, "\r\n", 2);
    part_unref(part);
    part = mjpeg_goodbye();
    assert_memory_equal(part->bytes + part->head_size - 4, "--\r\n", 4);
    part_unref(part);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accept_is_the_rfcs),
        cmocka_unit_test(test_heads_have_the_shortest_length),
        cmocka_unit_test(test_message_is_frame_and_time),
        cmocka_unit_test(test_part_of_a_multipart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
