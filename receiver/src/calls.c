/* SPDX-License-Identifier: MIT */
#include "calls.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "pcs/backoff.h"
#include "pcs/clock.h"
#include "pcs/conn.h"
#include "pcs/dial.h"
#include "pcs/log.h"

#define USUAL_PORT     8888
#define CONNECT_US     (3 * CLOCK_S)
#define FIRST_RETRY_US (200 * CLOCK_MS)
#define MAX_RETRY_US   (10 * CLOCK_S)
#define STEADY_US      CLOCK_S /* who refuses us does so at once */
#define LOG_PERIOD_US  (30 * CLOCK_S)

struct call {
    const char *target; /* as the user wrote it */
    char *host;
    int port;
    struct dial *dial; /* under way */
    bool connected;    /* a connection of ours exists, whoever has it */
    atomic_bool ended; /* … it was freed */
    int fd;            /* calls': to say so */
    int64_t retry_us;
    int64_t greeted_us; /* 0: not yet */
    struct backoff backoff;
    struct log_limit limit;
};

struct calls {
    int fd; /* an eventfd: a connection has ended */
    size_t count;
    struct call call[];
};

/* ---- targets ---- */

static bool parse_port(const char *text, int *port)
{
    size_t n = strlen(text);
    bool ok = n > 0 && n <= 5 && strspn(text, "0123456789") == n;
    int value = ok ? atoi(text) : 0;
    if (port) {
        *port = value;
    }
    return value >= 1 && value <= 65535;
}

int call_parse(const char *text, int *host_size, int *port, struct err *err)
{
    bool bracket = *text == '[';
    const char *end = bracket ? strchr(text, ']') : strchr(text, ':');
    const char *tail = !end ? "" : bracket ? end + 1 : end;
    long size = !end ? (long)strlen(text) : (long)(end - text);
    bool ok = size > bracket && size <= 255 && !(bracket && !end);
    if (port) {
        *port = USUAL_PORT;
    }
    if (!ok || (*tail && (*tail != ':' || !parse_port(tail + 1, port)))) {
        return err_set(err, -EINVAL,
                       "--connect: '%s' is not allowed: HOST:PORT, an IPv6 address in brackets",
                       text);
    }
    if (host_size) {
        *host_size = (int)(size - bracket);
    }
    return 0;
}

/* ---- life ---- */

static int call_init(struct call *call, int fd, const char *target, struct err *err)
{
    int size;
    int code = call_parse(target, &size, &call->port, err);
    if (code < 0) {
        return code;
    }
    call->target = target;
    call->fd = fd;
    call->host = strndup(target + (*target == '['), (size_t)size);
    call->backoff = (struct backoff){ .first_us = FIRST_RETRY_US, .max_us = MAX_RETRY_US };
    return call->host ? 0 : err_set(err, -ENOMEM, "out of memory");
}

int calls_new(struct calls **out, const struct option_list *targets, struct err *err)
{
    struct calls *c = calloc(1, sizeof *c + targets->count * sizeof(struct call));
    if (!c) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    c->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int code = c->fd < 0 ? err_set(err, -errno, "eventfd: %s", err_text(errno)) : 0;
    for (size_t i = 0; i < targets->count && code == 0; i++) {
        code = call_init(&c->call[i], c->fd, targets->item[i], err);
        c->count += code == 0;
    }
    if (code < 0) {
        calls_free(c);
        return code;
    }
    *out = c;
    return 0;
}

void calls_free(struct calls *c)
{
    if (!c) {
        return;
    }
    for (size_t i = 0; i < c->count; i++) {
        dial_free(c->call[i].dial);
        free(c->call[i].host);
    }
    if (c->fd >= 0) {
        close(c->fd);
    }
    free(c);
}

/* ---- the listener's loop ---- */

int64_t calls_poll(const struct calls *c, struct pollfd *fds)
{
    int64_t next_us = INT64_MAX;
    for (size_t i = 0; i < CALLS_MAX; i++) {
        const struct call *call = i < c->count ? &c->call[i] : NULL;
        fds[i] = (struct pollfd){ .fd = call && call->dial ? dial_fd(call->dial) : -1,
                                  .events = POLLIN };
        bool rests = call && !call->dial && !call->connected;
        next_us = rests && call->retry_us < next_us ? call->retry_us : next_us;
    }
    fds[CALLS_MAX] = (struct pollfd){ .fd = c->fd, .events = POLLIN };
    return next_us;
}

/* In whichever thread had the connection. */
static void on_freed(void *arg)
{
    static const uint64_t one = 1;
    struct call *call = arg;
    atomic_store(&call->ended, true);
    (void)!write(call->fd, &one,
                 sizeof one); /* fails only when the counter is full: readable too */
}

static void retry_later(struct call *call, int64_t now_us)
{
    call->retry_us = now_us + backoff_next(&call->backoff, random_u32());
}

static void cannot_reach(struct call *call, const char *why, int64_t now_us)
{
    log_limited(&call->limit, LOG_PERIOD_US, LOG_WARN, "cannot reach %s, trying on: %s",
                call->target, why);
    retry_later(call, now_us);
}

/* The connection of a dial that has succeeded, or NULL. */
static struct conn *take_dial(struct call *call, char peer[SOCK_NAME_MAX], int64_t now_us)
{
    struct err err = { 0 };
    int fd;
    int code = dial_take(call->dial, &fd, peer, &err);
    if (code == -EAGAIN) {
        return NULL;
    }
    dial_free(call->dial);
    call->dial = NULL;
    struct conn *conn = code == 0 ? conn_new(fd) : NULL;
    if (!conn) {
        if (code == 0) {
            close(fd);
        }
        cannot_reach(call, code < 0 ? err.text : "out of memory", now_us);
        return NULL;
    }
    atomic_store(&call->ended, false);
    call->connected = true;
    call->greeted_us = 0;
    conn_on_free(conn, on_freed, call);
    return conn;
}

static void begin_dial(struct call *call, int64_t now_us)
{
    int code = dial_start(&call->dial, call->host, call->port, CONNECT_US);
    if (code < 0) {
        cannot_reach(call, err_text(code), now_us);
    }
}

void calls_serve(struct calls *c, int64_t now_us,
                 void (*called)(void *arg, struct conn *conn, struct call *call, const char *peer),
                 void *arg)
{
    uint64_t n;
    char peer[SOCK_NAME_MAX];
    (void)!read(c->fd, &n, sizeof n); /* before looking: nothing is missed, and EAGAIN is usual */
    for (size_t i = 0; i < c->count; i++) {
        struct call *call = &c->call[i];
        if (call->connected && atomic_load(&call->ended)) {
            call->connected = false;
            if (call->greeted_us && now_us - call->greeted_us > STEADY_US) {
                backoff_reset(&call->backoff);
            }
            retry_later(call, now_us);
        }
        struct conn *conn = call->dial ? take_dial(call, peer, now_us) : NULL;
        if (conn) {
            called(arg, conn, call, peer);
        } else if (!call->dial && !call->connected && now_us >= call->retry_us) {
            begin_dial(call, now_us);
        }
    }
}

void call_greeted(struct call *call)
{
    call->greeted_us = clock_now_us();
}
