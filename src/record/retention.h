/* SPDX-License-Identifier: MIT */
/*
 * Retention: which recordings have to go, the oldest first. The decision is pure; retention_run carries
 * it out on files that bear our mark and a name that the pattern makes, never on others, and never on
 * one that is still being written, or made plain or mended by anyone.
 * Threads: any. retention_run blocks as long as the disk does.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct retention_limits {
    uint64_t max_bytes; /* of all of them together; each 0 = no limit */
    int64_t max_age_us; /* since their last frame */
    uint64_t min_free;  /* bytes of the file system that others shall have */
    int64_t since_us;   /* Unix epoch: retention_result.largest is about what was written later */
};

struct retention_file {
    uint64_t bytes;
    int64_t written_us; /* last, Unix epoch */
    bool held;          /* in use: counts, but cannot go */
    bool gone;
};

/* The next one that has to go, of files sorted oldest first (as recorded: a clock may have been set back); `count` when the limits are kept, or
 * nothing can be done about it. `free_bytes`: on the file system now. */
size_t retention_next(const struct retention_file *files, size_t count,
                      const struct retention_limits *limits, int64_t now_us, uint64_t free_bytes);

struct retention_result {
    uint64_t files, bytes; /* that are left, those in use included */
    uint64_t largest;      /* bytes, of those that are not in use and were written since */
    uint64_t removed;
};

/* Look at all recordings of this pattern (naming.h) and remove what has to go; each is logged. 0, or
 * -ENOMEM; what cannot be removed is logged and left. */
int retention_run(const char *pattern, const struct retention_limits *limits,
                  struct retention_result *out);
