/* SPDX-License-Identifier: MIT */
#include "v4l2_buffers.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "pcs/frame.h"
#include "v4l2_device.h"

#define MAX_BUFFERS 16

struct v4l2_buffers {
    pthread_mutex_t
        lock;      /* guards fd and refs; held for the QBUF, so that close cannot come between */
    int fd;        /* -1 once closed */
    unsigned refs; /* the source's and one per frame that is out */
    unsigned count;
    struct slot {
        struct frame frame;
        struct v4l2_buffers *set;
        void *at;
        size_t room;
        unsigned index;
    } slot[MAX_BUFFERS];
};

static struct v4l2_buffer address(unsigned index)
{
    return (struct v4l2_buffer){
        .index = index,
        .type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
        .memory = V4L2_MEMORY_MMAP,
    };
}

static void destroy(struct v4l2_buffers *b)
{
    for (unsigned i = 0; i < MAX_BUFFERS; i++) {
        if (b->slot[i].at) {
            munmap(b->slot[i].at, b->slot[i].room);
        }
    }
    pthread_mutex_destroy(&b->lock);
    free(b);
}

static void unref_set(struct v4l2_buffers *b)
{
    pthread_mutex_lock(&b->lock);
    bool last = --b->refs == 0;
    pthread_mutex_unlock(&b->lock);
    if (last) {
        destroy(b);
    }
}

static void queue_slot(struct v4l2_buffers *b, unsigned index)
{
    struct v4l2_buffer arg = address(index);
    pthread_mutex_lock(&b->lock);
    if (b->fd >= 0) {
        (void)v4l2_ioctl(b->fd, VIDIOC_QBUF, &arg); /* a lost device is noticed where it is read */
    }
    pthread_mutex_unlock(&b->lock);
}

static void give_back(struct frame *frame)
{
    struct slot *slot = frame->owner;
    queue_slot(slot->set, slot->index);
    unref_set(slot->set);
}

static int map_slot(struct v4l2_buffers *b, unsigned index)
{
    struct v4l2_buffer arg = address(index);
    int code = v4l2_ioctl(b->fd, VIDIOC_QUERYBUF, &arg);
    if (code < 0) {
        return code;
    }
    /* Readable and writable, as the V4L2 documentation asks: some drivers refuse less. */
    void *at = mmap(NULL, arg.length, PROT_READ | PROT_WRITE, MAP_SHARED, b->fd, arg.m.offset);
    if (at == MAP_FAILED) {
        return -errno;
    }
    b->slot[index].at = at;
    b->slot[index].room = arg.length;
    return 0;
}

static int start(struct v4l2_buffers *b, unsigned count)
{
    struct v4l2_requestbuffers request = {
        .count = count,
        .type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
        .memory = V4L2_MEMORY_MMAP,
    };
    int code = v4l2_ioctl(b->fd, VIDIOC_REQBUFS, &request);
    if (code == 0 && request.count < 2) {
        code = -ENOMEM;
    }
    b->count = request.count > MAX_BUFFERS ? MAX_BUFFERS : request.count;
    for (unsigned i = 0; code == 0 && i < b->count; i++) {
        code = map_slot(b, i);
    }
    for (unsigned i = 0; code == 0 && i < b->count; i++) {
        struct v4l2_buffer arg = address(i);
        code = v4l2_ioctl(b->fd, VIDIOC_QBUF, &arg);
    }
    int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    return code < 0 ? code : v4l2_ioctl(b->fd, VIDIOC_STREAMON, &type);
}

int v4l2_buffers_open(struct v4l2_buffers **out, int fd, unsigned count, const char *name,
                      struct err *err)
{
    struct v4l2_buffers *b = calloc(1, sizeof *b);
    if (!b) {
        return err_set(err, -ENOMEM, "%s: out of memory", name);
    }
    pthread_mutex_init(&b->lock, NULL);
    b->fd = fd;
    b->refs = 1;
    for (unsigned i = 0; i < MAX_BUFFERS; i++) {
        b->slot[i].set = b;
        b->slot[i].index = i;
    }
    int code = start(b, count);
    if (code < 0) {
        v4l2_buffers_close(b);
        return v4l2_fail(err, code, name, "start streaming");
    }
    *out = b;
    return 0;
}

void v4l2_buffers_close(struct v4l2_buffers *b)
{
    if (!b) {
        return;
    }
    pthread_mutex_lock(&b->lock);
    int fd = b->fd;
    b->fd = -1;
    pthread_mutex_unlock(&b->lock);
    int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
    /* Best effort on a device that may be gone. Giving the buffers up while frames still map them
     * (the kernel then orphans them) frees the device for the next open. */
    (void)v4l2_ioctl(fd, VIDIOC_STREAMOFF, &type);
    struct v4l2_requestbuffers none = { .type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
                                        .memory = V4L2_MEMORY_MMAP };
    (void)v4l2_ioctl(fd, VIDIOC_REQBUFS, &none);
    unref_set(b);
}

int v4l2_buffers_take(struct v4l2_buffers *b, struct v4l2_buffer *out)
{
    struct v4l2_buffer arg = address(0);
    int code = v4l2_ioctl(b->fd, VIDIOC_DQBUF, &arg);
    if (code == 0 && arg.index >= b->count) {
        code = -EIO;
    }
    if (code == 0) {
        *out = arg;
    }
    return code;
}

void v4l2_buffers_requeue(struct v4l2_buffers *b, const struct v4l2_buffer *taken)
{
    queue_slot(b, taken->index);
}

struct frame *v4l2_buffers_wrap(struct v4l2_buffers *b, const struct v4l2_buffer *taken)
{
    struct slot *slot = &b->slot[taken->index];
    /* Taken under the lock also for what it orders: the last reader of this slot's frame queued it
     * under the same lock, so its reads are over before we write the frame again. */
    pthread_mutex_lock(&b->lock);
    b->refs++;
    pthread_mutex_unlock(&b->lock);
    frame_init(&slot->frame, give_back, slot);
    slot->frame.data = slot->at;
    slot->frame.size = taken->bytesused < slot->room ? taken->bytesused : slot->room;
    return &slot->frame;
}

size_t v4l2_buffers_room(const struct v4l2_buffers *b, unsigned index)
{
    return b->slot[index].room;
}
