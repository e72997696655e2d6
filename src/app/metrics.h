/* SPDX-License-Identifier: MIT */
/* What /metrics says: /stats for Prometheus. Threads: the web thread. */
#pragma once

#include <stddef.h>

#include "metrics_text.h"

struct host_health;
struct site;

/* What was told before. Zeroed: nothing. */
struct metrics_memory {
    struct metrics_count encoder_dropped[4], output_dropped[16];
};

/* To be freed; NULL: no memory. */
char *metrics_of(const struct site *site, const struct host_health *host,
                 struct metrics_memory *memory, size_t *size);
