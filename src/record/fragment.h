/* SPDX-License-Identifier: MIT */
/*
 * Fragment: the frames since the last sync, and how they become one moof + mdat. The frames are held
 * by reference and written from where they are; they are let go only when the caller knows them safe
 * on disk, so a failed write can simply be done again.
 * Bounded in samples, bytes and NAL units; its tables grow to that and stay.
 * Life: fragment_new/fragment_free. Threads: one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk_batch;
struct fragment;
struct frame;
struct params;

#define FRAGMENT_BYTES   ((size_t)4 << 20) /* then it must be written; one frame always fits */
#define FRAGMENT_SAMPLES 1024
#define FRAGMENT_PIECES  16384

struct fragment *fragment_new(void);
void fragment_free(struct fragment *f);

/*
 * Add a frame (takes a reference) at these ticks. For H.264 `params` are the file's: its NAL units
 * get lengths in place of start codes, delimiters and known parameter sets are left out.
 * 0; -EAGAIN: full, write it first; -EBADMSG: nothing in it to keep; -ENOMEM.
 */
int fragment_add(struct fragment *f, const struct frame *frame, const struct params *params,
                 uint64_t dts, uint32_t pts_offset);

unsigned fragment_count(const struct fragment *f);
size_t fragment_bytes(const struct fragment *f); /* in the file: samples, moof, mdat header */
const struct frame *fragment_frame(const struct fragment *f, unsigned i); /* borrowed */

/* Put all of it into `batch`, the last sample lasting `last_duration`. Nothing is let go. */
int fragment_put(struct fragment *f, struct disk_batch *batch, uint32_t sequence,
                 uint32_t last_duration);

void fragment_clear(struct fragment *f);
