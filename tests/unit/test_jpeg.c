/* SPDX-License-Identifier: MIT */
/* The JPEG encoder and decoder against TurboJPEG's, which shares no code with how ours are driven. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <libavcodec/avcodec.h>
#include <turbojpeg.h>

#include "encode/encoder.h"
#include "encode/jpeg_decode.h"
#include "pcs/frame.h"
#include "pcs/jpeg_scan.h"
#include "pcs/pool.h"
#include "pictures.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNTS_MALLOC 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define COUNTS_MALLOC 0
#endif
#endif
#ifndef COUNTS_MALLOC
#define COUNTS_MALLOC 1
#endif

/* ---- every allocation of the process, the libraries' included ---- */

static atomic_ulong allocations;

#if COUNTS_MALLOC
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t align, size_t size);

__attribute__((visibility("default"))) void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

__attribute__((visibility("default"))) void *calloc(size_t n, size_t size)
{
    allocations++;
    return __libc_calloc(n, size);
}

__attribute__((visibility("default"))) void *realloc(void *p, size_t size)
{
    allocations++;
    return __libc_realloc(p, size);
}

__attribute__((visibility("default"))) int posix_memalign(void **out, size_t align, size_t size)
{
    allocations++;
    *out = __libc_memalign(align, size);
    return *out ? 0 : ENOMEM;
}
#endif

/* ---- helpers ---- */

struct bench {
    struct pool *pool;
    struct encoder *encoder;
};

static struct bench open_bench(const struct format *f, int quality, int threads)
{
    struct bench b = { .pool = pool_new(64 << 20) };
    struct encode_config config = { .quality = quality, .threads = threads };
    struct err err;
    assert_int_equal(encoder_jpeg.open(&b.encoder, &config, f, b.pool, &err), 0);
    return b;
}

static void close_bench(struct bench *b)
{
    encoder_jpeg.close(b->encoder);
    pool_free(b->pool);
}

static struct frame *encode_with(struct bench *b, const struct frame *in)
{
    struct frame *out = NULL;
    assert_int_equal(encoder_jpeg.encode(b->encoder, in, false, &out), 0);
    assert_non_null(out);
    return out;
}

/* `in` as a JPEG whose bytes outlive its pool. */
static struct frame *encode_once(const struct frame *in, int quality, int threads)
{
    struct bench b = open_bench(&in->format, quality, threads);
    struct frame *out = encode_with(&b, in);
    close_bench(&b);
    return out;
}

static uint8_t *decode_rgb(const uint8_t *data, size_t size, int *width, int *height)
{
    int subsampling, space;
    tjhandle tj = tjInitDecompress();
    assert_int_equal(tjDecompressHeader3(tj, data, size, width, height, &subsampling, &space), 0);
    uint8_t *rgb = malloc((size_t)*width * (size_t)*height * 3);
    assert_int_equal(tjDecompress2(tj, data, size, rgb, *width, 0, *height, TJPF_RGB, 0), 0);
    tjDestroy(tj);
    return rgb;
}

static void make_grey(uint8_t *rgb, size_t pixels)
{
    for (size_t i = 0; i < pixels; i++, rgb += 3) {
        double y = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
        memset(rgb, (int)(y + 0.5), 3);
    }
}

static double psnr_of(const struct frame *jpeg, const struct format *f)
{
    int width, height;
    uint8_t *got = decode_rgb(jpeg->data, jpeg->size, &width, &height);
    assert_int_equal(width, f->width);
    assert_int_equal(height, f->height);
    uint8_t *want = picture_rgb(width, height, 5);
    if (f->id == FORMAT_GREY) {
        make_grey(want, (size_t)width * (size_t)height);
    }
    double psnr = picture_psnr(got, want, (size_t)width * (size_t)height * 3);
    free(want);
    free(got);
    return psnr;
}

/* ---- the encoder ---- */

static void check_format(struct format f, int pad)
{
    struct frame *in = picture_new(&f, 5, pad);
    in->seq = 7;
    in->capture_us = 123456;
    struct frame *jpeg = encode_once(in, 90, 1);
    struct jpeg_info info;
    assert_int_equal(jpeg_scan(jpeg->data, jpeg->size, &info), 0);
    assert_true(info.has_dht && info.has_eoi && info.size == jpeg->size);
    assert_int_equal(info.components, f.id == FORMAT_GREY ? 1 : 3);
    assert_int_equal(jpeg->format.id, FORMAT_JPEG);
    assert_int_equal(jpeg->format.range, COLOR_RANGE_FULL);
    assert_int_equal(jpeg->flags, FRAME_KEY);
    assert_int_equal(jpeg->seq, 7);
    assert_int_equal(jpeg->capture_us, 123456);
    double psnr = psnr_of(jpeg, &f);
    if (psnr < 30) {
        print_error("%s %dx%d range %d pad %d: %.1f dB\n", format_info(f.id)->name, f.width,
                    f.height, f.range, pad, psnr);
    }
    assert_true(psnr >= 30);
    frame_unref(jpeg);
    frame_unref(in);
}

static void takes_every_pixel_format(void **state)
{
    (void)state;
    static const int sizes[][2] = { { 160, 120 }, { 321, 239 }, { 16, 16 },  { 2, 2 },
                                    { 100, 50 },  { 8192, 2 },  { 18, 1030 } };
    for (int id = FORMAT_YUYV; id <= FORMAT_RGB24; id++) {
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            for (int range = COLOR_RANGE_LIMITED; range <= COLOR_RANGE_FULL; range++) {
                struct format f = { .id = (enum format_id)id,
                                    .width = sizes[s][0],
                                    .height = sizes[s][1],
                                    .fps_den = 1,
                                    .range = (enum color_range)range };
                check_format(f, s % 2 ? 0 : 32);
            }
        }
    }
}

static void range_reaches_both_ends(void **state)
{
    (void)state;
    struct format f = { .id = FORMAT_YU12, .width = 64, .height = 64 };
    struct frame *in = picture_new(&f, 0, 0);
    memset(in->buffer, 235, 64 * 32);
    memset(in->buffer + 64 * 32, 16, 64 * 32);
    memset(in->buffer + 64 * 64, 128, 64 * 32);
    struct frame *jpeg = encode_once(in, 95, 1);
    int width, height;
    uint8_t *rgb = decode_rgb(jpeg->data, jpeg->size, &width, &height);
    assert_in_range(rgb[3 * (8 * 64 + 8)], 254, 255);
    assert_in_range(rgb[3 * (56 * 64 + 8)], 0, 1);
    free(rgb);
    frame_unref(jpeg);
    frame_unref(in);
}

/* Every viewer takes JPEG for BT.601: whatever the camera sends, the colours are what it saw. */
static void check_bars(const struct format *f)
{
    struct frame *in = picture_new(f, -1, 0);
    struct frame *jpeg = encode_once(in, 95, 1);
    int width, height;
    uint8_t *got = decode_rgb(jpeg->data, jpeg->size, &width, &height);
    uint8_t *want = picture_rgb(width, height, -1);
    for (int bar = 0; bar < 8; bar++) {
        for (int i = 0; i < 3; i++) {
            int at = ((height / 2) * width + bar * width / 8 + width / 16) * 3 + i;
            if (abs(got[at] - want[at]) > 3) {
                fail_msg("%s, matrix %d, range %d, bar %d: %d, not %d", format_info(f->id)->name,
                         f->matrix, f->range, bar, got[at], want[at]);
            }
        }
    }
    assert_int_equal(jpeg->format.matrix, COLOR_MATRIX_601);
    free(got);
    free(want);
    frame_unref(jpeg);
    frame_unref(in);
}

static void colours_are_those_the_camera_saw(void **state)
{
    (void)state;
    static const enum format_id ids[] = { FORMAT_YUYV, FORMAT_UYVY, FORMAT_NV12, FORMAT_YU12 };
    for (size_t i = 0; i < 4; i++) {
        for (int matrix = COLOR_MATRIX_601; matrix <= COLOR_MATRIX_2020; matrix++) {
            for (int range = COLOR_RANGE_LIMITED; range <= COLOR_RANGE_FULL; range++) {
                struct format f = { .id = ids[i], .width = 254, .height = 45 };
                f.matrix = (enum color_matrix)matrix;
                f.range = (enum color_range)range;
                check_bars(&f);
            }
        }
    }
}

static void assert_same_samples(const struct frame *a, const struct frame *b)
{
    int wa, ha, wb, hb;
    uint8_t *ra = decode_rgb(a->data, a->size, &wa, &ha);
    uint8_t *rb = decode_rgb(b->data, b->size, &wb, &hb);
    assert_true(wa == wb && ha == hb);
    assert_int_equal(memcmp(ra, rb, (size_t)wa * (size_t)ha * 3), 0);
    free(ra);
    free(rb);
}

static void stripes_decode_to_the_same(void **state)
{
    (void)state;
    static const struct format formats[] = {
        { .id = FORMAT_YUYV, .width = 1280, .height = 720 },
        { .id = FORMAT_NV12, .width = 1921, .height = 1081 },
        { .id = FORMAT_GREY, .width = 1922, .height = 1090, .range = COLOR_RANGE_FULL },
        { .id = FORMAT_YU12, .width = 8192, .height = 1000 },
    };
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        struct frame *in = picture_noise(&formats[i]);
        struct frame *whole = encode_once(in, 80, 1);
        for (int threads = 2; threads <= 4; threads++) {
            struct frame *striped = encode_once(in, 80, threads);
            struct jpeg_info info;
            assert_int_equal(jpeg_scan(striped->data, striped->size, &info), 0);
            assert_int_equal(info.size, striped->size);
            assert_memory_not_equal(whole->data, striped->data, 700); /* DRI: it did happen */
            assert_same_samples(whole, striped);
            frame_unref(striped);
        }
        frame_unref(whole);
        frame_unref(in);
    }
}

static AVFrame *decode_by_ffmpeg(const struct frame *jpeg)
{
    AVCodecContext *ctx = avcodec_alloc_context3(avcodec_find_decoder(AV_CODEC_ID_MJPEG));
    AVPacket *packet = av_packet_alloc();
    AVFrame *out = av_frame_alloc();
    ctx->thread_count = 1;
    ctx->err_recognition = AV_EF_EXPLODE; /* it does not forgive damage */
    assert_int_equal(avcodec_open2(ctx, NULL, NULL), 0);
    assert_int_equal(av_new_packet(packet, (int)jpeg->size), 0);
    memcpy(packet->data, jpeg->data, jpeg->size);
    assert_int_equal(avcodec_send_packet(ctx, packet), 0);
    assert_int_equal(avcodec_receive_frame(ctx, out), 0);
    av_packet_free(&packet);
    avcodec_free_context(&ctx);
    return out;
}

/* Not every decoder is libjpeg: FFmpeg's has its own idea of restarts. */
static void stripes_decode_to_the_same_in_ffmpeg(void **state)
{
    (void)state;
    struct format f = { .id = FORMAT_YUYV, .width = 1920, .height = 1080, .fps_den = 1 };
    struct frame *in = picture_noise(&f);
    struct frame *whole = encode_once(in, 80, 1), *striped = encode_once(in, 80, 4);
    AVFrame *a = decode_by_ffmpeg(whole), *b = decode_by_ffmpeg(striped);
    for (int i = 0; i < 3; i++) {
        int width = i ? 960 : 1920, height = i ? 540 : 1080;
        for (int y = 0; y < height; y++) {
            assert_int_equal(memcmp(a->data[i] + (ptrdiff_t)y * a->linesize[i],
                                    b->data[i] + (ptrdiff_t)y * b->linesize[i], (size_t)width),
                             0);
        }
    }
    av_frame_free(&a);
    av_frame_free(&b);
    frame_unref(whole);
    frame_unref(striped);
    frame_unref(in);
}

static void small_pictures_stay_whole(void **state)
{
    (void)state;
    struct format f = { .id = FORMAT_YUYV, .width = 640, .height = 480 };
    struct frame *in = picture_new(&f, 1, 0);
    struct frame *a = encode_once(in, 80, 1), *b = encode_once(in, 80, 4);
    assert_int_equal(a->size, b->size);
    assert_memory_equal(a->data, b->data, a->size);
    frame_unref(a);
    frame_unref(b);
    frame_unref(in);
}

static void grows_beyond_its_guess(void **state)
{
    (void)state;
    struct format f = {
        .id = FORMAT_YU12, .width = 1600, .height = 1200, .range = COLOR_RANGE_FULL
    };
    struct frame *in = picture_noise(&f);
    for (int threads = 1; threads <= 2; threads++) {
        struct frame *jpeg = encode_once(in, 100, threads);
        struct jpeg_info info;
        assert_true(jpeg->size > (size_t)f.width * (size_t)f.height); /* the guess is a quarter */
        assert_int_equal(jpeg_scan(jpeg->data, jpeg->size, &info), 0);
        int width, height;
        free(decode_rgb(jpeg->data, jpeg->size, &width, &height));
        frame_unref(jpeg);
    }
    frame_unref(in);
}

static void quality_changes_live(void **state)
{
    (void)state;
    struct format f = { .id = FORMAT_YUYV, .width = 1280, .height = 720 };
    struct frame *in = picture_noise(&f);
    struct bench b = open_bench(&f, 90, 2);
    struct frame *high = encode_with(&b, in);
    encoder_jpeg.set_quality(b.encoder, 30);
    struct frame *low = encode_with(&b, in);
    struct frame *same = encode_once(in, 30, 2);
    assert_true(low->size * 2 < high->size);
    assert_int_equal(low->size, same->size);
    frame_unref(high);
    frame_unref(low);
    frame_unref(same);
    close_bench(&b);
    frame_unref(in);
}

static void allocates_nothing_in_steady_state(void **state)
{
    (void)state;
    static const struct format formats[] = {
        { .id = FORMAT_YUYV, .width = 1280, .height = 720 },
        { .id = FORMAT_NV12, .width = 640, .height = 480, .range = COLOR_RANGE_FULL },
        { .id = FORMAT_GREY, .width = 1280, .height = 720 },
    };
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        struct frame *in = picture_noise(&formats[i]);
        struct bench b = open_bench(&formats[i], 80, 2);
        unsigned long before = 0, pool_before = 0;
        for (int n = 0; n < 30; n++) {
            if (n == 15) {
                before = allocations;
                pool_before = pool_allocations(b.pool);
            }
            frame_unref(encode_with(&b, in));
        }
        assert_int_equal(allocations - before, 0);
        assert_int_equal(pool_allocations(b.pool) - pool_before, 0);
        close_bench(&b);
        frame_unref(in);
    }
}

/* ---- the decoder ---- */

struct coded {
    uint8_t *data;
    unsigned long size;
};

static struct coded code_rgb(int width, int height, int subsampling, int flags)
{
    struct coded c = { 0 };
    uint8_t *rgb = picture_rgb(width, height, 5);
    tjhandle tj = tjInitCompress();
    assert_int_equal(
        tjCompress2(tj, rgb, width, 0, height, TJPF_RGB, &c.data, &c.size, subsampling, 90, flags),
        0);
    tjDestroy(tj);
    free(rgb);
    return c;
}

static int decode_bytes(const uint8_t *data, size_t size, struct frame **out)
{
    struct pool *pool = pool_new(1 << 20);
    struct jpeg_decoder *d = jpeg_decoder_new(pool);
    struct frame *in = picture_bytes(FORMAT_JPEG, data, size);
    in->capture_us = 99;
    int rc = jpeg_decode(d, in, out);
    frame_unref(in);
    jpeg_decoder_free(d);
    pool_free(pool);
    return rc;
}

/* Planes of a YU12 frame against the scene drawn as full-range 4:2:0. */
static void check_planes(const struct frame *got, bool grey)
{
    struct format f = got->format;
    assert_int_equal(f.id, FORMAT_YU12);
    assert_int_equal(f.range, COLOR_RANGE_FULL);
    struct frame *want = picture_new(&f, 5, 0);
    for (int i = 0; i < 3; i++) {
        int w = i ? (f.width + 1) / 2 : f.width, h = i ? (f.height + 1) / 2 : f.height;
        double worst = 99;
        for (int y = 0; y < h; y++) {
            const uint8_t *line = got->plane[i] + (ptrdiff_t)y * got->stride[i];
            if (grey && i) {
                assert_int_equal(line[0], 128);
                assert_int_equal(line[w - 1], 128);
                continue;
            }
            double psnr =
                picture_psnr(line, want->plane[i] + (ptrdiff_t)y * want->stride[i], (size_t)w);
            worst = psnr < worst ? psnr : worst;
        }
        if (worst < 25) {
            print_error("plane %d of %dx%d: %.1f dB\n", i, f.width, f.height, worst);
        }
        assert_true(worst >= 25); /* of any line: a shifted one would be far below */
    }
    frame_unref(want);
}

static void decodes_every_subsampling(void **state)
{
    (void)state;
    static const int sizes[][2] = { { 320, 240 }, { 321, 239 }, { 162, 122 }, { 17, 9 } };
    static const int subsamplings[] = { TJSAMP_420, TJSAMP_422, TJSAMP_444,
                                        TJSAMP_440, TJSAMP_411, TJSAMP_GRAY };
    for (size_t i = 0; i < sizeof subsamplings / sizeof subsamplings[0]; i++) {
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
            for (int progressive = 0; progressive < 2; progressive++) {
                struct coded c = code_rgb(sizes[s][0], sizes[s][1], subsamplings[i],
                                          progressive ? TJFLAG_PROGRESSIVE : 0);
                struct frame *out = NULL;
                assert_int_equal(decode_bytes(c.data, c.size, &out), 0);
                assert_int_equal(out->format.width, sizes[s][0]);
                assert_int_equal(out->format.height, sizes[s][1]);
                assert_int_equal(out->capture_us, 99);
                check_planes(out, subsamplings[i] == TJSAMP_GRAY);
                frame_unref(out);
                tjFree(c.data);
            }
        }
    }
}

/* Cut the DHT segments out, as many webcams do. */
static size_t remove_tables(uint8_t *data, size_t size)
{
    size_t at = 2;
    while (data[at + 1] != 0xDA) {
        size_t length = 2 + (size_t)(data[at + 2] << 8 | data[at + 3]);
        if (data[at + 1] == 0xC4) {
            memmove(data + at, data + at + length, size - at - length);
            size -= length;
        } else {
            at += length;
        }
    }
    return size;
}

static void decodes_without_tables_or_end(void **state)
{
    (void)state;
    struct coded c = code_rgb(640, 480, TJSAMP_422, 0);
    struct frame *whole = NULL, *bare = NULL;
    assert_int_equal(decode_bytes(c.data, c.size, &whole), 0);
    size_t size = remove_tables(c.data, c.size);
    assert_true(size < c.size - 400);
    assert_int_equal(decode_bytes(c.data, size - 2, &bare), 0); /* without EOI as well */
    assert_memory_equal(whole->data, bare->data, whole->size);
    frame_unref(whole);
    frame_unref(bare);
    tjFree(c.data);
}

static void refuses_cut_and_damaged_pictures(void **state)
{
    (void)state;
    struct coded c = code_rgb(640, 480, TJSAMP_422, 0);
    struct frame *out = NULL;
    for (size_t lost = 20; lost < c.size; lost += c.size / 40) {
        assert_int_equal(decode_bytes(c.data, c.size - lost, &out), -EBADMSG);
    }
    memset(c.data + c.size / 2, 0x55, c.size / 4); /* runs of codes that make too many or too few */
    assert_int_equal(decode_bytes(c.data, c.size, &out), -EBADMSG);
    assert_null(out);
    tjFree(c.data);
}

static void decoder_goes_on_after_bad_pictures(void **state)
{
    (void)state;
    struct coded c = code_rgb(320, 240, TJSAMP_420, 0);
    struct pool *pool = pool_new(1 << 20);
    struct jpeg_decoder *d = jpeg_decoder_new(pool);
    struct frame *good = picture_bytes(FORMAT_JPEG, c.data, c.size);
    struct frame *cut = picture_bytes(FORMAT_JPEG, c.data, c.size / 2);
    struct frame *junk = picture_bytes(FORMAT_JPEG, "\xff\xd8\xff\xd9", 4);
    for (int i = 0; i < 5; i++) {
        struct frame *out = NULL;
        assert_int_equal(jpeg_decode(d, cut, &out), -EBADMSG);
        assert_int_equal(jpeg_decode(d, junk, &out), -EBADMSG);
        assert_int_equal(jpeg_check(d, good->data, good->size), 0);
        assert_int_equal(jpeg_check(d, good->data, good->size - 2), 0);
        assert_int_equal(jpeg_check(d, cut->data, cut->size), -EBADMSG);
        assert_int_equal(jpeg_decode(d, good, &out), 0);
        check_planes(out, false);
        frame_unref(out);
    }
    frame_unref(good);
    frame_unref(cut);
    frame_unref(junk);
    jpeg_decoder_free(d);
    pool_free(pool);
    tjFree(c.data);
}

static void decoder_allocates_nothing_in_steady_state(void **state)
{
    (void)state;
    struct coded c = code_rgb(640, 480, TJSAMP_422, 0);
    struct pool *pool = pool_new(4 << 20);
    struct jpeg_decoder *d = jpeg_decoder_new(pool);
    struct frame *in = picture_bytes(FORMAT_JPEG, c.data, c.size);
    unsigned long before = 0;
    for (int n = 0; n < 20; n++) {
        struct frame *out = NULL;
        before = n == 10 ? allocations : before;
        assert_int_equal(jpeg_decode(d, in, &out), 0);
        frame_unref(out);
    }
    assert_int_equal(allocations - before, 0);
    frame_unref(in);
    jpeg_decoder_free(d);
    pool_free(pool);
    tjFree(c.data);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_every_pixel_format),
        cmocka_unit_test(range_reaches_both_ends),
        cmocka_unit_test(colours_are_those_the_camera_saw),
        cmocka_unit_test(stripes_decode_to_the_same),
        cmocka_unit_test(stripes_decode_to_the_same_in_ffmpeg),
        cmocka_unit_test(small_pictures_stay_whole),
        cmocka_unit_test(grows_beyond_its_guess),
        cmocka_unit_test(quality_changes_live),
        cmocka_unit_test(allocates_nothing_in_steady_state),
        cmocka_unit_test(decodes_every_subsampling),
        cmocka_unit_test(decodes_without_tables_or_end),
        cmocka_unit_test(refuses_cut_and_damaged_pictures),
        cmocka_unit_test(decoder_goes_on_after_bad_pictures),
        cmocka_unit_test(decoder_allocates_nothing_in_steady_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
