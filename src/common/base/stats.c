/* SPDX-License-Identifier: MIT */
/*
 * Bucket of value v: below 32, v itself; above, 32 buckets for each power of two, so bucket =
 * 32 * (exponent - 4) + the five bits behind the leading one.
 */
#include "pcs/stats.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcs/text.h"

#define SUB_BITS 5
#define SUB      (1 << SUB_BITS)

static unsigned bucket_of(uint64_t v)
{
    if (v < SUB) {
        return (unsigned)v;
    }
    unsigned exponent = 63u - (unsigned)__builtin_clzll(v);
    unsigned bucket = (exponent - SUB_BITS + 1) * SUB +
                      (unsigned)(v >> (exponent - SUB_BITS)) % SUB;
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static int64_t upper_edge(unsigned bucket)
{
    if (bucket < SUB) {
        return bucket;
    }
    unsigned shift = bucket / SUB - 1;
    return (((int64_t)SUB + bucket % SUB + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, int64_t value_us)
{
    int64_t v = value_us > 0 ? value_us : 0;
    atomic_fetch_add_explicit(&h->bucket[bucket_of((uint64_t)v)], 1, memory_order_relaxed);
    counter_add(&h->count, 1);
    counter_add(&h->sum_us, (uint64_t)v);
    int64_t max_us = atomic_load_explicit(&h->max_us, memory_order_relaxed);
    while (v > max_us && !atomic_compare_exchange_weak_explicit(
                             &h->max_us, &max_us, v, memory_order_relaxed, memory_order_relaxed)) {
    }
}

int64_t histogram_quantile(const struct histogram *h, double q)
{
    uint64_t count = counter_get(&h->count);
    uint64_t rank = (uint64_t)ceil(q * (double)count);
    rank = rank > 0 ? rank : 1;
    int64_t max_us = atomic_load_explicit(&h->max_us, memory_order_relaxed);
    uint64_t seen = 0;
    for (unsigned i = 0; count > 0 && i < HISTOGRAM_BUCKETS; i++) {
        seen += atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
        if (seen >= rank) {
            return upper_edge(i) < max_us ? upper_edge(i) : max_us;
        }
    }
    return count > 0 ? max_us : 0;
}

uint64_t histogram_cumulate(const struct histogram *h, const int64_t *edges_us, size_t edges,
                            uint64_t *out)
{
    uint64_t seen = 0;
    size_t edge = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        while (edge < edges && upper_edge(i) > edges_us[edge]) {
            out[edge++] = seen;
        }
        seen += atomic_load_explicit(&h->bucket[i], memory_order_relaxed);
    }
    while (edge < edges) {
        out[edge++] = seen;
    }
    return seen;
}

static void add_ms(struct cJSON *object, const char *name, int64_t us)
{
    (void)cJSON_AddNumberToObject(object, name, (double)us / 1000.0); /* no memory: left out */
}

struct cJSON *histogram_json(const struct histogram *h)
{
    struct cJSON *object = cJSON_CreateObject();
    add_ms(object, "p50", histogram_quantile(h, 0.50));
    add_ms(object, "p95", histogram_quantile(h, 0.95));
    add_ms(object, "p99", histogram_quantile(h, 0.99));
    add_ms(object, "max", atomic_load_explicit(&h->max_us, memory_order_relaxed));
    return object;
}

void summary_print(struct cJSON *o)
{
    char *text = cJSON_PrintUnformatted(o);
    if (text) {
        text_clean(text, strlen(text)); /* names and paths may be anything; JSON is UTF-8 */
        (void)printf("%s\n", text);     /* a closed stdout is the caller's wish */
        (void)fflush(stdout);
    }
    free(text);
    cJSON_Delete(o);
}
