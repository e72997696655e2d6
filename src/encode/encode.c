/* SPDX-License-Identifier: MIT */
/*
 * The stage's queue holds one picture besides the one being encoded: when the encoder is the slowest
 * part, the picture it takes next is the newest there is, and latency stays under two encoding times.
 *
 * Resting: nobody wants packets, so the stage is not subscribed to pictures and its thread sleeps in
 * queue_wait. The encoder is kept for LINGER_US, for viewers that come and go, then closed.
 */
#include "encode.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chain.h"
#include "pcs/backoff.h"
#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/hub.h"
#include "pcs/log.h"
#include "pcs/pool.h"
#include "pcs/queue.h"
#include "pcs/thread.h"
#include "prepare.h"

#define LINGER_US       (2 * CLOCK_S)
#define LOG_PERIOD_US   (10 * CLOCK_S)
#define POOL_IDLE_BYTES ((size_t)32 * 1024 * 1024)

struct encode {
    struct hub *raw, *packets;
    struct pool *pool;
    struct prepare *prepare;
    struct queue *queue;
    struct thread thread;

    pthread_mutex_t demand; /* guards subscribed and stopping */
    bool subscribed, stopping;

    _Atomic int64_t bitrate;
    atomic_int quality;
    counter encoded, failed; /* failed: taken from the queue and not encoded */
    struct histogram latency;

    pthread_mutex_t name_lock; /* guards name */
    char name[48];

    /* The thread's own. */
    struct chain chain;
    int64_t bitrate_set;
    int quality_set;
    struct backoff backoff;
    int64_t retry_us; /* not before, after a failure */
    struct log_limit failure_log;
};

bool encode_publish(struct hub *packets, const struct frame *packet)
{
    struct frame *own = (struct frame *)packet; /* not published yet: still the producer's */
    if (!own->stage_us[STAGE_ENCODED]) {
        own->stage_us[STAGE_ENCODED] = clock_now_us();
    }
    bool published = hub_publish_next(packets, own);
    frame_unref(packet);
    return published;
}

/* ---- demand ---- */

/* Bring the subscription in line with what is wanted. The lock stays held over the subscribing, so
 * that two changes at once cannot end in the wrong order; the raw hub calls nobody back into here. */
static void update_demand(void *arg)
{
    struct encode *e = arg;
    pthread_mutex_lock(&e->demand);
    bool want = hub_wanted(e->packets) && !e->stopping;
    if (want && !e->subscribed) {
        e->subscribed = hub_subscribe(e->raw, e->queue) == 0;
    } else if (!want && e->subscribed) {
        hub_unsubscribe(e->raw, e->queue);
        e->subscribed = false;
    }
    pthread_mutex_unlock(&e->demand);
}

/* ---- the thread ---- */

static void publish(struct encode *e, struct frame *packet)
{
    int64_t now = clock_now_us();
    int64_t in_hand = packet->stage_us[STAGE_DEQUEUED];
    packet->stage_us[STAGE_ENCODED] = now;
    if (in_hand) {
        histogram_add(&e->latency, now - in_hand);
    }
    backoff_reset(&e->backoff);
    counter_add(encode_publish(e->packets, packet) ? &e->encoded : &e->failed, 1);
}

static void count_lost(struct encode *e)
{
    counter_add(&e->failed, e->chain.lost);
    e->chain.lost = 0;
}

static void finish_encoder(struct encode *e)
{
    struct frame *packet = NULL;
    while (chain_drain(&e->chain, &packet) == 0 && packet) {
        publish(e, packet);
    }
    chain_close(&e->chain);
    count_lost(e);
}

static void set_name(struct encode *e)
{
    char name[sizeof e->name];
    (void)snprintf(name, sizeof name, "%s", e->chain.backend->describe(e->chain.encoder));
    pthread_mutex_lock(&e->name_lock);
    bool changed = strcmp(name, e->name) != 0;
    memcpy(e->name, name, sizeof name);
    pthread_mutex_unlock(&e->name_lock);
    if (changed) {
        char format[80];
        log_info("encoding %s by %s", format_describe(&e->chain.input, format, sizeof format),
                 name);
    }
}

static int open_encoder(struct encode *e, const struct format *input, struct err *err)
{
    e->bitrate_set = e->chain.config.bitrate = atomic_load(&e->bitrate);
    e->quality_set = atomic_load(&e->quality);
    e->chain.config.quality = e->quality_set;
    return chain_open(&e->chain, input, err);
}

/* No encoder works: not again before a growing while. */
static void give_up(struct encode *e, const char *why)
{
    e->retry_us = clock_now_us() + backoff_next(&e->backoff, random_u32());
    log_limited(&e->failure_log, LOG_PERIOD_US, LOG_ERROR, "encoder: %s; trying again", why);
}

static bool ready(struct encode *e, const struct format *input)
{
    if (e->chain.encoder && !format_same(&e->chain.input, input)) {
        finish_encoder(e);
    }
    if (e->chain.encoder) {
        return true;
    }
    if (clock_now_us() < e->retry_us) {
        return false;
    }
    struct err err = { 0 };
    if (open_encoder(e, input, &err)) {
        give_up(e, err.text);
        return false;
    }
    return true;
}

static void apply_live(struct encode *e)
{
    int64_t bitrate = atomic_load_explicit(&e->bitrate, memory_order_relaxed);
    int quality = atomic_load_explicit(&e->quality, memory_order_relaxed);
    const struct encoder_backend *backend = e->chain.backend;
    if (bitrate != e->bitrate_set && backend->set_bitrate) {
        backend->set_bitrate(e->chain.encoder, bitrate);
    }
    if (quality != e->quality_set && backend->set_quality) {
        backend->set_quality(e->chain.encoder, quality);
    }
    e->bitrate_set = e->chain.config.bitrate = bitrate;
    e->quality_set = quality;
    e->chain.config.quality = quality;
}

static void encode_one(struct encode *e, const struct frame *picture)
{
    struct frame *packet = NULL;
    apply_live(e);
    bool key = hub_take_key_request(e->packets);
    int rc = chain_encode(&e->chain, picture, key, &packet);
    count_lost(e);
    if (rc) {
        counter_add(&e->failed, 1);
    }
    if (rc && key) {
        hub_request_key(e->packets); /* the wish is still open */
    }
    if (rc && rc != -EBADMSG) {
        give_up(e, chain_reason(rc));
    } else if (packet) {
        publish(e, packet);
    }
}

static void handle_picture(struct encode *e, const struct frame *raw)
{
    const struct frame *picture = NULL;
    /* One that was already on its way when the last viewer left is not worth the work, nor is one for an
     * encoder that is not to be tried again yet. */
    int rc = hub_wanted(e->packets) && (e->chain.encoder || clock_now_us() >= e->retry_us)
                 ? prepare_picture(e->prepare, raw, &picture)
                 : -EAGAIN;
    if (rc < 0 && rc != -EAGAIN) {
        log_limited(&e->failure_log, LOG_PERIOD_US, LOG_WARN, "a picture cannot be used: %s",
                    err_text(rc));
    }
    if (rc == 0 && ready(e, &picture->format)) {
        encode_one(e, picture);
        if (e->chain.encoder) {
            set_name(e);
        }
    } else {
        counter_add(&e->failed, 1);
    }
    frame_unref(picture);
}

/* Packets of an encoder that works beside us. */
static void collect(struct encode *e)
{
    struct frame *packet = NULL;
    struct format input = e->chain.input;
    int rc;
    while ((rc = chain_collect(&e->chain, &packet, clock_now_us())) == 0 && packet) {
        publish(e, packet);
    }
    count_lost(e);
    if (rc && !chain_has_other(&e->chain, &input)) {
        give_up(e, chain_reason(rc));
    }
}

/*
 * The encoder has pictures inside: wait for its packets and, while it can take another picture, for one;
 * what comes while it cannot replaces the one that waits in the queue. 0 with *out, -EAGAIN: look again.
 */
static int wait_beside(struct encode *e, const struct frame **out)
{
    bool take = chain_ready(&e->chain);
    if (take && (*out = queue_take(e->queue))) {
        return 0;
    }
    struct pollfd p[2] = { { .fd = chain_fd(&e->chain), .events = POLLIN | POLLOUT },
                           { .fd = take && !queue_closed(e->queue) ? queue_fd(e->queue) : -1,
                             .events = POLLIN } };
    int64_t left = chain_deadline_us(&e->chain) - clock_now_us();
    thread_idle();
    (void)poll(p, 2, left > 0 ? (int)((left + 999) / 1000) : 0); /* interrupted: looks again */
    thread_busy();
    collect(e);
    return -EAGAIN;
}

/* What is inside is drained at the end; only a last picture has to wait until there is room for it. */
static bool may_finish(struct encode *e)
{
    struct queue_stats q;
    if (!queue_closed(e->queue)) {
        return false;
    }
    queue_get_stats(e->queue, &q);
    return q.frames == 0 || chain_ready(&e->chain);
}

static int next_picture(struct encode *e, const struct frame **out)
{
    while (chain_busy(&e->chain) && !may_finish(e)) {
        if (wait_beside(e, out) == 0) {
            return 0;
        }
    }
    thread_idle();
    int rc = queue_wait(e->queue, NULL, e->chain.encoder ? LINGER_US : -1, out);
    thread_busy();
    return rc;
}

static void run_encode(void *arg)
{
    struct encode *e = arg;
    for (;;) {
        const struct frame *picture = NULL;
        int rc = next_picture(e, &picture);
        if (rc == 0) {
            handle_picture(e, picture);
            frame_unref(picture);
        } else if (rc == -EAGAIN) {
            finish_encoder(e); /* nobody wants pictures, or the camera is away */
        } else {
            break; /* closed and empty */
        }
    }
    finish_encoder(e);
    hub_end(e->packets);
    thread_idle();
}

/* ---- outside ---- */

static struct encode *encode_new(const struct encode_config *config, enum format_id output,
                                 struct hub *raw, struct hub *packets)
{
    static const struct queue_limits limits = { .policy = QUEUE_NEWEST, .max_frames = 1 };
    struct encode *e = calloc(1, sizeof *e);
    if (!e) {
        return NULL;
    }
    pthread_mutex_init(&e->demand, NULL);
    pthread_mutex_init(&e->name_lock, NULL);
    e->raw = raw;
    e->packets = packets;
    e->backoff = (struct backoff){ .first_us = CLOCK_S / 5, .max_us = 10 * CLOCK_S };
    atomic_init(&e->bitrate, config->bitrate);
    atomic_init(&e->quality, (int)config->quality);
    e->pool = pool_new(POOL_IDLE_BYTES);
    chain_init(&e->chain, config, output, e->pool);
    e->prepare = e->pool ? prepare_new(e->pool, config->overlay) : NULL;
    e->queue = queue_new(&limits);
    if (!e->prepare || !e->queue) {
        encode_free(e);
        return NULL;
    }
    return e;
}

int encode_start(struct encode **out, const struct encode_config *config, enum format_id output,
                 struct hub *raw, struct hub *packets, struct err *err)
{
    int rc = chain_check(config, output, err);
    if (rc) {
        return rc;
    }
    struct encode *e = encode_new(config, output, raw, packets);
    rc = e ? thread_start(&e->thread, "encode", run_encode, e) : -ENOMEM;
    if (rc) {
        encode_free(e);
        return err_set(err, rc, "encoder: %s", err_text(rc));
    }
    hub_on_demand(packets, update_demand, e);
    update_demand(e); /* for those who were there before */
    *out = e;
    return 0;
}

void encode_stop(struct encode *e)
{
    pthread_mutex_lock(&e->demand);
    e->stopping = true;
    pthread_mutex_unlock(&e->demand);
    update_demand(e);
    queue_close(e->queue);
    thread_join(&e->thread);
}

void encode_free(struct encode *e)
{
    if (!e) {
        return;
    }
    if (e->thread.started) {
        encode_stop(e);
    }
    queue_unref(e->queue);
    prepare_free(e->prepare);
    pool_free(e->pool);
    pthread_mutex_destroy(&e->name_lock);
    pthread_mutex_destroy(&e->demand);
    free(e);
}

void encode_set_bitrate(struct encode *e, int64_t bitrate)
{
    atomic_store(&e->bitrate, bitrate);
}

void encode_set_quality(struct encode *e, int quality)
{
    atomic_store(&e->quality, quality);
}

void encode_set_overlay(struct encode *e, const char *overlay)
{
    prepare_set_overlay(e->prepare, overlay);
}

bool encode_accepts(const struct format *source, enum format_id output)
{
    bool decodable = source->id != FORMAT_H264 && source->id != FORMAT_NONE;
    return decodable && encoder_find(NULL, FORMAT_YU12, output, 0);
}

void encode_get_stats(struct encode *e, struct encode_stats *out)
{
    struct queue_stats q;
    queue_get_stats(e->queue, &q);
    out->taken = q.pushed;
    out->encoded = counter_get(&e->encoded);
    out->dropped = counter_get(&e->failed) + q.dropped;
    pthread_mutex_lock(&e->name_lock);
    memcpy(out->encoder, e->name, sizeof out->encoder);
    pthread_mutex_unlock(&e->name_lock);
}

const struct histogram *encode_latency(const struct encode *e)
{
    return &e->latency;
}
