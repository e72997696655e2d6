/* SPDX-License-Identifier: MIT */
#include "pipeline.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "capture/source.h"
#include "encode/encode.h"
#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/hub.h"
#include "pcs/log.h"
#include "pcs/pool.h"
#include "pcs/stats.h"
#include "pcs/stop.h"
#include "settings.h"
#include "sinks/sinks.h"

#define POOL_IDLE_BYTES ((size_t)8 << 20) /* of copied packets; what is queued is not idle */

struct open_sink {
    const struct sink_backend *backend;
    struct sink *sink;
    const void *config;
};

struct pipeline {
    const struct settings *settings;
    struct stop *stop;
    struct hub *raw, *packets;
    struct pool *pool;
    struct capture *capture;
    struct sink_env env;
    struct open_sink *sinks;
    size_t sink_count;

    /* the capture thread's own */
    struct copy *copy;
    bool copying;

    counter copied, copy_dropped, offered;
    struct histogram capture_latency, copy_latency;

    pthread_mutex_t lock; /* guards encode (once set, fixed), ended, reason and why */
    struct encode *encode;
    int reason;
    struct err why;
};

/* ---- in the capture thread ---- */

static void fail(struct pipeline *p, int code, const char *what)
{
    log_error("%s", what);
    pthread_mutex_lock(&p->lock);
    p->reason = code;
    (void)err_set(&p->why, code, "%s", what); /* returns `code` */
    pthread_mutex_unlock(&p->lock);
    stop_request(p->stop);
}

static void on_opened(void *arg, const struct format *format)
{
    struct pipeline *p = arg;
    enum format_id output = encode_output(&p->settings->encode, format->id);
    char what[100];
    p->copying = encode_copies(&p->settings->encode, format);
    if (p->copying) {
        return;
    }
    if (!encode_accepts(&p->settings->encode, format)) {
        (void)snprintf(what, sizeof what, "cannot make %s from the %s of this source",
                       format_info(output)->name, format_info(format->id)->name);
        fail(p, -ENOTSUP, what);
        return;
    }
    if (p->encode) {
        return;
    }
    struct err err = { 0 };
    struct encode *encode = NULL;
    int code = encode_start(&encode, &p->settings->encode, output, p->raw, p->packets, &err);
    if (code < 0) {
        fail(p, code, err.text);
        return;
    }
    pthread_mutex_lock(&p->lock);
    p->encode = encode;
    pthread_mutex_unlock(&p->lock);
}

static void copy_one(struct pipeline *p, const struct frame *frame)
{
    const struct frame *packet = NULL;
    int code = copy_frame(p->copy, frame, &packet);
    if (code < 0) {
        counter_add(&p->copy_dropped, 1);
        return;
    }
    histogram_add(&p->copy_latency, clock_now_us() - frame->stage_us[STAGE_DEQUEUED]);
    counter_add(encode_publish(p->packets, packet) ? &p->copied : &p->copy_dropped, 1);
}

static void on_frame(void *arg, const struct frame *frame)
{
    struct pipeline *p = arg;
    histogram_add(&p->capture_latency, frame->stage_us[STAGE_DEQUEUED] - frame->capture_us);
    if (p->copying) {
        copy_one(p, frame);
    } else {
        counter_add(&p->offered, 1);
        hub_publish(p->raw, frame);
    }
}

static void on_ended(void *arg, int reason, const struct err *why)
{
    struct pipeline *p = arg;
    if (reason != -ECANCELED && reason != 0) {
        pthread_mutex_lock(&p->lock);
        p->reason = reason;
        p->why = *why;
        pthread_mutex_unlock(&p->lock);
    }
    stop_request(p->stop);
}

/* ---- main's ---- */

static int open_sinks(struct pipeline *p, struct err *err)
{
    size_t count = 0;
    while (sink_backends[count]) {
        count++;
    }
    p->sinks = calloc(count + 1, sizeof(struct open_sink));
    if (!p->sinks) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        const struct sink_backend *b = sink_backends[i];
        const void *config = p->settings->sinks[i];
        struct open_sink *s = &p->sinks[p->sink_count];
        if (!b->wanted(config)) {
            continue;
        }
        int code = b->open(&s->sink, config, &p->env, err);
        if (code < 0) {
            return code;
        }
        s->backend = b;
        s->config = config;
        p->sink_count++;
    }
    return 0;
}

static struct pipeline *pipeline_new(const struct settings *settings, struct stop *stop)
{
    struct pipeline *p = calloc(1, sizeof *p);
    if (!p) {
        return NULL;
    }
    pthread_mutex_init(&p->lock, NULL);
    p->settings = settings;
    p->stop = stop;
    p->raw = hub_new();
    p->packets = hub_new();
    p->pool = pool_new(POOL_IDLE_BYTES);
    p->copy = p->pool ? copy_new(p->pool) : NULL;
    p->env = (struct sink_env){ .name = settings->run.name,
                                .version = "pi-camera-streamer " PCS_VERSION,
                                .hub = p->packets };
    if (!p->raw || !p->packets || !p->copy) {
        pipeline_free(p);
        return NULL;
    }
    return p;
}

int pipeline_start(struct pipeline **out, const struct settings *settings, struct stop *stop,
                   struct err *err)
{
    struct pipeline *p = pipeline_new(settings, stop);
    if (!p) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    const struct capture_params params = {
        .config = &settings->capture,
        .backend_configs = (const void *const *)settings->sources,
        .codec = settings_codec(settings),
        .pictures = settings->encode.overlay && *settings->encode.overlay,
        .max_frames = (uint64_t)settings->run.frames,
        .handler = { .opened = on_opened, .frame = on_frame, .ended = on_ended, .arg = p },
    };
    int code = open_sinks(p, err);
    if (code == 0) {
        code = capture_start(&p->capture, &params, err);
    }
    if (code < 0) {
        pipeline_end(p);
        pipeline_finish(p, 0);
        pipeline_free(p);
        return code;
    }
    *out = p;
    return 0;
}

void pipeline_end(struct pipeline *p)
{
    capture_stop(p->capture);
    hub_end(p->raw);
    if (p->encode) {
        encode_stop(p->encode);
    }
    hub_end(p->packets);
}

bool pipeline_delivered(struct pipeline *p)
{
    bool all = true;
    for (size_t i = 0; i < p->sink_count; i++) {
        struct sink_totals t;
        all &= pipeline_sink(p, i, &t) && t.done;
    }
    return all;
}

bool pipeline_connected(struct pipeline *p)
{
    bool any = false;
    for (size_t i = 0; i < p->sink_count; i++) {
        struct sink_totals t;
        any |= pipeline_sink(p, i, &t) && t.connected;
    }
    return any;
}

uint64_t pipeline_progress(struct pipeline *p)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < p->sink_count; i++) {
        struct sink_totals t;
        (void)pipeline_sink(p, i, &t);       /* i is in range */
        sum += t.sent + t.acked + t.dropped; /* being let in again and again is none */
    }
    return sum;
}

void pipeline_finish(struct pipeline *p, int64_t deadline_us)
{
    for (size_t i = 0; i < p->sink_count; i++) {
        p->sinks[i].backend->finish(p->sinks[i].sink, deadline_us);
    }
}

void pipeline_free(struct pipeline *p)
{
    if (!p) {
        return;
    }
    for (size_t i = 0; i < p->sink_count; i++) {
        p->sinks[i].backend->free(p->sinks[i].sink);
    }
    free(p->sinks);
    capture_free(p->capture);
    encode_free(p->encode);
    copy_free(p->copy);
    hub_free(p->packets);
    hub_free(p->raw);
    pool_free(p->pool);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static struct encode *get_encode(struct pipeline *p)
{
    pthread_mutex_lock(&p->lock);
    struct encode *encode = p->encode;
    pthread_mutex_unlock(&p->lock);
    return encode;
}

void pipeline_reconfigure(struct pipeline *p)
{
    struct encode *encode = get_encode(p);
    if (encode) {
        encode_set_bitrate(encode, p->settings->encode.bitrate);
        encode_set_quality(encode, (int)p->settings->encode.quality);
        encode_set_overlay(encode, p->settings->encode.overlay);
    }
    capture_reconfigure(p->capture);
    for (size_t i = 0; i < p->sink_count; i++) {
        const struct open_sink *s = &p->sinks[i];
        if (s->backend->reconfigure) {
            s->backend->reconfigure(s->sink, s->config);
        }
    }
}

int pipeline_failed(struct pipeline *p, struct err *err)
{
    pthread_mutex_lock(&p->lock);
    int reason = p->reason;
    *err = p->why;
    pthread_mutex_unlock(&p->lock);
    return reason;
}

void pipeline_get_totals(struct pipeline *p, struct pipeline_totals *out)
{
    struct encode_stats es = { 0 };
    struct encode *encode = get_encode(p);
    if (encode) {
        encode_get_stats(encode, &es);
    }
    *out = (struct pipeline_totals){ 0 };
    capture_get_stats(p->capture, &out->capture);
    out->captured = out->capture.captured;
    out->encoded = counter_get(&p->copied) + es.encoded;
    /* What the encode stage was not offered because it rested was dropped before encoding too. */
    uint64_t offered = counter_get(&p->offered);
    out->dropped = counter_get(&p->copy_dropped) + es.dropped +
                   (offered > es.taken ? offered - es.taken : 0);
    for (size_t i = 0; i < sizeof out->encoder; i++) {
        out->encoder[i] = es.encoder[i];
    }
}

const char *pipeline_sink(struct pipeline *p, size_t i, struct sink_totals *out)
{
    if (i >= p->sink_count) {
        return NULL;
    }
    p->sinks[i].backend->totals(p->sinks[i].sink, out);
    return p->sinks[i].backend->kind;
}

struct cJSON *pipeline_outputs_json(struct pipeline *p)
{
    struct cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; i < p->sink_count; i++) {
        cJSON_AddItemToArray(array, p->sinks[i].backend->report(p->sinks[i].sink));
    }
    return array;
}

struct cJSON *pipeline_latency_json(struct pipeline *p)
{
    struct cJSON *o = cJSON_CreateObject();
    struct encode *encode = get_encode(p);
    cJSON_AddItemToObject(o, "capture", histogram_json(&p->capture_latency));
    cJSON_AddItemToObject(o, "encode",
                          histogram_json(encode ? encode_latency(encode) : &p->copy_latency));
    return o;
}
