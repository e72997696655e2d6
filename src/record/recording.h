/* SPDX-License-Identifier: MIT */
/*
 * Recording: one stream as a row of files. Decides where a file begins and ends (always at a key
 * frame): by segment length, by a change of format or parameter sets, by what the file system holds.
 * No thread, no waiting but for the disk.
 * Life: recording_new/recording_free. Threads: one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "naming.h"

struct err;
struct frame;
struct mp4_closed;
struct recording;

struct recording_config {
    struct naming naming;    /* its strings must outlive the recording */
    int64_t segment_time_us; /* 0 = no limit */
    int64_t segment_bytes;   /* 0 = no limit */
    bool replays;            /* what is lost with its file can be asked for: recording_take_lost */
    void (*opened)(void *arg, const char *path);        /* a file has been made */
    void (*closed)(void *arg, struct mp4_closed *file); /* … is finished; takes it over */
    void *arg;
};

struct recording_totals {
    uint64_t written;    /* frames in files, synced, each once */
    uint64_t bytes;      /* of their payload */
    uint64_t discarded;  /* frames that could not be kept */
    uint64_t synced_seq; /* of the newest that is synced */
};

struct recording *recording_new(const struct recording_config *config); /* NULL: no memory */
void recording_free(struct recording *r); /* counts nothing; call recording_end before */

/* 0: taken, or discarded and counted. -EAGAIN: recording_flush first, then this frame again. */
int recording_add(struct recording *r, const struct frame *frame);

/*
 * Write and sync what was added. On an error everything is still held, to be tried again. But when
 * the file itself is lost, the next key frame begins another, and what was held is to be replayed, or,
 * without replays, moves there from its own first key frame on.
 */
int recording_flush(struct recording *r, struct err *err);
bool recording_pending(const struct recording *r); /* is there something to flush? */

/* After a flush failed: were frames lost with their file? Says it once; the first one's number. */
bool recording_take_lost(struct recording *r, uint64_t *seq, uint64_t *frames);

/* There is no file to go on with: it takes a key frame to begin one. */
bool recording_needs_key(const struct recording *r);
/* A segment is over its limits, or frames are refused, and only a key frame helps. */
bool recording_wants_key(const struct recording *r);

/* Other limits, from the next key frame on. */
void recording_limit(struct recording *r, int64_t segment_time_us, int64_t segment_bytes);

/* No more frames: closes the file; what could not be flushed is discarded and counted. */
void recording_end(struct recording *r);

const struct recording_totals *recording_totals(const struct recording *r);
