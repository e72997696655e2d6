/* SPDX-License-Identifier: MIT */
#include "pcs/udp_service.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* ---- what clients say ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\0';
}

static bool is_text(const char *data, size_t size, const char *text)
{
    return size == strlen(text) && memcmp(data, text, size) == 0;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_prove(const char *data, size_t size, uint32_t *cookie)
{
    static const char word[] = "PROVE ";
    uint32_t value = 0;
    if (size != sizeof word - 1 + 8 || memcmp(data, word, sizeof word - 1) != 0) {
        return false;
    }
    for (size_t i = sizeof word - 1; i < size; i++) {
        int digit = hex_digit(data[i]);
        if (digit < 0) {
            return false;
        }
        value = value << 4 | (uint32_t)digit;
    }
    *cookie = value;
    return true;
}

enum udp_request udp_parse(const void *data, size_t size, uint32_t *cookie)
{
    static const struct {
        const char *text;
        enum udp_request request;
    } words[] = {
        { "REGISTER_CLIENT", UDP_REGISTER },
        { "REGISTER_CLIENT raw", UDP_REGISTER_RAW },
        { "KEEPALIVE", UDP_KEEPALIVE },
        { "DISCONNECT", UDP_DISCONNECT },
    };
    const char *text = data;
    while (size > 0 && is_blank(text[size - 1])) {
        size--;
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (is_text(text, size, words[i].text)) {
            return words[i].request;
        }
    }
    return parse_prove(text, size, cookie) ? UDP_PROVE : UDP_NOTHING;
}

size_t udp_put_prove(char out[UDP_SAY_MAX], uint32_t cookie)
{
    return (size_t)snprintf(out, UDP_SAY_MAX, "PROVE %08x", cookie);
}

/* ---- cookies: SipHash-2-4 (Aumasson and Bernstein, 2012) ---- */

static uint64_t rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_round(v);
    sip_round(v);
    v[0] ^= word;
}

static uint64_t load_le64(const uint8_t *p, size_t size)
{
    uint64_t x = 0;
    for (size_t i = 0; i < size; i++) {
        x |= (uint64_t)p[i] << (8 * i);
    }
    return x;
}

uint32_t udp_cookie(const uint8_t key[16], const void *where, size_t size, uint64_t slot)
{
    const uint8_t *p = where;
    uint64_t k0 = load_le64(key, 8), k1 = load_le64(key + 8, 8);
    uint64_t v[4] = { k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
                      k1 ^ 0x7465646279746573 };
    size_t at = 0;
    sip_word(v, slot);
    for (; size - at >= 8; at += 8) {
        sip_word(v, load_le64(p + at, 8));
    }
    sip_word(v, load_le64(p + at, size - at) | (uint64_t)((size + 8) & 0xff) << 56);
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++) {
        sip_round(v);
    }
    return (uint32_t)(v[0] ^ v[1] ^ v[2] ^ v[3]);
}

/* ---- pictures ---- */

static void put_le32(uint8_t *out, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        out[i] = (uint8_t)(v >> (8 * i));
    }
}

void udp_payload_raw(struct udp_payload *p, const void *data, size_t size)
{
    *p = (struct udp_payload){ .data = data, .size = size };
}

/*
 * Pickle protocol 3: PROTO 3; GLOBAL numpy.frombuffer; BINBYTES data; BINUNICODE "uint8"; TUPLE2; REDUCE;
 * STOP. (Python, Lib/pickletools.py)
 */
void udp_payload_pickle(struct udp_payload *p, const void *data, size_t size)
{
    static const char head[] = "\x80\x03"
                               "cnumpy\nfrombuffer\n"
                               "B";
    static const char tail[] = "X\x05\0\0\0uint8\x86R.";
    *p = (struct udp_payload){ .data = data, .size = size };
    p->head_size = sizeof p->head;
    p->tail_size = sizeof p->tail;
    memcpy(p->head, head, sizeof head - 1);
    put_le32(p->head + sizeof head - 1, (uint32_t)size);
    memcpy(p->tail, tail, sizeof p->tail);
}

size_t udp_payload_size(const struct udp_payload *p)
{
    return p->head_size + p->size + p->tail_size;
}

uint32_t udp_payload_chunks(const struct udp_payload *p)
{
    return (uint32_t)((udp_payload_size(p) + UDP_CHUNK_MAX - 1) / UDP_CHUNK_MAX);
}

void udp_put_start(uint8_t out[UDP_START_SIZE], uint32_t id, const struct udp_payload *p)
{
    memcpy(out, "FRAME_START", 11);
    put_le32(out + 11, id);
    put_le32(out + 15, (uint32_t)udp_payload_size(p));
    put_le32(out + 19, udp_payload_chunks(p));
}

/* What of the bytes [from, to) lies in the part of `size` bytes that begins at `start`. */
static int put_piece(struct iovec *piece, const uint8_t *part, size_t start, size_t size,
                     size_t from, size_t to)
{
    size_t begin = from > start ? from : start;
    size_t end = to < start + size ? to : start + size;
    if (begin >= end) {
        return 0;
    }
    *piece = (struct iovec){ (uint8_t *)part + (begin - start), end - begin };
    return 1;
}

int udp_put_chunk(uint8_t head[UDP_CHUNK_HEAD], struct iovec pieces[UDP_PIECES], uint32_t id,
                  uint32_t index, const struct udp_payload *p, size_t *size)
{
    size_t whole = udp_payload_size(p), data_end = p->head_size + p->size;
    size_t from = (size_t)index * UDP_CHUNK_MAX;
    size_t to = from + UDP_CHUNK_MAX < whole ? from + UDP_CHUNK_MAX : whole;
    int n = 1;
    memcpy(head, "CHUNK", 5);
    put_le32(head + 5, id);
    put_le32(head + 9, index);
    pieces[0] = (struct iovec){ head, UDP_CHUNK_HEAD };
    n += put_piece(&pieces[n], p->head, 0, p->head_size, from, to);
    n += put_piece(&pieces[n], p->data, p->head_size, p->size, from, to);
    n += put_piece(&pieces[n], p->tail, data_end, p->tail_size, from, to);
    *size = UDP_CHUNK_HEAD + (to > from ? to - from : 0);
    return n;
}
