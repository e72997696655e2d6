/* SPDX-License-Identifier: MIT */
/*
 * A place that is away costs nothing: while its thread waits for the next attempt it subscribes to no
 * frames, so nothing is encoded for it. What it needs to announce the stream (parameter sets, size) it
 * knows from the last key frame, which it keeps.
 */
#include "publish.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcs/backoff.h"
#include "pcs/clock.h"
#include "pcs/dial.h"
#include "pcs/frame.h"
#include "pcs/hub.h"
#include "pcs/log.h"
#include "pcs/queue.h"
#include "pcs/stop.h"
#include "pcs/thread.h"
#include "publish_out.h"
#include "publish_sdp.h"
#include "publish_url.h"

#define QUEUE_FRAMES   512
#define QUEUE_BYTES    ((size_t)16 << 20)
#define FIRST_RETRY_US CLOCK_S
#define MAX_RETRY_US   (60 * CLOCK_S)
#define STALE_US       CLOCK_S        /* what waited longer for a connection is not sent */
#define STEADY_US      (10 * CLOCK_S) /* a connection that lasts so long begins anew with 1 s */
#define LOG_PERIOD_US  (60 * CLOCK_S)

struct publish_config {
    struct option_list urls;
};

static const struct option_def publish_options[] = {
    { .name = "publish",
      .type = OPTION_LIST,
      .offset = offsetof(struct publish_config, urls),
      .arg = "URL",
      .help = "send the stream there, too: rtmp, rtsp, srt, rtp, udp, or a file" },
};

/* One URL. */
struct target {
    const struct sink_env *env;
    char *address; /* the URL */
    struct publish_url url;
    struct publish_place place; /* the same for libavformat */
    struct hub *hub;
    struct queue *queue;
    struct stop *stop, *done; /* done: the thread has ended by itself */
    struct thread thread;

    /* the thread's own */
    bool subscribed;
    const struct frame *key;   /* the newest that another stream began with; NULL: none seen */
    const struct frame *first; /* in hand, to be sent first */
    struct publish_out *out;
    int64_t connected_us;
    struct backoff backoff;
    struct log_limit trouble_limit;

    pthread_mutex_t lock; /* guards what follows */
    uint64_t sent, bytes, connections;
    bool connected, resting; /* resting: waits for the next attempt, or to be called */
};

struct sink {
    struct target **target;
    size_t count;
};

static bool publish_wanted(const void *config)
{
    const struct publish_config *c = config;
    return c->urls.count > 0;
}

static int publish_check(const void *config, struct err *err)
{
    const struct publish_config *c = config;
    struct publish_url url;
    for (size_t i = 0; i < c->urls.count; i++) {
        if (publish_url_parse(c->urls.item[i], &url) < 0) {
            return err_set(err, -EINVAL,
                           "--publish: '%s' is neither a file nor a URL of " PUBLISH_SCHEMES,
                           c->urls.item[i]);
        }
    }
    return 0;
}

/* ---- the thread ---- */

static void set_state(struct target *t, bool connected, bool resting)
{
    pthread_mutex_lock(&t->lock);
    t->connections += connected && !t->connected;
    t->connected = connected;
    t->resting = resting;
    pthread_mutex_unlock(&t->lock);
}

static int subscribe(struct target *t)
{
    int code = t->subscribed ? 0 : hub_subscribe(t->hub, t->queue);
    t->subscribed |= code == 0;
    return code;
}

static void forget(const struct frame **frame)
{
    frame_unref(*frame);
    *frame = NULL;
}

static void unsubscribe(struct target *t)
{
    if (t->subscribed) {
        hub_unsubscribe(t->hub, t->queue);
        t->subscribed = false;
    }
    queue_clear(t->queue);
    forget(&t->first);
}

static int next_frame(struct target *t, const struct frame **out)
{
    thread_idle();
    int code = queue_wait(t->queue, t->stop, -1, out);
    thread_busy();
    return code;
}

static void begin_with(struct target *t, const struct frame *key)
{
    forget(&t->key);
    t->key = frame_ref(key);
    t->first = key;
}

/* The first of all: nothing can be announced before it. */
static int wait_for_key(struct target *t, struct err *err)
{
    const struct frame *frame;
    int code = subscribe(t);
    if (code < 0) {
        return err_set(err, code, "out of memory");
    }
    code = next_frame(t, &frame);
    if (code == 0) {
        begin_with(t, frame);
    }
    return code;
}

/* Nothing interrupts libavformat's own look-up; after this one its answer is near. */
static int look_up(struct target *t, struct err *err)
{
    struct dial *dial;
    char name[SOCK_NAME_MAX];
    int fd, code = *t->url.host ? dial_lookup(&dial, t->url.host) : 0;
    if (code < 0 || !*t->url.host) {
        return code < 0 ? err_set(err, code, "%s", err_text(code)) : 0;
    }
    thread_idle();
    (void)stop_poll(t->stop, dial_fd(dial), POLLIN, -1); /* when stopped, it is not decided */
    thread_busy();
    code = stop_requested(t->stop) ? -ECANCELED : dial_take(dial, &fd, name, err);
    dial_free(dial);
    return code;
}

static void tell_connected(struct target *t)
{
    char text[4096];
    const char *file = publish_out_file(t->out);
    log_info("publishing to %s", file ? file : t->url.shown);
    if (strcmp(t->url.protocol, "rtp") == 0 && publish_out_sdp(t->out, text, sizeof text) == 0) {
        publish_sdp_tell(text, t->url.shown, t->env->name, t->url.port);
    }
}

static int connect_to(struct target *t, struct err *err)
{
    int code = look_up(t, err);
    if (t->url.listens) { /* that may take for ever */
        unsubscribe(t);
        set_state(t, false, true);
    }
    if (code == 0) {
        code = publish_out_open(&t->out, &t->place, t->key, err);
    }
    if (code < 0) {
        return code;
    }
    code = subscribe(t);
    if (code < 0) {
        return err_set(err, code, "out of memory");
    }
    t->connected_us = clock_now_us();
    set_state(t, true, false);
    tell_connected(t);
    if (t->first && t->connected_us - t->first->capture_us > STALE_US && !queue_closed(t->queue)) {
        forget(&t->first);
        queue_clear(t->queue);
        hub_request_key(t->hub);
    }
    return 0;
}

/* -ESTALE: another stream begins with this frame; it is kept. */
static int send_one(struct target *t, const struct frame *frame, struct err *err)
{
    if (frame->flags & FRAME_KEY && !publish_out_fits(t->out, frame)) {
        begin_with(t, frame_ref(frame));
        return -ESTALE;
    }
    int code = publish_out_write(t->out, frame, err);
    if (code == 0) {
        pthread_mutex_lock(&t->lock);
        t->sent++;
        t->bytes += frame->size;
        pthread_mutex_unlock(&t->lock);
    }
    return code;
}

static int stream(struct target *t, struct err *err)
{
    int code = 0;
    while (code == 0) {
        const struct frame *frame = t->first;
        t->first = NULL;
        code = frame ? 0 : next_frame(t, &frame);
        if (code == 0) {
            code = send_one(t, frame, err);
            frame_unref(frame);
        }
    }
    return code;
}

/* From connecting to the end of the connection: always negative. -EPIPE: all is sent; -ESTALE: see
 * send_one; -ECANCELED: stopped. No error of a connection is one of these (publish_out.h). */
static int session(struct target *t, struct err *err)
{
    int code = t->key ? 0 : wait_for_key(t, err);
    if (code == 0) {
        code = connect_to(t, err);
    }
    if (code == 0) {
        code = stream(t, err);
    }
    publish_out_close(t->out, code == -EPIPE || code == -ESTALE);
    t->out = NULL;
    return code;
}

static void rest(struct target *t, const struct err *err)
{
    bool was_connected = t->connected;
    unsubscribe(t);
    if (was_connected && clock_now_us() - t->connected_us > STEADY_US) {
        backoff_reset(&t->backoff);
    }
    log_limited(&t->trouble_limit, LOG_PERIOD_US, LOG_WARN, "%s %s, trying on: %s",
                was_connected ? "lost the connection to" : "cannot publish to", t->url.shown,
                err->text);
    set_state(t, false, true);
    thread_idle();
    (void)stop_wait(t->stop, backoff_next(&t->backoff, random_u32()));
    thread_busy();
    set_state(t, false, false);
}

static void run(void *arg)
{
    struct target *t = arg;
    int code = 0;
    thread_busy();
    while (code != -EPIPE && !stop_requested(t->stop)) {
        struct err err = { 0 };
        code = session(t, &err);
        if (code == -ESTALE) {
            log_info("the stream has changed: publishing to %s anew", t->url.shown);
            set_state(t, false, false);
        } else if (code != -EPIPE && code != -ECANCELED) {
            rest(t, &err);
        }
    }
    unsubscribe(t);
    forget(&t->key);
    set_state(t, false, false);
    stop_request(t->done);
    thread_idle();
}

/* ---- the sink ---- */

static void target_free(struct target *t)
{
    if (!t) {
        return;
    }
    queue_unref(t->queue);
    stop_free(t->stop);
    stop_free(t->done);
    pthread_mutex_destroy(&t->lock);
    free(t->address);
    free(t);
}

/* What takes either codec gets the stream itself. */
static struct hub *hub_for(const struct sink_env *env, int codecs)
{
    return codecs == PUBLISH_H264 ? env->h264 : codecs == PUBLISH_JPEG ? env->jpeg : env->hub;
}

static struct target *target_new(const char *address, const struct sink_env *env, int codecs)
{
    const struct queue_limits limits = { .policy = QUEUE_GOP,
                                         .max_frames = QUEUE_FRAMES,
                                         .max_bytes = QUEUE_BYTES };
    struct target *t = calloc(1, sizeof *t);
    if (!t) {
        return NULL;
    }
    pthread_mutex_init(&t->lock, NULL);
    t->env = env;
    t->hub = hub_for(env, codecs);
    t->address = strdup(address);
    t->queue = queue_new(&limits);
    t->stop = stop_new();
    t->done = stop_new();
    t->backoff = (struct backoff){ .first_us = FIRST_RETRY_US, .max_us = MAX_RETRY_US };
    if (!t->address || !t->queue || !t->stop || !t->done) {
        target_free(t);
        return NULL;
    }
    (void)publish_url_parse(t->address, &t->url); /* it was checked */
    t->place = (struct publish_place){ t->address, &t->url, env->name, t->stop };
    return t;
}

static int open_target(struct sink *s, const char *address, const struct sink_env *env,
                       struct err *err)
{
    struct publish_url url;
    int codecs = publish_url_parse(address, &url) < 0
                     ? err_set(err, -EINVAL, "--publish: '%s' is no URL", address)
                     : publish_out_check(&url, err);
    if (codecs < 0) {
        return codecs;
    }
    struct target *t = target_new(address, env, codecs);
    int code = t ? 0 : -ENOMEM;
    if (code == 0) {
        code = thread_start(&t->thread, "publish", run, t);
    }
    if (code < 0) {
        target_free(t);
        return err_set(err, code, "cannot publish to %s: %s", url.shown, err_text(code));
    }
    s->target[s->count++] = t;
    return 0;
}

static void target_totals(struct target *t, struct sink_totals *out)
{
    struct queue_stats q;
    uint64_t published = hub_published(t->hub);
    queue_get_stats(t->queue, &q);
    pthread_mutex_lock(&t->lock);
    *out = (struct sink_totals){ .sent = t->sent,
                                 .bytes = t->bytes,
                                 .reconnects = t->connections > 0 ? t->connections - 1 : 0,
                                 .connected = t->connected,
                                 .done = t->resting };
    pthread_mutex_unlock(&t->lock);
    out->queued = q.frames;
    uint64_t settled = out->sent + out->queued;
    out->dropped = published > settled ? published - settled : 0;
    out->done |= stop_requested(t->done);
}

/* A place that is away at the end is not waited for. */
static void publish_finish(struct sink *s, int64_t deadline_us)
{
    for (size_t i = 0; i < s->count; i++) {
        struct sink_totals t;
        target_totals(s->target[i], &t);
        int64_t left_us = t.done ? 0 : deadline_us - clock_now_us();
        if (!stop_wait(s->target[i]->done, left_us > 0 ? left_us : 0)) {
            stop_request(s->target[i]->stop);
        }
    }
    for (size_t i = 0; i < s->count; i++) {
        thread_join(&s->target[i]->thread);
    }
}

static void publish_free(struct sink *s)
{
    if (!s) {
        return;
    }
    for (size_t i = 0; i < s->count; i++) {
        target_free(s->target[i]);
    }
    free(s->target);
    free(s);
}

static int publish_open(struct sink **out, const void *config, const struct sink_env *env,
                        struct err *err)
{
    const struct publish_config *c = config;
    struct sink *s = calloc(1, sizeof *s);
    if (s) {
        s->target = calloc(c->urls.count, sizeof(struct target *));
    }
    int code = s && s->target ? 0 : err_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; code == 0 && i < c->urls.count; i++) {
        code = open_target(s, c->urls.item[i], env, err);
    }
    if (code < 0) {
        if (s) {
            publish_finish(s, 0);
        }
        publish_free(s);
        return code;
    }
    *out = s;
    return 0;
}

static void publish_totals(struct sink *s, struct sink_totals *out)
{
    *out = (struct sink_totals){ .done = true, .targets = (unsigned)s->count };
    for (size_t i = 0; i < s->count; i++) {
        struct sink_totals t;
        target_totals(s->target[i], &t);
        out->sent += t.sent;
        out->dropped += t.dropped;
        out->queued += t.queued;
        out->bytes += t.bytes;
        out->reconnects += t.reconnects;
        out->connected |= t.connected;
        out->done &= t.done;
    }
}

static struct cJSON *target_json(struct target *t)
{
    struct sink_totals totals;
    target_totals(t, &totals);
    struct cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "kind", "publish");
    cJSON_AddStringToObject(o, "target", t->url.shown);
    cJSON_AddNumberToObject(o, "sent", (double)totals.sent);
    cJSON_AddNumberToObject(o, "dropped", (double)totals.dropped);
    cJSON_AddNumberToObject(o, "bytes", (double)totals.bytes);
    cJSON_AddNumberToObject(o, "reconnects", (double)totals.reconnects);
    cJSON_AddNumberToObject(o, "queued", (double)totals.queued);
    cJSON_AddBoolToObject(o, "connected", totals.connected);
    return o;
}

static struct cJSON *publish_report(struct sink *s)
{
    struct cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; i < s->count; i++) {
        cJSON_AddItemToArray(array, target_json(s->target[i]));
    }
    return array;
}

const struct sink_backend sink_publish = {
    .kind = "publish",
    .options = publish_options,
    .option_count = OPTION_COUNT(publish_options),
    .config_size = sizeof(struct publish_config),
    .wanted = publish_wanted,
    .check = publish_check,
    .open = publish_open,
    .finish = publish_finish,
    .free = publish_free,
    .totals = publish_totals,
    .report = publish_report,
};
