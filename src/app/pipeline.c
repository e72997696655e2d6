/* SPDX-License-Identifier: MIT */
#include "pipeline.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
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
#include "standby.h"

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
    struct standby *standby; /* NULL: not wished */
    struct sink_env env;
    struct open_sink *sinks;
    size_t sink_count;

    /* the capture thread's own */
    struct copy *copy;
    bool copying;

    counter copied, copy_dropped, offered, stood_in;
    atomic_bool interrupted; /* stand-ins have gone out among what is copied */
    atomic_bool overlay;     /* pictures are written on */
    atomic_bool reconsider;  /* … or not any more: copy or encode? */
    struct histogram capture_latency, copy_latency;

    pthread_mutex_t making; /* held while the encode stage is started, before `lock` */
    pthread_mutex_t lock;   /* guards what follows */
    struct encode_config encode_config;
    enum format_id output; /* what the outputs get; FORMAT_NONE until the source says what it has */
    struct encode *encode; /* once set, fixed */
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

static struct encode *get_encode(struct pipeline *p)
{
    pthread_mutex_lock(&p->lock);
    struct encode *encode = p->encode;
    pthread_mutex_unlock(&p->lock);
    return encode;
}

/* The encode stage is started by whoever first has a picture for it. */
static int need_encode(struct pipeline *p, enum format_id output, struct err *err)
{
    struct encode *encode = NULL;
    int code = 0;
    pthread_mutex_lock(&p->making);
    if (!get_encode(p)) {
        pthread_mutex_lock(&p->lock);
        const struct encode_config config = p->encode_config;
        pthread_mutex_unlock(&p->lock);
        code = encode_start(&encode, &config, output, p->raw, p->packets, err);
    }
    if (encode) {
        pthread_mutex_lock(&p->lock);
        p->encode = encode;
        pthread_mutex_unlock(&p->lock);
    }
    pthread_mutex_unlock(&p->making);
    return code;
}

/* Decided when the first camera is there, and kept: a camera of another kind after it is brought to the
 * same, as far as that can be done. */
static enum format_id decide_output(struct pipeline *p, const struct format *source)
{
    pthread_mutex_lock(&p->lock);
    bool possible = source->id == p->output || encode_accepts(source, p->output);
    if (p->output == FORMAT_NONE || !possible) {
        p->output = encode_output(&p->encode_config, source->id);
    }
    enum format_id output = p->output;
    pthread_mutex_unlock(&p->lock);
    return output;
}

static void on_opened(void *arg, const struct format *format)
{
    struct pipeline *p = arg;
    struct err err = { 0 };
    enum format_id output = decide_output(p, format);
    bool untouched = format->transform == 0 && !atomic_load(&p->overlay);
    copy_forget(p->copy);
    copy_restart(p->copy);
    p->copying = output == format->id && (untouched || !encode_accepts(format, output));
    if (p->copying) {
        if (!untouched) {
            log_warn("the camera's %s goes out as it is: it cannot be turned or written on",
                     format_info(output)->name);
        }
        return;
    }
    int code = encode_accepts(format, output)
                   ? need_encode(p, output, &err)
                   : err_set(&err, -ENOTSUP, "cannot make %s from the %s of this source",
                             format_info(output)->name, format_info(format->id)->name);
    if (code < 0) {
        fail(p, code, err.text);
    }
}

static void copy_one(struct pipeline *p, const struct frame *frame)
{
    const struct frame *packet = NULL;
    if (atomic_load_explicit(&p->interrupted, memory_order_relaxed)) {
        atomic_store(&p->interrupted, false);
        copy_restart(p->copy);
    }
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
    if (atomic_load_explicit(&p->reconsider, memory_order_relaxed)) {
        atomic_store(&p->reconsider, false);
        on_opened(p, &frame->format);
    }
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

/* ---- in the standby thread ---- */

/* What pictures of the source look like to the encoders. */
static struct format upright(const struct format *source, const struct settings *settings)
{
    struct format f = *source;
    if (f.id == FORMAT_NONE) {
        f.width = settings->capture.width > 0 ? (int)settings->capture.width : 1280;
        f.height = settings->capture.height > 0 ? (int)settings->capture.height : 720;
        f.fps_num = settings->capture.fps > 0 ? (int)settings->capture.fps : 30;
        f.fps_den = 1;
        f.transform = settings->capture.rotate % 2 ? TRANSFORM_ROTATE : 0; /* a quarter or three */
    }
    if (f.transform & TRANSFORM_ROTATE) {
        int width = f.width;
        f.width = f.height;
        f.height = width;
    }
    return f;
}

static bool standby_wanted(void *arg, struct format *format)
{
    struct pipeline *p = arg;
    struct err err = { 0 };
    pthread_mutex_lock(&p->lock);
    enum format_id output = p->output;
    if (output == FORMAT_NONE && settings_codec(p->settings) != FORMAT_NONE) {
        output = encode_output(&p->encode_config, FORMAT_NONE);
    }
    pthread_mutex_unlock(&p->lock);
    if (output == FORMAT_NONE || !hub_wanted(p->packets)) {
        return false; /* with --codec auto the camera decides, and it has not been seen yet */
    }
    *format = upright(format, p->settings);
    return need_encode(p, output, &err) == 0;
}

static void standby_picture(void *arg, const struct frame *picture)
{
    struct pipeline *p = arg;
    counter_add(&p->stood_in, 1);
    counter_add(&p->offered, 1);
    atomic_store(&p->interrupted, true);
    hub_publish(p->raw, picture);
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
    pthread_mutex_init(&p->making, NULL);
    p->encode_config = settings->encode;
    atomic_init(&p->overlay, settings->encode.overlay && *settings->encode.overlay);
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
    const struct standby_handler standby = { standby_wanted, standby_picture, p };
    if (code == 0 && settings->run.standby) {
        code = standby_start(&p->standby, p->capture, &standby);
        code = code < 0 ? err_set(err, code, "standby: %s", err_text(code)) : 0;
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
    standby_stop(p->standby);
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
    standby_free(p->standby);
    capture_free(p->capture);
    encode_free(p->encode);
    copy_free(p->copy);
    hub_free(p->packets);
    hub_free(p->raw);
    pool_free(p->pool);
    pthread_mutex_destroy(&p->making);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

void pipeline_reconfigure(struct pipeline *p)
{
    const struct encode_config *config = &p->settings->encode;
    pthread_mutex_lock(&p->making); /* a stage that is just being started has the old values */
    pthread_mutex_lock(&p->lock);
    p->encode_config = *config;
    struct encode *encode = p->encode;
    pthread_mutex_unlock(&p->lock);
    if (encode) {
        encode_set_bitrate(encode, config->bitrate);
        encode_set_quality(encode, (int)config->quality);
        encode_set_overlay(encode, config->overlay);
    }
    pthread_mutex_unlock(&p->making);
    bool overlay = config->overlay && *config->overlay;
    if (atomic_exchange(&p->overlay, overlay) != overlay) {
        atomic_store(&p->reconsider, true);
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
    out->stood_in = counter_get(&p->stood_in);
    out->captured = out->capture.captured + out->stood_in;
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
