/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>
#include <unistd.h>

#include <cmocka.h>

#include "camera_bench.h"
#include "capture/test_picture.h"

static const struct {
    int width, height;
} sizes[] = {
    { 160, 120 }, { 176, 144 }, { 320, 240 }, { 641, 481 }, { 1280, 720 }, { 1920, 1080 }
};

#define SIZES (sizeof sizes / sizeof sizes[0])

static void says_its_cell_size(void **state)
{
    (void)state;
    assert_int_equal(marker_cell(1920, 1080), 30);
    assert_int_equal(marker_cell(1280, 720), 20);
    assert_int_equal(marker_cell(640, 480), 10);
    assert_int_equal(marker_cell(160, 120), 2);
    assert_int_equal(marker_cell(200, 120), 2); /* even */
    assert_int_equal(marker_cell(64, 8), 2);
    assert_int_equal(marker_cell(63, 480), 0);
    assert_int_equal(marker_cell(640, 7), 0);
    assert_int_equal(marker_cell(1920, 64), 16); /* fits flat pictures, too */
}

/* The bits as the header documents them, read here by hand. */
static void draws_what_is_documented(void **state)
{
    (void)state;
    uint8_t luma[64 * 8];
    memset(luma, 128, sizeof luma);
    const struct marker m = { .number = 0x01020304, .time_us = 0x1122334455667788 };
    marker_draw(luma, 64, 64, 8, &m);
    static const uint8_t expected[14] = { 0xA5, 0xC3, 0x01, 0x02, 0x03, 0x04, 0x11,
                                          0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88 };
    for (int i = 0; i < 14 * 8; i++) {
        int bit = luma[i / 32 * 2 * 64 + i % 32 * 2] > 128;
        assert_int_equal(bit, expected[i / 8] >> (7 - i % 8) & 1);
    }
}

static void reads_back_and_notices_damage(void **state)
{
    (void)state;
    enum { WIDTH = 320, HEIGHT = 240, STRIDE = 352 };
    static uint8_t luma[STRIDE * HEIGHT];
    struct marker m = { .number = UINT32_MAX, .time_us = UINT64_MAX }, out = { 0 };
    marker_draw(luma, STRIDE, WIDTH, HEIGHT, &m);
    assert_true(marker_read(luma, STRIDE, WIDTH, HEIGHT, &out));
    assert_int_equal(out.number, m.number);
    assert_true(out.time_us == m.time_us);
    int cell = marker_cell(WIDTH, HEIGHT);
    for (int i = 0; i < 128; i++) { /* any one cell inverted */
        m = (struct marker){ .number = 77, .time_us = 123456789 };
        marker_draw(luma, STRIDE, WIDTH, HEIGHT, &m);
        for (int y = 0; y < cell; y++) {
            uint8_t *row = luma + (i / 32 * cell + y) * STRIDE + i % 32 * cell;
            for (int x = 0; x < cell; x++) {
                row[x] = row[x] > 128 ? 16 : 235;
            }
        }
        out = (struct marker){ 0 };
        assert_false(marker_read(luma, STRIDE, WIDTH, HEIGHT, &out));
        assert_int_equal(out.number, 0);
    }
    memset(luma, 16, sizeof luma);
    assert_false(marker_read(luma, STRIDE, WIDTH, HEIGHT, &out));
}

struct picture {
    int width, height, chroma_width, chroma_height;
    uint8_t *y, *u, *v;
};

static struct picture make_picture(int width, int height, uint32_t number)
{
    struct picture p = { width, height, (width + 1) / 2, (height + 1) / 2, NULL, NULL, NULL };
    size_t luma = (size_t)width * (size_t)height;
    size_t chroma = (size_t)p.chroma_width * (size_t)p.chroma_height;
    p.y = malloc(luma + 2 * chroma);
    assert_non_null(p.y);
    p.u = p.y + luma;
    p.v = p.u + chroma;
    struct test_picture *painter = test_picture_new(width, height);
    assert_non_null(painter);
    const struct test_planes planes = { p.y, p.u, p.v, width, p.chroma_width };
    test_picture_draw(painter, &planes, number, 1000000, number * 1000003LL, 0);
    test_picture_free(painter);
    return p;
}

static void survives_jpeg(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4 * SIZES; i++) {
        int width = sizes[i % SIZES].width, height = sizes[i % SIZES].height;
        uint32_t number = (uint32_t)i * 0x9E3779B1u + 5;
        struct picture p = make_picture(width, height, number);
        const uint8_t *planes[3] = { p.y, p.u, p.v };
        int strides[3] = { width, p.chroma_width, p.chroma_width };
        tjhandle to = tjInitCompress(), from = tjInitDecompress();
        unsigned char *jpeg = NULL;
        unsigned long size = 0;
        assert_int_equal(tjCompressFromYUVPlanes(to, planes, width, strides, height, TJSAMP_420,
                                                 &jpeg, &size, 30, 0),
                         0);
        unsigned char *back[3] = { p.y, p.u, p.v };
        memset(p.y, 0, (size_t)width * (size_t)height);
        assert_int_equal(tjDecompressToYUVPlanes(from, jpeg, size, back, width, strides, height, 0),
                         0);
        struct marker m = { 0 };
        assert_true(marker_read(p.y, width, width, height, &m));
        assert_int_equal(m.number, number);
        assert_true(m.time_us == number * 1000003ull);
        tjFree(jpeg);
        tjDestroy(to);
        tjDestroy(from);
        free(p.y);
    }
}

/* Every frame's own number comes out of ffmpeg's decoder after an encoder starved of bits. */
static void survives_h264(void **state)
{
    (void)state;
    struct bench bench;
    bench_init(&bench);
    for (size_t i = 0; i < SIZES; i++) {
        int width = sizes[i].width & ~1, height = sizes[i].height & ~1, frames = 20;
        char command[600];
        const char *clip = bench_clip(&bench, "clip.mp4", width, height, frames,
                                      "-c:v libx264 -preset ultrafast -b:v 1M -maxrate 1M "
                                      "-bufsize 500k -pix_fmt yuv420p");
        const char *raw = bench_path(&bench, "out.yuv");
        (void)snprintf(command, sizeof command,
                       "env -u LD_PRELOAD ffmpeg -v error -nostdin -y -i %s -f rawvideo %s", clip,
                       raw);
        assert_int_equal(system(command), 0);
        FILE *file = fopen(raw, "rb");
        size_t size = (size_t)width * (size_t)height * 3 / 2;
        uint8_t *picture = malloc(size);
        assert_true(file && picture);
        for (int n = 1; n <= frames; n++) {
            struct marker m = { 0 };
            assert_int_equal(fread(picture, 1, size, file), size);
            assert_true(marker_read(picture, width, width, height, &m));
            assert_int_equal(m.number, n);
        }
        free(picture);
        fclose(file);
    }
    bench_finish(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_its_cell_size),
        cmocka_unit_test(draws_what_is_documented),
        cmocka_unit_test(reads_back_and_notices_damage),
        cmocka_unit_test(survives_jpeg),
        cmocka_unit_test(survives_h264),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
