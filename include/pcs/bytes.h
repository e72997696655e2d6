/* SPDX-License-Identifier: MIT */
/*
 * Bounds-checked readers and writers over bytes. After the first access out of bounds `bad` is set,
 * reads give 0 and writes nothing, so a parser checks once at its end.
 * Life: views; the bytes stay the caller's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader {
    const uint8_t *p, *end;
    bool bad;
};

struct writer {
    uint8_t *start, *p, *end;
    bool bad;
};

struct reader reader_on(const void *data, size_t size);
size_t reader_left(const struct reader *r);
const uint8_t *read_bytes(struct reader *r, size_t n); /* borrowed; NULL when short */
uint8_t read_u8(struct reader *r);
uint16_t read_be16(struct reader *r);
uint32_t read_be32(struct reader *r);
uint64_t read_be64(struct reader *r);

struct writer writer_on(void *data, size_t size);
size_t writer_used(const struct writer *w);
void write_bytes(struct writer *w, const void *data, size_t n);
void write_u8(struct writer *w, uint8_t v);
void write_be16(struct writer *w, uint16_t v);
void write_be32(struct writer *w, uint32_t v);
void write_be64(struct writer *w, uint64_t v);
