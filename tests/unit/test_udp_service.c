/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "pcs/udp_service.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static enum udp_request parse(const char *text, size_t size)
{
    uint32_t cookie = 0;
    return udp_parse(text, size, &cookie);
}

static void words_are_known(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum udp_request request;
    } cases[] = {
        { "REGISTER_CLIENT", UDP_REGISTER },
        { "REGISTER_CLIENT\r\n", UDP_REGISTER },
        { "REGISTER_CLIENT raw", UDP_REGISTER_RAW },
        { "KEEPALIVE", UDP_KEEPALIVE },
        { "KEEPALIVE \t", UDP_KEEPALIVE },
        { "DISCONNECT", UDP_DISCONNECT },
        { "PROVE 0123abcd", UDP_PROVE },
        { "", UDP_NOTHING },
        { "\n\n", UDP_NOTHING },
        { "REGISTER", UDP_NOTHING },
        { "register_client", UDP_NOTHING },
        { "REGISTER_CLIENT  raw", UDP_NOTHING },
        { " KEEPALIVE", UDP_NOTHING },
        { "PROVE 0123abc", UDP_NOTHING },
        { "PROVE 0123abcde", UDP_NOTHING },
        { "PROVE 0123abcg", UDP_NOTHING },
        { "PROVE 0123ABCD", UDP_NOTHING },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(parse(cases[i].text, strlen(cases[i].text)), cases[i].request);
    }
    assert_int_equal(parse("KEEPALIVE\0\0", 11), UDP_KEEPALIVE);
    assert_int_equal(parse("KEEP\0ALIVE", 10), UDP_NOTHING);
}

static void a_cookie_comes_back(void **state)
{
    (void)state;
    static const uint32_t values[] = { 0, 1, 0x0123abcd, UINT32_MAX };
    for (size_t i = 0; i < COUNT(values); i++) {
        char text[UDP_SAY_MAX];
        uint32_t cookie = ~values[i];
        size_t n = udp_put_prove(text, values[i]);
        assert_true(n < UDP_SAY_MAX);
        assert_int_equal(udp_parse(text, n, &cookie), UDP_PROVE);
        assert_int_equal(cookie, values[i]);
    }
}

/* Reference vectors of the algorithm's authors: key 00 … 0f; the slot is the first eight bytes of the text. */
static void the_hash_is_siphash(void **state)
{
    (void)state;
    static const struct {
        size_t size; /* of the text 00 01 02 … */
        uint64_t hash;
    } vectors[] = { { 8, 0x93f5f5799a932462 },
                    { 9, 0x9e0082df0ba9e4b0 },
                    { 15, 0xa129ca6149be45e5 },
                    { 16, 0x3f2acc7f57c29bdb } };
    uint8_t key[16], text[16];
    for (uint8_t i = 0; i < 16; i++) {
        key[i] = text[i] = i;
    }
    for (size_t i = 0; i < COUNT(vectors); i++) {
        uint32_t got = udp_cookie(key, text + 8, vectors[i].size - 8, 0x0706050403020100);
        assert_int_equal(got, (uint32_t)vectors[i].hash);
    }
}

static uint32_t le32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Put the chunks together as a client does. */
static uint8_t *assemble(const struct udp_payload *p, uint32_t id)
{
    size_t whole = udp_payload_size(p);
    uint8_t *out = calloc(1, whole + 1);
    assert_non_null(out);
    for (uint32_t i = 0; i < udp_payload_chunks(p); i++) {
        uint8_t head[UDP_CHUNK_HEAD], datagram[UDP_CHUNK_HEAD + UDP_CHUNK_MAX];
        struct iovec pieces[UDP_PIECES];
        size_t size, at = 0;
        int n = udp_put_chunk(head, pieces, id, i, p, &size);
        assert_in_range(n, 1, UDP_PIECES);
        for (int k = 0; k < n; k++) {
            assert_true(at + pieces[k].iov_len <= sizeof datagram);
            memcpy(datagram + at, pieces[k].iov_base, pieces[k].iov_len);
            at += pieces[k].iov_len;
        }
        assert_int_equal(at, size);
        assert_memory_equal(datagram, "CHUNK", 5);
        assert_int_equal(le32(datagram + 5), id);
        assert_int_equal(le32(datagram + 9), i);
        assert_true(i + 1 == udp_payload_chunks(p) || size == UDP_CHUNK_HEAD + UDP_CHUNK_MAX);
        memcpy(out + (size_t)i * UDP_CHUNK_MAX, datagram + UDP_CHUNK_HEAD, size - UDP_CHUNK_HEAD);
    }
    return out;
}

static void a_picture_comes_together_again(void **state)
{
    (void)state;
    /* around every place where head, picture and tail could meet the edge of a chunk */
    for (size_t size = 1; size < 4000;
         size += size < 1150 || (size > 1250 && size < 2300) ? 37 : 1) {
        uint8_t *data = malloc(size);
        assert_non_null(data);
        for (size_t i = 0; i < size; i++) {
            data[i] = (uint8_t)(i * 31 + 7);
        }
        struct udp_payload p;
        udp_payload_raw(&p, data, size);
        uint8_t *got = assemble(&p, UINT32_MAX);
        assert_memory_equal(got, data, size);
        free(got);

        udp_payload_pickle(&p, data, size);
        assert_int_equal(udp_payload_size(&p), size + 38);
        got = assemble(&p, 5);
        assert_memory_equal(got,
                            "\x80\x03"
                            "cnumpy\nfrombuffer\nB",
                            21);
        assert_int_equal(le32(got + 21), size);
        assert_memory_equal(got + 25, data, size);
        assert_memory_equal(got + 25 + size, "X\x05\0\0\0uint8\x86R.", 13);
        free(got);
        free(data);
    }
}

static void frame_start_says_what_comes(void **state)
{
    (void)state;
    static const uint8_t expected[] = "FRAME_START\xfe\xff\xff\xff\xb1\x04\0\0\x02\0\0\0";
    uint8_t data[1201] = { 0 }, out[UDP_START_SIZE];
    struct udp_payload p;
    udp_payload_raw(&p, data, sizeof data);
    udp_put_start(out, 0xfffffffe, &p);
    assert_memory_equal(out, expected, sizeof out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_known),
        cmocka_unit_test(a_cookie_comes_back),
        cmocka_unit_test(the_hash_is_siphash),
        cmocka_unit_test(a_picture_comes_together_again),
        cmocka_unit_test(frame_start_says_what_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
