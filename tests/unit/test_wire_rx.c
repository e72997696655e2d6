/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pcs/frame.h"
#include "pcs/pool.h"
#include "pcs/wire_tx.h"
#include "wire_examples.h"

static struct pool *pool;
static unsigned allocs;

static struct frame *alloc_frame(void *arg, size_t size)
{
    assert_ptr_equal(arg, &pool);
    allocs++;
    return pool_get(pool, size);
}

static int open_pool(void **state)
{
    (void)state;
    pool = pool_new(1 << 20);
    allocs = 0;
    return pool ? 0 : -1;
}

static int close_pool(void **state)
{
    (void)state;
    pool_free(pool);
    return 0;
}

static uint8_t payload_byte(uint64_t seq, size_t i)
{
    return (uint8_t)(seq * 31 + i * 7 + i / 251);
}

#define MESSAGES 34

struct stream {
    struct wire_message message[MESSAGES];
    uint8_t bytes[MESSAGES * (WIRE_CONTROL_MAX + PAYLOAD)];
    size_t size;
    bool payload[MESSAGES * (WIRE_CONTROL_MAX + PAYLOAD)]; /* is this byte of a frame's payload? */
};

static void add_payload(struct stream *s, const struct wire_frame *f)
{
    for (size_t i = 0; i < f->size; i++) {
        s->payload[s->size] = true;
        s->bytes[s->size++] = payload_byte(f->seq, i);
    }
}

/* Every type thrice, and frames of awkward sizes between them. */
static void make_stream(struct stream *s)
{
    static const uint32_t sizes[] = { 1, 2, 39, 40, 41, 1000, PAYLOAD, 4, 36, 512 };
    memset(s, 0, sizeof *s);
    for (size_t i = 0; i < MESSAGES; i++) {
        struct wire_message *m = &s->message[i];
        *m = examples[i % COUNT(examples)];
        if (i % 3 == 0) {
            *m = examples[FRAME];
            m->u.frame.seq = i + 1;
            m->u.frame.size = sizes[i / 3 % COUNT(sizes)];
        }
        s->size += put(s->bytes + s->size, WIRE_CONTROL_MAX, m);
        if (m->type == WIRE_FRAME) {
            add_payload(s, &m->u.frame);
        }
    }
}

static void check_payload(const struct frame *frame, const struct wire_frame *head)
{
    assert_int_equal(frame->size, head->size);
    for (size_t i = 0; i < frame->size; i++) {
        assert_int_equal(frame->data[i], payload_byte(head->seq, i));
    }
}

/* Copy up to `n` bytes of the stream to where they are wanted, as recvmsg(2) would; payload must land
 * in a frame's buffer at once, and nothing else may. */
static size_t deliver(struct wire_rx *rx, const struct stream *s, size_t at, size_t n)
{
    struct iovec iov[2];
    int count = wire_rx_want(rx, iov);
    size_t done = 0;
    assert_in_range(count, 1, 2);
    for (int i = 0; i < count; i++) {
        const uint8_t *base = iov[i].iov_base;
        bool in_frame = rx->frame && base >= rx->frame->buffer &&
                        base + iov[i].iov_len <= rx->frame->buffer + rx->frame->capacity;
        assert_true(iov[i].iov_len > 0);
        for (size_t k = 0; k < iov[i].iov_len && done < n; k++) {
            assert_int_equal(s->payload[at + done], in_frame);
            ((uint8_t *)iov[i].iov_base)[k] = s->bytes[at + done++];
        }
    }
    wire_rx_got(rx, done);
    return done;
}

static size_t take_messages(struct wire_rx *rx, const struct stream *s, size_t next)
{
    struct wire_message m;
    struct frame *frame = NULL;
    int code;
    while ((code = wire_rx_next(rx, &m, &frame)) == 1) {
        assert_true(next < MESSAGES);
        assert_same(&m, &s->message[next]);
        if (m.type == WIRE_FRAME) {
            check_payload(frame, &m.u.frame);
            frame_unref(frame);
            frame = NULL;
        }
        assert_null(frame);
        next++;
    }
    assert_int_equal(code, 0);
    return next;
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* The stream in pieces: `step` bytes each, or (0) of random length. Returns the calls it took. */
static unsigned run_stream(const struct stream *s, size_t step, uint32_t seed)
{
    struct wire_rx rx;
    size_t at = 0, next = 0;
    unsigned calls = 0;
    wire_rx_init(&rx, PAYLOAD, alloc_frame, &pool);
    while (at < s->size) {
        size_t n = step ? step : 1 + next_random(&seed) % (next_random(&seed) % 4 ? 50 : 2000);
        n = n < s->size - at ? n : s->size - at;
        at += deliver(&rx, s, at, n);
        next = take_messages(&rx, s, next);
        calls++;
    }
    assert_int_equal(next, MESSAGES);
    wire_rx_finish(&rx);
    return calls;
}

static struct stream stream;

static void any_split_gives_the_same_messages(void **state)
{
    (void)state;
    make_stream(&stream);
    for (size_t step = 1; step < 130; step++) {
        run_stream(&stream, step, 0);
    }
    for (uint32_t seed = 0; seed < 300; seed++) {
        run_stream(&stream, 0, seed);
    }
}

static void a_whole_stream_takes_few_reads(void **state)
{
    (void)state;
    make_stream(&stream);
    assert_true(run_stream(&stream, SIZE_MAX, 0) <= 2 * MESSAGES);
    struct stream *frames = calloc(1, sizeof *frames); /* frames alone: one read each */
    for (size_t i = 0; i < MESSAGES; i++) {
        frames->message[i] = examples[FRAME];
        frames->message[i].u.frame.seq = i + 1;
        frames->size += put(frames->bytes + frames->size, WIRE_CONTROL_MAX, &frames->message[i]);
        add_payload(frames, &frames->message[i].u.frame);
    }
    assert_int_equal(run_stream(frames, SIZE_MAX, 0), MESSAGES + 1);
    free(frames);
}

/* Feed raw bytes until the first answer that is not "more". */
static int feed(struct wire_rx *rx, const uint8_t *bytes, size_t size, struct wire_message *m,
                struct frame **frame)
{
    int code = 0;
    for (size_t i = 0; i < size && code == 0; i++) {
        struct iovec iov[2];
        assert_in_range(wire_rx_want(rx, iov), 1, 2);
        *(uint8_t *)iov[0].iov_base = bytes[i];
        wire_rx_got(rx, 1);
        code = wire_rx_next(rx, m, frame);
    }
    return code;
}

static int feed_head(size_t max_frame, uint32_t length, uint8_t type)
{
    struct wire_rx rx;
    struct wire_message m;
    struct frame *frame = NULL;
    uint8_t bytes[WIRE_FRAME_HEAD] = { 0 };
    struct writer w = writer_on(bytes, sizeof bytes);
    write_be32(&w, length);
    write_u8(&w, type);
    bytes[15] = 1; /* seq */
    wire_rx_init(&rx, max_frame, max_frame ? alloc_frame : NULL, &pool);
    int code = feed(&rx, bytes, sizeof bytes, &m, &frame);
    assert_null(frame);
    wire_rx_finish(&rx);
    return code;
}

static void a_receiver_keeps_to_its_own_limits(void **state)
{
    (void)state;
    assert_int_equal(feed_head(1000, 36 + 1001, WIRE_FRAME), -EMSGSIZE);
    assert_int_equal(feed_head(1000, UINT32_MAX, WIRE_FRAME), -EMSGSIZE);
    assert_int_equal(feed_head(SIZE_MAX, 36 + WIRE_FRAME_MAX + 1, WIRE_FRAME), -EMSGSIZE);
    assert_int_equal(feed_head(1000, 36, WIRE_FRAME), -EBADMSG);
    assert_int_equal(feed_head(1000, 5, WIRE_FRAME), -EBADMSG);
    assert_int_equal(feed_head(1000, 0, WIRE_FRAME), -EBADMSG);
    assert_int_equal(feed_head(1000, 0, WIRE_KEY), -EBADMSG);
    assert_int_equal(feed_head(1000, WIRE_CONTROL_MAX - 3, WIRE_KEY), -EMSGSIZE);
    assert_int_equal(feed_head(1000, 20, 99), -EBADMSG);
    assert_int_equal(allocs, 0); /* nothing was believed */
    assert_int_equal(feed_head(1000, 36 + 1000, WIRE_FRAME), 0);
    assert_int_equal(allocs, 1);
}

/* A sender takes no frames: whatever a peer claims, nothing is asked of an alloc that is not there. */
static void who_takes_no_frames_refuses_them(void **state)
{
    (void)state;
    for (uint32_t length = 0; length < 100; length++) {
        assert_true(feed_head(0, length, WIRE_FRAME) < 0);
    }
}

static struct frame *no_frame(void *arg, size_t size)
{
    (void)arg;
    (void)size;
    return NULL;
}

static void without_memory_the_stream_is_lost(void **state)
{
    (void)state;
    struct wire_rx rx;
    struct wire_message m;
    struct frame *frame = NULL;
    uint8_t bytes[WIRE_FRAME_HEAD];
    (void)put(bytes, sizeof bytes, &examples[FRAME]);
    wire_rx_init(&rx, PAYLOAD, no_frame, NULL);
    assert_int_equal(feed(&rx, bytes, sizeof bytes, &m, &frame), -ENOMEM);
    wire_rx_finish(&rx);
}

static void a_frame_in_the_making_is_dropped_at_the_end(void **state)
{
    (void)state;
    struct wire_rx rx;
    struct wire_message m;
    struct frame *frame = NULL;
    uint8_t bytes[WIRE_FRAME_HEAD + 10] = { 0 };
    (void)put(bytes, sizeof bytes, &examples[FRAME]);
    wire_rx_init(&rx, PAYLOAD, alloc_frame, &pool);
    assert_int_equal(feed(&rx, bytes, sizeof bytes, &m, &frame), 0);
    assert_non_null(rx.frame);
    wire_rx_finish(&rx); /* the leak checker is the judge */
    assert_null(rx.frame);
    wire_rx_finish(&rx);
}

/* Anything at all: an error or messages, but no step outside (sanitizers) and no standstill. */
static void noise_does_no_harm(void **state)
{
    (void)state;
    uint32_t seed = 7;
    for (int round = 0; round < 3000; round++) {
        struct wire_rx rx;
        struct wire_message m;
        uint8_t bytes[300];
        size_t n = put(bytes, sizeof bytes, &examples[(size_t)round % COUNT(examples)]);
        for (size_t i = n; i < sizeof bytes; i++) {
            bytes[i] = (uint8_t)next_random(&seed);
        }
        bytes[next_random(&seed) % n] ^= (uint8_t)(1u << next_random(&seed) % 8);
        wire_rx_init(&rx, PAYLOAD, alloc_frame, &pool);
        int code = 0;
        for (size_t at = 0; at < sizeof bytes && code >= 0; at += 10) {
            struct frame *frame = NULL;
            code = feed(&rx, bytes + at, 10, &m, &frame);
            frame_unref(frame);
        }
        wire_rx_finish(&rx);
    }
}

/* ---- both ends together ---- */

static const struct frame *make_frame(uint64_t seq, size_t size)
{
    struct frame *frame = pool_get(pool, size);
    for (size_t i = 0; i < size; i++) {
        frame->buffer[i] = payload_byte(seq, i);
    }
    frame->size = size;
    frame->seq = seq;
    return frame;
}

/* Put the next thing that may go out; frames and control messages in turns. */
static void refill(struct wire_tx *tx, uint32_t *seed, uint64_t *frames, uint64_t *pongs)
{
    if (wire_tx_frame_done(tx)) {
        const struct frame *frame = make_frame(++*frames, 1 + next_random(seed) % PAYLOAD);
        wire_tx_put_frame(tx, &(struct wire_frame){ .seq = *frames }, frame);
        frame_unref(frame);
    }
    const struct wire_message m = { .type = WIRE_PONG, .u.pong.t0_us = (int64_t)*pongs + 1 };
    if (next_random(seed) % 3 == 0 && wire_tx_put(tx, &m) == 0) {
        ++*pongs;
    }
}

/* Move some of what tx offers to where rx wants it. */
static void transfer(struct wire_tx *tx, struct wire_rx *rx, size_t most)
{
    struct iovec from[WIRE_TX_IOV], to[2];
    int from_count = wire_tx_iov(tx, from), to_count = wire_rx_want(rx, to);
    size_t moved = 0, f = 0, f_at = 0;
    for (int t = 0; t < to_count; t++) {
        for (size_t k = 0; k < to[t].iov_len && moved < most && (int)f < from_count; k++) {
            ((uint8_t *)to[t].iov_base)[k] = ((uint8_t *)from[f].iov_base)[f_at++];
            moved++;
            if (f_at == from[f].iov_len) {
                f_at = 0;
                f++;
            }
        }
    }
    wire_tx_sent(tx, moved);
    wire_rx_got(rx, moved);
}

static void control_never_cuts_into_a_frame(void **state)
{
    (void)state;
    struct wire_tx tx;
    struct wire_rx rx;
    uint32_t seed = 3;
    uint64_t frames = 0, pongs = 0, frames_seen = 0, pongs_seen = 0;
    wire_tx_init(&tx);
    wire_rx_init(&rx, PAYLOAD, alloc_frame, &pool);
    while (frames_seen < 200) {
        struct wire_message m;
        struct frame *frame = NULL;
        refill(&tx, &seed, &frames, &pongs);
        transfer(&tx, &rx, 1 + next_random(&seed) % 1500);
        while (wire_rx_next(&rx, &m, &frame) == 1) {
            if (m.type == WIRE_FRAME) {
                assert_int_equal(m.u.frame.seq, ++frames_seen);
                check_payload(frame, &m.u.frame);
                frame_unref(frame);
            } else {
                assert_int_equal(m.type, WIRE_PONG);
                assert_int_equal(m.u.pong.t0_us, ++pongs_seen);
            }
        }
    }
    assert_true(pongs_seen > 50);
    wire_tx_finish(&tx);
    wire_rx_finish(&rx);
}

static void a_peer_that_reads_nothing_fills_the_box(void **state)
{
    (void)state;
    struct wire_tx tx;
    int n = 0;
    wire_tx_init(&tx);
    while (wire_tx_put(&tx, &examples[PONG]) == 0) {
        n++;
    }
    assert_int_equal(n, (int)(sizeof tx.box / 29));
    assert_int_equal(wire_tx_put(&tx, &examples[PONG]), -ENOBUFS);
    wire_tx_sent(&tx, 29);
    assert_int_equal(wire_tx_put(&tx, &examples[PONG]), 0);
    wire_tx_finish(&tx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(any_split_gives_the_same_messages, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(a_whole_stream_takes_few_reads, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(a_receiver_keeps_to_its_own_limits, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(who_takes_no_frames_refuses_them, open_pool, close_pool),
        cmocka_unit_test(without_memory_the_stream_is_lost),
        cmocka_unit_test_setup_teardown(a_frame_in_the_making_is_dropped_at_the_end, open_pool,
                                        close_pool),
        cmocka_unit_test_setup_teardown(noise_does_no_harm, open_pool, close_pool),
        cmocka_unit_test_setup_teardown(control_never_cuts_into_a_frame, open_pool, close_pool),
        cmocka_unit_test(a_peer_that_reads_nothing_fills_the_box),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
