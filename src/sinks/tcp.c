/* SPDX-License-Identifier: MIT */
/*
 * The TCP service's thread: accepts, greets, and serves each connection from its guest's feed. A caller
 * becomes a guest by its WELCOME. Until then it costs a socket and a few hundred bytes, and there are not
 * many of that kind.
 */
#include "tcp.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pcs/backoff.h"
#include "pcs/clock.h"
#include "pcs/conn.h"
#include "pcs/frame.h"
#include "pcs/hub.h"
#include "pcs/log.h"
#include "pcs/queue.h"
#include "pcs/serve.h"
#include "pcs/sock.h"
#include "pcs/stats.h"
#include "pcs/stop.h"
#include "pcs/thread.h"
#include "port.h"
#include "push_link.h"
#include "tcp_guests.h"

#define STRANGERS     64 /* connections that have not said WELCOME; the oldest one goes */
#define ACCEPTS       64 /* in a row, before frames have their turn */
#define GREETED_US    (5 * CLOCK_S)
#define REST_US       (200 * CLOCK_MS) /* from accepting, when there are no fds left */
#define QUEUE_FRAMES  65536
#define LOG_PERIOD_US (5 * CLOCK_S)

struct tcp_config {
    const char *port; /* NULL: off */
    int64_t buffer;
};

static const struct option_def tcp_options[] = {
    { .name = "tcp-port",
      .type = OPTION_STRING,
      .offset = offsetof(struct tcp_config, port),
      .arg = "PORT",
      .help = "serve video-receivers that connect here (8888 is usual; 0 = any free one)" },
    { .name = "tcp-buffer",
      .type = OPTION_SIZE,
      .offset = offsetof(struct tcp_config, buffer),
      .value = "64M",
      .min = 1 << 20,
      .max = (int64_t)1 << 40,
      .arg = "SIZE",
      .help = "frames kept for those of them that are slow, or away for up to a minute" },
};

/* A connection. */
struct caller {
    struct sink *sink;
    int fd;           /* the link's once it is greeted */
    int64_t since_us; /* when it came, or was greeted */
    bool greeted;
    bool over; /* to be closed; link.error says why */
    char peer[SOCK_NAME_MAX];
    struct link link;
    struct guest *guest; /* NULL: a stranger */
};

struct sink {
    const struct sink_env *env;
    char target[SOCK_NAME_MAX + 8];
    int listener;
    struct queue *queue;
    struct stop *stop, *done; /* done: the thread has ended by itself */
    struct thread thread;
    uint8_t session[16];
    struct histogram latency;

    /* the thread's own */
    struct guests guests;
    struct caller **callers;
    struct pollfd *fds; /* as many, and three */
    size_t count, space;
    struct format format; /* of the newest frame */
    uint64_t last_seq;
    int64_t rest_us; /* no accepting before */
    uint64_t refused;
    bool subscribed, ended;
    struct log_limit accept_limit, refused_limit, ended_limit;

    pthread_mutex_t lock; /* guards the copies for other threads */
    struct sink_totals totals;
    uint64_t resent, refused_total;
    size_t here;
    bool idle; /* nobody is here, nobody expected */
};

static bool tcp_wanted(const void *config)
{
    return ((const struct tcp_config *)config)->port != NULL;
}

static void tcp_serve(void *config)
{
    struct tcp_config *c = config;
    c->port = c->port ? c->port : "8888";
}

static int tcp_check(const void *config, struct err *err)
{
    int port = port_parse("tcp-port", ((const struct tcp_config *)config)->port, err);
    return port < 0 ? port : 0;
}

/* ---- connections come and go ---- */

/* While nobody was here, others may have had frames. */
static uint64_t newest_seq(const struct sink *s)
{
    uint64_t published = hub_published(s->env->hub);
    return s->last_seq > published ? s->last_seq : published;
}

static struct replay *on_welcomed(void *arg, const struct wire_welcome *welcome, struct err *err)
{
    struct caller *c = arg;
    struct sink *s = c->sink;
    struct guest *guest = guests_admit(&s->guests, welcome, newest_seq(s), clock_now_us(), err);
    if (!guest) {
        return NULL;
    }
    if (guest->caller) { /* it came back before we noticed that it was gone */
        guest->caller->guest = NULL;
        guest->caller->over = true;
        (void)err_set(&guest->caller->link.error, -EPIPE, "it has a new connection");
    }
    guest->caller = c;
    c->guest = guest;
    return &guest->feed.replay;
}

/* False: no memory. */
static bool grow(struct sink *s)
{
    if (s->count < s->space) {
        return true;
    }
    size_t space = s->space ? s->space * 2 : 8;
    struct caller **callers = realloc(s->callers, space * sizeof *callers);
    s->callers = callers ? callers : s->callers;
    struct pollfd *fds = callers ? realloc(s->fds, (space + 3) * sizeof *fds) : NULL;
    s->fds = fds ? fds : s->fds;
    s->space = fds ? space : s->space;
    return fds != NULL;
}

static void add_caller(struct sink *s, int fd, const char *peer, int64_t now_us)
{
    struct caller *c = grow(s) ? calloc(1, sizeof *c) : NULL;
    if (!c) {
        close(fd);
        return;
    }
    c->sink = s;
    c->fd = fd;
    c->since_us = now_us;
    memcpy(c->peer, peer, sizeof c->peer);
    s->callers[s->count++] = c;
}

static void refuse_oldest_stranger(struct sink *s)
{
    size_t strangers = 0;
    struct caller *oldest = NULL;
    for (size_t i = 0; i < s->count; i++) { /* in the order in which they came */
        strangers += !s->callers[i]->guest;
        oldest = !oldest && !s->callers[i]->guest ? s->callers[i] : oldest;
    }
    if (strangers >= STRANGERS) {
        oldest->over = true;
        (void)err_set(&oldest->link.error, -EBUSY, "too many connections that say nothing");
    }
}

static void accept_all(struct sink *s, int64_t now_us)
{
    char peer[SOCK_NAME_MAX];
    int fd, code = 0;
    for (int i = 0; i < ACCEPTS && (code = sock_accept(s->listener, &fd, peer)) == 0; i++) {
        refuse_oldest_stranger(s);
        add_caller(s, fd, peer, now_us);
    }
    if (code < 0 && code != -EAGAIN) {
        log_limited(&s->accept_limit, LOG_PERIOD_US, LOG_ERROR, "cannot accept connections: %s",
                    err_text(code));
        s->rest_us = now_us + REST_US;
    }
}

/* Say hello to who has none yet: the format is known only when there was a frame. */
static void greet(struct sink *s, struct caller *c, int64_t now_us)
{
    const struct link_host host = { on_welcomed, c, &s->latency };
    struct wire_hello hello;
    feed_greet(&hello, s->env, s->session, &s->format);
    hello.next_seq = newest_seq(s) + 1;
    hello.first_seq = guests_first_seq(&s->guests, hello.next_seq);
    int code = link_open(&c->link, c->fd, &host, &hello);
    c->greeted = code == 0;
    c->since_us = now_us;
    if (code < 0) {
        c->fd = -1;
        c->over = true;
        (void)err_set(&c->link.error, code, "%s", err_text(code));
    }
}

/* Why it is not served, as well as one write can say it. */
static void say_error(struct caller *c)
{
    struct wire_message m = { .type = WIRE_ERROR, .u.error = { .code = WIRE_E_REFUSED } };
    m.u.error.code = c->link.error.code == -EBUSY ? WIRE_E_BUSY : WIRE_E_PROTOCOL;
    strncpy(m.u.error.text, c->link.error.text, WIRE_TEXT_MAX);
    if (wire_tx_put(&c->link.tx, &m) == 0) {
        (void)link_send(&c->link, clock_now_us(), 0, false); /* a courtesy */
    }
}

static void log_end(struct sink *s, const struct caller *c, bool delivered)
{
    if (delivered) {
        log_info("%s has everything", c->peer);
    } else if (c->link.welcomed) {
        log_limited(&s->ended_limit, LOG_PERIOD_US, LOG_WARN, "connection of %s ended: %s", c->peer,
                    c->link.error.text);
    } else {
        log_limited(&s->refused_limit, LOG_PERIOD_US, LOG_WARN, "%s refused: %s", c->peer,
                    c->link.error.text);
    }
}

static void free_caller(struct sink *s, struct caller *c, bool delivered, int64_t now_us)
{
    if (c->guest) {
        guests_leave(&s->guests, c->guest, delivered, now_us);
    }
    if (c->greeted) {
        link_close(&c->link);
    } else if (c->fd >= 0) {
        close(c->fd);
    }
    free(c);
}

static void end_caller(struct sink *s, struct caller *c, bool delivered, int64_t now_us)
{
    log_end(s, c, delivered);
    if (c->greeted && !c->link.welcomed && c->link.error.code != -EPIPE) {
        say_error(c);
        s->refused++;
    }
    free_caller(s, c, delivered, now_us);
}

/* ---- frames ---- */

/* Frames are made while somebody is here, or expected back. */
static void follow_demand(struct sink *s)
{
    bool wanted = s->count > 0 || guests_awake(&s->guests) > 0;
    if (wanted && !s->subscribed) {
        s->subscribed = hub_subscribe(s->env->hub, s->queue) == 0;
    } else if (!wanted && s->subscribed) {
        hub_unsubscribe(s->env->hub, s->queue);
        queue_clear(s->queue);
        s->subscribed = false;
    }
}

static void take_frames(struct sink *s)
{
    bool closed = queue_closed(s->queue); /* asked first: what came before it is still taken */
    const struct frame *frame;
    while ((frame = queue_take(s->queue)) != NULL) {
        s->format = frame->format;
        s->last_seq = frame->seq;
        if (!guests_add(&s->guests, frame)) {
            hub_request_key(s->env->hub);
        }
        frame_unref(frame);
    }
    if (closed) {
        guests_end(&s->guests, hub_published(s->env->hub));
    }
    s->ended = closed;
}

/* ---- the thread ---- */

static int serve_guest(struct sink *s, struct caller *c, short revents, int64_t now_us)
{
    struct link *l = &c->link;
    int code = revents & (POLLIN | POLLHUP | POLLERR) ? link_receive(l, now_us) : 0;
    if (code == 0) {
        code = link_send(l, now_us, 0, s->ended);
    }
    if (l->key_wanted) {
        l->key_wanted = false;
        hub_request_key(s->env->hub);
    }
    if (c->guest) {
        c->guest->heard_us = l->heard_us;
    }
    if (code == 0 && !l->welcomed && now_us - c->since_us >= GREETED_US) {
        code = err_set(&l->error, -ETIMEDOUT, "no answer to our hello within 5 s");
    }
    if (code == 0 && now_us > link_deadline_us(l)) {
        code = err_set(&l->error, -ETIMEDOUT, "the receiver has been silent for 10 s");
    }
    return code;
}

/* One connection's turn. False: it is over. */
static bool serve_caller(struct sink *s, struct caller *c, short revents, int64_t now_us)
{
    if (!c->greeted && !c->over) {
        if (revents & (POLLRDHUP | POLLHUP | POLLERR)) {
            (void)err_set(&c->link.error, -EPIPE, "it left before there was a frame");
            return false;
        }
        if (s->format.id != FORMAT_NONE) {
            greet(s, c, now_us);
        } else if (s->ended) {
            (void)err_set(&c->link.error, -EPIPE, "there will be no frames");
            return false;
        }
    }
    return !c->over && (!c->greeted || serve_guest(s, c, revents, now_us) == 0);
}

/* `polled` of them have their events in fds. */
static void serve_callers(struct sink *s, size_t polled, int64_t now_us)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->count; i++) {
        struct caller *c = s->callers[i];
        bool served = serve_caller(s, c, i < polled ? s->fds[3 + i].revents : 0, now_us);
        bool delivered = served && s->ended && c->guest && link_finished(&c->link);
        if (served && !delivered) {
            s->callers[kept++] = c;
        } else {
            end_caller(s, c, delivered, now_us);
        }
    }
    s->count = kept;
}

static int64_t next_deadline_us(const struct sink *s, int64_t expiry_us)
{
    int64_t at_us = expiry_us;
    at_us = s->rest_us && s->rest_us < at_us ? s->rest_us : at_us;
    for (size_t i = 0; i < s->count; i++) {
        const struct caller *c = s->callers[i];
        int64_t end_us = !c->greeted         ? INT64_MAX
                         : !c->link.welcomed ? c->since_us + GREETED_US
                                             : link_deadline_us(&c->link) + 1;
        at_us = c->over ? 0 : end_us < at_us ? end_us : at_us;
    }
    return at_us;
}

/* How many callers there were, or 0 with the first three of fds. */
static size_t wait_for_work(struct sink *s, int64_t expiry_us)
{
    int64_t now_us = clock_now_us();
    s->rest_us = s->rest_us > now_us ? s->rest_us : 0;
    s->fds[0] = (struct pollfd){ .fd = stop_fd(s->stop), .events = POLLIN };
    s->fds[1] = (struct pollfd){ .fd = s->ended ? -1 : queue_fd(s->queue), .events = POLLIN };
    s->fds[2] = (struct pollfd){ .fd = s->rest_us ? -1 : s->listener, .events = POLLIN };
    for (size_t i = 0; i < s->count; i++) {
        struct caller *c = s->callers[i];
        s->fds[3 + i] = (struct pollfd){ .fd = c->greeted ? conn_fd(c->link.conn) : c->fd,
                                         .events = c->greeted ? link_events(&c->link) : POLLRDHUP };
    }
    thread_idle();
    (void)poll(s->fds, s->count + 3, clock_poll_ms(next_deadline_us(s, expiry_us), now_us));
    thread_busy();
    return s->count;
}

static void publish_totals(struct sink *s)
{
    struct sink_totals t = { 0 };
    uint64_t resent = 0;
    size_t here = guests_here(&s->guests);
    t.connected = here > 0;
    guests_add_totals(&s->guests, &t, &resent);
    pthread_mutex_lock(&s->lock);
    s->totals = t;
    s->resent = resent;
    s->refused_total = s->refused;
    s->here = here;
    s->idle = s->count == 0 && guests_awake(&s->guests) == 0;
    pthread_mutex_unlock(&s->lock);
}

static bool finished(const struct sink *s)
{
    return s->ended && !guests_waiting(&s->guests);
}

static void tcp_run(void *arg)
{
    struct sink *s = arg;
    int64_t expiry_us = INT64_MAX;
    while (!stop_requested(s->stop) && !finished(s)) {
        size_t polled = wait_for_work(s, expiry_us);
        int64_t now_us = clock_now_us();
        take_frames(s);
        serve_callers(s, polled, now_us);
        if (s->fds[2].revents) {
            accept_all(s, now_us);
        }
        expiry_us = guests_expire(&s->guests, now_us);
        follow_demand(s);
        publish_totals(s);
    }
    take_frames(s);
    for (size_t i = 0; i < s->count; i++) {
        free_caller(s, s->callers[i], false, clock_now_us());
    }
    s->count = 0;
    publish_totals(s);
    stop_request(s->done);
}

/* ---- the sink ---- */

static void tcp_free(struct sink *s)
{
    if (!s) {
        return;
    }
    if (s->queue) {
        hub_unsubscribe(s->env->hub, s->queue);
        queue_unref(s->queue);
    }
    guests_finish(&s->guests);
    stop_free(s->stop);
    stop_free(s->done);
    if (s->listener >= 0) {
        close(s->listener);
    }
    pthread_mutex_destroy(&s->lock);
    free(s->callers);
    free(s->fds);
    free(s);
}

static struct sink *tcp_new(const struct tcp_config *config, const struct sink_env *env)
{
    struct sink *s = calloc(1, sizeof *s);
    if (!s) {
        return NULL;
    }
    const struct queue_limits limits = { .policy = QUEUE_ALL,
                                         .max_frames = QUEUE_FRAMES,
                                         .max_bytes = (size_t)config->buffer };
    pthread_mutex_init(&s->lock, NULL);
    s->env = env;
    s->listener = -1;
    s->idle = true;
    s->stop = stop_new();
    s->done = stop_new();
    s->queue = queue_new(&limits);
    random_bytes(s->session, sizeof s->session);
    guests_init(&s->guests, (size_t)env->serve->max_clients, (size_t)config->buffer);
    return s;
}

static int listen_at(struct sink *s, int port, struct err *err)
{
    const char *address = s->env->serve->address;
    int code = sock_listen(address, port, &s->listener, err);
    (void)snprintf(s->target, sizeof s->target, strchr(address, ':') ? "[%s]:%d" : "%s:%d", address,
                   code < 0 ? port : sock_port(s->listener));
    return code;
}

static int tcp_open(struct sink **out, const void *config, const struct sink_env *env,
                    struct err *err)
{
    const struct tcp_config *c = config;
    struct sink *s = tcp_new(c, env);
    int code =
        s && s->stop && s->done && s->queue && grow(s) ? 0 : err_set(err, -ENOMEM, "out of memory");
    if (code == 0) {
        code = listen_at(s, port_parse("tcp-port", c->port, err), err);
    }
    if (code == 0) {
        code = thread_start(&s->thread, "tcp", tcp_run, s);
        code = code < 0 ? err_set(err, code, "cannot start: %s", err_text(code)) : 0;
    }
    if (code < 0) {
        tcp_free(s);
        return code;
    }
    log_info("TCP service on port %d (%s)", sock_port(s->listener), s->target);
    *out = s;
    return 0;
}

static void tcp_finish(struct sink *s, int64_t deadline_us)
{
    queue_close(s->queue);
    int64_t left_us = deadline_us - clock_now_us();
    if (!stop_wait(s->done, left_us > 0 ? left_us : 0)) {
        stop_request(s->stop);
    }
    thread_join(&s->thread);
    /* What is still unsent is lost with us: the numbers must say so. */
    s->totals.dropped += s->totals.queued;
    s->totals.queued = 0;
}

static void tcp_totals(struct sink *s, struct sink_totals *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->totals;
    out->done = s->idle;
    pthread_mutex_unlock(&s->lock);
    out->done |= stop_requested(s->done);
}

static struct cJSON *tcp_report(struct sink *s)
{
    struct sink_totals t;
    tcp_totals(s, &t);
    struct cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "kind", "tcp");
    cJSON_AddStringToObject(o, "target", s->target);
    pthread_mutex_lock(&s->lock);
    feed_report(o, &t, s->resent, &s->latency);
    cJSON_AddNumberToObject(o, "clients", (double)s->here);
    cJSON_AddNumberToObject(o, "refused", (double)s->refused_total);
    pthread_mutex_unlock(&s->lock);
    return o;
}

const struct sink_backend sink_tcp = {
    .kind = "tcp",
    .section = "serve",
    .options = tcp_options,
    .option_count = OPTION_COUNT(tcp_options),
    .config_size = sizeof(struct tcp_config),
    .wanted = tcp_wanted,
    .serve = tcp_serve,
    .check = tcp_check,
    .open = tcp_open,
    .finish = tcp_finish,
    .free = tcp_free,
    .totals = tcp_totals,
    .report = tcp_report,
};
