/* SPDX-License-Identifier: MIT */
#include "metrics_text.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pcs/stats.h"
#include "pcs/text.h"

/* From a tenth of a millisecond to ten seconds. */
static const int64_t edges_us[] = { 100,     250,     500,     1000,    2500,   5000,
                                    10000,   25000,   50000,   100000,  250000, 500000,
                                    1000000, 2500000, 5000000, 10000000 };
#define EDGES (sizeof edges_us / sizeof edges_us[0])

int metrics_begin(struct metrics *m)
{
    *m = (struct metrics){ 0 };
    m->out = open_memstream(&m->text, &m->size);
    return m->out ? 0 : -ENOMEM;
}

char *metrics_end(struct metrics *m, size_t *n)
{
    int failed = ferror(m->out);
    failed |= fclose(m->out);
    if (failed) {
        free(m->text);
        return NULL;
    }
    *n = m->size;
    return m->text;
}

uint64_t metrics_count(struct metrics_count *c, uint64_t n)
{
    uint64_t both = n < c->seen ? n : c->seen;
    c->seen = n;
    c->told = both > c->told ? both : c->told;
    return c->told;
}

void metrics_family(struct metrics *m, const char *name, const char *type, const char *help)
{
    m->family = name;
    (void)fprintf(m->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type); /* see ferror */
}

static void put_label(FILE *out, char before, struct metrics_label label)
{
    char value[256];
    (void)snprintf(value, sizeof value, "%s", label.value);
    text_clean(value, strlen(value)); /* one bad byte, and the whole page is refused */
    (void)fprintf(out, "%c%s=\"", before, label.name);
    for (const char *p = value; *p; p++) {
        (void)fprintf(out, *p == '"' || *p == '\\' ? "\\%c" : "%c", *p);
    }
    (void)fputc('"', out);
}

static void put_labels(FILE *out, struct metrics_label a, struct metrics_label b)
{
    char before = '{';
    if (a.name) {
        put_label(out, before, a);
        before = ',';
    }
    if (b.name) {
        put_label(out, before, b);
        before = ',';
    }
    if (before == ',') {
        (void)fputc('}', out);
    }
}

static void put_number(FILE *out, double value)
{
    if (isfinite(value)) {
        (void)fprintf(out, " %.15g\n", value);
    } else {
        (void)fprintf(out, " %s\n", isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf");
    }
}

static void put(struct metrics *m, const char *suffix, double value, struct metrics_label a,
                struct metrics_label b)
{
    (void)fprintf(m->out, "%s%s", m->family, suffix);
    put_labels(m->out, a, b);
    put_number(m->out, value);
}

void metrics_value(struct metrics *m, double value, struct metrics_label a, struct metrics_label b)
{
    put(m, "", value, a, b);
}

void metrics_histogram(struct metrics *m, const struct histogram *h, struct metrics_label label)
{
    const struct metrics_label none = { NULL, NULL };
    uint64_t below[EDGES], sum_us = counter_get(&h->sum_us);
    uint64_t all = histogram_cumulate(h, edges_us, EDGES, below);
    char edge[32];
    for (size_t i = 0; i < EDGES; i++) {
        (void)snprintf(edge, sizeof edge, "%g", (double)edges_us[i] / 1e6);
        put(m, "_bucket", (double)below[i], label, (struct metrics_label){ "le", edge });
    }
    put(m, "_bucket", (double)all, label, (struct metrics_label){ "le", "+Inf" });
    put(m, "_sum", (double)sum_us / 1e6, label, none);
    put(m, "_count", (double)all, label, none);
}
