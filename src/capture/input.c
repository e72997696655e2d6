/* SPDX-License-Identifier: MIT */
/*
 * The `input` source: any file or stream that libavformat reads, in real time. H.264 and JPEG pass
 * through as they are; the rest, and what the user wants in another codec, is decoded to raw pictures.
 */
#include <errno.h>
#include <libavcodec/bsf.h>
#include <libavformat/avformat.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capture/source.h"
#include "input_clock.h"
#include "input_decode.h"
#include "input_frames.h"
#include "input_pipe.h"
#include "pace.h"
#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/log.h"
#include "pcs/stop.h"
#include "pcs/text.h"
#include "pcs/thread.h"

#define RAW_BYTES   "65536"
#define OPEN_US     (10 * CLOCK_S) /* the longest that connecting and probing may take */
#define SILENCE_US  (5 * CLOCK_S)  /* a live stream that says nothing for so long is broken */
#define SERVER_US   (30 * CLOCK_S) /* … a server that keeps us waiting for a file */
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
    char name[200]; /* of the input, for logs and viewers: without passwords */
    struct source_wish wish;
    struct stop *stop;
    AVIOContext *pipe; /* when the input is one */
    AVFormatContext *demux;
    AVStream *stream;
    AVBSFContext *filter;         /* when packets pass through */
    struct input_decode *decoder; /* when they do not */
    AVPacket *packet;
    struct input_frames *frames;
    struct format format;
    struct input_clock clock;
    int timer;
    bool live;                  /* comes in real time by itself */
    bool timed;                 /* has time stamps of its own */
    bool ended;                 /* the filter or decoder is being drained */
    bool any;                   /* a frame came since the beginning: a loop over nothing must end */
    struct frame *ahead[AHEAD]; /* read, and not yet due */
    unsigned ahead_first, ahead_count;
    int64_t patience_us; /* how long libav may wait; 0 = for ever */
    int64_t deadline_us; /* … until when, for the interrupt callback; 0 = for ever */
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

/* libav asks now and then during everything that may block. */
static int interrupted(void *arg)
{
    const struct source *s = arg;
    return stop_requested(s->stop) || (s->deadline_us != 0 && clock_now_us() > s->deadline_us);
}

static void be_patient(struct source *s, int64_t patience_us)
{
    s->patience_us = patience_us;
    s->deadline_us = patience_us ? clock_now_us() + patience_us : 0;
}

static bool is_local(const char *url)
{
    return !strstr(url, "://") || strncmp(url, "file:", 5) == 0;
}

static bool starts_with_any(const char *text, const char *const *starts)
{
    for (; *starts; starts++) {
        if (strncmp(text, *starts, strlen(*starts)) == 0) {
            return true;
        }
    }
    return false;
}

/* Does the other side set the pace? Pipes do; HTTP when it cannot be rewound and has no length. */
static bool is_live(const struct source *s)
{
    static const char *const streams[] = { "rtsp", "rtp",  "udp", "srt",  "rtmp",
                                           "tcp:", "unix", "sdp", "tls:", NULL };
    const AVIOContext *io = s->demux->pb;
    if (is_local(s->config->url)) {
        return s->pipe != NULL;
    }
    if (starts_with_any(s->config->url, streams)) {
        return true;
    }
    return s->demux->duration <= 0 && !(io && io->seekable & AVIO_SEEKABLE_NORMAL);
}

/* Turns libav's error into ours, with a line that names the input. */
static int fail(const struct source *s, int av_code, const char *what, struct err *err)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    if (av_code == AVERROR_EXIT && stop_requested(s->stop)) {
        return -ECANCELED;
    }
    if (av_code == AVERROR_EXIT) {
        return err_set(err, -ETIMEDOUT, "--input %s: nothing came for %d s", s->name,
                       (int)(s->patience_us / CLOCK_S));
    }
    (void)av_strerror(av_code, text, sizeof text); /* unknown codes give a text, too */
    bool useless = is_local(s->config->url) || av_code == AVERROR_PROTOCOL_NOT_FOUND ||
                   av_code == AVERROR_DEMUXER_NOT_FOUND;
    return err_set(err, useless ? -EINVAL : -EIO, "--input %s: %s: %s", s->name, what, text);
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
    avformat_close_input(&s->demux);
    input_pipe_close(&s->pipe);
    input_frames_free(s->frames);
    if (s->timer >= 0) {
        close(s->timer);
    }
    free(s);
}

static int open_demuxer(struct source *s, struct err *err)
{
    AVDictionary *options = NULL;
    s->demux = avformat_alloc_context();
    if (!s->demux) {
        return err_set(err, -ENOMEM, "input: out of memory");
    }
    s->demux->interrupt_callback = (AVIOInterruptCB){ .callback = interrupted, .opaque = s };
    if (input_is_pipe(s->config->url)) {
        int code = input_pipe_open(&s->pipe, s->config->url, s->stop);
        if (code < 0) {
            return fail(s, code, "cannot open it", err);
        }
        s->demux->pb = s->pipe;
    }
    be_patient(s, s->pipe ? 0 : OPEN_US);
    /* Each is for some demuxers, and the others do not know it. A bare stream is read in pieces of
     * 1 KiB unless told otherwise, which costs more than all the rest of carrying it. */
    (void)av_dict_set(&options, "rtsp_flags", "prefer_tcp", 0);
    (void)av_dict_set(&options, "raw_packet_size", RAW_BYTES, 0);
    int code = avformat_open_input(&s->demux, s->config->url, NULL, &options);
    av_dict_free(&options);
    if (code < 0) {
        return fail(s, code, "cannot open it", err);
    }
    s->live = is_live(s);
    if (s->live) {
        s->demux->max_analyze_duration = CLOCK_S;
        s->demux->flags |= s->pipe ? 0 : AVFMT_FLAG_NOBUFFER; /* what was probed is old by then */
    }
    code = avformat_find_stream_info(s->demux, NULL);
    return code < 0 ? fail(s, code, "cannot read it", err) : 0;
}

static int find_stream(struct source *s, struct err *err)
{
    int index = av_find_best_stream(s->demux, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    if (index < 0) {
        return err_set(err, is_local(s->config->url) ? -EINVAL : -EIO,
                       "--input %s: there is no video in it", s->name);
    }
    for (unsigned i = 0; i < s->demux->nb_streams; i++) {
        s->demux->streams[i]->discard = i == (unsigned)index ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
    }
    s->stream = s->demux->streams[index];
    const AVCodecParameters *p = s->stream->codecpar;
    if (p->width < 1 || p->height < 1 || p->width > FORMAT_MAX_SIZE ||
        p->height > FORMAT_MAX_SIZE) {
        return err_set(err, is_local(s->config->url) ? -EINVAL : -EIO,
                       "--input %s: a picture size of %dx%d is not supported", s->name, p->width,
                       p->height);
    }
    return 0;
}

static enum format_id stream_format(const struct source *s)
{
    switch (s->stream->codecpar->codec_id) {
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
    const AVCodecParameters *p = s->stream->codecpar;
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
        s->filter->time_base_in = s->stream->time_base;
        code = av_bsf_init(s->filter);
    }
    if (code < 0) {
        return fail(s, code, "cannot repack its packets", err);
    }
    return 0;
}

static int open_decoder(struct source *s, struct err *err)
{
    const struct input_decode_setup setup = {
        .codec = s->stream->codecpar,
        .time_base_num = s->stream->time_base.num,
        .time_base_den = s->stream->time_base.den,
        .live = s->live,
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
    AVRational rate = av_guess_frame_rate(s->demux, s->stream, NULL);
    /* Of a bare H.264 file libavformat makes stamps up, but does not claim to know its start. */
    s->timed = !(s->demux->iformat->flags & AVFMT_NOTIMESTAMPS) &&
               s->stream->start_time != AV_NOPTS_VALUE;
    if (!s->timed && s->wish.fps > 0) {
        rate = (AVRational){ s->wish.fps, 1 };
    }
    bool known = rate.num > 0 && rate.den > 0;
    s->format.fps_num = known ? rate.num : 0;
    s->format.fps_den = known ? rate.den : 1;
    s->clock = (struct input_clock){
        .live = s->live,
        .frame_us = known ? av_rescale(CLOCK_S, rate.den, rate.num) : CLOCK_S / DEFAULT_FPS,
    };
}

static void log_opened(const struct source *s)
{
    char text[64];
    log_info("%s: %s, %s%s", s->name, format_describe(&s->format, text, sizeof text),
             s->decoder ? "decoded from " : "passed through",
             s->decoder ? avcodec_get_name(s->stream->codecpar->codec_id) : "");
    if ((s->wish.width > 0 && s->wish.width != s->format.width) ||
        (s->wish.height > 0 && s->wish.height != s->format.height)) {
        log_warn("%s: the input's size stays; --width and --height are for cameras", s->name);
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
    int code = open_demuxer(s, err);
    if (code == 0) {
        code = find_stream(s, err);
    }
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
    if (s->config->url) {
        text_show_url(s->config->url, s->name, sizeof s->name);
    }
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
    return time == AV_NOPTS_VALUE || !s->timed
               ? INPUT_NO_TIME
               : av_rescale_q(time, s->stream->time_base, (AVRational){ 1, 1000000 });
}

/* Back to the first packet, with everything downstream empty. */
static int rewind_input(struct source *s)
{
    int64_t start = s->demux->start_time == AV_NOPTS_VALUE ? 0 : s->demux->start_time;
    /* Bare and MPEG streams have no index to seek by, but begin where their file does. */
    bool by_byte = !s->timed || s->demux->iformat->flags & AVFMT_TS_DISCONT;
    int code = by_byte ? av_seek_frame(s->demux, -1, 0, AVSEEK_FLAG_BYTE)
                       : avformat_seek_file(s->demux, -1, INT64_MIN, start, start, 0);
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
    if (s->live && !s->pipe) {
        return err_set(err, -EIO, "--input %s: the stream ended", s->name);
    }
    if (!s->config->loop || !s->any || s->pipe) {
        return -ENODATA;
    }
    if (rewind_input(s) < 0) {
        log_warn("%s: cannot be read again, so --loop ends here", s->name);
        return -ENODATA;
    }
    return -EAGAIN;
}

/* The next packet of our stream into s->packet. libav's error. */
static int read_packet(struct source *s)
{
    int code;
    be_patient(s, s->pipe || is_local(s->config->url) ? 0 : s->live ? SILENCE_US : SERVER_US);
    thread_idle(); /* a file or network may let us wait */
    while ((code = av_read_frame(s->demux, s->packet)) >= 0 &&
           s->packet->stream_index != s->stream->index) {
        av_packet_unref(s->packet);
    }
    thread_busy();
    return code;
}

/* One packet into the filter or decoder. 0, or our error. */
static int feed(struct source *s, unsigned *lost, struct err *err)
{
    int code = read_packet(s);
    if (code < 0 && code != AVERROR_EOF) {
        return fail(s, code, "cannot read on", err);
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
        return fail(s, code, "cannot go on", err);
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
    if (s->timed && dts != AV_NOPTS_VALUE && pts != AV_NOPTS_VALUE && pts > dts) {
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
    int code = s->live ? 0 : pace_wait(s->timer, s->stop, frame->capture_us);
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
        return fail(s, code, "cannot go on", err);
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
    return !s->live && !s->decoder && !s->pipe && is_local(s->config->url);
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
