/* SPDX-License-Identifier: MIT */
#include "moof.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "pcs/bytes.h"

#define FIXED_BYTES  88 /* moof, mfhd, traf, tfhd, tfdt, trun before its samples */
#define SAMPLE_BYTES 16

/* 8.8.7, 8.8.8: default-base-is-moof; data offset, duration, size, flags, composition offset. */
#define TFHD_FLAGS 0x020000
#define TRUN_FLAGS 0x000F01

/* 8.8.3.1: depends on no other sample; or does, and is no sync sample. */
#define FLAGS_KEY   0x02000000
#define FLAGS_DELTA 0x01010000

size_t moof_capacity(unsigned count)
{
    return FIXED_BYTES + (size_t)count * SAMPLE_BYTES + MDAT_HEADER;
}

static void put_box(struct writer *w, size_t size, const char type[4])
{
    write_be32(w, (uint32_t)size);
    write_bytes(w, type, 4);
}

static void put_full_box(struct writer *w, size_t size, const char type[4], uint32_t version_flags)
{
    put_box(w, size, type);
    write_be32(w, version_flags);
}

static uint64_t put_samples(struct writer *w, const struct moof_sample *samples, unsigned count)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < count; i++) {
        write_be32(w, samples[i].duration);
        write_be32(w, samples[i].size);
        write_be32(w, samples[i].key ? FLAGS_KEY : FLAGS_DELTA);
        write_be32(w, samples[i].pts_offset);
        bytes += samples[i].size;
    }
    return bytes;
}

size_t moof_put(uint8_t *out, size_t capacity, uint32_t sequence, uint64_t dts,
                const struct moof_sample *samples, unsigned count)
{
    size_t run = 20 + (size_t)count * SAMPLE_BYTES;
    size_t moof = FIXED_BYTES - 20 + run;
    struct writer w = writer_on(out, capacity);
    put_box(&w, moof, "moof");
    put_full_box(&w, 16, "mfhd", 0);
    write_be32(&w, sequence);
    put_box(&w, moof - 24, "traf");
    put_full_box(&w, 16, "tfhd", TFHD_FLAGS);
    write_be32(&w, 1);
    put_full_box(&w, 20, "tfdt", 1 << 24);
    write_be64(&w, dts);
    put_full_box(&w, run, "trun", TRUN_FLAGS);
    write_be32(&w, count);
    write_be32(&w, (uint32_t)(moof + MDAT_HEADER));
    uint64_t bytes = put_samples(&w, samples, count);
    put_box(&w, MDAT_HEADER + (size_t)bytes, "mdat");
    assert(!w.bad);
    return writer_used(&w);
}

static void expect(struct reader *r, uint32_t value)
{
    r->bad |= read_be32(r) != value;
}

static void expect_box(struct reader *r, size_t size, const char type[4])
{
    expect(r, (uint32_t)size);
    const uint8_t *p = read_bytes(r, 4);
    r->bad |= !p || memcmp(p, type, 4) != 0;
}

static void expect_full_box(struct reader *r, size_t size, const char type[4], uint32_t flags)
{
    expect_box(r, size, type);
    expect(r, flags);
}

int moof_parse(const uint8_t *data, size_t size, struct moof_info *out)
{
    struct moof_info info = { 0 };
    struct reader r = reader_on(data, size);
    if (size < FIXED_BYTES || (size - FIXED_BYTES) % SAMPLE_BYTES != 0) {
        return -EBADMSG;
    }
    expect_box(&r, size, "moof");
    expect_full_box(&r, 16, "mfhd", 0);
    info.sequence = read_be32(&r);
    expect_box(&r, size - 24, "traf");
    expect_full_box(&r, 16, "tfhd", TFHD_FLAGS);
    expect(&r, 1);
    expect_full_box(&r, 20, "tfdt", 1 << 24);
    info.dts = read_be64(&r);
    expect_full_box(&r, size - FIXED_BYTES + 20, "trun", TRUN_FLAGS);
    info.samples = read_be32(&r);
    expect(&r, (uint32_t)(size + MDAT_HEADER));
    if (info.samples != (size - FIXED_BYTES) / SAMPLE_BYTES) {
        return -EBADMSG;
    }
    for (unsigned i = 0; i < info.samples; i++) {
        info.last_duration = read_be32(&r);
        info.bytes += read_be32(&r);
        (void)read_be64(&r); /* its flags and offset: any */
    }
    if (r.bad) {
        return -EBADMSG;
    }
    *out = info;
    return 0;
}
