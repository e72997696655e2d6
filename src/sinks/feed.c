/* SPDX-License-Identifier: MIT */
#include "feed.h"

#include <cjson/cJSON.h>
#include <string.h>

#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/sink.h"
#include "pcs/stats.h"

#define LOG_PERIOD_US (30 * CLOCK_S)

void feed_init(struct feed *f, size_t max_bytes)
{
    *f = (struct feed){ 0 };
    replay_init(&f->replay, max_bytes);
}

void feed_finish(struct feed *f)
{
    replay_finish(&f->replay);
}

bool feed_add(struct feed *f, const struct frame *frame)
{
    if (frame->size <= WIRE_FRAME_MAX) {
        return replay_add(&f->replay, frame);
    }
    /* Its number stays a hole, which is counted with the next frame. */
    log_limited(&f->large_limit, LOG_PERIOD_US, LOG_ERROR,
                "a frame of %zu bytes is too large for the wire and is dropped", frame->size);
    return true;
}

void feed_warn(struct feed *f, bool quiet)
{
    uint64_t skipped = replay_skipped(&f->replay);
    if (skipped > f->warned && !quiet) {
        log_limited(&f->full_limit, LOG_PERIOD_US, LOG_WARN,
                    "the buffer of %zu MB is full: the oldest frames are dropped, %llu so far",
                    f->replay.max_bytes >> 20, (unsigned long long)skipped);
    }
    f->warned = skipped;
}

void feed_greet(struct wire_hello *hello, const struct sink_env *env, const uint8_t session[16],
                const struct format *format)
{
    *hello = (struct wire_hello){ .version = WIRE_VERSION,
                                  .mono_us = clock_now_us(),
                                  .wall_us = clock_wall_us(),
                                  .format = *format };
    memcpy(hello->session, session, sizeof hello->session);
    strncpy(hello->name, env->name, WIRE_NAME_MAX);
    strncpy(hello->software, env->version, WIRE_NAME_MAX);
}

void feed_add_totals(const struct feed *f, struct sink_totals *sum)
{
    const struct replay *r = &f->replay;
    sum->sent += r->sent;
    sum->acked += r->acked;
    sum->dropped += replay_skipped(r);
    sum->queued += replay_unsent(r);
    sum->bytes += r->sent_bytes;
}

void feed_report(struct cJSON *o, const struct sink_totals *totals, uint64_t resent,
                 const struct histogram *latency)
{
    cJSON_AddNumberToObject(o, "sent", (double)totals->sent);
    cJSON_AddNumberToObject(o, "acked", (double)totals->acked);
    cJSON_AddNumberToObject(o, "dropped", (double)totals->dropped);
    cJSON_AddNumberToObject(o, "bytes", (double)totals->bytes);
    cJSON_AddNumberToObject(o, "reconnects", (double)totals->reconnects);
    cJSON_AddNumberToObject(o, "resent", (double)resent);
    cJSON_AddItemToObject(o, "latency_ms", histogram_json(latency));
}
