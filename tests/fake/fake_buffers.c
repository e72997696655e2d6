/* SPDX-License-Identifier: MIT */
/*
 * Buffers and the sensor thread. As in the kernel's videobuf2: filled buffers wait in order; a frame
 * for which no buffer is queued is dropped and its number skipped; a stopped stream hands all buffers
 * back; mappings outlive the file handle, and until the last of them goes the device stays busy.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fake_real.h"
#include "fake_state.h"

enum { QUEUED, DONE };

int64_t fake_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* The fd may be a blocking one. */
void fake_calm(int fd)
{
    struct pollfd ready = { .fd = fd, .events = POLLIN };
    uint64_t count;
    if (real_calls()->poll(&ready, 1, 0) > 0 && read(fd, &count, sizeof count) < 0) {
        return; /* someone else was quicker */
    }
}

static void push(struct fake *f, int list, unsigned index)
{
    f->order[list][f->length[list]++] = index;
}

static unsigned pop(struct fake *f, int list)
{
    unsigned index = f->order[list][0];
    f->length[list]--;
    memmove(f->order[list], f->order[list] + 1, f->length[list] * sizeof f->order[list][0]);
    return index;
}

static void free_piece(const struct fake *f, struct fake_piece *piece, int i)
{
    if (piece->pixels) {
        (void)real_calls()->munmap(piece->pixels, f->mode.size[i]);
        (void)real_calls()->close(piece->memory); /* mappings of the reader live on */
    }
    *piece = (struct fake_piece){ .memory = -1 };
}

void fake_free_buffers_locked(struct fake *f)
{
    for (unsigned i = 0; i < f->buffer_count; i++) {
        for (int k = 0; k < f->mode.pieces; k++) {
            free_piece(f, &f->buffer[i].piece[k], k);
        }
    }
    f->buffer_count = 0;
    f->length[QUEUED] = f->length[DONE] = 0;
}

static int allocate_piece(struct fake_piece *piece, size_t size)
{
    int fd = memfd_create("v4l2fake", MFD_CLOEXEC);
    if (fd < 0) {
        return -ENOMEM;
    }
    void *at = MAP_FAILED;
    if (ftruncate(fd, (off_t)size) == 0) {
        at = real_calls()->mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (at == MAP_FAILED) {
        (void)real_calls()->close(fd);
        return -ENOMEM;
    }
    *piece = (struct fake_piece){ .memory = fd, .pixels = at };
    return 0;
}

static int allocate(struct fake *f, unsigned count)
{
    int code = 0;
    f->buffer_count = count;
    for (unsigned i = 0; i < count; i++) {
        memset(f->buffer[i].piece, 0, sizeof f->buffer[i].piece);
        for (int k = 0; k < f->mode.pieces && code == 0; k++) {
            code = allocate_piece(&f->buffer[i].piece[k], f->mode.size[k]);
        }
    }
    if (code < 0) {
        fake_free_buffers_locked(f);
    }
    return code;
}

/* Bytes in front of the picture, in each piece. */
static size_t front_of(const struct fake *f)
{
    return f->type == V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE ? (size_t)f->front : 0;
}

/* What is painted on: the whole picture, or its first plane where that has memory of its own. */
static struct format canvas(const struct fake *f)
{
    struct format format = f->mode.format;
    format.id = f->mode.pieces > 1 ? FORMAT_GREY : format.id;
    return format;
}

static void paint_blank(struct fake *f, struct fake_buffer *b)
{
    struct format format = canvas(f);
    for (int k = 1; k < f->mode.pieces; k++) {
        memset(b->piece[k].pixels + front_of(f), 128, f->mode.size[k] - front_of(f)); /* neutral */
    }
    paint_scene(b->piece[0].pixels + front_of(f), &format, f->mode.stride[0]);
}

/* Offsets for mmap say buffer and piece: (index * FORMAT_MAX_PLANES + piece) pages. */
static uint32_t offset_of(unsigned index, int piece)
{
    return (index * FORMAT_MAX_PLANES + (unsigned)piece) * (uint32_t)sysconf(_SC_PAGESIZE);
}

int fake_memory_at(const struct fake *f, off_t offset, size_t size)
{
    long page = sysconf(_SC_PAGESIZE);
    size_t at = (size_t)(offset / page), index = at / FORMAT_MAX_PLANES;
    size_t piece = at % FORMAT_MAX_PLANES;
    if (offset < 0 || offset % page != 0 || index >= f->buffer_count ||
        piece >= (size_t)f->mode.pieces) {
        return -1;
    }
    size_t room = (f->mode.size[piece] + (size_t)page - 1) / (size_t)page * (size_t)page;
    return size <= room ? f->buffer[index].piece[piece].memory : -1;
}

int fake_export_locked(struct fake *f, struct v4l2_exportbuffer *arg)
{
    if (arg->type != f->type || arg->index >= f->buffer_count ||
        arg->plane >= (uint32_t)f->mode.pieces || arg->flags & ~(uint32_t)(O_CLOEXEC | O_ACCMODE)) {
        return -EINVAL;
    }
    int how = arg->flags & O_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD;
    int fd = fcntl(f->buffer[arg->index].piece[arg->plane].memory, how, 0);
    if (fd < 0) {
        return -errno;
    }
    arg->fd = fd;
    memset(arg->reserved, 0, sizeof arg->reserved);
    return 0;
}

static void init_buffers(struct fake *f)
{
    for (unsigned i = 0; i < f->buffer_count; i++) {
        struct fake_buffer *b = &f->buffer[i];
        b->state = BUFFER_IDLE;
        b->said = (struct v4l2_buffer){ .index = i, .type = f->type, .memory = V4L2_MEMORY_MMAP };
        if (!format_info(f->mode.format.id)->compressed) {
            paint_blank(f, b);
        }
    }
}

/* Does the caller bring room for what is said of each piece? */
static bool has_planes(const struct fake *f, const struct v4l2_buffer *arg)
{
    return f->type != V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE ||
           (arg->m.planes && arg->length >= (uint32_t)f->mode.pieces && arg->length <= 8);
}

static void say_pieces(const struct fake *f, unsigned index, struct v4l2_buffer *out)
{
    const struct fake_buffer *b = &f->buffer[index];
    if (f->type != V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE) {
        out->bytesused = b->piece[0].used;
        out->length = (uint32_t)f->mode.size[0];
        out->m.offset = offset_of(index, 0);
        return;
    }
    out->length = (uint32_t)f->mode.pieces;
    for (int i = 0; i < f->mode.pieces; i++) {
        out->m.planes[i] = (struct v4l2_plane){
            .bytesused = b->piece[i].used,
            .length = (uint32_t)f->mode.size[i],
            .m.mem_offset = offset_of(index, i),
            .data_offset = b->piece[i].used ? (uint32_t)front_of(f) : 0,
        };
    }
}

/* All about a buffer, where the caller wants it. */
static void say_buffer(const struct fake *f, unsigned index, uint32_t flags,
                       struct v4l2_buffer *out)
{
    struct v4l2_plane *planes = out->m.planes;
    *out = f->buffer[index].said;
    if (f->type == V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE) {
        out->m.planes = planes;
    }
    out->flags = flags;
    say_pieces(f, index, out);
}

int fake_request_locked(struct fake *f, struct fake_handle *h, struct v4l2_requestbuffers *arg)
{
    if (arg->type != f->type || arg->memory != V4L2_MEMORY_MMAP) {
        return -EINVAL;
    }
    if (f->busy || f->orphans > 0 || (f->owner && f->owner != h)) {
        return -EBUSY;
    }
    if (f->streaming && arg->count > 0) {
        return -EBUSY;
    }
    fake_stream_off_locked(f);
    fake_free_buffers_locked(f);
    f->owner = NULL;
    arg->capabilities = V4L2_BUF_CAP_SUPPORTS_MMAP | V4L2_BUF_CAP_SUPPORTS_ORPHANED_BUFS;
    arg->flags = 0;
    if (arg->count == 0) {
        return 0;
    }
    uint32_t most = f->buffer_limit < 2 || f->buffer_limit > FAKE_BUFFERS
                        ? FAKE_BUFFERS
                        : (uint32_t)f->buffer_limit;
    arg->count = arg->count < 2 ? 2 : arg->count > most ? most : arg->count;
    int code = allocate(f, arg->count);
    if (code == 0) {
        f->owner = h;
        init_buffers(f);
    }
    return code;
}

static uint32_t state_flags(const struct fake_buffer *b)
{
    return V4L2_BUF_FLAG_MAPPED | V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC |
           (b->state == BUFFER_QUEUED ? V4L2_BUF_FLAG_QUEUED : 0) |
           (b->state == BUFFER_DONE ? V4L2_BUF_FLAG_DONE : 0);
}

int fake_query_locked(struct fake *f, struct v4l2_buffer *arg)
{
    if (arg->type != f->type || arg->index >= f->buffer_count || !has_planes(f, arg)) {
        return -EINVAL;
    }
    say_buffer(f, arg->index, state_flags(&f->buffer[arg->index]), arg);
    return 0;
}

int fake_queue_locked(struct fake *f, struct fake_handle *h, struct v4l2_buffer *arg)
{
    if (f->owner != h) {
        return f->owner ? -EBUSY : -EINVAL;
    }
    if (arg->type != f->type || arg->memory != V4L2_MEMORY_MMAP || arg->index >= f->buffer_count ||
        f->buffer[arg->index].state != BUFFER_IDLE || arg->flags & V4L2_BUF_FLAG_REQUEST_FD ||
        !has_planes(f, arg)) {
        return -EINVAL;
    }
    f->buffer[arg->index].state = BUFFER_QUEUED;
    push(f, QUEUED, arg->index);
    arg->flags = state_flags(&f->buffer[arg->index]);
    return 0;
}

int fake_dequeue_locked(struct fake *f, struct fake_handle *h, struct v4l2_buffer *arg)
{
    if (f->owner != h) {
        return f->owner ? -EBUSY : -EINVAL;
    }
    if (!f->streaming || arg->type != f->type || !has_planes(f, arg)) {
        return -EINVAL;
    }
    if (f->length[DONE] == 0) {
        return -EAGAIN;
    }
    unsigned index = pop(f, DONE);
    f->buffer[index].state = BUFFER_IDLE;
    say_buffer(f, index, f->buffer[index].said.flags, arg);
    if (f->length[DONE] == 0) {
        fake_calm(h->fd);
    }
    return 0;
}

/* True while the counter is above zero, which it takes down by one. */
static bool use_up(unsigned *count)
{
    if (*count == 0) {
        return false;
    }
    --*count;
    return true;
}

/* One kind of damage a frame; of several pieces it is the last that has it. */
static void spoil(struct fake *f, struct fake_buffer *b)
{
    struct fake_piece *last = &b->piece[f->mode.pieces - 1];
    if (use_up(&f->error)) {
        b->said.flags |= V4L2_BUF_FLAG_ERROR;
    } else if (use_up(&f->empty)) {
        last->used = 0;
    } else if (use_up(format_info(f->mode.format.id)->compressed ? &f->corrupt : &f->cut)) {
        last->used /= 2;
    }
}

static void stamp(const struct fake *f, struct v4l2_buffer *said, int64_t time_us)
{
    bool zero = strcmp(f->stamp, "zero") == 0;
    said->flags = V4L2_BUF_FLAG_MAPPED;
    said->flags |= strcmp(f->stamp, "unknown") == 0 ? V4L2_BUF_FLAG_TIMESTAMP_UNKNOWN
                                                    : V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    said->timestamp.tv_sec = zero ? 0 : time_us / 1000000;
    said->timestamp.tv_usec = zero ? 0 : time_us % 1000000;
}

static void fill_buffer(struct fake *f, uint32_t sequence, int64_t time_us)
{
    unsigned index = pop(f, QUEUED);
    struct fake_buffer *b = &f->buffer[index];
    const struct format format = canvas(f);
    const struct clip *clip = &f->clip[format.id];
    uint8_t *to = b->piece[0].pixels + front_of(f);
    b->said.field = V4L2_FIELD_NONE;
    b->said.sequence = sequence;
    stamp(f, &b->said, time_us);
    for (int i = 0; i < f->mode.pieces; i++) {
        b->piece[i].used = (uint32_t)f->mode.size[i];
    }
    if (format_info(format.id)->compressed) {
        const struct piece *piece = &clip->piece[f->position % clip->count];
        memcpy(to, clip->data + piece->offset, piece->size);
        clip_write_moment(to, piece->size, fake_now_us());
        b->piece[0].used = (uint32_t)(piece->size + front_of(f));
        b->said.flags |= piece->key ? V4L2_BUF_FLAG_KEYFRAME : V4L2_BUF_FLAG_PFRAME;
    } else {
        paint_frame(to, &format, f->mode.stride[0], f->scratch, sequence, (uint64_t)time_us);
        paint_brighter(to, &format, f->mode.stride[0], fake_brightness(f));
    }
    spoil(f, b);
    b->state = BUFFER_DONE;
    push(f, DONE, index);
}

static int64_t tick_us(const struct fake *f, int64_t tick)
{
    return f->start_us + tick * 1000000 * f->mode.format.fps_den / f->mode.format.fps_num;
}

/* One frame time. A late sensor thread makes up for it: real hardware would have filled the buffers. */
static void expose(struct fake *f)
{
    fake_obey_locked(f);
    bool silent = f->stalled || f->hung || f->unplugged;
    if (!silent && !use_up(&f->skip) && f->length[QUEUED] > 0) {
        fill_buffer(f, (uint32_t)f->tick, tick_us(f, f->tick));
        fake_wake_locked(f);
    }
    f->tick++;
    f->position++;
}

static void *sensor_run(void *arg)
{
    struct fake *f = arg;
    (void)pthread_setname_np(pthread_self(), "v4l2fake"); /* so that its cost can be told apart */
    pthread_mutex_lock(&f->lock);
    while (f->streaming) {
        int64_t due_us = tick_us(f, f->tick);
        const struct timespec due = { .tv_sec = due_us / 1000000,
                                      .tv_nsec = due_us % 1000000 * 1000 };
        if (pthread_cond_timedwait(&f->changed, &f->lock, &due) == ETIMEDOUT && f->streaming) {
            expose(f);
        }
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

int fake_stream_on_locked(struct fake *f, struct fake_handle *h)
{
    if (f->owner != h || f->buffer_count == 0) {
        return f->owner && f->owner != h ? -EBUSY : -EINVAL;
    }
    if (f->streaming) {
        return 0;
    }
    f->streaming = true;
    f->hung = false;
    f->tick = 0;
    f->position = 0;
    f->start_us = fake_now_us();
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the program's business */
    int code = pthread_create(&f->sensor, NULL, sensor_run, f);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    f->streaming = code == 0;
    return -code;
}

void fake_stream_off_locked(struct fake *f)
{
    if (f->streaming) {
        f->streaming = false;
        pthread_cond_broadcast(&f->changed);
        pthread_t sensor = f->sensor;
        pthread_mutex_unlock(&f->lock);
        pthread_join(sensor, NULL);
        pthread_mutex_lock(&f->lock);
    }
    f->length[QUEUED] = f->length[DONE] = 0;
    for (unsigned i = 0; i < f->buffer_count; i++) {
        f->buffer[i].state = BUFFER_IDLE;
    }
    if (f->owner && !f->owner->dead) {
        fake_calm(f->owner->fd);
    }
}
