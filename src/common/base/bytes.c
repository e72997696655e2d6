/* SPDX-License-Identifier: MIT */
#include "pcs/bytes.h"

#include <string.h>

struct reader reader_on(const void *data, size_t size)
{
    const uint8_t *p = data;
    return (struct reader){ .p = p, .end = size > 0 ? p + size : p }; /* nothing may be NULL */
}

size_t reader_left(const struct reader *r)
{
    return r->bad ? 0 : (size_t)(r->end - r->p);
}

const uint8_t *read_bytes(struct reader *r, size_t n)
{
    if (n > reader_left(r)) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *p = r->p;
    r->p += n;
    return p;
}

static uint64_t read_be(struct reader *r, size_t n)
{
    const uint8_t *p = read_bytes(r, n);
    uint64_t v = 0;
    for (size_t i = 0; p && i < n; i++) {
        v = v << 8 | p[i];
    }
    return v;
}

uint8_t read_u8(struct reader *r)
{
    return (uint8_t)read_be(r, 1);
}

uint16_t read_be16(struct reader *r)
{
    return (uint16_t)read_be(r, 2);
}

uint32_t read_be32(struct reader *r)
{
    return (uint32_t)read_be(r, 4);
}

uint64_t read_be64(struct reader *r)
{
    return read_be(r, 8);
}

struct writer writer_on(void *data, size_t size)
{
    uint8_t *p = data;
    return (struct writer){ .start = p, .p = p, .end = size > 0 ? p + size : p };
}

size_t writer_used(const struct writer *w)
{
    return (size_t)(w->p - w->start);
}

void write_bytes(struct writer *w, const void *data, size_t n)
{
    if (w->bad || n > (size_t)(w->end - w->p)) {
        w->bad = true;
        return;
    }
    if (n > 0) {
        memcpy(w->p, data, n);
    }
    w->p += n;
}

static void write_be(struct writer *w, uint64_t v, size_t n)
{
    uint8_t be[8];
    for (size_t i = 0; i < n; i++) {
        be[i] = (uint8_t)(v >> 8 * (n - 1 - i));
    }
    write_bytes(w, be, n);
}

void write_u8(struct writer *w, uint8_t v)
{
    write_be(w, v, 1);
}

void write_be16(struct writer *w, uint16_t v)
{
    write_be(w, v, 2);
}

void write_be32(struct writer *w, uint32_t v)
{
    write_be(w, v, 4);
}

void write_be64(struct writer *w, uint64_t v)
{
    write_be(w, v, 8);
}
