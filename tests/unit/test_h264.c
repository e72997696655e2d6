/* SPDX-License-Identifier: MIT */
/* The H.264 encoder against libavcodec's decoder. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <libavcodec/avcodec.h>
#include <turbojpeg.h>

#include "encode/encoder.h"
#include "encode/h264_unit.h"
#include "encode/h264_vui.h"
#include "pcs/frame.h"
#include "pcs/h264_scan.h"
#include "pcs/pool.h"
#include "pictures.h"

#define FRAME_US 33333

struct rig {
    struct pool *pool;
    struct encoder *encoder;
    AVCodecContext *decoder;
    AVFrame *decoded;
    int64_t now_us;
    uint64_t seq;
};

static struct encode_config default_config(void)
{
    return (struct encode_config){ .bitrate = 4000000, .quality = 80, .threads = 2 };
}

static struct rig open_rig(const struct format *f, const struct encode_config *config)
{
    struct rig r = { .pool = pool_new(64 << 20), .now_us = 5000000000 };
    struct err err = { 0 };
    if (encoder_h264.open(&r.encoder, config, f, r.pool, &err)) {
        fail_msg("%s", err.text);
    }
    r.decoder = avcodec_alloc_context3(avcodec_find_decoder(AV_CODEC_ID_H264));
    r.decoder->thread_count = 1;
    r.decoder->flags |= AV_CODEC_FLAG_LOW_DELAY;
    assert_int_equal(avcodec_open2(r.decoder, NULL, NULL), 0);
    r.decoded = av_frame_alloc();
    return r;
}

static void close_rig(struct rig *r)
{
    av_frame_free(&r->decoded);
    avcodec_free_context(&r->decoder);
    encoder_h264.close(r->encoder);
    pool_free(r->pool);
}

/* format.h's. */
static void check_promise(const struct frame *packet)
{
    struct h264_unit_info info;
    struct h264_unit unit;
    struct h264_sets sets = { .sps_size = 0 };
    h264_scan_unit(packet->data, packet->size, &info);
    h264_unit_read(&sets, packet->data, packet->size, &unit);
    assert_true(unit.kept);
    assert_int_equal(info.has_idr, (packet->flags & FRAME_KEY) != 0);
    assert_true(!info.has_idr || (info.has_sps && info.has_pps));
}

/* Encode, and check what every packet has to be. */
static struct frame *encode_one(struct rig *r, struct frame *in, bool key)
{
    struct frame *out = NULL;
    in->seq = ++r->seq;
    in->capture_us = r->now_us;
    r->now_us += FRAME_US;
    assert_int_equal(encoder_h264.encode(r->encoder, in, key, &out), 0);
    assert_non_null(out); /* no delay */
    assert_int_equal(out->seq, in->seq);
    assert_int_equal(out->capture_us, in->capture_us);
    assert_int_equal(out->pts_delay_us, 0);
    assert_int_equal(out->format.id, FORMAT_H264);
    check_promise(out);
    return out;
}

static void decode_one(struct rig *r, const struct frame *packet)
{
    AVPacket *p = av_packet_alloc();
    assert_int_equal(av_new_packet(p, (int)packet->size), 0);
    memcpy(p->data, packet->data, packet->size);
    assert_int_equal(avcodec_send_packet(r->decoder, p), 0);
    assert_int_equal(avcodec_receive_frame(r->decoder, r->decoded), 0);
    av_packet_free(&p);
}

static double plane_psnr(const AVFrame *got, const struct frame *want, int plane)
{
    int w = plane ? got->width / 2 : got->width, h = plane ? got->height / 2 : got->height;
    double worst = 99;
    uint8_t *a = malloc((size_t)w * (size_t)h), *b = malloc((size_t)w * (size_t)h);
    for (int y = 0; y < h; y++) {
        memcpy(a + (ptrdiff_t)y * w, got->data[plane] + (ptrdiff_t)y * got->linesize[plane],
               (size_t)w);
        memcpy(b + (ptrdiff_t)y * w, want->plane[plane] + (ptrdiff_t)y * want->stride[plane],
               (size_t)w);
    }
    worst = picture_psnr(a, b, (size_t)w * (size_t)h);
    free(a);
    free(b);
    return worst;
}

static struct frame *make_jpeg(int width, int height, int t)
{
    uint8_t *rgb = picture_rgb(width, height, t), *data = NULL;
    unsigned long size = 0;
    tjhandle tj = tjInitCompress();
    assert_int_equal(
        tjCompress2(tj, rgb, width, 0, height, TJPF_RGB, &data, &size, TJSAMP_422, 90, 0), 0);
    struct frame *f = picture_bytes(FORMAT_JPEG, data, size);
    f->format.width = width;
    f->format.height = height;
    f->format.range = COLOR_RANGE_FULL;
    tjFree(data);
    tjDestroy(tj);
    free(rgb);
    return f;
}

static struct frame *make_input(const struct format *f, int t)
{
    return f->id == FORMAT_JPEG ? make_jpeg(f->width, f->height, t) : picture_new(f, t, 16);
}

static void check_colour(const AVFrame *got, const struct format *want)
{
    bool full = want->range == COLOR_RANGE_FULL;
    struct format_color_codes codes = format_color_codes(want);
    assert_int_equal(got->color_range, full ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG);
    assert_int_equal(got->colorspace, codes.matrix);
    assert_int_equal(got->color_primaries, codes.primaries);
    assert_int_equal(got->color_trc, codes.transfer);
}

static void check_input(const struct format *f, int frames)
{
    struct encode_config config = default_config();
    struct rig r = open_rig(f, &config);
    struct format want = *f;
    want.id = FORMAT_YU12;
    if (f->id == FORMAT_RGB24) {
        want.range = COLOR_RANGE_LIMITED;
    }
    for (int t = 0; t < frames; t++) {
        struct frame *in = make_input(f, t);
        struct frame *packet = encode_one(&r, in, false);
        assert_int_equal(packet->flags & FRAME_KEY, t == 0);
        decode_one(&r, packet);
        assert_int_equal(r.decoded->width, f->width & ~1);
        assert_int_equal(r.decoded->height, f->height & ~1);
        assert_int_equal(packet->format.width, r.decoded->width);
        check_colour(r.decoded, &want);
        struct frame *truth = picture_new(&want, t, 0);
        assert_true(plane_psnr(r.decoded, truth, 0) > 28);
        for (int i = 1; i < 3 && f->id != FORMAT_GREY; i++) {
            assert_true(plane_psnr(r.decoded, truth, i) > 28);
        }
        assert_int_equal(atomic_load(&in->refs), 1); /* what was lent came back */
        frame_unref(truth);
        frame_unref(packet);
        frame_unref(in);
    }
    close_rig(&r);
}

static void takes_every_input(void **state)
{
    (void)state;
    for (int id = FORMAT_YUYV; id <= FORMAT_JPEG; id++) {
        struct format f = {
            .id = (enum format_id)id, .width = 176, .height = 144, .fps_num = 30, .fps_den = 1
        };
        if (!encoder_h264.accepts(f.id)) {
            continue; /* prepare.c brings it to one that is */
        }
        f.range = id == FORMAT_JPEG || id == FORMAT_GREY ? COLOR_RANGE_FULL : COLOR_RANGE_LIMITED;
        check_input(&f, 30);
    }
}

static void takes_odd_sizes_and_709(void **state)
{
    (void)state;
    struct format f = {
        .id = FORMAT_YU12, .width = 321, .height = 241, .fps_den = 1, .matrix = COLOR_MATRIX_709
    };
    check_input(&f, 8); /* and an unknown rate */
    f.id = FORMAT_GREY;
    f.matrix = COLOR_MATRIX_601;
    check_input(&f, 8);
    f = (struct format){ .id = FORMAT_NV12,
                         .width = 1280,
                         .height = 720,
                         .fps_num = 30,
                         .fps_den = 1,
                         .matrix = COLOR_MATRIX_709 };
    check_input(&f, 5); /* in slices */
}

/* What a decoder reads from the stream is what the camera said, and its samples are the camera's. */
static void colours_are_told(void **state)
{
    (void)state;
    static const struct {
        struct format f;
        int primaries, transfer, matrix;
    } cases[] = {
        { { .matrix = COLOR_MATRIX_601 }, 2, 2, AVCOL_SPC_SMPTE170M },
        { { .matrix = COLOR_MATRIX_601, .range = COLOR_RANGE_FULL }, 2, 2, AVCOL_SPC_SMPTE170M },
        { { .matrix = COLOR_MATRIX_601,
            .primaries = COLOR_PRIMARIES_170M,
            .transfer = COLOR_TRANSFER_709 },
          AVCOL_PRI_SMPTE170M,
          AVCOL_TRC_SMPTE170M,
          AVCOL_SPC_SMPTE170M },
        { { .matrix = COLOR_MATRIX_601,
            .primaries = COLOR_PRIMARIES_470BG,
            .transfer = COLOR_TRANSFER_709 },
          AVCOL_PRI_BT470BG,
          AVCOL_TRC_SMPTE170M,
          AVCOL_SPC_BT470BG },
        { { .matrix = COLOR_MATRIX_601, /* a USB camera */
            .range = COLOR_RANGE_FULL,
            .primaries = COLOR_PRIMARIES_709,
            .transfer = COLOR_TRANSFER_SRGB },
          AVCOL_PRI_BT709,
          AVCOL_TRC_IEC61966_2_1,
          AVCOL_SPC_SMPTE170M },
        { { .matrix = COLOR_MATRIX_709 }, AVCOL_PRI_BT709, AVCOL_TRC_BT709, AVCOL_SPC_BT709 },
        { { .matrix = COLOR_MATRIX_2020, .primaries = COLOR_PRIMARIES_2020 },
          AVCOL_PRI_BT2020,
          AVCOL_TRC_BT2020_10,
          AVCOL_SPC_BT2020_NCL },
        { { .matrix = COLOR_MATRIX_2020, .transfer = COLOR_TRANSFER_PQ },
          AVCOL_PRI_BT2020,
          AVCOL_TRC_SMPTE2084,
          AVCOL_SPC_BT2020_NCL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct format f = cases[i].f;
        f.id = i % 2 ? FORMAT_YUYV : FORMAT_NV12;
        f.width = 176;
        f.height = 144;
        f.fps_num = 30;
        f.fps_den = 1;
        struct format_color_codes codes = format_color_codes(&f);
        assert_int_equal(codes.primaries, cases[i].primaries);
        assert_int_equal(codes.transfer, cases[i].transfer);
        assert_int_equal(codes.matrix, cases[i].matrix);
        check_input(&f, 3);
    }
}

/* Hardware writes no colours, or wrong ones: a decoder reads what the camera said all the same. */
static void colours_are_added(void **state)
{
    (void)state;
    struct format f = {
        .id = FORMAT_YU12, .width = 176, .height = 144, .fps_num = 30, .fps_den = 1
    };
    struct format said = f;
    struct encode_config config = default_config();
    struct rig r = open_rig(&f, &config);
    struct h264_vui vui = { .filter = NULL };
    for (int t = 0; t < 6; t++) {
        said.matrix = t < 3 ? COLOR_MATRIX_2020 : COLOR_MATRIX_709;
        said.transfer = COLOR_TRANSFER_PQ;
        said.range = t % 2 ? COLOR_RANGE_FULL : COLOR_RANGE_LIMITED;
        struct frame *in = picture_new(&f, t, 0);
        struct frame *packet = encode_one(&r, in, true);
        struct frame *told = h264_vui_tell(&vui, &said, r.pool, packet);
        assert_ptr_not_equal(told, packet);
        assert_int_equal(told->seq, in->seq);
        assert_int_equal(told->flags, FRAME_KEY);
        assert_ptr_equal(h264_vui_tell(&vui, &said, r.pool, told), told); /* nothing more to do */
        check_promise(told);
        decode_one(&r, told);
        check_colour(r.decoded, &said);
        assert_true(plane_psnr(r.decoded, in, 0) > 28);
        frame_unref(told);
        frame_unref(in);
    }
    h264_vui_finish(&vui);
    close_rig(&r);
}

static void key_lands_on_the_next_packet(void **state)
{
    (void)state;
    struct format f = {
        .id = FORMAT_YUYV, .width = 160, .height = 120, .fps_num = 30, .fps_den = 1
    };
    struct encode_config config = default_config();
    config.gop = 20;
    struct rig r = open_rig(&f, &config);
    int since = 0;
    for (int t = 0; t < 60; t++) {
        struct frame *in = picture_new(&f, t, 0);
        bool ask = t == 7 || t == 8;
        struct frame *packet = encode_one(&r, in, ask);
        bool key = packet->flags & FRAME_KEY;
        assert_int_equal(key, t == 0 || ask || since == 20);
        since = key ? 1 : since + 1;
        frame_unref(packet);
        frame_unref(in);
    }
    close_rig(&r);
}

/* Bytes of `n` frames that no codec can predict: a window that moves over noise. */
static size_t encode_noise(struct rig *r, const struct format *f, int n)
{
    struct format tall = *f;
    tall.height *= 2;
    struct frame *noise = picture_noise(&tall);
    size_t bytes = 0;
    noise->format = *f;
    noise->size /= 2;
    for (int i = 0; i < n; i++) {
        noise->data = noise->buffer + r->seq % 1000 * 64;
        assert_int_equal(frame_set_planes(noise, 0), 0);
        struct frame *packet = encode_one(r, noise, false);
        bytes += packet->size;
        frame_unref(packet);
    }
    frame_unref(noise);
    return bytes;
}

static void bitrate_is_kept_and_changes_live(void **state)
{
    (void)state;
    struct format f = {
        .id = FORMAT_YU12, .width = 320, .height = 240, .fps_num = 30, .fps_den = 1
    };
    struct encode_config config = default_config();
    struct rig r = open_rig(&f, &config);
    static const int64_t rates[] = { 4000000, 1000000, 2000000 };
    for (size_t i = 0; i < 3; i++) {
        encoder_h264.set_bitrate(r.encoder, rates[i]);
        (void)encode_noise(&r, &f, 30); /* settles */
        double got = (double)encode_noise(&r, &f, 60) * 8 / 2;
        assert_true(got > 0.7 * (double)rates[i] && got < 1.2 * (double)rates[i]);
    }
    close_rig(&r);
}

/* The rate is per second of camera time, whatever rate the camera promised. */
static void rate_follows_true_timing(void **state)
{
    (void)state;
    struct format f = {
        .id = FORMAT_YU12, .width = 320, .height = 240, .fps_num = 30, .fps_den = 1
    };
    struct encode_config config = default_config();
    config.bitrate = 1000000;
    struct rig r = open_rig(&f, &config);
    static const int strides[] = { 2, 1 }; /* 15 fps in fact, then as promised */
    for (int k = 0; k < 2; k++) {
        size_t bytes = 0;
        for (int i = 0; i < 150; i++) {
            r.now_us += FRAME_US * (strides[k] - 1);
            size_t size = encode_noise(&r, &f, 1);
            bytes += i < 60 ? 0 : size; /* settles */
        }
        double got = (double)bytes * 8 / (3 * strides[k]);
        assert_true(got > 0.7e6 && got < 1.2e6);
    }
    close_rig(&r);
}

static void says_the_nominal_rate(void **state)
{
    (void)state;
    struct format f = {
        .id = FORMAT_YU12, .width = 320, .height = 240, .fps_num = 25, .fps_den = 1
    };
    struct encode_config config = default_config();
    struct rig r = open_rig(&f, &config);
    struct frame *in = picture_new(&f, 0, 0);
    struct frame *packet = encode_one(&r, in, false);
    struct h264_unit_info info;
    struct h264_sps sps;
    h264_scan_unit(packet->data, packet->size, &info);
    assert_int_equal(h264_parse_sps(info.sps.data, info.sps.size, &sps), 0);
    assert_int_equal(sps.fps_num, 25 * sps.fps_den);
    frame_unref(packet);
    frame_unref(in);
    close_rig(&r);
}

static void survives_strange_times(void **state)
{
    (void)state;
    struct format f = {
        .id = FORMAT_YU12, .width = 160, .height = 120, .fps_num = 30, .fps_den = 1
    };
    struct encode_config config = default_config();
    struct rig r = open_rig(&f, &config);
    static const int64_t steps[] = { 0, -FRAME_US, -5000000, 3600000000, 1, 0, 0, 33333 };
    for (int t = 0; t < 64; t++) {
        struct frame *in = picture_new(&f, t, 0);
        r.now_us += steps[t % 8] - FRAME_US;
        struct frame *packet = encode_one(&r, in, false);
        decode_one(&r, packet);
        frame_unref(packet);
        frame_unref(in);
    }
    close_rig(&r);
}

static void follows_a_camera_that_changes_its_size(void **state)
{
    (void)state;
    struct format f = { .id = FORMAT_JPEG,
                        .width = 320,
                        .height = 240,
                        .fps_num = 30,
                        .fps_den = 1,
                        .range = COLOR_RANGE_FULL };
    struct encode_config config = default_config();
    struct rig r = open_rig(&f, &config);
    for (int i = 0; i < 4; i++) {
        struct frame *in = make_jpeg(i < 2 ? 320 : 480, 240, i);
        in->format.width = 320; /* what the driver said */
        struct frame *packet = encode_one(&r, in, false);
        assert_int_equal(packet->flags & FRAME_KEY, i == 0 || i == 2);
        assert_int_equal(packet->format.width, i < 2 ? 320 : 480);
        frame_unref(packet);
        frame_unref(in);
    }
    close_rig(&r);
}

static void bad_jpeg_is_only_dropped(void **state)
{
    (void)state;
    struct format f = {
        .id = FORMAT_JPEG, .width = 320, .height = 240, .fps_num = 30, .fps_den = 1
    };
    struct encode_config config = default_config();
    struct rig r = open_rig(&f, &config);
    struct frame *in = make_jpeg(320, 240, 0);
    struct frame *out = NULL;
    frame_unref(encode_one(&r, in, false));
    in->size /= 2;
    assert_int_equal(encoder_h264.encode(r.encoder, in, false, &out), -EBADMSG);
    in->size *= 2;
    struct frame *packet = encode_one(&r, in, false);
    assert_int_equal(packet->flags & FRAME_KEY, 0);
    frame_unref(packet);
    frame_unref(in);
    close_rig(&r);
}

static void pool_is_flat_in_steady_state(void **state)
{
    (void)state;
    static const enum format_id ids[] = { FORMAT_YU12, FORMAT_YUYV, FORMAT_JPEG, FORMAT_GREY };
    for (size_t i = 0; i < 4; i++) {
        struct format f = {
            .id = ids[i], .width = 640, .height = 480, .fps_num = 30, .fps_den = 1
        };
        struct encode_config config = default_config();
        struct rig r = open_rig(&f, &config);
        struct frame *in = make_input(&f, 3);
        uint64_t before = 0;
        for (int n = 0; n < 100; n++) {
            before = n == 60 ? pool_allocations(r.pool) : before;
            frame_unref(encode_one(&r, in, n % 30 == 0));
        }
        assert_int_equal(pool_allocations(r.pool), before);
        frame_unref(in);
        close_rig(&r);
    }
}

static int try_open(const struct encode_config *config, struct err *err)
{
    struct format f = { .id = FORMAT_YU12, .width = 320, .height = 240, .fps_den = 1 };
    struct pool *pool = pool_new(0);
    struct encoder *e = NULL;
    int rc = encoder_h264.open(&e, config, &f, pool, err);
    encoder_h264.close(e);
    pool_free(pool);
    return rc;
}

static void names_what_is_wrong(void **state)
{
    (void)state;
    struct encode_config config = default_config();
    struct err err = { 0 };
    assert_int_equal(encoder_h264.check(&config, &err), 0);
    config.encoder = "no-such";
    assert_int_equal(encoder_h264.check(&config, &err), -ENOENT);
    assert_non_null(strstr(err.text, "no-such"));
    config.encoder = "mjpeg"; /* exists, is another codec */
    assert_int_equal(encoder_h264.check(&config, &err), -ENOENT);
    config.encoder = "h264_v4l2m2m"; /* there is no such device */
    if (encoder_h264.check(&config, &err) == 0) {
        assert_true(try_open(&config, &err) < 0);
        assert_non_null(strstr(err.text, "h264_v4l2m2m"));
    }
    config = default_config();
    config.preset = "no-such";
    assert_true(try_open(&config, &err) < 0);
    config.preset = "veryfast";
    assert_int_equal(try_open(&config, &err), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_every_input),
        cmocka_unit_test(takes_odd_sizes_and_709),
        cmocka_unit_test(colours_are_told),
        cmocka_unit_test(colours_are_added),
        cmocka_unit_test(key_lands_on_the_next_packet),
        cmocka_unit_test(bitrate_is_kept_and_changes_live),
        cmocka_unit_test(rate_follows_true_timing),
        cmocka_unit_test(says_the_nominal_rate),
        cmocka_unit_test(survives_strange_times),
        cmocka_unit_test(follows_a_camera_that_changes_its_size),
        cmocka_unit_test(bad_jpeg_is_only_dropped),
        cmocka_unit_test(pool_is_flat_in_steady_state),
        cmocka_unit_test(names_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
