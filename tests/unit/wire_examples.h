/* SPDX-License-Identifier: MIT */
/* One message of each type, and what it means for two of them to be the same. After cmocka.h. */
#pragma once

#include <string.h>

#include "pcs/wire.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define PAYLOAD  3000 /* of the FRAME */

/* In every field a value of its own. The order is that of the types. */
static const struct wire_message examples[] = {
    { .type = WIRE_HELLO,
      .u.hello = { .version = 1,
                   .session = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 },
                   .first_seq = 0x1122334455,
                   .next_seq = 0x1122334466,
                   .mono_us = 0x778899aabbcc,
                   .wall_us = 1700000000123456,
                   .format = { FORMAT_JPEG, 1280, 720, 30, 1, COLOR_RANGE_FULL, COLOR_MATRIX_601 },
                   .name = "garden \xc3\xbc",
                   .software = "pi-camera-streamer 0.1.0" } },
    { .type = WIRE_WELCOME,
      .u.welcome = { .version = 1,
                     .from_seq = 0x1234,
                     .need_key = true,
                     .has_id = true,
                     .id = { 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1 },
                     .name = "nvr",
                     .software = "video-receiver 0.1.0" } },
    { .type = WIRE_FRAME,
      .u.frame = { .flags = WIRE_FRAME_KEY | WIRE_FRAME_REWOUND,
                   .seq = 0x0102030405060708,
                   .capture_us = 0x0908070605040302,
                   .pts_delay_us = 40000,
                   .encode_us = 2500,
                   .send_us = UINT32_MAX,
                   .skipped = 0xfffffffe,
                   .size = PAYLOAD } },
    { .type = WIRE_FORMAT,
      .u.format = { FORMAT_H264, 8192, 1, 25, 1, COLOR_RANGE_LIMITED, COLOR_MATRIX_709 } },
    { .type = WIRE_BYE, .u.bye = { .next_seq = 0x99, .skipped = 7 } },
    { .type = WIRE_ACK, .u.ack = { .synced_seq = 0x50, .received_seq = 0x60 } },
    { .type = WIRE_PING, .u.ping = { .t0_us = 123456789 } },
    { .type = WIRE_PONG, .u.pong = { .t0_us = 1, .t1_us = 2, .t2_us = 0x1fffffffffffffff } },
    { .type = WIRE_KEY },
    { .type = WIRE_REPLAY, .u.replay = { .from_seq = 0x70, .need_key = true } },
    { .type = WIRE_ERROR, .u.error = { .code = WIRE_E_BUSY, .text = "too many senders" } },
};

/* Places of the types in it. */
enum { HELLO, WELCOME, FRAME, FORMAT, BYE, ACK, PING, PONG, KEY, REPLAY, ERROR };

static inline size_t put(uint8_t *out, size_t capacity, const struct wire_message *m)
{
    int n = wire_put(out, capacity, m);
    assert_true(n > 0);
    return (size_t)n;
}

static void assert_same_format(const struct format *a, const struct format *b)
{
    assert_true(format_same(a, b));
    assert_int_equal(a->fps_num, b->fps_num);
    assert_int_equal(a->fps_den, b->fps_den);
}

static void assert_same_hello(const struct wire_hello *a, const struct wire_hello *b)
{
    assert_int_equal(a->version, b->version);
    assert_memory_equal(a->session, b->session, sizeof a->session);
    assert_int_equal(a->first_seq, b->first_seq);
    assert_int_equal(a->next_seq, b->next_seq);
    assert_int_equal(a->mono_us, b->mono_us);
    assert_int_equal(a->wall_us, b->wall_us);
    assert_same_format(&a->format, &b->format);
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->software, b->software);
}

static void assert_same_frame(const struct wire_frame *a, const struct wire_frame *b)
{
    assert_int_equal(a->flags, b->flags);
    assert_int_equal(a->seq, b->seq);
    assert_int_equal(a->capture_us, b->capture_us);
    assert_int_equal(a->pts_delay_us, b->pts_delay_us);
    assert_int_equal(a->encode_us, b->encode_us);
    assert_int_equal(a->send_us, b->send_us);
    assert_int_equal(a->skipped, b->skipped);
    assert_int_equal(a->size, b->size);
}

static inline void assert_same(const struct wire_message *a, const struct wire_message *b)
{
    assert_int_equal(a->type, b->type);
    switch (a->type) {
    case WIRE_HELLO:
        assert_same_hello(&a->u.hello, &b->u.hello);
        break;
    case WIRE_WELCOME:
        assert_int_equal(a->u.welcome.version, b->u.welcome.version);
        assert_int_equal(a->u.welcome.from_seq, b->u.welcome.from_seq);
        assert_int_equal(a->u.welcome.need_key, b->u.welcome.need_key);
        assert_int_equal(a->u.welcome.has_id, b->u.welcome.has_id);
        assert_memory_equal(a->u.welcome.id, b->u.welcome.id, sizeof a->u.welcome.id);
        assert_string_equal(a->u.welcome.name, b->u.welcome.name);
        assert_string_equal(a->u.welcome.software, b->u.welcome.software);
        break;
    case WIRE_FRAME:
        assert_same_frame(&a->u.frame, &b->u.frame);
        break;
    case WIRE_FORMAT:
        assert_same_format(&a->u.format, &b->u.format);
        break;
    case WIRE_BYE:
        assert_int_equal(a->u.bye.next_seq, b->u.bye.next_seq);
        assert_int_equal(a->u.bye.skipped, b->u.bye.skipped);
        break;
    case WIRE_ACK:
        assert_int_equal(a->u.ack.synced_seq, b->u.ack.synced_seq);
        assert_int_equal(a->u.ack.received_seq, b->u.ack.received_seq);
        break;
    case WIRE_PING:
        assert_int_equal(a->u.ping.t0_us, b->u.ping.t0_us);
        break;
    case WIRE_PONG:
        assert_int_equal(a->u.pong.t0_us, b->u.pong.t0_us);
        assert_int_equal(a->u.pong.t1_us, b->u.pong.t1_us);
        assert_int_equal(a->u.pong.t2_us, b->u.pong.t2_us);
        break;
    case WIRE_KEY:
        break;
    case WIRE_REPLAY:
        assert_int_equal(a->u.replay.from_seq, b->u.replay.from_seq);
        assert_int_equal(a->u.replay.need_key, b->u.replay.need_key);
        break;
    case WIRE_ERROR:
        assert_int_equal(a->u.error.code, b->u.error.code);
        assert_string_equal(a->u.error.text, b->u.error.text);
        break;
    }
}
