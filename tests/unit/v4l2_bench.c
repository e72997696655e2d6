/* SPDX-License-Identifier: MIT */
#include "v4l2_bench.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

int v4l2_bench_try(const struct bench *b, const char *device, struct source **s,
                   const struct source_wish *wish, struct format *f, struct err *err)
{
    struct v4l2_bench_config config = { .device = device };
    assert_int_equal(source_v4l2.config_size, sizeof config);
    *err = (struct err){ 0 };
    return source_v4l2.open(s, wish, &config, b->stop, f, err);
}

struct source *v4l2_bench_open(const struct bench *b, const struct source_wish *wish,
                               struct format *f)
{
    struct source *s = NULL;
    struct err err;
    if (v4l2_bench_try(b, BENCH_DEVICE, &s, wish, f, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return s;
}

const struct frame *v4l2_bench_next(struct source *s, unsigned *lost)
{
    const struct frame *frame = NULL;
    struct err err = { 0 };
    int code;
    do {
        code = source_v4l2.next(s, &frame, lost, &err);
    } while (code == -EAGAIN);
    if (code != 0) {
        fail_msg("%s", err.text);
    }
    return frame;
}

uint32_t v4l2_bench_number(const struct frame *frame)
{
    struct marker m;
    assert_true(bench_marker(frame, &m));
    return m.number;
}
