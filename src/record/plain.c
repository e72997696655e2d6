/* SPDX-License-Identifier: MIT */
/*
 * libavformat's demuxer and muxer around two files. The index is reserved in front by the number of
 * samples (moov_size), so one pass is enough; what it does not need becomes a `free` box.
 */
#include "plain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libavformat/avformat.h>

#include "boxes.h"
#include "disk.h"
#include "moof.h"
#include "mp4.h"
#include "mp4_header.h"
#include "pcs/bytes.h"

#define IO_BUFFER   (256 * 1024)
#define FLUSH_BYTES (8 * 1024 * 1024) /* dirty pages go out in pieces of this */
#define SPARE_BYTES (1024 * 1024) /* … and a quarter of the file: recording goes on meanwhile */

/* Upper bounds of libavformat's index: stts, ctts, stsz, stss and sdtp per sample; stsc and co64 per
 * chunk, which is a sample or, of small ones, at least half a megabyte. */
#define INDEX_FIXED      4096
#define INDEX_PER_SAMPLE 32
#define INDEX_PER_CHUNK  20
#define CHUNK_BYTES      (512 * 1024)

struct side {
    AVFormatContext *ctx;
    AVIOContext *io;
    int fd;
    int64_t pos, size;
    int64_t pushed; /* written to the disk up to here */
    int error;      /* the first errno of the file */
};

struct copy {
    const struct mp4_closed *file;
    bool (*cancelled)(void *arg);
    void *arg;
    struct side in, out;
    uint64_t samples;
};

static int read_side(void *opaque, uint8_t *buf, int size)
{
    struct side *s = opaque;
    int n = disk_read_at(s->fd, (uint64_t)s->pos, buf, (size_t)size);
    if (n < 0) {
        s->error = s->error ? s->error : n;
        return n;
    }
    s->pos += n;
    return n > 0 ? n : AVERROR_EOF;
}

/* Start writing out the newest piece, wait for the one before: at most two are ever dirty. */
static void push_out(struct side *s)
{
    if (s->pos - s->pushed < FLUSH_BYTES) {
        return;
    }
    (void)sync_file_range(s->fd, s->pushed, s->pos - s->pushed, SYNC_FILE_RANGE_WRITE);
    if (s->pushed >= FLUSH_BYTES) {
        (void)sync_file_range(s->fd, s->pushed - FLUSH_BYTES, FLUSH_BYTES,
                              SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                                  SYNC_FILE_RANGE_WAIT_AFTER);
    }
    s->pushed = s->pos;
}

#if LIBAVFORMAT_VERSION_MAJOR >= 61
static int write_side(void *opaque, const uint8_t *buf, int size)
#else
static int write_side(void *opaque, uint8_t *buf, int size)
#endif
{
    struct side *s = opaque;
    for (int done = 0; done < size;) {
        ssize_t n = pwrite(s->fd, buf + done, (size_t)(size - done), (off_t)(s->pos + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            s->error = s->error ? s->error : n < 0 ? -errno : -EIO;
            return s->error;
        }
        done += (int)n;
    }
    s->pos += size;
    s->size = s->pos > s->size ? s->pos : s->size;
    push_out(s);
    return size;
}

static int64_t seek_side(void *opaque, int64_t offset, int whence)
{
    struct side *s = opaque;
    int64_t base = whence == SEEK_CUR ? s->pos : whence == SEEK_END ? s->size : 0;
    if (whence & AVSEEK_SIZE) {
        return s->size;
    }
    if (base + offset < 0) {
        return AVERROR(EINVAL);
    }
    return s->pos = base + offset;
}

static int open_io(struct side *s, int fd, bool writing)
{
    struct stat st;
    if (fstat(fd, &st) < 0) {
        return -errno;
    }
    s->fd = fd;
    s->size = st.st_size;
    uint8_t *buffer = av_malloc(IO_BUFFER);
    if (!buffer) {
        return -ENOMEM;
    }
    s->io = avio_alloc_context(buffer, IO_BUFFER, writing, s, writing ? NULL : read_side,
                               writing ? write_side : NULL, seek_side);
    if (!s->io) {
        av_free(buffer);
        return -ENOMEM;
    }
    return 0;
}

static void close_io(struct side *s)
{
    if (s->io) {
        av_freep(&s->io->buffer);
        avio_context_free(&s->io);
    }
}

static int open_input(struct copy *c)
{
    const AVInputFormat *mov = av_find_input_format("mov");
    int ret = open_io(&c->in, c->file->fd, false);
    if (ret < 0 || !mov) {
        return ret < 0 ? ret : -ENOSYS;
    }
    c->in.ctx = avformat_alloc_context();
    if (!c->in.ctx) {
        return -ENOMEM;
    }
    c->in.ctx->pb = c->in.io;
    c->in.ctx->flags |= AVFMT_FLAG_CUSTOM_IO | AVFMT_FLAG_NOPARSE | AVFMT_FLAG_NOFILLIN;
    ret = avformat_open_input(&c->in.ctx, NULL, mov, NULL);
    return ret < 0 ? ret : c->in.ctx->nb_streams == 1 ? 0 : -EBADMSG;
}

static int64_t index_size(const struct copy *c)
{
    int64_t chunks = (int64_t)c->samples;
    int64_t by_bytes = 2 * (c->in.size / CHUNK_BYTES + 1);
    chunks = chunks < by_bytes ? chunks : by_bytes;
    return INDEX_FIXED + c->in.ctx->streams[0]->codecpar->extradata_size +
           (int64_t)c->samples * INDEX_PER_SAMPLE + chunks * INDEX_PER_CHUNK;
}

static int add_track(struct copy *c)
{
    AVStream *from = c->in.ctx->streams[0];
    AVStream *to = avformat_new_stream(c->out.ctx, NULL);
    if (!to) {
        return -ENOMEM;
    }
    int ret = avcodec_parameters_copy(to->codecpar, from->codecpar);
    to->codecpar->codec_tag = 0;
    to->time_base = from->time_base;
    to->sample_aspect_ratio = from->sample_aspect_ratio;
    return ret;
}

static void copy_creation_time(struct copy *c)
{
    AVDictionaryEntry *e = av_dict_get(c->in.ctx->metadata, "creation_time", NULL, 0);
    if (e) {
        (void)av_dict_set(&c->out.ctx->metadata, e->key, e->value, 0); /* only informative */
    }
}

static int write_header(struct copy *c)
{
    AVDictionary *options = NULL;
    int ret = av_dict_set_int(&options, "moov_size", index_size(c), 0);
    ret = ret < 0 ? ret : av_dict_set_int(&options, "use_editlist", 0, 0);
    ret = ret < 0 ? ret : av_dict_set_int(&options, "video_track_timescale", MOOF_TIMESCALE, 0);
    ret = ret < 0 ? ret : avformat_write_header(c->out.ctx, &options);
    av_dict_free(&options);
    return ret;
}

static int open_output(struct copy *c, int fd)
{
    int ret = open_io(&c->out, fd, true);
    if (ret < 0) {
        return ret;
    }
    ret = avformat_alloc_output_context2(&c->out.ctx, NULL, "mp4", NULL);
    if (ret < 0) {
        return ret;
    }
    c->out.ctx->pb = c->out.io;
    c->out.ctx->flags |= AVFMT_FLAG_CUSTOM_IO;
    c->out.ctx->avoid_negative_ts = AVFMT_AVOID_NEG_TS_DISABLED;
    ret = add_track(c);
    copy_creation_time(c);
    return ret < 0 ? ret : write_header(c);
}

static int copy_packet(struct copy *c, AVPacket *packet)
{
    int ret = av_read_frame(c->in.ctx, packet);
    if (ret < 0) {
        return ret;
    }
    av_packet_rescale_ts(packet, c->in.ctx->streams[0]->time_base,
                         c->out.ctx->streams[0]->time_base);
    packet->pos = -1;
    if (c->samples + 1 == c->file->samples) {
        packet->duration = c->file->last_duration;
    }
    ret = av_write_frame(c->out.ctx, packet);
    av_packet_unref(packet);
    c->samples++;
    return ret < 0 ? ret : c->out.error;
}

static int copy_packets(struct copy *c)
{
    AVPacket *packet = av_packet_alloc();
    int ret = packet ? 0 : -ENOMEM;
    c->samples = 0;
    while (ret >= 0) {
        if (c->cancelled && c->cancelled(c->arg)) {
            ret = -ECANCELED;
            break;
        }
        ret = copy_packet(c, packet);
    }
    av_packet_free(&packet);
    if (ret != AVERROR_EOF) {
        return ret;
    }
    ret = av_write_trailer(c->out.ctx);
    avio_flush(c->out.io);
    return ret;
}

/* Whatever libavformat says, the files' own errors count, and nothing may be missing. */
static int copy_result(const struct copy *c, int ret)
{
    if (c->out.error || c->in.error) {
        return c->out.error ? c->out.error : c->in.error;
    }
    if (ret < -4095) {
        return -EBADMSG; /* libavformat's own codes are no errno */
    }
    return ret < 0 ? ret : c->samples == c->file->samples ? 0 : -EBADMSG;
}

static int read_out(void *arg, uint64_t offset, void *buf, size_t size)
{
    return disk_read_at(*(int *)arg, offset, buf, size);
}

/* Where the first `free` box of a file begins, and its size; 0: there is none among the first few. */
static uint64_t find_free(int fd, uint32_t *size)
{
    uint64_t at = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t head[8];
        if (disk_read_at(fd, at, head, sizeof head) != (int)sizeof head) {
            return 0;
        }
        struct reader r = reader_on(head, sizeof head);
        *size = read_be32(&r);
        if (memcmp(head + 4, "free", 4) == 0) {
            return at;
        }
        at += *size;
    }
    return 0;
}

/* What the index left over of its place becomes the mark and a smaller `free`. A file without mark is
 * whole, too: it is only nobody's to remove. */
static void put_mark(const struct copy *c)
{
    uint8_t bytes[MP4_MARK_BYTES + 8];
    struct writer w = writer_on(bytes, sizeof bytes);
    int in = c->in.fd;
    struct box_source source = { .read = read_out, .arg = &in, .size = (uint64_t)c->in.size };
    struct box_mark mark;
    uint32_t size = 0;
    uint64_t at = find_free(c->out.fd, &size);
    if (at == 0 || size < sizeof bytes || boxes_find_mark(&source, &mark) < 0) {
        return;
    }
    mp4_mark_write(&w, mark.codec, mark.wall_us);
    write_be32(&w, size - MP4_MARK_BYTES);
    write_bytes(&w, "free", 4);
    (void)!pwrite(c->out.fd, bytes, sizeof bytes,
                  (off_t)at); /* the bytes are there: no new space */
}

static int copy_all(struct copy *c, int fd)
{
    c->samples = c->file->samples;
    int ret = open_input(c);
    ret = ret < 0 ? ret : open_output(c, fd);
    ret = ret < 0 ? ret : copy_packets(c);
    ret = copy_result(c, ret);
    if (ret == 0) {
        put_mark(c);
    }
    avformat_close_input(&c->in.ctx);
    avformat_free_context(c->out.ctx);
    close_io(&c->in);
    close_io(&c->out);
    return ret < 0 ? ret : disk_sync(fd);
}

/* A copy must not take the last space away from what is being recorded. */
static int check_room(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0) {
        return -errno;
    }
    uint64_t need = (uint64_t)st.st_size + (uint64_t)st.st_size / 4 + SPARE_BYTES;
    return disk_has_room(fd, need) ? 0 : -ENOSPC;
}

static char *temporary_name(const char *path)
{
    char *out = NULL;
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash + 1 - path) : 0;
    if (asprintf(&out, "%.*s.%s.%ld.tmp", folder, path, path + folder, (long)getpid()) < 0) {
        return NULL;
    }
    return out;
}

/* A recovery that runs elsewhere may take the new name for a stale one until it is locked. */
static int make_temporary(const char *name, int like)
{
    struct stat st;
    if (fstat(like, &st) < 0) {
        return -errno;
    }
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return -errno;
    }
    int ret = disk_lock(fd);
    if (ret == -EWOULDBLOCK || !disk_is_same(fd, name)) {
        close(fd);
        return -EBUSY;
    }
    (void)!fchown(fd, st.st_uid, st.st_gid); /* matters only when root mends another's file */
    (void)fchmod(fd, st.st_mode & 07777);
    return fd;
}

static int keep_times(int fd, int from)
{
    struct stat st;
    if (fstat(from, &st) < 0) {
        return -errno;
    }
    struct timespec times[2] = { st.st_atim, st.st_mtim };
    return futimens(fd, times) < 0 ? -errno : 0;
}

static int replace(const char *temporary, int fd, const struct mp4_closed *file)
{
    if (!disk_is_same(file->fd, file->path)) {
        return -ESTALE;
    }
    (void)keep_times(fd, file->fd); /* the age of a recording is when it was made */
    if (rename(temporary, file->path) < 0) {
        return -errno;
    }
    return disk_sync_folder(file->path);
}

int plain_make(const struct mp4_closed *file, bool (*cancelled)(void *arg), void *arg)
{
    struct copy c = { .file = file, .cancelled = cancelled, .arg = arg };
    if (!disk_is_same(file->fd, file->path)) {
        return -ESTALE;
    }
    int ret = check_room(file->fd);
    if (ret < 0) {
        return ret;
    }
    char *name = temporary_name(file->path);
    if (!name) {
        return -ENOMEM;
    }
    int fd = make_temporary(name, file->fd);
    ret = fd < 0 ? fd : copy_all(&c, fd);
    ret = ret < 0 ? ret : replace(name, fd, file);
    if (fd >= 0) {
        if (ret < 0 && disk_is_same(fd, name)) {
            (void)unlink(name); /* else the next start removes it */
        }
        close(fd);
    }
    free(name);
    return ret;
}
