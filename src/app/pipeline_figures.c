/* SPDX-License-Identifier: MIT */
#include <cjson/cJSON.h>
#include <string.h>

#include "archive.h"
#include "lane.h"
#include "pcs/hub.h"
#include "pipeline.h"
#include "pipeline_internal.h"

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

bool pipeline_get_lane(struct pipeline *p, size_t i, struct pipeline_lane *out)
{
    static const char *const names[LANES] = { "h264", "mjpeg" }; /* in pipeline.c's order */
    if (i >= LANES) {
        return false;
    }
    *out = (struct pipeline_lane){ .codec = names[i],
                                   .first = p->lane[i] == first_lane(p),
                                   .copies = lane_copies(p->lane[i]),
                                   .latency = lane_latency(p->lane[i]) };
    lane_get_stats(p->lane[i], &out->stats);
    return true;
}

const struct histogram *pipeline_capture_latency(const struct pipeline *p)
{
    return &p->capture_latency;
}

struct errands *pipeline_errands(struct pipeline *p)
{
    return p->errands;
}

const struct settings *pipeline_settings(const struct pipeline *p)
{
    return p->settings;
}

struct capture *pipeline_capture(struct pipeline *p)
{
    return p->capture;
}

void pipeline_request_key(struct pipeline *p)
{
    hub_request_key(p->env.h264);
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
