/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cJSON.h>

#include "pcs/stats.h"
#include "pcs/thread.h"

#define N 20000

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The bucket's upper edge: never below the exact quantile and at most 3.2 % above it. */
static void check_against_exact(int64_t *values, size_t n)
{
    static const double quantiles[] = { 0,    0.001, 0.01, 0.1,  0.25,  0.5,
                                        0.75, 0.9,   0.95, 0.99, 0.999, 1 };
    static struct histogram h;
    memset(&h, 0, sizeof h);
    for (size_t i = 0; i < n; i++) {
        histogram_add(&h, values[i]);
    }
    qsort(values, n, sizeof *values, by_value);
    for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++) {
        size_t rank = (size_t)ceil(quantiles[i] * (double)n);
        int64_t exact = values[rank > 0 ? rank - 1 : 0];
        int64_t got = histogram_quantile(&h, quantiles[i]);
        assert_true(got >= exact);
        assert_true((double)got <= (double)exact * 1.032);
    }
    assert_true(histogram_quantile(&h, 1) == values[n - 1]);
    assert_true(counter_get(&h.count) == n);
}

static void quantiles_are_close_to_exact_ones(void **state)
{
    (void)state;
    static int64_t values[N];
    uint32_t seed = 1;
    for (size_t i = 0; i < N; i++) {
        values[i] = 500 + next_random(&seed) % 40000; /* a latency, in a narrow band */
    }
    check_against_exact(values, N);
    for (size_t i = 0; i < N; i++) {
        values[i] = (int64_t)exp((double)next_random(&seed) / (1 << 24) * 24.9); /* 1 us … 18 h */
    }
    check_against_exact(values, N);
    for (size_t i = 0; i < N; i++) {
        values[i] = (int64_t)i % 100 == 0 ? 1000000 : 30;
    }
    check_against_exact(values, N);
}

/* Every power of two and its neighbours, alone in a histogram, is its own median. */
static void one_value_is_exact(void **state)
{
    (void)state;
    static struct histogram h;
    for (int bit = 0; bit < 40; bit++) {
        for (int64_t d = -1; d <= 1; d++) {
            int64_t value = ((int64_t)1 << bit) + d;
            memset(&h, 0, sizeof h);
            histogram_add(&h, value);
            int64_t most = value < ((int64_t)1 << 36) ? value : ((int64_t)1 << 36) - 1;
            assert_true(histogram_quantile(&h, 0.5) == most);
        }
    }
}

static void small_values_have_their_own_buckets(void **state)
{
    (void)state;
    static struct histogram h;
    for (int i = 0; i < 64; i++) {
        histogram_add(&h, i);
    }
    for (int i = 1; i <= 64; i++) {
        assert_int_equal(histogram_quantile(&h, i / 64.0), i - 1);
    }
}

static void empty_negative_and_absurd(void **state)
{
    (void)state;
    static struct histogram h;
    assert_int_equal(histogram_quantile(&h, 0.5), 0);
    histogram_add(&h, -5);
    histogram_add(&h, INT64_MIN);
    assert_int_equal(histogram_quantile(&h, 1), 0);
    assert_true(counter_get(&h.count) == 2);
    histogram_add(&h, INT64_MAX); /* lands in the last bucket */
    assert_true(histogram_quantile(&h, 1) == ((int64_t)1 << 36) - 1);
    assert_true(atomic_load(&h.max_us) == INT64_MAX);
}

static double number(const struct cJSON *object, const char *name)
{
    const struct cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    assert_true(cJSON_IsNumber(item));
    return item->valuedouble;
}

static void json_is_in_milliseconds(void **state)
{
    (void)state;
    static struct histogram h;
    for (int i = 0; i < 100; i++) {
        histogram_add(&h, i < 50 ? 16 : i < 99 ? 31 : 12345);
    }
    struct cJSON *object = histogram_json(&h);
    assert_non_null(object);
    assert_float_equal(number(object, "p50"), 0.016, 1e-9);
    assert_float_equal(number(object, "p95"), 0.031, 1e-9);
    assert_float_equal(number(object, "p99"), 0.031, 1e-9);
    assert_float_equal(number(object, "max"), 12.345, 1e-9);
    assert_int_equal(cJSON_GetArraySize(object), 4);
    cJSON_Delete(object);
}

static void add_many(void *arg)
{
    struct histogram *h = arg;
    for (int i = 1; i <= N; i++) {
        histogram_add(h, i);
    }
}

static void threads_may_add_together(void **state)
{
    (void)state;
    static struct histogram h;
    struct thread threads[3];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(thread_start(&threads[i], "adder", add_many, &h), 0);
    }
    while (counter_get(&h.count) < N) {
        int64_t median = histogram_quantile(&h, 0.5); /* while it grows */
        assert_true(median >= 0 && median <= N);
    }
    for (int i = 0; i < 3; i++) {
        thread_join(&threads[i]);
    }
    assert_true(counter_get(&h.count) == 3 * N);
    assert_int_equal(histogram_quantile(&h, 1), N);
    uint64_t sum = 0;
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        sum += atomic_load(&h.bucket[i]);
    }
    assert_true(sum == 3 * N);
}

static void counts_below_edges_fit_each_other(void **state)
{
    (void)state;
    static struct histogram h;
    static const int64_t edges[] = { 9, 10, 31, 1000, 1000000 };
    uint64_t below[5];
    for (int i = 1; i <= 100; i++) {
        histogram_add(&h, i * 10);
    }
    assert_int_equal(histogram_cumulate(&h, edges, 5, below), 100);
    assert_int_equal(below[0], 0);
    assert_int_equal(below[1], 1);
    assert_int_equal(below[2], 3);
    assert_true(below[3] >= 96 &&
                below[3] <= 100); /* an edge inside a bucket: what is surely below */
    assert_int_equal(below[4], 100);
    assert_int_equal(counter_get(&h.sum_us), 50500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_close_to_exact_ones),
        cmocka_unit_test(one_value_is_exact),
        cmocka_unit_test(small_values_have_their_own_buckets),
        cmocka_unit_test(empty_negative_and_absurd),
        cmocka_unit_test(json_is_in_milliseconds),
        cmocka_unit_test(counts_below_edges_fit_each_other),
        cmocka_unit_test(threads_may_add_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
