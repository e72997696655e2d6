/* SPDX-License-Identifier: MIT */
/*
 * Figures as Prometheus reads them: its text format 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/).
 * Life: metrics_begin → (metrics_family → metrics_value …) … → metrics_end. Threads: one.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct histogram;

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct metrics {
    FILE *out;
    char *text;
    size_t size;
    const char *family;
};

int metrics_begin(struct metrics *m);            /* 0, or -ENOMEM */
char *metrics_end(struct metrics *m, size_t *n); /* to be freed; NULL: no memory */

/*
 * A counter that is a difference of others, which may be too high by what was on its way when they were read:
 * counted is what two readings in a row have. It never goes back: whoever reads counters by their differences
 * would take that for a new start of the program. Zeroed: new.
 */
struct metrics_count {
    uint64_t seen, told;
};
uint64_t metrics_count(struct metrics_count *c, uint64_t n);

/* `type`: "counter", "gauge" or "histogram". All values of a family stand together. */
void metrics_family(struct metrics *m, const char *name, const char *type, const char *help);

struct metrics_label {
    const char *name, *value; /* the value may be anything; what is not text becomes '?' */
};
/* Up to two labels; NULL names are left out. */
void metrics_value(struct metrics *m, double value, struct metrics_label a, struct metrics_label b);
/* Of times: in seconds. */
void metrics_histogram(struct metrics *m, const struct histogram *h, struct metrics_label label);
