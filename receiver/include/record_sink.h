/* SPDX-License-Identifier: MIT */
/*
 * Record sink: the recorder of one stream as a subscriber of the stream's hub. What the recorder
 * reports from its own thread is kept here as numbers, and the stream is woken.
 * Life: record_sink_start → frames through the hub → record_sink_finish → record_sink_free.
 * Threads: the stream's, but for record_sink_hurry.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pcs/err.h"

struct cJSON;
struct config;
struct hub;
struct record_sink;

struct record_sink_params {
    const struct config *config;
    const char *name; /* of the sender */
    unsigned number;
    struct hub *hub;
    void (*wake)(void *arg); /* something was synced, or must be sent again; any thread */
    void *arg;
};

int record_sink_start(struct record_sink **out, const struct record_sink_params *params,
                      struct err *err);
void record_sink_free(struct record_sink *r);

/* A frame with FRAME_REWOUND is about to be published: what was refused before is answered. */
void record_sink_rewound(struct record_sink *r);

uint64_t record_sink_synced(const struct record_sink *r); /* every frame up to here is on disk */
/* Must frames be sent again? True once per wish. */
bool record_sink_take_replay(struct record_sink *r, uint64_t *from_seq);
/* The disk is slower than the line: reading should wait a moment. */
bool record_sink_is_behind(const struct record_sink *r);
/* The stream has ended: write and sync at once, or ask for what was refused behind `synced_seq`. */
void record_sink_end(struct record_sink *r, uint64_t synced_seq, int64_t now_us);
void record_sink_finish(struct record_sink *r, int64_t deadline_us); /* blocks until then at most */
void record_sink_hurry(struct record_sink *r,
                       int64_t deadline_us); /* … or until then; any thread */

struct record_sink_totals {
    uint64_t written;
    bool paused;
};
void record_sink_get_totals(struct record_sink *r, struct record_sink_totals *out);
void record_sink_add_files(struct record_sink *r, struct cJSON *array); /* after finish */
