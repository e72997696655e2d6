/* SPDX-License-Identifier: MIT */
/*
 * Encoding and decoding of whole messages; the byte tables are in docs/protocol.md. Readers take a
 * longer body than they know (a later minor version may add fields at the end), never a shorter one.
 */
#include "pcs/wire.h"

#include <errno.h>
#include <string.h>

#include "pcs/text.h"

/* ---- parts ---- */

static void put_text(struct writer *w, const char *text, size_t max)
{
    size_t n = strnlen(text, max + 1);
    if (n > max) {
        n = max;
        while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80) {
            n--; /* not in the middle of a UTF-8 character */
        }
    }
    write_u8(w, (uint8_t)n);
    write_bytes(w, text, n);
}

/* A peer's words will be logged, become file names and JSON. */
static void get_text(struct reader *r, char *out, size_t max)
{
    size_t n = read_u8(r);
    const uint8_t *p = read_bytes(r, n);
    n = !p ? 0 : n < max ? n : max;
    if (n > 0) {
        memcpy(out, p, n);
    }
    text_clean(out, n);
    out[n] = '\0';
}

/* Numbers and times near the ends of their ranges would overflow in somebody's sum. */
static uint64_t get_seq(struct reader *r)
{
    uint64_t seq = read_be64(r);
    r->bad |= seq > WIRE_SEQ_MAX;
    return seq;
}

static int64_t get_time(struct reader *r)
{
    uint64_t time_us = read_be64(r);
    r->bad |= time_us > WIRE_TIME_MAX;
    return (int64_t)time_us;
}

enum wire_codec { WIRE_CODEC_JPEG = 1, WIRE_CODEC_H264 = 2 };

static void put_format(struct writer *w, const struct format *f)
{
    write_u8(w, f->id == FORMAT_H264 ? WIRE_CODEC_H264 : WIRE_CODEC_JPEG);
    write_u8(w, (uint8_t)f->range);
    write_u8(w, (uint8_t)f->matrix);
    write_u8(w, 0);
    write_be16(w, (uint16_t)f->width);
    write_be16(w, (uint16_t)f->height);
    write_be32(w, (uint32_t)f->fps_num);
    write_be32(w, (uint32_t)f->fps_den);
}

static void get_format(struct reader *r, struct format *f)
{
    uint8_t codec = read_u8(r), range = read_u8(r), matrix = read_u8(r);
    (void)read_u8(r); /* reserved */
    f->width = read_be16(r);
    f->height = read_be16(r);
    uint32_t num = read_be32(r), den = read_be32(r);
    bool rate_ok = num <= 1000000 && den > 0 && den <= 1000000;
    f->fps_num = rate_ok ? (int)num : 0;
    f->fps_den = rate_ok ? (int)den : 1;
    f->id = codec == WIRE_CODEC_H264   ? FORMAT_H264
            : codec == WIRE_CODEC_JPEG ? FORMAT_JPEG
                                       : FORMAT_NONE;
    f->range = range == COLOR_RANGE_FULL ? COLOR_RANGE_FULL : COLOR_RANGE_LIMITED;
    f->matrix = matrix == COLOR_MATRIX_709 ? COLOR_MATRIX_709 : COLOR_MATRIX_601;
    r->bad |= f->id == FORMAT_NONE || f->width < 1 || f->width > FORMAT_MAX_SIZE || f->height < 1 ||
              f->height > FORMAT_MAX_SIZE;
}

/* ---- messages ---- */

static void put_hello(struct writer *w, const struct wire_hello *h)
{
    write_be32(w, WIRE_MAGIC);
    write_be16(w, h->version);
    write_be16(w, 0); /* flags */
    write_bytes(w, h->session, sizeof h->session);
    write_be64(w, h->first_seq);
    write_be64(w, h->next_seq);
    write_be64(w, (uint64_t)h->mono_us);
    write_be64(w, (uint64_t)h->wall_us);
    put_format(w, &h->format);
    put_text(w, h->name, WIRE_NAME_MAX);
    put_text(w, h->software, WIRE_NAME_MAX);
}

static void get_hello(struct reader *r, struct wire_hello *h)
{
    r->bad |= read_be32(r) != WIRE_MAGIC;
    h->version = read_be16(r);
    if (h->version != WIRE_VERSION) {
        return; /* all that can be said of it */
    }
    (void)read_be16(r); /* flags: none known */
    const uint8_t *session = read_bytes(r, sizeof h->session);
    if (session) {
        memcpy(h->session, session, sizeof h->session);
    }
    h->first_seq = get_seq(r);
    h->next_seq = get_seq(r);
    r->bad |= h->first_seq == 0 || h->next_seq < h->first_seq;
    h->mono_us = get_time(r);
    h->wall_us = get_time(r);
    get_format(r, &h->format);
    get_text(r, h->name, WIRE_NAME_MAX);
    get_text(r, h->software, WIRE_NAME_MAX);
}

enum wire_welcome_flags { WELCOME_NEED_KEY = 1, WELCOME_HAS_ID = 2 };

static void put_welcome(struct writer *w, const struct wire_welcome *m)
{
    write_be32(w, WIRE_MAGIC);
    write_be16(w, m->version);
    write_be16(w,
               (uint16_t)((m->need_key ? WELCOME_NEED_KEY : 0) | (m->has_id ? WELCOME_HAS_ID : 0)));
    write_be64(w, m->from_seq);
    put_text(w, m->name, WIRE_NAME_MAX);
    put_text(w, m->software, WIRE_NAME_MAX);
    if (m->has_id) {
        write_bytes(w, m->id, sizeof m->id);
    }
}

static void get_welcome(struct reader *r, struct wire_welcome *m)
{
    r->bad |= read_be32(r) != WIRE_MAGIC;
    m->version = read_be16(r);
    if (m->version != WIRE_VERSION) {
        return;
    }
    uint16_t flags = read_be16(r);
    m->need_key = flags & WELCOME_NEED_KEY;
    m->has_id = flags & WELCOME_HAS_ID;
    m->from_seq = get_seq(r);
    get_text(r, m->name, WIRE_NAME_MAX);
    get_text(r, m->software, WIRE_NAME_MAX);
    const uint8_t *id = m->has_id ? read_bytes(r, sizeof m->id) : NULL;
    if (id) {
        memcpy(m->id, id, sizeof m->id);
    }
}

static void put_frame(struct writer *w, const struct wire_frame *f)
{
    write_u8(w, f->flags);
    write_be16(w, 0); /* reserved */
    write_be64(w, f->seq);
    write_be64(w, (uint64_t)f->capture_us);
    write_be32(w, f->pts_delay_us);
    write_be32(w, f->encode_us);
    write_be32(w, f->send_us);
    write_be32(w, f->skipped);
}

static void get_frame(struct reader *r, struct wire_frame *f)
{
    f->flags = read_u8(r);
    (void)read_be16(r); /* reserved */
    f->seq = get_seq(r);
    r->bad |= f->seq == 0;
    f->capture_us = get_time(r);
    f->pts_delay_us = read_be32(r);
    f->encode_us = read_be32(r);
    f->send_us = read_be32(r);
    f->skipped = read_be32(r);
}

static void put_error(struct writer *w, const struct wire_error *e)
{
    write_be16(w, e->code);
    put_text(w, e->text, WIRE_TEXT_MAX);
}

static void put_body(struct writer *w, const struct wire_message *m)
{
    switch (m->type) {
    case WIRE_HELLO:
        put_hello(w, &m->u.hello);
        break;
    case WIRE_WELCOME:
        put_welcome(w, &m->u.welcome);
        break;
    case WIRE_FRAME:
        put_frame(w, &m->u.frame);
        break;
    case WIRE_FORMAT:
        put_format(w, &m->u.format);
        break;
    case WIRE_BYE:
        write_be64(w, m->u.bye.next_seq);
        write_be32(w, m->u.bye.skipped);
        break;
    case WIRE_ACK:
        write_be64(w, m->u.ack.synced_seq);
        write_be64(w, m->u.ack.received_seq);
        break;
    case WIRE_PING:
        write_be64(w, (uint64_t)m->u.ping.t0_us);
        break;
    case WIRE_PONG:
        write_be64(w, (uint64_t)m->u.pong.t0_us);
        write_be64(w, (uint64_t)m->u.pong.t1_us);
        write_be64(w, (uint64_t)m->u.pong.t2_us);
        break;
    case WIRE_KEY:
        break;
    case WIRE_REPLAY:
        write_be64(w, m->u.replay.from_seq);
        write_u8(w, m->u.replay.need_key);
        break;
    case WIRE_ERROR:
        put_error(w, &m->u.error);
        break;
    }
}

static void get_body(struct reader *r, struct wire_message *m)
{
    switch (m->type) {
    case WIRE_HELLO:
        get_hello(r, &m->u.hello);
        return;
    case WIRE_WELCOME:
        get_welcome(r, &m->u.welcome);
        return;
    case WIRE_FRAME:
        get_frame(r, &m->u.frame);
        return;
    case WIRE_FORMAT:
        get_format(r, &m->u.format);
        return;
    case WIRE_BYE:
        m->u.bye.next_seq = get_seq(r);
        r->bad |= m->u.bye.next_seq == 0;
        m->u.bye.skipped = read_be32(r);
        return;
    case WIRE_ACK:
        m->u.ack.synced_seq = get_seq(r);
        m->u.ack.received_seq = get_seq(r);
        return;
    case WIRE_PING:
        m->u.ping.t0_us = get_time(r);
        return;
    case WIRE_PONG:
        m->u.pong.t0_us = get_time(r);
        m->u.pong.t1_us = get_time(r);
        m->u.pong.t2_us = get_time(r);
        return;
    case WIRE_KEY:
        return;
    case WIRE_REPLAY:
        m->u.replay.from_seq = get_seq(r);
        m->u.replay.need_key = read_u8(r);
        return;
    case WIRE_ERROR:
        m->u.error.code = read_be16(r);
        get_text(r, m->u.error.text, WIRE_TEXT_MAX);
        return;
    }
    r->bad = true; /* a type this version does not have */
}

int wire_put(uint8_t *out, size_t capacity, const struct wire_message *m)
{
    struct writer w = writer_on(out, capacity);
    write_be32(&w, 0);
    write_u8(&w, (uint8_t)m->type);
    put_body(&w, m);
    if (w.bad) {
        return -ENOSPC;
    }
    size_t used = writer_used(&w);
    size_t payload = m->type == WIRE_FRAME ? m->u.frame.size : 0;
    struct writer length = writer_on(out, 4);
    write_be32(&length, (uint32_t)(used - 4 + payload));
    return (int)used;
}

int wire_parse(const uint8_t *data, size_t size, struct wire_message *out)
{
    struct reader r = reader_on(data, size);
    uint32_t length = read_be32(&r);
    struct wire_message m = { .type = (enum wire_type)read_u8(&r) };
    bool frame = m.type == WIRE_FRAME;
    if (r.bad || length < (frame ? WIRE_FRAME_HEAD - 4 + 1 : 1)) {
        return -EBADMSG; /* an empty frame is no frame */
    }
    if (length > (frame ? WIRE_FRAME_MAX + WIRE_FRAME_HEAD - 4 : WIRE_CONTROL_MAX - 4)) {
        return -EMSGSIZE;
    }
    if (frame ? size < WIRE_FRAME_HEAD : size != length + 4) {
        return -EBADMSG;
    }
    get_body(&r, &m);
    if (r.bad) {
        return -EBADMSG;
    }
    if (frame) {
        m.u.frame.size = length - (WIRE_FRAME_HEAD - 4);
    }
    *out = m;
    return 0;
}
