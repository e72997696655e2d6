/* SPDX-License-Identifier: MIT */
/*
 * The sums: captured = encoded + dropped, and for each output encoded = sent + dropped + queued. With two
 * codecs at work, what counts as encoded is what was encoded in the one that was wanted most; an output that
 * takes the other one leaves out the rest. They hold exactly when all is quiet, at the end; before that, to
 * within the frames on their way. What was encoded is read first, so that nobody seems to have dropped what came
 * in between.
 */
#include <cjson/cJSON.h>

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

struct encoded {
    struct lane *lane;        /* that encoded most */
    uint64_t frames, settled; /* settled: of these, what no lane has in hand any more */
};

static uint64_t less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static struct encoded get_encoded(struct pipeline *p)
{
    struct encoded e = { .lane = first_lane(p) };
    uint64_t in_hand = 0;
    for (int i = 0; i < LANES; i++) {
        struct lane_stats ls;
        lane_get_stats(p->lane[i], &ls);
        in_hand = ls.in_hand > in_hand ? ls.in_hand : in_hand;
        e.lane = ls.encoded > e.frames ? p->lane[i] : e.lane;
        e.frames = ls.encoded > e.frames ? ls.encoded : e.frames;
    }
    e.settled = less(e.frames, in_hand);
    return e;
}

void pipeline_get_totals(struct pipeline *p, struct pipeline_totals *out)
{
    *out = (struct pipeline_totals){ 0 };
    capture_get_stats(p->capture, &out->capture);
    out->stood_in = counter_get(&p->stood_in);
    out->captured = out->capture.captured + out->stood_in;
    struct encoded e = get_encoded(p);
    out->encoded = e.frames;
    out->dropped = less(out->captured, 2 * e.frames - e.settled);
}

const char *pipeline_sink(struct pipeline *p, size_t i, struct sink_totals *out)
{
    if (i >= p->sink_count) {
        return NULL;
    }
    struct open_sink *s = &p->sinks[i];
    uint64_t settled = get_encoded(p).settled;
    s->backend->totals(s->sink, out);
    settled *= out->targets > 0 ? out->targets : 1;
    out->dropped = less(settled, out->sent + out->queued);
    return s->backend->kind;
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

static uint64_t get_number(const struct cJSON *o, const char *name, uint64_t otherwise)
{
    const struct cJSON *n = cJSON_GetObjectItemCaseSensitive(o, name);
    return cJSON_IsNumber(n) ? (uint64_t)n->valuedouble : otherwise;
}

static void set_number(struct cJSON *o, const char *name, uint64_t n)
{
    struct cJSON *number = cJSON_CreateNumber((double)n);
    if (!cJSON_HasObjectItem(o, name)) {
        cJSON_AddItemToObject(o, name, number);
    } else if (number) {
        cJSON_ReplaceItemInObjectCaseSensitive(o, name, number);
    }
}

/* What the output says of itself, and what all say. */
static void add_up(struct cJSON *o, struct encoded e, const struct sink_totals *t)
{
    uint64_t sent = get_number(o, "sent", 0);
    uint64_t dropped = less(e.settled, sent + get_number(o, "queued", t->queued));
    set_number(o, "acked", get_number(o, "acked", t->acked));
    set_number(o, "dropped", dropped);
    set_number(o, "queued", less(e.frames, sent + dropped));
    set_number(o, "reconnects", get_number(o, "reconnects", t->reconnects));
}

static void add_sink(struct pipeline *p, const struct open_sink *s, struct cJSON *array)
{
    struct encoded e = get_encoded(p);
    struct sink_totals t;
    struct cJSON *o;
    int first = cJSON_GetArraySize(array), i = 0;
    s->backend->totals(s->sink, &t);
    add_report(array, s->backend->report(s->sink));
    cJSON_ArrayForEach(o, array)
    {
        if (i++ >= first) {
            add_up(o, e, &t);
        }
    }
}

struct cJSON *pipeline_outputs_json(struct pipeline *p)
{
    struct cJSON *array = cJSON_CreateArray();
    for (size_t i = 0; i < p->sink_count; i++) {
        add_sink(p, &p->sinks[i], array);
    }
    return array;
}

struct cJSON *pipeline_latency_json(struct pipeline *p)
{
    struct cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToObject(o, "capture", histogram_json(&p->capture_latency));
    cJSON_AddItemToObject(o, "encode", histogram_json(lane_latency(get_encoded(p).lane)));
    return o;
}
