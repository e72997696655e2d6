/* SPDX-License-Identifier: MIT */
/* Keys are in the order in which a person would ask; where cJSON has no memory, they are left out. */
#include "stats_json.h"

#include <cjson/cJSON.h>
#include <string.h>

#include "host.h"
#include "pcs/clock.h"
#include "pcs/stats.h"
#include "pcs/text.h"
#include "pipeline.h"
#include "site.h"
#include "web/feed.h"

static void add(struct cJSON *o, const char *name, uint64_t n)
{
    cJSON_AddNumberToObject(o, name, (double)n); /* exact up to 2^53 */
}

/* A monotonic moment as Unix time, as exact as a person needs it. */
static void add_time(struct cJSON *o, const char *name, int64_t us)
{
    int64_t wall_us = clock_wall_us() - (clock_now_us() - us);
    cJSON_AddNumberToObject(o, name, (double)(wall_us / CLOCK_MS) / 1000);
}

static struct cJSON *camera_json(struct pipeline *p)
{
    static const char *const states[] = { "opening", "live", "failed", "ended" };
    struct pipeline_totals t;
    char text[64];
    struct cJSON *o = cJSON_CreateObject();
    pipeline_get_totals(p, &t);
    text_clean(t.capture.why, strlen(t.capture.why)); /* drivers and libraries said it */
    const struct capture_stats *c = &t.capture;
    const struct format *f = &c->format;
    cJSON_AddStringToObject(o, "state", states[c->state]);
    add_time(o, "since", c->since_us);
    cJSON_AddStringToObject(o, "why", c->why);
    cJSON_AddStringToObject(o, "source", c->source ? c->source : "");
    cJSON_AddStringToObject(o, "format", format_describe(f, text, sizeof text));
    add(o, "width", (uint64_t)f->width);
    add(o, "height", (uint64_t)f->height);
    cJSON_AddNumberToObject(o, "fps", f->fps_den > 0 ? (double)f->fps_num / f->fps_den : 0);
    add(o, "captured", c->captured);
    add(o, "lost", c->lost);
    add(o, "standby", t.stood_in);
    add(o, "reopened", c->reopened);
    if (c->last_frame_us > 0) {
        add_time(o, "last_frame", c->last_frame_us);
    }
    return o;
}

static struct cJSON *encoders_json(struct pipeline *p)
{
    struct cJSON *array = cJSON_CreateArray();
    struct pipeline_lane lane;
    for (size_t i = 0; pipeline_get_lane(p, i, &lane); i++) {
        struct cJSON *o = cJSON_CreateObject();
        cJSON_AddStringToObject(o, "codec", lane.codec);
        cJSON_AddStringToObject(o, "encoder", lane.stats.encoder);
        cJSON_AddBoolToObject(o, "stream", lane.first);
        cJSON_AddBoolToObject(o, "copies", lane.copies);
        add(o, "offered", lane.stats.offered);
        add(o, "encoded", lane.stats.encoded);
        add(o, "dropped", lane.stats.dropped);
        cJSON_AddItemToObject(o, "latency_ms", histogram_json(lane.latency));
        cJSON_AddItemToArray(array, o);
    }
    return array;
}

static bool is_kind(const struct cJSON *o, const char *kind)
{
    const char *said = cJSON_GetStringValue(cJSON_GetObjectItem(o, "kind"));
    return said && strcmp(said, kind) == 0;
}

/* What each says of itself, and what all have; an output with several targets says that for each by itself. */
static struct cJSON *outputs_json(struct pipeline *p)
{
    struct cJSON *array = pipeline_outputs_json(p), *o;
    struct sink_totals t;
    const char *kind;
    for (size_t i = 0; (kind = pipeline_sink(p, i, &t)) != NULL; i++) {
        cJSON_ArrayForEach(o, array)
        {
            if (is_kind(o, kind) && !cJSON_HasObjectItem(o, "connected")) {
                cJSON_AddBoolToObject(o, "connected", t.connected);
            }
        }
    }
    return array;
}

static void add_client(void *arg, const struct web_client_info *info)
{
    struct cJSON *o = cJSON_CreateObject();
    add(o, "id", info->id);
    cJSON_AddStringToObject(o, "kind", info->kind);
    cJSON_AddStringToObject(o, "address", info->address);
    cJSON_AddStringToObject(o, "agent", info->agent);
    add_time(o, "since", info->since_us);
    add(o, "frames", info->frames);
    add(o, "skipped", info->skipped);
    add(o, "bytes", info->bytes);
    cJSON_AddNumberToObject(o, "delay_ms", (double)info->delay_us / 1000);
    cJSON_AddItemToArray(arg, o);
}

static struct cJSON *latency_json(const struct site *site)
{
    struct cJSON *o = pipeline_latency_json(site_env(site)->pipeline);
    cJSON_AddItemToObject(o, "mjpeg", histogram_json(feed_latency(site_mjpeg(site))));
    cJSON_AddItemToObject(o, "h264", histogram_json(feed_latency(site_h264(site))));
    return o;
}

/* ---- host ---- */

static struct cJSON *flags_json(unsigned bits)
{
    struct cJSON *o = cJSON_CreateObject();
    cJSON_AddBoolToObject(o, "under_voltage", bits & HOST_UNDER_VOLTAGE);
    cJSON_AddBoolToObject(o, "frequency_capped", bits & HOST_FREQUENCY_CAPPED);
    cJSON_AddBoolToObject(o, "throttled", bits & HOST_THROTTLED);
    cJSON_AddBoolToObject(o, "soft_temperature_limit", bits & HOST_SOFT_TEMPERATURE_LIMIT);
    return o;
}

static void add_throttling(struct cJSON *o, const struct host_health *h)
{
    bool known = h->has_throttled, now = h->throttled & 0xf;
    unsigned before = h->throttled >> HOST_SINCE_START;
    cJSON_AddItemToObject(o, "throttled", known ? cJSON_CreateBool(now) : cJSON_CreateNull());
    cJSON_AddItemToObject(o, "throttling", known ? flags_json(h->throttled) : cJSON_CreateNull());
    cJSON_AddItemToObject(o, "throttling_since_start",
                          known ? flags_json(before) : cJSON_CreateNull());
}

static struct cJSON *space_json(uint64_t bytes, uint64_t available)
{
    struct cJSON *o = cJSON_CreateObject();
    add(o, "total_bytes", bytes);
    add(o, "available_bytes", available);
    return o;
}

static struct cJSON *process_json(const struct host_health *h)
{
    struct cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "cpu_seconds", h->process_cpu_s);
    add(o, "memory_bytes", h->process_memory_bytes);
    add(o, "threads", h->process_threads);
    add(o, "fds", h->process_fds);
    return o;
}

/* What the machine does not tell is null. */
static struct cJSON *host_json(const struct host_health *h)
{
    struct cJSON *o = cJSON_CreateObject();
    add(o, "cpus", h->cpus);
    cJSON_AddNumberToObject(o, "cpu_load", h->cpu_load);
    cJSON_AddNumberToObject(o, "load_average", h->load_average);
    cJSON_AddItemToObject(o, "temperature_c",
                          h->has_temperature ? cJSON_CreateNumber(h->temperature_c)
                                             : cJSON_CreateNull());
    add_throttling(o, h);
    cJSON_AddItemToObject(o, "memory", space_json(h->memory_bytes, h->memory_available_bytes));
    cJSON_AddItemToObject(o, "disk", space_json(h->disk_bytes, h->disk_available_bytes));
    cJSON_AddNumberToObject(o, "uptime_seconds", h->uptime_s);
    cJSON_AddItemToObject(o, "process", process_json(h));
    return o;
}

struct cJSON *stats_json(const struct site *site, const struct host_health *host)
{
    struct pipeline *p = site_env(site)->pipeline;
    struct web_stats w;
    struct cJSON *o = cJSON_CreateObject(), *clients = cJSON_CreateArray();
    web_get_stats(site_web(site), &w);
    web_each_client(site_web(site), add_client, clients);
    cJSON_AddStringToObject(o, "version", PCS_VERSION);
    add(o, "active_connections", w.clients);
    add(o, "total_connections", w.clients_total);
    add(o, "rejected_connections", w.rejected);
    add(o, "frames_served", w.frames);
    add(o, "bytes_sent", w.bytes);
    cJSON_AddStringToObject(o, "name", site_env(site)->name);
    cJSON_AddNumberToObject(o, "now_ms",
                            (double)clock_wall_us() / CLOCK_MS); /* for others' clocks */
    cJSON_AddItemToObject(o, "camera", camera_json(p));
    cJSON_AddItemToObject(o, "encoders", encoders_json(p));
    cJSON_AddItemToObject(o, "outputs", outputs_json(p));
    cJSON_AddItemToObject(o, "clients", clients);
    cJSON_AddItemToObject(o, "latency_ms", latency_json(site));
    cJSON_AddItemToObject(o, "host", host_json(host));
    return o;
}
