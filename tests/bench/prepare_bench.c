/* SPDX-License-Identifier: MIT */
/*
 * What is done to pictures before they are encoded, against the least that could do the job: libyuv's bare
 * conversion into memory that is there, two of them where it has no single one. CPU: medians of alternating
 * turns in one run, because machines differ and are busy.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libyuv.h>

#include "encode/convert.h"
#include "encode/overlay.h"
#include "encode/prepare.h"
#include "pcs/frame.h"
#include "pcs/pool.h"

#define WIDTH  1920
#define HEIGHT 1080
#define TURNED 1088 /* stride of a picture that is HEIGHT wide */
#define TURNS  101
#define TEXT   "%Y-%m-%d %H:%M:%S"

struct planes {
    uint8_t *y, *u, *v;
    int stride_y, stride_uv;
};

struct bench {
    const char *name;
    enum format_id id;
    unsigned transform;
    const char *overlay;
    void (*floor)(const struct frame *in, const struct planes *to, const struct planes *between);
    double goal;
};

static void *must(void *p)
{
    if (!p) {
        perror("prepare_bench");
        exit(1);
    }
    return p;
}

static double cpu_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static double median(double *ms)
{
    qsort(ms, TURNS, sizeof *ms, compare);
    return ms[TURNS / 2];
}

/* ---- the floors ---- */

static void copy(const struct frame *in, const struct planes *to, const struct planes *between)
{
    (void)between;
    memcpy(to->y, in->data, in->size);
}

static void from_yuyv(const struct frame *in, const struct planes *to)
{
    (void)YUY2ToI420(in->plane[0], in->stride[0], to->y, to->stride_y, to->u, to->stride_uv, to->v,
                     to->stride_uv, WIDTH, HEIGHT);
}

static void convert_yuyv(const struct frame *in, const struct planes *to,
                         const struct planes *between)
{
    (void)between;
    from_yuyv(in, to);
}

static void convert_bgrx(const struct frame *in, const struct planes *to,
                         const struct planes *between)
{
    (void)between;
    (void)ARGBToI420(in->plane[0], in->stride[0], to->y, to->stride_y, to->u, to->stride_uv, to->v,
                     to->stride_uv, WIDTH, HEIGHT);
}

static void rotate_yu12(const struct frame *in, const struct planes *to,
                        const struct planes *between)
{
    (void)between;
    (void)I420Rotate(in->plane[0], in->stride[0], in->plane[1], in->stride[1], in->plane[2],
                     in->stride[2], to->y, TURNED, to->u, TURNED / 2, to->v, TURNED / 2, WIDTH,
                     HEIGHT, kRotate90);
}

static void rotate_nv12(const struct frame *in, const struct planes *to,
                        const struct planes *between)
{
    (void)between;
    (void)NV12ToI420Rotate(in->plane[0], in->stride[0], in->plane[1], in->stride[1], to->y, TURNED,
                           to->u, TURNED / 2, to->v, TURNED / 2, WIDTH, HEIGHT, kRotate90);
}

static void rotate_yuyv(const struct frame *in, const struct planes *to,
                        const struct planes *between)
{
    from_yuyv(in, between);
    (void)I420Rotate(between->y, WIDTH, between->u, WIDTH / 2, between->v, WIDTH / 2, to->y, TURNED,
                     to->u, TURNED / 2, to->v, TURNED / 2, WIDTH, HEIGHT, kRotate90);
}

static void mirror_yuyv(const struct frame *in, const struct planes *to,
                        const struct planes *between)
{
    from_yuyv(in, between);
    (void)I420Mirror(between->y, WIDTH, between->u, WIDTH / 2, between->v, WIDTH / 2, to->y, WIDTH,
                     to->u, WIDTH / 2, to->v, WIDTH / 2, WIDTH, HEIGHT);
}

static void mirror_yu12(const struct frame *in, const struct planes *to,
                        const struct planes *between)
{
    (void)between;
    (void)I420Mirror(in->plane[0], in->stride[0], in->plane[1], in->stride[1], in->plane[2],
                     in->stride[2], to->y, WIDTH, to->u, WIDTH / 2, to->v, WIDTH / 2, WIDTH,
                     HEIGHT);
}

static const struct bench benches[] = {
    { "YU12, text; floor: memcpy", FORMAT_YU12, 0, TEXT, copy, 1.3 },
    { "YUYV, text; floor: conversion", FORMAT_YUYV, 0, TEXT, convert_yuyv, 1.3 },
    { "YUYV upside down", FORMAT_YUYV, TRANSFORM_VFLIP, NULL, convert_yuyv, 1.15 },
    { "BGRX; floor: conversion", FORMAT_BGRX, 0, NULL, convert_bgrx, 1.15 },
    { "YU12 mirrored", FORMAT_YU12, TRANSFORM_HFLIP, NULL, mirror_yu12, 1.15 },
    { "YUYV mirrored; floor: two passes", FORMAT_YUYV, TRANSFORM_HFLIP, NULL, mirror_yuyv, 1 },
    { "YU12 by 90", FORMAT_YU12, TRANSFORM_ROTATE, NULL, rotate_yu12, 1.15 },
    { "NV12 by 90", FORMAT_NV12, TRANSFORM_ROTATE, NULL, rotate_nv12, 1.15 },
    { "YUYV by 90; floor: two passes", FORMAT_YUYV, TRANSFORM_ROTATE, NULL, rotate_yuyv, 1 },
};

/* ---- */

static struct frame *new_picture(enum format_id id, unsigned transform)
{
    struct format f = { .id = id, .width = WIDTH, .height = HEIGHT, .transform = transform };
    size_t offset[FORMAT_MAX_PLANES], size;
    int stride[FORMAT_MAX_PLANES];
    size = format_layout(&f, 0, offset, stride);
    struct frame *p = must(calloc(1, sizeof *p));
    frame_init(p, NULL, NULL); /* freed by hand */
    p->format = f;
    p->buffer = must(malloc(size));
    p->data = p->buffer;
    p->size = size;
    p->wall_us = INT64_C(1783968425042000);
    for (size_t i = 0; i < size; i++) {
        p->buffer[i] = (uint8_t)(i * 2654435761u >> 24);
    }
    (void)frame_set_planes(p, 0); /* the size is this layout's */
    return p;
}

static struct planes new_planes(void)
{
    size_t size = (size_t)TURNED * WIDTH;
    struct planes p = { .stride_y = WIDTH, .stride_uv = WIDTH / 2 };
    p.y = must(malloc(2 * size));
    p.u = p.y + size;
    p.v = p.u + size / 4;
    memset(p.y, 0, 2 * size);
    return p;
}

static void run(const struct bench *b, struct pool *pool)
{
    static double ours[TURNS], floor[TURNS];
    struct frame *in = new_picture(b->id, b->transform);
    struct planes to = new_planes(), between = new_planes();
    struct prepare *p = must(prepare_new(pool, b->overlay));
    for (int i = 0; i < TURNS; i++) {
        const struct frame *out = NULL;
        double begin = cpu_ms();
        b->floor(in, &to, &between);
        floor[i] = cpu_ms() - begin;
        begin = cpu_ms();
        if (prepare_picture(p, in, &out)) {
            (void)fprintf(stderr, "prepare_bench: %s failed\n", b->name);
            exit(1);
        }
        ours[i] = cpu_ms() - begin;
        frame_unref(out);
    }
    double a = median(ours), f = median(floor);
    printf("  %-36s ours %.3f  floor %.3f ms  ratio %.2f  (goal %.2f: %s)\n", b->name, a, f, a / f,
           b->goal, a <= b->goal * f ? "met" : "MISSED");
    prepare_free(p);
    free(between.y);
    free(to.y);
    free(in->buffer);
    free(in);
}

/* The text alone: a second's and a millisecond's worth of clock. */
static void run_text(const char *name, const char *text, int64_t step_us)
{
    static double ours[TURNS];
    struct planes p = new_planes();
    const struct yu12 on = { p.y, p.u, p.v, WIDTH, WIDTH / 2 };
    struct overlay *o = must(overlay_new(text));
    for (int i = 0; i < TURNS; i++) {
        double begin = cpu_ms();
        overlay_draw(o, &on, WIDTH, HEIGHT, INT64_C(1783968425042000) + i * step_us);
        ours[i] = cpu_ms() - begin;
    }
    double a = median(ours);
    printf("  %-36s ours %.3f ms  (goal 0.1: %s)\n", name, a, a <= 0.1 ? "met" : "MISSED");
    overlay_free(o);
    free(p.y);
}

int main(void)
{
    struct pool *pool = must(pool_new((size_t)64 << 20));
    printf("1920x1080, CPU of a picture\n");
    for (size_t i = 0; i < sizeof benches / sizeof benches[0]; i++) {
        run(&benches[i], pool);
    }
    run_text("a clock's text alone", TEXT, 33333);
    run_text("… with thousandths", TEXT ".%f", 33333);
    pool_free(pool);
    return 0;
}
