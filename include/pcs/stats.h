/* SPDX-License-Identifier: MIT */
/*
 * Counters and latency histograms.
 * A histogram has log-linear buckets (32 per power of two, so a percentile is at most 3.2 % high)
 * from 1 us to 2^36 us and a fixed size: recording allocates nothing and takes no lock.
 * Threads: add and read from any; a snapshot is consistent to within the frames in flight.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct cJSON;

typedef _Atomic uint64_t counter; /* the one typedef: an atomic has no struct of its own */

static inline void counter_add(counter *c, uint64_t n)
{
    atomic_fetch_add_explicit(c, n, memory_order_relaxed);
}
static inline uint64_t counter_get(const counter *c)
{
    return atomic_load_explicit((counter *)c, memory_order_relaxed);
}

#define HISTOGRAM_BUCKETS (32 * 32)

struct histogram {
    atomic_uint bucket[HISTOGRAM_BUCKETS];
    counter count, sum_us;
    _Atomic int64_t max_us;
};

void histogram_add(struct histogram *h, int64_t value_us); /* negative counts as 0 */
/* Upper edge of the bucket that holds quantile `q` (0..1), never above the maximum; 0 when empty. */
int64_t histogram_quantile(const struct histogram *h, double q);

/*
 * How many values were at most each of `edges_us` (ascending; as exact as the buckets are), in one walk, so
 * that the numbers fit each other. Returns how many there are in all.
 */
uint64_t histogram_cumulate(const struct histogram *h, const int64_t *edges_us, size_t edges,
                            uint64_t *out);

/* The program's last word: `o` as one line on stdout. Frees it. */
void summary_print(struct cJSON *o);

/* {"p50":ms,"p95":ms,"p99":ms,"max":ms}, milliseconds with three decimals. NULL: no memory. */
struct cJSON *histogram_json(const struct histogram *h);
