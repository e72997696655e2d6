/* SPDX-License-Identifier: MIT */
/*
 * What is done to pictures, against what it means: for each pixel of the result, the pixel of the source
 * that belongs there, decoded by the layouts' definitions and BT.601.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encode/encoder.h"
#include "encode/jpeg_decode.h"
#include "encode/prepare.h"
#include "pcs/frame.h"
#include "pcs/pool.h"
#include "pcs/thread.h"
#include "pictures.h"

#define TOLERANCE 2

static struct pool *pool;

static int setup(void **state)
{
    (void)state;
    pool = pool_new((size_t)64 << 20);
    return pool ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    pool_free(pool);
    return 0;
}

/* ---- sources: random bytes, each plane in memory of its own ---- */

static void free_source(struct frame *f)
{
    for (int i = 0; i < FORMAT_MAX_PLANES; i++) {
        free((void *)f->plane[i]);
    }
    free(f);
}

static int half(int n)
{
    return (n + 1) / 2;
}

static struct frame *source_new(enum format_id id, int width, int height, unsigned transform)
{
    const struct format_info *info = format_info(id);
    struct frame *f = calloc(1, sizeof *f);
    size_t offset[FORMAT_MAX_PLANES];
    assert_non_null(f);
    frame_init(f, free_source, NULL);
    f->format = (struct format){ .id = id, .width = width, .height = height };
    f->format.transform = transform;
    f->flags = FRAME_KEY | FRAME_DRIVER;
    f->seq = 7;
    f->capture_us = 123;
    f->wall_us = INT64_C(1783968425042000);
    assert_true(format_layout(&f->format, 0, offset, f->stride) > 0);
    for (int i = 0; i < info->planes; i++) {
        int lines = info->plane_shift_y[i] ? half(height) : height;
        f->stride[i] += 5 + i;
        /* Exact: the last line has no padding, so ASan sees a byte too many. */
        size_t size = (size_t)f->stride[i] * (size_t)lines - (size_t)(5 + i);
        uint8_t *bytes = malloc(size);
        assert_non_null(bytes);
        for (size_t k = 0; k < size; k++) {
            bytes[k] = (uint8_t)(rand() >> 7);
        }
        f->plane[i] = bytes;
    }
    return f;
}

/* ---- what a pixel is ---- */

struct yuv {
    double v[3];
};

static int byte_at(const struct frame *f, int plane, int x, int y)
{
    return f->plane[plane][(ptrdiff_t)y * f->stride[plane] + x];
}

static struct yuv from_rgb(double r, double g, double b)
{
    double y = 0.299 * r + 0.587 * g + 0.114 * b;
    return (struct yuv){ { 16 + y * 219 / 255, 128 + (b - y) / 1.772 * 224 / 255,
                           128 + (r - y) / 1.402 * 224 / 255 } };
}

static struct yuv packed_rgb(const struct frame *f, int x, int y, int bytes, int r)
{
    return from_rgb(byte_at(f, 0, x * bytes + r, y), byte_at(f, 0, x * bytes + 1, y),
                    byte_at(f, 0, x * bytes + 2 - r, y));
}

static struct yuv rgb16(const struct frame *f, int x, int y)
{
    int word = byte_at(f, 0, 2 * x, y) | byte_at(f, 0, 2 * x + 1, y) << 8;
    int r = word >> 11, g = word >> 5 & 63, b = word & 31;
    return from_rgb(r << 3 | r >> 2, g << 2 | g >> 4, b << 3 | b >> 2);
}

static struct yuv pairs(const struct frame *f, int x, int y, int luma, int u)
{
    int pair = x / 2 * 4, first = luma ? 0 : 1; /* chroma's places: 0 and 2, or 1 and 3 */
    return (struct yuv){ { byte_at(f, 0, 2 * x + luma, y), byte_at(f, 0, pair + first + u, y),
                           byte_at(f, 0, pair + first + 2 - u, y) } };
}

static struct yuv planes(const struct frame *f, int x, int y, int u_plane, int u_at, int v_plane,
                         int v_at)
{
    const struct format_info *info = format_info(f->format.id);
    int step = info->bytes_per_sample[1], cy = y >> info->plane_shift_y[1], cx = x / 2 * step;
    return (struct yuv){ { byte_at(f, 0, x, y), byte_at(f, u_plane, cx + u_at, cy),
                           byte_at(f, v_plane, cx + v_at, cy) } };
}

static struct yuv pixel(const struct frame *f, int x, int y)
{
    switch (f->format.id) {
    case FORMAT_YUYV:
        return pairs(f, x, y, 0, 0);
    case FORMAT_YVYU:
        return pairs(f, x, y, 0, 2);
    case FORMAT_UYVY:
        return pairs(f, x, y, 1, 0);
    case FORMAT_VYUY:
        return pairs(f, x, y, 1, 2);
    case FORMAT_NV12:
    case FORMAT_NV16:
        return planes(f, x, y, 1, 0, 1, 1);
    case FORMAT_NV21:
        return planes(f, x, y, 1, 1, 1, 0);
    case FORMAT_YU12:
    case FORMAT_422P:
        return planes(f, x, y, 1, 0, 2, 0);
    case FORMAT_YV12:
        return planes(f, x, y, 2, 0, 1, 0);
    case FORMAT_GREY:
        return (struct yuv){ { byte_at(f, 0, x, y), 128, 128 } };
    case FORMAT_RGB24:
        return packed_rgb(f, x, y, 3, 0);
    case FORMAT_BGR24:
        return packed_rgb(f, x, y, 3, 2);
    case FORMAT_RGBX:
        return packed_rgb(f, x, y, 4, 0);
    case FORMAT_BGRX:
        return packed_rgb(f, x, y, 4, 2);
    case FORMAT_RGB16:
        return rgb16(f, x, y);
    default:
        fail_msg("no such layout");
        return (struct yuv){ { 0 } };
    }
}

/* The pixel of the source that is to be at x, y: back through the transforms, the last one first. */
static struct yuv turned_pixel(const struct frame *f, unsigned transform, int x, int y)
{
    int width = f->format.width, height = f->format.height, column = x, line = y;
    if (transform & TRANSFORM_ROTATE) {
        column = y;
        line = height - 1 - x;
    }
    if (transform & TRANSFORM_VFLIP) {
        line = height - 1 - line;
    }
    if (transform & TRANSFORM_HFLIP) {
        column = width - 1 - column;
    }
    return pixel(f, column, line);
}

/* ---- comparing ---- */

static void check_luma(const struct frame *in, unsigned transform, const struct frame *out)
{
    for (int y = 0; y < out->format.height; y++) {
        for (int x = 0; x < out->format.width; x++) {
            double want = turned_pixel(in, transform, x, y).v[0];
            if (fabs(want - byte_at(out, 0, x, y)) > TOLERANCE) {
                fail_msg("%s %dx%d transform %u: luma %d at %d,%d, not %.0f",
                         format_info(in->format.id)->name, in->format.width, in->format.height,
                         transform, byte_at(out, 0, x, y), x, y, want);
            }
        }
    }
}

struct span {
    double least, most, sum;
    int count;
};

static struct span chroma_span(const struct frame *in, unsigned transform, const struct frame *out,
                               int plane, int cx, int cy, int around)
{
    struct span s = { .least = 255 };
    for (int y = 2 * cy - around; y < 2 * cy + 2 + around; y++) {
        for (int x = 2 * cx - around; x < 2 * cx + 2 + around; x++) {
            if (x < 0 || y < 0 || x >= out->format.width || y >= out->format.height) {
                continue;
            }
            double v = turned_pixel(in, transform, x, y).v[plane];
            s.least = v < s.least ? v : s.least;
            s.most = v > s.most ? v : s.most;
            s.sum += v;
            s.count++;
        }
    }
    return s;
}

/* The mean of what the sample covers; where a pair of an odd size got another partner (turn.h), no more than
 * its neighbourhood can be asked for. */
static void check_chroma(const struct frame *in, unsigned transform, const struct frame *out)
{
    bool odd = transform && (in->format.width % 2 || in->format.height % 2);
    for (int plane = 1; plane < 3; plane++) {
        for (int cy = 0; cy < half(out->format.height); cy++) {
            for (int cx = 0; cx < half(out->format.width); cx++) {
                struct span s = chroma_span(in, transform, out, plane, cx, cy, odd ? 1 : 0);
                double low = odd ? s.least : s.sum / s.count, high = odd ? s.most : low;
                int got = byte_at(out, plane, cx, cy);
                if (got < low - TOLERANCE || got > high + TOLERANCE) {
                    fail_msg("%s %dx%d transform %u: chroma %d is %d at %d,%d, not %.0f to %.0f",
                             format_info(in->format.id)->name, in->format.width, in->format.height,
                             transform, plane, got, cx, cy, low, high);
                }
            }
        }
    }
}

static const struct frame *must_prepare(struct prepare *p, const struct frame *in)
{
    const struct frame *out = NULL;
    assert_int_equal(prepare_picture(p, in, &out), 0);
    assert_non_null(out);
    struct format said = prepare_format(p, &in->format);
    if (!(in->flags & FRAME_STANDBY)) {
        assert_true(format_same(&said, &out->format));
        assert_int_equal(prepare_changes(p, &in->format), out != in);
    }
    return out;
}

static struct prepare *must_new(const char *overlay)
{
    struct prepare *p = prepare_new(pool, overlay);
    assert_non_null(p);
    return p;
}

static void check_picture(enum format_id id, int width, int height, unsigned transform)
{
    struct frame *in = source_new(id, width, height, transform);
    struct prepare *p = must_new(NULL);
    const struct frame *out = must_prepare(p, in);
    if (transform || !encoder_reads(id)) {
        bool turned = transform & TRANSFORM_ROTATE;
        assert_int_equal(out->format.id, FORMAT_YU12);
        assert_int_equal(out->format.width, turned ? height : width);
        assert_int_equal(out->format.height, turned ? width : height);
        assert_int_equal(out->format.transform, 0);
        assert_int_equal(out->stride[0] % 64, 0);
        assert_int_equal(out->seq, 7);
        assert_int_equal(out->capture_us, 123);
        assert_int_equal(out->wall_us, in->wall_us);
        assert_int_equal(out->flags, FRAME_KEY);
        check_luma(in, transform, out);
        check_chroma(in, transform, out);
    } else {
        assert_ptr_equal(out, in);
    }
    frame_unref(out);
    prepare_free(p);
    frame_unref(in);
}

static void every_layout_every_way(void **state)
{
    (void)state;
    static const int sizes[][2] = { { 160, 96 }, { 262, 70 }, { 161, 97 }, { 98, 33 }, { 33, 98 },
                                    { 2, 2 },    { 1, 1 },    { 1, 5 },    { 5, 1 },   { 3, 64 } };
    for (enum format_id id = FORMAT_YUYV; id < FORMAT_JPEG; id++) {
        for (unsigned transform = 0; transform < 8; transform++) {
            for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
                check_picture(id, sizes[i][0], sizes[i][1], transform);
            }
        }
    }
}

static void odd_vga(void **state)
{
    (void)state;
    for (unsigned transform = 0; transform < 8; transform++) {
        check_picture(FORMAT_YUYV, 641, 481, transform);
        check_picture(FORMAT_NV21, 641, 481, transform);
    }
}

static void what_rgb_becomes(void **state)
{
    (void)state;
    struct prepare *p = must_new(NULL);
    struct format f = { .id = FORMAT_BGRX,
                        .width = 64,
                        .height = 48,
                        .range = COLOR_RANGE_FULL,
                        .matrix = COLOR_MATRIX_709 };
    struct format got = prepare_format(p, &f);
    assert_int_equal(got.range, COLOR_RANGE_LIMITED);
    assert_int_equal(got.matrix, COLOR_MATRIX_601);
    f.id = FORMAT_NV16;
    got = prepare_format(p, &f);
    assert_int_equal(got.range, COLOR_RANGE_FULL);
    assert_int_equal(got.matrix, COLOR_MATRIX_709);
    prepare_free(p);
}

static void not_a_picture(void **state)
{
    (void)state;
    struct prepare *p = must_new("text");
    struct frame f = { .format = { .id = FORMAT_NONE, .width = 16, .height = 16 } };
    const struct frame *out = NULL;
    assert_int_equal(prepare_picture(p, &f, &out), -EINVAL);
    assert_null(out);
    prepare_free(p);
}

/* ---- JPEG ---- */

static struct frame *make_jpeg(int width, int height, unsigned transform)
{
    struct format f = { .id = FORMAT_YUYV, .width = width, .height = height };
    struct encode_config config = { .quality = 95, .threads = 1 };
    struct frame *raw = picture_new(&f, 3, 0), *packet = NULL;
    struct encoder *e = NULL;
    struct err err = { 0 };
    assert_int_equal(encoder_jpeg.open(&e, &config, &f, pool, &err), 0);
    assert_int_equal(encoder_jpeg.encode(e, raw, true, &packet), 0);
    encoder_jpeg.close(e);
    frame_unref(raw);
    packet->format.transform = transform;
    return packet;
}

static void jpegs_are_decoded_and_turned(void **state)
{
    (void)state;
    struct jpeg_decoder *decoder = jpeg_decoder_new(pool);
    for (unsigned transform = 0; transform < 8; transform++) {
        struct prepare *p = must_new(NULL);
        struct frame *jpeg = make_jpeg(162, 98, transform), *plain = NULL;
        const struct frame *out = must_prepare(p, jpeg);
        assert_int_equal(jpeg_decode(decoder, jpeg, &plain), 0);
        if (transform) {
            assert_int_equal(out->format.range, COLOR_RANGE_FULL);
            check_luma(plain, transform, out);
            check_chroma(plain, transform, out);
        } else {
            assert_ptr_equal(out, jpeg); /* the encoders decode it themselves */
        }
        frame_unref(plain);
        frame_unref(out);
        frame_unref(jpeg);
        prepare_free(p);
    }
    jpeg_decoder_free(decoder);
}

static void broken_jpegs_are_refused(void **state)
{
    (void)state;
    struct prepare *p = must_new("text");
    struct frame *jpeg = make_jpeg(160, 96, 0);
    const struct frame *out = NULL;
    size_t size = jpeg->size;
    jpeg->size = size / 2;
    assert_int_equal(prepare_picture(p, jpeg, &out), -EBADMSG);
    jpeg->size = 10;
    assert_int_equal(prepare_picture(p, jpeg, &out), -EBADMSG);
    assert_null(out);
    jpeg->size = size;
    assert_int_equal(prepare_picture(p, jpeg, &out), 0);
    assert_int_equal(out->format.id, FORMAT_YU12);
    frame_unref(out);
    frame_unref(jpeg);
    prepare_free(p);
}

static void h264_is_not_ours(void **state)
{
    (void)state;
    struct prepare *p = must_new("text");
    struct frame *f = picture_bytes(FORMAT_H264, "x", 1);
    const struct frame *out = must_prepare(p, f);
    assert_ptr_equal(out, f);
    frame_unref(out);
    frame_unref(f);
    prepare_free(p);
}

/* ---- text ---- */

static int white_dots(const struct frame *f)
{
    int n = 0;
    for (int y = 0; y < f->format.height; y++) {
        for (int x = 0; x < f->format.width; x++) {
            n += byte_at(f, 0, x, y) == 235;
        }
    }
    return n;
}

static struct frame *grey_source(enum format_id id, unsigned transform)
{
    struct frame *in = source_new(id, 320, 240, transform);
    for (int i = 0; i < format_info(id)->planes; i++) {
        int lines = format_info(id)->plane_shift_y[i] ? 120 : 240;
        memset((uint8_t *)in->plane[i], 100, (size_t)(in->stride[i] * (lines - 1)));
    }
    return in;
}

static void text_is_written_on_a_copy(void **state)
{
    (void)state;
    for (enum format_id id = FORMAT_YUYV; id < FORMAT_JPEG; id++) {
        struct prepare *p = must_new("12:34");
        struct frame *in = grey_source(id, 0);
        const struct frame *out = must_prepare(p, in);
        assert_ptr_not_equal(out, in);
        assert_in_range(white_dots(out), 100, 2000);
        assert_int_equal(byte_at(in, 0, 20, 225), 100);
        frame_unref(out);
        frame_unref(in);
        prepare_free(p);
    }
}

static void text_is_upright_on_turned_pictures(void **state)
{
    (void)state;
    struct prepare *p = must_new("L");
    for (unsigned transform = 0; transform < 8; transform++) {
        struct frame *in = grey_source(FORMAT_YU12, transform);
        const struct frame *out = must_prepare(p, in);
        int bottom = out->format.height - 1, left = 0;
        while (byte_at(out, 0, 6, bottom) != 235) {
            bottom--; /* the foot of the L, from 6 = 3 x scale on */
        }
        while (byte_at(out, 0, left, bottom) != 235) {
            left++;
        }
        assert_int_equal(left, 6);
        assert_int_equal(byte_at(out, 0, left + 9, bottom), 235);
        assert_int_equal(byte_at(out, 0, left, bottom - 13), 235);
        assert_int_not_equal(byte_at(out, 0, left + 9, bottom - 13), 235);
        frame_unref(out);
        frame_unref(in);
    }
    prepare_free(p);
}

static void text_changes_live(void **state)
{
    (void)state;
    struct prepare *p = must_new("");
    struct frame *in = grey_source(FORMAT_YUYV, 0);
    const struct frame *out = must_prepare(p, in);
    assert_ptr_equal(out, in);
    frame_unref(out);
    prepare_set_overlay(p, "one");
    prepare_set_overlay(p, "11111111");
    out = must_prepare(p, in);
    int many = white_dots(out);
    frame_unref(out);
    prepare_set_overlay(p, "1");
    out = must_prepare(p, in);
    assert_int_equal(many, 8 * white_dots(out));
    frame_unref(out);
    prepare_set_overlay(p, NULL);
    out = must_prepare(p, in);
    assert_ptr_equal(out, in);
    frame_unref(out);
    prepare_set_overlay(p, "never seen");
    prepare_free(p);
    frame_unref(in);
}

static void change_texts(void *arg)
{
    for (int i = 0; i < 2000; i++) {
        prepare_set_overlay(arg, i % 3 ? "%T" : NULL);
    }
}

static void text_from_another_thread(void **state)
{
    (void)state;
    struct prepare *p = must_new("0");
    struct frame *in = grey_source(FORMAT_NV12, 0);
    struct thread thread = { 0 };
    assert_int_equal(thread_start(&thread, "texts", change_texts, p), 0);
    for (int i = 0; i < 100; i++) {
        const struct frame *out = NULL;
        assert_int_equal(prepare_picture(p, in, &out), 0);
        frame_unref(out);
    }
    thread_join(&thread);
    const struct frame *out = must_prepare(p, in);
    assert_ptr_not_equal(out, in);
    frame_unref(out);
    frame_unref(in);
    prepare_free(p);
}

static void standby_pictures_are_upright_already(void **state)
{
    (void)state;
    struct prepare *p = must_new(NULL);
    struct frame *in = grey_source(FORMAT_YU12, TRANSFORM_ROTATE);
    in->flags |= FRAME_STANDBY;
    const struct frame *out = must_prepare(p, in);
    assert_ptr_equal(out, in);
    frame_unref(out);
    prepare_set_overlay(p, "text");
    out = must_prepare(p, in);
    assert_int_equal(out->format.width, 320);
    assert_int_equal(out->format.transform, 0);
    assert_true(out->flags & FRAME_STANDBY);
    assert_true(white_dots(out) > 50);
    frame_unref(out);
    frame_unref(in);
    prepare_free(p);
}

static void nothing_is_allocated_in_steady_state(void **state)
{
    (void)state;
    struct prepare *p = must_new("%T");
    struct frame *in = grey_source(FORMAT_YUYV, TRANSFORM_ROTATE);
    uint64_t first = 0;
    for (int i = 0; i < 10; i++) {
        frame_unref(must_prepare(p, in));
        first = i ? first : pool_allocations(pool);
    }
    assert_int_equal(pool_allocations(pool), first);
    frame_unref(in);
    prepare_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layout_every_way),
        cmocka_unit_test(odd_vga),
        cmocka_unit_test(what_rgb_becomes),
        cmocka_unit_test(not_a_picture),
        cmocka_unit_test(jpegs_are_decoded_and_turned),
        cmocka_unit_test(broken_jpegs_are_refused),
        cmocka_unit_test(h264_is_not_ours),
        cmocka_unit_test(text_is_written_on_a_copy),
        cmocka_unit_test(text_is_upright_on_turned_pictures),
        cmocka_unit_test(text_changes_live),
        cmocka_unit_test(text_from_another_thread),
        cmocka_unit_test(standby_pictures_are_upright_already),
        cmocka_unit_test(nothing_is_allocated_in_steady_state),
    };
    setenv("TZ", "UTC0", 1);
    return cmocka_run_group_tests(tests, setup, teardown);
}
