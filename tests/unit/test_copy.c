/* SPDX-License-Identifier: MIT */
/* What a camera compressed itself, whole and damaged by hand. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "encode/encode.h"
#include "pcs/frame.h"
#include "pcs/h264_scan.h"
#include "pcs/jpeg_scan.h"
#include "pcs/pool.h"
#include "pictures.h"

struct rig {
    struct pool *pool;
    struct copy *copy;
};

static struct rig open_rig(void)
{
    struct rig r = { .pool = pool_new(8 << 20) };
    r.copy = copy_new(r.pool);
    assert_non_null(r.copy);
    return r;
}

static void close_rig(struct rig *r)
{
    copy_free(r->copy);
    pool_free(r->pool);
}

static struct frame *encode(const struct encoder_backend *backend, struct encoder **e,
                            struct pool *pool, const struct format *f, int t, bool key)
{
    struct encode_config config = { .quality = 80, .bitrate = 2000000, .threads = 1 };
    struct err err;
    struct frame *out = NULL, *in = picture_new(f, t, 0);
    in->capture_us = 1000000 + t * 33333;
    if (!*e) {
        assert_int_equal(backend->open(e, &config, f, pool, &err), 0);
    }
    assert_int_equal(backend->encode(*e, in, key, &out), 0);
    frame_unref(in);
    return out;
}

static const struct format camera = {
    .id = FORMAT_YUYV, .width = 320, .height = 240, .fps_num = 30, .fps_den = 1
};

/* A camera's JPEG in memory of its own. */
static struct frame *make_jpeg(void)
{
    struct encoder *e = NULL;
    struct pool *pool = pool_new(0);
    struct frame *jpeg = encode(&encoder_jpeg, &e, pool, &camera, 5, false);
    struct frame *out = picture_bytes(FORMAT_JPEG, jpeg->data, jpeg->size);
    frame_unref(jpeg);
    encoder_jpeg.close(e);
    pool_free(pool);
    return out;
}

static struct frame *cut_end(const struct frame *f, size_t lost)
{
    return picture_bytes(f->format.id, f->data, f->size - lost);
}

static int copy_of(struct rig *r, struct frame *in, const struct frame **out)
{
    *out = NULL;
    return copy_frame(r->copy, in, out);
}

/* copy_frame says `want` and, when that is an error, gives nothing. Frees `in`. */
static void expect(struct rig *r, struct frame *in, int want)
{
    const struct frame *out;
    assert_int_equal(copy_of(r, in, &out), want);
    assert_true((out != NULL) == (want == 0));
    frame_unref(out);
    frame_unref(in);
}

static void whole_jpeg_passes_untouched(void **state)
{
    (void)state;
    struct rig r = open_rig();
    struct frame *in = make_jpeg();
    const struct frame *out;
    in->capture_us = 4711;
    in->format.width = 99; /* the camera says one thing, the picture another */
    assert_int_equal(copy_of(&r, in, &out), 0);
    assert_ptr_equal(out, in); /* nobody else had it, nothing to mend: not copied */
    assert_int_equal(out->format.width, 320);
    assert_int_equal(out->format.range, COLOR_RANGE_FULL);
    assert_true(out->flags & FRAME_KEY);
    frame_unref(out);
    frame_unref(in);
    close_rig(&r);
}

static void driver_memory_is_copied(void **state)
{
    (void)state;
    struct rig r = open_rig();
    struct frame *in = make_jpeg();
    const struct frame *out;
    in->flags = FRAME_DRIVER;
    in->capture_us = 4711;
    assert_int_equal(copy_of(&r, in, &out), 0);
    assert_ptr_not_equal(out->data, in->data);
    assert_int_equal(out->flags, FRAME_KEY);
    assert_int_equal(out->capture_us, 4711);
    assert_int_equal(atomic_load(&in->refs), 1); /* the driver gets it back now */
    assert_memory_equal(out->data, in->data, in->size);
    frame_unref(out);

    in->flags = 0; /* somebody else reads it: it cannot be numbered */
    (void)frame_ref(in);
    assert_int_equal(copy_of(&r, in, &out), 0);
    assert_ptr_not_equal(out, in);
    frame_unref(out);
    frame_unref(in);
    frame_unref(in);
    close_rig(&r);
}

static void padding_is_cut(void **state)
{
    (void)state;
    struct rig r = open_rig();
    struct frame *jpeg = make_jpeg();
    uint8_t padded[65536] = { 0 };
    memcpy(padded, jpeg->data, jpeg->size);
    struct frame *in = picture_bytes(FORMAT_JPEG, padded, jpeg->size + 5000);
    const struct frame *out;
    assert_int_equal(copy_of(&r, in, &out), 0);
    assert_int_equal(out->size, jpeg->size);
    frame_unref(out);
    frame_unref(in);
    frame_unref(jpeg);
    close_rig(&r);
}

static void missing_tables_are_added(void **state)
{
    (void)state;
    struct rig r = open_rig();
    struct frame *jpeg = make_jpeg();
    struct jpeg_info info;
    uint8_t bare[65536];
    size_t size = 2, at = 2;
    memcpy(bare, jpeg->data, 2);
    while (jpeg->data[at + 1] != 0xDA) { /* every segment but DHT */
        size_t n = 2 + (size_t)(jpeg->data[at + 2] << 8 | jpeg->data[at + 3]);
        if (jpeg->data[at + 1] != 0xC4) {
            memcpy(bare + size, jpeg->data + at, n);
            size += n;
        }
        at += n;
    }
    memcpy(bare + size, jpeg->data + at, jpeg->size - at);
    struct frame *in = picture_bytes(FORMAT_JPEG, bare, size + jpeg->size - at);
    const struct frame *out;
    assert_int_equal(copy_of(&r, in, &out), 0);
    assert_int_equal(jpeg_scan(out->data, out->size, &info), 0);
    assert_true(info.has_dht && info.has_eoi && info.size == out->size);
    assert_memory_equal(out->data + out->size - 1000, jpeg->data + jpeg->size - 1000, 1000);
    frame_unref(out);
    frame_unref(in);
    frame_unref(jpeg);
    close_rig(&r);
}

static void camera_without_eoi_is_not_refused(void **state)
{
    (void)state;
    struct rig r = open_rig();
    struct frame *jpeg = make_jpeg();
    for (int i = 0; i < 3; i++) {
        struct frame *in = cut_end(jpeg, 2);
        const struct frame *out;
        assert_int_equal(copy_of(&r, in, &out), 0);
        assert_int_equal(out->size, jpeg->size);
        assert_memory_equal(out->data, jpeg->data, jpeg->size);
        frame_unref(out);
        frame_unref(in);
        expect(&r, cut_end(jpeg, jpeg->size / 3), -EBADMSG); /* its cut ones are */
    }
    frame_unref(jpeg);
    close_rig(&r);
}

static void cut_jpeg_is_dropped(void **state)
{
    (void)state;
    struct rig r = open_rig();
    struct frame *jpeg = make_jpeg();
    expect(&r, cut_end(jpeg, jpeg->size / 2), -EBADMSG); /* even as the very first */
    expect(&r, cut_end(jpeg, 0), 0);
    for (size_t lost = 1; lost < jpeg->size; lost += 97) {
        expect(&r, cut_end(jpeg, lost), -EBADMSG); /* a camera that does send EOI */
    }
    expect(&r, picture_bytes(FORMAT_JPEG, "", 0), -EBADMSG);
    expect(&r, picture_bytes(FORMAT_JPEG, "hello", 5), -EBADMSG);
    expect(&r, cut_end(jpeg, 0), 0);
    frame_unref(jpeg);
    close_rig(&r);
}

/* One that ends its JPEGs was unplugged, and one that does not took its place. */
static void another_camera_has_other_habits(void **state)
{
    (void)state;
    struct rig r = open_rig();
    struct frame *whole = make_jpeg();
    expect(&r, cut_end(whole, 0), 0);
    expect(&r, cut_end(whole, 2), -EBADMSG);
    copy_forget(r.copy);
    expect(&r, cut_end(whole, 2), 0);
    frame_unref(whole);
    close_rig(&r);
}

static void two_halves_glued_are_dropped(void **state)
{
    (void)state;
    struct rig r = open_rig();
    struct frame *jpeg = make_jpeg();
    uint8_t glued[131072];
    size_t half = jpeg->size / 2;
    memcpy(glued, jpeg->data, half);
    memcpy(glued + half, jpeg->data, jpeg->size);
    expect(&r, picture_bytes(FORMAT_JPEG, glued, half + jpeg->size), -EBADMSG);
    frame_unref(jpeg);
    close_rig(&r);
}

/* ---- H.264 ---- */

struct nals {
    struct h264_nal nal[16];
    int count;
};

static struct nals split(const struct frame *f)
{
    struct nals n = { .count = 0 };
    size_t pos = 0;
    while (n.count < 16 && h264_next_nal(f->data, f->size, &pos, &n.nal[n.count])) {
        n.count++;
    }
    return n;
}

/* The unit again with only the NAL types in `types` (a bit each), `code` zeros before each 01. */
static struct frame *rebuild(const struct frame *f, unsigned types, int code, int tail)
{
    struct nals n = split(f);
    uint8_t out[262144];
    size_t size = 0;
    for (int i = 0; i < n.count; i++) {
        if (types >> n.nal[i].type & 1) {
            memset(out + size, 0, (size_t)code);
            size += (size_t)code;
            out[size++] = 1;
            memcpy(out + size, n.nal[i].data, n.nal[i].size);
            size += n.nal[i].size;
        }
    }
    memset(out + size, 0, (size_t)tail);
    return picture_bytes(FORMAT_H264, out, size + (size_t)tail);
}

#define ALL  0xFFFFFFFFu
#define SETS (1u << H264_NAL_SPS | 1u << H264_NAL_PPS)

struct clip {
    struct frame *idr, *delta;
};

static struct clip make_clip(const struct format *f)
{
    struct encoder *e = NULL;
    struct pool *pool = pool_new(0);
    struct frame *a = encode(&encoder_h264, &e, pool, f, 1, true);
    struct frame *b = encode(&encoder_h264, &e, pool, f, 2, false);
    struct clip c = { picture_bytes(FORMAT_H264, a->data, a->size),
                      picture_bytes(FORMAT_H264, b->data, b->size) };
    frame_unref(a);
    frame_unref(b);
    encoder_h264.close(e);
    pool_free(pool);
    return c;
}

static void free_clip(struct clip *c)
{
    frame_unref(c->idr);
    frame_unref(c->delta);
}

static void h264_begins_with_a_key(void **state)
{
    (void)state;
    struct rig r = open_rig();
    struct clip c = make_clip(&camera);
    const struct frame *out;
    expect(&r, cut_end(c.delta, 0), -EAGAIN);
    assert_int_equal(copy_of(&r, c.idr, &out), 0);
    assert_ptr_equal(out, c.idr);
    assert_int_equal(out->flags, FRAME_KEY);
    assert_int_equal(out->format.width, 320);
    assert_int_equal(out->format.height, 240);
    frame_unref(out);
    assert_int_equal(copy_of(&r, c.delta, &out), 0);
    assert_int_equal(out->flags, 0);
    assert_int_equal(out->format.width, 320); /* from the SPS, not from the camera's 16 */
    frame_unref(out);
    free_clip(&c);
    close_rig(&r);
}

static void h264_is_normalised(void **state)
{
    (void)state;
    struct rig r = open_rig();
    struct clip c = make_clip(&camera);
    for (int code = 2; code <= 5; code++) {
        struct frame *in = rebuild(c.idr, ALL, code, code - 2);
        const struct frame *out;
        assert_int_equal(copy_of(&r, in, &out), 0);
        assert_int_equal(out->size, c.idr->size);
        assert_memory_equal(out->data, c.idr->data, c.idr->size);
        assert_true((out == in) == (code == 3 && in->size == out->size && out->data == in->data));
        frame_unref(out);
        frame_unref(in);
    }
    free_clip(&c);
    close_rig(&r);
}

static void sets_are_put_in_front_of_every_idr(void **state)
{
    (void)state;
    static const unsigned without[] = { SETS, 1u << H264_NAL_SPS, 1u << H264_NAL_PPS };
    struct rig r = open_rig();
    struct clip c = make_clip(&camera);
    expect(&r, rebuild(c.idr, ALL & ~SETS, 3, 0), -EAGAIN); /* never seen any: undecodable */
    expect(&r, rebuild(c.idr, SETS, 2, 0), -EAGAIN);        /* a camera that sends them apart */
    for (size_t i = 0; i < 3; i++) {
        struct frame *in = rebuild(c.idr, ALL & ~without[i], 3, 0);
        const struct frame *out;
        assert_int_equal(copy_of(&r, in, &out), 0);
        assert_int_equal(out->size, c.idr->size);
        assert_memory_equal(out->data, c.idr->data, c.idr->size);
        frame_unref(out);
        frame_unref(in);
    }
    free_clip(&c);
    close_rig(&r);
}

static void sets_go_behind_a_delimiter(void **state)
{
    (void)state;
    static const uint8_t delimiter[] = { 0, 0, 0, 1, 0x09, 0x10 };
    struct rig r = open_rig();
    struct clip c = make_clip(&camera);
    expect(&r, cut_end(c.idr, 0), 0);
    struct frame *bare = rebuild(c.idr, ALL & ~SETS, 3, 0);
    uint8_t unit[262144];
    memcpy(unit, delimiter, sizeof delimiter);
    memcpy(unit + sizeof delimiter, bare->data, bare->size);
    struct frame *in = picture_bytes(FORMAT_H264, unit, sizeof delimiter + bare->size);
    const struct frame *out;
    assert_int_equal(copy_of(&r, in, &out), 0);
    struct nals n = split(out);
    assert_int_equal(n.nal[0].type, H264_NAL_AUD);
    assert_int_equal(n.nal[1].type, H264_NAL_SPS);
    assert_int_equal(n.nal[2].type, H264_NAL_PPS);
    frame_unref(out);
    frame_unref(in);
    frame_unref(bare);
    free_clip(&c);
    close_rig(&r);
}

static void size_change_is_announced(void **state)
{
    (void)state;
    struct rig r = open_rig();
    struct format other = camera;
    other.width = 480;
    other.range = COLOR_RANGE_FULL;
    other.matrix = COLOR_MATRIX_709;
    struct clip a = make_clip(&camera), b = make_clip(&other);
    const struct frame *out;
    expect(&r, cut_end(a.idr, 0), 0);
    assert_int_equal(copy_of(&r, b.idr, &out), 0);
    assert_int_equal(out->format.width, 480);
    assert_int_equal(out->format.range, COLOR_RANGE_FULL);
    assert_int_equal(out->format.matrix, COLOR_MATRIX_709);
    frame_unref(out);
    free_clip(&a);
    free_clip(&b);
    close_rig(&r);
}

static void junk_is_dropped(void **state)
{
    (void)state;
    struct rig r = open_rig();
    static const uint8_t bad_sps[] = { 0, 0,    0,    1, 0x67, 0x42, 0, 0,    0,    0,
                                       1, 0x68, 0xce, 0, 0,    0,    1, 0x65, 0x88, 0x84 };
    expect(&r, picture_bytes(FORMAT_H264, "", 0), -EBADMSG);
    expect(&r, picture_bytes(FORMAT_H264, "hello, world", 12), -EBADMSG);
    expect(&r, picture_bytes(FORMAT_H264, bad_sps, sizeof bad_sps), -EBADMSG);
    expect(&r, picture_bytes(FORMAT_YUYV, "hello", 5), -ENOTSUP);
    close_rig(&r);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_jpeg_passes_untouched),
        cmocka_unit_test(driver_memory_is_copied),
        cmocka_unit_test(padding_is_cut),
        cmocka_unit_test(missing_tables_are_added),
        cmocka_unit_test(camera_without_eoi_is_not_refused),
        cmocka_unit_test(cut_jpeg_is_dropped),
        cmocka_unit_test(another_camera_has_other_habits),
        cmocka_unit_test(two_halves_glued_are_dropped),
        cmocka_unit_test(h264_begins_with_a_key),
        cmocka_unit_test(h264_is_normalised),
        cmocka_unit_test(sets_are_put_in_front_of_every_idr),
        cmocka_unit_test(sets_go_behind_a_delimiter),
        cmocka_unit_test(size_change_is_announced),
        cmocka_unit_test(junk_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
