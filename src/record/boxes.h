/* SPDX-License-Identifier: MIT */
/*
 * Reading the box structure of our own growing recordings back (ISO/IEC 14496-12, 4.2): how far is
 * the file whole? Pure, over a reader; safe on hostile bytes: memory is bounded and every step moves
 * forward by at least a fragment's head.
 * Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct box_source {
    /* Bytes read, fewer than `size` only at the end, or a negative errno. */
    int (*read)(void *arg, uint64_t offset, void *buf, size_t size);
    void *arg;
    uint64_t size;                /* of the whole */
    bool (*cancelled)(void *arg); /* NULL, or asked now and then */
};

struct box_scan {
    uint32_t codec;              /* from our mark */
    uint64_t header_end;         /* behind moov: where the first fragment begins */
    uint64_t good_end;           /* behind the last whole moof + mdat */
    uint64_t fragments, samples; /* whole ones */
    uint32_t last_duration;      /* of the last sample */
    uint64_t last_start;         /* of the last whole fragment */
    uint64_t last_data;          /* … of its samples */
};

/*
 * 0 with *out; -ENODATA: not a growing recording of ours (no mark, no fragmented moov): leave it
 * alone; -ECANCELED; or the reader's error.
 */
int boxes_scan(const struct box_source *source, struct box_scan *out);

struct box_mark {
    uint32_t codec;  /* MP4_CODEC_... */
    int64_t wall_us; /* of the first frame, Unix epoch */
};
/* Our mark, wherever it stands among the first boxes: growing recordings and plain ones have it. 0 with
 * *out; -ENODATA: not ours; or the reader's error. */
int boxes_find_mark(const struct box_source *source, struct box_mark *out);

/*
 * Does H.264 data in [start, end) hold a run of zero bytes that no access unit can have? After a
 * power cut a file may have its length but not its bytes. 1 yes, 0 no, or the reader's error.
 */
int boxes_find_hole(const struct box_source *source, uint64_t start, uint64_t end);
