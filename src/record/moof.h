/* SPDX-License-Identifier: MIT */
/*
 * The movie fragment box (ISO/IEC 14496-12, 8.8.4 … 8.8.12) as our files have it: one track, one run,
 * the data in the `mdat` right behind. Written and, for recovery, read by the same file.
 *
 * Why not libavformat's fragments: it gathers a fragment in a growing buffer through a 1 KiB stage,
 * two copies and a reallocation of every byte, moves the first time stamp of each fragment to where
 * the durations before it end, and cannot write a fragment a second time after an error. Here the
 * frames go from where they are to the file, and each fragment says its own time.
 * Threads: any, pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MOOF_TIMESCALE 90000 /* ticks a second: a 32-bit duration in them lasts 13 hours */
#define MDAT_HEADER    8

struct moof_sample {
    uint32_t duration, size;
    uint32_t pts_offset; /* presentation minus decoding time */
    bool key;
};

/* Bytes that moof_put needs for `count` samples, the mdat's header included. */
size_t moof_capacity(unsigned count);

/* Write moof and the header of its mdat; returns their size. `sequence` counts from 1. */
size_t moof_put(uint8_t *out, size_t capacity, uint32_t sequence, uint64_t dts,
                const struct moof_sample *samples, unsigned count);

struct moof_info {
    uint32_t sequence;
    unsigned samples;
    uint64_t dts, bytes;    /* of the first sample; of all samples */
    uint32_t last_duration; /* of the last sample */
};
/* A whole moof box, from its size on. 0 or -EBADMSG when it is not one of ours. */
int moof_parse(const uint8_t *data, size_t size, struct moof_info *out);
