/* SPDX-License-Identifier: MIT */
/*
 * The v4l2 source on the emulated camera, for its tests.
 * Life: within a bench (camera_bench.h). Threads: main only.
 */
#pragma once

#include "camera_bench.h"
#include "capture/source.h"
#include "capture/v4l2_find.h"

/* The backend's config: its one option, and what it remembers. */
struct v4l2_bench_config {
    const char *device;
    struct v4l2_history history;
};

/* Open with a fresh memory: what the source says. */
int v4l2_bench_try(const struct bench *b, const char *device, struct source **s,
                   const struct source_wish *wish, struct format *f, struct err *err);
/* The same of BENCH_DEVICE, or the test fails. */
struct source *v4l2_bench_open(const struct bench *b, const struct source_wish *wish,
                               struct format *f);
/* The next usable frame, or the test fails. */
const struct frame *v4l2_bench_next(struct source *s, unsigned *lost);
/* The number that the emulated sensor painted into it. */
uint32_t v4l2_bench_number(const struct frame *frame);
