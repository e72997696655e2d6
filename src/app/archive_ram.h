/* SPDX-License-Identifier: MIT */
/*
 * The archive's part in memory: the newest frames, by reference, whole groups of pictures. Filled in the
 * publisher's own thread, so it costs no wake-up; a dump is written by a thread of its own from references
 * taken at one moment, while the rest goes on.
 * Life: archive_ram_open → archive_ram_finish → archive_ram_free. Threads: open, finish and free main's;
 * the rest any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pcs/err.h"

struct archive_ram;
struct hub;

struct archive_ram_config {
    const char *pattern; /* of the dumps' names, as in record/recorder.h */
    const char *name;    /* of the camera */
    int64_t max_bytes;
    struct hub *hub;
};

int archive_ram_open(struct archive_ram **out, const struct archive_ram_config *config,
                     struct err *err);
void archive_ram_finish(struct archive_ram *r, int64_t deadline_us); /* of a dump under way */
void archive_ram_free(struct archive_ram *r);

/* See archive_dump. */
int archive_ram_dump(struct archive_ram *r, struct err *err);

struct archive_ram_stats {
    uint64_t taken, refused,
        bytes; /* frames that came, of them not held, and payload, since the start */
    uint64_t held_frames, held_bytes;
    int64_t held_us;
    bool dumping;
    uint64_t dumps;
    char file[256];
    char problem[200];
};
void archive_ram_get_stats(struct archive_ram *r, struct archive_ram_stats *out);
