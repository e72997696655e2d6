/* SPDX-License-Identifier: MIT */
/*
 * Decoding what cannot pass through: libavcodec's pictures as raw frames, in place when their layout
 * is one of ours, else converted by libswscale.
 * Life: input_decode_open/input_decode_close. Threads: the capture thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pcs/err.h"
#include "pcs/format.h"

struct AVCodecParameters;
struct AVPacket;
struct AVRational;
struct frame;
struct input_decode;
struct input_frames;

/* Colours as libav names them (enum AVColorRange, AVColorSpace); nothing said = limited, by size. */
void input_colors(struct format *f, int av_range, int av_space);

struct input_decode_setup {
    const struct AVCodecParameters *codec;
    int time_base_num, time_base_den; /* of the packets */
    bool live;                        /* no delay for the sake of threads */
    enum format_id wanted;            /* --format; FORMAT_NONE = what is nearest */
    struct input_frames *frames;
};

/* -ENOTSUP when this FFmpeg cannot decode it. *format is what the first picture probably is. */
int input_decode_open(struct input_decode **out, const struct input_decode_setup *setup,
                      struct format *format, struct err *err);
void input_decode_close(struct input_decode *d);

/* NULL drains. 0, or libav's error. */
int input_decode_send(struct input_decode *d, const struct AVPacket *packet);
/* 0 with a frame (format without its rate, planes) and its time in the packets' time base
 * (AV_NOPTS_VALUE: none), or libav's error: EAGAIN, EOF … */
int input_decode_receive(struct input_decode *d, struct frame **out, int64_t *time);
void input_decode_flush(struct input_decode *d); /* before packets from elsewhere in the file */
