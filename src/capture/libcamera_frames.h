/* SPDX-License-Identifier: MIT */
/*
 * A libcamera camera's buffers as frames: no byte is copied. Unref'ing such a frame gives its buffer
 * back to the camera, from any thread; frames may outlive the closed camera, then they only unmap.
 *
 * Life: libcamera_frames_new before the camera is opened (its listener is in here), _map when its buffers
 * are known, _close before it stops, libcamera_frames_unref when it is closed. The mappings go with the
 * last frame.
 * Threads: the source's, but the listener (libcamera's) and the frames' unref (any).
 */
#pragma once

#include <stdbool.h>

#include "libcamera_api.h"
#include "pcs/err.h"
#include "pcs/format.h"

struct frame;
struct libcamera_frames;

struct libcamera_frames *
libcamera_frames_new(const struct libcamera_api *api);   /* NULL: no memory */
void libcamera_frames_unref(struct libcamera_frames *f); /* NULL is fine */
struct libcamera_listener libcamera_frames_listener(struct libcamera_frames *f);

/* Maps the buffers and lays frames of `format` with rows of `stride` into them. 0 or negative. */
int libcamera_frames_map(struct libcamera_frames *f, struct libcamera_camera *camera,
                         const struct libcamera_buffer *buffers, unsigned count,
                         const struct format *format, int stride);
/* After start: gives the camera all of them to fill. */
int libcamera_frames_queue_all(struct libcamera_frames *f);
/* The camera is not called any more after it returns. */
void libcamera_frames_close(struct libcamera_frames *f);

int libcamera_frames_fd(const struct libcamera_frames *f); /* readable: ask for the newest */

/*
 * Of what is done since the last call the newest good picture: *done says which; the others are given
 * back and counted. 0, -EAGAIN: none, -ENODEV: the camera is gone.
 */
int libcamera_frames_take(struct libcamera_frames *f, struct libcamera_done *done, unsigned *lost);
/* It as a frame with one reference; format, bytes and planes are set. */
struct frame *libcamera_frames_wrap(struct libcamera_frames *f, const struct libcamera_done *done);
