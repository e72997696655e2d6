/* SPDX-License-Identifier: MIT */
#include "mp4_header.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libavformat/avformat.h>

#include "moof.h"
#include "params.h"
#include "pcs/bytes.h"
#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/h264_scan.h"

static bool find_sps(const struct params *params, struct h264_sps *sps)
{
    struct h264_nal nal;
    size_t pos = 0;
    while (h264_next_nal(params->data, params->size, &pos, &nal)) {
        if (nal.type == H264_NAL_SPS && h264_parse_sps(nal.data, nal.size, sps) == 0) {
            return true;
        }
    }
    return false;
}

/* libavformat writes down all of it or nothing, so what is open is guessed as players do: 170M. */
static void set_color(AVCodecParameters *par, bool full, int primaries, int transfer, int matrix)
{
    bool open = primaries == AVCOL_PRI_UNSPECIFIED, curve = transfer != AVCOL_TRC_UNSPECIFIED;
    par->color_range = full ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
    par->color_primaries = open ? AVCOL_PRI_SMPTE170M : (enum AVColorPrimaries)primaries;
    par->color_trc = curve ? (enum AVColorTransferCharacteristic)transfer : AVCOL_TRC_SMPTE170M;
    par->color_space = (enum AVColorSpace)matrix;
}

/* Size and colours: the stream itself knows best, what it leaves open is the sender's word. */
static void set_picture(AVCodecParameters *par, const struct frame *first,
                        const struct params *params)
{
    struct format_color_codes codes = format_color_codes(&first->format);
    struct h264_sps sps;
    par->width = first->format.width;
    par->height = first->format.height;
    set_color(par, first->format.range == COLOR_RANGE_FULL, codes.primaries, codes.transfer,
              codes.matrix);
    if (!find_sps(params, &sps)) {
        return;
    }
    par->width = sps.width;
    par->height = sps.height;
    if (sps.matrix != AVCOL_SPC_UNSPECIFIED) {
        set_color(par, sps.full_range, sps.primaries, sps.transfer, sps.matrix);
    }
}

/* Annex B extradata: libavformat makes the avcC, of all the sets. */
static int set_params(AVCodecParameters *par, const struct params *params)
{
    if (params->size == 0) {
        return 0;
    }
    par->extradata = av_mallocz(params->size + AV_INPUT_BUFFER_PADDING_SIZE);
    if (!par->extradata) {
        return -ENOMEM;
    }
    memcpy(par->extradata, params->data, params->size);
    par->extradata_size = (int)params->size;
    return 0;
}

static int add_track(AVFormatContext *ctx, const struct frame *first, const struct params *params)
{
    AVStream *st = avformat_new_stream(ctx, NULL);
    if (!st) {
        return -ENOMEM;
    }
    st->time_base = (AVRational){ 1, MOOF_TIMESCALE };
    st->codecpar->codec_type = AVMEDIA_TYPE_VIDEO;
    st->codecpar->codec_id = first->format.id == FORMAT_H264 ? AV_CODEC_ID_H264 : AV_CODEC_ID_MJPEG;
    set_picture(st->codecpar, first, params);
    return set_params(st->codecpar, params);
}

static void set_creation_time(AVFormatContext *ctx, int64_t wall_us)
{
    char text[40];
    struct tm tm;
    time_t seconds = (time_t)(wall_us / CLOCK_S);
    if (gmtime_r(&seconds, &tm) && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) > 0) {
        (void)av_dict_set(&ctx->metadata, "creation_time", text, 0); /* only informative */
    }
}

static int write_header(AVFormatContext *ctx, uint8_t **out, int *size)
{
    AVDictionary *options = NULL;
    int ret = avio_open_dyn_buf(&ctx->pb);
    if (ret < 0) {
        return ret;
    }
    if (av_dict_set(&options, "movflags", "empty_moov+default_base_moof+frag_custom", 0) < 0) {
        ret = -ENOMEM;
    }
    ret = ret < 0 ? ret : avformat_write_header(ctx, &options);
    av_dict_free(&options);
    *size = avio_close_dyn_buf(ctx->pb, out);
    ctx->pb = NULL;
    return ret < 0 ? ret : 0;
}

static int make_boxes(const struct frame *first, const struct params *params, uint8_t **out,
                      int *size)
{
    AVFormatContext *ctx = NULL;
    int ret = avformat_alloc_output_context2(&ctx, NULL, "mp4", NULL);
    if (ret >= 0) {
        ret = add_track(ctx, first, params);
    }
    if (ret >= 0) {
        set_creation_time(ctx, first->wall_us);
        ret = write_header(ctx, out, size);
    }
    avformat_free_context(ctx);
    return ret;
}

void mp4_mark_write(struct writer *w, uint32_t codec, int64_t wall_us)
{
    write_be32(w, MP4_MARK_BYTES);
    write_bytes(w, "free" MP4_MARK_MAGIC, 12);
    write_be32(w, MP4_MARK_VERSION);
    write_be32(w, codec);
    write_be64(w, (uint64_t)wall_us);
}

/* The mark goes behind ftyp, so that one short read finds it. */
static int splice_mark(const struct frame *first, const uint8_t *boxes, size_t size, uint8_t **out)
{
    struct reader r = reader_on(boxes, size);
    size_t ftyp = read_be32(&r);
    if (ftyp < 8 || ftyp > size) {
        return -EBADMSG;
    }
    uint8_t *head = malloc(size + MP4_MARK_BYTES);
    if (!head) {
        return -ENOMEM;
    }
    struct writer w = writer_on(head, size + MP4_MARK_BYTES);
    write_bytes(&w, boxes, ftyp);
    uint32_t codec = first->format.id == FORMAT_H264 ? MP4_CODEC_H264 : MP4_CODEC_JPEG;
    mp4_mark_write(&w, codec, first->wall_us);
    write_bytes(&w, boxes + ftyp, size - ftyp);
    *out = head;
    return 0;
}

int mp4_header_make(const struct frame *first, const struct params *params, uint8_t **out,
                    size_t *size)
{
    uint8_t *boxes = NULL;
    int bytes = 0;
    int ret = make_boxes(first, params, &boxes, &bytes);
    if (ret >= 0) {
        ret = splice_mark(first, boxes, (size_t)bytes, out);
        *size = (size_t)bytes + MP4_MARK_BYTES;
    }
    av_free(boxes);
    return ret < -4095 ? -EINVAL : ret; /* libavformat's own codes are no errno */
}
