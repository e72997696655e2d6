/* SPDX-License-Identifier: MIT */
#include "push_link.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "pcs/clock.h"
#include "pcs/conn.h"
#include "pcs/frame.h"
#include "pcs/log.h"
#include "pcs/sock.h"

#define SILENCE_US      (10 * CLOCK_S) /* the receiver pings every second */
#define READS           16             /* in a row, before frames have their turn */
#define SEND_BYTES      (4 << 20)      /* in a row, before others have their turn */
#define NOTSENT_BYTES   (64 * 1024)
#define USER_TIMEOUT_MS 10000
#define LOG_PERIOD_US   (100 * CLOCK_MS)

int link_open(struct link *l, int fd, const struct link_host *host, const struct wire_hello *hello)
{
    struct conn *conn = conn_new(fd);
    if (!conn) {
        close(fd);
        return -ENOMEM;
    }
    sock_tune(fd, NOTSENT_BYTES, USER_TIMEOUT_MS);
    *l = (struct link){
        .conn = conn, .host = *host, .announced = hello->format, .heard_us = clock_now_us()
    };
    wire_tx_init(&l->tx);
    wire_rx_init(&l->rx, 0, NULL, NULL);
    const struct wire_message m = { .type = WIRE_HELLO, .u.hello = *hello };
    return wire_tx_put(&l->tx, &m);
}

void link_close(struct link *l)
{
    wire_tx_finish(&l->tx);
    wire_rx_finish(&l->rx);
    conn_free(l->conn);
    l->conn = NULL;
}

/* ---- what the receiver says ---- */

static int on_welcome(struct link *l, const struct wire_welcome *w)
{
    if (l->welcomed || w->version != WIRE_VERSION) {
        return err_set(&l->error, -EPROTO, "the receiver speaks version %u, we speak %u",
                       w->version, WIRE_VERSION);
    }
    l->replay = l->host.welcomed(l->host.arg, w, &l->error);
    if (!l->replay) {
        return l->error.code;
    }
    l->welcomed = true;
    replay_rewind(l->replay, w->from_seq, w->need_key);
    l->rewound = true;
    log_limited(l->host.log, LOG_PERIOD_US, LOG_INFO,
                "receiver %s (%s) takes the stream from frame %llu", w->name, w->software,
                (unsigned long long)(w->from_seq ? w->from_seq : replay_first_seq(l->replay)));
    return 0;
}

static int on_ping(struct link *l, const struct wire_ping *ping, int64_t now_us)
{
    const struct wire_message m = {
        .type = WIRE_PONG,
        .u.pong = { .t0_us = ping->t0_us, .t1_us = now_us, .t2_us = clock_now_us() }
    };
    /* A full box means that the peer asks without reading: it may miss an answer. */
    (void)wire_tx_put(&l->tx, &m);
    return 0;
}

static int on_error(struct link *l, const struct wire_error *e)
{
    return err_set(&l->error, -ECONNREFUSED, "the receiver refused: %s", e->text);
}

static int on_replay(struct link *l, const struct wire_replay *r)
{
    log_limited(l->host.log, LOG_PERIOD_US, LOG_INFO, "the receiver asks for frame %llu again",
                (unsigned long long)r->from_seq);
    replay_rewind(l->replay, r->from_seq, r->need_key);
    l->rewound = true;
    l->bye_sent = false; /* what follows ends with another one */
    return 0;
}

static int on_message(struct link *l, const struct wire_message *m, int64_t now_us)
{
    if (m->type == WIRE_ERROR) {
        return on_error(l, &m->u.error);
    }
    if (!l->welcomed && m->type != WIRE_WELCOME) {
        return err_set(&l->error, -EPROTO, "the peer is no video-receiver");
    }
    switch (m->type) {
    case WIRE_WELCOME:
        return on_welcome(l, &m->u.welcome);
    case WIRE_ACK:
        replay_ack(l->replay, m->u.ack.synced_seq);
        return 0;
    case WIRE_PING:
        return on_ping(l, &m->u.ping, now_us);
    case WIRE_KEY:
        l->key_wanted = true;
        return 0;
    case WIRE_REPLAY:
        return on_replay(l, &m->u.replay);
    default:
        return err_set(&l->error, -EPROTO, "the receiver sent a message of type %d", m->type);
    }
}

/* Everything that the bytes read so far complete. */
static int handle_messages(struct link *l, int64_t now_us)
{
    struct wire_message m;
    struct frame *frame;
    int code;
    while ((code = wire_rx_next(&l->rx, &m, &frame)) > 0) {
        code = on_message(l, &m, now_us);
        if (code < 0) {
            return code;
        }
    }
    return code < 0 ? err_set(&l->error, code, "the peer is no video-receiver, or is broken: %s",
                              err_text(code))
                    : 0;
}

int link_receive(struct link *l, int64_t now_us)
{
    for (int i = 0; i < READS; i++) {
        struct iovec iov[2];
        int count = wire_rx_want(&l->rx, iov);
        size_t room = iov[0].iov_len + (count > 1 ? iov[1].iov_len : 0);
        ssize_t n = conn_recvv(l->conn, iov, count);
        if (n == -EAGAIN) {
            return 0;
        }
        if (n < 0) {
            return err_set(&l->error, (int)n, "%s",
                           n == -EPIPE ? "the receiver closed the connection" : err_text((int)n));
        }
        l->heard_us = now_us;
        wire_rx_got(&l->rx, (size_t)n);
        int code = handle_messages(l, now_us);
        if (code < 0 || (size_t)n < room) {
            return code;
        }
    }
    return 0;
}

/* ---- what we say ---- */

static uint32_t age_us(int64_t from_us, int64_t to_us)
{
    int64_t age = to_us > from_us ? to_us - from_us : 0;
    return age < UINT32_MAX ? (uint32_t)age : UINT32_MAX;
}

static int announce_format(struct link *l, const struct frame *frame)
{
    if (format_same(&frame->format, &l->announced)) {
        return 0;
    }
    const struct wire_message m = { .type = WIRE_FORMAT, .u.format = frame->format };
    int code = wire_tx_put(&l->tx, &m);
    if (code == 0) {
        l->announced = frame->format;
    }
    return code;
}

static int put_next_frame(struct link *l, int64_t now_us, const struct replay_entry *entry,
                          bool again)
{
    const struct frame *frame = entry->frame;
    int code = announce_format(l, frame);
    if (code < 0) {
        return code;
    }
    const struct wire_frame head = {
        .flags = (uint8_t)((frame->flags & FRAME_KEY ? WIRE_FRAME_KEY : 0) |
                           (again ? WIRE_FRAME_AGAIN : 0) | (l->rewound ? WIRE_FRAME_REWOUND : 0)),
        .seq = frame->seq,
        .capture_us = frame->capture_us,
        .pts_delay_us = (uint32_t)frame->pts_delay_us,
        .encode_us = age_us(frame->capture_us, frame->stage_us[STAGE_ENCODED]),
        .send_us = age_us(frame->capture_us, now_us),
        .skipped = (uint32_t)replay_skipped_before(l->replay, entry),
    };
    if (!again) {
        histogram_add(l->host.latency, now_us - frame->capture_us);
    }
    wire_tx_put_frame(&l->tx, &head, frame);
    replay_advance(l->replay);
    l->rewound = false;
    return 0;
}

/* Behind all that is unsent; what was sent before need not go again once all of it is safe. */
static int put_bye(struct link *l)
{
    const struct wire_message m = { .type = WIRE_BYE,
                                    .u.bye = { .next_seq = l->replay->last_seq + 1,
                                               .skipped = (uint32_t)replay_skipped(l->replay) } };
    int code = wire_tx_put(&l->tx, &m);
    l->bye_sent = code == 0;
    return code;
}

/* Make the next frame, or at the end BYE, ready to go. */
static int prepare(struct link *l, int64_t now_us, int64_t max_latency_us, bool end)
{
    if (!l->welcomed || !wire_tx_frame_done(&l->tx)) {
        return 0;
    }
    if (max_latency_us > 0 && !replay_skip_late(l->replay, now_us - max_latency_us)) {
        l->key_wanted = true;
    }
    bool again = false;
    const struct replay_entry *entry = replay_peek(l->replay, &again);
    bool for_nothing = end && again && l->replay->acked_seq >= l->replay->sent_seq;
    if (entry && !for_nothing) {
        return put_next_frame(l, now_us, entry, again);
    }
    return end && !l->bye_sent ? put_bye(l) : 0;
}

int link_send(struct link *l, int64_t now_us, int64_t max_latency_us, bool end)
{
    l->more = false;
    for (size_t sum = 0; sum < SEND_BYTES;) {
        int code = prepare(l, now_us, max_latency_us, end);
        if (code == -ENOBUFS) {
            return err_set(&l->error, code, "the receiver does not read");
        }
        struct iovec iov[WIRE_TX_IOV];
        int count = wire_tx_iov(&l->tx, iov);
        if (count == 0) {
            return 0;
        }
        ssize_t n = conn_sendv(l->conn, iov, count);
        if (n == -EAGAIN) {
            return 0;
        }
        if (n < 0) {
            return err_set(&l->error, (int)n, "%s", err_text((int)n));
        }
        wire_tx_sent(&l->tx, (size_t)n);
        sum += (size_t)n;
    }
    l->more = true;
    return 0;
}

short link_events(const struct link *l)
{
    /* Whatever is left after link_send is there because the socket was full. */
    bool left = l->more || !wire_tx_frame_done(&l->tx) || l->tx.box_size > 0;
    return left ? POLLIN | POLLOUT : POLLIN;
}

bool link_idle(const struct link *l)
{
    bool again;
    return l->welcomed && wire_tx_frame_done(&l->tx) && l->tx.box_size == 0 &&
           !replay_peek(l->replay, &again);
}

bool link_finished(const struct link *l)
{
    return l->bye_sent && l->tx.box_size == 0 && l->replay->acked_seq >= l->replay->sent_seq;
}

int64_t link_deadline_us(const struct link *l)
{
    return l->heard_us + SILENCE_US;
}
