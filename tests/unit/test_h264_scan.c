/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "pcs/h264_scan.h"

/* SPS as libx264 wrote them; the sizes, rate and colour are what it was asked for. */
static const uint8_t sps_baseline[] = { /* 642x478, 30000/1001 */
                                        0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa4, 0x3d, 0xe2, 0x2b,
                                        0xff, 0x03, 0xbc, 0x03, 0xc3, 0x10, 0x00, 0x00, 0x3e, 0x90,
                                        0x00, 0x0e, 0xa6, 0x00, 0xf1, 0x62, 0xe4, 0x80
};
static const uint8_t sps_full_709[] = { /* 1920x1080, full range, BT.709, with 00 00 03 inside */
                                        0x67, 0x64, 0x00, 0x28, 0xac, 0xd9, 0x40, 0x78, 0x02,
                                        0x27, 0xe5, 0xff, 0xc0, 0x00, 0xc0, 0x01, 0x1b, 0x81,
                                        0x01, 0x00, 0xa0, 0x00, 0x00, 0x7d, 0x20, 0x00, 0x1d,
                                        0x4c, 0x01, 0xe3, 0x06, 0x32, 0xc0
};
static const uint8_t sps_interlaced[] = { /* 720x576 */
                                          0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0xb4, 0x24,
                                          0xdf, 0xf8, 0x00, 0x80, 0x00, 0x78, 0x80, 0x00, 0x01,
                                          0xf4, 0x80, 0x00, 0x75, 0x30, 0x0f, 0x8b, 0x16, 0xcb
};
static const uint8_t sps_444[] = { /* 321x241 4:4:4 */
                                   0x67, 0xf4, 0x00, 0x0d, 0x91, 0x9b, 0x28, 0x2a, 0x10, 0xf0,
                                   0x84, 0x21, 0xff, 0x81, 0xe2, 0x01, 0xe1, 0x88, 0x00, 0x00,
                                   0x1f, 0x48, 0x00, 0x07, 0x53, 0x00, 0x78, 0xa1, 0x4c, 0xb0
};
static const uint8_t pps[] = { 0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0 };

/* An access unit as encoders write it: 3- and 4-byte start codes, trailing zeros. */
static const uint8_t unit[] = { 0,    0,    0, 1,    0x09, 0xf0,             /* AUD */
                                0,    0,    0, 1,    0x67, 0x42, 0xc0, 0x1e, /* SPS */
                                0,    0,    1, 0x68, 0xcb, 0x83,             /* PPS */
                                0,    0,    1, 0x06, 0x05, 0x80,             /* SEI */
                                0,    0,    1, 0x65, 0x88, 0x00, 0x00, 0x03,
                                0x01, 0x80, /* IDR with an escaped 00 00 01 */
                                0,    0,    0, 1,    0x65, 0x44, 0x01, 0,
                                0,    0 };

static void walks_nal_units(void **state)
{
    (void)state;
    static const struct {
        int type;
        size_t size;
    } want[] = { { 9, 2 }, { 7, 4 }, { 8, 3 }, { 6, 3 }, { 5, 7 }, { 5, 3 } };
    struct h264_nal nal;
    size_t pos = 0;
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        assert_true(h264_next_nal(unit, sizeof(unit), &pos, &nal));
        assert_int_equal(nal.type, want[i].type);
        assert_int_equal(nal.size, want[i].size);
        assert_int_equal(nal.data[0] & 31, nal.type);
    }
    assert_false(h264_next_nal(unit, sizeof(unit), &pos, &nal));
    assert_false(h264_next_nal(unit, sizeof(unit), &pos, &nal));
}

static void finds_nothing_in_nothing(void **state)
{
    (void)state;
    static const uint8_t zeros[16] = { 0 };
    static const uint8_t only_code[] = { 0, 0, 0, 1 };
    static const uint8_t empty_units[] = { 0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0 };
    struct h264_nal nal;
    for (size_t n = 0; n <= sizeof(zeros); n++) {
        size_t pos = 0;
        assert_false(h264_next_nal(zeros, n, &pos, &nal));
    }
    size_t pos = 0;
    assert_false(h264_next_nal(only_code, sizeof(only_code), &pos, &nal));
    pos = 0;
    assert_false(h264_next_nal(empty_units, sizeof(empty_units), &pos, &nal));
}

static void scans_a_unit(void **state)
{
    (void)state;
    struct h264_unit_info info;
    h264_scan_unit(unit, sizeof(unit), &info);
    assert_true(info.has_idr && info.has_sps && info.has_pps && info.has_slice && info.has_aud);
    assert_ptr_equal(info.sps.data, unit + 10);
    assert_int_equal(info.pps.size, 3);
    static const uint8_t delta[] = { 0, 0, 0, 1, 0x41, 0x9a, 0x02 };
    h264_scan_unit(delta, sizeof(delta), &info);
    assert_true(info.has_slice);
    assert_false(info.has_idr || info.has_sps || info.has_pps || info.has_aud);
    static const uint8_t partitions[] = { 0, 0, 1, 0x43, 9, 0, 0, 1, 0x42, 0x9a, 0, 0, 1, 0x43, 9 };
    h264_scan_unit(partitions, sizeof(partitions), &info);
    assert_true(info.has_slice);
    static const uint8_t no_slice[] = { 0, 0, 0, 1, 0x67, 0x42, 0, 0, 0, 1, 0x44 };
    h264_scan_unit(no_slice, sizeof(no_slice), &info);
    assert_true(info.has_sps);
    assert_false(info.has_slice);
    static const uint8_t late[] = { 0, 0, 1, 0x41, 0x9a, 0, 0, 1, 0x68, 0xce };
    h264_scan_unit(late, sizeof(late), &info); /* nothing may stand there */
    assert_true(info.has_slice);
    assert_false(info.has_pps);
}

static struct h264_sps parse(const uint8_t *sps, size_t size)
{
    struct h264_sps out;
    assert_int_equal(h264_parse_sps(sps, size, &out), 0);
    return out;
}

static void reads_sizes(void **state)
{
    (void)state;
    struct h264_sps s = parse(sps_baseline, sizeof(sps_baseline));
    assert_int_equal(s.profile_idc, 66);
    assert_int_equal(s.level_idc, 30);
    assert_int_equal(s.width, 642);
    assert_int_equal(s.height, 478);
    s = parse(sps_full_709, sizeof(sps_full_709));
    assert_int_equal(s.width, 1920);
    assert_int_equal(s.height, 1080);
    s = parse(sps_interlaced, sizeof(sps_interlaced));
    assert_int_equal(s.width, 720);
    assert_int_equal(s.height, 576);
    s = parse(sps_444, sizeof(sps_444));
    assert_int_equal(s.width, 321);
    assert_int_equal(s.height, 241);
    assert_int_equal(s.chroma_format, 3);
}

static void reads_vui(void **state)
{
    (void)state;
    struct h264_sps s = parse(sps_full_709, sizeof(sps_full_709));
    assert_true(s.full_range);
    assert_int_equal(s.matrix, 1);
    assert_int_equal(s.fps_num, 30000);
    assert_int_equal(s.fps_den, 1001);
    s = parse(sps_baseline, sizeof(sps_baseline));
    assert_false(s.full_range);
    assert_int_equal(s.matrix, 2);
    assert_int_equal(s.fps_num, 30000);
    assert_int_equal(s.fps_den, 1001);
}

static void survives_cut_sps(void **state)
{
    (void)state;
    struct h264_sps s;
    for (size_t n = 0; n < 9; n++) {
        assert_int_equal(h264_parse_sps(sps_full_709, n, &s), -EBADMSG);
    }
    for (size_t n = 9; n < sizeof(sps_full_709); n++) {
        (void)h264_parse_sps(sps_full_709, n, &s); /* under the sanitizers */
    }
    assert_int_equal(h264_parse_sps(pps, sizeof(pps), &s), -EBADMSG);
    static const uint8_t ones[] = { 0x67, 0x64, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
    assert_int_equal(h264_parse_sps(ones, sizeof(ones), &s), -EBADMSG);
}

static void refuses_huge_pictures(void **state)
{
    (void)state;
    /* sps_baseline with pic_width_in_mbs_minus1 as a long Exp-Golomb code (0x0000ffff...) */
    static const uint8_t huge[] = {
        0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff
    };
    struct h264_sps s;
    assert_int_equal(h264_parse_sps(huge, sizeof(huge), &s), -EBADMSG);
}

static void makes_avcc(void **state)
{
    (void)state;
    struct h264_nal sps = { sps_baseline, sizeof(sps_baseline), 7 };
    struct h264_nal p = { pps, sizeof(pps), 8 };
    uint8_t out[128];
    int n = h264_make_avcc(&sps, &p, out, sizeof(out));
    assert_int_equal(n, 6 + 2 + sizeof(sps_baseline) + 1 + 2 + sizeof(pps));
    static const uint8_t head[] = { 1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, sizeof(sps_baseline) };
    assert_memory_equal(out, head, sizeof(head));
    assert_memory_equal(out + 8, sps_baseline, sizeof(sps_baseline));
    assert_int_equal(h264_make_avcc(&sps, &p, out, (size_t)n - 1), -ENOSPC);

    sps = (struct h264_nal){ sps_full_709, sizeof(sps_full_709), 7 };
    n = h264_make_avcc(&sps, &p, out, sizeof(out));
    static const uint8_t high[] = { 0xfd, 0xf8, 0xf8, 0 }; /* 4:2:0, 8 bits, 8 bits, no extension */
    assert_memory_equal(out + n - 4, high, sizeof(high));
    assert_int_equal(h264_make_avcc(&p, &p, out, sizeof(out)), -EBADMSG);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_nal_units),
        cmocka_unit_test(finds_nothing_in_nothing),
        cmocka_unit_test(scans_a_unit),
        cmocka_unit_test(reads_sizes),
        cmocka_unit_test(reads_vui),
        cmocka_unit_test(survives_cut_sps),
        cmocka_unit_test(refuses_huge_pictures),
        cmocka_unit_test(makes_avcc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
