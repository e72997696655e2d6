/* SPDX-License-Identifier: MIT */
/*
 * A segment as a reader has it: found by its name, checked, mapped read-only, and locked for reading, which
 * is how the producer knows that it has readers (and by which one that dies is forgotten).
 * Life: a zeroed struct with fd -1 → segment_wait → segment_detach. Threads: the reader's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/proto/shm_ring.h"

#define SEGMENT_NAME_MAX 200

struct segment {
    int fd;
    const void *map; /* NULL: detached */
    size_t mapped;
    size_t readable;      /* of it, what the file had when it was last measured */
    struct shm_head head; /* a copy, checked; what changes in it is of no use */
    uint32_t uid;         /* of the file's owner */
};

/* What a public struct pcs_shm is. */
struct pcs_shm {
    struct segment segment;
    struct shm_reader reader;
    unsigned flags;
    uint32_t attachment; /* counts them: a frame of an earlier one is worth nothing */
    int64_t looked_ms;   /* when the producer was last known to live */
    char name[SEGMENT_NAME_MAX];
};

/* `name` with its slash in front: 0, or -EINVAL. */
int segment_name(char *out, size_t size, const char *name);

/* Attach to a live producer's segment; wait for one until `deadline_ms` of the clock `now_ms`. */
int segment_wait(struct segment *s, const char *name, int64_t deadline_ms, int64_t (*now_ms)(void));
void segment_detach(struct segment *s);

void segment_measure(struct segment *s);
bool segment_alive(const struct segment *s); /* is its producer? */
/* Does another producer live under that name? */
bool segment_replaced(const struct segment *s, const char *name);
