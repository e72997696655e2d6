/* SPDX-License-Identifier: MIT */
/*
 * Frame: one picture or one packet, immutable once published, shared by reference counting. There
 * is one copy of the bytes however many outputs read it.
 *
 * Life: a producer gets a frame with one reference (pool_get, or its own struct by frame_init for a
 * driver's buffer), fills it, publishes it and unrefs it. Readers hold `const struct frame *`. The
 * last unref calls `release`, in whichever thread that happens; it must not block.
 * Threads: ref and unref any. Contents: written by the producer before publishing, then read-only.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "pcs/format.h"

enum frame_flags {
    FRAME_KEY = 1,      /* decoding can start here; every raw picture and JPEG is one */
    FRAME_REPLAY = 2,   /* sent again after a break: for recordings, not for live viewers */
    FRAME_REWOUND = 4,  /* first after a break or replay: its number may be lower than the last */
    FRAME_DRIVER = 8,   /* the bytes are a driver's buffer: never past the encoders */
    FRAME_STANDBY = 16, /* not the camera's: says that there is none */
};

/* When each stage finished with the frame, CLOCK_MONOTONIC us of this machine, 0 = not passed. */
enum frame_stage {
    STAGE_CAPTURED, /* the driver's time of the picture (start of exposure or of the transfer) */
    STAGE_DEQUEUED, /* in our hands */
    STAGE_ENCODED,  /* packet ready */
    STAGE_RECEIVED, /* at the receiver: parsed */
    STAGE_COUNT
};

struct frame {
    struct format format;
    unsigned flags;
    uint64_t seq;         /* 1, 2, 3 … per stream; a hole is a loss */
    int64_t capture_us;   /* monotonic clock of the machine that captured it; decode order */
    int64_t wall_us;      /* the same moment, Unix epoch */
    int64_t pts_delay_us; /* presentation minus decoding time; 0 unless the stream has B-frames */
    int64_t stage_us[STAGE_COUNT];

    const uint8_t *data; /* packet, or first byte of the picture */
    size_t size;         /* of a picture whose planes lie in several buffers: of the first plane */
    const uint8_t *plane[FORMAT_MAX_PLANES]; /* raw pictures only; may lie in several buffers */
    int stride[FORMAT_MAX_PLANES];
    /* A driver's buffer that other drivers can read in place (DMABUF), whole picture from offset 0, the
     * owner's to close; -1 = none. */
    int dmabuf_fd;

    /* Owner's part: not for readers. */
    uint8_t *buffer; /* where a producer writes; `data` usually points to it */
    size_t capacity;
    void (*release)(struct frame *frame);
    void *owner;
    struct frame *next_free;
    atomic_uint refs;
};

/* Make `frame` (caller's memory, any content) an empty frame with one reference. */
void frame_init(struct frame *frame, void (*release)(struct frame *), void *owner);

const struct frame *frame_ref(const struct frame *frame);
void frame_unref(const struct frame *frame); /* NULL is fine */

/* Point planes and strides of a raw picture into its data (format.h: format_layout). 0 or -EINVAL
 * when `size` is too small for the format. */
int frame_set_planes(struct frame *frame, int stride0);

/* Copy everything a frame says about its picture (not its bytes, not its owner). */
void frame_copy_meta(struct frame *to, const struct frame *from);
