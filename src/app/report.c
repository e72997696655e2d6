/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <cjson/cJSON.h>
#include <stdio.h>

#include "pcs/clock.h"
#include "pcs/log.h"
#include "pcs/service.h"
#include "pcs/stats.h"
#include "pipeline.h"

/* "live 1280x720 YUYV @ 30", or why there is nothing. */
static void describe_source(const struct capture_stats *c, char *out, size_t size)
{
    char format[64];
    switch (c->state) {
    case CAPTURE_LIVE:
        (void)snprintf(out, size, "live %s", format_describe(&c->format, format, sizeof format));
        return;
    case CAPTURE_FAILED:
        (void)snprintf(out, size, "no picture (%s)", c->why);
        return;
    case CAPTURE_OPENING:
        (void)snprintf(out, size, "opening the source");
        return;
    case CAPTURE_ENDED:
        (void)snprintf(out, size, "the source has ended");
        return;
    }
}

void report_health(struct report_health *h, struct pipeline *pipeline, struct service *service,
                   int64_t now_us)
{
    struct pipeline_totals t;
    pipeline_get_totals(pipeline, &t);
    double seconds = (double)(now_us - h->since_us) / (double)CLOCK_S;
    double fps = seconds > 0 ? (double)(t.encoded - h->encoded) / seconds : 0;
    char picture[420], line[600], outputs[300] = "";
    describe_source(&t.capture, picture, sizeof picture);
    (void)snprintf(line, sizeof line, "%s: %.1f fps; captured %llu, encoded %llu, dropped %llu",
                   picture, fps, (unsigned long long)t.captured, (unsigned long long)t.encoded,
                   (unsigned long long)t.dropped);
    struct sink_totals s;
    const char *kind;
    uint64_t bytes = 0;
    size_t used = 0;
    for (size_t i = 0; (kind = pipeline_sink(pipeline, i, &s)) != NULL; i++) {
        bytes += s.bytes;
        int n = snprintf(outputs + used, sizeof outputs - used,
                         "; %s %s: sent %llu, acked %llu, dropped %llu, queued %llu", kind,
                         s.connected ? "connected" : "not connected", (unsigned long long)s.sent,
                         (unsigned long long)s.acked, (unsigned long long)s.dropped,
                         (unsigned long long)s.queued);
        used += n > 0 && (size_t)n < sizeof outputs - used ? (size_t)n : 0;
    }
    double mbit = seconds > 0 ? (double)(bytes - h->bytes) * 8 / 1e6 / seconds : 0;
    log_info("%s%s; %.2f Mbit/s", line, outputs, mbit);
    service_status(service, line);
    *h = (struct report_health){ .since_us = now_us, .encoded = t.encoded, .bytes = bytes };
}

/* How the camera was at the end. */
static struct cJSON *camera_json(const struct capture_stats *c)
{
    static const char *const states[] = { "opening", "live", "failed", "ended" };
    char format[64];
    struct cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "state", states[c->state]);
    cJSON_AddStringToObject(o, "source", c->source ? c->source : "");
    cJSON_AddStringToObject(o, "format", format_describe(&c->format, format, sizeof format));
    cJSON_AddNumberToObject(o, "reopened", (double)c->reopened);
    cJSON_AddStringToObject(o, "trouble", c->why);
    return o;
}

void report_summary(struct pipeline *pipeline, int64_t run_us)
{
    struct pipeline_totals t;
    pipeline_get_totals(pipeline, &t);
    struct cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "program", "pi-camera-streamer");
    cJSON_AddNumberToObject(o, "seconds", (double)(run_us / CLOCK_MS) / 1000.0);
    cJSON_AddNumberToObject(o, "captured", (double)t.captured);
    cJSON_AddNumberToObject(o, "encoded", (double)t.encoded);
    cJSON_AddNumberToObject(o, "dropped", (double)t.dropped);
    cJSON_AddNumberToObject(o, "lost", (double)t.capture.lost);
    cJSON_AddNumberToObject(o, "standby", (double)t.stood_in);
    cJSON_AddItemToObject(o, "camera", camera_json(&t.capture));
    cJSON_AddItemToObject(o, "outputs", pipeline_outputs_json(pipeline));
    cJSON_AddItemToObject(o, "latency_ms", pipeline_latency_json(pipeline));
    summary_print(o);
}
