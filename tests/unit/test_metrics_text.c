/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "app/metrics_text.h"
#include "pcs/stats.h"

static const struct metrics_label none = { NULL, NULL };

static void expect(struct metrics *m, const char *text)
{
    size_t size = 0;
    char *got = metrics_end(m, &size);
    assert_string_equal(got, text);
    assert_int_equal(size, strlen(text));
    free(got);
}

static void families_and_numbers(void **state)
{
    struct metrics m;
    (void)state;
    assert_int_equal(metrics_begin(&m), 0);
    metrics_family(&m, "pcs_frames_total", "counter", "Frames.");
    metrics_value(&m, 123456789012, none, none);
    metrics_family(&m, "pcs_load_ratio", "gauge", "Load.");
    metrics_value(&m, 0.1, none, none);
    metrics_value(&m, NAN, none, none);
    metrics_value(&m, INFINITY, none, none);
    metrics_value(&m, -INFINITY, none, none);
    expect(&m,
           "# HELP pcs_frames_total Frames.\n# TYPE pcs_frames_total counter\n"
           "pcs_frames_total 123456789012\n"
           "# HELP pcs_load_ratio Load.\n# TYPE pcs_load_ratio gauge\n"
           "pcs_load_ratio 0.1\npcs_load_ratio NaN\npcs_load_ratio +Inf\npcs_load_ratio -Inf\n");
}

static void labels_are_escaped(void **state)
{
    const struct metrics_label a = { "name", "back\\slash \"quoted\"\nline \xff\xc3\xa4" },
                               b = { "x", "" };
    struct metrics m;
    (void)state;
    assert_int_equal(metrics_begin(&m), 0);
    metrics_family(&m, "pcs_info", "gauge", "Info.");
    metrics_value(&m, 1, a, b);
    metrics_value(&m, 1, b, none);
    expect(&m, "# HELP pcs_info Info.\n# TYPE pcs_info gauge\n"
               "pcs_info{name=\"back\\\\slash \\\"quoted\\\"?line ?\xc3\xa4\",x=\"\"} 1\n"
               "pcs_info{x=\"\"} 1\n");
}

static void a_counted_difference_never_goes_back(void **state)
{
    struct metrics_count c = { 0 };
    (void)state;
    assert_int_equal(metrics_count(&c, 5), 0); /* perhaps they were only on their way */
    assert_int_equal(metrics_count(&c, 6), 5);
    assert_int_equal(metrics_count(&c, 6), 6);
    assert_int_equal(metrics_count(&c, 7), 6); /* … as this one was */
    assert_int_equal(metrics_count(&c, 6), 6);
    assert_int_equal(metrics_count(&c, 2), 6);
}

static void a_histogram_is_cumulative_and_in_seconds(void **state)
{
    static struct histogram h;
    const struct metrics_label label = { "codec", "h264" };
    struct metrics m;
    size_t size;
    (void)state;
    histogram_add(&h, 50);
    histogram_add(&h, 4000);
    histogram_add(&h, 60000000);
    assert_int_equal(metrics_begin(&m), 0);
    metrics_family(&m, "pcs_time_seconds", "histogram", "Time.");
    metrics_histogram(&m, &h, label);
    char *text = metrics_end(&m, &size);
    assert_non_null(strstr(text, "pcs_time_seconds_bucket{codec=\"h264\",le=\"0.0001\"} 1\n"));
    assert_non_null(strstr(text, "pcs_time_seconds_bucket{codec=\"h264\",le=\"0.0025\"} 1\n"));
    assert_non_null(strstr(text, "pcs_time_seconds_bucket{codec=\"h264\",le=\"0.005\"} 2\n"));
    assert_non_null(strstr(text, "pcs_time_seconds_bucket{codec=\"h264\",le=\"10\"} 2\n"));
    assert_non_null(strstr(text, "pcs_time_seconds_bucket{codec=\"h264\",le=\"+Inf\"} 3\n"
                                 "pcs_time_seconds_sum{codec=\"h264\"} 60.00405\n"
                                 "pcs_time_seconds_count{codec=\"h264\"} 3\n"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_and_numbers),
        cmocka_unit_test(labels_are_escaped),
        cmocka_unit_test(a_counted_difference_never_goes_back),
        cmocka_unit_test(a_histogram_is_cumulative_and_in_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
