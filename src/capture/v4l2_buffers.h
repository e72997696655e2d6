/* SPDX-License-Identifier: MIT */
/*
 * A camera's mapped buffers as frames: no byte is copied. Unref'ing such a frame queues its buffer
 * again, from any thread; frames may outlive the closed device, then they only unmap.
 *
 * Life: v4l2_buffers_open/v4l2_buffers_close by the source; the mappings go with the last frame.
 * Threads: the source's, but the frames' unref, which is for any.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>

#include "pcs/err.h"
#include "pcs/format.h"

struct frame;
struct v4l2_buffers;
struct v4l2_mode;

/* A buffer that the driver has filled. */
struct v4l2_filled {
    unsigned index;
    uint32_t flags, sequence; /* V4L2's */
    struct timeval timestamp;
    struct {
        const uint8_t *data; /* where the picture begins */
        size_t size;         /* bytes that the driver wrote there */
        size_t room;         /* … and that are mapped */
    } memory[FORMAT_MAX_PLANES];
};

/*
 * Requests and maps `count` buffers of the mode that is set (the driver may give another number, at
 * least 2), queues them and starts the stream. Where the driver can, each buffer of a raw picture in one
 * piece is exported once, here. `name` is the device's, for err.
 */
int v4l2_buffers_open(struct v4l2_buffers **out, int fd, const struct v4l2_mode *mode,
                      unsigned count, const char *name, struct err *err);

/* Stops the stream. The fd is not touched any more after it returns; it stays the caller's. */
void v4l2_buffers_close(struct v4l2_buffers *b);

unsigned v4l2_buffers_count(const struct v4l2_buffers *b); /* that the driver gave */

/* A filled buffer: 0, -EAGAIN when none is ready, else what DQBUF failed with. */
int v4l2_buffers_take(struct v4l2_buffers *b, struct v4l2_filled *out);
void v4l2_buffers_requeue(struct v4l2_buffers *b, const struct v4l2_filled *taken);

/* The taken buffer as a new frame with one reference: data and size of its first memory, dmabuf_fd, and
 * nothing else. */
struct frame *v4l2_buffers_wrap(struct v4l2_buffers *b, const struct v4l2_filled *taken);
