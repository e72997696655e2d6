/* SPDX-License-Identifier: MIT */
#include "h264_codec.h"

#include <errno.h>
#include <string.h>

#include <libavcodec/avcodec.h>
#include <libavutil/opt.h>

#include "encoder.h"
#include "workers.h"

#define DEFAULT_FPS   30
#define MAX_THREADS   4
#define THREAD_PIXELS (640 * 360) /* a slice below this costs more than its thread gains */

/* ---- which ---- */

int h264_codec_candidates(const struct encode_config *config, const char *names[H264_CANDIDATES],
                          struct err *err)
{
    static const char *const software[] = { "libx264", "libopenh264" };
    int count = 0;
    if (config->encoder) {
        const AVCodec *codec = avcodec_find_encoder_by_name(config->encoder);
        if (!codec || codec->id != AV_CODEC_ID_H264) {
            (void)err_set(err, -ENOENT, "--encoder %s: this libavcodec has no such H.264 encoder",
                          config->encoder);
            return 0;
        }
        names[count++] = config->encoder;
        return count;
    }
    for (size_t i = 0; i < sizeof software / sizeof software[0]; i++) {
        if (avcodec_find_encoder_by_name(software[i])) {
            names[count++] = software[i];
        }
    }
    if (!count) {
        (void)err_set(err, -ENOENT,
                      "no H.264 encoder: libavcodec was built without libx264 and libopenh264");
    }
    return count;
}

static const enum AVPixelFormat *pixel_formats(const AVCodec *codec)
{
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(61, 13, 100)
    const void *list = NULL;
    (void)avcodec_get_supported_config(NULL, codec, AV_CODEC_CONFIG_PIX_FORMAT, 0, &list, NULL);
    return list;
#else
    return codec->pix_fmts;
#endif
}

bool h264_codec_takes_nv12(const char *name)
{
    const AVCodec *codec = avcodec_find_encoder_by_name(name);
    const enum AVPixelFormat *format = codec ? pixel_formats(codec) : NULL;
    for (; format && *format != AV_PIX_FMT_NONE; format++) {
        if (*format == AV_PIX_FMT_NV12) {
            return true;
        }
    }
    return false;
}

/* ---- opening ---- */

static AVRational frame_rate(const struct format *f)
{
    bool known = f->fps_num > 0 && f->fps_den > 0;
    return known ? (AVRational){ f->fps_num, f->fps_den } : (AVRational){ DEFAULT_FPS, 1 };
}

static int slice_threads(const struct encode_config *config, const struct format *f)
{
    int cores = config->threads > 0 ? config->threads : workers_cores(MAX_THREADS);
    int useful = f->width * f->height / THREAD_PIXELS;
    return useful < 1 ? 1 : useful < cores ? useful : cores;
}

static void set_colour(AVCodecContext *ctx, const struct format *f)
{
    struct format_color_codes codes = format_color_codes(f); /* libavutil uses them, too */
    ctx->color_range = f->range == COLOR_RANGE_FULL ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
    ctx->color_primaries = (enum AVColorPrimaries)codes.primaries;
    ctx->color_trc = (enum AVColorTransferCharacteristic)codes.transfer;
    ctx->colorspace = (enum AVColorSpace)codes.matrix;
}

/* `scale`: nominal rate of pictures over the real one. The buffer is half a second of the link, so that
 * a key frame cannot hold up the rest for longer. */
static void set_rate(AVCodecContext *ctx, int64_t bitrate, double scale)
{
    ctx->bit_rate = (int64_t)((double)bitrate * scale);
    ctx->rc_max_rate = ctx->bit_rate;
    ctx->rc_buffer_size = (int)(bitrate / 2);
}

static void set_parameters(AVCodecContext *ctx, const struct encode_config *config,
                           const struct format *f, int64_t bitrate)
{
    AVRational rate = frame_rate(f);
    ctx->width = f->width & ~1;
    ctx->height = f->height & ~1;
    ctx->pix_fmt = f->id == FORMAT_NV12 ? AV_PIX_FMT_NV12 : AV_PIX_FMT_YUV420P;
    ctx->time_base = (AVRational){ 1, 1000000 };
    ctx->framerate = rate;
    ctx->gop_size = config->gop > 0 ? (int)config->gop
                                    : (int)((2 * rate.num + rate.den - 1) / rate.den);
    ctx->max_b_frames = 0;
    ctx->thread_type = FF_THREAD_SLICE;
    ctx->thread_count = slice_threads(config, f);
    ctx->flags |= AV_CODEC_FLAG_LOW_DELAY;
    ctx->log_level_offset = AV_LOG_ERROR; /* only its errors reach stderr */
    set_colour(ctx, f);
    set_rate(ctx, bitrate, 1);
}

/* Private options; the ones an encoder does not know stay in *options. */
static void set_options(AVDictionary **options, const char *name, const char *preset)
{
    bool x264 = strcmp(name, "libx264") == 0;
    if (x264) {
        (void)av_dict_set(options, "tune", "zerolatency", 0);
    }
    if (preset || x264) {
        (void)av_dict_set(options, "preset", preset ? preset : "ultrafast", 0);
    }
    (void)av_dict_set(options, "forced-idr", "1", 0); /* a key frame asked for is an IDR */
}

static int open_context(AVCodecContext *ctx, const AVCodec *codec,
                        const struct encode_config *config, struct err *err)
{
    AVDictionary *options = NULL;
    set_options(&options, codec->name, config->preset);
    int rc = avcodec_open2(ctx, codec, &options);
    bool refused = rc == 0 && config->preset && av_dict_get(options, "preset", NULL, 0);
    av_dict_free(&options);
    if (refused) {
        return err_set(err, -EINVAL, "--preset %s: %s has no presets", config->preset, codec->name);
    }
    if (rc < 0) {
        char why[AV_ERROR_MAX_STRING_SIZE];
        return err_set(err, rc > -4096 ? rc : -EIO, "%s does not open for %dx%d: %s", codec->name,
                       ctx->width, ctx->height, av_make_error_string(why, sizeof why, rc));
    }
    return 0;
}

int h264_codec_open(struct AVCodecContext **out, const struct h264_codec_setup *setup,
                    struct err *err)
{
    const AVCodec *codec = avcodec_find_encoder_by_name(setup->name);
    AVCodecContext *ctx = codec ? avcodec_alloc_context3(codec) : NULL;
    if (!ctx) {
        return err_set(err, codec ? -ENOMEM : -ENOENT, "%s: cannot be made", setup->name);
    }
    set_parameters(ctx, setup->config, setup->picture, setup->bitrate);
    ctx->opaque = setup->opaque;
    if (setup->get_buffer && (codec->capabilities & AV_CODEC_CAP_DR1)) {
        ctx->get_encode_buffer = setup->get_buffer;
    }
    int rc = open_context(ctx, codec, setup->config, err);
    if (rc) {
        avcodec_free_context(&ctx);
        return rc;
    }
    *out = ctx;
    return 0;
}

bool h264_codec_is_live(const struct AVCodecContext *ctx)
{
    /* libavcodec's wrapper compares the rates with x264's at every picture and reconfigures it. */
    return strcmp(ctx->codec->name, "libx264") == 0;
}

void h264_codec_set_rate(struct AVCodecContext *ctx, int64_t bitrate, double scale)
{
    set_rate(ctx, bitrate, scale);
}

double h264_codec_nominal_us(const struct AVCodecContext *ctx)
{
    return 1e6 * ctx->framerate.den / ctx->framerate.num;
}
