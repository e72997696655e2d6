/* SPDX-License-Identifier: MIT */
/*
 * Choosing and opening a libavcodec H.264 encoder for live use: no B-frames, no look-ahead, slices for
 * several cores, a bounded rate.
 * Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pcs/err.h"

struct AVCodecContext;
struct AVPacket;
struct encode_config;
struct format;

#define H264_CANDIDATES 2

/*
 * Names to try in turn: the configured one alone, else libx264, libopenh264, as far as this libavcodec
 * has them. Returns how many; 0 with err when there is none. Its h264_v4l2m2m is only used when it is
 * named: it drives the device that encoder_m2m.c drives, copies each picture, and waits without limit.
 */
int h264_codec_candidates(const struct encode_config *config, const char *names[H264_CANDIDATES],
                          struct err *err);

/* Can it take NV12, or only YU12? */
bool h264_codec_takes_nv12(const char *name);

struct h264_codec_setup {
    const char *name;
    const struct encode_config *config;
    const struct format *picture; /* YU12 or NV12; an odd last line or column is left out */
    int64_t bitrate;
    /* libavcodec's callbacks for the memory of packets (NULL: its own), and their ctx->opaque. */
    int (*get_buffer)(struct AVCodecContext *ctx, struct AVPacket *packet, int flags);
    void *opaque;
};

/* Presentation times are microseconds. */
int h264_codec_open(struct AVCodecContext **out, const struct h264_codec_setup *setup,
                    struct err *err);

/* Can its rate change while it is open? */
bool h264_codec_is_live(const struct AVCodecContext *ctx);
/*
 * New rate at the next picture. An encoder counts pictures, not time: `scale` is the real interval of
 * pictures over the nominal one, so that `bitrate` is per second of real time.
 */
void h264_codec_set_rate(struct AVCodecContext *ctx, int64_t bitrate, double scale);
double h264_codec_nominal_us(const struct AVCodecContext *ctx); /* interval of pictures */
