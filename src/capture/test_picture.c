/* SPDX-License-Identifier: MIT */
#include "test_picture.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pcs/draw_text.h"
#include "pcs/marker.h"

#define MARGIN     128         /* how far the scene can be shifted, both ways together */
#define NOISE      (1 << 16)   /* bytes of noise to start rows in */
#define NOISE_TAIL (8192 + 64) /* so that the widest row fits behind any start */
#define BALLS      3
#define PI         3.14159265358979

struct ball {
    int radius;    /* even */
    uint8_t *luma; /* 2r x 2r */
    int *half;     /* 2r: half the width of each row */
    uint8_t u, v;
    int period_x, period_y; /* ms for there and back */
};

struct test_picture {
    int width, height;
    int scene_width, scene_height; /* with margins, even */
    uint8_t *scene_y, *scene_u, *scene_v;
    uint8_t *noise_y, *noise_uv;
    uint32_t random;
    struct ball ball[BALLS];
};

/* xorshift (Marsaglia): the same picture in every run. */
static uint32_t random_next(uint32_t *state)
{
    uint32_t x = *state;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return *state = x;
}

static uint32_t hash2(uint32_t x, uint32_t y, uint32_t seed)
{
    uint32_t h = x * 0x9E3779B1u ^ y * 0x85EBCA77u ^ seed * 0xC2B2AE3Du;
    h ^= h >> 15;
    h *= 0x2C1B3C6Du;
    return h ^ h >> 12;
}

/* Smooth random surface: values on a grid of `size` pixels (a power of two), blended; -128..127. */
static int surface(int x, int y, int shift, uint32_t seed)
{
    uint32_t gx = (uint32_t)(x >> shift), gy = (uint32_t)(y >> shift);
    int size = 1 << shift, fx = x & (size - 1), fy = y & (size - 1);
    int a = hash2(gx, gy, seed) & 255, b = hash2(gx + 1, gy, seed) & 255;
    int c = hash2(gx, gy + 1, seed) & 255, d = hash2(gx + 1, gy + 1, seed) & 255;
    int top = a * (size - fx) + b * fx, bottom = c * (size - fx) + d * fx;
    return ((top * (size - fy) + bottom * fy) >> (2 * shift)) - 128;
}

/* Walls, foliage, print: something of every size, and hard edges. Stays within 40..211, so that
 * noise cannot leave the limited range. */
static uint8_t scene_luma(int x, int y, int height)
{
    int v = 150 - 60 * y / height;
    v += surface(x, y, 7, 1) * 30 / 128 + surface(x, y, 5, 2) * 18 / 128;
    v += surface(x, y, 3, 3) * 14 / 128 + surface(x, y, 1, 4) * 10 / 128;
    if (hash2((uint32_t)x / 96, (uint32_t)y / 64, 5) % 5 == 0) { /* print on a page */
        v = (x / 3 + hash2((uint32_t)x / 3, (uint32_t)y / 12, 6) % 3) % 3 == 0 && y % 12 < 8 ? 60
                                                                                             : 190;
    }
    return (uint8_t)(v < 40 ? 40 : v > 211 ? 211 : v);
}

static void paint_scene(struct test_picture *p)
{
    for (int y = 0; y < p->scene_height; y++) {
        for (int x = 0; x < p->scene_width; x++) {
            p->scene_y[(size_t)y * (size_t)p->scene_width + (size_t)x] =
                scene_luma(x, y, p->scene_height);
        }
    }
    int width = p->scene_width / 2;
    for (int y = 0; y < p->scene_height / 2; y++) {
        for (int x = 0; x < width; x++) {
            size_t at = (size_t)y * (size_t)width + (size_t)x;
            p->scene_u[at] = (uint8_t)(128 + surface(x, y, 6, 7) / 4 + surface(x, y, 3, 8) / 16);
            p->scene_v[at] = (uint8_t)(128 + surface(x, y, 6, 9) / 4 + surface(x, y, 3, 10) / 16);
        }
    }
}

/* Bell-shaped (sum of four uniform), around zero, to be added modulo 256. */
static void paint_noise(uint8_t *to, int amplitude, uint32_t *random)
{
    for (int i = 0; i < NOISE + NOISE_TAIL; i++) {
        uint32_t r = random_next(random);
        int sum = (int)(r & 255) + (int)(r >> 8 & 255) + (int)(r >> 16 & 255) + (int)(r >> 24);
        to[i] = (uint8_t)((sum - 510) * amplitude / 510);
    }
}

static bool ball_init(struct ball *b, int radius, int i)
{
    static const uint8_t colors[BALLS][2] = { { 90, 200 }, { 190, 100 }, { 70, 80 } };
    size_t side = 2 * (size_t)radius;
    b->radius = radius;
    b->u = colors[i][0];
    b->v = colors[i][1];
    b->period_x = 5000 + 2300 * i;
    b->period_y = 3700 + 1900 * i;
    b->luma = malloc(side * side + 1);
    b->half = malloc((side + 1) * sizeof *b->half);
    if (!b->luma || !b->half) {
        return false;
    }
    for (int y = 0; y < 2 * radius; y++) {
        double dy = y + 0.5 - radius;
        b->half[y] = (int)sqrt((double)radius * radius - dy * dy);
        for (int x = 0; x < 2 * radius; x++) {
            double light = (x + y) / (4.0 * radius);
            b->luma[(size_t)y * side + (size_t)x] =
                (uint8_t)(210 - 140 * light + surface(x, y, 2, 11) / 16);
        }
    }
    return true;
}

static bool allocate(struct test_picture *p)
{
    size_t pixels = (size_t)p->scene_width * (size_t)p->scene_height;
    p->scene_y = malloc(pixels);
    p->scene_u = malloc(pixels / 4);
    p->scene_v = malloc(pixels / 4);
    p->noise_y = malloc(NOISE + NOISE_TAIL);
    p->noise_uv = malloc(NOISE + NOISE_TAIL);
    return p->scene_y && p->scene_u && p->scene_v && p->noise_y && p->noise_uv;
}

struct test_picture *test_picture_new(int width, int height)
{
    struct test_picture *p = calloc(1, sizeof *p);
    if (!p) {
        return NULL;
    }
    p->width = width;
    p->height = height;
    p->scene_width = (width + 1 + MARGIN) & ~1;
    p->scene_height = (height + 1 + MARGIN) & ~1;
    p->random = 0x1234567;
    bool ok = allocate(p);
    int smaller = width < height ? width : height;
    for (int i = 0; i < BALLS && ok; i++) {
        ok = ball_init(&p->ball[i], smaller / (14 + 4 * i) & ~1, i);
    }
    if (!ok) {
        test_picture_free(p);
        return NULL;
    }
    paint_scene(p);
    paint_noise(p->noise_y, 9, &p->random);
    paint_noise(p->noise_uv, 4, &p->random);
    return p;
}

void test_picture_free(struct test_picture *p)
{
    if (!p) {
        return;
    }
    for (int i = 0; i < BALLS; i++) {
        free(p->ball[i].luma);
        free(p->ball[i].half);
    }
    free(p->scene_y);
    free(p->scene_u);
    free(p->scene_v);
    free(p->noise_y);
    free(p->noise_uv);
    free(p);
}

/* Blocks of a fixed size, because -O2 vectorises only loops whose count it knows. */
static void add_row(uint8_t *restrict to, const uint8_t *restrict a, const uint8_t *restrict b,
                    int n)
{
    int i = 0;
    for (; i + 64 <= n; i += 64) {
        for (int k = 0; k < 64; k++) {
            to[i + k] = (uint8_t)(a[i + k] + b[i + k]);
        }
    }
    for (; i < n; i++) {
        to[i] = (uint8_t)(a[i] + b[i]);
    }
}

static void draw_plane(struct test_picture *p, uint8_t *to, int stride, int width, int height,
                       const uint8_t *scene, int scene_width, const uint8_t *noise)
{
    for (int y = 0; y < height; y++) {
        add_row(to + (size_t)y * (size_t)stride, scene + (size_t)y * (size_t)scene_width,
                noise + (random_next(&p->random) & (NOISE - 1)), width);
    }
}

static void fill(uint8_t *to, int stride, int width, int height, uint8_t value)
{
    for (int y = 0; y < height; y++) {
        memset(to + (size_t)y * (size_t)stride, value, (size_t)width);
    }
}

/* Even, so that luma and chroma shift together. */
static int swing(int64_t ms, int period_ms, int range)
{
    double angle = 2 * PI * (double)(ms % period_ms) / period_ms;
    return (int)((range - 2) * (0.5 + 0.5 * sin(angle))) & ~1;
}

static void draw_scene(struct test_picture *p, const struct test_planes *to, int64_t ms)
{
    int x = swing(ms, 17000, MARGIN), y = swing(ms, 23000, MARGIN);
    size_t at = (size_t)y * (size_t)p->scene_width + (size_t)x;
    draw_plane(p, to->y, to->stride_y, p->width, p->height, p->scene_y + at, p->scene_width,
               p->noise_y);
    if (!to->u) {
        return;
    }
    int width = (p->width + 1) / 2, height = (p->height + 1) / 2, scene_width = p->scene_width / 2;
    at = (size_t)(y / 2) * (size_t)scene_width + (size_t)(x / 2);
    draw_plane(p, to->u, to->stride_uv, width, height, p->scene_u + at, scene_width, p->noise_uv);
    draw_plane(p, to->v, to->stride_uv, width, height, p->scene_v + at, scene_width, p->noise_uv);
}

static int triangle(int64_t ms, int period_ms, int range)
{
    int64_t phase = ms % period_ms * 2 * range / period_ms;
    return (int)(phase < range ? phase : 2 * range - phase) & ~1;
}

static void draw_ball(const struct test_picture *p, const struct ball *b,
                      const struct test_planes *to, int64_t ms)
{
    int side = 2 * b->radius;
    int left = triangle(ms, b->period_x, p->width - side);
    int top = triangle(ms, b->period_y, p->height - side);
    for (int y = 0; y < side; y++) {
        int x = b->radius - b->half[y];
        memcpy(to->y + (size_t)(top + y) * (size_t)to->stride_y + left + x,
               b->luma + (size_t)y * (size_t)side + x, 2 * (size_t)b->half[y]);
    }
    for (int y = 0; to->u && y < b->radius; y++) {
        int half = b->half[2 * y] / 2;
        size_t at = (size_t)(top / 2 + y) * (size_t)to->stride_uv +
                    (size_t)(left / 2 + b->radius / 2 - half);
        memset(to->u + at, b->u, 2 * (size_t)half);
        memset(to->v + at, b->v, 2 * (size_t)half);
    }
}

static void draw_box(const struct test_planes *to, int left, int top, int width, int height)
{
    fill(to->y + (size_t)top * (size_t)to->stride_y + left, to->stride_y, width, height, 24);
    if (to->u) {
        size_t at = (size_t)(top / 2) * (size_t)to->stride_uv + (size_t)(left / 2);
        fill(to->u + at, to->stride_uv, width / 2, height / 2, 128);
        fill(to->v + at, to->stride_uv, width / 2, height / 2, 128);
    }
}

/* White on a dark box in the upper right corner, beside the marker or below it; an --overlay has the lower
 * edge. Nothing when it does not fit. */
static void write_line(const struct test_picture *p, const struct test_planes *to, const char *text,
                       int line)
{
    int scale = p->width / (DRAW_TEXT_CELL_WIDTH * 26), cell = marker_cell(p->width, p->height);
    int cells = (int)strlen(text) + 1, width, height;
    scale = scale < 1 ? 1 : scale;
    draw_text_size(text, scale, &width, &height);
    width = cells * DRAW_TEXT_CELL_WIDTH * scale & ~1;
    height = (height + 1) & ~1;
    int left = (p->width - width) & ~1, top = (height + 2) * line;
    top += left < 32 * cell ? 4 * cell : 0;
    if (left < 0 || top + height > p->height) {
        return;
    }
    const struct draw_text_plane luma = { to->y, to->stride_y, p->width, p->height, 0 };
    draw_box(to, left, top, width, height);
    draw_text(&luma, left + DRAW_TEXT_CELL_WIDTH / 2 * scale, top + scale, scale, 230, -1, text);
}

static void draw_clock(const struct test_picture *p, const struct test_planes *to, uint32_t number,
                       int64_t wall_us)
{
    char text[32];
    struct tm tm = { 0 };
    time_t seconds = (time_t)(wall_us / 1000000);
    (void)localtime_r(&seconds, &tm); /* a year out of range leaves 00:00:00 */
    (void)snprintf(text, sizeof text, "%02d:%02d:%02d.%03d", tm.tm_hour, tm.tm_min, tm.tm_sec,
                   (int)(wall_us / 1000 % 1000));
    write_line(p, to, text, 0);
    (void)snprintf(text, sizeof text, "#%08u", number);
    write_line(p, to, text, 1);
}

void test_picture_draw(struct test_picture *p, const struct test_planes *to, uint32_t number,
                       int64_t scene_us, int64_t capture_us, int64_t wall_us)
{
    draw_scene(p, to, scene_us / 1000);
    for (int i = 0; i < BALLS; i++) {
        draw_ball(p, &p->ball[i], to, scene_us / 1000);
    }
    draw_clock(p, to, number, wall_us);
    int cell = marker_cell(p->width, p->height);
    if (cell > 0) {
        const struct marker m = { .number = number, .time_us = (uint64_t)capture_us };
        draw_box(to, 0, 0, 32 * cell, 4 * cell); /* no colour under it */
        marker_draw(to->y, to->stride_y, p->width, p->height, &m);
    }
}
