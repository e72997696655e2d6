/* SPDX-License-Identifier: MIT */
/*
 * JPEG: what a picture costs, against the least that could do the job (the bare TurboJPEG call on
 * ready planes, plus the split of YUYV), and how long it takes from the camera to the packet.
 * All variants take turns in one run, because the machine's mood changes. CPU: medians of the turns.
 * Latency: the tenth percentile decides, because whatever else runs here can only add; the median is
 * printed beside it.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libyuv.h>
#include <turbojpeg.h>

#include "encode/encode.h"
#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/hub.h"
#include "pcs/log.h"
#include "pcs/pool.h"
#include "pcs/queue.h"

#define WIDTH    1920
#define HEIGHT   1080
#define QUALITY  80
#define TURNS    60
#define PACE_MS  8
#define VARIANTS 3 /* 1, 2, 4 threads */

static const int threads_of[VARIANTS] = { 1, 2, 4 };

struct series {
    double ms[TURNS];
    int count;
};

struct cost {
    struct series cpu, wall;
};

static double clock_ms(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void cost_begin(struct cost *c)
{
    c->cpu.ms[c->cpu.count] = clock_ms(CLOCK_PROCESS_CPUTIME_ID);
    c->wall.ms[c->wall.count] = clock_ms(CLOCK_MONOTONIC);
}

static void cost_end(struct cost *c)
{
    double wall = clock_ms(CLOCK_MONOTONIC), cpu = clock_ms(CLOCK_PROCESS_CPUTIME_ID);
    c->cpu.ms[c->cpu.count] = cpu - c->cpu.ms[c->cpu.count];
    c->wall.ms[c->wall.count] = wall - c->wall.ms[c->wall.count];
    c->cpu.count++;
    c->wall.count++;
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static double quantile(const struct series *s, double q)
{
    struct series sorted = *s;
    qsort(sorted.ms, (size_t)sorted.count, sizeof sorted.ms[0], compare);
    return sorted.count ? sorted.ms[(int)(q * (sorted.count - 1))] : 0;
}

static double median(const struct series *s)
{
    return quantile(s, 0.5);
}

static double calm(const struct series *s)
{
    return quantile(s, 0.1);
}

static void *must(void *p)
{
    if (!p) {
        perror("jpeg_bench");
        exit(1);
    }
    return p;
}

/* ---- a picture ---- */

static uint32_t next_random(void)
{
    static uint32_t state = 1;
    state = state * 1664525u + 1013904223u;
    return state >> 16;
}

/* Shading, edges, texture, and the noise of a sensor in room light: about 1.5 bits a pixel at q80. */
static int luma_at(int x, int y)
{
    int shade = 60 + x * 80 / WIDTH + y * 40 / HEIGHT;
    int edges = (x / 160 + y / 120) % 2 ? 30 : 0;
    int texture = (x * y / 64) % 16 * ((x / 320) % 3);
    int noise = (int)(next_random() % 9 + next_random() % 9) - 8;
    int v = shade + edges + texture + noise;
    return v < 16 ? 16 : v > 235 ? 235 : v;
}

static struct frame *new_picture(enum format_id id, enum color_range range)
{
    struct format f = { .id = id, .width = WIDTH, .height = HEIGHT, .fps_num = 30, .fps_den = 1 };
    size_t offset[FORMAT_MAX_PLANES], size;
    int stride[FORMAT_MAX_PLANES];
    f.range = range;
    size = format_layout(&f, 0, offset, stride);
    struct frame *p = must(calloc(1, sizeof *p));
    frame_init(p, NULL, NULL); /* lives as long as the program */
    p->format = f;
    p->buffer = must(malloc(size));
    p->data = p->buffer;
    p->size = size;
    (void)frame_set_planes(p, 0); /* the size is this layout's */
    return p;
}

static struct frame *draw_yuyv(enum color_range range)
{
    struct frame *p = new_picture(FORMAT_YUYV, range);
    for (int y = 0; y < HEIGHT; y++) {
        uint8_t *line = p->buffer + (ptrdiff_t)y * WIDTH * 2;
        for (int x = 0; x < WIDTH; x++) {
            line[2 * x] = (uint8_t)luma_at(x, y);
            line[2 * x + 1] = (uint8_t)(118 + (x / 90 + y / 70) % 20 + next_random() % 4);
        }
    }
    return p;
}

static void split(const struct frame *yuyv, struct frame *yu12)
{
    uint8_t *y = yu12->buffer, *u = y + WIDTH * HEIGHT, *v = u + WIDTH * HEIGHT / 4;
    (void)YUY2ToI420(yuyv->data, WIDTH * 2, y, WIDTH, u, WIDTH / 2, v, WIDTH / 2, WIDTH, HEIGHT);
}

/* What ours will compress, ready made, for the floor. */
static struct frame *expanded(const struct frame *yu12)
{
    struct frame *p = new_picture(FORMAT_YU12, COLOR_RANGE_FULL);
    for (size_t i = 0; i < p->size; i++) {
        double v = yu12->data[i];
        v = i < (size_t)WIDTH * HEIGHT ? (v - 16) * 255 / 219 : (v - 128) * 255 / 224 + 128;
        p->buffer[i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v + 0.5);
    }
    return p;
}

/* ---- the floor, and ours ---- */

struct floor {
    tjhandle tj;
    uint8_t *out;
    unsigned long size;
};

static void run_floor(struct floor *f, const struct frame *planes)
{
    const uint8_t *const p[3] = { planes->plane[0], planes->plane[1], planes->plane[2] };
    const uint8_t *plane[3] = { p[0], p[1], p[2] };
    int strides[3] = { planes->stride[0], planes->stride[1], planes->stride[2] };
    f->size = tjBufSize(WIDTH, HEIGHT, TJSAMP_420);
    if (tjCompressFromYUVPlanes(f->tj, plane, WIDTH, strides, HEIGHT, TJSAMP_420, &f->out, &f->size,
                                QUALITY, TJFLAG_NOREALLOC)) {
        (void)fprintf(stderr, "jpeg_bench: %s\n", tjGetErrorStr2(f->tj));
        exit(1);
    }
}

static struct encode_config config_for(int threads)
{
    return (struct encode_config){ .quality = QUALITY, .threads = threads };
}

static struct encoder *open_ours(struct pool *pool, const struct frame *p, int threads)
{
    struct encode_config config = config_for(threads);
    struct encoder *e = NULL;
    struct err err = { 0 };
    if (encoder_jpeg.open(&e, &config, &p->format, pool, &err)) {
        (void)fprintf(stderr, "jpeg_bench: %s\n", err.text);
        exit(1);
    }
    return e;
}

static size_t run_ours(struct encoder *e, const struct frame *p)
{
    struct frame *out = NULL;
    if (encoder_jpeg.encode(e, p, false, &out)) {
        (void)fprintf(stderr, "jpeg_bench: does not encode\n");
        exit(1);
    }
    size_t size = out->size;
    frame_unref(out);
    return size;
}

static const char *judge(bool met)
{
    return met ? "met" : "MISSED";
}

static void print_cpu(int threads, const struct cost *ours, double floor)
{
    double cpu = median(&ours->cpu);
    printf("  CPU, ours, %d thread%s      %6.2f ms  ratio %.2f  (goal 1.15: %s)\n", threads,
           threads > 1 ? "s" : " ", cpu, cpu / floor, judge(cpu <= 1.15 * floor));
}

static void print_latency(int threads, const struct cost *ours, const struct cost *one)
{
    double ms = calm(&ours->wall), ratio = ms / calm(&one->wall);
    printf("  latency, ours, %d thread%s  %6.2f ms  (median %.2f)  ratio to one %.2f", threads,
           threads > 1 ? "s" : " ", ms, median(&ours->wall), ratio);
    if (threads > 1) {
        printf("  (goal 0.65: %s)", judge(ratio <= 0.65));
    }
    printf("\n");
}

/* `planes`: what the floor compresses; `yuyv`: NULL when the input is planar already. */
static void bench_cpu(const char *title, const struct frame *input, const struct frame *planes,
                      const struct frame *yuyv)
{
    struct pool *pool = must(pool_new(64 << 20));
    struct floor floor = { .tj = must(tjInitCompress()),
                           .out = must(malloc(tjBufSize(WIDTH, HEIGHT, TJSAMP_420))) };
    struct frame *scratch = new_picture(FORMAT_YU12, input->format.range);
    struct cost *floor_cost = must(calloc(1, sizeof *floor_cost));
    struct cost *ours = must(calloc(VARIANTS, sizeof *ours));
    struct encoder *e[VARIANTS];
    size_t size = 0;
    for (int i = 0; i < VARIANTS; i++) {
        e[i] = open_ours(pool, input, threads_of[i]);
    }
    for (int turn = 0; turn < TURNS; turn++) {
        cost_begin(floor_cost);
        if (yuyv) {
            split(yuyv, scratch);
        }
        run_floor(&floor, planes);
        cost_end(floor_cost);
        for (int i = 0; i < VARIANTS; i++) {
            cost_begin(&ours[i]);
            size = run_ours(e[i], input);
            cost_end(&ours[i]);
        }
    }
    double cpu = median(&floor_cost->cpu);
    printf("%s, q%d: %lu KB by the floor, %zu KB by ours\n", title, QUALITY, floor.size / 1000,
           size / 1000);
    printf("  CPU, floor                %6.2f ms\n", cpu);
    for (int i = 0; i < VARIANTS; i++) {
        print_cpu(threads_of[i], &ours[i], cpu);
    }
    for (int i = 0; i < VARIANTS; i++) {
        print_latency(threads_of[i], &ours[i], &ours[0]);
    }
    for (int i = 0; i < VARIANTS; i++) {
        encoder_jpeg.close(e[i]);
    }
    tjDestroy(floor.tj);
    free(floor.out);
    free(scratch->buffer);
    free(scratch);
    free(floor_cost);
    free(ours);
    pool_free(pool);
}

/* ---- through the stage ---- */

struct stage {
    struct hub *raw, *packets;
    struct queue *viewer;
    struct encode *encode;
};

static struct stage open_stage(int threads)
{
    static const struct queue_limits limits = { .policy = QUEUE_NEWEST, .max_frames = 4 };
    struct encode_config config = config_for(threads);
    struct stage s = { must(hub_new()), must(hub_new()), must(queue_new(&limits)), NULL };
    if (hub_subscribe(s.packets, s.viewer) ||
        encode_start(&s.encode, &config, FORMAT_JPEG, s.raw, s.packets, NULL)) {
        exit(1);
    }
    return s;
}

static void close_stage(struct stage *s)
{
    encode_stop(s->encode);
    encode_free(s->encode);
    queue_unref(s->viewer);
    hub_free(s->raw);
    hub_free(s->packets);
}

/* From the camera's hand to the viewer's, in ms. */
static double through_stage(struct stage *s, struct frame *p)
{
    const struct frame *packet = NULL;
    int64_t begin = clock_now_us();
    p->stage_us[STAGE_DEQUEUED] = begin;
    hub_publish(s->raw, p);
    if (queue_wait(s->viewer, NULL, 5 * CLOCK_S, &packet)) {
        exit(1);
    }
    int64_t end = clock_now_us();
    frame_unref(packet);
    return (double)(end - begin) / 1e3;
}

static void bench_latency(struct frame *p)
{
    struct pool *pool = must(pool_new(64 << 20));
    printf("camera to packet through the stage, beyond the encoding itself (goal 1.00 ms)\n");
    for (int i = 0; i < VARIANTS; i++) {
        struct stage s = open_stage(threads_of[i]);
        struct encoder *e = open_ours(pool, p, threads_of[i]);
        struct series *total = must(calloc(1, sizeof *total));
        struct cost *direct = must(calloc(1, sizeof *direct));
        (void)through_stage(&s, p); /* opens the encoder */
        for (int turn = 0; turn < TURNS; turn++) {
            (void)poll(NULL, 0, PACE_MS); /* as a camera would: everybody asleep */
            cost_begin(direct);
            (void)run_ours(e, p);
            cost_end(direct);
            (void)poll(NULL, 0, PACE_MS);
            total->ms[total->count++] = through_stage(&s, p);
        }
        double beyond = calm(total) - calm(&direct->wall);
        printf("  %d thread%s: encoding %5.2f ms, beyond it %5.2f ms (of medians %.2f)  (%s)\n",
               threads_of[i], i ? "s" : " ", calm(&direct->wall), beyond,
               median(total) - median(&direct->wall), judge(beyond <= 1));
        encoder_jpeg.close(e);
        close_stage(&s);
        free(total);
        free(direct);
    }
    pool_free(pool);
}

int main(void)
{
    log_set_level(LOG_WARN);
    struct frame *yuyv = draw_yuyv(COLOR_RANGE_LIMITED);
    struct frame *planes = new_picture(FORMAT_YU12, COLOR_RANGE_LIMITED);
    split(yuyv, planes);
    struct frame *full = expanded(planes);
    bench_cpu("YUYV 1920x1080, limited range as cameras send it", yuyv, full, yuyv);
    yuyv->format.range = COLOR_RANGE_FULL;
    bench_cpu("YUYV 1920x1080, full range", yuyv, planes, yuyv);
    bench_cpu("YU12 1920x1080, full range", full, full, NULL);
    bench_latency(yuyv);
    return 0;
}
