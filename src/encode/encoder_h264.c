/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <libavcodec/avcodec.h>

#include "encoder.h"
#include "h264_codec.h"
#include "h264_input.h"
#include "h264_unit.h"
#include "pcs/frame.h"
#include "pcs/log.h"
#include "pcs/pool.h"
#include "pending.h"
#include "tempo.h"

struct encoder {
    struct encode_config config;
    struct pool *pool;
    const char *names[H264_CANDIDATES]; /* still to try, names[0] is in use */
    int name_count;
    struct AVCodecContext *ctx;
    struct format picture; /* what ctx is open for */
    struct h264_input input;
    struct h264_sets sets;
    struct AVFrame *frame;
    struct AVPacket *packet;
    struct frame *buffer;    /* libavcodec's newest packet memory, borrowed: its packet holds it */
    _Atomic int64_t bitrate; /* wanted */
    int64_t bitrate_set;
    struct tempo tempo;
    int64_t last_pts;
    struct pending pending; /* in ctx */
};

static bool accepts(enum format_id input)
{
    return encoder_reads(input) || input == FORMAT_JPEG;
}

static int check(const struct encode_config *config, struct err *err)
{
    const char *names[H264_CANDIDATES];
    return h264_codec_candidates(config, names, err) > 0 ? 0 : -ENOENT;
}

/* ---- opening ---- */

static void release_buffer(void *opaque, uint8_t *data)
{
    (void)data;
    frame_unref(opaque);
}

/* AVCodecContext.get_encode_buffer: packets are born in pool frames. */
static int get_buffer(struct AVCodecContext *ctx, struct AVPacket *packet, int flags)
{
    (void)flags;
    struct encoder *e = ctx->opaque;
    size_t size = (size_t)packet->size;
    struct frame *f = pool_get(e->pool, size + AV_INPUT_BUFFER_PADDING_SIZE);
    if (!f) {
        return AVERROR(ENOMEM);
    }
    packet->buf = av_buffer_create(f->buffer, f->capacity, release_buffer, f, 0);
    if (!packet->buf) {
        frame_unref(f);
        return AVERROR(ENOMEM);
    }
    memset(f->buffer + size, 0, AV_INPUT_BUFFER_PADDING_SIZE);
    packet->data = f->buffer;
    e->buffer = f;
    return 0;
}

static void close_codec(struct encoder *e)
{
    avcodec_free_context(&e->ctx);
    h264_input_finish(&e->input);
    e->buffer = NULL;
    e->pending.count = 0;
}

/* Some encoders keep their parameter sets there and out of the stream. */
static void note_extradata(struct encoder *e)
{
    struct h264_unit unit;
    e->sets = (struct h264_sets){ .sps_size = 0 };
    if (e->ctx->extradata_size > 0) {
        h264_unit_read(&e->sets, e->ctx->extradata, (size_t)e->ctx->extradata_size, &unit);
    }
}

/* Open the first of the names left that opens. */
static int open_codec(struct encoder *e, const struct format *in, struct err *err)
{
    int rc = -ENOENT;
    close_codec(e);
    while (e->name_count > 0) {
        h264_input_init(&e->input, e->pool, h264_codec_takes_nv12(e->names[0]));
        e->picture = h264_input_format(&e->input, in);
        e->bitrate_set = atomic_load_explicit(&e->bitrate, memory_order_relaxed);
        const struct h264_codec_setup setup = { .name = e->names[0],
                                                .config = &e->config,
                                                .picture = &e->picture,
                                                .bitrate = e->bitrate_set,
                                                .get_buffer = get_buffer,
                                                .opaque = e };
        e->tempo = (struct tempo){ .scale = 1 };
        rc = h264_codec_open(&e->ctx, &setup, err);
        if (rc == 0) {
            note_extradata(e);
        }
        if (rc == 0 || e->name_count == 1) {
            return rc;
        }
        log_warn("%s; trying %s", err->text, e->names[1]);
        memmove(&e->names[0], &e->names[1], (size_t)--e->name_count * sizeof e->names[0]);
    }
    return rc;
}

static void encoder_close(struct encoder *e)
{
    if (!e) {
        return;
    }
    close_codec(e);
    av_frame_free(&e->frame);
    av_packet_free(&e->packet);
    free(e);
}

static int encoder_open(struct encoder **out, const struct encode_config *config,
                        const struct format *in, struct pool *pool, struct err *err)
{
    struct err local = { 0 };
    struct encoder *e = calloc(1, sizeof *e);
    if (!e || !(e->frame = av_frame_alloc()) || !(e->packet = av_packet_alloc())) {
        encoder_close(e);
        return err_set(err, -ENOMEM, "H.264 encoder: out of memory");
    }
    e->config = *config;
    e->pool = pool;
    e->last_pts = INT64_MIN;
    atomic_init(&e->bitrate, config->bitrate);
    e->name_count = h264_codec_candidates(config, e->names, &local);
    int rc = e->name_count > 0 ? open_codec(e, in, &local) : -ENOENT;
    if (rc) {
        encoder_close(e);
        return err_set(err, rc, "%s", local.text);
    }
    *out = e;
    return 0;
}

/* ---- packets ---- */

/* The packet's bytes as a frame: the pool frame they were born in, or one copy. */
static struct frame *take_bytes(struct encoder *e, const struct h264_unit *unit)
{
    struct AVPacket *packet = e->packet;
    size_t size = (size_t)packet->size;
    bool ours = packet->buf && e->buffer && av_buffer_get_opaque(packet->buf) == e->buffer;
    if (unit->kept && ours && packet->data == e->buffer->buffer) {
        e->buffer->size = size;
        (void)frame_ref(e->buffer); /* the packet drops its own */
        return e->buffer;
    }
    struct frame *f = pool_get(e->pool, unit->size);
    if (f) {
        h264_unit_write(&e->sets, packet->data, size, unit, f->buffer);
        f->size = unit->size;
    }
    return f;
}

static int make_packet(struct encoder *e, struct frame **out)
{
    struct h264_unit unit;
    h264_unit_read(&e->sets, e->packet->data, (size_t)e->packet->size, &unit);
    struct frame *f = take_bytes(e, &unit);
    if (!f) {
        return -ENOMEM;
    }
    (void)pending_take(&e->pending, e->packet->pts, f); /* a packet of no picture: there is none */
    f->format = e->picture;
    f->format.id = FORMAT_H264;
    f->format.width = e->ctx->width;
    f->format.height = e->ctx->height;
    f->flags = (f->flags & FRAME_STANDBY) | (unit.key ? FRAME_KEY : 0u);
    *out = f;
    return 0;
}

/* 0 with *out = NULL when there is none. */
static int receive(struct encoder *e, struct frame **out)
{
    int rc = avcodec_receive_packet(e->ctx, e->packet);
    if (rc == AVERROR(EAGAIN) || rc == AVERROR_EOF) {
        return 0;
    }
    if (rc < 0) {
        return -EIO;
    }
    rc = make_packet(e, out);
    av_packet_unref(e->packet);
    return rc;
}

/* ---- pictures ---- */

static int prepare_frame(struct encoder *e, const struct frame *picture, bool key)
{
    int64_t pts = picture->capture_us > e->last_pts ? picture->capture_us : e->last_pts + 1;
    int rc = h264_input_lend(&e->input, picture, e->frame);
    if (rc) {
        return rc;
    }
    pending_add(&e->pending, pts, picture);
    e->last_pts = pts;
    e->frame->pts = pts;
    e->frame->pict_type = key ? AV_PICTURE_TYPE_I : AV_PICTURE_TYPE_NONE;
    e->frame->color_range = e->ctx->color_range;
    e->frame->colorspace = e->ctx->colorspace;
    return 0;
}

static int feed(struct encoder *e, const struct frame *picture, bool key, struct frame **out)
{
    int rc = prepare_frame(e, picture, key);
    if (rc) {
        return rc;
    }
    rc = avcodec_send_frame(e->ctx, e->frame);
    if (rc == AVERROR(EAGAIN)) { /* full: a packet has to come out first */
        rc = receive(e, out);
        rc = rc ? rc : avcodec_send_frame(e->ctx, e->frame);
    }
    av_frame_unref(e->frame);
    if (rc < 0) {
        return -EIO;
    }
    return *out ? 0 : receive(e, out);
}

/* A new bit rate or tempo, or a camera whose JPEGs changed their size. */
static int adapt(struct encoder *e, const struct frame *picture)
{
    struct err err = { 0 };
    int64_t bitrate = atomic_load_explicit(&e->bitrate, memory_order_relaxed);
    struct format want = h264_input_format(&e->input, &picture->format);
    bool live = e->ctx && h264_codec_is_live(e->ctx);
    bool reopen = !e->ctx || !format_same(&want, &e->picture) ||
                  (!live && bitrate != e->bitrate_set);
    if (reopen) {
        int rc = open_codec(e, &picture->format, &err);
        if (rc) {
            log_debug("%s", err.text);
        }
        return rc;
    }
    bool paced = tempo_note(&e->tempo, picture->capture_us, h264_codec_nominal_us(e->ctx));
    if (live && (paced || bitrate != e->bitrate_set)) {
        h264_codec_set_rate(e->ctx, bitrate, e->tempo.scale);
        e->bitrate_set = bitrate;
    }
    return 0;
}

static int encoder_encode(struct encoder *e, const struct frame *in, bool key, struct frame **out)
{
    const struct frame *picture = NULL;
    struct frame *packet = NULL;
    int rc = h264_input_convert(&e->input, in, &picture);
    if (rc) {
        return rc;
    }
    rc = adapt(e, picture);
    rc = rc ? rc : feed(e, picture, key, &packet);
    frame_unref(picture);
    *out = packet;
    return rc;
}

static int encoder_drain(struct encoder *e, struct frame **out)
{
    *out = NULL;
    if (!e->ctx || e->pending.count == 0) {
        return 0;
    }
    (void)avcodec_send_frame(e->ctx, NULL); /* from the second call on it says EOF: nothing new */
    return receive(e, out);
}

static void encoder_set_bitrate(struct encoder *e, int64_t bitrate)
{
    atomic_store_explicit(&e->bitrate, bitrate, memory_order_relaxed);
}

static const char *encoder_name(const struct encoder *e)
{
    return e->names[0];
}

const struct encoder_backend encoder_h264 = {
    .name = "h264",
    .output = FORMAT_H264,
    .accepts = accepts,
    .check = check,
    .open = encoder_open,
    .encode = encoder_encode,
    .drain = encoder_drain,
    .set_bitrate = encoder_set_bitrate,
    .describe = encoder_name,
    .close = encoder_close,
};
