/* SPDX-License-Identifier: MIT */
/*
 * One edge-triggered event a connection, for both directions, for its whole life: no epoll_ctl but the
 * first. So whoever stops reading or writing before the kernel says EAGAIN has to come back by itself; that
 * is what client_turn does, and every change of state.
 */
#include "client.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "pcs/clock.h"
#include "pcs/conn.h"
#include "pcs/tls.h"
#include "request_internal.h"
#include "server.h"
#include "viewer.h"

#define FIRST_SPACE   1024
#define STEPS_A_TURN  32                /* of one client, before others have their turn */
#define LINGER_BYTES  ((size_t)1 << 20) /* what a refused client may still send */
#define NOTSENT_LOWAT 16384

/* ---- lists and memory ---- */

static void put(struct client *c, struct client_list *list)
{
    if (c->list) {
        TAILQ_REMOVE(c->list, c, link);
    }
    c->list = list;
    TAILQ_INSERT_TAIL(list, c, link);
}

/* Its time begins anew; all have the same, so the list is in the order of the deadlines. */
static void wait_on(struct client *c)
{
    c->deadline_us = clock_now_us() + WEB_WAIT_US;
    put(c, &c->web->waiting);
}

static void enter(struct client *c, enum client_state state)
{
    c->state = state;
    if (state == CLIENT_ANSWERING || state == CLIENT_STREAMING) {
        put(c, &c->web->others);
    } else if (state != CLIENT_CLOSED) {
        wait_on(c);
    }
}

static void drop_out(struct client *c)
{
    if (c->out.release) {
        c->web->buffered -= c->out.body_size;
        c->out.release(c->out.arg);
    }
    free(c->out.head);
    c->out = (struct client_out){ 0 };
}

static void set_space(struct client *c, size_t space)
{
    c->web->buffered += space - c->in.space;
    c->in.space = space;
}

static bool reserve(struct client *c, size_t space)
{
    if (space <= c->in.space) {
        return true;
    }
    char *bytes = realloc(c->in.bytes, space);
    if (bytes) {
        c->in.bytes = bytes;
        set_space(c, space);
        web_bound_memory(c->web, c);
    }
    return bytes != NULL;
}

bool client_holds(const struct client *c)
{
    return c->in.space > 0 || c->request || c->out.release;
}

/* Forget the first `size` bytes that were read. */
static void consume(struct client *c, size_t size)
{
    c->in.size -= size;
    c->in.scanned = 0;
    if (c->in.size > 0) {
        memmove(c->in.bytes, c->in.bytes + size, c->in.size);
    } else {
        free(c->in.bytes); /* idle connections keep no buffer */
        c->in.bytes = NULL;
        set_space(c, 0);
    }
}

/* ---- reading and answering ---- */

int client_read(struct client *c, void *to, size_t size)
{
    const struct iovec iov = { to, size };
    return (int)conn_recvv(c->conn, &iov, 1);
}

size_t client_take_input(struct client *c, void *to, size_t size)
{
    size_t n = size < c->in.size ? size : c->in.size;
    if (n > 0) {
        memcpy(to, c->in.bytes, n);
        consume(c, n);
    }
    return n;
}

/* More bytes. False: none for now, or the end. */
static bool fill(struct client *c)
{
    size_t limit = WEB_REQUEST_MAX + 1;
    if (c->in.space < limit && c->in.space - c->in.size < 2) {
        size_t space = c->in.space ? c->in.space * 2 : FIRST_SPACE;
        if (!reserve(c, space < limit ? space : limit)) {
            enter(c, CLIENT_CLOSED);
            return false;
        }
    }
    int n = client_read(c, c->in.bytes + c->in.size, c->in.space - c->in.size - 1);
    if (n > 0) {
        if (c->in.size == 0) {
            wait_on(c); /* the time of a request begins with its first byte */
        }
        c->in.size += (size_t)n;
        return true;
    }
    if (n != -EAGAIN) {
        enter(c, CLIENT_CLOSED);
    } else if (c->in.size == 0) {
        consume(c, 0); /* nothing came, or only a part of a TLS record */
    }
    return false;
}

static void refuse(struct client *c, int status)
{
    counter_add(&c->web->refused, 1);
    request_refuse(c, status);
}

/* The head is here: is the body, or can it be? */
static bool have_body(struct client *c)
{
    struct web_request *r = c->request;
    size_t whole = r->head_size + (size_t)r->head.body_size;
    if (c->in.size >= whole) {
        return true;
    }
    if (r->head.expect_continue && c->in.size == r->head_size) {
        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
        const struct iovec iov = { (void *)go_on, sizeof go_on - 1 };
        r->head.expect_continue = false;
        if (conn_sendv(c->conn, &iov, 1) != (ssize_t)iov.iov_len) {
            enter(c, CLIENT_CLOSED); /* so little always fits, unless it has gone */
        }
    }
    return false;
}

static bool begin_request(struct client *c, size_t head_size)
{
    int code = request_new(c, head_size);
    if (code == 0 && c->request->head.body_size > WEB_REQUEST_MAX - head_size) {
        code = -413;
    }
    if (code < 0) {
        refuse(c, -code);
        return false;
    }
    return true;
}

static bool read_head(struct client *c)
{
    size_t size = http_head_size(c->in.bytes, c->in.size, &c->in.scanned);
    if (size > WEB_REQUEST_MAX || (size == 0 && c->in.size >= WEB_REQUEST_MAX)) {
        refuse(c, 431);
        return false;
    }
    return size > 0 ? begin_request(c, size) : fill(c);
}

static bool step_reading(struct client *c)
{
    if (!c->request) {
        return read_head(c) || c->state != CLIENT_READING;
    }
    if (!have_body(c)) {
        return c->state == CLIENT_READING && fill(c);
    }
    enter(c, CLIENT_ANSWERING);
    counter_add(&c->web->requests, 1);
    request_answer(c->request);
    return c->state != CLIENT_ANSWERING;
}

/* ---- sending ---- */

void client_send(struct client *c, const struct client_out *out, bool close)
{
    c->out = *out;
    if (out->release) {
        c->web->buffered +=
            out->body_size; /* many may have the same frame: no reason to act at once */
    }
    c->close = close || c->web->stopping;
    enter(c, CLIENT_SENDING);
    client_kick(c);
}

static ssize_t send_some(struct client *c)
{
    const struct client_out *o = &c->out;
    struct iovec iov[2];
    int n = 0;
    if (o->sent < o->head_size) {
        iov[n++] = (struct iovec){ o->head + o->sent, o->head_size - o->sent };
    }
    size_t body = o->sent > o->head_size ? o->sent - o->head_size : 0;
    if (body < o->body_size) {
        iov[n++] = (struct iovec){ (char *)o->body + body, o->body_size - body };
    }
    return conn_sendv(c->conn, iov, n);
}

static void end_reply(struct client *c)
{
    size_t used = c->request ? request_size(c->request) : 0;
    drop_out(c);
    request_free(c->request);
    c->request = NULL;
    if (!c->close) {
        consume(c, used);
        enter(c, CLIENT_READING);
    } else {
        client_close(c);
    }
}

static bool step_sending(struct client *c)
{
    ssize_t n = send_some(c);
    if (n < 0) {
        if (n != -EAGAIN) {
            enter(c, CLIENT_CLOSED);
        }
        return n != -EAGAIN;
    }
    counter_add(&c->web->bytes, (uint64_t)n);
    c->out.sent += (size_t)n;
    if (c->out.sent == c->out.head_size + c->out.body_size) {
        end_reply(c);
    } else {
        wait_on(c);
    }
    return true;
}

static bool step_lingering(struct client *c)
{
    char away[4096];
    int n = client_read(c, away, sizeof away);
    if (n == -EAGAIN) {
        return false;
    }
    c->lingered += n > 0 ? (size_t)n : 0;
    if (n < 0 || c->lingered > LINGER_BYTES) {
        enter(c, CLIENT_CLOSED);
    }
    return true;
}

/* Closing with something unread would reset the connection, and what was sent might never be read. */
void client_close(struct client *c)
{
    if (c->viewer) {
        viewer_leave(c->viewer);
        c->viewer = NULL;
    }
    consume(c, c->in.size);
    conn_shutdown(c->conn);
    enter(c, CLIENT_LINGERING);
    client_kick(c);
}

/* ---- turns ---- */

/* One thing. False: nothing more to do for now. */
static bool step(struct client *c)
{
    switch (c->state) {
    case CLIENT_READING:
        return step_reading(c);
    case CLIENT_SENDING:
        return step_sending(c);
    case CLIENT_STREAMING:
        if (!viewer_turn(c->viewer)) {
            enter(c, CLIENT_CLOSED);
        }
        return c->state != CLIENT_STREAMING;
    case CLIENT_LINGERING:
        return step_lingering(c);
    case CLIENT_ANSWERING:
    case CLIENT_CLOSED:
        break;
    }
    return false;
}

static void client_turn(struct client *c)
{
    int steps = 0;
    c->running = true;
    while (steps < STEPS_A_TURN && step(c)) {
        steps++;
    }
    c->running = false;
    if (c->state == CLIENT_CLOSED) {
        client_free(c);
    } else if (steps == STEPS_A_TURN) {
        client_kick(c);
    }
}

static void on_event(int fd, short what, void *arg)
{
    struct client *c = arg;
    (void)fd;
    (void)what;
    web_woken(c->web);
    client_turn(c);
}

void client_kick(struct client *c)
{
    if (!c->running) {
        event_active(c->event, EV_WRITE, 0);
    }
}

void client_kick_later(struct client *c)
{
    event_active(c->event, EV_READ, 0);
}

void client_expire(struct client *c)
{
    if (c->state == CLIENT_READING && c->in.size > 0) {
        refuse(c, 408);
        if (c->state == CLIENT_SENDING) {
            return;
        }
    }
    client_free(c);
}

void client_stream(struct client *c, struct viewer *viewer)
{
    size_t used = request_size(c->request);
    request_free(c->request);
    c->request = NULL;
    consume(c, used);
    c->viewer = viewer;
    enter(c, CLIENT_STREAMING);
    client_kick(c);
}

/* ---- life ---- */

void client_new(struct web_listener *l, int fd, const char *name)
{
    struct web *w = l->web;
    struct client *c = calloc(1, sizeof *c);
    if (c) {
        sock_tune(fd, NOTSENT_LOWAT, (int)(WEB_WAIT_US / CLOCK_MS));
        c->conn = w->tls ? tls_server_conn(w->tls, fd) : conn_new(fd);
        c->event =
            c->conn ? event_new(w->base, fd, EV_READ | EV_WRITE | EV_ET | EV_PERSIST, on_event, c)
                    : NULL;
    }
    if (!c || !c->event || event_add(c->event, NULL) < 0) {
        if (c && c->event) {
            event_free(c->event);
        }
        c && c->conn ? conn_free(c->conn) : (void)close(fd);
        free(c);
        return;
    }
    c->web = w;
    c->listener = l->bit;
    c->secure = w->tls != NULL;
    (void)snprintf(c->name, sizeof c->name, "%s", name);
    w->connections++;
    counter_add(&w->open, 1);
    enter(c, CLIENT_READING);
}

void client_free(struct client *c)
{
    struct web *w = c->web;
    if (c->viewer) {
        viewer_leave(c->viewer);
    }
    drop_out(c);
    request_free(c->request);
    TAILQ_REMOVE(c->list, c, link);
    event_free(c->event);
    conn_free(c->conn);
    set_space(c, 0);
    free(c->in.bytes);
    free(c);
    w->connections--;
    atomic_fetch_sub_explicit(&w->open, 1, memory_order_relaxed);
    listeners_resume(w);
}
