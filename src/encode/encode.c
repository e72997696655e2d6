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
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    struct encode_config config; /* fixed; bitrate and quality: the first ones */
    enum format_id output;
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
    const struct encoder_backend *backend;
    struct encoder *encoder; /* NULL = closed */
    struct format input;     /* what it is open for */
    int64_t bitrate_set;
    int quality_set;
    uint64_t inside; /* pictures in the encoder */
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
    e->inside--;
    counter_add(encode_publish(e->packets, packet) ? &e->encoded : &e->failed, 1);
}

static void drain(struct encode *e)
{
    struct frame *packet = NULL;
    while (e->backend->drain && e->backend->drain(e->encoder, &packet) == 0 && packet) {
        publish(e, packet);
    }
}

static void close_encoder(struct encode *e)
{
    if (e->encoder) {
        e->backend->close(e->encoder);
        e->encoder = NULL;
    }
    counter_add(&e->failed, e->inside); /* went in and will not come out */
    e->inside = 0;
}

static void finish_encoder(struct encode *e)
{
    if (e->encoder) {
        drain(e);
    }
    close_encoder(e);
}

static void set_name(struct encode *e)
{
    char name[sizeof e->name];
    (void)snprintf(name, sizeof name, "%s", e->backend->describe(e->encoder));
    pthread_mutex_lock(&e->name_lock);
    bool changed = strcmp(name, e->name) != 0;
    memcpy(e->name, name, sizeof name);
    pthread_mutex_unlock(&e->name_lock);
    if (changed) {
        char format[80];
        log_info("encoding %s by %s", format_describe(&e->input, format, sizeof format), name);
    }
}

static int open_encoder(struct encode *e, const struct format *input, struct err *err)
{
    struct encode_config config = e->config;
    e->backend = encoder_find(input->id, e->output);
    if (!e->backend) {
        return err_set(err, -ENOTSUP, "no encoder makes %s from %s", format_info(e->output)->name,
                       format_info(input->id)->name);
    }
    e->bitrate_set = config.bitrate = atomic_load(&e->bitrate);
    e->quality_set = atomic_load(&e->quality);
    config.quality = e->quality_set;
    int rc = e->backend->open(&e->encoder, &config, input, e->pool, err);
    if (rc == 0) {
        e->input = *input;
        set_name(e);
    }
    return rc;
}

/* Close it, and not again before a growing while. */
static void give_up(struct encode *e, const char *why)
{
    close_encoder(e);
    e->retry_us = clock_now_us() + backoff_next(&e->backoff, random_u32());
    log_limited(&e->failure_log, LOG_PERIOD_US, LOG_ERROR, "encoder: %s; trying again", why);
}

static bool ready(struct encode *e, const struct format *input)
{
    if (e->encoder && !format_same(&e->input, input)) {
        finish_encoder(e);
    }
    if (e->encoder) {
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
    if (bitrate != e->bitrate_set && e->backend->set_bitrate) {
        e->backend->set_bitrate(e->encoder, bitrate);
    }
    if (quality != e->quality_set && e->backend->set_quality) {
        e->backend->set_quality(e->encoder, quality);
    }
    e->bitrate_set = bitrate;
    e->quality_set = quality;
}

static void encode_one(struct encode *e, const struct frame *picture)
{
    struct frame *packet = NULL;
    apply_live(e);
    bool key = hub_take_key_request(e->packets);
    int rc = e->backend->encode(e->encoder, picture, key, &packet);
    if (rc == 0) {
        e->inside++;
        backoff_reset(&e->backoff);
    } else {
        counter_add(&e->failed, 1);
    }
    if (rc && key) {
        hub_request_key(e->packets); /* the wish is still open */
    }
    if (rc && rc != -EBADMSG) {
        give_up(e, err_text(rc));
    } else if (packet) {
        publish(e, packet);
    }
}

static void handle_picture(struct encode *e, const struct frame *raw)
{
    const struct frame *picture = NULL;
    /* One that was already on its way when the last viewer left is not worth the work. */
    if (hub_wanted(e->packets) && prepare_picture(e->prepare, raw, &picture) == 0 &&
        ready(e, &picture->format)) {
        encode_one(e, picture);
        if (e->encoder) {
            set_name(e);
        }
    } else {
        counter_add(&e->failed, 1);
    }
    frame_unref(picture);
}

static void run_encode(void *arg)
{
    struct encode *e = arg;
    for (;;) {
        const struct frame *picture = NULL;
        thread_idle();
        int rc = queue_wait(e->queue, NULL, e->encoder ? LINGER_US : -1, &picture);
        thread_busy();
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
    e->config = *config;
    e->output = output;
    e->raw = raw;
    e->packets = packets;
    e->backoff = (struct backoff){ .first_us = CLOCK_S / 5, .max_us = 10 * CLOCK_S };
    atomic_init(&e->bitrate, config->bitrate);
    atomic_init(&e->quality, (int)config->quality);
    e->pool = pool_new(POOL_IDLE_BYTES);
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
    const struct encoder_backend *backend = encoder_find(FORMAT_NONE, output);
    if (!backend) {
        return err_set(err, -ENOENT, "no encoder makes %s", format_info(output)->name);
    }
    int rc = backend->check ? backend->check(config, err) : 0;
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
    return decodable && encoder_find(FORMAT_YU12, output);
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
