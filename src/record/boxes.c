/* SPDX-License-Identifier: MIT */
#include "boxes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fragment.h"
#include "moof.h"
#include "mp4_header.h"
#include "pcs/bytes.h"

#define HEADER_MAX 65536 /* ftyp, mark and moov together */
#define TYPE(s)    ((uint32_t)(s)[0] << 24 | (uint32_t)(s)[1] << 16 | (uint32_t)(s)[2] << 8 | (s)[3])
#define MARK_BOXES 8  /* it stands behind ftyp, in plain files behind moov */
#define HOLE_BYTES 32 /* emulation prevention and lengths leave 5 zero bytes in a row at most */

/* The next box in `r` and its content; false at the end, or when it does not fit. */
static bool next_box(struct reader *r, uint32_t *type, struct reader *content)
{
    if (reader_left(r) < 8) {
        return false;
    }
    uint32_t size = read_be32(r);
    *type = read_be32(r);
    const uint8_t *data = size >= 8 ? read_bytes(r, size - 8) : NULL;
    if (!data) {
        return false;
    }
    *content = reader_on(data, size - 8);
    return true;
}

static bool has_box(struct reader r, uint32_t wanted)
{
    uint32_t type;
    struct reader content;
    while (next_box(&r, &type, &content)) {
        if (type == wanted) {
            return true;
        }
    }
    return false;
}

static bool parse_mark(struct reader r, struct box_mark *mark)
{
    const uint8_t *magic = read_bytes(&r, 8);
    bool ours = magic && memcmp(magic, MP4_MARK_MAGIC, 8) == 0;
    ours = ours && read_be32(&r) == MP4_MARK_VERSION;
    mark->codec = read_be32(&r);
    mark->wall_us = (int64_t)read_be64(&r);
    return ours && !r.bad;
}

/* ftyp, mark, moov with mvex, in this order. */
static int parse_header(const uint8_t *data, size_t size, struct box_scan *out)
{
    struct reader r = reader_on(data, size), content;
    struct box_mark mark = { 0 };
    uint32_t type;
    if (!next_box(&r, &type, &content) || type != TYPE("ftyp") || !next_box(&r, &type, &content) ||
        type != TYPE("free") || !parse_mark(content, &mark) || !next_box(&r, &type, &content) ||
        type != TYPE("moov") || !has_box(content, TYPE("mvex"))) {
        return -ENODATA;
    }
    out->codec = mark.codec;
    out->header_end = out->good_end = (uint64_t)(r.p - data);
    return 0;
}

static int scan_header(const struct box_source *source, struct box_scan *out)
{
    uint8_t *buf = malloc(HEADER_MAX);
    if (!buf) {
        return -ENOMEM;
    }
    int n = source->read(source->arg, 0, buf, HEADER_MAX);
    int ret = n < 0 ? n : parse_header(buf, (size_t)n, out);
    free(buf);
    return ret;
}

int boxes_find_mark(const struct box_source *source, struct box_mark *out)
{
    uint8_t head[MP4_MARK_BYTES];
    struct box_mark mark = { 0 };
    uint64_t at = 0;
    for (int i = 0; i < MARK_BOXES && at < source->size; i++) {
        int n = source->read(source->arg, at, head, sizeof head);
        if (n < 0) {
            return n;
        }
        struct reader r = reader_on(head, (size_t)n);
        uint64_t size = read_be32(&r);
        uint32_t type = read_be32(&r);
        if (r.bad || size < 8 || (i == 0 && type != TYPE("ftyp"))) {
            return -ENODATA; /* a size of 1 is a long one: only mdat has that, and stands behind */
        }
        if (type == TYPE("free") && size == MP4_MARK_BYTES && parse_mark(r, &mark)) {
            *out = mark;
            return 0;
        }
        at += size;
    }
    return -ENODATA;
}

/* Room for the largest moof we write and the header of its mdat. */
static size_t head_space(void)
{
    return moof_capacity(FRAGMENT_SAMPLES);
}

/* Moof and the mdat's header at good_end into `buf`. Returns their size, 0 when they are not whole. */
static int read_head(const struct box_source *source, uint8_t *buf, uint64_t at)
{
    int n = source->read(source->arg, at, buf, MDAT_HEADER);
    if (n < MDAT_HEADER) {
        return n < 0 ? n : 0;
    }
    struct reader r = reader_on(buf, MDAT_HEADER);
    size_t size = (size_t)read_be32(&r) + MDAT_HEADER;
    if (read_be32(&r) != TYPE("moof") || size > head_space()) {
        return 0;
    }
    n = source->read(source->arg, at, buf, size);
    return n < 0 || (size_t)n == size ? n : 0;
}

static bool parse_head(const uint8_t *head, size_t size, struct moof_info *info)
{
    size_t moof = size - MDAT_HEADER;
    struct reader r = reader_on(head + moof, MDAT_HEADER);
    uint64_t mdat = read_be32(&r);
    return read_be32(&r) == TYPE("mdat") && moof_parse(head, moof, info) == 0 &&
           mdat == info->bytes + MDAT_HEADER;
}

/* 1: there was a whole fragment at good_end, and it is accounted for; 0: none. */
static int scan_fragment(const struct box_source *source, uint8_t *buf, struct box_scan *out)
{
    struct moof_info info;
    int head = read_head(source, buf, out->good_end);
    if (head <= 0) {
        return head;
    }
    if (!parse_head(buf, (size_t)head, &info) || info.sequence != (uint32_t)out->fragments + 1 ||
        (uint64_t)head + info.bytes > source->size - out->good_end) {
        return 0;
    }
    out->last_start = out->good_end;
    out->last_data = out->good_end + (uint64_t)head;
    out->good_end += (uint64_t)head + info.bytes;
    out->fragments++;
    out->samples += info.samples;
    out->last_duration = info.last_duration;
    return 1;
}

static int scan_fragments(const struct box_source *source, uint8_t *buf, struct box_scan *out)
{
    int ret = 1;
    while (ret == 1 && out->good_end < source->size) {
        if (source->cancelled && source->cancelled(source->arg)) {
            return -ECANCELED;
        }
        ret = scan_fragment(source, buf, out);
    }
    return ret < 0 ? ret : 0;
}

int boxes_scan(const struct box_source *source, struct box_scan *out)
{
    struct box_scan scan = { 0 };
    int ret = scan_header(source, &scan);
    if (ret < 0) {
        return ret;
    }
    uint8_t *buf = malloc(head_space());
    if (!buf) {
        return -ENOMEM;
    }
    ret = scan_fragments(source, buf, &scan);
    free(buf);
    if (ret == 0) {
        *out = scan;
    }
    return ret;
}

static bool has_run(const uint8_t *p, size_t n, unsigned *run)
{
    for (size_t i = 0; i < n; i++) {
        *run = p[i] == 0 ? *run + 1 : 0;
        if (*run >= HOLE_BYTES) {
            return true;
        }
    }
    return false;
}

int boxes_find_hole(const struct box_source *source, uint64_t start, uint64_t end)
{
    uint8_t buf[16384];
    unsigned run = 0;
    while (start < end) {
        size_t want = end - start < sizeof buf ? (size_t)(end - start) : sizeof buf;
        int n = source->read(source->arg, start, buf, want);
        if (n <= 0) {
            return n;
        }
        if (has_run(buf, (size_t)n, &run)) {
            return 1;
        }
        start += (uint64_t)n;
    }
    return 0;
}
