/* SPDX-License-Identifier: MIT */
#include "handshake.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "pcs/clock.h"
#include "pcs/conn.h"

#define PATIENCE_US     (5 * CLOCK_S)
#define USER_TIMEOUT_MS 10000

void handshakes_init(struct handshakes *h)
{
    memset(h, 0, sizeof *h);
}

void handshakes_finish(struct handshakes *h)
{
    for (int i = 0; i < HANDSHAKES; i++) {
        conn_free(h->place[i].conn);
        h->place[i].conn = NULL;
    }
}

void handshake_refuse(struct conn *conn, uint16_t code, const char *text)
{
    struct wire_message m = { .type = WIRE_ERROR, .u.error = { .code = code } };
    uint8_t bytes[WIRE_CONTROL_MAX];
    strncpy(m.u.error.text, text, WIRE_TEXT_MAX);
    int n = wire_put(bytes, sizeof bytes, &m);
    if (n > 0) {
        const struct iovec iov = { bytes, (size_t)n };
        (void)conn_sendv(conn, &iov, 1); /* politeness, not a duty */
    }
    conn_shutdown(conn);
    conn_free(conn);
}

static void refuse(struct handshakes *h, struct handshake *p, uint16_t code, const char *text)
{
    log_limited(&h->refused_limit, 5 * CLOCK_S, LOG_WARN, "%s refused: %s", p->peer,
                p->call && code == WIRE_E_PROTOCOL ? "no pi-camera-streamer with frames there"
                                                   : text);
    handshake_refuse(p->conn, code, text);
    p->conn = NULL;
}

static struct handshake *find_place(struct handshakes *h)
{
    struct handshake *oldest = &h->place[0];
    for (int i = 0; i < HANDSHAKES; i++) {
        if (!h->place[i].conn) {
            return &h->place[i];
        }
        if (h->place[i].since_us < oldest->since_us) {
            oldest = &h->place[i];
        }
    }
    refuse(h, oldest, WIRE_E_BUSY, "too many connections that say nothing");
    return oldest;
}

void handshakes_add(struct handshakes *h, struct conn *conn, struct call *call, const char *peer,
                    int64_t now_us)
{
    sock_tune(conn_fd(conn), 0, USER_TIMEOUT_MS);
    struct handshake *p = find_place(h);
    p->conn = conn;
    p->call = call;
    p->since_us = now_us;
    memcpy(p->peer, peer, sizeof p->peer);
    wire_rx_init(&p->rx, 0, NULL, NULL);
}

int64_t handshakes_poll(const struct handshakes *h, struct pollfd *fds)
{
    int64_t first_us = INT64_MAX;
    for (int i = 0; i < HANDSHAKES; i++) {
        const struct handshake *p = &h->place[i];
        fds[i] = (struct pollfd){ .fd = p->conn ? conn_fd(p->conn) : -1, .events = POLLIN };
        if (p->conn && p->since_us + PATIENCE_US < first_us) {
            first_us = p->since_us + PATIENCE_US;
        }
    }
    return first_us;
}

/* One who is called may have a reason not to say hello. */
static void hear_error(struct handshakes *h, struct handshake *p, const struct wire_error *e)
{
    log_limited(&h->refused_limit, 5 * CLOCK_S, LOG_WARN, "%s says: %s", p->peer, e->text);
    conn_free(p->conn);
    p->conn = NULL;
}

static void judge_hello(struct handshakes *h, struct handshake *p, const struct wire_message *m,
                        const struct handshake_handler *handler)
{
    if (p->call && m->type == WIRE_ERROR) {
        hear_error(h, p, &m->u.error);
    } else if (m->type != WIRE_HELLO) {
        refuse(h, p, WIRE_E_PROTOCOL, "a video sender says hello first");
    } else if (m->u.hello.version != WIRE_VERSION) {
        refuse(h, p, WIRE_E_VERSION, "this receiver speaks version 1 of the protocol");
    } else {
        struct conn *conn = p->conn;
        p->conn = NULL;
        handler->hello(handler->arg, conn, p->call, p->peer, &m->u.hello);
    }
}

/* Read once; a hello is short, so what is not there yet comes with the next poll. */
static int read_some(struct handshake *p)
{
    struct iovec iov[2];
    int count = wire_rx_want(&p->rx, iov);
    ssize_t n = conn_recvv(p->conn, iov, count);
    if (n > 0) {
        wire_rx_got(&p->rx, (size_t)n);
    }
    return n > 0 || n == -EAGAIN ? 0 : (int)n;
}

void handshakes_serve(struct handshakes *h, const struct pollfd *fds, int64_t now_us,
                      const struct handshake_handler *handler)
{
    for (int i = 0; i < HANDSHAKES; i++) {
        struct handshake *p = &h->place[i];
        struct wire_message m;
        struct frame *none;
        if (!p->conn || fds[i].fd != conn_fd(p->conn)) {
            continue; /* free, or came after the poll */
        }
        int code = fds[i].revents ? read_some(p) : 0;
        if (code < 0) {
            conn_free(p->conn); /* left by itself */
            p->conn = NULL;
            continue;
        }
        code = wire_rx_next(&p->rx, &m, &none);
        if (code < 0) {
            refuse(h, p, WIRE_E_PROTOCOL,
                   "this is the port of a video-receiver, which speaks PCSW");
        } else if (code > 0) {
            judge_hello(h, p, &m, handler);
        } else if (now_us - p->since_us >= PATIENCE_US) {
            refuse(h, p, WIRE_E_PROTOCOL, "no hello within 5 s");
        }
    }
}
