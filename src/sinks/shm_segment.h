/* SPDX-License-Identifier: MIT */
/*
 * A segment as its producer has it: made, named, held, and taken away again. It appears under its name
 * when it is whole; one that a killed producer left behind is replaced, one of a living producer or of
 * something else never.
 *
 * Who may open the camera may read it: mode 0640, group "video" where the program belongs to that, else
 * its own.
 *
 * Life: shm_segment_open → shm_segment_close. Threads: one at a time; has_reader any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "common/proto/shm_ring.h"
#include "pcs/err.h"

struct shm_segment;

struct shm_segment_plan {
    const char *name;   /* with its slash */
    const char *camera; /* what it is called */
    size_t map_size;    /* the most that it may become */
    size_t ring_size;   /* reserved at once; 0: all of it */
    uint32_t slot_count;
};

int shm_segment_open(struct shm_segment **out, const struct shm_segment_plan *plan,
                     struct err *err);
/* Readers learn that it has ended; what they have mapped stays readable for them. NULL is fine. */
void shm_segment_close(struct shm_segment *s);

struct shm_writer *shm_segment_writer(struct shm_segment *s);
/* Make the ring this large, up to map_size; if it grows, its frames are gone. 0 or -ENOSPC. */
int shm_segment_resize(struct shm_segment *s, size_t ring_size);
void shm_segment_wake(struct shm_segment *s); /* after publishing */

/* Somebody has removed the file: no new reader can find it. (logind does, when its user logs out.) */
bool shm_segment_is_lost(const struct shm_segment *s);

/* Readable when a reader may have come or gone, or the file; -1: cannot be known, look every now and then. */
int shm_segment_watch_fd(const struct shm_segment *s);
void shm_segment_drain(struct shm_segment *s); /* what the fd has said */
bool shm_segment_has_reader(const struct shm_segment *s);
