/* SPDX-License-Identifier: MIT */
/*
 * Lane: how one codec's packets come about. Pictures are encoded, in a thread of their own; what the
 * camera compressed in this codec itself is copied, in the capture thread, when nothing has to be
 * done to it. Either way only while somebody wants it.
 * Life: lane_new → lane_end → lane_free. Threads: lane_opened and lane_frame in the capture thread;
 * lane_stand_in in the standby's; the rest from any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "encode/encode.h"
#include "pcs/err.h"
#include "pcs/format.h"

struct frame;
struct histogram;
struct hub;
struct lane;

struct lane *lane_new(enum format_id codec,
                      const struct encode_config *config); /* NULL: no memory */
/* No more frames: encodes what is in hand and ends the packets. */
void lane_end(struct lane *lane);
void lane_free(struct lane *lane);

struct hub *lane_packets(struct lane *lane);

/* What the source's next frames are. False: they cannot become this codec. */
bool lane_opened(struct lane *lane, const struct format *source);
/* Is nothing done to them on the way? */
bool lane_copies(const struct lane *lane);
/* 0, or why this machine cannot encode (the frame is dropped). */
int lane_frame(struct lane *lane, const struct frame *frame, struct err *err);
/* A stand-in is always encoded. False: nobody wants it. */
bool lane_stand_in(struct lane *lane, const struct frame *picture);
bool lane_wanted(const struct lane *lane);

/* Live: bit rate, quality, overlay. */
void lane_reconfigure(struct lane *lane, const struct encode_config *config);

struct lane_stats {
    uint64_t offered; /* frames of the source and stand-ins that came here */
    uint64_t encoded; /* packets published */
    uint64_t dropped; /* before encoding; those that nobody wanted too */
    uint64_t in_hand; /* pictures that are being encoded, or wait for it */
    char encoder[48]; /* "" when it copies, or before the first frame */
};
void lane_get_stats(struct lane *lane, struct lane_stats *out);
const struct histogram *lane_latency(struct lane *lane); /* picture in hand → packet */
