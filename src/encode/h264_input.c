/* SPDX-License-Identifier: MIT */
#include "h264_input.h"

#include <errno.h>
#include <string.h>

#include <libavutil/frame.h>
#include <libyuv.h>

#include "jpeg_decode.h"
#include "pcs/frame.h"
#include "pcs/pool.h"
#include "picture.h"

void h264_input_init(struct h264_input *input, struct pool *pool, bool keep_nv12)
{
    *input = (struct h264_input){ .pool = pool, .keep_nv12 = keep_nv12 };
}

void h264_input_finish(struct h264_input *input)
{
    jpeg_decoder_free(input->decoder);
    frame_unref(input->neutral);
    *input = (struct h264_input){ 0 };
}

struct format h264_input_format(const struct h264_input *input, const struct format *in)
{
    struct format f = *in;
    if (in->id == FORMAT_JPEG) {
        f.range = COLOR_RANGE_FULL;
        f.matrix = COLOR_MATRIX_601;
    } else if (in->id == FORMAT_RGB24) {
        f.range = COLOR_RANGE_LIMITED;
        f.matrix = COLOR_MATRIX_601;
    }
    if (in->id != FORMAT_GREY && !(in->id == FORMAT_NV12 && input->keep_nv12)) {
        f.id = FORMAT_YU12;
    }
    return f;
}

static uint8_t *plane(struct frame *f, int i)
{
    return f->buffer + (f->plane[i] - f->data);
}

static int to_yu12(const struct frame *in, struct frame *out)
{
    const uint8_t *p = in->plane[0];
    uint8_t *y = plane(out, 0), *u = plane(out, 1), *v = plane(out, 2);
    int from = in->stride[0], luma = out->stride[0], chroma = out->stride[1];
    int width = out->format.width, height = out->format.height;
    switch (in->format.id) {
    case FORMAT_YUYV:
        return YUY2ToI420(p, from, y, luma, u, chroma, v, chroma, width, height);
    case FORMAT_UYVY:
        return UYVYToI420(p, from, y, luma, u, chroma, v, chroma, width, height);
    case FORMAT_NV12:
        return NV12ToI420(p, from, in->plane[1], in->stride[1], y, luma, u, chroma, v, chroma,
                          width, height);
    case FORMAT_RGB24: /* libyuv's "RAW" is R, G, B in memory */
        return RAWToI420(p, from, y, luma, u, chroma, v, chroma, width, height);
    default:
        return -1;
    }
}

static int decode(struct h264_input *input, const struct frame *in, const struct frame **out)
{
    struct frame *picture = NULL;
    if (!input->decoder) {
        input->decoder = jpeg_decoder_new(input->pool);
    }
    int rc = input->decoder ? jpeg_decode(input->decoder, in, &picture) : -ENOMEM;
    if (rc == 0) {
        *out = picture;
    }
    return rc == -ENOTSUP ? -EBADMSG : rc;
}

int h264_input_convert(struct h264_input *input, const struct frame *in, const struct frame **out)
{
    if (in->format.id == FORMAT_JPEG) {
        return decode(input, in, out);
    }
    struct format format = h264_input_format(input, &in->format);
    if (format.id == in->format.id) {
        *out = frame_ref(in);
        return 0;
    }
    struct frame *picture = picture_like(input->pool, in, &format);
    if (!picture) {
        return -ENOMEM;
    }
    if (to_yu12(in, picture)) {
        frame_unref(picture);
        return -EINVAL;
    }
    *out = picture;
    return 0;
}

/* ---- into a given buffer ---- */

static int to_nv12(const struct frame *in, struct frame *out)
{
    const uint8_t *p = in->plane[0];
    uint8_t *y = plane(out, 0), *uv = plane(out, 1);
    int from = in->stride[0], luma = out->stride[0], chroma = out->stride[1];
    int width = out->format.width, height = out->format.height;
    switch (in->format.id) {
    case FORMAT_YUYV:
        return YUY2ToNV12(p, from, y, luma, uv, chroma, width, height);
    case FORMAT_UYVY:
        return UYVYToNV12(p, from, y, luma, uv, chroma, width, height);
    case FORMAT_YU12:
        return I420ToNV12(p, from, in->plane[1], in->stride[1], in->plane[2], in->stride[2], y,
                          luma, uv, chroma, width, height);
    default:
        return -1;
    }
}

/* Planes that are right as they are; grey has one, and the others are neutral. */
static int copy_planes(const struct frame *in, struct frame *out)
{
    const struct format_info *info = format_info(out->format.id);
    for (int i = 0; i < info->planes; i++) {
        int shift_x = info->plane_shift_x[i], shift_y = info->plane_shift_y[i];
        int bytes = ((out->format.width + shift_x) >> shift_x) * info->bytes_per_sample[i];
        int lines = (out->format.height + shift_y) >> shift_y;
        if (i > 0 && in->format.id == FORMAT_GREY) {
            SetPlane(plane(out, i), out->stride[i], bytes, lines, 128);
        } else {
            CopyPlane(in->plane[i], in->stride[i], plane(out, i), out->stride[i], bytes, lines);
        }
    }
    return 0;
}

int h264_input_write(struct h264_input *input, const struct frame *picture, struct frame *to)
{
    const struct frame *planar = NULL;
    if (picture->format.id == to->format.id || picture->format.id == FORMAT_GREY) {
        return copy_planes(picture, to);
    }
    int failed = to->format.id == FORMAT_NV12 ? to_nv12(picture, to) : to_yu12(picture, to);
    if (!failed) {
        return 0;
    }
    int rc = h264_input_convert(input, picture, &planar);
    if (rc == 0) {
        rc = to->format.id == FORMAT_NV12 && !to_nv12(planar, to) ? 0 : -EINVAL;
    }
    frame_unref(planar);
    return rc;
}

/* ---- lending ---- */

static void release_loan(void *opaque, uint8_t *data)
{
    (void)data;
    frame_unref(opaque);
}

/* A reference to `frame` in libavutil's shape, for these of its bytes. */
static AVBufferRef *lend_bytes(const struct frame *frame, const uint8_t *data, size_t size)
{
    AVBufferRef *ref = av_buffer_create((uint8_t *)data, size, release_loan, (void *)frame,
                                        AV_BUFFER_FLAG_READONLY);
    if (ref) {
        (void)frame_ref(frame); /* release_loan's */
    }
    return ref;
}

static int make_neutral(struct h264_input *input, int stride, int lines)
{
    size_t size = (size_t)stride * (size_t)lines;
    if (input->neutral && input->neutral->size >= size) {
        return 0;
    }
    struct frame *f = pool_get(input->pool, size);
    if (!f) {
        return -ENOMEM;
    }
    memset(f->buffer, 128, size);
    f->size = size;
    frame_unref(input->neutral);
    input->neutral = f;
    return 0;
}

static int lend_neutral(struct h264_input *input, const struct frame *picture, struct AVFrame *to)
{
    int stride = (picture->format.width + 1) / 2;
    int rc = make_neutral(input, stride, (picture->format.height + 1) / 2);
    to->buf[1] = rc ? NULL : lend_bytes(input->neutral, input->neutral->data, input->neutral->size);
    if (!to->buf[1]) {
        return -ENOMEM;
    }
    for (int i = 1; i < 3; i++) {
        to->data[i] = (uint8_t *)input->neutral->data;
        to->linesize[i] = stride;
    }
    return 0;
}

/* The planes that lie outside of the picture's data, in a driver's buffer of several memories: libavutil
 * wants each byte it reads to be in one of the buffers. */
static int lend_other_memories(const struct frame *picture, struct AVFrame *to)
{
    const struct format_info *info = format_info(picture->format.id);
    for (int i = 1; i < info->planes; i++) {
        const uint8_t *p = picture->plane[i];
        if (p >= picture->data && p < picture->data + picture->size) {
            continue;
        }
        size_t lines = (size_t)(picture->format.height + (1 << info->plane_shift_y[i]) - 1) >>
                       info->plane_shift_y[i];
        to->buf[i] = lend_bytes(picture, p, (size_t)picture->stride[i] * lines);
        if (!to->buf[i]) {
            return -ENOMEM;
        }
    }
    return 0;
}

int h264_input_lend(struct h264_input *input, const struct frame *picture, struct AVFrame *to)
{
    to->width = picture->format.width & ~1;
    to->height = picture->format.height & ~1;
    to->format = picture->format.id == FORMAT_NV12 ? AV_PIX_FMT_NV12 : AV_PIX_FMT_YUV420P;
    to->buf[0] = lend_bytes(picture, picture->data, picture->size);
    int rc = to->buf[0] ? lend_other_memories(picture, to) : -ENOMEM;
    for (int i = 0; i < FORMAT_MAX_PLANES; i++) {
        to->data[i] = (uint8_t *)picture->plane[i];
        to->linesize[i] = picture->stride[i];
    }
    if (!rc && picture->format.id == FORMAT_GREY) {
        rc = lend_neutral(input, picture, to);
    }
    if (rc) {
        av_frame_unref(to);
    }
    return rc;
}
