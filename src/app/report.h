/* SPDX-License-Identifier: MIT */
/* What the sender says of itself: the health line while it runs, the summary at its end. */
#pragma once

#include <stdint.h>

struct pipeline;
struct service;

struct report_health {
    int64_t since_us; /* of the numbers below */
    uint64_t encoded, bytes;
};

/* One info line, and systemd's status; remembers the numbers for the next rates. */
void report_health(struct report_health *h, struct pipeline *pipeline, struct service *service,
                   int64_t now_us);
void report_summary(struct pipeline *pipeline, int64_t run_us); /* one line of JSON on stdout */
