/* SPDX-License-Identifier: MIT */
/*
 * Feed: what one receiver is served from, connected or not: its replay buffer, what it is greeted with, and
 * its numbers.
 * Life: init/finish in the caller's memory. Threads: one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pcs/log.h"
#include "pcs/wire.h"
#include "replay.h"

struct cJSON;
struct histogram;
struct sink_env;
struct sink_totals;

struct feed {
    struct replay replay;
    uint64_t warned; /* skipped frames that the log knows of */
    struct log_limit large_limit, full_limit;
};

void feed_init(struct feed *f, size_t max_bytes);
void feed_finish(struct feed *f);

/* The stream's next frame. False: a key frame should be asked for. */
bool feed_add(struct feed *f, const struct frame *frame);
/* Say so when the buffer was too small; `quiet`: dropping is what was asked for. */
void feed_warn(struct feed *f, bool quiet);

/* All of a HELLO but its numbers. */
void feed_greet(struct wire_hello *hello, const struct sink_env *env, const uint8_t session[16],
                const struct format *format);

void feed_add_totals(const struct feed *f, struct sink_totals *sum);

/* What push and its like say in the summary, behind kind and target. */
void feed_report(struct cJSON *o, const struct sink_totals *totals, uint64_t resent,
                 const struct histogram *latency);
