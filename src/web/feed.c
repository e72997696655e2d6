/* SPDX-License-Identifier: MIT */
/*
 * The hub pushes into one queue for all viewers. While there are few of them, and all on plain connections,
 * the producer's own thread sends to them: that saves a wake-up of the web thread and its time. It never
 * waits: neither for the lock, nor for a socket; what it cannot do is left to the web thread.
 */
#include "feed.h"

#include <event2/event.h>
#include <stdlib.h>

#include "client.h"
#include "feed_internal.h"
#include "mjpeg.h"
#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/hub.h"
#include "pcs/log.h"
#include "pcs/queue.h"
#include "request_internal.h"
#include "server.h"
#include "ws.h"

#define QUEUE_FRAMES 64 /* of H.264: what may come while the loop is busy with others */
#define KEY_EVERY_US (500 * CLOCK_MS) /* key frames cost all viewers: ask seldom */

/* What the producer sends itself, at most: a millisecond or two, of 33 between two frames. */
#define HELPED_VIEWERS 20
#define HELPED_BYTES   ((size_t)5 << 20)

/* ---- frames ---- */

static struct part *make_part(const struct web_feed *feed, const struct frame *frame)
{
    return feed->kind == FEED_MJPEG ? mjpeg_part(frame) : ws_part(frame);
}

/* Who needs a key frame and could take one? */
static void ask_for_key_locked(struct web_feed *feed, int64_t now_us)
{
    const struct viewer *v;
    if (feed->kind != FEED_WS || now_us - feed->asked_us < KEY_EVERY_US) {
        return;
    }
    TAILQ_FOREACH(v, &feed->viewers, link)
    {
        if (v->need_key && !v->blocked) {
            feed->asked_us = now_us;
            hub_request_key(feed->hub);
            return;
        }
    }
}

static void send_to_all_locked(struct web_feed *feed, struct part *part)
{
    struct viewer *v;
    if (feed->count > 0) {
        counter_add(&feed->frames, 1);
    }
    TAILQ_FOREACH(v, &feed->viewers, link)
    {
        viewer_offer_locked(v, part);
        feed->trouble |= v->broken;
    }
    /* Who was first is last the next time. */
    if ((v = TAILQ_FIRST(&feed->viewers)) != NULL) {
        TAILQ_REMOVE(&feed->viewers, v, link);
        TAILQ_INSERT_TAIL(&feed->viewers, v, link);
    }
}

/* Takes the reference. */
static void spread_one_locked(struct web_feed *feed, const struct frame *frame)
{
    int64_t now_us = clock_now_us();
    struct part *part = make_part(feed, frame);
    frame_unref(frame);
    if (!part) {
        return;
    }
    send_to_all_locked(feed, part);
    part_unref(feed->last);
    feed->last = part;
    feed->last_us = now_us;
    ask_for_key_locked(feed, now_us);
}

static void spread_locked(struct web_feed *feed)
{
    const struct frame *frame, *next;
    while ((frame = queue_take(feed->queue)) != NULL) {
        /* Of pictures only the newest counts. */
        while (feed->kind == FEED_MJPEG && (next = queue_take(feed->queue)) != NULL) {
            frame_unref(frame);
            frame = next;
        }
        spread_one_locked(feed, frame);
    }
}

/* Judged by the frame before this one. */
static bool is_little_locked(const struct web_feed *feed)
{
    return feed->count <= HELPED_VIEWERS && feed->secure == 0 &&
           (!feed->last || feed->count * part_size(feed->last) <= HELPED_BYTES);
}

/* In the producer's thread. */
static bool send_at_once(void *arg)
{
    struct web_feed *feed = arg;
    if (pthread_mutex_trylock(&feed->lock) != 0) {
        return false;
    }
    bool ours = !feed->alone && is_little_locked(feed);
    if (ours) {
        spread_locked(feed);
        ours = !feed->trouble;
    }
    pthread_mutex_unlock(&feed->lock);
    return ours;
}

/* ---- in the web thread ---- */

static void end_all_locked(struct web_feed *feed)
{
    struct viewer *v;
    TAILQ_FOREACH(v, &feed->viewers, link)
    {
        viewer_end_locked(v);
        client_kick(v->client);
    }
}

static void kick_broken_locked(struct web_feed *feed)
{
    struct viewer *v;
    TAILQ_FOREACH(v, &feed->viewers, link)
    {
        if (v->broken) {
            client_kick(v->client);
        }
    }
    feed->trouble = false;
}

static void on_queue(int fd, short what, void *arg)
{
    struct web_feed *feed = arg;
    const struct frame *newest = NULL;
    (void)fd;
    (void)what;
    web_woken(feed->web);
    bool closed = queue_closed(feed->queue);
    pthread_mutex_lock(&feed->lock);
    int64_t before_us = feed->last_us;
    spread_locked(feed);
    if (closed && !feed->closed) {
        feed->closed = true;
        end_all_locked(feed);
    }
    kick_broken_locked(feed);
    if (feed->last_us > before_us && snapshot_fits(feed->last) && !TAILQ_EMPTY(&feed->snapshots)) {
        newest = frame_ref(feed->last->frame);
    }
    pthread_mutex_unlock(&feed->lock);
    if (newest || closed) {
        snapshot_answer_all(feed, newest);
        frame_unref(newest);
        feed_left(feed);
    }
    if (closed) {
        (void)event_del(feed->event); /* it would be readable for ever */
    }
}

bool feed_subscribe(struct web_feed *feed)
{
    if (!feed->subscribed) {
        queue_clear(feed->queue);
        feed->subscribed = hub_subscribe(feed->hub, feed->queue) == 0;
    }
    return feed->subscribed;
}

void feed_left(struct web_feed *feed)
{
    if (!feed->subscribed || feed->count > 0 || !TAILQ_EMPTY(&feed->snapshots)) {
        return;
    }
    hub_unsubscribe(feed->hub, feed->queue);
    feed->subscribed = false;
    pthread_mutex_lock(&feed->lock);
    part_unref(feed->last);
    feed->last = NULL;
    pthread_mutex_unlock(&feed->lock);
}

void feed_sweep(struct web_feed *feed, int64_t now_us)
{
    struct viewer *v;
    pthread_mutex_lock(&feed->lock);
    TAILQ_FOREACH(v, &feed->viewers, link)
    {
        if (v->count > 0 && now_us - v->waiting_us > WEB_WAIT_US) {
            v->broken = true;
            client_kick(v->client);
        }
    }
    pthread_mutex_unlock(&feed->lock);
}

void feed_end(struct web_feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    feed->ending = true;
    spread_locked(feed);
    end_all_locked(feed);
    pthread_mutex_unlock(&feed->lock);
    snapshot_answer_all(feed, NULL);
    feed_left(feed);
}

/* ---- answers ---- */

/* Its first picture at once, if there is one. */
static void greet_locked(struct web_feed *feed, struct viewer *v)
{
    int64_t now_us = clock_now_us();
    if (feed->kind == FEED_WS) {
        ask_for_key_locked(feed, now_us);
        return;
    }
    const struct frame *key = feed->last ? NULL : feed_fresh_key(feed, now_us);
    struct part *part = key ? make_part(feed, key) : NULL;
    if (part) {
        viewer_offer_locked(v, part);
    } else if (feed->last && now_us - feed->last_us < FEED_FRESH_US) {
        viewer_offer_locked(v, feed->last);
    }
    part_unref(part);
    frame_unref(key);
}

static const char *kind_of(const struct web_feed *feed)
{
    return feed->kind == FEED_WS ? "ws" : "mjpeg";
}

static void join(struct web_feed *feed, struct viewer *v, struct part *hello)
{
    pthread_mutex_lock(&feed->lock);
    TAILQ_INSERT_TAIL(&feed->viewers, v, link);
    feed->count++;
    feed->secure += v->client->secure;
    (void)viewer_push_locked(v, hello); /* it is empty: there is room */
    greet_locked(feed, v);
    pthread_mutex_unlock(&feed->lock);
    log_debug("%s watches %s (%s)", v->client->name, kind_of(feed), v->agent);
    client_stream(v->client, v);
}

static void too_many(struct web_feed *feed, struct web_request *r)
{
    counter_add(&feed->web->rejected, 1);
    web_reply_text(r, 503, "there are %zu viewers already, and more are not let in",
                   feed->web->max_clients);
}

static void refuse_plain(struct web_request *r, int status)
{
    (void)web_add_header(r, "Upgrade", "websocket");
    (void)web_add_header(r, "Sec-WebSocket-Version", "13");
    web_reply_text(r, status,
                   status == 426 ? "this is for WebSocket: ws:// and version 13"
                                 : "this is not the beginning of a WebSocket");
}

static void serve_head(struct web_request *r)
{
    web_reply_bytes(r, 200, MJPEG_TYPE, NULL, 0, NULL, NULL);
}

static void serve(struct web_feed *feed, struct web_request *r)
{
    struct client *c = r->client;
    struct part *hello = feed->kind == FEED_WS ? ws_hello(c, r) : mjpeg_hello(c, r);
    struct viewer *v = hello ? viewer_new(feed, c, web_header(r, "User-Agent")) : NULL;
    if (!v || !feed_subscribe(feed)) {
        part_unref(hello);
        viewer_free(v);
        web_reply_text(r, 503, "out of memory");
        return;
    }
    web_take_client(feed->web);
    join(feed, v, hello);
    part_unref(hello);
}

void feed_serve(struct web_feed *feed, struct web_request *r)
{
    int status = feed->kind == FEED_WS ? ws_check(r) : 0;
    if (status != 0) {
        refuse_plain(r, status);
    } else if (r->is_head) {
        serve_head(r);
    } else if (feed->closed || feed->ending) {
        web_reply_text(r, 503, "the stream has ended");
    } else if (feed->count >= feed->web->max_clients) {
        too_many(feed, r);
    } else {
        serve(feed, r);
    }
}

/* ---- figures and life ---- */

void feed_each(struct web_feed *feed, void (*each)(void *arg, const struct web_client_info *info),
               void *arg)
{
    struct viewer *v;
    pthread_mutex_lock(&feed->lock);
    TAILQ_FOREACH(v, &feed->viewers, link)
    {
        const struct web_client_info info = { .id = v->id,
                                              .address = v->client->name,
                                              .kind = kind_of(feed),
                                              .agent = v->agent,
                                              .since_us = v->since_us,
                                              .frames = v->frames,
                                              .skipped = v->skipped,
                                              .bytes = v->bytes,
                                              .delay_us = v->delay_us };
        each(arg, &info);
    }
    pthread_mutex_unlock(&feed->lock);
}

void feed_get_stats(struct web_feed *feed, struct feed_stats *out)
{
    pthread_mutex_lock(&feed->lock);
    *out = (struct feed_stats){ .clients = feed->count,
                                .frames = counter_get(&feed->frames),
                                .sent = counter_get(&feed->sent),
                                .skipped = counter_get(&feed->skipped),
                                .bytes = counter_get(&feed->bytes),
                                .ended = feed->closed && feed->count == 0 };
    pthread_mutex_unlock(&feed->lock);
}

const struct histogram *feed_latency(struct web_feed *feed)
{
    return &feed->latency;
}

struct web_feed *feed_new(struct web *web, enum web_feed_kind kind, struct hub *hub)
{
    const struct queue_limits limits = { .policy = kind == FEED_WS ? QUEUE_GOP : QUEUE_NEWEST,
                                         .max_frames = kind == FEED_WS ? QUEUE_FRAMES : 1 };
    struct web_feed *feed = calloc(1, sizeof *feed);
    if (!feed) {
        return NULL;
    }
    feed->web = web;
    feed->kind = kind;
    feed->hub = hub;
    pthread_mutex_init(&feed->lock, NULL);
    TAILQ_INIT(&feed->viewers);
    TAILQ_INIT(&feed->snapshots);
    feed->queue = queue_new(&limits);
    if (feed->queue) {
        queue_on_push(feed->queue, send_at_once, feed);
        feed->event =
            event_new(web->base, queue_fd(feed->queue), EV_READ | EV_PERSIST, on_queue, feed);
    }
    feed->timer = event_new(web->base, -1, EV_PERSIST, snapshot_tick, feed);
    if (!feed->event || !feed->timer || event_add(feed->event, NULL) < 0) {
        feed_free(feed);
        return NULL;
    }
    TAILQ_INSERT_TAIL(&web->feeds, feed, link);
    return feed;
}

/* The web thread has ended, so nobody watches. */
void feed_free(struct web_feed *feed)
{
    if (feed->subscribed) {
        hub_unsubscribe(feed->hub, feed->queue);
    }
    if (feed->event) {
        event_free(feed->event);
    }
    if (feed->timer) {
        event_free(feed->timer);
    }
    queue_unref(feed->queue);
    part_unref(feed->last);
    pthread_mutex_destroy(&feed->lock);
    free(feed);
}
