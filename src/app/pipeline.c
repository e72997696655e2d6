/* SPDX-License-Identifier: MIT */
#include "pipeline.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive.h"
#include "capture/source.h"
#include "lane.h"
#include "outputs.h"
#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/hub.h"
#include "pcs/log.h"
#include "pcs/stats.h"
#include "pcs/stop.h"
#include "settings.h"
#include "standby.h"

/* What outputs may want; the stream is one of them. */
static const enum format_id lanes[] = { FORMAT_H264, FORMAT_JPEG };
#define LANES ((int)(sizeof lanes / sizeof lanes[0]))

struct open_sink {
    const struct sink_backend *backend;
    struct sink *sink;
    const void *config;
};

struct pipeline {
    const struct settings *settings;
    struct stop *stop;
    struct lane *lane[LANES];
    struct hub
        *stream; /* = the packets of the lane that outputs without a wish get, once it is known */
    struct hub *pictures; /* what the source gives, for local programs */
    struct capture *capture;
    struct standby *standby; /* NULL: not wished */
    struct sink_env env;
    struct site *site; /* the outputs' own */
    struct open_sink *sinks;
    size_t sink_count;

    counter stood_in;
    struct histogram capture_latency;
    _Atomic(struct lane *) first; /* the stream's lane; NULL until the source says what it has */

    pthread_mutex_t lock; /* guards reason and why; held while `first` is decided */
    int reason;
    struct err why;
    struct log_limit encoder_log; /* the capture thread's */
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

/* Fatal only for the stream itself: a viewer who wants another codec does not end a recording. */
static void no_encoder(struct pipeline *p, const struct lane *lane, const struct err *err)
{
    if (lane == atomic_load(&p->first)) {
        fail(p, err->code, err->text);
    } else {
        log_limited(&p->encoder_log, 60 * CLOCK_S, LOG_ERROR, "%s", err->text);
    }
}

static struct lane *find_lane(struct pipeline *p, enum format_id codec)
{
    for (int i = 0; i < LANES; i++) {
        if (lanes[i] == codec) {
            return p->lane[i];
        }
    }
    return NULL;
}

/* Decided when the first camera is there, and kept: a camera of another kind after it is brought to the
 * same. */
static struct lane *decide_first(struct pipeline *p, const struct format *source)
{
    pthread_mutex_lock(&p->lock);
    struct lane *first = atomic_load(&p->first);
    if (!first) {
        first = find_lane(p, encode_output(&p->settings->encode, source->id));
        hub_follow(p->stream, lane_packets(first));
        atomic_store(&p->first, first);
    }
    pthread_mutex_unlock(&p->lock);
    return first;
}

static void on_opened(void *arg, const struct format *format)
{
    struct pipeline *p = arg;
    struct lane *first = decide_first(p, format);
    char what[100];
    for (int i = 0; i < LANES; i++) {
        if (!lane_opened(p->lane[i], format) && p->lane[i] == first) {
            (void)snprintf(what, sizeof what, "cannot make %s from the %s of this source",
                           format_info(lanes[i])->name, format_info(format->id)->name);
            fail(p, -ENOTSUP, what);
        }
    }
}

static void on_frame(void *arg, const struct frame *frame)
{
    struct pipeline *p = arg;
    struct err err = { 0 };
    histogram_add(&p->capture_latency, frame->stage_us[STAGE_DEQUEUED] - frame->capture_us);
    for (int i = 0; i < LANES; i++) {
        int code = lane_frame(p->lane[i], frame, &err);
        if (code < 0) {
            no_encoder(p, p->lane[i], &err);
        }
    }
    if (hub_wanted(p->pictures)) {
        hub_publish(p->pictures, frame);
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
    bool wanted = false;
    if (!atomic_load(&p->first) && settings_codec(p->settings) != FORMAT_NONE) {
        const struct format none = { .id = FORMAT_NONE };
        (void)decide_first(p, &none);
    }
    for (int i = 0; i < LANES; i++) {
        wanted |= lane_wanted(p->lane[i]);
    }
    *format = upright(format, p->settings);
    return wanted;
}

static void standby_picture(void *arg, const struct frame *picture)
{
    struct pipeline *p = arg;
    struct lane *first = atomic_load(&p->first);
    for (int i = 0; i < LANES; i++) {
        bool taken = lane_stand_in(p->lane[i], picture);
        if (taken && (p->lane[i] == first || !first)) {
            counter_add(&p->stood_in, 1);
        }
    }
}

/* ---- main's ---- */

static int open_sinks(struct pipeline *p, struct err *err)
{
    size_t count = 0;
    while (outputs[count]) {
        count++;
    }
    p->sinks = calloc(count + 1, sizeof(struct open_sink));
    if (!p->sinks) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        const struct sink_backend *b = outputs[i];
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

static int start_sinks(struct pipeline *p, struct err *err)
{
    int code = 0;
    for (size_t i = 0; i < p->sink_count && code == 0; i++) {
        const struct open_sink *s = &p->sinks[i];
        code = s->backend->start ? s->backend->start(s->sink, err) : 0;
    }
    return code;
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
    p->stream = hub_new();
    p->pictures = hub_new();
    bool ok = p->stream && p->pictures;
    for (int i = 0; ok && i < LANES; i++) {
        p->lane[i] = lane_new(lanes[i], &settings->encode);
        ok = p->lane[i] != NULL;
    }
    if (!ok) {
        pipeline_free(p);
        return NULL;
    }
    p->env = (struct sink_env){ .name = settings->run.name,
                                .version = "pi-camera-streamer " PCS_VERSION,
                                .hub = p->stream,
                                .jpeg = lane_packets(find_lane(p, FORMAT_JPEG)),
                                .h264 = lane_packets(find_lane(p, FORMAT_H264)),
                                .pictures = p->pictures,
                                .serve = &settings->serve,
                                .pipeline = p };
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
    code = code == 0 ? start_sinks(p, err) : code;
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
    for (int i = 0; i < LANES; i++) {
        lane_end(p->lane[i]);
    }
    hub_end(p->pictures);
    hub_end(p->stream);
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
    hub_free(p->stream);
    hub_free(p->pictures);
    for (int k = 0; k < LANES; k++) {
        lane_free(p->lane[k]);
    }
    pthread_mutex_destroy(&p->lock);
    free(p);
}

void pipeline_reconfigure(struct pipeline *p)
{
    for (int i = 0; i < LANES; i++) {
        lane_reconfigure(p->lane[i], &p->settings->encode);
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

/* The stream's lane, or while that is not known the one that would be. */
static struct lane *first_lane(struct pipeline *p)
{
    struct lane *first = atomic_load(&p->first);
    return first ? first : p->lane[0];
}

void pipeline_get_totals(struct pipeline *p, struct pipeline_totals *out)
{
    struct lane_stats ls;
    lane_get_stats(first_lane(p), &ls);
    *out = (struct pipeline_totals){ .encoded = ls.encoded, .dropped = ls.dropped };
    capture_get_stats(p->capture, &out->capture);
    out->stood_in = counter_get(&p->stood_in);
    out->captured = out->capture.captured + out->stood_in;
    memcpy(out->encoder, ls.encoder, sizeof out->encoder);
}

const char *pipeline_sink(struct pipeline *p, size_t i, struct sink_totals *out)
{
    if (i >= p->sink_count) {
        return NULL;
    }
    p->sinks[i].backend->totals(p->sinks[i].sink, out);
    return p->sinks[i].backend->kind;
}

struct site **pipeline_site(struct pipeline *p)
{
    return &p->site;
}

struct sink *pipeline_archive(struct pipeline *p)
{
    for (size_t i = 0; i < p->sink_count; i++) {
        if (p->sinks[i].backend == &sink_archive) {
            return p->sinks[i].sink;
        }
    }
    return NULL;
}

/* One output, or an array of them. */
static void add_report(struct cJSON *array, struct cJSON *report)
{
    if (!cJSON_IsArray(report)) {
        cJSON_AddItemToArray(array, report);
        return;
    }
    struct cJSON *each;
    while ((each = cJSON_DetachItemFromArray(report, 0))) {
        cJSON_AddItemToArray(array, each);
    }
    cJSON_Delete(report);
}

struct cJSON *pipeline_outputs_json(struct pipeline *p)
{
    struct cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; i < p->sink_count; i++) {
        add_report(array, p->sinks[i].backend->report(p->sinks[i].sink));
    }
    return array;
}

struct cJSON *pipeline_latency_json(struct pipeline *p)
{
    struct cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToObject(o, "capture", histogram_json(&p->capture_latency));
    cJSON_AddItemToObject(o, "encode", histogram_json(lane_latency(first_lane(p))));
    return o;
}
