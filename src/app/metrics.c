/* SPDX-License-Identifier: MIT */
/* Names and units by https://prometheus.io/docs/practices/naming/; promtool has nothing to say against them. */
#include "metrics.h"

#include "archive.h"
#include "host.h"
#include "pcs/clock.h"
#include "pipeline.h"
#include "site.h"
#include "web/feed.h"

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

static const struct metrics_label none = { NULL, NULL };

static struct metrics_label label(const char *name, const char *value)
{
    return (struct metrics_label){ name, value };
}

/* A family of one value. */
static void single(struct metrics *m, const char *name, const char *type, const char *help,
                   double value)
{
    metrics_family(m, name, type, help);
    metrics_value(m, value, none, none);
}

static void counted(struct metrics *m, const char *name, const char *help, uint64_t n)
{
    single(m, name, "counter", help, (double)n);
}

static void gauge(struct metrics *m, const char *name, const char *help, double value)
{
    single(m, name, "gauge", help, value);
}

/* ---- camera ---- */

static void put_camera(struct metrics *m, struct pipeline *p)
{
    static const char *const states[] = { "opening", "live", "failed", "ended" };
    struct pipeline_totals t;
    pipeline_get_totals(p, &t);
    const struct capture_stats *c = &t.capture;
    metrics_family(m, "pcs_camera_state", "gauge", "1 for the state that the camera is in.");
    for (int i = 0; i < 4; i++) {
        metrics_value(m, (int)c->state == i, label("state", states[i]), none);
    }
    counted(m, "pcs_camera_frames_total", "Frames that came from the camera.", c->captured);
    counted(m, "pcs_camera_lost_frames_total", "Frames that the camera made and we did not get.",
            c->lost);
    counted(m, "pcs_camera_reopens_total", "Times that the camera was opened again.", c->reopened);
    counted(m, "pcs_standby_frames_total", "Pictures that stood in for the camera's.", t.stood_in);
    if (c->last_frame_us > 0) {
        int64_t wall_us = clock_wall_us() - (clock_now_us() - c->last_frame_us);
        gauge(m, "pcs_camera_last_frame_timestamp_seconds", "When the newest frame came.",
              (double)(wall_us / CLOCK_MS) / 1000);
    }
    metrics_family(m, "pcs_capture_latency_seconds", "histogram",
                   "From the driver's time of a picture until we had it.");
    metrics_histogram(m, pipeline_capture_latency(p), none);
}

/* ---- encoders ---- */

static uint64_t encoded(const struct pipeline_lane *l)
{
    return l->stats.encoded;
}

static uint64_t encoder_dropped(const struct pipeline_lane *l)
{
    return l->stats.dropped;
}

static void put_encoders(struct metrics *m, struct pipeline *p, struct metrics_memory *memory)
{
    static const struct {
        const char *name, *help;
        uint64_t (*get)(const struct pipeline_lane *l);
    } families[] = {
        { "pcs_encoded_frames_total", "Frames encoded, or passed through.", encoded },
        { "pcs_encoder_dropped_frames_total",
          "Frames not encoded: nobody wanted them, a newer one was there, or it failed.",
          encoder_dropped },
    };
    struct pipeline_lane l[COUNT_OF(memory->encoder_dropped)];
    size_t count = 0;
    for (; count < COUNT_OF(l) && pipeline_get_lane(p, count, &l[count]); count++) {
        l[count].stats.dropped =
            metrics_count(&memory->encoder_dropped[count], l[count].stats.dropped);
    }
    for (size_t k = 0; k < COUNT_OF(families); k++) {
        metrics_family(m, families[k].name, "counter", families[k].help);
        for (size_t i = 0; i < count; i++) {
            metrics_value(m, (double)families[k].get(&l[i]), label("codec", l[i].codec), none);
        }
    }
    metrics_family(m, "pcs_encoder_info", "gauge", "What encodes; empty while it passes through.");
    for (size_t i = 0; i < count; i++) {
        metrics_value(m, 1, label("codec", l[i].codec), label("encoder", l[i].stats.encoder));
    }
    metrics_family(m, "pcs_encode_duration_seconds", "histogram",
                   "From a picture in hand to its packet.");
    for (size_t i = 0; i < count; i++) {
        metrics_histogram(m, l[i].latency, label("codec", l[i].codec));
    }
}

/* ---- outputs ---- */

static double sent(const struct sink_totals *t)
{
    return (double)t->sent;
}

static double acked(const struct sink_totals *t)
{
    return (double)t->acked;
}

static double dropped(const struct sink_totals *t)
{
    return (double)t->dropped;
}

static double bytes(const struct sink_totals *t)
{
    return (double)t->bytes;
}

static double reconnects(const struct sink_totals *t)
{
    return (double)t->reconnects;
}

static double queued(const struct sink_totals *t)
{
    return (double)t->queued;
}

static double connected(const struct sink_totals *t)
{
    return t->connected;
}

static void put_outputs(struct metrics *m, struct pipeline *p, struct metrics_memory *memory)
{
    static const struct {
        const char *name, *type, *help;
        double (*get)(const struct sink_totals *t);
    } families[] = {
        { "pcs_output_sent_frames_total", "counter", "Frames that the output sent.", sent },
        { "pcs_output_acked_frames_total", "counter", "Frames known to have arrived.", acked },
        { "pcs_output_dropped_frames_total", "counter",
          "Frames encoded that the output did not send: it could not, or nobody wanted them.",
          dropped },
        { "pcs_output_sent_bytes_total", "counter", "Bytes that the output sent.", bytes },
        { "pcs_output_reconnects_total", "counter", "Connections after the first.", reconnects },
        { "pcs_output_queued_frames", "gauge", "Frames that wait in the output.", queued },
        { "pcs_output_connected", "gauge", "1 while somebody takes what it sends.", connected },
    };
    struct sink_totals t[COUNT_OF(memory->output_dropped)];
    const char *kind[COUNT_OF(t)];
    size_t count = 0;
    for (; count < COUNT_OF(t) && (kind[count] = pipeline_sink(p, count, &t[count])); count++) {
        t[count].dropped = metrics_count(&memory->output_dropped[count], t[count].dropped);
    }
    for (size_t k = 0; k < COUNT_OF(families); k++) {
        metrics_family(m, families[k].name, families[k].type, families[k].help);
        for (size_t i = 0; i < count; i++) {
            metrics_value(m, families[k].get(&t[i]), label("output", kind[i]), none);
        }
    }
}

static void put_archive(struct metrics *m, struct pipeline *p)
{
    struct sink *archive = pipeline_archive(p);
    struct archive_status s;
    if (!archive) {
        return;
    }
    archive_get_status(archive, &s);
    metrics_family(m, "pcs_archive_state", "gauge", "1 for the state that recording is in.");
    for (int i = 0; archive_state_names[i]; i++) {
        metrics_value(m, (int)s.state == i, label("state", archive_state_names[i]), none);
    }
    counted(m, "pcs_archive_segments_total", "Segments begun.", s.segments);
    counted(m, "pcs_archive_removed_segments_total", "Segments that had to go.", s.removed);
    gauge(m, "pcs_archive_bytes", "All our segments in the folder, when last looked at.",
          (double)s.held_bytes);
    gauge(m, "pcs_archive_limit_bytes", "What they may have; 0 = no limit.", (double)s.limit_bytes);
    gauge(m, "pcs_archive_memory_bytes", "Payload that is held in memory.", (double)s.ram_bytes);
    gauge(m, "pcs_archive_memory_seconds", "How far back that goes.", (double)s.ram_us / 1e6);
    counted(m, "pcs_archive_dumps_total", "Times that memory was written to a file.", s.dumps);
}

static void put_web(struct metrics *m, const struct site *site)
{
    struct web_stats w;
    web_get_stats(site_web(site), &w);
    gauge(m, "pcs_web_clients", "Clients that are being streamed to.", (double)w.clients);
    gauge(m, "pcs_web_connections", "Open connections.", (double)w.connections);
    counted(m, "pcs_web_clients_total", "Clients that were ever streamed to.", w.clients_total);
    counted(m, "pcs_web_rejected_clients_total", "Clients that were too many.", w.rejected);
    counted(m, "pcs_web_refused_requests_total", "Requests with a wrong token, origin or form.",
            w.refused);
    counted(m, "pcs_web_requests_total", "Requests.", w.requests);
    counted(m, "pcs_web_sent_frames_total", "Frames sent, each counted once a client.", w.frames);
    counted(m, "pcs_web_sent_bytes_total", "Bytes sent.", w.bytes);
    struct feed_stats jpeg, h264;
    feed_get_stats(site_mjpeg(site), &jpeg);
    feed_get_stats(site_h264(site), &h264);
    metrics_family(m, "pcs_web_skipped_frames_total", "counter",
                   "Frames that clients were too slow for, each counted once a client.");
    metrics_value(m, (double)jpeg.skipped, label("stream", "mjpeg"), none);
    metrics_value(m, (double)h264.skipped, label("stream", "h264"), none);
    metrics_family(m, "pcs_web_delivery_latency_seconds", "histogram",
                   "From capture until a client's frame was handed to the kernel.");
    metrics_histogram(m, feed_latency(site_mjpeg(site)), label("stream", "mjpeg"));
    metrics_histogram(m, feed_latency(site_h264(site)), label("stream", "h264"));
}

/* ---- host ---- */

static void put_flags(struct metrics *m, const char *name, const char *help, unsigned bits)
{
    static const struct {
        unsigned bit;
        const char *reason;
    } flags[] = { { HOST_UNDER_VOLTAGE, "under_voltage" },
                  { HOST_FREQUENCY_CAPPED, "frequency_capped" },
                  { HOST_THROTTLED, "throttled" },
                  { HOST_SOFT_TEMPERATURE_LIMIT, "soft_temperature_limit" } };
    metrics_family(m, name, "gauge", help);
    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        metrics_value(m, (bits & flags[i].bit) != 0, label("reason", flags[i].reason), none);
    }
}

static void put_host(struct metrics *m, const struct host_health *h)
{
    gauge(m, "pcs_host_cpus", "Processor cores.", h->cpus);
    gauge(m, "pcs_host_cpu_load_ratio", "Busy share of all cores.", h->cpu_load);
    gauge(m, "pcs_host_load_average", "Load average of the last minute.", h->load_average);
    if (h->has_temperature) {
        gauge(m, "pcs_host_temperature_celsius", "Of the hottest zone.", h->temperature_c);
    }
    if (h->has_throttled) {
        put_flags(m, "pcs_host_throttled", "1 while the Raspberry Pi holds itself back.",
                  h->throttled);
        put_flags(m, "pcs_host_throttled_since_start", "1 when it has done so since its start.",
                  h->throttled >> HOST_SINCE_START);
    }
    gauge(m, "pcs_host_memory_bytes", "Memory.", (double)h->memory_bytes);
    gauge(m, "pcs_host_memory_available_bytes", "Memory that programs could have.",
          (double)h->memory_available_bytes);
    gauge(m, "pcs_host_disk_bytes", "Size of the root file system.", (double)h->disk_bytes);
    gauge(m, "pcs_host_disk_available_bytes", "Free space of the root file system.",
          (double)h->disk_available_bytes);
    gauge(m, "pcs_host_uptime_seconds", "Time since the machine was started.", h->uptime_s);
}

static void put_process(struct metrics *m, const struct host_health *h)
{
    single(m, "pcs_process_cpu_seconds_total", "counter", "Processor time of this program.",
           h->process_cpu_s);
    gauge(m, "pcs_process_resident_memory_bytes", "Memory of this program.",
          (double)h->process_memory_bytes);
    gauge(m, "pcs_process_threads", "Threads of this program.", h->process_threads);
    gauge(m, "pcs_process_open_fds", "Descriptors of this program.", h->process_fds);
}

char *metrics_of(const struct site *site, const struct host_health *host,
                 struct metrics_memory *memory, size_t *size)
{
    struct pipeline *p = site_env(site)->pipeline;
    struct metrics m;
    if (metrics_begin(&m) < 0) {
        return NULL;
    }
    metrics_family(&m, "pcs_build_info", "gauge", "1; its label is the version.");
    metrics_value(&m, 1, label("version", PCS_VERSION), label("name", site_env(site)->name));
    put_camera(&m, p);
    put_encoders(&m, p, memory);
    put_outputs(&m, p, memory);
    put_archive(&m, p);
    put_web(&m, site);
    put_host(&m, host);
    put_process(&m, host);
    return metrics_end(&m, size);
}
