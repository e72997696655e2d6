/* SPDX-License-Identifier: MIT */
#include "lane.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/hub.h"
#include "pcs/log.h"
#include "pcs/pool.h"
#include "pcs/stats.h"

#define POOL_IDLE_BYTES ((size_t)8 << 20) /* of copied packets; what is queued is not idle */

struct lane {
    enum format_id codec;
    struct hub *pictures, *packets;
    struct pool *pool;

    /* the capture thread's own */
    struct copy *copy;

    atomic_bool copying;
    atomic_bool overlay;     /* pictures are written on */
    atomic_bool reconsider;  /* … or not any more: copy or encode? */
    atomic_bool interrupted; /* stand-ins have gone out among what is copied */
    counter offered, copied, copy_dropped;
    struct histogram copy_latency;

    pthread_mutex_t making; /* held while the encode stage is started, before `lock` */
    pthread_mutex_t lock;   /* guards what follows */
    struct encode_config config;
    struct encode *encode; /* once set, fixed */
};

struct lane *lane_new(enum format_id codec, const struct encode_config *config)
{
    struct lane *l = calloc(1, sizeof *l);
    if (!l) {
        return NULL;
    }
    pthread_mutex_init(&l->making, NULL);
    pthread_mutex_init(&l->lock, NULL);
    l->codec = codec;
    l->config = *config;
    atomic_init(&l->overlay, config->overlay && *config->overlay);
    l->pictures = hub_new();
    l->packets = hub_new();
    l->pool = pool_new(POOL_IDLE_BYTES);
    l->copy = l->pool ? copy_new(l->pool) : NULL;
    if (!l->pictures || !l->packets || !l->copy) {
        lane_free(l);
        return NULL;
    }
    return l;
}

static struct encode *get_encode(struct lane *l)
{
    pthread_mutex_lock(&l->lock);
    struct encode *encode = l->encode;
    pthread_mutex_unlock(&l->lock);
    return encode;
}

void lane_end(struct lane *l)
{
    struct encode *encode = get_encode(l);
    hub_end(l->pictures);
    if (encode) {
        encode_stop(encode);
    }
    hub_end(l->packets);
}

void lane_free(struct lane *l)
{
    if (!l) {
        return;
    }
    encode_free(l->encode);
    copy_free(l->copy);
    hub_free(l->packets);
    hub_free(l->pictures);
    pool_free(l->pool);
    pthread_mutex_destroy(&l->lock);
    pthread_mutex_destroy(&l->making);
    free(l);
}

struct hub *lane_packets(struct lane *l)
{
    return l->packets;
}

bool lane_wanted(const struct lane *l)
{
    return hub_wanted(l->packets);
}

bool lane_copies(const struct lane *l)
{
    return atomic_load_explicit(&l->copying, memory_order_relaxed);
}

/* The encode stage is started by whoever first has a picture for it. */
static int need_encode(struct lane *l, struct err *err)
{
    struct encode *encode = NULL;
    int code = 0;
    pthread_mutex_lock(&l->making);
    if (!get_encode(l)) {
        pthread_mutex_lock(&l->lock);
        const struct encode_config config = l->config;
        pthread_mutex_unlock(&l->lock);
        code = encode_start(&encode, &config, l->codec, l->pictures, l->packets, err);
    }
    if (encode) {
        pthread_mutex_lock(&l->lock);
        l->encode = encode;
        pthread_mutex_unlock(&l->lock);
    }
    pthread_mutex_unlock(&l->making);
    return code;
}

bool lane_opened(struct lane *l, const struct format *source)
{
    bool same = source->id == l->codec, encodable = encode_accepts(source, l->codec);
    bool untouched = source->transform == 0 && !atomic_load(&l->overlay);
    copy_forget(l->copy);
    copy_restart(l->copy);
    atomic_store(&l->copying, same && (untouched || !encodable));
    if (lane_copies(l) && !untouched) {
        log_warn("the camera's %s goes out as it is: it cannot be turned or written on",
                 format_info(l->codec)->name);
    }
    return same || encodable;
}

static void copy_one(struct lane *l, const struct frame *frame)
{
    const struct frame *packet = NULL;
    if (!hub_wanted(l->packets)) {
        atomic_store_explicit(&l->interrupted, true, memory_order_relaxed);
        counter_add(&l->copy_dropped, 1);
        return;
    }
    if (atomic_load_explicit(&l->interrupted, memory_order_relaxed)) {
        atomic_store(&l->interrupted, false);
        copy_restart(l->copy);
    }
    if (copy_frame(l->copy, frame, &packet) < 0) {
        counter_add(&l->copy_dropped, 1);
        return;
    }
    histogram_add(&l->copy_latency, clock_now_us() - frame->stage_us[STAGE_DEQUEUED]);
    counter_add(encode_publish(l->packets, packet) ? &l->copied : &l->copy_dropped, 1);
}

int lane_frame(struct lane *l, const struct frame *frame, struct err *err)
{
    int code = 0;
    if (atomic_load_explicit(&l->reconsider, memory_order_relaxed)) {
        atomic_store(&l->reconsider, false);
        (void)lane_opened(l, &frame->format); /* what could be done, still can */
    }
    if (lane_copies(l)) {
        copy_one(l, frame);
    } else if (hub_wanted(l->packets) && (code = need_encode(l, err)) == 0) {
        hub_publish(l->pictures, frame);
    }
    counter_add(&l->offered, 1); /* last: see lane_get_stats */
    return code;
}

bool lane_stand_in(struct lane *l, const struct frame *picture)
{
    struct err err = { 0 };
    if (!hub_wanted(l->packets) || need_encode(l, &err) < 0) {
        return false;
    }
    atomic_store(&l->interrupted, true);
    hub_publish(l->pictures, picture);
    counter_add(&l->offered, 1);
    return true;
}

void lane_reconfigure(struct lane *l, const struct encode_config *config)
{
    pthread_mutex_lock(&l->making); /* a stage that is just being started has the old values */
    pthread_mutex_lock(&l->lock);
    l->config = *config;
    struct encode *encode = l->encode;
    pthread_mutex_unlock(&l->lock);
    if (encode) {
        encode_set_bitrate(encode, config->bitrate);
        encode_set_quality(encode, (int)config->quality);
        encode_set_overlay(encode, config->overlay);
    }
    pthread_mutex_unlock(&l->making);
    bool overlay = config->overlay && *config->overlay;
    if (atomic_exchange(&l->overlay, overlay) != overlay) {
        atomic_store(&l->reconsider, true);
    }
}

void lane_get_stats(struct lane *l, struct lane_stats *out)
{
    struct encode_stats es = { 0 };
    uint64_t offered = counter_get(&l->offered); /* first: what is offered is given by then */
    struct encode *encode = get_encode(l);
    if (encode) {
        encode_get_stats(encode, &es);
    }
    uint64_t copied = counter_get(&l->copied), copy_dropped = counter_get(&l->copy_dropped);
    *out = (struct lane_stats){ .offered = offered,
                                .encoded = copied + es.encoded,
                                .dropped = copy_dropped + es.dropped };
    /* What the encode stage was not given because it rested was dropped before encoding too. */
    uint64_t given = copied + copy_dropped + es.taken;
    out->dropped += offered > given ? offered - given : 0;
    uint64_t done = es.encoded + es.dropped;
    out->in_hand = es.taken > done ? es.taken - done : 0;
    memcpy(out->encoder, es.encoder, sizeof out->encoder);
}

const struct histogram *lane_latency(struct lane *l)
{
    struct encode *encode = get_encode(l);
    return encode && !lane_copies(l) ? encode_latency(encode) : &l->copy_latency;
}
