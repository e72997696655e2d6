/* SPDX-License-Identifier: MIT */
#include "input_decode.h"

#include <libavcodec/avcodec.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
#include <stdlib.h>

#include "input_frames.h"
#include "pcs/frame.h"
#include "pcs/pool.h"

struct input_decode {
    AVCodecContext *codec;
    AVFrame *picture;
    struct SwsContext *scaler;
    struct pool *pool; /* for what is converted */
    struct input_frames *frames;
    enum format_id wanted;
};

void input_colors(struct format *f, int av_range, int av_space)
{
    bool said = av_space != AVCOL_SPC_UNSPECIFIED && av_space != AVCOL_SPC_RGB;
    bool hd = said ? av_space == AVCOL_SPC_BT709 : f->height >= 720;
    f->range = av_range == AVCOL_RANGE_JPEG ? COLOR_RANGE_FULL : COLOR_RANGE_LIMITED;
    f->matrix = hd ? COLOR_MATRIX_709 : COLOR_MATRIX_601;
    if (f->id == FORMAT_JPEG) { /* JFIF knows only these */
        f->range = COLOR_RANGE_FULL;
        f->matrix = COLOR_MATRIX_601;
    }
}

/* The old names of full-range formats, and what they are besides that. */
static enum AVPixelFormat plain_format(enum AVPixelFormat f, bool *full)
{
    static const struct {
        enum AVPixelFormat old, plain;
    } pairs[] = {
        { AV_PIX_FMT_YUVJ420P, AV_PIX_FMT_YUV420P }, { AV_PIX_FMT_YUVJ422P, AV_PIX_FMT_YUV422P },
        { AV_PIX_FMT_YUVJ444P, AV_PIX_FMT_YUV444P }, { AV_PIX_FMT_YUVJ440P, AV_PIX_FMT_YUV440P },
        { AV_PIX_FMT_YUVJ411P, AV_PIX_FMT_YUV411P },
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if (pairs[i].old == f) {
            *full = true;
            return pairs[i].plain;
        }
    }
    return f;
}

static const struct {
    enum AVPixelFormat av;
    enum format_id id;
} layouts[] = {
    { AV_PIX_FMT_YUV420P, FORMAT_YU12 }, { AV_PIX_FMT_NV12, FORMAT_NV12 },
    { AV_PIX_FMT_YUYV422, FORMAT_YUYV }, { AV_PIX_FMT_UYVY422, FORMAT_UYVY },
    { AV_PIX_FMT_GRAY8, FORMAT_GREY },   { AV_PIX_FMT_RGB24, FORMAT_RGB24 },
};

static enum format_id our_format(enum AVPixelFormat av)
{
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        if (layouts[i].av == av) {
            return layouts[i].id;
        }
    }
    return FORMAT_NONE;
}

static enum AVPixelFormat av_format(enum format_id id)
{
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        if (layouts[i].id == id) {
            return layouts[i].av;
        }
    }
    return AV_PIX_FMT_NONE;
}

static bool is_rgb(enum AVPixelFormat av)
{
    const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(av);
    return d && d->flags & AV_PIX_FMT_FLAG_RGB;
}

/* What comes out for pictures of format `av`. RGB becomes YUV of limited range. */
static struct format result_format(const struct input_decode *d, enum AVPixelFormat av, int width,
                                   int height, int range, int space)
{
    bool full = range == AVCOL_RANGE_JPEG;
    enum AVPixelFormat plain = plain_format(av, &full);
    enum format_id same = our_format(plain);
    struct format f = { .width = width, .height = height, .fps_den = 1 };
    f.id = d->wanted ? d->wanted : same ? same : FORMAT_YU12;
    bool from_rgb = is_rgb(plain);
    input_colors(&f, full && !from_rgb ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG,
                 from_rgb ? AVCOL_SPC_UNSPECIFIED : space);
    if (f.id == FORMAT_RGB24) {
        f.range = COLOR_RANGE_FULL;
    }
    return f;
}

static int open_codec(struct input_decode *d, const struct input_decode_setup *setup,
                      struct err *err)
{
    const AVCodec *codec = avcodec_find_decoder(setup->codec->codec_id);
    const char *name = avcodec_get_name(setup->codec->codec_id);
    if (!codec) {
        return err_set(err, -ENOTSUP, "input: this FFmpeg cannot decode %s", name);
    }
    d->codec = avcodec_alloc_context3(codec);
    if (!d->codec || avcodec_parameters_to_context(d->codec, setup->codec) < 0) {
        return err_set(err, -ENOMEM, "input: out of memory");
    }
    d->codec->pkt_timebase = (AVRational){ setup->time_base_num, setup->time_base_den };
    d->codec->thread_count = 0; /* as many as cores */
    d->codec->thread_type = setup->live ? FF_THREAD_SLICE : FF_THREAD_SLICE | FF_THREAD_FRAME;
    d->codec->flags |= setup->live ? AV_CODEC_FLAG_LOW_DELAY : 0;
    if (avcodec_open2(d->codec, codec, NULL) < 0) {
        return err_set(err, -ENOTSUP, "input: cannot decode its %s", name);
    }
    return 0;
}

int input_decode_open(struct input_decode **out, const struct input_decode_setup *setup,
                      struct format *format, struct err *err)
{
    struct input_decode *d = calloc(1, sizeof *d);
    if (!d) {
        return err_set(err, -ENOMEM, "input: out of memory");
    }
    d->frames = setup->frames;
    d->wanted = setup->wanted;
    d->picture = av_frame_alloc();
    d->pool = pool_new((size_t)64 << 20);
    int code = d->picture && d->pool ? open_codec(d, setup, err)
                                     : err_set(err, -ENOMEM, "input: out of memory");
    if (code < 0) {
        input_decode_close(d);
        return code;
    }
    const AVCodecParameters *p = setup->codec;
    *format = result_format(d, (enum AVPixelFormat)p->format, p->width, p->height,
                            (int)p->color_range, (int)p->color_space);
    *out = d;
    return 0;
}

void input_decode_close(struct input_decode *d)
{
    if (d) {
        avcodec_free_context(&d->codec);
        av_frame_free(&d->picture);
        sws_freeContext(d->scaler);
        pool_free(d->pool);
        free(d);
    }
}

int input_decode_send(struct input_decode *d, const struct AVPacket *packet)
{
    return avcodec_send_packet(d->codec, packet);
}

void input_decode_flush(struct input_decode *d)
{
    avcodec_flush_buffers(d->codec);
}

/* The decoder's own planes. */
static struct frame *wrap(struct input_decode *d, const struct format *f)
{
    uint8_t *const *data = d->picture->data;
    const int *linesize = d->picture->linesize;
    const uint8_t *plane[FORMAT_MAX_PLANES] = { data[0], data[1], data[2] };
    int stride[FORMAT_MAX_PLANES] = { linesize[0], linesize[1], linesize[2] };
    size_t offset[FORMAT_MAX_PLANES];
    int tight[FORMAT_MAX_PLANES];
    struct frame *frame = input_frames_picture(d->frames, d->picture);
    if (!frame) {
        return NULL;
    }
    for (int i = 0; i < format_info(f->id)->planes; i++) {
        frame->plane[i] = plane[i];
        frame->stride[i] = stride[i];
    }
    frame->data = plane[0];
    frame->size = format_layout(f, 0, offset, tight);
    return frame;
}

static bool prepare_scaler(struct input_decode *d, const struct format *f)
{
    const AVFrame *p = d->picture;
    bool full = p->color_range == AVCOL_RANGE_JPEG;
    enum AVPixelFormat from = plain_format((enum AVPixelFormat)p->format, &full);
    d->scaler = sws_getCachedContext(d->scaler, p->width, p->height, from, f->width, f->height,
                                     av_format(f->id), SWS_BILINEAR | SWS_ACCURATE_RND, NULL, NULL,
                                     NULL);
    if (!d->scaler) {
        return false;
    }
    const int *matrix =
        sws_getCoefficients(f->matrix == COLOR_MATRIX_709 ? SWS_CS_ITU709 : SWS_CS_ITU601);
    /* Refused only where neither side is YUV: then there is nothing to set. */
    (void)sws_setColorspaceDetails(d->scaler, matrix, full || is_rgb(from), matrix,
                                   f->range == COLOR_RANGE_FULL, 0, 1 << 16, 1 << 16);
    return true;
}

static struct frame *convert(struct input_decode *d, const struct format *f)
{
    size_t offset[FORMAT_MAX_PLANES];
    int stride[FORMAT_MAX_PLANES];
    size_t size = format_layout(f, 0, offset, stride);
    struct frame *frame = prepare_scaler(d, f) ? pool_get(d->pool, size) : NULL;
    if (!frame) {
        return NULL;
    }
    uint8_t *to[4] = { 0 };
    int to_stride[4] = { 0 };
    for (int i = 0; i < format_info(f->id)->planes; i++) {
        to[i] = frame->buffer + offset[i];
        to_stride[i] = stride[i];
    }
    (void)sws_scale(d->scaler, (const uint8_t *const *)d->picture->data, d->picture->linesize, 0,
                    d->picture->height, to, to_stride); /* whole pictures cannot fail */
    frame->format = *f;
    frame->data = frame->buffer;
    frame->size = size;
    (void)frame_set_planes(frame, 0); /* the size is the layout's */
    av_frame_unref(d->picture);
    return frame;
}

static bool fits_as_it_is(const struct input_decode *d, const struct format *f)
{
    bool full;
    enum AVPixelFormat plain = plain_format((enum AVPixelFormat)d->picture->format, &full);
    for (int i = 0; i < format_info(f->id)->planes; i++) {
        if (d->picture->linesize[i] <= 0) { /* upside down */
            return false;
        }
    }
    return our_format(plain) == f->id;
}

int input_decode_receive(struct input_decode *d, struct frame **out, int64_t *time)
{
    int code = avcodec_receive_frame(d->codec, d->picture);
    if (code < 0) {
        return code;
    }
    const AVFrame *p = d->picture;
    struct format f = result_format(d, (enum AVPixelFormat)p->format, p->width, p->height,
                                    (int)p->color_range, (int)p->colorspace);
    size_t offset[FORMAT_MAX_PLANES];
    int stride[FORMAT_MAX_PLANES];
    if (format_layout(&f, 0, offset, stride) == 0) {
        av_frame_unref(d->picture);
        return AVERROR_INVALIDDATA; /* larger than we take */
    }
    int64_t stamp = p->best_effort_timestamp;
    struct frame *frame = fits_as_it_is(d, &f) ? wrap(d, &f) : convert(d, &f);
    if (!frame) {
        av_frame_unref(d->picture);
        return AVERROR(ENOMEM);
    }
    frame->format = f;
    *time = stamp;
    *out = frame;
    return 0;
}
