/* SPDX-License-Identifier: MIT */
#include "fragment.h"

#include <errno.h>
#include <stdlib.h>

#include "disk.h"
#include "moof.h"
#include "params.h"
#include "pcs/frame.h"
#include "pcs/h264_scan.h"

/* One run of bytes in the mdat: a NAL unit behind its length, or a whole JPEG. */
struct piece {
    const uint8_t *data;
    uint32_t size;
    uint8_t length[4]; /* big-endian `size` */
};

struct entry {
    const struct frame *frame;
    uint64_t dts;
};

struct fragment {
    struct entry *entry; /* both `space` long */
    struct moof_sample *sample;
    unsigned count, space;
    struct piece *piece;
    unsigned pieces, piece_space;
    bool lengths; /* pieces carry their length: H.264 */
    size_t bytes;
    uint8_t *moof;
    size_t moof_space;
};

struct fragment *fragment_new(void)
{
    return calloc(1, sizeof(struct fragment));
}

void fragment_free(struct fragment *f)
{
    if (!f) {
        return;
    }
    fragment_clear(f);
    free(f->entry);
    free(f->sample);
    free(f->piece);
    free(f->moof);
    free(f);
}

static bool grow_samples(struct fragment *f)
{
    if (f->count < f->space) {
        return true;
    }
    unsigned space = f->space ? f->space * 2 : 64;
    struct entry *entry = realloc(f->entry, space * sizeof *entry);
    f->entry = entry ? entry : f->entry;
    struct moof_sample *sample = realloc(f->sample, space * sizeof *sample);
    f->sample = sample ? sample : f->sample;
    if (!entry || !sample) {
        return false;
    }
    f->space = space;
    return true;
}

static bool grow_pieces(struct fragment *f)
{
    if (f->pieces < f->piece_space) {
        return true;
    }
    unsigned space = f->piece_space ? f->piece_space * 2 : 128;
    struct piece *piece = realloc(f->piece, space * sizeof *piece);
    if (!piece) {
        return false;
    }
    f->piece = piece;
    f->piece_space = space;
    return true;
}

/* 0 or -EAGAIN, -ENOMEM. */
static int add_piece(struct fragment *f, const uint8_t *data, size_t size)
{
    if (f->pieces == FRAGMENT_PIECES) {
        return -EAGAIN;
    }
    if (!grow_pieces(f)) {
        return -ENOMEM;
    }
    f->piece[f->pieces++] = (struct piece){
        .data = data,
        .size = (uint32_t)size,
        .length = { (uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8),
                    (uint8_t)size },
    };
    return 0;
}

static bool left_out(const struct h264_nal *nal, const struct params *params)
{
    return nal->type == H264_NAL_AUD ||
           ((nal->type == H264_NAL_SPS || nal->type == H264_NAL_PPS) && params_have(params, nal));
}

static int add_nals(struct fragment *f, const struct frame *frame, const struct params *params,
                    size_t *bytes)
{
    struct h264_nal nal;
    size_t pos = 0;
    while (h264_next_nal(frame->data, frame->size, &pos, &nal)) {
        if (left_out(&nal, params)) {
            continue;
        }
        int ret = add_piece(f, nal.data, nal.size);
        if (ret < 0) {
            return ret;
        }
        *bytes += sizeof f->piece[0].length + nal.size;
    }
    return *bytes > 0 ? 0 : -EBADMSG;
}

static int add_pieces(struct fragment *f, const struct frame *frame, const struct params *params,
                      size_t *bytes)
{
    if (f->lengths) {
        return add_nals(f, frame, params, bytes);
    }
    *bytes = frame->size;
    return frame->size > 0 ? add_piece(f, frame->data, frame->size) : -EBADMSG;
}

int fragment_add(struct fragment *f, const struct frame *frame, const struct params *params,
                 uint64_t dts, uint32_t pts_offset)
{
    unsigned pieces = f->pieces;
    size_t bytes = 0;
    if (frame->size > UINT32_MAX / 2) {
        return -EBADMSG;
    }
    if (f->count == FRAGMENT_SAMPLES || (f->count > 0 && f->bytes + frame->size > FRAGMENT_BYTES)) {
        return -EAGAIN;
    }
    if (!grow_samples(f)) {
        return -ENOMEM;
    }
    f->lengths = frame->format.id == FORMAT_H264;
    int ret = add_pieces(f, frame, params, &bytes);
    if (ret < 0) {
        f->pieces = pieces;
        return ret == -EAGAIN && f->count == 0 ? -EBADMSG : ret;
    }
    f->entry[f->count] = (struct entry){ .frame = frame_ref(frame), .dts = dts };
    f->sample[f->count] = (struct moof_sample){ .size = (uint32_t)bytes,
                                                .pts_offset = pts_offset,
                                                .key = frame->flags & FRAME_KEY };
    f->count++;
    f->bytes += bytes;
    return 0;
}

unsigned fragment_count(const struct fragment *f)
{
    return f->count;
}

size_t fragment_bytes(const struct fragment *f)
{
    return f->count ? f->bytes + moof_capacity(f->count) : 0;
}

const struct frame *fragment_frame(const struct fragment *f, unsigned i)
{
    return f->entry[i].frame;
}

static void set_durations(struct fragment *f, uint32_t last_duration)
{
    for (unsigned i = 0; i + 1 < f->count; i++) {
        f->sample[i].duration = (uint32_t)(f->entry[i + 1].dts - f->entry[i].dts);
    }
    f->sample[f->count - 1].duration = last_duration;
}

static int put_head(struct fragment *f, struct disk_batch *batch, uint32_t sequence)
{
    size_t need = moof_capacity(f->count);
    if (need > f->moof_space) {
        uint8_t *moof = realloc(f->moof, need);
        if (!moof) {
            return -ENOMEM;
        }
        f->moof = moof;
        f->moof_space = need;
    }
    size_t size = moof_put(f->moof, need, sequence, f->entry[0].dts, f->sample, f->count);
    return disk_put(batch, f->moof, size);
}

int fragment_put(struct fragment *f, struct disk_batch *batch, uint32_t sequence,
                 uint32_t last_duration)
{
    set_durations(f, last_duration);
    int ret = put_head(f, batch, sequence);
    for (unsigned i = 0; ret == 0 && i < f->pieces; i++) {
        if (f->lengths) {
            ret = disk_put(batch, f->piece[i].length, sizeof f->piece[i].length);
        }
        if (ret == 0) {
            ret = disk_put(batch, f->piece[i].data, f->piece[i].size);
        }
    }
    return ret;
}

void fragment_clear(struct fragment *f)
{
    for (unsigned i = 0; i < f->count; i++) {
        frame_unref(f->entry[i].frame);
    }
    f->count = 0;
    f->pieces = 0;
    f->bytes = 0;
}
