/* SPDX-License-Identifier: MIT */
/*
 * One growing recording: a fragmented MP4 that plays at any moment. The file is made by the first
 * flush, stays locked (flock) while it is open, and each flush adds one fragment and syncs it. A
 * flush that fails changes nothing: the frames are still held and it can be tried again.
 * Time stamps are capture times, so what is missing leaves a gap.
 * Life: mp4_new → mp4_add, mp4_flush … → mp4_close or mp4_free. Threads: one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct frame;
struct mp4;
struct naming;
struct params;

/* For a stream that begins with this key frame; it is not added yet. 0, -ENOMEM, or -EINVAL when no
 * file can be made of it. */
int mp4_new(struct mp4 **out, const struct frame *key, const struct params *params);
/* Drops what was not flushed. */
void mp4_free(struct mp4 *m);

/* Can this key frame with its parameter sets go on in this file? */
bool mp4_fits(const struct mp4 *m, const struct frame *key, const struct params *params);

/* 0; -EAGAIN: flush first; -EBADMSG: nothing in it to keep; -ENOMEM. */
int mp4_add(struct mp4 *m, const struct frame *frame);

/*
 * Write and sync what was added; the first time also make the file (named by `naming`) and sync its
 * folder. 0 or a negative errno with a line; on errors the file is cut back to its last whole
 * fragment. -ESTALE: the file has been deleted.
 */
int mp4_flush(struct mp4 *m, const struct naming *naming, struct err *err);

unsigned mp4_pending(const struct mp4 *m); /* frames added and not yet flushed */
const struct frame *mp4_pending_frame(const struct mp4 *m, unsigned i); /* borrowed */

const char *mp4_path(const struct mp4 *m); /* NULL before the first flush */
uint64_t mp4_samples(const struct mp4 *m); /* flushed */
uint64_t mp4_size(const struct mp4 *m);    /* bytes, with what is pending */
uint64_t mp4_limit(const struct mp4 *m);   /* the largest file the file system can hold */
int64_t mp4_age_us(const struct mp4 *m, const struct frame *frame); /* since its first frame */
int64_t mp4_gap_us(const struct mp4 *m, const struct frame *frame); /* since its last frame */

/* A recording that grows no more: what plain_make wants. */
struct mp4_closed {
    char *path;             /* heap */
    int fd;                 /* still locked */
    uint64_t samples;       /* in it */
    uint32_t last_duration; /* of the last one, ticks: no later one tells */
};
/* Ends a recording that is flushed and has a file; frees `m`. */
void mp4_close(struct mp4 *m, struct mp4_closed *out);
void mp4_closed_finish(struct mp4_closed *c); /* closes, unlocks, frees the path */
