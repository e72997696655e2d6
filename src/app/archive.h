/* SPDX-License-Identifier: MIT */
/*
 * Archive: the stream in crash-safe MP4 segments in a folder (--archive), bounded, the oldest going first;
 * and the last of it in memory (--archive-ram), written to a file of its own when somebody asks: what
 * happened before anyone knew that it mattered.
 * Life: the sink's. Threads: any; nothing here waits.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pcs/err.h"
#include "pcs/sink.h"

extern const struct sink_backend sink_archive;

enum archive_state {
    ARCHIVE_NONE,      /* no --archive */
    ARCHIVE_OFF,       /* recording was stopped */
    ARCHIVE_RECORDING, /* or about to begin, at the next key frame */
    ARCHIVE_PAUSED,    /* disk full, slow or gone: `problem` says; goes on by itself */
};

extern const char *const archive_state_names[]; /* NULL at the end */

struct archive_status {
    enum archive_state state;
    char problem[200];                 /* "" = none */
    char file[256];                    /* newest segment's path, cut to this; "" = none yet */
    uint64_t segments, written, bytes; /* files, frames and their payload, since the start */
    uint64_t held_bytes,
        limit_bytes;  /* all our segments in the folder when last looked at; 0 = no limit */
    uint64_t removed; /* segments that had to go */

    bool ram, dumping;              /* --archive-ram; a dump is being written */
    uint64_t ram_frames, ram_bytes; /* held now */
    int64_t ram_us;                 /* from the first to the last of them */
    uint64_t dumps;                 /* written so far */
    char dump_file[256];            /* the newest, "" = none */
    char dump_problem[200];         /* of the last one, "" = none */
};
void archive_get_status(struct sink *archive, struct archive_status *out);

/* Start or stop recording to disk; done soon by the archive's own thread, the status tells. 0, or
 * -ENOTSUP with a line: there is no --archive. */
int archive_record(struct sink *archive, bool on, struct err *err);

/* Write what memory holds to a file beside the segments, in a thread of its own. 0: begun; -ENOTSUP: no
 * --archive-ram; -ENODATA: nothing is held yet; -EBUSY: one is being written. */
int archive_dump(struct sink *archive, struct err *err);
