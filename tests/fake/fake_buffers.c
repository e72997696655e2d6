/* SPDX-License-Identifier: MIT */
/*
 * Buffers and the sensor thread. As in the kernel's videobuf2: filled buffers wait in order; a frame
 * for which no buffer is queued is dropped and its number skipped; a stopped stream hands all buffers
 * back; mappings outlive the file handle, and until the last of them goes the device stays busy.
 */
#include <errno.h>
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

void fake_free_buffers_locked(struct fake *f)
{
    if (f->memory >= 0) {
        (void)real_calls()->munmap(f->pixels, f->buffer_span * f->buffer_count);
        (void)real_calls()->close(f->memory); /* mappings of the reader live on */
    }
    f->memory = -1;
    f->buffer_count = 0;
    f->length[QUEUED] = f->length[DONE] = 0;
}

static int allocate(struct fake *f, unsigned count)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    f->buffer_span = (f->size_image + page - 1) / page * page;
    f->memory = memfd_create("v4l2fake", MFD_CLOEXEC);
    size_t size = f->buffer_span * count;
    if (f->memory < 0 || ftruncate(f->memory, (off_t)size) < 0) {
        return -ENOMEM;
    }
    f->pixels = real_calls()->mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, f->memory, 0);
    if (f->pixels == MAP_FAILED) {
        (void)real_calls()->close(f->memory);
        f->memory = -1;
        return -ENOMEM;
    }
    f->buffer_count = count;
    return 0;
}

static void init_buffers(struct fake *f)
{
    for (unsigned i = 0; i < f->buffer_count; i++) {
        f->buffer[i].state = BUFFER_IDLE;
        f->buffer[i].said = (struct v4l2_buffer){
            .index = i,
            .type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
            .memory = V4L2_MEMORY_MMAP,
            .m.offset = (uint32_t)(i * f->buffer_span),
            .length = (uint32_t)f->size_image,
        };
        if (!format_info(f->format.id)->compressed) {
            paint_scene(f->pixels + i * f->buffer_span, &f->format, f->stride);
        }
    }
}

int fake_request_locked(struct fake *f, struct fake_handle *h, struct v4l2_requestbuffers *arg)
{
    if (arg->type != V4L2_BUF_TYPE_VIDEO_CAPTURE || arg->memory != V4L2_MEMORY_MMAP) {
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
    arg->count = arg->count < 2 ? 2 : arg->count > FAKE_BUFFERS ? FAKE_BUFFERS : arg->count;
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
    if (arg->type != V4L2_BUF_TYPE_VIDEO_CAPTURE || arg->index >= f->buffer_count) {
        return -EINVAL;
    }
    struct fake_buffer *b = &f->buffer[arg->index];
    *arg = b->said;
    arg->flags = state_flags(b);
    return 0;
}

int fake_queue_locked(struct fake *f, struct fake_handle *h, struct v4l2_buffer *arg)
{
    if (f->owner != h) {
        return f->owner ? -EBUSY : -EINVAL;
    }
    if (arg->type != V4L2_BUF_TYPE_VIDEO_CAPTURE || arg->memory != V4L2_MEMORY_MMAP ||
        arg->index >= f->buffer_count || f->buffer[arg->index].state != BUFFER_IDLE ||
        arg->flags & V4L2_BUF_FLAG_REQUEST_FD) {
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
    if (!f->streaming || arg->type != V4L2_BUF_TYPE_VIDEO_CAPTURE) {
        return -EINVAL;
    }
    if (f->length[DONE] == 0) {
        return -EAGAIN;
    }
    struct fake_buffer *b = &f->buffer[pop(f, DONE)];
    b->state = BUFFER_IDLE;
    *arg = b->said;
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

/* One kind of damage a frame. */
static void spoil(struct fake *f, struct v4l2_buffer *said)
{
    if (use_up(&f->error)) {
        said->flags |= V4L2_BUF_FLAG_ERROR;
    } else if (use_up(&f->empty)) {
        said->bytesused = 0;
    } else if (use_up(format_info(f->format.id)->compressed ? &f->corrupt : &f->cut)) {
        said->bytesused /= 2;
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
    uint8_t *to = f->pixels + index * f->buffer_span;
    const struct clip *clip = &f->clip[f->format.id];
    b->said.field = V4L2_FIELD_NONE;
    b->said.sequence = sequence;
    stamp(f, &b->said, time_us);
    if (format_info(f->format.id)->compressed) {
        const struct piece *piece = &clip->piece[f->position % clip->count];
        memcpy(to, clip->data + piece->offset, piece->size);
        b->said.bytesused = (uint32_t)piece->size;
        b->said.flags |= piece->key ? V4L2_BUF_FLAG_KEYFRAME : V4L2_BUF_FLAG_PFRAME;
    } else {
        paint_frame(to, &f->format, f->stride, f->scratch, sequence, (uint64_t)time_us);
        b->said.bytesused = (uint32_t)f->size_image;
    }
    spoil(f, &b->said);
    b->state = BUFFER_DONE;
    push(f, DONE, index);
}

static int64_t tick_us(const struct fake *f, int64_t tick)
{
    return f->start_us + tick * 1000000 * f->format.fps_den / f->format.fps_num;
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
