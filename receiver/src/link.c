/* SPDX-License-Identifier: MIT */
#include "link.h"

#include <errno.h>
#include <poll.h>

#include "pcs/clock.h"
#include "pcs/conn.h"
#include "pcs/frame.h"
#include "pcs/pool.h"

#define SILENCE_US   (10 * CLOCK_S) /* a sender answers a probe every second */
#define FIRST_PROBES 8              /* in quick succession: the offset is good from the start */
#define READ_BYTES   (1 << 20)      /* in a row, before everything else has its turn */
#define FIRST_US     (50 * CLOCK_MS)
#define PROBE_US     CLOCK_S

static struct frame *alloc_frame(void *arg, size_t size)
{
    return pool_get(arg, size);
}

void link_open(struct link *l, struct conn *conn, struct pool *pool,
               const struct link_handler *handler, int64_t now_us)
{
    *l = (struct link){ .conn = conn,
                        .handler = *handler,
                        .heard_us = now_us,
                        .next_probe_us = now_us,
                        .stuck_us = INT64_MAX };
    wire_rx_init(&l->rx, WIRE_FRAME_MAX, alloc_frame, pool);
    wire_tx_init(&l->tx);
}

void link_close(struct link *l)
{
    if (l->conn) {
        wire_rx_finish(&l->rx);
        wire_tx_finish(&l->tx);
        conn_free(l->conn);
        l->conn = NULL;
    }
}

bool link_is_open(const struct link *l)
{
    return l->conn != NULL;
}

static int on_message(struct link *l, const struct wire_message *m, struct frame *frame)
{
    switch (m->type) {
    case WIRE_FRAME:
        l->handler.frame(l->handler.arg, &m->u.frame, frame);
        return 0;
    case WIRE_FORMAT:
        l->handler.format(l->handler.arg, &m->u.format);
        return 0;
    case WIRE_BYE:
        l->handler.bye(l->handler.arg, &m->u.bye);
        return 0;
    case WIRE_PONG:
        (void)clocksync_add(&l->clock, m->u.pong.t0_us, m->u.pong.t1_us, m->u.pong.t2_us,
                            clock_now_us()); /* nonsense is ignored */
        return 0;
    case WIRE_ERROR:
        return err_set(&l->error, -EPROTO, "the sender says: %s", m->u.error.text);
    default:
        return err_set(&l->error, -EPROTO, "unexpected message of type %d", m->type);
    }
}

static int handle_messages(struct link *l)
{
    struct wire_message m;
    struct frame *frame = NULL;
    int code;
    while ((code = wire_rx_next(&l->rx, &m, &frame)) > 0) {
        code = on_message(l, &m, frame);
        if (code < 0) {
            return code;
        }
    }
    return code < 0 ? err_set(&l->error, code, "broken message: %s", err_text(code)) : 0;
}

/* One read: the bytes when what was asked for came, so that there may be more; 0: that was all. */
static ssize_t receive_some(struct link *l)
{
    struct iovec iov[2];
    int count = wire_rx_want(&l->rx, iov);
    size_t room = iov[0].iov_len + (count > 1 ? iov[1].iov_len : 0);
    ssize_t n = conn_recvv(l->conn, iov, count);
    if (n == -EAGAIN) {
        return 0;
    }
    if (n < 0) {
        return err_set(&l->error, (int)n, "%s",
                       n == -EPIPE ? "the sender closed the connection" : err_text((int)n));
    }
    wire_rx_got(&l->rx, (size_t)n);
    int code = handle_messages(l);
    return code < 0 ? code : (size_t)n == room ? n : 0;
}

int link_receive(struct link *l)
{
    l->heard_us = clock_now_us();
    ssize_t n = 1;
    for (ssize_t sum = 0; n > 0 && sum < READ_BYTES; sum += n) {
        n = receive_some(l);
    }
    return n < 0 ? (int)n : 0;
}

void link_put(struct link *l, const struct wire_message *m)
{
    (void)wire_tx_put(&l->tx, m); /* link_check ends a link that stays full */
}

static void probe(struct link *l, int64_t now_us)
{
    const struct wire_message m = { .type = WIRE_PING, .u.ping = { .t0_us = clock_now_us() } };
    if (l->tx.box_size == 0 || l->probes == 0) { /* one that waits would measure the waiting */
        link_put(l, &m);
    }
    l->next_probe_us = now_us + (l->probes < FIRST_PROBES ? FIRST_US : PROBE_US);
    l->probes++;
}

int link_send(struct link *l, int64_t now_us)
{
    if (now_us >= l->next_probe_us) {
        probe(l, now_us);
    }
    struct iovec iov[WIRE_TX_IOV];
    int count;
    while ((count = wire_tx_iov(&l->tx, iov)) > 0) {
        ssize_t n = conn_sendv(l->conn, iov, count);
        if (n == -EAGAIN) {
            l->stuck_us = l->stuck_us < now_us ? l->stuck_us : now_us;
            return 0;
        }
        if (n < 0) {
            return err_set(&l->error, (int)n, "%s",
                           n == -EPIPE ? "the sender closed the connection" : err_text((int)n));
        }
        wire_tx_sent(&l->tx, (size_t)n);
    }
    l->stuck_us = INT64_MAX;
    return 0;
}

void link_say_goodbye(struct link *l, int64_t deadline_us)
{
    uint8_t rest[4096];
    const struct iovec iov = { rest, sizeof rest };
    conn_shutdown(l->conn);
    for (;;) {
        struct pollfd fd = { .fd = conn_fd(l->conn), .events = POLLIN };
        int64_t now_us = clock_now_us();
        if (now_us >= deadline_us || poll(&fd, 1, clock_poll_ms(deadline_us, now_us)) <= 0) {
            return;
        }
        ssize_t n = conn_recvv(l->conn, &iov, 1);
        if (n < 0 && n != -EAGAIN) {
            return;
        }
    }
}

void link_rest(struct link *l, int64_t now_us)
{
    l->heard_us = now_us;
}

short link_events(const struct link *l, bool reading)
{
    return (short)((reading ? POLLIN : 0) | (l->tx.box_size > 0 ? POLLOUT : 0));
}

int64_t link_deadline_us(const struct link *l)
{
    int64_t silent_us = l->heard_us + SILENCE_US;
    return l->next_probe_us < silent_us ? l->next_probe_us : silent_us;
}

int link_check(struct link *l, int64_t now_us)
{
    if (now_us - l->heard_us > SILENCE_US) {
        return err_set(&l->error, -ETIMEDOUT, "the sender has been silent for 10 s");
    }
    if (l->stuck_us != INT64_MAX && now_us - l->stuck_us > SILENCE_US) {
        return err_set(&l->error, -ETIMEDOUT, "the sender has not read for 10 s");
    }
    return 0;
}
