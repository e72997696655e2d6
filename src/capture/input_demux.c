/* SPDX-License-Identifier: MIT */
#include "input_demux.h"

#include <errno.h>
#include <string.h>

#include "input_pipe.h"
#include "pcs/clock.h"
#include "pcs/err.h"
#include "pcs/format.h"
#include "pcs/stop.h"
#include "pcs/text.h"
#include "pcs/thread.h"

#define RAW_BYTES  "65536"
#define OPEN_US    (10 * CLOCK_S) /* the longest that connecting and probing may take */
#define SILENCE_US (5 * CLOCK_S)  /* a live stream that says nothing for so long is broken */
#define SERVER_US  (30 * CLOCK_S) /* … a server that keeps us waiting for a file */

/* libav asks now and then during everything that may block. */
static int interrupted(void *arg)
{
    const struct input_demux *d = arg;
    return stop_requested(d->stop) || (d->deadline_us != 0 && clock_now_us() > d->deadline_us);
}

static void be_patient(struct input_demux *d, int64_t patience_us)
{
    d->patience_us = patience_us;
    d->deadline_us = patience_us ? clock_now_us() + patience_us : 0;
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
static bool is_live(const struct input_demux *d)
{
    static const char *const streams[] = { "rtsp", "rtp",  "udp", "srt",  "rtmp",
                                           "tcp:", "unix", "sdp", "tls:", NULL };
    const AVIOContext *io = d->context->pb;
    if (is_local(d->url)) {
        return d->pipe != NULL;
    }
    if (starts_with_any(d->url, streams)) {
        return true;
    }
    return d->context->duration <= 0 && !(io && io->seekable & AVIO_SEEKABLE_NORMAL);
}

int input_demux_fail(const struct input_demux *d, int av_code, const char *what, struct err *err)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    if (av_code == AVERROR_EXIT && stop_requested(d->stop)) {
        return -ECANCELED;
    }
    if (av_code == AVERROR_EXIT) {
        return err_set(err, -ETIMEDOUT, "--input %s: nothing came for %d s", d->name,
                       (int)(d->patience_us / CLOCK_S));
    }
    (void)av_strerror(av_code, text, sizeof text); /* unknown codes give a text, too */
    bool useless = is_local(d->url) || av_code == AVERROR_PROTOCOL_NOT_FOUND ||
                   av_code == AVERROR_DEMUXER_NOT_FOUND;
    return err_set(err, useless ? -EINVAL : -EIO, "--input %s: %s: %s", d->name, what, text);
}

static int open_demuxer(struct input_demux *d, struct err *err)
{
    AVDictionary *options = NULL;
    d->context = avformat_alloc_context();
    if (!d->context) {
        return err_set(err, -ENOMEM, "input: out of memory");
    }
    d->context->interrupt_callback = (AVIOInterruptCB){ .callback = interrupted, .opaque = d };
    if (input_is_pipe(d->url)) {
        int code = input_pipe_open(&d->pipe, d->url, d->stop);
        if (code < 0) {
            return input_demux_fail(d, code, "cannot open it", err);
        }
        d->context->pb = d->pipe;
    }
    be_patient(d, d->pipe ? 0 : OPEN_US);
    /* Each is for some demuxers, and the others do not know it. A bare stream is read in pieces of
     * 1 KiB unless told otherwise, which costs more than all the rest of carrying it. */
    (void)av_dict_set(&options, "rtsp_flags", "prefer_tcp", 0);
    (void)av_dict_set(&options, "raw_packet_size", RAW_BYTES, 0);
    int code = avformat_open_input(&d->context, d->url, NULL, &options);
    av_dict_free(&options);
    if (code < 0) {
        return input_demux_fail(d, code, "cannot open it", err);
    }
    d->live = is_live(d);
    if (d->live) {
        d->context->max_analyze_duration = CLOCK_S;
        d->context->flags |= d->pipe ? 0 : AVFMT_FLAG_NOBUFFER; /* what was probed is old by then */
    }
    code = avformat_find_stream_info(d->context, NULL);
    return code < 0 ? input_demux_fail(d, code, "cannot read it", err) : 0;
}

static int find_stream(struct input_demux *d, struct err *err)
{
    int index = av_find_best_stream(d->context, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    if (index < 0) {
        return err_set(err, is_local(d->url) ? -EINVAL : -EIO,
                       "--input %s: there is no video in it", d->name);
    }
    for (unsigned i = 0; i < d->context->nb_streams; i++) {
        d->context->streams[i]->discard = i == (unsigned)index ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
    }
    d->stream = d->context->streams[index];
    const AVCodecParameters *p = d->stream->codecpar;
    if (p->width < 1 || p->height < 1 || p->width > FORMAT_MAX_SIZE ||
        p->height > FORMAT_MAX_SIZE) {
        return err_set(err, is_local(d->url) ? -EINVAL : -EIO,
                       "--input %s: a picture size of %dx%d is not supported", d->name, p->width,
                       p->height);
    }
    return 0;
}

int input_demux_open(struct input_demux *d, const char *url, struct stop *stop, struct err *err)
{
    d->url = url;
    d->stop = stop;
    text_show_url(url, d->name, sizeof d->name);
    int code = open_demuxer(d, err);
    if (code == 0) {
        code = find_stream(d, err);
    }
    if (code == 0) {
        /* Of a bare H.264 file libavformat makes stamps up, but does not claim to know its start. */
        d->timed = !(d->context->iformat->flags & AVFMT_NOTIMESTAMPS) &&
                   d->stream->start_time != AV_NOPTS_VALUE;
    }
    return code;
}

void input_demux_close(struct input_demux *d)
{
    avformat_close_input(&d->context);
    input_pipe_close(&d->pipe);
}

int input_demux_read(struct input_demux *d, AVPacket *packet)
{
    int code;
    be_patient(d, d->pipe || is_local(d->url) ? 0 : d->live ? SILENCE_US : SERVER_US);
    thread_idle(); /* a file or network may let us wait */
    while ((code = av_read_frame(d->context, packet)) >= 0 &&
           packet->stream_index != d->stream->index) {
        av_packet_unref(packet);
    }
    thread_busy();
    return code;
}

int input_demux_rewind(struct input_demux *d)
{
    int64_t start = d->context->start_time == AV_NOPTS_VALUE ? 0 : d->context->start_time;
    /* Bare and MPEG streams have no index to seek by, but begin where their file does. */
    bool by_byte = !d->timed || d->context->iformat->flags & AVFMT_TS_DISCONT;
    return by_byte ? av_seek_frame(d->context, -1, 0, AVSEEK_FLAG_BYTE)
                   : avformat_seek_file(d->context, -1, INT64_MIN, start, start, 0);
}

bool input_demux_is_local(const struct input_demux *d)
{
    return is_local(d->url);
}
