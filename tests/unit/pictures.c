/* SPDX-License-Identifier: MIT */
#include "pictures.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pcs/frame.h"

struct colour {
    double r, g, b;
};

/* The waves of one picture, one value a column, line and diagonal. */
struct scene {
    int t, bar; /* t < 0: bars of this width instead */
    double *r, *g, *b;
};

static struct scene scene_new(int width, int height, int t)
{
    struct scene s = { .t = t, .bar = (width + 7) / 8 };
    s.r = malloc((size_t)(2 * width + 2 * height) * sizeof(double));
    assert(s.r);
    s.g = s.r + width;
    s.b = s.g + height;
    for (int x = 0; x < width; x++) {
        s.r[x] = 128 + 100 * sin(x / 41.0 + t / 9.0);
    }
    for (int y = 0; y < height; y++) {
        s.g[y] = 128 + 100 * sin(y / 37.0 - t / 7.0);
    }
    for (int i = 0; i < width + height; i++) {
        s.b[i] = 128 + 100 * cos(i / 53.0);
    }
    return s;
}

/* Slow waves in each channel, and a bright box that moves. */
static struct colour scene_at(const struct scene *s, int x, int y)
{
    if (s->t < 0) {
        int bar = 7 - x / s->bar;
        return (struct colour){ bar & 2 ? 230 : 20, bar & 4 ? 230 : 20, bar & 1 ? 230 : 20 };
    }
    int left = 20 + 3 * s->t;
    if (x >= left && x < left + 48 && y >= 24 && y < 72) {
        return (struct colour){ 235, 235, 220 };
    }
    return (struct colour){ s->r[x], s->g[y], s->b[x + y] };
}

static uint8_t to_byte(double v)
{
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v + 0.5);
}

/* ITU-R BT.601-7, 2.5, BT.709-6, 3 and BT.2020-2, table 4: luma and colour difference, then the range. */
static void to_yuv(const struct format *f, struct colour c, double yuv[3])
{
    bool hd = f->matrix == COLOR_MATRIX_709, uhd = f->matrix == COLOR_MATRIX_2020;
    double kr = uhd ? 0.2627 : hd ? 0.2126 : 0.299, kb = uhd ? 0.0593 : hd ? 0.0722 : 0.114;
    double y = kr * c.r + (1 - kr - kb) * c.g + kb * c.b;
    yuv[0] = y;
    yuv[1] = (c.b - y) / (2 * (1 - kb)) + 128;
    yuv[2] = (c.r - y) / (2 * (1 - kr)) + 128;
    if (f->range == COLOR_RANGE_LIMITED) {
        yuv[0] = 16 + yuv[0] * 219 / 255;
        yuv[1] = 128 + (yuv[1] - 128) * 224 / 255;
        yuv[2] = 128 + (yuv[2] - 128) * 224 / 255;
    }
}

/* Component `i` at a block of w x h pixels: the mean. */
static uint8_t sample(const struct scene *s, const struct format *f, int i, int x, int y, int w,
                      int h)
{
    double sum = 0;
    for (int dy = 0; dy < h; dy++) {
        for (int dx = 0; dx < w; dx++) {
            double yuv[3];
            int px = x + dx < f->width ? x + dx : f->width - 1;
            int py = y + dy < f->height ? y + dy : f->height - 1;
            to_yuv(f, scene_at(s, px, py), yuv);
            sum += yuv[i];
        }
    }
    return to_byte(sum / (w * h));
}

static uint8_t *line(struct frame *f, int plane, int y)
{
    return f->buffer + (f->plane[plane] - f->data) + (ptrdiff_t)y * f->stride[plane];
}

static void draw_luma(struct frame *f, int first, int step, const struct scene *s)
{
    for (int y = 0; y < f->format.height; y++) {
        for (int x = 0; x < f->format.width; x++) {
            line(f, 0, y)[first + x * step] = sample(s, &f->format, 0, x, y, 1, 1);
        }
    }
}

static void draw_422(struct frame *f, int u, int v, const struct scene *s)
{
    for (int y = 0; y < f->format.height; y++) {
        for (int x = 0; x < f->format.width; x += 2) {
            line(f, 0, y)[x * 2 + u] = sample(s, &f->format, 1, x, y, 2, 1);
            line(f, 0, y)[x * 2 + v] = sample(s, &f->format, 2, x, y, 2, 1);
        }
    }
}

/* Chroma at half size, `step` bytes apart in the planes of U and V. */
static void draw_420(struct frame *f, int u_plane, int v_plane, int v_first, int step,
                     const struct scene *s)
{
    for (int y = 0; y < f->format.height; y += 2) {
        for (int x = 0; x < f->format.width; x += 2) {
            line(f, u_plane, y / 2)[x / 2 * step] = sample(s, &f->format, 1, x, y, 2, 2);
            line(f, v_plane, y / 2)[v_first + x / 2 * step] = sample(s, &f->format, 2, x, y, 2, 2);
        }
    }
}

static void draw_rgb(struct frame *f, const struct scene *s)
{
    for (int y = 0; y < f->format.height; y++) {
        for (int x = 0; x < f->format.width; x++) {
            struct colour c = scene_at(s, x, y);
            uint8_t *p = line(f, 0, y) + (ptrdiff_t)x * 3;
            p[0] = to_byte(c.r);
            p[1] = to_byte(c.g);
            p[2] = to_byte(c.b);
        }
    }
}

static void draw(struct frame *f, int t)
{
    struct scene s = scene_new(f->format.width, f->format.height, t);
    switch (f->format.id) {
    case FORMAT_YUYV:
        draw_luma(f, 0, 2, &s);
        draw_422(f, 1, 3, &s);
        break;
    case FORMAT_UYVY:
        draw_luma(f, 1, 2, &s);
        draw_422(f, 0, 2, &s);
        break;
    case FORMAT_NV12:
        draw_luma(f, 0, 1, &s);
        draw_420(f, 1, 1, 1, 2, &s);
        break;
    case FORMAT_YU12:
        draw_luma(f, 0, 1, &s);
        draw_420(f, 1, 2, 0, 1, &s);
        break;
    case FORMAT_GREY:
        draw_luma(f, 0, 1, &s);
        break;
    default:
        draw_rgb(f, &s);
        break;
    }
    free(s.r);
}

static void release(struct frame *f)
{
    free(f->buffer);
    free(f);
}

static struct frame *new_frame(size_t size)
{
    struct frame *f = malloc(sizeof *f);
    assert(f);
    frame_init(f, release, NULL);
    f->buffer = calloc(1, size + 64); /* what codecs over-read */
    assert(f->buffer);
    f->data = f->buffer;
    f->size = size;
    f->capacity = size;
    return f;
}

static struct frame *new_picture(const struct format *format, int pad)
{
    size_t offset[FORMAT_MAX_PLANES];
    int stride[FORMAT_MAX_PLANES];
    (void)format_layout(format, 0, offset, stride);
    int stride0 = stride[0] + pad;
    size_t size = format_layout(format, stride0, offset, stride);
    assert(size > 0);
    struct frame *f = new_frame(size);
    f->format = *format;
    f->flags = FRAME_KEY;
    int rc = frame_set_planes(f, stride0);
    assert(rc == 0);
    (void)rc;
    return f;
}

struct frame *picture_new(const struct format *format, int t, int pad)
{
    struct frame *f = new_picture(format, pad);
    draw(f, t);
    return f;
}

struct frame *picture_noise(const struct format *format)
{
    struct frame *f = new_picture(format, 0);
    uint32_t state = 12345;
    for (size_t i = 0; i < f->size; i++) {
        state = state * 1664525u + 1013904223u;
        f->buffer[i] = (uint8_t)(state >> 24);
    }
    return f;
}

struct frame *picture_bytes(enum format_id id, const void *data, size_t size)
{
    struct frame *f = new_frame(size);
    f->format = (struct format){ .id = id, .width = 16, .height = 16, .fps_den = 1 };
    memcpy(f->buffer, data, size);
    return f;
}

uint8_t *picture_rgb(int width, int height, int t)
{
    struct format format = { .id = FORMAT_RGB24, .width = width, .height = height };
    struct frame *f = picture_new(&format, t, 0);
    uint8_t *rgb = f->buffer;
    free(f);
    return rgb;
}

double picture_psnr(const uint8_t *a, const uint8_t *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - b[i];
        sum += d * d;
    }
    return sum > 0 ? 10 * log10(255.0 * 255.0 * (double)n / sum) : 99;
}
