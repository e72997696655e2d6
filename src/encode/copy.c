/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "encode.h"
#include "h264_unit.h"
#include "jpeg_decode.h"
#include "pcs/frame.h"
#include "pcs/h264_scan.h"
#include "pcs/jpeg_scan.h"
#include "pcs/pool.h"

struct copy {
    struct pool *pool;
    bool sends_eoi;               /* this camera ends its JPEGs: one without is cut */
    struct jpeg_decoder *decoder; /* for the cameras that do not */
    struct h264_sets sets;
    struct format h264; /* size and colour, from the SPS */
    bool started;       /* a key frame has gone out */
};

static const uint8_t eoi[] = { 0xFF, 0xD9 };

struct copy *copy_new(struct pool *pool)
{
    struct copy *c = calloc(1, sizeof *c);
    if (c) {
        c->pool = pool;
    }
    return c;
}

void copy_free(struct copy *c)
{
    if (!c) {
        return;
    }
    jpeg_decoder_free(c->decoder);
    free(c);
}

void copy_restart(struct copy *c)
{
    c->started = false;
}

void copy_forget(struct copy *c)
{
    c->sends_eoi = false;
}

/* Nobody else reads it yet and no driver waits for it: it may become the packet itself. */
static bool may_pass_on(const struct frame *in)
{
    return !(in->flags & FRAME_DRIVER) && atomic_load(&((struct frame *)in)->refs) == 1;
}

/* The packet: `in` itself, `size` bytes of it, or (`buffer` given) a pool frame. */
static void finish(const struct frame *in, struct frame *buffer, const struct format *format,
                   bool key, size_t size, const struct frame **out)
{
    struct frame *packet = buffer;
    if (buffer) {
        frame_copy_meta(buffer, in);
    } else {
        packet = (struct frame *)frame_ref(in); /* may_pass_on: we alone have it */
    }
    packet->format = *format;
    packet->flags = (in->flags & ~(unsigned)(FRAME_DRIVER | FRAME_KEY)) | (key ? FRAME_KEY : 0u);
    packet->size = size;
    *out = packet;
}

/* ---- JPEG ---- */

static uint8_t *append(uint8_t *to, const uint8_t *from, size_t n)
{
    memcpy(to, from, n);
    return to + n;
}

static size_t jpeg_size(const struct jpeg_info *info)
{
    return info->size + (info->has_dht ? 0 : jpeg_standard_dht_size) +
           (info->has_eoi ? 0 : sizeof eoi);
}

/* The picture with what it lacks; the tables may stand anywhere in front of the scan. */
static void write_jpeg(const struct frame *in, const struct jpeg_info *info, uint8_t *p)
{
    p = append(p, in->data, info->sos_offset);
    if (!info->has_dht) {
        p = append(p, jpeg_standard_dht, jpeg_standard_dht_size);
    }
    p = append(p, in->data + info->sos_offset, info->size - info->sos_offset);
    if (!info->has_eoi) {
        (void)append(p, eoi, sizeof eoi);
    }
}

/* Is a picture without EOI whole? A camera that has ever sent one cut this one short; of the others
 * every picture has to prove itself, which costs a tenth of a decoding. */
static int judge_without_eoi(struct copy *c, const struct frame *in, const struct jpeg_info *info)
{
    if (c->sends_eoi) {
        return -EBADMSG;
    }
    if (!c->decoder) {
        c->decoder = jpeg_decoder_new(c->pool);
    }
    return c->decoder ? jpeg_check(c->decoder, in->data, info->size) : -ENOMEM;
}

static int copy_jpeg(struct copy *c, const struct frame *in, const struct frame **out)
{
    struct jpeg_info info;
    int rc = jpeg_scan(in->data, in->size, &info);
    if (rc) {
        return rc;
    }
    c->sends_eoi |= info.has_eoi;
    rc = info.has_eoi ? 0 : judge_without_eoi(c, in, &info);
    if (rc) {
        return rc;
    }
    struct format format = in->format;
    format.width = info.width;
    format.height = info.height;
    format.range = COLOR_RANGE_FULL; /* JFIF */
    format.matrix = COLOR_MATRIX_601;
    struct frame *buffer = NULL;
    if (!info.has_eoi || !info.has_dht || !may_pass_on(in)) {
        buffer = pool_get(c->pool, jpeg_size(&info));
        if (!buffer) {
            return -ENOMEM;
        }
        write_jpeg(in, &info, buffer->buffer);
    }
    finish(in, buffer, &format, true, jpeg_size(&info), out);
    return 0;
}

/* ---- H.264 ---- */

/* What the sets say about the pictures. The rate stays the camera's: VUI times are often invented. */
static int read_sets(struct copy *c, const struct frame *in)
{
    struct h264_sps sps;
    struct h264_nal nal;
    size_t pos = 0;
    if (!h264_next_nal(c->sets.sps, c->sets.sps_size, &pos, &nal) ||
        h264_parse_sps(nal.data, nal.size, &sps)) {
        return -EBADMSG;
    }
    c->h264 = in->format;
    c->h264.width = sps.width;
    c->h264.height = sps.height;
    c->h264.range = sps.full_range ? COLOR_RANGE_FULL : COLOR_RANGE_LIMITED;
    if (sps.matrix != 2) { /* 1: BT.709; 5 and 6 are BT.601's (table E-5) */
        c->h264.matrix = format_matrix_of(sps.matrix);
    }
    return 0;
}

/* May this unit go out? */
static int judge_unit(struct copy *c, const struct frame *in, const struct h264_unit *unit)
{
    if (!unit->size) {
        return -EBADMSG; /* no NAL unit at all */
    }
    if (!unit->has_slice || !unit->complete || !(unit->key || c->started)) {
        return -EAGAIN;
    }
    return unit->key ? read_sets(c, in) : 0;
}

static int copy_h264(struct copy *c, const struct frame *in, const struct frame **out)
{
    struct h264_unit unit;
    h264_unit_read(&c->sets, in->data, in->size, &unit);
    int rc = judge_unit(c, in, &unit);
    if (rc) {
        return rc;
    }
    struct frame *buffer = NULL;
    if (!unit.kept || !may_pass_on(in)) {
        buffer = pool_get(c->pool, unit.size);
        if (!buffer) {
            return -ENOMEM;
        }
        if (unit.kept) {
            memcpy(buffer->buffer, in->data, in->size);
        } else {
            h264_unit_write(&c->sets, in->data, in->size, &unit, buffer->buffer);
        }
    }
    c->started = true;
    finish(in, buffer, &c->h264, unit.key, unit.size, out);
    return 0;
}

int copy_frame(struct copy *c, const struct frame *in, const struct frame **out)
{
    switch (in->format.id) {
    case FORMAT_JPEG:
        return copy_jpeg(c, in, out);
    case FORMAT_H264:
        return copy_h264(c, in, out);
    default:
        return -ENOTSUP;
    }
}
