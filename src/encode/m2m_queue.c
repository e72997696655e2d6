/* SPDX-License-Identifier: MIT */
#include "m2m_queue.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <linux/videodev2.h>

#include "m2m_device.h"
#include "pcs/clock.h"
#include "pcs/frame.h"

/* A v4l2_buffer of either kind; `plane` is behind it in the multi-planar one. */
struct slot {
    struct v4l2_buffer b;
    struct v4l2_plane plane[VIDEO_MAX_PLANES];
};

static void slot_init(struct slot *s, const struct m2m_queue *q, int index)
{
    memset(s, 0, sizeof *s);
    s->b.index = (__u32)index;
    s->b.type = q->type;
    s->b.memory = q->in_place ? V4L2_MEMORY_DMABUF : V4L2_MEMORY_MMAP;
    if (q->mplane) {
        s->b.m.planes = s->plane;
        s->b.length = VIDEO_MAX_PLANES;
    }
}

/* ---- buffers ---- */

static int map_buffer(struct m2m_queue *q, int index)
{
    struct slot s;
    slot_init(&s, q, index);
    int rc = m2m_ioctl(q->fd, VIDIOC_QUERYBUF, &s.b);
    if (rc) {
        return rc;
    }
    size_t size = q->mplane ? s.plane[0].length : s.b.length;
    off_t offset = q->mplane ? s.plane[0].m.mem_offset : s.b.m.offset;
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, q->fd, offset);
    if (map == MAP_FAILED) {
        return -errno;
    }
    q->buffer[index].map = map;
    q->buffer[index].size = size;
    return 0;
}

static int request(struct m2m_queue *q, int count)
{
    struct v4l2_requestbuffers r = {
        .count = (__u32)count,
        .type = q->type,
        .memory = q->in_place ? V4L2_MEMORY_DMABUF : V4L2_MEMORY_MMAP,
    };
    int rc = m2m_ioctl(q->fd, VIDIOC_REQBUFS, &r);
    return rc ? rc : (int)r.count;
}

int m2m_queue_open(struct m2m_queue *q, const struct m2m_device *dev, enum m2m_side side,
                   bool in_place, int count)
{
    *q = (struct m2m_queue){ .fd = dev->fd,
                             .type = m2m_device_type(dev, side),
                             .mplane = dev->mplane,
                             .in_place = in_place };
    int got = request(q, count);
    if (got < 1) {
        return got < 0 ? got : -ENOMEM;
    }
    q->count = got < M2M_BUFFERS ? got : M2M_BUFFERS;
    int rc = 0;
    for (int i = 0; i < q->count && rc == 0; i++) {
        q->buffer[i].dmabuf_fd = -1;
        rc = in_place ? 0 : map_buffer(q, i);
    }
    return rc;
}

int m2m_queue_start(struct m2m_queue *q)
{
    int type = (int)q->type;
    int rc = m2m_ioctl(q->fd, VIDIOC_STREAMON, &type);
    q->streaming = rc == 0;
    return rc;
}

void m2m_queue_close(struct m2m_queue *q)
{
    int type = (int)q->type;
    if (q->count) {
        (void)m2m_ioctl(q->fd, VIDIOC_STREAMOFF, &type); /* the device lets go of all of them */
    }
    for (int i = 0; i < q->count; i++) {
        if (q->buffer[i].map) {
            (void)munmap(q->buffer[i].map, q->buffer[i].size);
        }
        frame_unref(q->buffer[i].held);
    }
    if (q->count) {
        (void)request(
            q, 0); /* nothing could be done about a refusal; closing the device does it too */
    }
    memset(q, 0, sizeof *q);
}

int m2m_queue_free(const struct m2m_queue *q, int dmabuf_fd)
{
    int fresh = -EAGAIN, other = -EAGAIN;
    for (int i = 0; i < q->count; i++) {
        const struct m2m_buffer *b = &q->buffer[i];
        if (!b->queued && b->dmabuf_fd == dmabuf_fd) {
            return i;
        }
        if (!b->queued && b->dmabuf_fd < 0) {
            fresh = i;
        } else if (!b->queued) {
            other = i;
        }
    }
    return fresh >= 0 ? fresh : other;
}

/* ---- traffic ---- */

static void describe_memory(struct slot *s, const struct m2m_queue *q, size_t used, int dmabuf_fd)
{
    if (q->mplane) {
        s->b.length = 1;
        s->plane[0].bytesused = (__u32)used;
    } else {
        s->b.bytesused = (__u32)used;
    }
    if (q->in_place && q->mplane) {
        s->plane[0].m.fd = dmabuf_fd;
        s->plane[0].length =
            (__u32)used; /* the buffer has more; the kernel compares this with `used` */
    } else if (q->in_place) {
        s->b.m.fd = dmabuf_fd;
        s->b.length = (__u32)used;
    }
}

int m2m_queue_put(struct m2m_queue *q, int index, size_t used, int64_t time_us,
                  const struct frame *picture)
{
    struct m2m_buffer *b = &q->buffer[index];
    int dmabuf_fd = q->in_place ? picture->dmabuf_fd : -1;
    struct slot s;
    slot_init(&s, q, index);
    describe_memory(&s, q, used, dmabuf_fd);
    s.b.field = V4L2_FIELD_NONE;
    s.b.timestamp.tv_sec = (time_t)(time_us / CLOCK_S);
    s.b.timestamp.tv_usec = (suseconds_t)(time_us % CLOCK_S);
    int rc = m2m_ioctl(q->fd, VIDIOC_QBUF, &s.b);
    if (rc) {
        return rc;
    }
    b->queued = true;
    b->dmabuf_fd = dmabuf_fd;
    b->held = q->in_place ? frame_ref(picture) : NULL;
    q->queued++;
    return 0;
}

static void read_done(const struct slot *s, const struct m2m_queue *q, struct m2m_done *out)
{
    const struct m2m_buffer *b = &q->buffer[s->b.index];
    size_t end = q->mplane ? s->plane[0].bytesused : s->b.bytesused;
    size_t begin = q->mplane ? s->plane[0].data_offset : 0;
    end = b->map && end > b->size ? b->size : end;
    begin = begin < end ? begin : end;
    *out = (struct m2m_done){
        .index = (int)s->b.index,
        .data = b->map ? b->map + begin : NULL,
        .size = end - begin,
        .time_us = (int64_t)s->b.timestamp.tv_sec * CLOCK_S + s->b.timestamp.tv_usec,
        .key = s->b.flags & V4L2_BUF_FLAG_KEYFRAME,
        .last = s->b.flags & V4L2_BUF_FLAG_LAST,
        .damaged = s->b.flags & V4L2_BUF_FLAG_ERROR,
    };
}

int m2m_queue_take(struct m2m_queue *q, struct m2m_done *out)
{
    struct slot s;
    slot_init(&s, q, 0);
    int rc = m2m_ioctl(q->fd, VIDIOC_DQBUF, &s.b);
    if (rc) {
        return rc;
    }
    if (s.b.index >= (__u32)q->count) {
        return -EIO;
    }
    struct m2m_buffer *b = &q->buffer[s.b.index];
    read_done(&s, q, out);
    frame_unref(b->held);
    b->held = NULL;
    b->queued = false;
    q->queued--;
    return 0;
}
