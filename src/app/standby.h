/* SPDX-License-Identifier: MIT */
/*
 * Standby: while the camera gives no pictures, two a second that say so, why and since when, so that
 * viewers and recordings go on. They have the size, rate and colours of the camera's own, so the same
 * encoder goes on too.
 * Life: standby_start → standby_stop → standby_free. Threads: one of its own; the callbacks are called
 * there; the rest from main.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "capture/capture.h"
#include "pcs/format.h"

struct frame;
struct standby;

struct standby_handler {
    /* What pictures the encoders read now (FORMAT_NONE: nobody wants any). */
    bool (*wanted)(void *arg, struct format *format);
    void (*picture)(void *arg, const struct frame *picture); /* borrowed, as the capture stage's */
    void *arg;
};

/* 0 or a negative errno. `capture` is borrowed until standby_stop. */
int standby_start(struct standby **out, struct capture *capture,
                  const struct standby_handler *handler);
void standby_stop(struct standby *s); /* NULL is fine */
void standby_free(struct standby *s);

/*
 * Pure: when is the next one due, as far as these say? INT64_MAX: not before they change. `why` (of 200
 * bytes) says what is wrong when it is due now.
 */
int64_t standby_due_us(const struct capture_stats *stats, int64_t now_us, char *why);

/* A black picture of `format` (YU12, tight) with those words into `to`. `away_us`: for so long. */
void standby_draw(uint8_t *to, const struct format *format, const char *why, int64_t away_us,
                  int64_t wall_us);
