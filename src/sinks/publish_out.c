/* SPDX-License-Identifier: MIT */
#include "publish_out.h"

#include <errno.h>
#include <fcntl.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/h264_scan.h"
#include "pcs/stop.h"
#include "pcs/thread.h"
#include "publish_url.h"

#define PATIENCE_US  (10 * CLOCK_S) /* for connecting, and for one frame */
#define PARAMS_MAX   4096
#define MAX_NUMBERED 100000
#define TS_PACKETS   "1316" /* seven packets of 188 bytes: fits every network */

struct publish_out {
    const struct publish_place *place;
    AVFormatContext *mux;
    AVPacket *packet;
    bool opened, announced; /* what has to be undone */
    bool patient;           /* the other side may take its time to come */
    char *file;
    int fd;     /* of a pipe or device, which is there already; else -1 */
    bool empty; /* the file is ours, and has no frame yet */
    struct format format;
    uint8_t params[PARAMS_MAX]; /* SPS and PPS in Annex B */
    size_t params_size;
    int64_t first_us, last_ticks; /* last_ticks < 0: no frame yet */
    int64_t deadline_us;
};

/* ---- errors and time ---- */

/* libav asks now and then during everything that may block. */
static int interrupted(void *arg)
{
    const struct publish_out *o = arg;
    return stop_requested(o->place->stop) || clock_now_us() > o->deadline_us;
}

static void be_patient(struct publish_out *o)
{
    o->deadline_us = o->patient ? INT64_MAX : clock_now_us() + PATIENCE_US;
}

static int fail(const struct publish_out *o, int av_code, const char *what, struct err *err)
{
    char text[AV_ERROR_MAX_STRING_SIZE] = "";
    if (stop_requested(o->place->stop)) {
        return -ECANCELED;
    }
    if (av_code == AVERROR_EXIT) {
        return err_set(err, -ETIMEDOUT, "%s: no answer for %d s", what,
                       (int)(PATIENCE_US / CLOCK_S));
    }
    (void)av_strerror(av_code, text, sizeof text); /* unknown codes give a text, too */
    return err_set(err, -EIO, "%s: %s", what, text);
}

/* ---- what there is ---- */

static const AVOutputFormat *find_format(const struct publish_url *parsed)
{
    return av_guess_format(parsed->format, parsed->path, NULL);
}

static bool has_protocol(const char *name)
{
    void *state = NULL;
    const char *each;
    if (strncmp(name, "rtsp", 4) == 0) {
        return true; /* a muxer of its own, over what is always there */
    }
    while ((each = avio_enum_protocols(&state, 1))) {
        if (strcmp(each, name) == 0) {
            return true;
        }
    }
    return false;
}

/* "folder/name": can a file be made there? */
static int check_folder(const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/');
    char folder[1024] = ".";
    if (slash) {
        (void)snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path),
                       path);
    }
    if (access(path, F_OK) != 0 && access(folder, W_OK | X_OK) != 0) {
        int code = -errno;
        return err_set(err, code, "--publish %s: cannot make a file there: %s", path,
                       err_text(code));
    }
    return 0;
}

static int codecs_of(const AVOutputFormat *format)
{
    /* Some containers do not say; H.264 is what all that are offered here take. */
    int jpeg = avformat_query_codec(format, AV_CODEC_ID_MJPEG, FF_COMPLIANCE_NORMAL);
    int h264 = avformat_query_codec(format, AV_CODEC_ID_H264, FF_COMPLIANCE_NORMAL);
    bool only_jpeg = format->video_codec == AV_CODEC_ID_MJPEG && h264 != 1;
    return (jpeg == 1 ? PUBLISH_JPEG : 0) | (h264 != 0 && !only_jpeg ? PUBLISH_H264 : 0);
}

int publish_out_check(const struct publish_url *parsed, struct err *err)
{
    const AVOutputFormat *format = find_format(parsed);
    bool file = parsed->path != NULL;
    if (!has_protocol(parsed->protocol)) {
        return err_set(err, -EPROTONOSUPPORT, "--publish %s: this FFmpeg has no %s", parsed->shown,
                       parsed->protocol);
    }
    if (!format || (file && (format->flags & AVFMT_NOFILE || format->video_codec == 0))) {
        return err_set(err, -EINVAL, "--publish %s: %s", parsed->shown,
                       file ? "its name must end as .mkv, .mp4, .ts or the like"
                            : "this FFmpeg has not the container for it");
    }
    int code = file ? check_folder(parsed->path, err) : 0;
    if (code < 0) {
        return code;
    }
    int codecs = file ? codecs_of(format) : PUBLISH_H264;
    return codecs ? codecs
                  : err_set(err, -EINVAL, "--publish %s: a %s file holds no video of ours",
                            parsed->shown, format->name);
}

/* ---- the stream ---- */

static void append(struct publish_out *o, const struct h264_nal *nal)
{
    static const uint8_t start_code[4] = { 0, 0, 0, 1 };
    if (nal->size + sizeof start_code <= PARAMS_MAX - o->params_size) {
        memcpy(o->params + o->params_size, start_code, sizeof start_code);
        memcpy(o->params + o->params_size + sizeof start_code, nal->data, nal->size);
        o->params_size += sizeof start_code + nal->size;
    }
}

/* The parameter sets in front of a key frame's picture. */
static void collect_params(struct publish_out *o, const struct frame *key)
{
    struct h264_nal nal;
    size_t pos = 0;
    o->params_size = 0;
    while (key->format.id == FORMAT_H264 && h264_next_nal(key->data, key->size, &pos, &nal) &&
           nal.type != H264_NAL_IDR && nal.type != H264_NAL_SLICE) {
        if (nal.type == H264_NAL_SPS || nal.type == H264_NAL_PPS) {
            append(o, &nal);
        }
    }
}

bool publish_out_fits(const struct publish_out *o, const struct frame *key)
{
    struct publish_out other;
    collect_params(&other, key);
    return format_same(&o->format, &key->format) && other.params_size == o->params_size &&
           memcmp(other.params, o->params, o->params_size) == 0;
}

static int add_stream(struct publish_out *o)
{
    AVStream *st = avformat_new_stream(o->mux, NULL);
    if (!st) {
        return AVERROR(ENOMEM);
    }
    const struct format *f = &o->format;
    st->time_base = (AVRational){ 1, 90000 };
    st->codecpar->codec_type = AVMEDIA_TYPE_VIDEO;
    st->codecpar->codec_id = f->id == FORMAT_H264 ? AV_CODEC_ID_H264 : AV_CODEC_ID_MJPEG;
    st->codecpar->width = f->width;
    st->codecpar->height = f->height;
    if (f->fps_num > 0 && f->fps_den > 0) {
        st->avg_frame_rate = (AVRational){ f->fps_num, f->fps_den };
    }
    if (o->params_size == 0) {
        return 0;
    }
    st->codecpar->extradata = av_mallocz(o->params_size + AV_INPUT_BUFFER_PADDING_SIZE);
    if (!st->codecpar->extradata) {
        return AVERROR(ENOMEM);
    }
    memcpy(st->codecpar->extradata, o->params, o->params_size);
    st->codecpar->extradata_size = (int)o->params_size;
    return 0;
}

/* ---- files ---- */

static char *numbered(const char *path, unsigned i)
{
    char *out = NULL;
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    int stem = dot && dot > (slash ? slash + 1 : path) ? (int)(dot - path) : (int)strlen(path);
    if (i == 0) {
        return strdup(path);
    }
    return asprintf(&out, "%.*s-%u%s", stem, path, i, path + stem) < 0 ? NULL : out;
}

/* A pipe or device as it is. Who reads it may not be there, or not read: nothing may wait for that. */
static int open_special(struct publish_out *o, const char *path, struct err *err)
{
    o->file = strdup(path);
    o->fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    int code = !o->file ? -ENOMEM : o->fd < 0 ? -errno : 0;
    return code == 0 ? 0
                     : err_set(err, code == -ENOMEM ? code : -EIO, "cannot open '%s': %s", path,
                               code == -ENXIO ? "nobody reads it" : err_text(code));
}

/* A file of our own, empty, for libavformat to open. */
static int make_file(struct publish_out *o, const char *path, struct err *err)
{
    struct stat st;
    int fd = -EEXIST;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        return open_special(o, path, err);
    }
    for (unsigned i = 0; fd == -EEXIST && i < MAX_NUMBERED; i++) {
        free(o->file);
        o->file = numbered(path, i);
        fd = o->file ? open(o->file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0666)
                     : -ENOMEM;
        fd = o->file && fd < 0 ? -errno : fd;
    }
    if (fd < 0) {
        return err_set(err, -EIO, "cannot make the file '%s': %s", path, err_text(fd));
    }
    close(fd);
    o->empty = true;
    return 0;
}

/* ---- connecting ---- */

/* Each is for some muxers and protocols, and the others do not know it. */
static void set_options(AVDictionary **options, const char *query)
{
    (void)av_dict_set(options, "rtsp_transport", "tcp", 0); /* through every firewall */
    /* The key in the URL is for nobody else; FFmpeg by itself would not ask who the server is. */
    bool trusting = query && strstr(query, "tls_verify=0");
    (void)av_dict_set(options, "tls_verify", trusting ? "0" : "1", 0);
    (void)av_dict_set(options, "flvflags", "no_duration_filesize", 0);
    (void)av_dict_set(options, "movflags", "frag_keyframe+empty_moov+default_base_moof", 0);
    if (!query || !strstr(query, "pkt_size=")) {
        (void)av_dict_set(options, "pkt_size", TS_PACKETS, 0);
    }
}

static int open_io(struct publish_out *o, const char *url, AVDictionary **options)
{
    char path[1100];
    if (o->mux->oformat->flags & AVFMT_NOFILE) {
        return 0; /* the muxer connects by itself */
    }
    if (o->fd >= 0) {
        (void)snprintf(path, sizeof path, "pipe:%d", o->fd);
    } else if (o->file) {
        (void)snprintf(path, sizeof path, "file:%s", o->file);
    }
    int code = avio_open2(&o->mux->pb, o->file ? path : url, AVIO_FLAG_WRITE,
                          &o->mux->interrupt_callback, options);
    o->opened = code >= 0;
    return code;
}

static int connect_to(struct publish_out *o, const char **what)
{
    const struct publish_url *parsed = o->place->parsed;
    const char *url = o->place->url;
    AVDictionary *options = NULL;
    int code = avformat_alloc_output_context2(&o->mux, find_format(parsed), NULL, url);
    *what = "cannot begin";
    if (code < 0) {
        return code;
    }
    o->mux->interrupt_callback = (AVIOInterruptCB){ .callback = interrupted, .opaque = o };
    o->mux->flags |= AVFMT_FLAG_FLUSH_PACKETS;
    (void)av_dict_set(&o->mux->metadata, "title", o->place->title, 0); /* only informative */
    code = add_stream(o);
    set_options(&options, strchr(url, '?'));
    if (code >= 0) {
        *what = !parsed->path ? "cannot connect" : "cannot open the file";
        code = open_io(o, url, &options);
    }
    if (code >= 0) {
        *what = "cannot announce the stream";
        code = avformat_write_header(o->mux, &options);
        o->announced = code >= 0;
    }
    av_dict_free(&options);
    return code;
}

int publish_out_open(struct publish_out **out, const struct publish_place *place,
                     const struct frame *key, struct err *err)
{
    const char *path = place->parsed->path;
    struct publish_out *o = calloc(1, sizeof *o);
    if (!o) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    o->place = place;
    o->fd = -1;
    o->format = key->format;
    o->last_ticks = -1;
    o->patient = place->parsed->listens;
    collect_params(o, key);
    o->packet = av_packet_alloc();
    int code = o->packet ? 0 : err_set(err, -ENOMEM, "out of memory");
    if (code == 0 && path) {
        code = make_file(o, path, err);
    }
    if (code == 0) {
        const char *what;
        be_patient(o);
        thread_idle();
        code = connect_to(o, &what);
        thread_busy();
        code = code < 0 ? fail(o, code, what, err) : 0;
    }
    if (code < 0) {
        publish_out_close(o, false);
        return code;
    }
    o->patient = false;
    *out = o;
    return 0;
}

void publish_out_close(struct publish_out *o, bool whole)
{
    if (!o) {
        return;
    }
    o->patient = false;
    be_patient(o);
    thread_idle();
    if (o->announced) {
        if (!whole) {
            o->deadline_us = 0; /* the trailer is for its memory only: nothing goes out any more */
        }
        (void)av_write_trailer(o->mux); /* whoever is gone need not be told */
    }
    if (o->opened) {
        (void)avio_closep(&o->mux->pb);
    }
    thread_busy();
    if (o->empty) {
        (void)unlink(o->file); /* or a full disk fills with empty ones */
    }
    if (o->fd >= 0) {
        close(o->fd);
    }
    avformat_free_context(o->mux);
    av_packet_free(&o->packet);
    free(o->file);
    free(o);
}

/* ---- frames ---- */

static void release_frame(void *opaque, uint8_t *data)
{
    (void)data;
    frame_unref(opaque);
}

/* The packet shares the frame's bytes. */
static int fill_packet(struct publish_out *o, const struct frame *frame)
{
    AVPacket *p = o->packet;
    p->buf = av_buffer_create((uint8_t *)frame->data, frame->size, release_frame,
                              (void *)frame_ref(frame), AV_BUFFER_FLAG_READONLY);
    if (!p->buf) {
        frame_unref(frame);
        return AVERROR(ENOMEM);
    }
    p->data = p->buf->data;
    p->size = (int)frame->size;
    p->flags = frame->flags & FRAME_KEY ? AV_PKT_FLAG_KEY : 0;
    p->stream_index = 0;
    return 0;
}

/* Capture times, from the first frame on; always rising, also where a tick is a millisecond. */
static void set_times(struct publish_out *o, const struct frame *frame)
{
    AVRational us = { 1, 1000000 }, tick = o->mux->streams[0]->time_base;
    if (o->last_ticks < 0) {
        o->first_us = frame->capture_us;
    }
    int64_t dts = av_rescale_q(frame->capture_us - o->first_us, us, tick);
    dts = dts > o->last_ticks ? dts : o->last_ticks + 1;
    o->last_ticks = dts;
    o->packet->dts = dts;
    o->packet->pts = dts + av_rescale_q(frame->pts_delay_us, us, tick);
}

int publish_out_write(struct publish_out *o, const struct frame *frame, struct err *err)
{
    int code = fill_packet(o, frame);
    if (code >= 0) {
        set_times(o, frame);
        be_patient(o);
        thread_idle();
        code = av_write_frame(o->mux, o->packet);
        thread_busy();
    }
    av_packet_unref(o->packet);
    o->empty &= code < 0;
    return code < 0 ? fail(o, code, "cannot send", err) : 0;
}

int publish_out_sdp(const struct publish_out *o, char *text, size_t size)
{
    AVFormatContext *mux = o->mux;
    return av_sdp_create(&mux, 1, text, (int)size) < 0 ? -EIO : 0;
}

const char *publish_out_file(const struct publish_out *o)
{
    return o->file;
}
