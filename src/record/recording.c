/* SPDX-License-Identifier: MIT */
#include "recording.h"

#include <errno.h>
#include <stdlib.h>

#include "mp4.h"
#include "params.h"
#include "pcs/clock.h"
#include "pcs/err.h"
#include "pcs/frame.h"
#include "pcs/log.h"

#define LONGEST_GAP_US (6 * 3600 * CLOCK_S) /* a longer one would not fit a sample's duration */
#define LIMIT_MARGIN   ((uint64_t)64 << 20) /* below a file system's largest file */
#define PATIENCE       3 /* failures before a file is given up that is still there */

struct recording {
    struct recording_config config;
    struct mp4 *file;               /* the one that grows; NULL before a key frame */
    uint64_t gop_start;             /* size of the file before its newest key frame */
    bool wants_key;                 /* the newest frame was no key frame, but should have been */
    unsigned failures;              /* of flushing, in a row */
    uint64_t lost_seq, lost_frames; /* recording_take_lost */
    struct recording_totals totals;
    struct log_limit complaint;
};

struct recording *recording_new(const struct recording_config *config)
{
    struct recording *r = calloc(1, sizeof *r);
    if (r) {
        r->config = *config;
    }
    return r;
}

void recording_free(struct recording *r)
{
    if (!r) {
        return;
    }
    mp4_free(r->file);
    free(r);
}

static void discard(struct recording *r, const char *why)
{
    r->totals.discarded++;
    log_limited(&r->complaint, 10 * CLOCK_S, LOG_WARN, "recording %s: frame not kept: %s",
                r->config.naming.name ? r->config.naming.name : "", why);
}

/* Hand the file over, or drop it when it never came to be. */
static void close_file(struct recording *r)
{
    if (!r->file) {
        return;
    }
    if (!mp4_path(r->file) || mp4_samples(r->file) == 0) {
        mp4_free(r->file);
    } else {
        struct mp4_closed closed;
        mp4_close(r->file, &closed);
        r->config.closed(r->config.arg, &closed);
    }
    r->file = NULL;
}

static bool segment_is_full(const struct recording *r, const struct frame *next)
{
    const struct recording_config *c = &r->config;
    int fps = next->format.fps_num > 0 && next->format.fps_den > 0
                  ? next->format.fps_num / next->format.fps_den + 1
                  : 30;
    int64_t half_frame_us = CLOCK_S / 2 / fps;
    uint64_t size = mp4_size(r->file);
    uint64_t expected = size + (size - r->gop_start); /* the next group is as large as the last */
    uint64_t limit = mp4_limit(r->file) - LIMIT_MARGIN;
    if (c->segment_bytes > 0 && (uint64_t)c->segment_bytes < limit) {
        limit = (uint64_t)c->segment_bytes;
    }
    return expected > limit || (c->segment_time_us > 0 &&
                                mp4_age_us(r->file, next) >= c->segment_time_us - half_frame_us);
}

static bool must_cut(const struct recording *r, const struct frame *key,
                     const struct params *params)
{
    return !mp4_fits(r->file, key, params) || segment_is_full(r, key) ||
           mp4_gap_us(r->file, key) > LONGEST_GAP_US;
}

static int begin_file(struct recording *r, const struct frame *key, const struct params *params)
{
    int ret = mp4_new(&r->file, key, params);
    if (ret < 0) {
        return ret;
    }
    r->gop_start = mp4_size(r->file);
    r->failures = 0;
    return 0;
}

/* A key frame: does it go on in the file, or begin another? -EAGAIN: the old one has work to do. */
static int prepare_key(struct recording *r, const struct frame *key)
{
    struct params params;
    int ret = params_collect(key, &params);
    if (r->file && ret < 0) {
        return 0; /* without parameter sets of its own it needs the file's */
    }
    if (ret < 0) {
        return ret;
    }
    if (r->file && must_cut(r, key, &params)) {
        if (mp4_pending(r->file) > 0) {
            return -EAGAIN;
        }
        close_file(r);
    }
    if (r->file) {
        r->gop_start = mp4_size(r->file);
        return 0;
    }
    return begin_file(r, key, &params);
}

int recording_add(struct recording *r, const struct frame *frame)
{
    bool key = frame->flags & FRAME_KEY;
    r->wants_key = !key && (!r->file || segment_is_full(r, frame));
    if (!r->file && !key) {
        discard(r, "a file begins with a key frame");
        return 0;
    }
    int ret = key ? prepare_key(r, frame) : 0;
    if (ret == 0) {
        ret = mp4_add(r->file, frame);
    }
    if (ret == -EAGAIN || ret == 0) {
        return ret;
    }
    discard(r, ret == -EBADMSG ? "it is not a whole picture" : err_text(ret));
    return 0;
}

/* Frames whose file is lost: from the first key frame on they can begin another. */
static void move_pending(struct recording *r, const struct mp4 *lost)
{
    unsigned count = mp4_pending(lost), i = 0;
    while (i < count && !(mp4_pending_frame(lost, i)->flags & FRAME_KEY)) {
        i++;
    }
    for (unsigned gone = 0; gone < i; gone++) {
        discard(r, "its file is lost");
    }
    for (; i < count; i++) {
        if (recording_add(r, mp4_pending_frame(lost, i)) < 0) {
            discard(r, "its file is lost");
        }
    }
}

static void lose_file(struct recording *r)
{
    struct mp4 *lost = r->file;
    r->file = NULL;
    if (r->config.replays) {
        r->lost_seq = mp4_pending_frame(lost, 0)->seq;
        r->lost_frames = mp4_pending(lost);
    } else {
        move_pending(r, lost);
    }
    mp4_free(lost);
}

/* A full disk is waited for; another error may pass; a deleted file is gone. */
static bool is_lost(struct recording *r, int code)
{
    if (!mp4_path(r->file) || code == -ENOSPC || code == -EDQUOT || code == -ENOMEM) {
        return false;
    }
    return code == -ESTALE || ++r->failures >= PATIENCE;
}

/* What is about to be flushed; a frame that had to be written again counts once. */
static struct recording_totals count_pending(const struct recording *r)
{
    struct recording_totals t = r->totals;
    for (unsigned i = 0; i < mp4_pending(r->file); i++) {
        const struct frame *frame = mp4_pending_frame(r->file, i);
        if (frame->seq > t.synced_seq) {
            t.written++;
            t.bytes += frame->size;
            t.synced_seq = frame->seq;
        }
    }
    return t;
}

int recording_flush(struct recording *r, struct err *err)
{
    if (!recording_pending(r)) {
        return 0;
    }
    bool first = mp4_samples(r->file) == 0;
    struct recording_totals after = count_pending(r);
    int ret = mp4_flush(r->file, &r->config.naming, err);
    if (ret == 0) {
        r->failures = 0;
        r->totals = after;
        if (first) {
            r->config.opened(r->config.arg, mp4_path(r->file));
        }
    } else if (is_lost(r, ret)) {
        lose_file(r);
    }
    return ret;
}

bool recording_pending(const struct recording *r)
{
    return r->file && mp4_pending(r->file) > 0;
}

bool recording_take_lost(struct recording *r, uint64_t *seq, uint64_t *frames)
{
    *seq = r->lost_seq;
    *frames = r->lost_frames;
    r->lost_seq = r->lost_frames = 0;
    return *frames > 0;
}

bool recording_needs_key(const struct recording *r)
{
    return !r->file;
}

bool recording_wants_key(const struct recording *r)
{
    return r->wants_key;
}

void recording_limit(struct recording *r, int64_t segment_time_us, int64_t segment_bytes)
{
    r->config.segment_time_us = segment_time_us;
    r->config.segment_bytes = segment_bytes;
}

void recording_end(struct recording *r)
{
    for (unsigned i = r->file ? mp4_pending(r->file) : 0; i > 0; i--) {
        discard(r, "the recording ended while it could not be written");
    }
    close_file(r);
}

const struct recording_totals *recording_totals(const struct recording *r)
{
    return &r->totals;
}
