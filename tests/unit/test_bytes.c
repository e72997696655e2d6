/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "pcs/bytes.h"

static const uint8_t counting[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

static void reads_big_endian(void **state)
{
    (void)state;
    struct reader r = reader_on(counting, sizeof counting);
    assert_int_equal(reader_left(&r), 15);
    assert_int_equal(read_u8(&r), 0x01);
    assert_int_equal(read_be16(&r), 0x0203);
    assert_int_equal(read_be32(&r), 0x04050607);
    assert_true(read_be64(&r) == UINT64_C(0x08090a0b0c0d0e0f));
    assert_int_equal(reader_left(&r), 0);
    assert_false(r.bad);
}

static void a_short_read_is_zero_and_final(void **state)
{
    (void)state;
    struct reader r = reader_on(counting, 3);
    assert_int_equal(read_be32(&r), 0);
    assert_true(r.bad);
    assert_int_equal(reader_left(&r), 0);
    assert_int_equal(read_u8(&r), 0); /* though three bytes are there */
    assert_null(read_bytes(&r, 1));
    assert_true(r.bad);
}

static void read_bytes_lends_what_is_there(void **state)
{
    (void)state;
    struct reader r = reader_on(counting, sizeof counting);
    assert_ptr_equal(read_bytes(&r, 5), counting);
    assert_ptr_equal(read_bytes(&r, 0), counting + 5);
    assert_null(read_bytes(&r, SIZE_MAX)); /* no sum that wraps */
    assert_true(r.bad);
}

static void nothing_can_be_read_from_nothing(void **state)
{
    (void)state;
    struct reader r = reader_on(NULL, 0);
    assert_int_equal(reader_left(&r), 0);
    assert_false(r.bad);
    assert_int_equal(read_be16(&r), 0);
    assert_true(r.bad);
}

/* Every width, at every distance from the end: right value or nothing, and nothing beyond the end
 * (which the address sanitizer watches: the copy is exactly as long as it says). */
static void every_width_at_every_length(void **state)
{
    (void)state;
    for (size_t size = 0; size <= 9; size++) {
        uint8_t *copy = test_malloc(size + 1);
        memcpy(copy, counting, size);
        struct reader r8 = reader_on(copy, size), r16 = r8, r32 = r8, r64 = r8;
        assert_int_equal(read_u8(&r8), size >= 1 ? 1 : 0);
        assert_int_equal(read_be16(&r16), size >= 2 ? 0x0102 : 0);
        assert_int_equal(read_be32(&r32), size >= 4 ? 0x01020304 : 0);
        assert_true(read_be64(&r64) == (size >= 8 ? UINT64_C(0x0102030405060708) : 0));
        assert_true(r8.bad == (size < 1) && r16.bad == (size < 2));
        assert_true(r32.bad == (size < 4) && r64.bad == (size < 8));
        test_free(copy);
    }
}

static void writes_what_is_read_back(void **state)
{
    (void)state;
    uint8_t out[15 + 3];
    struct writer w = writer_on(out, sizeof out);
    write_u8(&w, 0xff);
    write_be16(&w, 0xfffe);
    write_be32(&w, 0xfffefdfc);
    write_be64(&w, UINT64_C(0xfffefdfcfbfaf9f8));
    write_bytes(&w, "abc", 3);
    write_bytes(&w, NULL, 0);
    assert_false(w.bad);
    assert_int_equal(writer_used(&w), sizeof out);

    struct reader r = reader_on(out, sizeof out);
    assert_int_equal(read_u8(&r), 0xff);
    assert_int_equal(read_be16(&r), 0xfffe);
    assert_true(read_be32(&r) == 0xfffefdfc);
    assert_true(read_be64(&r) == UINT64_C(0xfffefdfcfbfaf9f8));
    assert_memory_equal(read_bytes(&r, 3), "abc", 3);
}

static void a_full_writer_writes_nothing_more(void **state)
{
    (void)state;
    uint8_t out[8];
    memset(out, 0xaa, sizeof out);
    struct writer w = writer_on(out, 6);
    write_be32(&w, 1);
    write_be32(&w, 0xdeadbeef); /* two bytes too many: none of it */
    assert_true(w.bad);
    assert_int_equal(writer_used(&w), 4);
    write_u8(&w, 1); /* would fit, but the message is broken already */
    assert_int_equal(writer_used(&w), 4);
    for (size_t i = 4; i < sizeof out; i++) {
        assert_int_equal(out[i], 0xaa);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_big_endian),
        cmocka_unit_test(a_short_read_is_zero_and_final),
        cmocka_unit_test(read_bytes_lends_what_is_there),
        cmocka_unit_test(nothing_can_be_read_from_nothing),
        cmocka_unit_test(every_width_at_every_length),
        cmocka_unit_test(writes_what_is_read_back),
        cmocka_unit_test(a_full_writer_writes_nothing_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
