/* SPDX-License-Identifier: MIT */
#include "server.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "calls.h"
#include "config.h"
#include "handshake.h"
#include "identity.h"
#include "pcs/clock.h"
#include "pcs/conn.h"
#include "pcs/log.h"
#include "pcs/sock.h"
#include "pcs/stop.h"
#include "pcs/thread.h"
#include "stream.h"

#define REMEMBERED 256              /* streams that sleep; the oldest of them is forgotten first */
#define REST_US    (200 * CLOCK_MS) /* from accepting, when there are no fds left */
#define ACCEPTS    64               /* in a row, before hellos have their turn */

struct server {
    const struct config *config;
    struct stop *done, *stop;
    struct stream_env env;
    int listener, port;
    struct thread thread;
    atomic_uint_fast64_t received; /* of all streams, for --frames */
    char host[65];
    uint8_t id[16];

    struct calls *calls;          /* the listener thread's */
    struct handshakes handshakes; /* the listener thread's */
    struct log_limit accept_limit, full_limit;

    pthread_mutex_t lock; /* guards the table of streams; a stream's own lock is taken inside */
    struct stream **streams;
    size_t count, space;
    unsigned serial;
    struct server_totals forgotten; /* what streams that are in the table no more had */
};

/* ---- from the streams' threads ---- */

static void on_received(void *arg)
{
    struct server *s = arg;
    uint64_t n = atomic_fetch_add(&s->received, 1) + 1;
    if (s->config->frames > 0 && n >= (uint64_t)s->config->frames) {
        stop_request(s->done);
    }
}

static void on_ended(void *arg)
{
    struct server *s = arg;
    if (s->config->once) {
        stop_request(s->done);
    }
}

/* ---- the table ---- */

static struct stream *find_locked(struct server *s, const uint8_t session[16])
{
    for (size_t i = 0; i < s->count; i++) {
        if (stream_is(s->streams[i], session)) {
            return s->streams[i];
        }
    }
    return NULL;
}

static unsigned active_locked(struct server *s)
{
    unsigned n = 0;
    for (size_t i = 0; i < s->count; i++) {
        n += stream_active(s->streams[i]);
    }
    return n;
}

static void add_totals(struct server_totals *sum, const struct stream_totals *t)
{
    sum->active += t->active;
    sum->connected += t->connected;
    sum->paused += t->recording_paused;
    sum->received += t->received;
    sum->lost += t->lost;
    sum->written += t->written;
    sum->bytes += t->bytes;
}

static struct stream *take_out_locked(struct server *s, size_t i)
{
    struct stream *stream = s->streams[i];
    struct stream_totals t;
    stream_get_totals(stream, &t);
    add_totals(&s->forgotten, &t);
    s->count--;
    for (; i < s->count; i++) {
        s->streams[i] = s->streams[i + 1];
    }
    return stream;
}

/* Taken out of the table: a sleeping stream that brought nothing, the oldest one when there are too
 * many, or NULL. */
static struct stream *forget_locked(struct server *s)
{
    size_t oldest = s->count;
    for (size_t i = 0; i < s->count; i++) {
        struct stream_totals t;
        stream_get_totals(s->streams[i], &t);
        if (!t.active && t.received == 0) {
            return take_out_locked(s, i);
        }
        oldest = !t.active && oldest == s->count ? i : oldest;
    }
    bool many = s->count >= REMEMBERED + (size_t)s->config->max_senders;
    return many && oldest < s->count ? take_out_locked(s, oldest) : NULL;
}

static void forget_some(struct server *s)
{
    struct stream *stream;
    do {
        pthread_mutex_lock(&s->lock);
        stream = forget_locked(s);
        pthread_mutex_unlock(&s->lock);
        stream_free(stream);
    } while (stream);
}

/* Have a stream that only waits for its sender make room for somebody who is here. */
static void make_room_locked(struct server *s)
{
    for (size_t i = 0; i < s->count; i++) {
        if (stream_yield(s->streams[i])) {
            return;
        }
    }
}

static struct stream *add_locked(struct server *s, const struct wire_hello *hello)
{
    if (s->count == s->space) {
        size_t space = s->space ? s->space * 2 : 16;
        struct stream **streams = realloc(s->streams, space * sizeof *streams);
        if (!streams) {
            return NULL;
        }
        s->streams = streams;
        s->space = space;
    }
    struct stream *stream = stream_new(&s->env, hello, s->serial + 1);
    if (stream) {
        s->serial++;
        s->streams[s->count++] = stream;
    }
    return stream;
}

/* The stream this hello belongs to, or NULL. Nobody but the listener adds any. */
static struct stream *find_or_add(struct server *s, const struct wire_hello *hello, bool *known,
                                  bool *full)
{
    pthread_mutex_lock(&s->lock);
    struct stream *stream = find_locked(s, hello->session);
    *known = stream != NULL;
    *full = (!stream || !stream_active(stream)) &&
            active_locked(s) >= (unsigned)s->config->max_senders;
    if (*full) {
        make_room_locked(s);
    }
    pthread_mutex_unlock(&s->lock);
    if (stream || *full) {
        return stream;
    }
    forget_some(s);
    pthread_mutex_lock(&s->lock);
    stream = add_locked(s, hello);
    pthread_mutex_unlock(&s->lock);
    return stream;
}

static void on_hello(void *arg, struct conn *conn, struct call *call, const char *peer,
                     const struct wire_hello *hello)
{
    struct server *s = arg;
    bool known, full;
    char format[64];
    struct stream *stream = find_or_add(s, hello, &known, &full);
    if (full) {
        log_limited(&s->full_limit, 5 * CLOCK_S, LOG_WARN,
                    "%s refused: there are %lld senders (--max-senders)", peer,
                    (long long)s->config->max_senders);
        handshake_refuse(conn, WIRE_E_BUSY, "too many senders (--max-senders)");
        return;
    }
    log_info("%s %s: %s from %s (%s)", hello->name, known ? "is back" : "connected",
             format_describe(&hello->format, format, sizeof format), peer, hello->software);
    if (!stream || stream_attach(stream, conn, hello) < 0) {
        handshake_refuse(conn, WIRE_E_REFUSED, "this receiver cannot record now");
    } else if (call) {
        call_greeted(call);
    }
}

static void on_called(void *arg, struct conn *conn, struct call *call, const char *peer)
{
    struct server *s = arg;
    handshakes_add(&s->handshakes, conn, call, peer, clock_now_us());
}

/* ---- the listener ---- */

static void accept_all(struct server *s, int64_t now_us)
{
    char peer[SOCK_NAME_MAX];
    int fd, code = 0;
    for (int i = 0; i < ACCEPTS && (code = sock_accept(s->listener, &fd, peer)) == 0; i++) {
        struct conn *conn = conn_new(fd);
        if (conn) {
            handshakes_add(&s->handshakes, conn, NULL, peer, now_us);
        } else {
            close(fd);
        }
    }
    if (code < 0 && code != -EAGAIN) {
        log_limited(&s->accept_limit, 10 * CLOCK_S, LOG_ERROR, "cannot accept connections: %s",
                    err_text(code));
        thread_idle();
        (void)stop_wait(s->stop, REST_US); /* the loop looks at the token anyway */
        thread_busy();
    }
}

static void listen_run(void *arg)
{
    struct server *s = arg;
    struct pollfd fds[HANDSHAKES + 2 + CALLS_FDS];
    const struct handshake_handler handler = { on_hello, s };
    while (!stop_requested(s->stop)) {
        fds[HANDSHAKES] = (struct pollfd){ .fd = s->listener, .events = POLLIN };
        fds[HANDSHAKES + 1] = (struct pollfd){ .fd = stop_fd(s->stop), .events = POLLIN };
        int64_t deadline_us = handshakes_poll(&s->handshakes, fds);
        int64_t call_us = calls_poll(s->calls, &fds[HANDSHAKES + 2]);
        deadline_us = call_us < deadline_us ? call_us : deadline_us;
        thread_idle();
        (void)poll(fds, HANDSHAKES + 2 + CALLS_FDS, clock_poll_ms(deadline_us, clock_now_us()));
        thread_busy();
        int64_t now_us = clock_now_us();
        handshakes_serve(&s->handshakes, fds, now_us, &handler);
        calls_serve(s->calls, now_us, on_called, s);
        if (fds[HANDSHAKES].revents) {
            accept_all(s, now_us);
        }
    }
}

/* ---- life ---- */

static struct server *server_new(const struct config *config, struct stop *done)
{
    struct server *s = calloc(1, sizeof *s);
    if (!s) {
        return NULL;
    }
    pthread_mutex_init(&s->lock, NULL);
    handshakes_init(&s->handshakes);
    s->config = config;
    s->done = done;
    s->listener = -1;
    s->stop = stop_new();
    (void)gethostname(s->host, sizeof s->host - 1); /* only for the senders' logs */
    identity_make(s->id, config->output);
    s->env = (struct stream_env){ .config = config,
                                  .name = s->host,
                                  .software = "video-receiver " PCS_VERSION,
                                  .id = s->id,
                                  .received = on_received,
                                  .ended = on_ended,
                                  .arg = s };
    return s;
}

int server_start(struct server **out, const struct config *config, struct stop *done,
                 struct err *err)
{
    struct server *s = server_new(config, done);
    int code = s && s->stop ? 0 : err_set(err, -ENOMEM, "out of memory");
    if (code == 0) {
        code = calls_new(&s->calls, &config->connect, err);
    }
    if (code == 0 && config->listen) {
        code = sock_listen(config->listen_address, (int)config->listen_port, &s->listener, err);
    }
    if (code == 0) {
        s->port = config->listen ? sock_port(s->listener) : 0;
        code = thread_start(&s->thread, "listen", listen_run, s);
        code = code < 0 ? err_set(err, code, "cannot start: %s", err_text(code)) : 0;
    }
    if (code < 0) {
        server_free(s);
        return code;
    }
    *out = s;
    return 0;
}

void server_stop(struct server *s, int64_t deadline_us)
{
    stop_request(s->stop);
    thread_join(&s->thread);
    for (size_t i = 0; i < s->count; i++) { /* nobody else adds any more */
        stream_request_stop(s->streams[i], deadline_us);
    }
    for (size_t i = 0; i < s->count; i++) {
        stream_join(s->streams[i]);
    }
}

void server_free(struct server *s)
{
    if (!s) {
        return;
    }
    for (size_t i = 0; i < s->count; i++) {
        stream_free(s->streams[i]);
    }
    free(s->streams);
    handshakes_finish(&s->handshakes);
    calls_free(s->calls); /* last: the connections knew them */
    if (s->listener >= 0) {
        close(s->listener);
    }
    stop_free(s->stop);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

int server_port(const struct server *s)
{
    return s->port;
}

void server_get_totals(struct server *s, struct server_totals *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->forgotten;
    for (size_t i = 0; i < s->count; i++) {
        struct stream_totals t;
        stream_get_totals(s->streams[i], &t);
        add_totals(out, &t);
    }
    pthread_mutex_unlock(&s->lock);
}

struct cJSON *server_report(struct server *s)
{
    struct cJSON *array = cJSON_CreateArray();
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->count; i++) {
        cJSON_AddItemToArray(array, stream_report(s->streams[i]));
    }
    pthread_mutex_unlock(&s->lock);
    return array;
}
