/* SPDX-License-Identifier: MIT */
/*
 * The TCP service's thread: accepts, greets, and serves each connection from its guest's feed. A caller
 * becomes a guest by its WELCOME. Until then it costs a socket and a few hundred bytes, and there are not
 * many of that kind.
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
#include "pcs/hub.h"
#include "pcs/queue.h"
#include "pcs/stop.h"
#include "tcp_private.h"

#define STRANGERS     64 /* connections that have not said WELCOME; the oldest one goes */
#define ACCEPTS       64 /* in a row, before frames have their turn */
#define GREETED_US    (5 * CLOCK_S)
#define REST_US       (200 * CLOCK_MS) /* from accepting, when there are no fds left */
#define KEY_US        (500 * CLOCK_MS)
#define LOG_PERIOD_US (5 * CLOCK_S)

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

bool tcp_grow(struct sink *s)
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
    struct caller *c = tcp_grow(s) ? calloc(1, sizeof *c) : NULL;
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
    const struct link_host host = { on_welcomed, c, &s->latency, &s->link_limit };
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
    (void)snprintf(m.u.error.text, sizeof m.u.error.text, "%.*s", WIRE_TEXT_MAX,
                   c->link.error.text);
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

/* Everybody gets it, so nobody may have it as often as he likes. False: it was too soon. */
static bool ask_for_key(struct sink *s, int64_t now_us)
{
    if (now_us < s->key_us) {
        return false;
    }
    s->key_us = now_us + KEY_US;
    hub_request_key(s->env->hub);
    return true;
}

static void take_frames(struct sink *s, int64_t now_us)
{
    bool closed = queue_closed(s->queue); /* asked first: what came before it is still taken */
    const struct frame *frame;
    while ((frame = queue_take(s->queue)) != NULL) {
        s->format = frame->format;
        s->last_seq = frame->seq;
        if (!guests_add(&s->guests, frame)) {
            (void)ask_for_key(s, now_us); /* else with the next frame */
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
    if (l->key_wanted && ask_for_key(s, now_us)) {
        l->key_wanted = false; /* else with the next turn */
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
    struct sink_totals all = { 0 }, t;
    uint64_t resent = 0;
    size_t here = guests_here(&s->guests);
    guests_add_totals(&s->guests, &all, &resent);
    t = all;
    guests_count(&s->guests, &t.sent, &t.queued);
    t.acked = all.acked < t.sent ? all.acked : t.sent;
    t.connected = here > 0;
    pthread_mutex_lock(&s->lock);
    s->totals = t;
    s->delivered = all.sent;
    s->skipped = all.dropped;
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

void tcp_run(void *arg)
{
    struct sink *s = arg;
    int64_t expiry_us = INT64_MAX;
    while (!stop_requested(s->stop) && !finished(s)) {
        size_t polled = wait_for_work(s, expiry_us);
        int64_t now_us = clock_now_us();
        take_frames(s, now_us);
        serve_callers(s, polled, now_us);
        if (s->fds[2].revents) {
            accept_all(s, now_us);
        }
        expiry_us = guests_expire(&s->guests, now_us);
        follow_demand(s);
        publish_totals(s);
    }
    take_frames(s, clock_now_us());
    for (size_t i = 0; i < s->count; i++) {
        free_caller(s, s->callers[i], false, clock_now_us());
    }
    s->count = 0;
    publish_totals(s);
    stop_request(s->done);
}
