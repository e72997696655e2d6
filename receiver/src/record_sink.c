/* SPDX-License-Identifier: MIT */
#include "record_sink.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "config.h"
#include "pcs/clock.h"
#include "pcs/hub.h"
#include "pcs/queue.h"
#include "record/recorder.h"

#define QUEUE_FRAMES 16384
#define QUEUE_BYTES  ((size_t)32 << 20)
#define BEHIND_BYTES ((size_t)8 << 20) /* above it the line waits for the disk */
#define BATCH_BYTES  ((size_t)256 << 10)
#define ASK_AGAIN_US CLOCK_S

struct record_sink {
    struct hub *hub;
    struct queue *queue;
    struct recorder *recorder;
    void (*wake)(void *arg);
    void *wake_arg;
    _Atomic uint64_t synced, replay_seq; /* replay_seq 0: no wish */

    /* the stream thread's own */
    uint64_t dropped_seen; /* refused by the queue and answered since */
    int64_t asked_us;
    bool ended;
};

static void on_synced(void *arg, uint64_t seq)
{
    struct record_sink *r = arg;
    atomic_store(&r->synced, seq);
    r->wake(r->wake_arg);
}

static void on_replay(void *arg, uint64_t seq)
{
    struct record_sink *r = arg;
    atomic_store(&r->replay_seq, seq);
    r->wake(r->wake_arg);
}

int record_sink_start(struct record_sink **out, const struct record_sink_params *params,
                      struct err *err)
{
    struct record_sink *r = calloc(1, sizeof *r);
    if (!r) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    const struct config *c = params->config;
    const struct queue_limits limits = { .policy = QUEUE_ALL,
                                         .max_frames = QUEUE_FRAMES,
                                         .max_bytes = QUEUE_BYTES,
                                         .wake_bytes = BATCH_BYTES };
    const struct recorder_config rc = {
        .pattern = c->output,
        .name = params->name,
        .number = params->number,
        .segment_time_us = c->segment_time_us,
        .segment_bytes = c->segment_bytes,
        .sync_us = c->sync_us,
        .synced = on_synced,
        .replay = on_replay,
        .arg = r,
    };
    r->hub = params->hub;
    r->wake = params->wake;
    r->wake_arg = params->arg;
    r->queue = queue_new(&limits);
    int code = r->queue ? hub_subscribe(r->hub, r->queue) : -ENOMEM;
    code = code < 0 ? err_set(err, code, "out of memory")
                    : recorder_start(&r->recorder, &rc, r->queue, err);
    if (code < 0) {
        record_sink_free(r);
        return code;
    }
    *out = r;
    return 0;
}

void record_sink_free(struct record_sink *r)
{
    if (!r) {
        return;
    }
    if (r->queue) {
        hub_unsubscribe(r->hub, r->queue);
        queue_unref(r->queue);
    }
    recorder_free(r->recorder);
    free(r);
}

static uint64_t refused(const struct record_sink *r)
{
    struct queue_stats stats;
    queue_get_stats(r->queue, &stats);
    return stats.dropped;
}

void record_sink_rewound(struct record_sink *r)
{
    r->dropped_seen = refused(r);
}

uint64_t record_sink_synced(const struct record_sink *r)
{
    return atomic_load(&r->synced);
}

bool record_sink_take_replay(struct record_sink *r, uint64_t *from_seq)
{
    uint64_t seq = atomic_exchange(&r->replay_seq, 0);
    *from_seq = seq;
    return seq != 0;
}

static bool is_paused(const struct record_sink *r)
{
    struct recorder_stats stats;
    recorder_get_stats(r->recorder, &stats);
    return stats.paused;
}

bool record_sink_is_behind(const struct record_sink *r)
{
    struct queue_stats stats;
    queue_get_stats(r->queue, &stats);
    return stats.bytes > BEHIND_BYTES && !is_paused(r);
}

void record_sink_end(struct record_sink *r, uint64_t synced_seq, int64_t now_us)
{
    if (r->ended) {
        return;
    }
    if (refused(r) == r->dropped_seen) {
        hub_end(r->hub); /* the recorder writes all it has, and syncs */
        r->ended = true;
    } else if (!is_paused(r) && now_us - r->asked_us > ASK_AGAIN_US) {
        /* Refused at the very end, so that no later frame shows the recorder a hole. */
        r->asked_us = now_us;
        atomic_store(&r->replay_seq, synced_seq + 1);
    }
}

void record_sink_finish(struct record_sink *r, int64_t deadline_us)
{
    hub_end(r->hub);
    recorder_finish(r->recorder, deadline_us);
}

void record_sink_hurry(struct record_sink *r, int64_t deadline_us)
{
    recorder_hurry(r->recorder, deadline_us);
}

void record_sink_get_totals(struct record_sink *r, struct record_sink_totals *out)
{
    struct recorder_stats stats;
    recorder_get_stats(r->recorder, &stats);
    *out = (struct record_sink_totals){ .written = stats.written, .paused = stats.paused };
}

static void add_file(void *arg, const char *path)
{
    cJSON_AddItemToArray(arg, cJSON_CreateString(path));
}

void record_sink_add_files(struct record_sink *r, struct cJSON *array)
{
    recorder_each_file(r->recorder, add_file, array);
}
