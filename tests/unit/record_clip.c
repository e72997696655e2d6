/* SPDX-License-Identifier: MIT */
#include "record_clip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>

#include "pcs/frame.h"

struct packet {
    uint8_t *data;
    size_t size;
    bool key;
    int64_t pts_delay; /* frames */
};

struct clip {
    struct format format;
    struct packet *packet;
    int count;
};

static atomic_int alive;

static void paint(AVFrame *f, int n)
{
    uint32_t noise = (uint32_t)n * 2654435761u + 1;
    for (int p = 0; p < 3; p++) {
        int w = p ? f->width / 2 : f->width, h = p ? f->height / 2 : f->height;
        for (int y = 0; y < h; y++) {
            for (int x = 0; x < w; x++) {
                noise = noise * 1664525u + 1013904223u;
                f->data[p][y * f->linesize[p] + x] =
                    (uint8_t)(64 + ((x + y + n * 3) & 63) + (noise >> 28));
            }
        }
    }
}

static AVCodecContext *open_encoder(const struct clip_options *o)
{
    const AVCodec *codec = avcodec_find_encoder_by_name(o->jpeg ? "mjpeg" : "libx264");
    assert_non_null(codec);
    AVCodecContext *c = avcodec_alloc_context3(codec);
    c->width = o->width;
    c->height = o->height;
    c->time_base = (AVRational){ 1, 30 };
    c->framerate = (AVRational){ 30, 1 };
    c->pix_fmt = o->jpeg ? AV_PIX_FMT_YUVJ420P : AV_PIX_FMT_YUV420P;
    c->color_range = o->jpeg ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
    c->gop_size = o->gop;
    c->max_b_frames = o->bframes;
    c->bit_rate = o->bitrate;
    c->thread_count = 1;
    if (o->jpeg) {
        c->qmin = c->qmax = 4; /* every frame of the same size, about */
    }
    if (!o->jpeg) {
        assert_int_equal(av_opt_set(c->priv_data, "preset", "ultrafast", 0), 0);
        if (!o->bframes) {
            assert_int_equal(av_opt_set(c->priv_data, "tune", "zerolatency", 0), 0);
        }
        if (o->x264) {
            assert_int_equal(av_opt_set(c->priv_data, "x264-params", o->x264, 0), 0);
        }
    }
    assert_int_equal(avcodec_open2(c, codec, NULL), 0);
    return c;
}

static void take_packets(struct clip *clip, AVCodecContext *c, AVPacket *packet, int64_t *next_dts)
{
    while (avcodec_receive_packet(c, packet) == 0) {
        struct packet *p = &clip->packet[clip->count++];
        p->data = malloc((size_t)packet->size);
        memcpy(p->data, packet->data, (size_t)packet->size);
        p->size = (size_t)packet->size;
        p->key = packet->flags & AV_PKT_FLAG_KEY;
        p->pts_delay = packet->pts - packet->dts;
        (*next_dts)++;
        av_packet_unref(packet);
    }
}

struct clip *clip_new(const struct clip_options *options)
{
    struct clip_options o = *options;
    o.width = o.width ? o.width : 320;
    o.height = o.height ? o.height : 180;
    o.frames = o.frames ? o.frames : 60;
    o.gop = o.gop ? o.gop : 10;
    av_log_set_level(AV_LOG_ERROR);
    struct clip *clip = calloc(1, sizeof *clip);
    clip->format = (struct format){ .id = o.jpeg ? FORMAT_JPEG : FORMAT_H264,
                                    .width = o.width,
                                    .height = o.height,
                                    .fps_num = 30,
                                    .fps_den = 1,
                                    .range = o.jpeg ? COLOR_RANGE_FULL : COLOR_RANGE_LIMITED,
                                    .matrix = o.jpeg ? COLOR_MATRIX_601 : COLOR_MATRIX_709 };
    clip->packet = calloc((size_t)o.frames, sizeof *clip->packet);
    AVCodecContext *c = open_encoder(&o);
    AVPacket *packet = av_packet_alloc();
    AVFrame *picture = av_frame_alloc();
    int64_t dts = 0;
    for (int i = 0; i < o.frames; i++) {
        picture->format = c->pix_fmt;
        picture->width = o.width;
        picture->height = o.height;
        picture->color_range = c->color_range;
        assert_int_equal(av_frame_get_buffer(picture, 0), 0);
        paint(picture, i);
        picture->pts = i;
        assert_int_equal(avcodec_send_frame(c, picture), 0);
        av_frame_unref(picture);
        take_packets(clip, c, packet, &dts);
    }
    assert_int_equal(avcodec_send_frame(c, NULL), 0);
    take_packets(clip, c, packet, &dts);
    assert_int_equal(clip->count, o.frames);
    av_frame_free(&picture);
    av_packet_free(&packet);
    avcodec_free_context(&c);
    return clip;
}

void clip_free(struct clip *clip)
{
    for (int i = 0; clip && i < clip->count; i++) {
        free(clip->packet[i].data);
    }
    free(clip ? clip->packet : NULL);
    free(clip);
}

int clip_frames(const struct clip *clip)
{
    return clip->count;
}

static void release(struct frame *frame)
{
    free(frame->buffer);
    free(frame);
    atomic_fetch_sub(&alive, 1);
}

int clip_frames_alive(void)
{
    return atomic_load(&alive);
}

struct frame *clip_frame(const struct clip *clip, int i, uint64_t seq, int64_t capture_us)
{
    const struct packet *p = &clip->packet[i % clip->count];
    struct frame *frame = malloc(sizeof *frame);
    frame_init(frame, release, NULL);
    atomic_fetch_add(&alive, 1);
    frame->format = clip->format;
    frame->flags = p->key ? FRAME_KEY : 0;
    frame->seq = seq;
    frame->capture_us = capture_us;
    frame->wall_us = INT64_C(1750000000000000) + capture_us;
    frame->pts_delay_us = p->pts_delay * 1000000 / 30;
    frame->buffer = malloc(p->size);
    memcpy(frame->buffer, p->data, p->size);
    frame->data = frame->buffer;
    frame->size = frame->capacity = p->size;
    return frame;
}

/* Of its own, so that it does not share a mistake with what it tests. 3-byte codes are fine too. */
static size_t next_code(const uint8_t *d, size_t n, size_t at)
{
    while (at + 3 <= n && !(d[at] == 0 && d[at + 1] == 0 && d[at + 2] == 1)) {
        at++;
    }
    return at + 3 <= n ? at : n;
}

static uint8_t *annexb_to_lengths(const uint8_t *d, size_t n, size_t *size)
{
    uint8_t *out = malloc(2 * n + 16);
    *size = 0;
    for (size_t at = next_code(d, n, 0); at < n;) {
        size_t start = at + 3, end = next_code(d, n, start), next = end;
        while (end > start && d[end - 1] == 0) {
            end--;
        }
        int type = d[start] & 31;
        if (type < 7 || type > 9) {
            size_t len = end - start;
            uint8_t head[4] = { (uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8),
                                (uint8_t)len };
            memcpy(out + *size, head, 4);
            memcpy(out + *size + 4, d + start, len);
            *size += 4 + len;
        }
        at = next;
    }
    return out;
}

uint8_t *clip_sample(const struct frame *frame, size_t *size)
{
    if (frame->format.id == FORMAT_H264) {
        return annexb_to_lengths(frame->data, frame->size, size);
    }
    uint8_t *out = malloc(frame->size);
    memcpy(out, frame->data, frame->size);
    *size = frame->size;
    return out;
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void read_boxes(struct readback *r, const char *path)
{
    uint8_t head[16];
    off_t at = 0;
    bool mdat = false;
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    while (pread(fd, head, sizeof head, at) >= 8) {
        uint64_t size = be32(head);
        size = size == 1 ? (uint64_t)be32(head + 8) << 32 | be32(head + 12) : size;
        mdat |= memcmp(head + 4, "mdat", 4) == 0;
        r->fragmented |= memcmp(head + 4, "moof", 4) == 0;
        r->index_first |= memcmp(head + 4, "moov", 4) == 0 && !mdat;
        r->has_mark |= memcmp(head + 4, "freepcs-rec\n", 12) == 0;
        if (size < 8) {
            break;
        }
        at += (off_t)size;
    }
    close(fd);
}

static void read_samples(struct readback *r, AVFormatContext *ctx)
{
    AVPacket *packet = av_packet_alloc();
    int ret, space = 0;
    while ((ret = av_read_frame(ctx, packet)) >= 0) {
        if (packet->flags & AV_PKT_FLAG_CORRUPT) { /* the file ends within it */
            r->clean = false;
            av_packet_unref(packet);
            continue;
        }
        if (r->count == space) {
            space = space ? space * 2 : 256;
            r->sample = realloc(r->sample, (size_t)space * sizeof *r->sample);
        }
        struct sample *s = &r->sample[r->count++];
        *s = (struct sample){ packet->dts,
                              packet->pts,
                              packet->duration,
                              packet->flags & AV_PKT_FLAG_KEY,
                              malloc((size_t)packet->size),
                              (size_t)packet->size };
        memcpy(s->data, packet->data, s->size);
        av_packet_unref(packet);
    }
    r->clean &= ret == AVERROR_EOF && !ctx->pb->error;
    av_packet_free(&packet);
}

void readback_open(struct readback *r, const char *path)
{
    char url[4200];
    AVFormatContext *ctx = avformat_alloc_context();
    memset(r, 0, sizeof *r);
    r->clean = true;
    read_boxes(r, path);
    snprintf(url, sizeof url, "file:%s", path);
    ctx->flags |= AVFMT_FLAG_NOFILLIN | AVFMT_FLAG_NOPARSE;
    assert_int_equal(avformat_open_input(&ctx, url, NULL, NULL), 0);
    assert_int_equal(ctx->nb_streams, 1);
    assert_int_equal(ctx->streams[0]->time_base.den, 90000);
    r->width = ctx->streams[0]->codecpar->width;
    r->height = ctx->streams[0]->codecpar->height;
    r->color_range = (int)ctx->streams[0]->codecpar->color_range;
    r->color_space = (int)ctx->streams[0]->codecpar->color_space;
    r->color_primaries = (int)ctx->streams[0]->codecpar->color_primaries;
    r->color_transfer = (int)ctx->streams[0]->codecpar->color_trc;
    read_samples(r, ctx);
    r->duration = ctx->streams[0]->duration;
    avformat_close_input(&ctx);
}

void readback_close(struct readback *r)
{
    for (int i = 0; i < r->count; i++) {
        free(r->sample[i].data);
    }
    free(r->sample);
    memset(r, 0, sizeof *r);
}

void expect_frames(const struct readback *r, int at, struct frame *const *frames, int count)
{
    assert_true(at + count <= r->count);
    for (int i = 0; i < count; i++) {
        const struct sample *s = &r->sample[at + i];
        int64_t since_us = frames[i]->capture_us - frames[0]->capture_us;
        int64_t delay = frames[i]->pts_delay_us * 9 / 100;
        size_t size;
        uint8_t *want = clip_sample(frames[i], &size);
        assert_int_equal(s->size, size);
        assert_memory_equal(s->data, want, size);
        assert_int_equal(s->key, (frames[i]->flags & FRAME_KEY) != 0);
        assert_in_range(s->dts - r->sample[at].dts + 1, since_us * 9 / 100, since_us * 9 / 100 + 2);
        assert_in_range(s->pts - s->dts + 1, delay, delay + 2);
        free(want);
    }
}

void expect_plays(const char *path, bool warnings_allowed)
{
    int out[2], status;
    char text[2000] = "";
    size_t have = 0;
    ssize_t n;
    assert_int_equal(pipe(out), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out[1], 1);
        dup2(out[1], 2);
        close(out[0]);
        execlp("ffmpeg", "ffmpeg", "-nostdin", "-v", warnings_allowed ? "fatal" : "warning",
               "-xerror", "-i", path, "-f", "null", "-", (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    while ((n = read(out[0], text + have, sizeof text - 1 - have)) > 0) {
        have += (size_t)n;
    }
    close(out[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_string_equal(text, "");
    assert_int_equal(status, 0);
}

char *scratch_new(void)
{
    const char *tmp = getenv("TMPDIR");
    char *folder = NULL;
    assert_true(asprintf(&folder, "%s/pcs-record-XXXXXX", tmp ? tmp : "/tmp") > 0);
    assert_non_null(mkdtemp(folder));
    return folder;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void scratch_free(char *folder)
{
    (void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(folder);
}

char *scratch_path(const char *folder, const char *name)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
    return path;
}

int scratch_count(const char *folder)
{
    int count = 0;
    struct dirent *e;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    while ((e = readdir(dir))) {
        count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    }
    closedir(dir);
    return count;
}
