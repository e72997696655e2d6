/* SPDX-License-Identifier: MIT */
/*
 * One queue of buffers of a memory-to-memory device. Its buffers are mapped memory, or, where pictures
 * are read in place, other drivers' buffers (DMABUF) that are held by their frames meanwhile.
 * Life: open/close, both in the device's; close takes everything back from the device.
 * Threads: one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define M2M_BUFFERS 8

struct frame;
struct m2m_device;
enum m2m_side;

struct m2m_buffer {
    uint8_t *map; /* NULL: DMABUF */
    size_t size;
    const struct frame *held; /* the picture that the device reads in place */
    int dmabuf_fd;            /* what was in it last; -1 = none: the kernel keeps it mapped */
    bool queued;
};

struct m2m_queue {
    int fd;
    unsigned type;
    bool mplane, in_place, streaming;
    int count, queued;
    struct m2m_buffer buffer[M2M_BUFFERS];
};

/* `in_place`: DMABUF. 0 or a negative errno; close it in either case. */
int m2m_queue_open(struct m2m_queue *q, const struct m2m_device *dev, enum m2m_side side,
                   bool in_place, int count);
int m2m_queue_start(struct m2m_queue *q);
void m2m_queue_close(struct m2m_queue *q); /* fine when zeroed */

/* A buffer that the device does not have (in place: the best for this fd), or -EAGAIN. */
int m2m_queue_free(const struct m2m_queue *q, int dmabuf_fd);

/* Hand buffer `index` to the device: `used` bytes of its memory, or of the picture, which is held. */
int m2m_queue_put(struct m2m_queue *q, int index, size_t used, int64_t time_us,
                  const struct frame *picture);

struct m2m_done {
    int index;
    const uint8_t *data; /* mapped memory; NULL: in place */
    size_t size;
    int64_t time_us;
    bool key, last, damaged;
};
/* What the device is done with. -EAGAIN: nothing now; -EPIPE: the last one has been taken. */
int m2m_queue_take(struct m2m_queue *q, struct m2m_done *out);
