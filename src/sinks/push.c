/* SPDX-License-Identifier: MIT */
/*
 * The push thread's loop: frames from the hub's queue go at once into the replay buffer, connected or
 * not; the link sends from there. While there is no link it waits for the next attempt or for a
 * connection in the making, and goes on moving frames, so the queue is short at all times.
 *
 * While the line keeps up the thread sleeps, and the producer's thread does that for it: one sendmsg that
 * does not block costs it no more than waking us would cost both. Whoever does the work has `work`; the
 * locks of the queue and of the totals are taken within it, never the other way round.
 */
#include "push.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcs/backoff.h"
#include "pcs/clock.h"
#include "pcs/conn.h"
#include "pcs/dial.h"
#include "feed.h"
#include "pcs/frame.h"
#include "pcs/hub.h"
#include "pcs/log.h"
#include "pcs/queue.h"
#include "pcs/sock.h"
#include "pcs/stop.h"
#include "pcs/thread.h"
#include "push_link.h"

#define CONNECT_US     (3 * CLOCK_S)
#define QUEUE_FRAMES   65536
#define LOG_PERIOD_US  (30 * CLOCK_S)
#define FIRST_RETRY_US (200 * CLOCK_MS)
#define MAX_RETRY_US   (10 * CLOCK_S)

struct push_config {
    const char *host;
    int64_t port, buffer, max_latency_us;
};

static const struct option_def push_options[] = {
    { .name = "dest-ip",
      .type = OPTION_STRING,
      .offset = offsetof(struct push_config, host),
      .arg = "HOST",
      .help = "push to the video-receiver on this host (name, IPv4 or IPv6)" },
    { .name = "port",
      .type = OPTION_INT,
      .offset = offsetof(struct push_config, port),
      .value = "5000",
      .min = 1,
      .max = 65535,
      .arg = "PORT",
      .help = "its port" },
    { .name = "max-latency",
      .type = OPTION_TIME,
      .offset = offsetof(struct push_config, max_latency_us),
      .value = "0",
      .max = 3600 * CLOCK_S,
      .flags = OPTION_LIVE,
      .arg = "TIME",
      .help = "live: skip to the newest key frame when later than this; 0 = keep every frame" },
    { .name = "buffer",
      .type = OPTION_SIZE,
      .offset = offsetof(struct push_config, buffer),
      .value = "64M",
      .min = 1 << 20,
      .max = (int64_t)1 << 40,
      .arg = "SIZE",
      .help = "frames kept for a receiver that is away or not yet synced to disk" },
};

struct sink {
    struct push_config config; /* host copied; max_latency_us changes live, see max_latency */
    char *host;
    const struct sink_env *env;
    struct queue *queue;
    struct stop *stop, *done; /* done: the thread has ended by itself */
    struct thread thread;
    _Atomic int64_t max_latency_us;

    pthread_mutex_t work; /* guards what follows; the thread has it whenever it does not sleep */
    struct feed feed;
    struct dial *dial; /* under way; NULL when linked or resting */
    struct link link;
    bool linked, broken; /* broken: the link has failed while the thread was waiting */
    uint64_t connections;
    char peer[SOCK_NAME_MAX];
    struct format format; /* of the newest frame */
    uint8_t session[16];
    struct backoff backoff;
    int64_t retry_us; /* when to try next */
    bool ended;       /* the hub has ended and the queue is empty */
    struct log_limit reach_limit, ended_limit, link_limit;
    struct histogram latency;

    pthread_mutex_t lock; /* guards totals and resent: a copy of the thread's numbers */
    struct sink_totals totals;
    uint64_t resent;
};

static bool push_wanted(const void *config)
{
    const struct push_config *c = config;
    return c->host != NULL;
}

static int push_check(const void *config, struct err *err)
{
    const struct push_config *c = config;
    if (c->host && !*c->host) {
        return err_set(err, -EINVAL, "--dest-ip: '' is not a host");
    }
    return 0;
}

/* ---- the thread ---- */

static void publish_totals(struct sink *s)
{
    struct sink_totals t = { .connected = s->linked,
                             .reconnects = s->connections > 0 ? s->connections - 1 : 0 };
    feed_add_totals(&s->feed, &t);
    pthread_mutex_lock(&s->lock);
    s->totals = t;
    s->resent = s->feed.replay.resent;
    pthread_mutex_unlock(&s->lock);
}

static void take_frames(struct sink *s)
{
    bool closed = queue_closed(s->queue); /* asked first: what came before it is still taken */
    bool live = atomic_load_explicit(&s->max_latency_us, memory_order_relaxed) > 0;
    const struct frame *frame;
    while ((frame = queue_take(s->queue)) != NULL) {
        s->format = frame->format;
        if (!feed_add(&s->feed, frame)) {
            hub_request_key(s->env->hub);
        }
        frame_unref(frame);
    }
    if (closed) {
        replay_end(&s->feed.replay, hub_published(s->env->hub));
    }
    s->ended = closed;
    feed_warn(&s->feed, live);
}

static void retry_later(struct sink *s)
{
    s->retry_us = clock_now_us() + backoff_next(&s->backoff, random_u32());
}

static void cannot_reach(struct sink *s, const char *why)
{
    log_limited(&s->reach_limit, LOG_PERIOD_US, LOG_WARN, "cannot reach %s, trying on: %s", s->host,
                why);
    retry_later(s);
}

static void start_dial(struct sink *s)
{
    int code = dial_start(&s->dial, s->host, (int)s->config.port, CONNECT_US);
    if (code < 0) {
        cannot_reach(s, err_text(code));
    }
}

static struct replay *on_welcomed(void *arg, const struct wire_welcome *welcome, struct err *err)
{
    struct sink *s = arg;
    (void)welcome; /* there is but one receiver */
    (void)err;
    return &s->feed.replay;
}

static void open_link(struct sink *s, int fd)
{
    const struct link_host host = { on_welcomed, s, &s->latency, &s->link_limit };
    struct wire_hello hello;
    feed_greet(&hello, s->env, s->session, &s->format);
    hello.first_seq = replay_first_seq(&s->feed.replay);
    hello.next_seq = s->feed.replay.last_seq + 1;
    if (link_open(&s->link, fd, &host, &hello) < 0) {
        retry_later(s);
        return;
    }
    s->linked = true;
    s->connections++;
    log_info("connected to %s", s->peer);
}

static void serve_dial(struct sink *s)
{
    struct err err = { 0 };
    int fd;
    int code = dial_take(s->dial, &fd, s->peer, &err);
    if (code == -EAGAIN) {
        return;
    }
    dial_free(s->dial);
    s->dial = NULL;
    if (code < 0) {
        cannot_reach(s, err.text);
    } else {
        open_link(s, fd);
    }
}

static void drop_link(struct sink *s)
{
    log_limited(&s->ended_limit, LOG_PERIOD_US, LOG_WARN, "connection to %s ended: %s", s->peer,
                s->link.error.text);
    if (s->link.welcomed) {
        backoff_reset(&s->backoff);
    }
    link_close(&s->link);
    s->linked = s->broken = false;
    retry_later(s);
}

static int send_due(struct sink *s, int64_t now_us)
{
    int64_t max_latency_us = atomic_load_explicit(&s->max_latency_us, memory_order_relaxed);
    int code = link_send(&s->link, now_us, max_latency_us, s->ended);
    if (s->link.key_wanted) {
        s->link.key_wanted = false;
        hub_request_key(s->env->hub);
    }
    return code;
}

/* In the producer's thread. False: there is more to do than to send one frame. */
static bool send_at_once(void *arg)
{
    struct sink *s = arg;
    if (pthread_mutex_trylock(&s->work) != 0) {
        return false;
    }
    bool sent = s->linked && !s->broken && link_idle(&s->link);
    if (sent) {
        take_frames(s);
        s->broken = send_due(s, clock_now_us()) < 0;
        sent = !s->broken && link_idle(&s->link);
        publish_totals(s);
    }
    pthread_mutex_unlock(&s->work);
    return sent;
}

static void serve_link(struct sink *s, short revents)
{
    int64_t now_us = clock_now_us();
    int code = s->broken                                ? s->link.error.code
               : revents & (POLLIN | POLLHUP | POLLERR) ? link_receive(&s->link, now_us)
                                                        : 0;
    if (code == 0) {
        code = send_due(s, now_us);
    }
    if (code == 0 && now_us > link_deadline_us(&s->link)) {
        code = err_set(&s->link.error, -ETIMEDOUT, "the receiver has been silent for 10 s");
    }
    if (code < 0) {
        drop_link(s);
    }
}

/* Wait for the queue, the socket, the stop token or a time, whatever comes first. */
static short wait_for_work(struct sink *s)
{
    struct pollfd fds[3] = {
        { .fd = stop_fd(s->stop), .events = POLLIN },
        { .fd = s->ended ? -1 : queue_fd(s->queue), .events = POLLIN },
        { .fd = s->linked ? conn_fd(s->link.conn)
                : s->dial ? dial_fd(s->dial)
                          : -1,
          .events = s->linked ? link_events(&s->link) : POLLIN },
    };
    /* Nothing to tell a receiver yet: no reason to connect before the first frame. */
    int64_t deadline_us = s->linked                                ? link_deadline_us(&s->link) + 1
                          : s->dial || s->format.id == FORMAT_NONE ? INT64_MAX
                                                                   : s->retry_us;
    pthread_mutex_unlock(&s->work);
    thread_idle();
    (void)poll(fds, 3, clock_poll_ms(deadline_us, clock_now_us())); /* EINTR: look again */
    thread_busy();
    pthread_mutex_lock(&s->work);
    return fds[2].revents;
}

static bool finished(const struct sink *s)
{
    bool nothing_ever = s->ended && s->feed.replay.last_seq == 0;
    return nothing_ever || (s->linked && s->ended && link_finished(&s->link));
}

static void push_run(void *arg)
{
    struct sink *s = arg;
    pthread_mutex_lock(&s->work);
    while (!stop_requested(s->stop) && !finished(s)) {
        short revents = wait_for_work(s);
        take_frames(s);
        if (s->linked) {
            serve_link(s, revents);
        } else if (s->dial) {
            serve_dial(s);
        } else if (s->format.id != FORMAT_NONE && clock_now_us() >= s->retry_us) {
            start_dial(s);
        }
        publish_totals(s);
    }
    if (s->linked) {
        link_close(&s->link);
        s->linked = false;
    }
    dial_free(s->dial);
    s->dial = NULL;
    take_frames(s);
    publish_totals(s);
    pthread_mutex_unlock(&s->work);
    stop_request(s->done);
}

/* ---- the sink ---- */

static void push_free(struct sink *s)
{
    if (!s) {
        return;
    }
    if (s->queue) {
        hub_unsubscribe(s->env->hub, s->queue);
        queue_unref(s->queue);
    }
    feed_finish(&s->feed);
    stop_free(s->stop);
    stop_free(s->done);
    pthread_mutex_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
    free(s->host);
    free(s);
}

static struct sink *push_new(const struct push_config *config, const struct sink_env *env)
{
    struct sink *s = calloc(1, sizeof *s);
    if (!s) {
        return NULL;
    }
    const struct queue_limits limits = { .policy = QUEUE_ALL,
                                         .max_frames = QUEUE_FRAMES,
                                         .max_bytes = (size_t)config->buffer };
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->work, NULL);
    s->config = *config;
    s->env = env;
    s->host = strdup(config->host);
    s->stop = stop_new();
    s->done = stop_new();
    s->queue = queue_new(&limits);
    s->max_latency_us = config->max_latency_us;
    s->backoff = (struct backoff){ .first_us = FIRST_RETRY_US, .max_us = MAX_RETRY_US };
    random_bytes(s->session, sizeof s->session);
    feed_init(&s->feed, (size_t)config->buffer);
    return s;
}

static int push_open(struct sink **out, const void *config, const struct sink_env *env,
                     struct err *err)
{
    struct sink *s = push_new(config, env);
    int code = s && s->host && s->stop && s->done && s->queue ? 0 : -ENOMEM;
    if (code == 0) {
        queue_on_push(s->queue, send_at_once, s);
        code = hub_subscribe(env->hub, s->queue);
    }
    if (code == 0) {
        code = thread_start(&s->thread, "push", push_run, s);
    }
    if (code < 0) {
        push_free(s);
        return err_set(err, code, "cannot start the push to %s: %s",
                       ((const struct push_config *)config)->host, err_text(code));
    }
    *out = s;
    return 0;
}

static void push_reconfigure(struct sink *s, const void *config)
{
    atomic_store(&s->max_latency_us, ((const struct push_config *)config)->max_latency_us);
}

static void push_finish(struct sink *s, int64_t deadline_us)
{
    queue_close(s->queue);
    int64_t left_us = deadline_us - clock_now_us();
    if (!stop_wait(s->done, left_us > 0 ? left_us : 0)) {
        stop_request(s->stop);
    }
    thread_join(&s->thread);
    /* What is still unsent is lost with us: the numbers must say so. */
    s->totals.dropped += s->totals.queued;
    if (s->totals.queued > 0) {
        log_warn("%llu frames could not be sent before the end",
                 (unsigned long long)s->totals.queued);
    }
    s->totals.queued = 0;
}

static void push_totals(struct sink *s, struct sink_totals *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->totals;
    pthread_mutex_unlock(&s->lock);
    struct queue_stats q;
    queue_get_stats(s->queue, &q); /* second: what the thread has not seen yet is queued */
    uint64_t settled = out->sent + out->dropped;
    out->queued = q.pushed > settled ? q.pushed - settled : 0;
    out->done = stop_requested(s->done);
}

static struct cJSON *push_report(struct sink *s)
{
    struct sink_totals t;
    char target[300];
    push_totals(s, &t);
    (void)snprintf(target, sizeof target, strchr(s->host, ':') ? "[%s]:%d" : "%s:%d", s->host,
                   (int)s->config.port);
    struct cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "kind", "push");
    cJSON_AddStringToObject(o, "target", target);
    feed_report(o, &t, s->resent, &s->latency);
    return o;
}

const struct sink_backend sink_push = {
    .kind = "push",
    .options = push_options,
    .option_count = OPTION_COUNT(push_options),
    .config_size = sizeof(struct push_config),
    .wanted = push_wanted,
    .check = push_check,
    .open = push_open,
    .reconfigure = push_reconfigure,
    .finish = push_finish,
    .free = push_free,
    .totals = push_totals,
    .report = push_report,
};
