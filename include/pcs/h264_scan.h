/* SPDX-License-Identifier: MIT */
/*
 * H.264 scanner (ITU-T H.264 Annex B and 7.3): NAL units, key frames, parameter sets, picture size.
 * Threads: any, pure. Safe on hostile bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum h264_nal_type {
    H264_NAL_SLICE = 1,
    H264_NAL_PARTITION_A = 2,
    H264_NAL_IDR = 5,
    H264_NAL_SEI = 6,
    H264_NAL_SPS = 7,
    H264_NAL_PPS = 8,
    H264_NAL_AUD = 9,
};

struct h264_nal {
    const uint8_t *data; /* the NAL header byte; behind the start code */
    size_t size;         /* without trailing zero bytes; never 0 */
    int type;            /* nal_unit_type, 0..31 */
};

/* Walk an Annex B buffer: *pos starts at 0. False at the end. */
bool h264_next_nal(const uint8_t *data, size_t size, size_t *pos, struct h264_nal *out);

struct h264_unit_info {
    bool has_idr, has_sps, has_pps, has_slice,
        has_aud;              /* an IDR picture's slices count as slices */
    struct h264_nal sps, pps; /* the first of each, borrowed */
};
/* Up to the first slice: sets and delimiters stand in front of it (7.4.1.2.3). */
void h264_scan_unit(const uint8_t *data, size_t size, struct h264_unit_info *out);

struct h264_sps {
    int profile_idc, constraint_flags, level_idc;
    int chroma_format; /* 0 = grey, 1 = 4:2:0, 2 = 4:2:2, 3 = 4:4:4 */
    int luma_bits, chroma_bits;
    int width, height;               /* cropped; 1..FORMAT_MAX_SIZE */
    bool full_range;                 /* VUI video_full_range_flag */
    int primaries, transfer, matrix; /* VUI, code points of ITU-T H.273; 2 = unspecified */
    int fps_num, fps_den;            /* VUI timing (per frame), 0/1 when absent */
};
/* 0 or -EBADMSG. `sps` is the NAL unit from its header byte on, emulation prevention included. */
int h264_parse_sps(const uint8_t *sps, size_t size, struct h264_sps *out);

/* avcC (ISO/IEC 14496-15, 5.3.3.1) from one SPS and one PPS; 4-byte lengths. Returns its size, or
 * -ENOSPC / -EBADMSG. */
int h264_make_avcc(const struct h264_nal *sps, const struct h264_nal *pps, uint8_t *out,
                   size_t capacity);
