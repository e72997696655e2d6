/* SPDX-License-Identifier: MIT */
/*
 * Pictures for libavcodec: planar ones are lent to it as they are, packed ones and JPEGs are brought to
 * 4:2:0 in a pool frame first.
 * Life: init/finish. Threads: one at a time.
 */
#pragma once

#include <stdbool.h>

struct AVFrame;
struct format;
struct frame;
struct jpeg_decoder;
struct pool;

struct h264_input {
    struct pool *pool;
    bool keep_nv12;
    struct jpeg_decoder *decoder; /* made at the first JPEG */
    const struct frame *neutral;  /* chroma for grey pictures, one plane for both */
};

void h264_input_init(struct h264_input *input, struct pool *pool, bool keep_nv12);
void h264_input_finish(struct h264_input *input);

/* What h264_input_convert will make of pictures of this format. */
struct format h264_input_format(const struct h264_input *input, const struct format *in);

/* The picture as YU12, NV12 or GREY, with a reference. 0; -EBADMSG: an unusable JPEG; -ENOMEM; -EINVAL. */
int h264_input_convert(struct h264_input *input, const struct frame *in, const struct frame **out);

/*
 * Write a raw picture into the memory of another, YU12 or NV12 of the same size (less an odd last line or
 * column): one pass over its bytes, two for layouts that libyuv does not bring to NV12. 0, -EINVAL or -ENOMEM.
 */
int h264_input_write(struct h264_input *input, const struct frame *picture, struct frame *to);

/* Lend `picture` to `to`, which holds references until av_frame_unref. 0 or -ENOMEM. */
int h264_input_lend(struct h264_input *input, const struct frame *picture, struct AVFrame *to);
