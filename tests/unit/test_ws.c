/* SPDX-License-Identifier: MIT */
/* What clients say by WebSocket, and what they get for it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "web/part.h"
#include "web/ws.h"

/* What a client has sent and is not read yet. */
struct line {
    uint8_t bytes[40000];
    size_t size, at;
};

static ssize_t take(void *arg, void *to, size_t size)
{
    struct line *line = arg;
    size_t left = line->size - line->at, n = left < size ? left : size;
    if (n == 0) {
        return -EAGAIN;
    }
    memcpy(to, line->bytes + line->at, n);
    line->at += n;
    return (ssize_t)n;
}

static void say(struct line *line, uint8_t first, uint8_t size, uint8_t filled_with)
{
    const uint8_t head[6] = { first, (uint8_t)(0x80 | size) }; /* masked with zeros */
    assert_true(line->size + sizeof head + size <= sizeof line->bytes);
    memcpy(line->bytes + line->size, head, sizeof head);
    memset(line->bytes + line->size + sizeof head, filled_with, size);
    line->size += sizeof head + size;
}

static void test_all_pings_of_a_turn_are_answered_whole(void **state)
{
    static struct line line;
    struct ws *ws = ws_new(take, &line);
    (void)state;
    assert_non_null(ws);
    for (int i = 0; i < 60; i++) {
        say(&line, 0x89, 125, (uint8_t)i);
    }
    assert_int_equal(ws_read(ws), WS_OPEN);
    struct part *answer = ws_take_answer(ws);
    assert_non_null(answer);
    assert_int_equal(part_size(answer), 60 * 127);
    for (int i = 0; i < 60; i++) {
        const uint8_t *pong = (const uint8_t *)answer->bytes + (ptrdiff_t)i * 127;
        assert_int_equal(pong[0], 0x8a);
        assert_int_equal(pong[1], 125);
        assert_int_equal(pong[2], i);
        assert_int_equal(pong[126], i);
    }
    part_unref(answer);
    assert_null(ws_take_answer(ws));
    ws_free(ws);
}

static void test_more_pings_than_that_are_too_many(void **state)
{
    static struct line line;
    struct ws *ws = ws_new(take, &line);
    (void)state;
    assert_non_null(ws);
    for (int i = 0; i < 100; i++) {
        say(&line, 0x89, 125, 0);
    }
    assert_int_equal(ws_read(ws), WS_GONE);
    ws_free(ws);
}

static void expect_close(struct ws *ws, unsigned code)
{
    assert_int_equal(ws_read(ws), WS_ENDED);
    struct part *answer = ws_take_answer(ws);
    assert_non_null(answer);
    assert_int_equal(part_size(answer), 4);
    const uint8_t *bytes = (const uint8_t *)answer->bytes;
    assert_int_equal(bytes[0], 0x88);
    assert_int_equal(bytes[2] << 8 | bytes[3], code);
    part_unref(answer);
}

static void test_a_message_may_have_64_kib_in_all_its_pieces(void **state)
{
    static struct line line;
    struct ws *ws = ws_new(take, &line);
    (void)state;
    assert_non_null(ws);
    for (int message = 0; message < 2; message++) { /* the second begins at nothing again */
        for (int i = 0; i < 524; i++) {
            line.size = line.at = 0;
            say(&line, i == 0 ? 0x02 : i == 523 ? 0x80 : 0x00, 125, 0xff);
            say(&line, 0x8a, 3, 'x'); /* a control frame between is no part of it */
            assert_int_equal(ws_read(ws), WS_OPEN);
        }
    }
    for (int i = 0; i < 524; i++) {
        line.size = line.at = 0;
        say(&line, i == 0 ? 0x02 : 0x00, 125, 0xff);
        assert_int_equal(ws_read(ws), WS_OPEN);
    }
    say(&line, 0x80, 125, 0xff);
    expect_close(ws, 1009);
    ws_free(ws);
}

static void test_text_is_utf8_also_in_pieces(void **state)
{
    static struct line line;
    struct ws *ws = ws_new(take, &line);
    (void)state;
    assert_non_null(ws);
    say(&line, 0x01, 1, 0xc3);
    say(&line, 0x80, 1, 0xa4);
    assert_int_equal(ws_read(ws), WS_OPEN);
    say(&line, 0x01, 1, 0xc3);
    say(&line, 0x80, 1, 'a');
    expect_close(ws, 1007);
    ws_free(ws);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_pings_of_a_turn_are_answered_whole),
        cmocka_unit_test(test_more_pings_than_that_are_too_many),
        cmocka_unit_test(test_a_message_may_have_64_kib_in_all_its_pieces),
        cmocka_unit_test(test_text_is_utf8_also_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
