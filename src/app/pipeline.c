/* SPDX-License-Identifier: MIT */
#include "pipeline.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/source.h"
#include "errands.h"
#include "lane.h"
#include "outputs.h"
#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/hub.h"
#include "pcs/log.h"
#include "pcs/stop.h"
#include "pipeline_internal.h"
#include "settings.h"
#include "standby.h"

/* What outputs may want; the stream is one of them. */
static const enum format_id lanes[] = { FORMAT_H264, FORMAT_JPEG };
_Static_assert(sizeof lanes / sizeof lanes[0] == LANES, "all of them");

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

/* Is there an output that always wants the stream? Those with a usual place serve whoever comes. */
static bool must_encode(const struct pipeline *p)
{
    for (size_t i = 0; i < p->sink_count; i++) {
        if (!p->sinks[i].backend->serve) {
            return true;
        }
    }
    return false;
}

/* Fatal only for the stream itself, and not when just visitors want it: they do not end the program. */
static void no_encoder(struct pipeline *p, const struct lane *lane, const struct err *err)
{
    if (lane == atomic_load(&p->first) && must_encode(p)) {
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
    bool taken = false;
    for (int i = 0; i < LANES; i++) {
        taken |= lane_stand_in(p->lane[i], picture);
    }
    counter_add(&p->stood_in, taken);
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
    p->errands = errands_new();
    bool ok = p->stream && p->pictures && p->errands;
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
    errands_close(p->errands);
    standby_stop(p->standby);
    capture_stop(p->capture);
    for (int i = 0; i < LANES; i++) {
        lane_end(p->lane[i]);
    }
    hub_end(p->pictures);
    hub_end(p->stream);
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
    errands_free(p->errands);
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
