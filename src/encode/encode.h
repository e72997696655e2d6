/* SPDX-License-Identifier: MIT */
/*
 * Encode stage: a thread that takes the newest picture from the raw hub, encodes it and publishes
 * the packet at once to the packet hub; it rests while nobody subscribes there.
 * And copy: what a camera compressed itself goes through untouched, in the capture thread.
 * Life: encode_start → encode_stop → encode_free by the pipeline; statistics can be read until free. The
 * subscribers of `packets` leave before encode_free, which they would still call.
 * Threads: start, stop and free from main; the rest from any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "encode/encoder.h"
#include "pcs/option.h"
#include "pcs/stats.h"

struct encode;
struct hub;

extern const struct option_def encode_options[];
extern const size_t encode_option_count;
extern const struct option_def encode_picture_options[]; /* for the section "picture" */
extern const size_t encode_picture_option_count;

/* What the configured --codec makes of a source of this format (auto: what is compressed already
 * stays, else H.264). */
enum format_id encode_output(const struct encode_config *config, enum format_id source);

/* Can frames of `source` become `output` in the encoders? Only H.264 cannot: it is not decoded here. */
bool encode_accepts(const struct format *source, enum format_id output);

/*
 * Becomes the producer of `packets` (hub_on_demand). The encoder opens at the first frame. 0 or a
 * negative errno with err: -ENOENT when nothing here makes `output`.
 */
int encode_start(struct encode **out, const struct encode_config *config, enum format_id output,
                 struct hub *raw, struct hub *packets, struct err *err);
/* The raw hub has ended or ends now: encodes what is queued, drains, ends the packet hub, joins. */
void encode_stop(struct encode *e);
void encode_free(struct encode *e); /* stops it first when that was not done */

/* Live: take effect at the next picture. */
void encode_set_bitrate(struct encode *e, int64_t bitrate);
void encode_set_quality(struct encode *e, int quality);
void encode_set_overlay(struct encode *e, const char *overlay);

struct encode_stats {
    uint64_t taken;   /* pictures the stage was offered (none while resting) */
    uint64_t encoded; /* packets published */
    uint64_t dropped; /* pictures not encoded: newer ones were there, unusable, or encoder failed */
    char encoder[48]; /* "libx264", "libjpeg-turbo"; "" before the first frame */
};
/* taken = encoded + dropped, but for what is in hand at this moment. */
void encode_get_stats(struct encode *e, struct encode_stats *out);
const struct histogram *encode_latency(const struct encode *e); /* picture in hand → packet */

/*
 * Number a packet, stamp it encoded, publish it (hub_publish_next) and drop the caller's reference. The
 * stage and the capture thread that copies take turns when a camera goes and comes back. False: refused.
 */
bool encode_publish(struct hub *packets, const struct frame *packet);

/*
 * Copy: one frame of a camera's own JPEG or H.264 to a packet that keeps format.h's promises (tables
 * and parameter sets added, padding cut). A driver's bytes (FRAME_DRIVER) are copied once into a pool
 * frame, so that the driver gets its buffer back at once; a frame that nobody else holds and that
 * needs no change is passed on as it is. Not thread-safe; one per source.
 */
struct copy;
struct copy *copy_new(struct pool *pool);
void copy_free(struct copy *c);
void copy_restart(struct copy *c); /* the packets were interrupted: go on at a key frame */
void copy_forget(struct copy *c);  /* another camera may send now, with other habits */
/* 0 with *out (one reference); -EBADMSG: cut or corrupt, drop it; -EAGAIN: nothing to send yet (H.264
 * before its first key frame); -ENOTSUP: a coding no viewer would take; -ENOMEM. */
int copy_frame(struct copy *c, const struct frame *in, const struct frame **out);
