/* SPDX-License-Identifier: MIT */
/*
 * The archive's part on disk: a recorder whose segments are bounded in size and number, started and
 * stopped at run time. A thread of its own does what may wait: starting, ending, removing old segments.
 * Life: archive_disk_open → archive_disk_finish → archive_disk_free. Threads: open, finish and free
 * main's; the rest any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pcs/err.h"

struct archive_disk;
struct hub;

struct archive_disk_config {
    const char *folder;
    const char *pattern; /* of the segments' names, as in record/recorder.h */
    const char *name;    /* of the camera */
    int64_t max_bytes;   /* of all segments together; 0 = no limit */
    int64_t segment_time_us;
    struct hub *hub;
};

/* Records from now on. */
int archive_disk_open(struct archive_disk **out, const struct archive_disk_config *config,
                      struct err *err);
void archive_disk_finish(struct archive_disk *d, int64_t deadline_us);
void archive_disk_free(struct archive_disk *d);

void archive_disk_record(struct archive_disk *d, bool on);
/* Other limits than the config's, from now on. One thread at a time. */
void archive_disk_limit(struct archive_disk *d, int64_t max_bytes, int64_t segment_time_us);

struct archive_disk_stats {
    bool recording, paused;
    bool idle; /* nothing is waiting to be written */
    char problem[200];
    char file[256];
    uint64_t segments, written, bytes;
    uint64_t queued;  /* taken and not yet on disk */
    uint64_t refused; /* could not be kept; what came while it was off is not among them */
    uint64_t held_bytes, limit_bytes, removed;
};
void archive_disk_get_stats(struct archive_disk *d, struct archive_disk_stats *out);
