/* SPDX-License-Identifier: MIT */
/*
 * Sink: an output. One file, one line in src/app/outputs.c, one line of CMake; it brings its options
 * with it. A sink subscribes to the hub it is given, works in its own thread, and never slows the
 * producer.
 * Life: open → (frames flow) → finish → free, all by the supervisor. Threads: main; report: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pcs/err.h"
#include "pcs/option.h"

struct cJSON;
struct hub;
struct pipeline;
struct serve_config;
struct sink;

/* What the program tells every sink. Borrowed; outlives the sink. */
struct sink_env {
    const char *name;    /* of this camera */
    const char *version; /* of the program */
    struct hub *hub;     /* the stream: encoded frames, in what --codec says or the camera has */
    struct hub *jpeg, *h264; /* encoded frames in one codec each, made on demand */
    struct hub *pictures; /* raw ones, or a camera's JPEG; a driver's buffers: keep them briefly */
    const struct serve_config *serve;
    struct pipeline *pipeline; /* for those of src/app, which report on it and steer it */
};

/*
 * Frames count once, to however many they go: encoded = sent + dropped + queued. `dropped` is what the sink
 * knows by itself; what is told to the outside follows from the sum (src/app/pipeline_figures.c).
 */
struct sink_totals {
    uint64_t sent, acked, dropped, queued, bytes, reconnects;
    unsigned targets; /* each of which gets every frame; 0 = 1 */
    bool connected;
    bool done; /* the hub has ended and all of it is delivered and confirmed */
};

struct sink_backend {
    const char *kind;    /* "push": in logs and the summary */
    const char *section; /* of its options; NULL: its kind */
    const struct option_def *options;
    size_t option_count;
    size_t config_size;
    bool (*wanted)(const void *config);
    /* Take your usual place, unless the config has another one: --serve. NULL: is not served. */
    void (*serve)(void *config);
    /* Judge the options together, before anything is opened. 0, or negative with err. */
    int (*check)(const void *config, struct err *err);
    int (*open)(struct sink **out, const void *config, const struct sink_env *env, struct err *err);
    /* Everything is running: let visitors in. May be NULL. */
    int (*start)(struct sink *sink, struct err *err);
    /* The config's live options changed (SIGHUP). May be NULL. */
    void (*reconfigure)(struct sink *sink, const void *config);
    /* The hub has ended: deliver what is queued until `deadline_us`, then stop. Blocks. */
    void (*finish)(struct sink *sink, int64_t deadline_us);
    void (*free)(struct sink *sink);
    void (*totals)(struct sink *sink, struct sink_totals *out);
    /* Its object in the summary's "outputs", or an array of them. */
    struct cJSON *(*report)(struct sink *sink);
};
