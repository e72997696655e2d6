/* SPDX-License-Identifier: MIT */
/*
 * A camera's mapped buffers as frames: no byte is copied. Unref'ing such a frame queues its buffer
 * again, from any thread; frames may outlive the closed device, then they only unmap.
 *
 * Life: v4l2_buffers_open/v4l2_buffers_close by the source; the mappings go with the last frame.
 * Threads: the source's, but the frames' unref, which is for any.
 */
#pragma once

#include <linux/videodev2.h>
#include <stddef.h>
#include <stdint.h>

#include "pcs/err.h"

struct frame;
struct v4l2_buffers;

/* Requests and maps `count` buffers (the driver may give another number, at least 2), queues them
 * and starts the stream. `name` is the device's, for err. */
int v4l2_buffers_open(struct v4l2_buffers **out, int fd, unsigned count, const char *name,
                      struct err *err);

/* Stops the stream. The fd is not touched any more after it returns; it stays the caller's. */
void v4l2_buffers_close(struct v4l2_buffers *b);

/* A filled buffer: 0, -EAGAIN when none is ready, else what DQBUF failed with. */
int v4l2_buffers_take(struct v4l2_buffers *b, struct v4l2_buffer *out);
void v4l2_buffers_requeue(struct v4l2_buffers *b, const struct v4l2_buffer *taken);

/* The taken buffer as a new frame with one reference: data, size = bytesused and nothing else. */
struct frame *v4l2_buffers_wrap(struct v4l2_buffers *b, const struct v4l2_buffer *taken);
size_t v4l2_buffers_room(const struct v4l2_buffers *b, unsigned index); /* bytes mapped */
