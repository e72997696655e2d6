/* SPDX-License-Identifier: MIT */
/*
 * The first bytes of a growing recording: ftyp, our mark (a `free` box that only we look at), and a
 * moov without samples, made by libavformat. A plain recording keeps its mark, behind its moov: so what
 * is ours to mend or to remove can be told from anyone else's files.
 * Threads: any.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct frame;
struct params;

/* For a file whose first frame is `first`. *out on the heap. 0 or a negative errno. */
int mp4_header_make(const struct frame *first, const struct params *params, uint8_t **out,
                    size_t *size);

struct writer;
void mp4_mark_write(struct writer *w, uint32_t codec, int64_t wall_us);

/*
 * Mark: box type `free`, then
 *   8 bytes MP4_MARK_MAGIC · be32 version · be32 codec (fourcc) · be64 wall time of the first frame, us
 */
#define MP4_MARK_MAGIC   "pcs-rec\n"
#define MP4_MARK_VERSION 1
#define MP4_MARK_BYTES   32         /* the whole box */
#define MP4_CODEC_H264   0x61766331 /* "avc1" */
#define MP4_CODEC_JPEG   0x6D6A7067 /* "mjpg" */
