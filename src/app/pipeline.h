/* SPDX-License-Identifier: MIT */
/*
 * The sender's sentence: capture → (copy | encode) → hub → sinks. What the camera compressed itself
 * is copied into packets in the capture thread; pictures go through the raw hub to the encode thread.
 * Life: pipeline_start → pipeline_end → pipeline_finish → pipeline_free. Threads: main; the figures
 * (totals, sinks, JSON) from any, from the sinks' start to the end of their finish.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "capture/capture.h"
#include "lane.h"
#include "pcs/err.h"
#include "pcs/sink.h"

struct capture;
struct cJSON;
struct errands;
struct histogram;
struct pipeline;
struct settings;
struct site;
struct stop;

/* `stop` is requested when the source has ended. */
int pipeline_start(struct pipeline **out, const struct settings *settings, struct stop *stop,
                   struct err *err);

/* Stop capturing, encode what is in hand and end the stream; the sinks go on delivering. */
void pipeline_end(struct pipeline *p);
bool pipeline_delivered(struct pipeline *p);    /* every sink is done */
bool pipeline_connected(struct pipeline *p);    /* some sink could still deliver */
uint64_t pipeline_progress(struct pipeline *p); /* changes while anything is delivered */
void pipeline_finish(struct pipeline *p, int64_t deadline_us);
void pipeline_free(struct pipeline *p);

/* The live options of `settings` have new values. */
void pipeline_reconfigure(struct pipeline *p);

/* 0, or why the source can never deliver (after stop). */
int pipeline_failed(struct pipeline *p, struct err *err);

struct pipeline_totals {
    uint64_t captured, encoded, dropped; /* stand-ins count as captured */
    uint64_t stood_in;
    struct capture_stats capture;
};
void pipeline_get_totals(struct pipeline *p, struct pipeline_totals *out);
/* Totals of the i-th open sink, `dropped` by the contract's sum; its kind, or NULL: there are no more. */
const char *pipeline_sink(struct pipeline *p, size_t i, struct sink_totals *out);

/* The i-th lane; false: there are no more. */
struct pipeline_lane {
    const char *codec; /* as --codec names it */
    bool first;        /* it is the stream's */
    bool copies;
    const struct histogram *latency; /* picture in hand → packet */
    struct lane_stats stats;
};
bool pipeline_get_lane(struct pipeline *p, size_t i, struct pipeline_lane *out);
const struct histogram *pipeline_capture_latency(const struct pipeline *p);

/* What others want main to do, while it is waiting; closed by pipeline_end. */
struct errands *pipeline_errands(struct pipeline *p);
const struct settings *pipeline_settings(const struct pipeline *p); /* main's */
/* The source, to ask for its controls: from the sinks' start to the end of their finish. */
struct capture *pipeline_capture(struct pipeline *p);
void pipeline_request_key(struct pipeline *p); /* of every H.264 encoder; any thread */

struct site **pipeline_site(struct pipeline *p); /* where the outputs keep what they share */

/* The open archive (archive.h), or NULL. */
struct sink *pipeline_archive(struct pipeline *p);

struct cJSON *pipeline_outputs_json(struct pipeline *p);
struct cJSON *pipeline_latency_json(struct pipeline *p);
