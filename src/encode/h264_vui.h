/* SPDX-License-Identifier: MIT */
/*
 * Colours for H.264 that says nothing of them: hardware encoders write no VUI, and players would guess. Key
 * frames, in whose SPS it stands, are rewritten by libavcodec's h264_metadata; others are not touched.
 * Life: zero-initialised, finish. Threads: one at a time.
 */
#pragma once

#include <stdbool.h>

#include "pcs/format.h"

struct AVBSFContext;
struct frame;
struct pool;

struct h264_vui {
    struct AVBSFContext *filter; /* made at the first key frame that needs it */
    struct format format;        /* what it writes */
    bool useless;                /* this libavcodec has no such filter, or it failed */
};

void h264_vui_finish(struct h264_vui *v);

/* A key frame (not published yet) with the colours of `f`: `packet` itself, or another in its place. */
struct frame *h264_vui_tell(struct h264_vui *v, const struct format *f, struct pool *pool,
                            struct frame *packet);
