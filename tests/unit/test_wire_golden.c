/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcs/frame.h"
#include "pcs/pool.h"
#include "wire_examples.h"

/*
 * Replays tests/data/wire: bytes in hex, '#' begins a comment, a line with '>' (sender) or '<'
 * (receiver) begins a message.
 */
#define MOST_MESSAGES 32
#define MOST_BYTES    4096

struct golden {
    uint8_t bytes[MOST_BYTES];
    size_t size, count;
    size_t begin[MOST_MESSAGES + 1]; /* of message i; begin[count] = size */
    char from[MOST_MESSAGES];        /* '>' or '<' */
};

static void read_bytes_of(struct golden *g, const char *text)
{
    for (; *text; text += 2) {
        while (isspace((unsigned char)*text)) {
            text++;
        }
        if (!*text) {
            break;
        }
        unsigned byte;
        assert_true(isxdigit((unsigned char)text[0]) && isxdigit((unsigned char)text[1]));
        assert_int_equal(sscanf(text, "%2x", &byte), 1);
        assert_true(g->count > 0 && g->size < MOST_BYTES);
        g->bytes[g->size++] = (uint8_t)byte;
    }
}

static void read_line(struct golden *g, char *line)
{
    line[strcspn(line, "#\n")] = '\0';
    if (*line == '>' || *line == '<') {
        assert_true(g->count < MOST_MESSAGES);
        g->from[g->count] = *line;
        g->begin[g->count++] = g->size;
        return;
    }
    read_bytes_of(g, line);
}

static struct golden *load(const char *name)
{
    char path[100], line[400];
    struct golden *g = calloc(1, sizeof *g);
    snprintf(path, sizeof path, "../data/wire/%s.hex", name);
    FILE *file = fopen(path, "r");
    if (!g || !file) {
        fail_msg("cannot read %s", path);
    }
    while (fgets(line, sizeof line, file)) {
        read_line(g, line);
    }
    fclose(file);
    g->begin[g->count] = g->size;
    return g;
}

static size_t size_of(const struct golden *g, size_t i)
{
    return g->begin[i + 1] - g->begin[i];
}

static const uint8_t frame_bytes[] = { 0, 0, 0, 1, 0x67, 0x42, 0,    0x1e,
                                       0, 0, 0, 1, 0x68, 0xce, 0x3c, 0x80,
                                       0, 0, 0, 1, 0x65, 0x88, 0x84 };

static const struct {
    const char *name;
    struct wire_message message;
} vectors[] = {
    { "hello",
      { .type = WIRE_HELLO,
        .u.hello = { .version = 1,
                     .session = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa,
                                  0xbb, 0xcc, 0xdd, 0xee, 0xff },
                     .first_seq = 7,
                     .next_seq = 4711,
                     .mono_us = 123456789012,
                     .wall_us = 1767225600123456,
                     .format = { FORMAT_JPEG, 1920, 1080, 30000, 1001, COLOR_RANGE_FULL,
                                 COLOR_MATRIX_709 },
                     .name = "k\xc3\xbc"
                             "che",
                     .software = "pi-camera-streamer 0.1.0" } } },
    { "welcome",
      { .type = WIRE_WELCOME,
        .u.welcome = { .version = 1,
                       .from_seq = 4712,
                       .name = "nvr",
                       .software = "video-receiver 0.1.0" } } },
    { "welcome_id",
      { .type = WIRE_WELCOME,
        .u.welcome = { .version = 1,
                       .from_seq = 4712,
                       .need_key = true,
                       .has_id = true,
                       .id = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa,
                               0xbb, 0xcc, 0xdd, 0xee, 0xff },
                       .name = "nvr",
                       .software = "video-receiver 0.1.0" } } },
    { "frame",
      { .type = WIRE_FRAME,
        .u.frame = { .flags = WIRE_FRAME_KEY | WIRE_FRAME_REWOUND,
                     .seq = 4712,
                     .capture_us = 123456700000,
                     .pts_delay_us = 40000,
                     .encode_us = 2500,
                     .send_us = UINT32_MAX,
                     .skipped = 17,
                     .size = sizeof frame_bytes } } },
    { "format",
      { .type = WIRE_FORMAT,
        .u.format = { FORMAT_JPEG, 1280, 720, 15, 1, COLOR_RANGE_FULL, COLOR_MATRIX_601 } } },
    { "bye", { .type = WIRE_BYE, .u.bye = { .next_seq = 5000, .skipped = 17 } } },
    { "ack", { .type = WIRE_ACK, .u.ack = { .synced_seq = 4800, .received_seq = 4811 } } },
    { "ping", { .type = WIRE_PING, .u.ping = { .t0_us = 987654321000 } } },
    { "pong",
      { .type = WIRE_PONG,
        .u.pong = { .t0_us = 987654321000, .t1_us = 123456800200, .t2_us = 123456800950 } } },
    { "key", { .type = WIRE_KEY } },
    { "replay", { .type = WIRE_REPLAY, .u.replay = { .from_seq = 4790, .need_key = true } } },
    { "error",
      { .type = WIRE_ERROR,
        .u.error = { .code = WIRE_E_BUSY,
                     .text = "64 senders are connected, no more are taken" } } },
};

static void bytes_mean_what_they_say(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct golden *g = load(vectors[i].name);
        struct wire_message m;
        assert_int_equal(g->count, 1);
        assert_int_equal(wire_parse(g->bytes, g->size, &m), 0);
        assert_same(&m, &vectors[i].message);
        free(g);
    }
}

/* What we write is, byte for byte, what stands there. */
static void meaning_is_written_so(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct golden *g = load(vectors[i].name);
        uint8_t bytes[WIRE_CONTROL_MAX];
        size_t n = put(bytes, sizeof bytes, &vectors[i].message);
        if (vectors[i].message.type == WIRE_FRAME) {
            memcpy(bytes + n, frame_bytes, sizeof frame_bytes);
            n += sizeof frame_bytes;
        }
        assert_int_equal(n, g->size);
        assert_memory_equal(bytes, g->bytes, n);
        free(g);
    }
}

/* ---- sessions ---- */

static struct frame *alloc_frame(void *arg, size_t size)
{
    return pool_get(arg, size);
}

/* One direction's bytes, as TCP would bring them. */
static size_t one_side(const struct golden *g, char from, uint8_t *bytes)
{
    size_t size = 0;
    for (size_t i = 0; i < g->count; i++) {
        if (g->from[i] == from) {
            memcpy(bytes + size, g->bytes + g->begin[i], size_of(g, i));
            size += size_of(g, i);
        }
    }
    return size;
}

static bool is_of_another_version(const struct wire_message *m)
{
    return m->type == WIRE_HELLO && m->u.hello.version != WIRE_VERSION;
}

static void check_written_again(const struct golden *g, size_t i, const struct wire_message *m,
                                const struct frame *frame)
{
    uint8_t bytes[MOST_BYTES];
    size_t n = put(bytes, sizeof bytes, m);
    if (frame) {
        memcpy(bytes + n, frame->data, frame->size);
        n += frame->size;
    }
    assert_int_equal(n, size_of(g, i));
    assert_memory_equal(bytes, g->bytes + g->begin[i], n);
}

static size_t next_of(const struct golden *g, char from, size_t i)
{
    while (i < g->count && g->from[i] != from) {
        i++;
    }
    return i;
}

/* Through wire_rx, `step` bytes at a time; each message is written again. Returns how many. */
static size_t replay_side(const struct golden *g, char from, size_t step,
                          struct wire_message *messages)
{
    struct pool *pool = pool_new(1 << 20);
    uint8_t bytes[MOST_BYTES];
    size_t size = one_side(g, from, bytes), at = 0, count = 0, i = next_of(g, from, 0);
    struct wire_rx rx;
    wire_rx_init(&rx, MOST_BYTES, alloc_frame, pool);
    while (at < size) {
        struct iovec iov[2];
        (void)wire_rx_want(&rx, iov);
        size_t n = step < size - at ? step : size - at;
        n = n < iov[0].iov_len ? n : iov[0].iov_len;
        memcpy(iov[0].iov_base, bytes + at, n);
        wire_rx_got(&rx, n);
        at += n;
        struct frame *frame = NULL;
        int code;
        while ((code = wire_rx_next(&rx, &messages[count], &frame)) == 1) {
            if (!is_of_another_version(&messages[count])) {
                check_written_again(g, i, &messages[count], frame);
            }
            frame_unref(frame);
            frame = NULL;
            count++;
            i = next_of(g, from, i + 1);
        }
        assert_int_equal(code, 0);
    }
    wire_rx_finish(&rx);
    pool_free(pool);
    assert_int_equal(i, g->count); /* all of them came */
    return count;
}

static void a_session_replays_both_ways(void **state)
{
    (void)state;
    struct golden *g = load("session");
    struct wire_message s[MOST_MESSAGES], r[MOST_MESSAGES];
    for (size_t step = 1; step <= MOST_BYTES; step = step * 2 + 1) {
        size_t n = replay_side(g, '>', step, s) + replay_side(g, '<', step, r);
        assert_int_equal(n, g->count);
    }
    free(g);
}

/* The account of docs/protocol.md: (now - base + 1) - (skipped since) - received = lost. */
static void the_sessions_numbers_add_up(void **state)
{
    (void)state;
    struct golden *g = load("session");
    struct wire_message m[MOST_MESSAGES];
    const struct wire_bye *bye = NULL;
    uint64_t base = 0, received = 0, last = 0;
    uint32_t base_skipped = 0;
    for (size_t i = 0, n = replay_side(g, '>', 7, m); i < n; i++) {
        if (m[i].type == WIRE_FRAME && !(m[i].u.frame.flags & WIRE_FRAME_AGAIN)) {
            base_skipped = base ? base_skipped : m[i].u.frame.skipped;
            base = base ? base : m[i].u.frame.seq;
            assert_true(m[i].u.frame.seq > last);
            last = m[i].u.frame.seq;
            received++;
        }
        bye = m[i].type == WIRE_BYE ? &m[i].u.bye : bye;
    }
    assert_non_null(bye);
    assert_int_equal(received, 4);
    assert_int_equal(bye->next_seq - base - (bye->skipped - base_skipped) - received, 0);
    free(g);
}

static void a_stranger_is_refused(void **state)
{
    (void)state;
    struct golden *g = load("refused");
    struct wire_message m[MOST_MESSAGES];
    assert_int_equal(replay_side(g, '>', 5, m), 1);
    assert_int_equal(m[0].u.hello.version, 9);
    assert_int_equal(replay_side(g, '<', 5, m), 1);
    assert_int_equal(m[0].u.error.code, WIRE_E_VERSION);
    free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_mean_what_they_say),
        cmocka_unit_test(meaning_is_written_so),
        cmocka_unit_test(a_session_replays_both_ways),
        cmocka_unit_test(the_sessions_numbers_add_up),
        cmocka_unit_test(a_stranger_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
