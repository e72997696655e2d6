/* SPDX-License-Identifier: MIT */
#include "params.h"

#include <errno.h>
#include <string.h>

#include "pcs/frame.h"
#include "pcs/h264_scan.h"

bool params_have(const struct params *p, const struct h264_nal *nal)
{
    struct h264_nal known;
    size_t pos = 0;
    while (h264_next_nal(p->data, p->size, &pos, &known)) {
        if (known.size == nal->size && memcmp(known.data, nal->data, nal->size) == 0) {
            return true;
        }
    }
    return false;
}

bool params_cover(const struct params *p, const struct params *other)
{
    struct h264_nal nal;
    size_t pos = 0;
    while (h264_next_nal(other->data, other->size, &pos, &nal)) {
        if (!params_have(p, &nal)) {
            return false;
        }
    }
    return true;
}

static int append(struct params *p, const struct h264_nal *nal)
{
    static const uint8_t start_code[4] = { 0, 0, 0, 1 };
    if (nal->size + sizeof start_code > PARAMS_MAX - p->size) {
        return -EBADMSG;
    }
    memcpy(p->data + p->size, start_code, sizeof start_code);
    memcpy(p->data + p->size + sizeof start_code, nal->data, nal->size);
    p->size += sizeof start_code + nal->size;
    return 0;
}

int params_collect(const struct frame *frame, struct params *out)
{
    struct h264_nal nal;
    size_t pos = 0;
    bool sps = false, pps = false;
    out->size = 0;
    if (frame->format.id != FORMAT_H264) {
        return 0;
    }
    /* They stand in front of the picture: what lies behind its first slice is not looked at. */
    while (h264_next_nal(frame->data, frame->size, &pos, &nal) && nal.type != H264_NAL_IDR &&
           nal.type != H264_NAL_SLICE) {
        sps |= nal.type == H264_NAL_SPS;
        pps |= nal.type == H264_NAL_PPS;
        bool wanted = nal.type == H264_NAL_SPS || nal.type == H264_NAL_PPS;
        if (wanted && !params_have(out, &nal) && append(out, &nal) < 0) {
            return -EBADMSG;
        }
    }
    return sps && pps ? 0 : -EBADMSG;
}
