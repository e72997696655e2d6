/* SPDX-License-Identifier: MIT */
/*
 * Many cameras in one process and one thread: N connections to one receiver, each sending the access
 * units of an H.264 file at its rate, evenly spread in time, as N senders would. Cheap enough to leave
 * the machine to the receiver. Speaks the wire (docs/protocol.md) with the project's own code.
 *
 *   many_senders PORT CLIP.h264 STREAMS SECONDS [FPS]
 *
 * Prints one line of JSON. Exit status 0 only when every frame was confirmed to be on disk.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "../fake/fake_media.h"
#include "pcs/backoff.h"
#include "pcs/clock.h"
#include "pcs/conn.h"
#include "pcs/err.h"
#include "pcs/frame.h"
#include "pcs/sock.h"
#include "pcs/wire.h"
#include "pcs/wire_tx.h"

#define EVENTS     64
#define CONNECT_US (5 * CLOCK_S)
#define PATIENCE   (40 * CLOCK_S) /* for the confirmations at the end */

struct stream {
    struct conn *conn;
    struct wire_tx tx;
    struct wire_rx rx;
    bool welcomed, bye;
    uint64_t made, sent, acked; /* frame numbers */
};

struct load {
    struct clip clip;
    struct frame *unit; /* one for each access unit of the clip, shared by all streams */
    struct stream *stream;
    unsigned streams, welcomed, finished;
    bool failed;     /* a connection ended before its time */
    uint64_t frames; /* of each stream */
    int64_t interval_us, start_us;
    uint64_t backlog; /* most frames that ever waited in one stream */
    int epoll;
};

static void keep(struct frame *frame)
{
    (void)frame; /* lives as long as the program */
}

static int load_units(struct load *l, const char *path)
{
    if (!clip_load(&l->clip, path, FORMAT_H264)) {
        return -ENOENT;
    }
    l->unit = calloc(l->clip.count, sizeof *l->unit);
    for (size_t i = 0; l->unit && i < l->clip.count; i++) {
        struct frame *frame = &l->unit[i];
        frame_init(frame, keep, NULL);
        frame->data = l->clip.data + l->clip.piece[i].offset;
        frame->size = l->clip.piece[i].size;
        frame->flags = l->clip.piece[i].key ? FRAME_KEY : 0;
    }
    return l->unit ? 0 : -ENOMEM;
}

static int fail(int code, const char *what)
{
    (void)fprintf(stderr, "many_senders: %s: %s\n", what, err_text(code));
    return code;
}

/* ---- out ---- */

static int64_t due_us(const struct load *l, unsigned index, uint64_t number)
{
    return l->start_us + (int64_t)number * l->interval_us + index * l->interval_us / l->streams;
}

static void put_next(struct load *l, struct stream *s)
{
    unsigned index = (unsigned)(s - l->stream);
    const struct frame *frame = &l->unit[s->sent % l->clip.count];
    int64_t capture_us = due_us(l, index, s->sent);
    const struct wire_frame head = { .flags = frame->flags & FRAME_KEY ? WIRE_FRAME_KEY : 0,
                                     .seq = ++s->sent,
                                     .capture_us = capture_us,
                                     .send_us = (uint32_t)(clock_now_us() - capture_us) };
    wire_tx_put_frame(&s->tx, &head, frame);
}

/* Something to say besides what is on its way? */
static bool prepare(struct load *l, struct stream *s)
{
    if (!s->welcomed || !wire_tx_frame_done(&s->tx)) {
        return s->tx.box_size > 0 || !wire_tx_frame_done(&s->tx);
    }
    if (s->sent < s->made) {
        put_next(l, s);
    } else if (s->sent == l->frames && !s->bye) {
        const struct wire_message m = { .type = WIRE_BYE, .u.bye = { .next_seq = s->sent + 1 } };
        s->bye = wire_tx_put(&s->tx, &m) == 0;
    }
    return s->tx.box_size > 0 || !wire_tx_frame_done(&s->tx);
}

static int pump(struct load *l, struct stream *s)
{
    uint64_t waiting = s->made - s->sent;
    l->backlog = waiting > l->backlog ? waiting : l->backlog;
    while (prepare(l, s)) {
        struct iovec iov[WIRE_TX_IOV];
        int count = wire_tx_iov(&s->tx, iov);
        ssize_t n = conn_sendv(s->conn, iov, count);
        if (n == -EAGAIN) {
            return 0; /* epoll tells when there is room */
        }
        if (n < 0) {
            return fail((int)n, "send");
        }
        wire_tx_sent(&s->tx, (size_t)n);
    }
    return 0;
}

/* ---- in ---- */

static int pong(struct stream *s, const struct wire_ping *ping)
{
    int64_t now_us = clock_now_us();
    const struct wire_message m = {
        .type = WIRE_PONG, .u.pong = { .t0_us = ping->t0_us, .t1_us = now_us, .t2_us = now_us }
    };
    return wire_tx_put(&s->tx, &m);
}

static int on_message(struct load *l, struct stream *s, const struct wire_message *m)
{
    switch (m->type) {
    case WIRE_WELCOME:
        s->welcomed = true;
        l->welcomed++;
        return 0;
    case WIRE_ACK:
        s->acked = m->u.ack.synced_seq;
        return 0;
    case WIRE_PING:
        return pong(s, &m->u.ping);
    case WIRE_KEY:
        return 0;
    default: /* a replay would mean that frames were refused, which is what is to be found out */
        return fail(-EPROTO, m->type == WIRE_ERROR ? m->u.error.text : "unexpected message");
    }
}

static int receive(struct load *l, struct stream *s)
{
    struct iovec iov[2];
    struct wire_message m;
    struct frame *frame;
    ssize_t n = conn_recvv(s->conn, iov, wire_rx_want(&s->rx, iov));
    if (n < 0) {
        return n == -EAGAIN ? 0 : fail((int)n, "receive");
    }
    wire_rx_got(&s->rx, (size_t)n);
    int code;
    while ((code = wire_rx_next(&s->rx, &m, &frame)) > 0) {
        code = on_message(l, s, &m);
        if (code < 0) {
            return code;
        }
    }
    return code;
}

static void close_stream(struct load *l, struct stream *s)
{
    if (s->conn) {
        wire_tx_finish(&s->tx);
        wire_rx_finish(&s->rx);
        conn_free(s->conn);
        s->conn = NULL;
        l->finished++;
    }
}

static void serve(struct load *l, struct stream *s, uint32_t events)
{
    bool end = false;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        end = receive(l, s) < 0;
    }
    end = end || pump(l, s) < 0;
    l->failed |= end;
    if (end || (s->bye && s->tx.box_size == 0 && s->acked >= l->frames)) {
        close_stream(l, s);
    }
}

/* ---- life ---- */

static int greet(struct load *l, struct stream *s)
{
    struct wire_message m = { .type = WIRE_HELLO,
                              .u.hello = { .version = WIRE_VERSION,
                                           .first_seq = 1,
                                           .next_seq = 1,
                                           .mono_us = clock_now_us(),
                                           .wall_us = clock_wall_us(),
                                           .format = { .id = FORMAT_H264,
                                                       .width = l->clip.width,
                                                       .height = l->clip.height,
                                                       .fps_num = 1000000,
                                                       .fps_den = (int)l->interval_us } } };
    random_bytes(m.u.hello.session, sizeof m.u.hello.session);
    (void)snprintf(m.u.hello.name, sizeof m.u.hello.name, "load-%u", (unsigned)(s - l->stream));
    (void)snprintf(m.u.hello.software, sizeof m.u.hello.software, "many_senders");
    return wire_tx_put(&s->tx, &m);
}

static int open_stream(struct load *l, struct stream *s, int port)
{
    struct err err = { 0 };
    char peer[SOCK_NAME_MAX];
    int fd;
    int code = sock_connect("127.0.0.1", port, NULL, CONNECT_US, &fd, peer, &err);
    if (code < 0) {
        return fail(code, err.text);
    }
    sock_tune(fd, 0, 10000);
    s->conn = conn_new(fd);
    wire_tx_init(&s->tx);
    wire_rx_init(&s->rx, 0, NULL, NULL);
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = s };
    if (!s->conn || epoll_ctl(l->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        return fail(-ENOMEM, "connection");
    }
    return greet(l, s);
}

static void handle_events(struct load *l, int64_t until_us)
{
    struct epoll_event events[EVENTS];
    int64_t left_us = until_us - clock_now_us();
    left_us = left_us > 0 ? left_us : 0;
    const struct timespec left = { .tv_sec = left_us / CLOCK_S,
                                   .tv_nsec = left_us % CLOCK_S * 1000 };
    int n = epoll_pwait2(l->epoll, events, EVENTS, &left, NULL);
    for (int i = 0; i < n; i++) {
        struct stream *s = events[i].data.ptr;
        if (s->conn) {
            serve(l, s, events[i].events);
        }
    }
}

/* Frame by frame, stream by stream: the next one due is always the next of this count. */
static void play(struct load *l)
{
    uint64_t total = l->frames * l->streams, next = 0;
    while (next < total && !l->failed) {
        unsigned index = (unsigned)(next % l->streams);
        if (clock_now_us() < due_us(l, index, next / l->streams)) {
            handle_events(l, due_us(l, index, next / l->streams));
            continue;
        }
        l->stream[index].made++;
        serve(l, &l->stream[index], 0);
        next++;
    }
}

static void wait_until(struct load *l, const unsigned *count)
{
    int64_t deadline_us = clock_now_us() + PATIENCE;
    while (*count < l->streams && !l->failed && clock_now_us() < deadline_us) {
        handle_events(l, deadline_us);
    }
}

static bool all_safe(const struct load *l)
{
    bool safe = !l->failed && l->finished == l->streams;
    for (unsigned i = 0; i < l->streams; i++) {
        safe &= l->stream[i].acked >= l->frames;
    }
    return safe;
}

static int run(struct load *l, int port)
{
    for (unsigned i = 0; i < l->streams; i++) {
        if (open_stream(l, &l->stream[i], port) < 0) {
            return 1;
        }
    }
    wait_until(l, &l->welcomed);
    l->start_us = clock_now_us();
    play(l);
    int64_t played_us = clock_now_us() - l->start_us;
    wait_until(l, &l->finished);
    (void)printf(
        "{\"streams\":%u,\"frames\":%llu,\"seconds\":%.3f,\"most_waiting\":%llu,\"safe\":%s}\n",
        l->streams, (unsigned long long)l->frames, (double)played_us / CLOCK_S,
        (unsigned long long)l->backlog, all_safe(l) ? "true" : "false");
    return all_safe(l) ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct load l = { 0 };
    if (argc < 5 || argc > 6) {
        (void)fprintf(stderr, "usage: many_senders PORT CLIP.h264 STREAMS SECONDS [FPS]\n");
        return 2;
    }
    int fps = argc == 6 ? atoi(argv[5]) : 30;
    l.streams = (unsigned)atoi(argv[3]);
    l.frames = (uint64_t)atoi(argv[4]) * (uint64_t)fps;
    l.interval_us = CLOCK_S / (fps > 0 ? fps : 30);
    l.stream = calloc(l.streams, sizeof *l.stream);
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!l.stream || l.epoll < 0 || load_units(&l, argv[2]) < 0) {
        return 1;
    }
    return run(&l, atoi(argv[1]));
}
