/* SPDX-License-Identifier: MIT */
/*
 * A second opinion on latency: takes one stream over TCP and measures, on the clock that both ends
 * share on one machine, how old each frame is once the last of its bytes has been read.
 *
 *   latency_reader wire FRAMES   ours: plays the receiver (docs/protocol.md)
 *   latency_reader ts FRAMES     MPEG-TS whose time stamps are CLOCK_MONOTONIC (ffmpeg -copyts)
 *
 * Says "port N" on stderr; after FRAMES frames (the first SKIP do not count) prints one line of JSON.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pcs/clock.h"
#include "pcs/conn.h"
#include "pcs/frame.h"
#include "pcs/pool.h"
#include "pcs/sock.h"
#include "pcs/stats.h"
#include "pcs/wire.h"

#define SKIP      30 /* frames while both sides start */
#define ACK_EVERY 15
#define TS_PACKET 188
#define TS_CLOCKS (INT64_C(1) << 33) /* of 90 kHz */
#define WAIT_MS   15000

struct reader_state {
    struct conn *conn;
    struct histogram latency;
    uint64_t frames, wanted;

    struct pool *pool;
    struct wire_rx rx;

    uint8_t packet[TS_PACKET];
    size_t packet_have;
    int64_t pts; /* of the unit that is arriving, 90 kHz; -1 = none */
    int64_t last_us;
};

static void note_age(struct reader_state *r, int64_t age_us)
{
    if (++r->frames > SKIP) {
        histogram_add(&r->latency, age_us);
    }
}

static bool done(const struct reader_state *r)
{
    return r->frames >= r->wanted + SKIP;
}

/* ---- ours ---- */

static struct frame *alloc_frame(void *arg, size_t size)
{
    return pool_get(arg, size);
}

static int say(struct reader_state *r, const struct wire_message *m)
{
    uint8_t bytes[WIRE_CONTROL_MAX];
    int size = wire_put(bytes, sizeof bytes, m);
    const struct iovec iov = { bytes, size > 0 ? (size_t)size : 0 };
    ssize_t n = size > 0 ? conn_sendv(r->conn, &iov, 1) : size;
    return n < 0 ? (int)n : 0;
}

static int on_wire(struct reader_state *r, const struct wire_message *m)
{
    if (m->type == WIRE_HELLO) {
        const struct wire_message welcome = {
            .type = WIRE_WELCOME,
            .u.welcome = { .version = WIRE_VERSION, .need_key = true, .name = "latency_reader" }
        };
        return say(r, &welcome);
    }
    if (m->type != WIRE_FRAME) {
        return 0;
    }
    note_age(r, clock_now_us() - m->u.frame.capture_us);
    const struct wire_message ack = { .type = WIRE_ACK,
                                      .u.ack = { m->u.frame.seq, m->u.frame.seq } };
    return r->frames % ACK_EVERY == 0 ? say(r, &ack) : 0;
}

static int read_wire(struct reader_state *r)
{
    struct iovec iov[2];
    struct wire_message m;
    struct frame *frame = NULL;
    int code;
    ssize_t n = conn_recvv(r->conn, iov, wire_rx_want(&r->rx, iov));
    if (n < 0) {
        return n == -EAGAIN ? 0 : (int)n;
    }
    wire_rx_got(&r->rx, (size_t)n);
    while ((code = wire_rx_next(&r->rx, &m, &frame)) > 0) {
        code = on_wire(r, &m);
        if (m.type == WIRE_FRAME) {
            frame_unref(frame);
        }
        if (code < 0) {
            return code;
        }
    }
    return code;
}

/* ---- MPEG-TS (ISO/IEC 13818-1, 2.4.3) ---- */

/* The PTS of a video PES packet that begins in this TS packet, or -1. */
static int64_t find_pts(const uint8_t p[TS_PACKET])
{
    bool adaptation = p[3] & 0x20, payload = p[3] & 0x10;
    size_t at = 4 + (adaptation ? 1u + p[4] : 0u);
    if (!(p[1] & 0x40) || !payload || at + 14 > TS_PACKET) {
        return -1;
    }
    const uint8_t *pes = p + at;
    bool video = pes[0] == 0 && pes[1] == 0 && pes[2] == 1 && (pes[3] & 0xF0) == 0xE0;
    if (!video || !(pes[7] & 0x80)) {
        return -1;
    }
    return (int64_t)(pes[9] >> 1 & 7) << 30 | (int64_t)pes[10] << 22 |
           (int64_t)(pes[11] >> 1) << 15 | (int64_t)pes[12] << 7 | pes[13] >> 1;
}

/* Which packet was a unit's last is known only when the next unit begins, but it came at last_us. */
static void on_packet(struct reader_state *r, int64_t now_us)
{
    int64_t pts = find_pts(r->packet);
    if (pts >= 0) {
        if (r->pts >= 0) {
            int64_t age = (r->last_us * 9 / 100 - r->pts) % TS_CLOCKS;
            note_age(r, (age < 0 ? age + TS_CLOCKS : age) * 100 / 9);
        }
        r->pts = pts;
    }
    bool table = (r->packet[1] & 0x1F) == 0 && r->packet[2] < 0x20;
    r->last_us = table ? r->last_us : now_us;
}

static int read_ts(struct reader_state *r)
{
    uint8_t data[65536];
    const struct iovec iov = { data, sizeof data };
    ssize_t n = conn_recvv(r->conn, &iov, 1);
    int64_t now_us = clock_now_us();
    if (n < 0) {
        return n == -EAGAIN ? 0 : (int)n;
    }
    for (ssize_t i = 0; i < n; i++) {
        if (r->packet_have == 0 && data[i] != 0x47) {
            return -EBADMSG;
        }
        r->packet[r->packet_have++] = data[i];
        if (r->packet_have == TS_PACKET) {
            on_packet(r, now_us);
            r->packet_have = 0;
        }
    }
    return 0;
}

/* ---- both ---- */

static int wait_readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    int n = poll(&p, 1, WAIT_MS);
    return n > 0 ? 0 : n == 0 ? -ETIMEDOUT : -errno;
}

static int accept_one(struct conn **out)
{
    struct err err = { 0 };
    char name[SOCK_NAME_MAX];
    int listener, fd;
    int code = sock_listen("127.0.0.1", 0, &listener, &err);
    if (code < 0) {
        return code;
    }
    (void)fprintf(stderr, "port %d\n", sock_port(listener));
    code = wait_readable(listener);
    code = code < 0 ? code : sock_accept(listener, &fd, name);
    close(listener);
    if (code == 0) {
        *out = conn_new(fd);
    }
    return code < 0 ? code : *out ? 0 : -ENOMEM;
}

static void report(const struct histogram *h)
{
    (void)printf(
        "{\"frames\":%llu,\"p50\":%.3f,\"p95\":%.3f,\"p99\":%.3f,\"max\":%.3f}\n",
        (unsigned long long)counter_get(&h->count), (double)histogram_quantile(h, 0.5) / 1000,
        (double)histogram_quantile(h, 0.95) / 1000, (double)histogram_quantile(h, 0.99) / 1000,
        (double)histogram_quantile(h, 1) / 1000);
}

static int measure(struct reader_state *r, int (*read_some)(struct reader_state *))
{
    int code = accept_one(&r->conn);
    while (code == 0 && !done(r)) {
        code = wait_readable(conn_fd(r->conn));
        code = code < 0 ? code : read_some(r);
    }
    return code;
}

int main(int argc, char **argv)
{
    struct reader_state *r = calloc(1, sizeof *r);
    bool wire = argc == 3 && strcmp(argv[1], "wire") == 0;
    if (!r || argc != 3 || (!wire && strcmp(argv[1], "ts") != 0)) {
        (void)fprintf(stderr, "usage: latency_reader wire|ts FRAMES\n");
        return 2;
    }
    r->wanted = (uint64_t)atoll(argv[2]);
    r->pts = -1;
    r->pool = pool_new((size_t)4 << 20);
    wire_rx_init(&r->rx, WIRE_FRAME_MAX, alloc_frame, r->pool);
    int code = measure(r, wire ? read_wire : read_ts);
    if (code < 0) {
        (void)fprintf(stderr, "latency_reader: %s\n", err_text(code));
    }
    report(&r->latency);
    return code < 0 ? 1 : 0;
}
