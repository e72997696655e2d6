/* SPDX-License-Identifier: MIT */
#include "v4l2_buffers.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pcs/frame.h"
#include "v4l2_device.h"
#include "v4l2_format.h"

#define MAX_BUFFERS 16

struct v4l2_buffers {
    enum v4l2_buf_type type;
    unsigned memories; /* of each buffer */
    unsigned count;
    pthread_mutex_t
        lock;      /* guards fd and refs; held for the QBUF, so that close cannot come between */
    int fd;        /* -1 once closed */
    unsigned refs; /* the source's and one per frame that is out */
    struct slot {
        struct frame frame;
        struct v4l2_buffers *set;
        unsigned index;
        int dmabuf_fd; /* -1 = not exported */
        struct mapping {
            void *at;
            size_t room;
        } memory[FORMAT_MAX_PLANES];
    } slot[MAX_BUFFERS];
};

/* What an ioctl about a buffer takes; the driver's answer about its planes goes to `planes`. */
struct request {
    struct v4l2_buffer buffer;
    struct v4l2_plane planes[FORMAT_MAX_PLANES];
};

static bool is_mplane(const struct v4l2_buffers *b)
{
    return b->type == V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
}

static int ask(const struct v4l2_buffers *b, unsigned long code, unsigned index, struct request *r)
{
    *r = (struct request){
        .buffer = { .index = index, .type = b->type, .memory = V4L2_MEMORY_MMAP },
    };
    if (is_mplane(b)) {
        r->buffer.m.planes = r->planes;
        r->buffer.length = b->memories;
    }
    int result = v4l2_ioctl(b->fd, code, &r->buffer);
    if (result == 0 && !is_mplane(b)) { /* one shape for both */
        r->planes[0] = (struct v4l2_plane){ .bytesused = r->buffer.bytesused,
                                            .length = r->buffer.length,
                                            .m.mem_offset = r->buffer.m.offset };
    }
    return result;
}

static void release_slot(struct slot *slot)
{
    for (int i = 0; i < FORMAT_MAX_PLANES; i++) {
        if (slot->memory[i].at) {
            munmap(slot->memory[i].at, slot->memory[i].room);
        }
    }
    if (slot->dmabuf_fd >= 0) {
        close(slot->dmabuf_fd);
    }
}

static void destroy(struct v4l2_buffers *b)
{
    for (unsigned i = 0; i < MAX_BUFFERS; i++) {
        release_slot(&b->slot[i]);
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
    struct request r;
    pthread_mutex_lock(&b->lock);
    if (b->fd >= 0) {
        (void)ask(b, VIDIOC_QBUF, index, &r); /* a lost device is noticed where it is read */
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
    struct request r;
    int code = ask(b, VIDIOC_QUERYBUF, index, &r);
    if (code < 0) {
        return code;
    }
    for (unsigned i = 0; i < b->memories; i++) {
        /* Readable and writable, as the V4L2 documentation asks: some drivers refuse less. */
        const struct v4l2_plane *plane = &r.planes[i];
        void *at = mmap(NULL, plane->length, PROT_READ | PROT_WRITE, MAP_SHARED, b->fd,
                        (off_t)plane->m.mem_offset);
        if (at == MAP_FAILED) {
            return -errno;
        }
        b->slot[index].memory[i] = (struct mapping){ at, plane->length };
    }
    return 0;
}

/* Best effort: not every driver can. Nothing of it costs anything per frame. */
static void export_slot(struct v4l2_buffers *b, unsigned index)
{
    struct v4l2_exportbuffer arg = { .type = b->type,
                                     .index = index,
                                     .flags = O_RDONLY | O_CLOEXEC };
    if (v4l2_ioctl(b->fd, VIDIOC_EXPBUF, &arg) == 0) {
        b->slot[index].dmabuf_fd = arg.fd;
    }
}

static int start(struct v4l2_buffers *b, unsigned count, bool share)
{
    struct v4l2_requestbuffers request = { .count = count,
                                           .type = b->type,
                                           .memory = V4L2_MEMORY_MMAP };
    int code = v4l2_ioctl(b->fd, VIDIOC_REQBUFS, &request);
    if (code == 0 && request.count < 2) {
        code = -ENOMEM;
    }
    b->count = request.count > MAX_BUFFERS ? MAX_BUFFERS : request.count;
    for (unsigned i = 0; code == 0 && i < b->count; i++) {
        code = map_slot(b, i);
        if (code == 0 && share) {
            export_slot(b, i);
        }
    }
    for (unsigned i = 0; code == 0 && i < b->count; i++) {
        struct request r;
        code = ask(b, VIDIOC_QBUF, i, &r);
    }
    int type = (int)b->type;
    return code < 0 ? code : v4l2_ioctl(b->fd, VIDIOC_STREAMON, &type);
}

int v4l2_buffers_open(struct v4l2_buffers **out, int fd, const struct v4l2_mode *mode,
                      unsigned count, const char *name, struct err *err)
{
    struct v4l2_buffers *b = calloc(1, sizeof *b);
    if (!b) {
        return err_set(err, -ENOMEM, "%s: out of memory", name);
    }
    pthread_mutex_init(&b->lock, NULL);
    b->fd = fd;
    b->type = mode->type;
    b->memories = (unsigned)mode->memories;
    b->refs = 1;
    for (unsigned i = 0; i < MAX_BUFFERS; i++) {
        b->slot[i].set = b;
        b->slot[i].index = i;
        b->slot[i].dmabuf_fd = -1;
    }
    bool share = b->memories == 1 && !format_info(mode->format.id)->compressed;
    int code = start(b, count, share);
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
    int type = (int)b->type;
    /* Best effort on a device that may be gone. Giving the buffers up while frames still map them
     * (the kernel then orphans them) frees the device for the next open. */
    (void)v4l2_ioctl(fd, VIDIOC_STREAMOFF, &type);
    struct v4l2_requestbuffers none = { .type = b->type, .memory = V4L2_MEMORY_MMAP };
    (void)v4l2_ioctl(fd, VIDIOC_REQBUFS, &none);
    unref_set(b);
}

unsigned v4l2_buffers_count(const struct v4l2_buffers *b)
{
    return b->count;
}

/* Where in its memory the picture lies; the driver's word is not taken beyond what is mapped. */
static void find_picture(const struct mapping *memory, const struct v4l2_plane *plane,
                         struct v4l2_filled *out, unsigned i)
{
    size_t skip = plane->data_offset < memory->room ? plane->data_offset : memory->room;
    size_t used = plane->bytesused < memory->room ? plane->bytesused : memory->room;
    out->memory[i].data = (const uint8_t *)memory->at + skip;
    out->memory[i].room = memory->room - skip;
    out->memory[i].size = used > skip ? used - skip : 0;
}

int v4l2_buffers_take(struct v4l2_buffers *b, struct v4l2_filled *out)
{
    struct request r;
    int code = ask(b, VIDIOC_DQBUF, 0, &r);
    if (code == 0 && r.buffer.index >= b->count) {
        code = -EIO;
    }
    if (code < 0) {
        return code;
    }
    *out = (struct v4l2_filled){
        .index = r.buffer.index,
        .flags = r.buffer.flags,
        .sequence = r.buffer.sequence,
        .timestamp = r.buffer.timestamp,
    };
    for (unsigned i = 0; i < b->memories; i++) {
        find_picture(&b->slot[out->index].memory[i], &r.planes[i], out, i);
    }
    return 0;
}

void v4l2_buffers_requeue(struct v4l2_buffers *b, const struct v4l2_filled *taken)
{
    queue_slot(b, taken->index);
}

struct frame *v4l2_buffers_wrap(struct v4l2_buffers *b, const struct v4l2_filled *taken)
{
    struct slot *slot = &b->slot[taken->index];
    /* Taken under the lock also for what it orders: the last reader of this slot's frame queued it
     * under the same lock, so its reads are over before we write the frame again. */
    pthread_mutex_lock(&b->lock);
    b->refs++;
    pthread_mutex_unlock(&b->lock);
    frame_init(&slot->frame, give_back, slot);
    slot->frame.data = taken->memory[0].data;
    slot->frame.size = taken->memory[0].size;
    bool at_start = taken->memory[0].data == slot->memory[0].at;
    slot->frame.dmabuf_fd = at_start ? slot->dmabuf_fd : -1;
    return &slot->frame;
}
