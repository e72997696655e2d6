/* SPDX-License-Identifier: MIT */
/*
 * Recorder: a thread that takes frames from its queue and keeps them in crash-safe MP4 files
 * (docs/architecture.md, "What is on disk, when"). The file grows in fragments under its final name;
 * on a clean end it becomes a plain MP4 with the index in front, replaced by rename. When the disk is
 * full or slow the recorder pauses with an error, keeps what it holds, and goes on when it can.
 *
 * Life: recorder_start → frames through `queue` → recorder_finish → recorder_free.
 * Threads: main or session; callbacks come from the recorder's thread, without locks.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pcs/err.h"

struct queue;
struct recorder;

struct recorder_config {
    const char *pattern;     /* --output: %n name, %s number, the rest strftime */
    const char *name;        /* of the camera; made safe for file names here */
    unsigned number;         /* of the sender, for %s */
    int64_t segment_time_us; /* 0 = one file */
    int64_t segment_bytes;   /* 0 = no limit */
    int64_t sync_us;         /* the most that a power cut may lose */

    /* Every frame up to `seq` is on disk (fdatasync has returned). */
    void (*synced)(void *arg, uint64_t seq);
    /* The queue had to refuse frames while the disk was away: send them again from `seq` on. Frames
     * that come meanwhile are ignored until `seq`, or one with FRAME_REWOUND set, arrives. May be
     * NULL: then the gap stays. */
    void (*replay)(void *arg, uint64_t seq);
    void (*opened)(void *arg, const char *path); /* a file has been made; may be NULL */
    /* The next file is due and only waits for a key frame: now would be a good time. Now and then, until
     * there is one. May be NULL. */
    void (*want_key)(void *arg);
    void *arg;
};

/*
 * Checks that the first file can be made (folder exists and is writable), starts the thread. The file
 * itself is made by the first sync behind a key frame. `queue` is QUEUE_ALL; the recorder takes a
 * reference.
 */
int recorder_start(struct recorder **out, const struct recorder_config *config, struct queue *queue,
                   struct err *err);

/* The queue is closed or is closed now: writes what is queued, syncs, makes the file plain (given up
 * at `deadline_us`, the fragmented file stays and plays), joins. Safe to call once. */
void recorder_finish(struct recorder *r, int64_t deadline_us);
/* Bring the deadline nearer while another thread is in recorder_finish, or about to be. Any thread. */
void recorder_hurry(struct recorder *r, int64_t deadline_us);
void recorder_free(struct recorder *r);
/* Other limits of a segment than the config's, from the next key frame on. Any thread. */
void recorder_limit(struct recorder *r, int64_t segment_time_us, int64_t segment_bytes);

struct recorder_stats {
    uint64_t written;   /* frames in files, each once */
    uint64_t bytes;     /* of their payload */
    uint64_t discarded; /* frames that could not be kept */
    uint64_t synced_seq;
    bool paused;       /* disk full, gone or slow */
    char problem[200]; /* why, "" when not paused */
};
void recorder_get_stats(struct recorder *r, struct recorder_stats *out);

/* Paths of its files in order (the first 65536), `each` called for every one; valid until
 * recorder_free. */
void recorder_each_file(struct recorder *r, void (*each)(void *arg, const char *path), void *arg);

/* Can files be made by this pattern at all? For start-up: 0 or a negative errno with a line. */
int record_check_pattern(const char *pattern, struct err *err);

/*
 * Recordings that an earlier run left unfinished (killed, power cut) under names this pattern makes:
 * cut a torn last box, then make them plain. Only files that carry our mark and that nobody has open
 * for recording are touched; temporary files of dead runs are removed. Returns how many were mended.
 * Blocks; `stop` ends it early (what is not mended still plays).
 */
struct stop;
int record_recover(const char *pattern, struct stop *stop);
