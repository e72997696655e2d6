/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "pcs/jpeg_scan.h"

/* A JPEG put together from parts, so that each can be left out or spoiled. */
struct parts {
    int sof;
    int bits, width, height, components;
    int samp; /* of the first component */
    int restart_interval;
    bool no_dht, no_eoi, no_sof;
    int scan_components; /* 0 = all */
    const char *scan;    /* entropy-coded bytes */
    size_t scan_size;    /* 0: strlen */
    const char *tail;    /* behind EOI */
    size_t tail_size;
};

struct picture {
    uint8_t data[2048];
    size_t size;
};

static void put(struct picture *p, const void *bytes, size_t n)
{
    assert_true(p->size + n <= sizeof(p->data));
    memcpy(p->data + p->size, bytes, n);
    p->size += n;
}

static void put_u8(struct picture *p, int v)
{
    uint8_t b = (uint8_t)v;
    put(p, &b, 1);
}

static void put_u16(struct picture *p, int v)
{
    put_u8(p, v >> 8);
    put_u8(p, v & 255);
}

static void put_segment(struct picture *p, int marker, size_t body)
{
    put_u16(p, 0xFF00 | marker);
    put_u16(p, (int)body + 2);
}

static void put_sof(struct picture *p, const struct parts *a)
{
    put_segment(p, a->sof, 6 + 3 * (size_t)a->components);
    put_u8(p, a->bits);
    put_u16(p, a->height);
    put_u16(p, a->width);
    put_u8(p, a->components);
    for (int i = 0; i < a->components; i++) {
        put_u8(p, i + 1);
        put_u8(p, i ? 0x11 : a->samp);
        put_u8(p, 0);
    }
}

static void put_sos(struct picture *p, int components)
{
    put_segment(p, 0xDA, 4 + 2 * (size_t)components);
    put_u8(p, components);
    for (int i = 0; i < components; i++) {
        put_u16(p, (i + 1) << 8);
    }
    put(p, "\x00\x3f\x00", 3);
}

static struct parts good_parts(void)
{
    return (struct parts){ .sof = 0xC0,
                           .bits = 8,
                           .width = 33,
                           .height = 17,
                           .components = 3,
                           .samp = 0x22,
                           .scan = "0123456789abcdefghij" };
}

static struct picture build(const struct parts *a)
{
    struct picture p = { .size = 0 };
    put_u16(&p, 0xFFD8);
    put_segment(&p, 0xE0, 4);
    put(&p, "\xff\xd9\xff\xda", 4); /* markers inside a segment are not markers */
    if (a->restart_interval) {
        put_segment(&p, 0xDD, 2);
        put_u16(&p, a->restart_interval);
    }
    if (!a->no_sof) {
        put_sof(&p, a);
    }
    if (!a->no_dht) {
        put(&p, jpeg_standard_dht, jpeg_standard_dht_size);
    }
    put_sos(&p, a->scan_components ? a->scan_components : a->components);
    put(&p, a->scan, a->scan_size ? a->scan_size : strlen(a->scan));
    if (!a->no_eoi) {
        put_u16(&p, 0xFFD9);
    }
    if (a->tail_size) {
        put(&p, a->tail, a->tail_size);
    }
    return p;
}

static int scan(const struct parts *a, struct jpeg_info *info)
{
    struct picture p = build(a);
    return jpeg_scan(p.data, p.size, info);
}

static void reads_a_picture(void **state)
{
    (void)state;
    struct parts a = good_parts();
    struct picture p = build(&a);
    struct jpeg_info info;
    assert_int_equal(jpeg_scan(p.data, p.size, &info), 0);
    assert_int_equal(info.width, 33);
    assert_int_equal(info.height, 17);
    assert_int_equal(info.components, 3);
    assert_int_equal(info.h_samp, 2);
    assert_int_equal(info.v_samp, 2);
    assert_true(info.has_dht && info.has_eoi && !info.progressive);
    assert_int_equal(info.size, p.size);
    assert_int_equal(info.scan_bytes, 20);
    assert_int_equal(p.data[info.sos_offset + 1], 0xDA);
    assert_int_equal(p.data[info.sof_offset + 1], 0xC0);
}

static void notes_what_is_missing(void **state)
{
    (void)state;
    struct jpeg_info info;
    struct parts a = good_parts();
    a.no_dht = true;
    assert_int_equal(scan(&a, &info), 0);
    assert_false(info.has_dht);
    a = good_parts();
    a.no_eoi = true;
    assert_int_equal(scan(&a, &info), 0);
    assert_false(info.has_eoi);
    assert_int_equal(info.scan_bytes, 20);
}

static void cuts_padding(void **state)
{
    (void)state;
    struct jpeg_info info;
    struct parts a = good_parts();
    size_t bare = build(&a).size;
    a.tail = "\0\0\0\xff\xd9garbage";
    a.tail_size = 12;
    assert_int_equal(scan(&a, &info), 0);
    assert_int_equal(info.size, bare);

    a = good_parts();
    a.no_eoi = true;
    a.scan = "0123456789abcdefgh\xff\0\0\0\0\0";
    a.scan_size = 24;
    assert_int_equal(scan(&a, &info), 0);
    assert_int_equal(info.scan_bytes, 20); /* FF 00 is data */
    a.scan = "0123456789abcdefghij\xff\xff\xff";
    a.scan_size = 23;
    assert_int_equal(scan(&a, &info), 0);
    assert_int_equal(info.scan_bytes, 20);
}

static void refuses_markers_in_the_scan(void **state)
{
    (void)state;
    struct jpeg_info info;
    struct parts a = good_parts();
    a.scan = "0123456789\xff\xd8"
             "0123456789"; /* the next picture began */
    assert_int_equal(scan(&a, &info), -EBADMSG);
    a.scan = "0123456789\xff\x01"
             "0123456789";
    assert_int_equal(scan(&a, &info), -EBADMSG);
    a.scan = "0123456789\xff\xd0"
             "0123456789"; /* restart without an interval */
    assert_int_equal(scan(&a, &info), -EBADMSG);
    a.scan = "0123456789\xff\xdc\x00\x04\x00\x10"
             "012345";
    a.scan_size = 22;
    assert_int_equal(scan(&a, &info), -ENOTSUP); /* DNL */
}

static void checks_restart_order(void **state)
{
    (void)state;
    struct jpeg_info info;
    struct parts a = good_parts();
    a.restart_interval = 2;
    a.scan = "01234567\xff\xd0"
             "89abcdefgh\xff\xff\xd1"
             "ijkl";
    assert_int_equal(scan(&a, &info), 0);
    a.scan = "01234567\xff\xd1"
             "89abcdefgh\xff\xd2"
             "ijkl";
    assert_int_equal(scan(&a, &info), -EBADMSG);
}

static void counts_the_bits_of_blocks(void **state)
{
    (void)state;
    struct jpeg_info info;
    struct parts a = good_parts(); /* 3 x 2 MCUs of 6 blocks: 72 bits */
    a.scan = "012345678";
    assert_int_equal(scan(&a, &info), 0);
    a.scan = "01234567";
    assert_int_equal(scan(&a, &info), -EBADMSG);
    a.components = 1; /* 5 x 3 blocks: 30 bits, whatever the sampling says */
    a.scan = "0123";
    assert_int_equal(scan(&a, &info), 0);
    a.scan = "012";
    assert_int_equal(scan(&a, &info), -EBADMSG);
}

static void takes_several_scans(void **state)
{
    (void)state;
    struct jpeg_info info;
    struct parts a = good_parts();
    a.sof = 0xC2;
    a.scan_components = 1;
    a.scan = "01\xff\xda\x00\x08\x01\x02\x11\x00\x3f\x00zz\xff\xc4\x00\x03zz";
    a.scan_size = 21;
    assert_int_equal(scan(&a, &info), 0);
    assert_true(info.progressive);
    a.sof = 0xC0;
    assert_int_equal(scan(&a, &info), 0);
    assert_false(info.progressive);
}

static void refuses_other_codings(void **state)
{
    (void)state;
    static const int sofs[] = { 0xC3, 0xC5, 0xC9, 0xCF };
    struct jpeg_info info;
    struct parts a = good_parts();
    for (size_t i = 0; i < 4; i++) {
        a.sof = sofs[i];
        assert_int_equal(scan(&a, &info), -ENOTSUP);
    }
    a = good_parts();
    a.bits = 12;
    assert_int_equal(scan(&a, &info), -ENOTSUP);
    a = good_parts();
    a.components = 4;
    assert_int_equal(scan(&a, &info), -ENOTSUP);
    a = good_parts();
    a.width = 8193;
    assert_int_equal(scan(&a, &info), -ENOTSUP);
    a = good_parts();
    a.width = 0;
    assert_int_equal(scan(&a, &info), -EBADMSG);
    a = good_parts();
    a.samp = 0x25;
    assert_int_equal(scan(&a, &info), -EBADMSG);
    a = good_parts();
    a.no_sof = true;
    assert_int_equal(scan(&a, &info), -EBADMSG);
}

static void refuses_every_cut_in_the_headers(void **state)
{
    (void)state;
    struct jpeg_info info = { .width = 99 };
    struct parts a = good_parts();
    struct picture p = build(&a);
    size_t headers = p.size - 2 - 20;
    for (size_t n = 0; n < headers; n++) {
        assert_int_equal(jpeg_scan(p.data, n, &info), -EBADMSG);
    }
    assert_int_equal(info.width, 99); /* untouched on failure */
    for (size_t n = headers + 9; n < p.size; n++) {
        assert_int_equal(jpeg_scan(p.data, n, &info), 0);
        assert_false(info.has_eoi);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_picture),
        cmocka_unit_test(notes_what_is_missing),
        cmocka_unit_test(cuts_padding),
        cmocka_unit_test(refuses_markers_in_the_scan),
        cmocka_unit_test(checks_restart_order),
        cmocka_unit_test(counts_the_bits_of_blocks),
        cmocka_unit_test(takes_several_scans),
        cmocka_unit_test(refuses_other_codings),
        cmocka_unit_test(refuses_every_cut_in_the_headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
