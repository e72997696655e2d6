/* SPDX-License-Identifier: MIT */
/*
 * The `input` source: any file or stream that libavformat reads, in real time. H.264 and JPEG pass
 * through as they are; the rest, and what the user wants in another codec, is decoded to raw pictures.
 */
#include <errno.h>
#include <libavcodec/bsf.h>
#include <stdlib.h>
#include <unistd.h>

#include "capture/source.h"
#include "input_clock.h"
#include "input_decode.h"
#include "input_demux.h"
#include "input_frames.h"
#include "pace.h"
#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/log.h"
#include "pcs/stop.h"

#define DEFAULT_FPS 25
/* Packets of a local file are read in batches: libavformat's code and tables have left the caches by
 * the time a single next frame is due. */
#define AHEAD 8

struct input_config {
    const char *url;
    bool loop;
};

struct source {
    const struct input_config *config;
    struct source_wish wish;
    struct stop *stop;
    struct input_demux demux;
    AVBSFContext *filter;         /* when packets pass through */
    struct input_decode *decoder; /* when they do not */
    AVPacket *packet;
    struct input_frames *frames;
    struct format format;
    struct input_clock clock;
    int timer;
    bool ended;                 /* the filter or decoder is being drained */
    bool any;                   /* a frame came since the beginning: a loop over nothing must end */
    struct frame *ahead[AHEAD]; /* read, and not yet due */
    unsigned ahead_first, ahead_count;
};

static const struct option_def input_options[] = {
    { .name = "input",
      .type = OPTION_STRING,
      .offset = offsetof(struct input_config, url),
      .arg = "URL",
      .help = "a file or stream that FFmpeg reads, instead of a camera" },
    { .name = "loop",
      .type = OPTION_FLAG,
      .offset = offsetof(struct input_config, loop),
      .help = "begin the input file again at its end" },
};

static bool input_implied(const void *config)
{
    return ((const struct input_config *)config)->url != NULL;
}

static void input_close(struct source *s)
{
    if (!s) {
        return;
    }
    for (; s->ahead_count > 0; s->ahead_count--) {
        frame_unref(s->ahead[s->ahead_first++]);
    }
    input_decode_close(s->decoder);
    av_bsf_free(&s->filter);
    av_packet_free(&s->packet);
    input_demux_close(&s->demux);
    input_frames_free(s->frames);
    if (s->timer >= 0) {
        close(s->timer);
    }
    free(s);
}

static enum format_id stream_format(const struct source *s)
{
    switch (s->demux.stream->codecpar->codec_id) {
    case AV_CODEC_ID_H264:
        return FORMAT_H264;
    case AV_CODEC_ID_MJPEG:
        return FORMAT_JPEG;
    default:
        return FORMAT_NONE;
    }
}

static bool passes_through(const struct source *s)
{
    enum format_id id = stream_format(s);
    enum format_id wanted = s->wish.format ? s->wish.format : s->wish.codec;
    return id != FORMAT_NONE && (wanted == FORMAT_NONE || wanted == id);
}

/* JPEGs, and H.264 whose parameter sets are not an avcC (which begins with its version, 1). */
static bool has_start_codes(const AVCodecParameters *p)
{
    return p->codec_id != AV_CODEC_ID_H264 || p->extradata_size == 0 || p->extradata[0] != 1;
}

static int open_filter(struct source *s, struct err *err)
{
    const AVCodecParameters *p = s->demux.stream->codecpar;
    s->format.id = stream_format(s);
    s->format.width = p->width;
    s->format.height = p->height;
    input_colors(&s->format, (int)p->color_range, (int)p->color_space);
    if (has_start_codes(p)) {
        return 0;
    }
    /* From MP4's length-prefixed form to start codes. */
    const char *name = stream_format(s) == FORMAT_H264 ? "h264_mp4toannexb" : "null";
    const AVBitStreamFilter *filter = av_bsf_get_by_name(name);
    int code = filter ? av_bsf_alloc(filter, &s->filter) : AVERROR_BSF_NOT_FOUND;
    if (code >= 0) {
        code = avcodec_parameters_copy(s->filter->par_in, p);
    }
    if (code >= 0) {
        s->filter->time_base_in = s->demux.stream->time_base;
        code = av_bsf_init(s->filter);
    }
    if (code < 0) {
        return input_demux_fail(&s->demux, code, "cannot repack its packets", err);
    }
    return 0;
}

static int open_decoder(struct source *s, struct err *err)
{
    const struct input_decode_setup setup = {
        .codec = s->demux.stream->codecpar,
        .time_base_num = s->demux.stream->time_base.num,
        .time_base_den = s->demux.stream->time_base.den,
        .live = s->demux.live,
        .wanted = s->wish.format,
        .frames = s->frames,
    };
    if (format_info(s->wish.format)->compressed) {
        return err_set(err, -EINVAL, "--format %s: the input is %s",
                       format_info(s->wish.format)->name, avcodec_get_name(setup.codec->codec_id));
    }
    return input_decode_open(&s->decoder, &setup, &s->format, err);
}

static void set_rate(struct source *s)
{
    AVRational rate = av_guess_frame_rate(s->demux.context, s->demux.stream, NULL);
    if (!s->demux.timed && s->wish.fps > 0) {
        rate = (AVRational){ s->wish.fps, 1 };
    }
    bool known = rate.num > 0 && rate.den > 0;
    s->format.fps_num = known ? rate.num : 0;
    s->format.fps_den = known ? rate.den : 1;
    s->clock = (struct input_clock){
        .live = s->demux.live,
        .frame_us = known ? av_rescale(CLOCK_S, rate.den, rate.num) : CLOCK_S / DEFAULT_FPS,
    };
}

static void log_opened(const struct source *s)
{
    char text[64];
    log_info("%s: %s, %s%s", s->demux.name, format_describe(&s->format, text, sizeof text),
             s->decoder ? "decoded from " : "passed through",
             s->decoder ? avcodec_get_name(s->demux.stream->codecpar->codec_id) : "");
    if ((s->wish.width > 0 && s->wish.width != s->format.width) ||
        (s->wish.height > 0 && s->wish.height != s->format.height)) {
        log_warn("%s: the input's size stays; --width and --height are for cameras", s->demux.name);
    }
}

static int start(struct source *s, struct err *err)
{
    s->timer = pace_timer();
    s->packet = av_packet_alloc();
    s->frames = input_frames_new();
    if (s->timer < 0 || !s->packet || !s->frames) {
        return err_set(err, s->timer < 0 ? s->timer : -ENOMEM, "input: out of memory or files");
    }
    int code = input_demux_open(&s->demux, s->config->url, s->stop, err);
    if (code == 0) {
        code = passes_through(s) ? open_filter(s, err) : open_decoder(s, err);
    }
    if (code == 0) {
        set_rate(s);
        log_opened(s);
    }
    return code;
}

static int input_open(struct source **out, const struct source_wish *wish, const void *config,
                      struct stop *stop, struct format *format, struct err *err)
{
    struct source *s = calloc(1, sizeof *s);
    if (!s) {
        return err_set(err, -ENOMEM, "input: out of memory");
    }
    s->config = config;
    s->wish = *wish;
    s->stop = stop;
    s->timer = -1;
    int code = s->config->url ? start(s, err)
                              : err_set(err, -EINVAL, "--source input needs --input");
    if (code < 0) {
        input_close(s);
        return code;
    }
    *format = s->format;
    *out = s;
    return 0;
}

static int64_t to_us(const struct source *s, int64_t time)
{
    return time == AV_NOPTS_VALUE || !s->demux.timed
               ? INPUT_NO_TIME
               : av_rescale_q(time, s->demux.stream->time_base, (AVRational){ 1, 1000000 });
}

/* Back to the first packet, with everything downstream empty. */
static int rewind_input(struct source *s)
{
    int code = input_demux_rewind(&s->demux);
    if (code < 0) {
        return code;
    }
    if (s->decoder) {
        input_decode_flush(s->decoder);
    } else if (s->filter) {
        av_bsf_flush(s->filter);
    }
    s->ended = false;
    s->any = false;
    return 0;
}

static int at_end(struct source *s, struct err *err)
{
    if (s->demux.live && !s->demux.pipe) {
        return err_set(err, -EIO, "--input %s: the stream ended", s->demux.name);
    }
    if (!s->config->loop || !s->any || s->demux.pipe) {
        return -ENODATA;
    }
    if (rewind_input(s) < 0) {
        log_warn("%s: cannot be read again, so --loop ends here", s->demux.name);
        return -ENODATA;
    }
    return -EAGAIN;
}

/* One packet into the filter or decoder. 0, or our error. */
static int feed(struct source *s, unsigned *lost, struct err *err)
{
    int code = input_demux_read(&s->demux, s->packet);
    if (code < 0 && code != AVERROR_EOF) {
        return input_demux_fail(&s->demux, code, "cannot read on", err);
    }
    AVPacket *packet = code == AVERROR_EOF ? NULL : s->packet;
    s->ended = !packet;
    if (!s->decoder && !s->filter) {
        return 0; /* it is what we want as it is */
    }
    code = s->decoder ? input_decode_send(s->decoder, packet)
                      : av_bsf_send_packet(s->filter, packet);
    av_packet_unref(s->packet);
    if (code == AVERROR(ENOMEM)) {
        return input_demux_fail(&s->demux, code, "cannot go on", err);
    }
    *lost += code < 0 && packet; /* damaged: the next one may be better */
    return 0;
}

static int receive_packet(struct source *s, struct frame **out)
{
    int code = s->filter         ? av_bsf_receive_packet(s->filter, s->packet)
               : s->packet->data ? 0
                                 : AVERROR(EAGAIN);
    if (code < 0) {
        return code;
    }
    int64_t dts = s->packet->dts, pts = s->packet->pts;
    bool key = s->format.id == FORMAT_JPEG || s->packet->flags & AV_PKT_FLAG_KEY;
    struct frame *frame = input_frames_packet(s->frames, s->packet);
    if (!frame) {
        av_packet_unref(s->packet);
        return AVERROR(ENOMEM);
    }
    int64_t stamp_us = to_us(s, dts == AV_NOPTS_VALUE ? pts : dts);
    frame->format = s->format;
    frame->flags = key ? FRAME_KEY : 0;
    frame->capture_us = input_clock_next(&s->clock, stamp_us, clock_now_us());
    if (s->demux.timed && dts != AV_NOPTS_VALUE && pts != AV_NOPTS_VALUE && pts > dts) {
        frame->pts_delay_us = to_us(s, pts) - to_us(s, dts);
    }
    *out = frame;
    return 0;
}

static int receive_picture(struct source *s, struct frame **out)
{
    int64_t time;
    int code = input_decode_receive(s->decoder, out, &time);
    if (code < 0) {
        return code;
    }
    struct frame *frame = *out;
    frame->format.fps_num = s->format.fps_num;
    frame->format.fps_den = s->format.fps_den;
    frame->flags = FRAME_KEY;
    frame->capture_us = input_clock_next(&s->clock, to_us(s, time), clock_now_us());
    return 0;
}

static int pace(struct source *s, struct frame *frame)
{
    int code = s->demux.live ? 0 : pace_wait(s->timer, s->stop, frame->capture_us);
    if (code < 0) {
        frame_unref(frame);
    }
    return code;
}

/* One frame, without waiting until it is due; -EAGAIN: not yet, ask again. */
static int read_frame(struct source *s, struct frame **out, unsigned *lost, struct err *err)
{
    int code = s->decoder ? receive_picture(s, out) : receive_packet(s, out);
    if (code >= 0) {
        s->any = true;
        return 0;
    }
    if (code == AVERROR_EOF || (code == AVERROR(EAGAIN) && s->ended)) {
        return at_end(s, err);
    }
    if (code == AVERROR(ENOMEM)) {
        return input_demux_fail(&s->demux, code, "cannot go on", err);
    }
    *lost += code != AVERROR(EAGAIN);
    if (s->ended) {
        return -EAGAIN; /* a damaged picture while draining: ask for the next */
    }
    code = feed(s, lost, err);
    return code < 0 ? code : -EAGAIN;
}

static bool reads_ahead(const struct source *s)
{
    return !s->demux.live && !s->decoder && !s->demux.pipe && input_demux_is_local(&s->demux);
}

/* The frames that come next, at least one. What ends the batch is met again by the next. */
static int fill(struct source *s, unsigned *lost, struct err *err)
{
    unsigned wanted = reads_ahead(s) ? AHEAD : 1, tries = 4 * wanted;
    int code = 0;
    s->ahead_first = s->ahead_count = 0;
    while (s->ahead_count < wanted && tries-- > 0 && (code == 0 || code == -EAGAIN)) {
        code = read_frame(s, &s->ahead[s->ahead_count], lost, err);
        s->ahead_count += code == 0;
    }
    return s->ahead_count > 0 ? 0 : code;
}

static int input_next(struct source *s, const struct frame **out, unsigned *lost, struct err *err)
{
    if (s->ahead_count == 0) {
        int code = fill(s, lost, err);
        if (code < 0) {
            return code;
        }
    }
    struct frame *frame = s->ahead[s->ahead_first++];
    s->ahead_count--;
    *out = frame;
    return pace(s, frame);
}

const struct source_backend source_input = {
    .name = "input",
    .options = input_options,
    .option_count = OPTION_COUNT(input_options),
    .config_size = sizeof(struct input_config),
    .implied = input_implied,
    .open = input_open,
    .next = input_next,
    .close = input_close,
};
