/* SPDX-License-Identifier: MIT */
#include "pcs/h264_scan.h"

#include <errno.h>
#include <string.h>

#include "pcs/bytes.h"
#include "pcs/format.h"

/* First byte of the next 00 00 01 at or behind `p`, or `end`. */
static const uint8_t *find_start_code(const uint8_t *p, const uint8_t *end)
{
    /* Looking for the 01 skips faster than looking for zeros: it is as rare in coded data, and two
     * bytes before it decide. */
    if (end - p < 3) {
        return end;
    }
    for (const uint8_t *one = p + 2; one < end; one++) {
        one = memchr(one, 1, (size_t)(end - one));
        if (!one) {
            return end;
        }
        if (one[-1] == 0 && one[-2] == 0) {
            return one - 2;
        }
    }
    return end;
}

bool h264_next_nal(const uint8_t *data, size_t size, size_t *pos, struct h264_nal *out)
{
    const uint8_t *end = data + size;
    while (size - *pos > 3) {
        const uint8_t *nal = find_start_code(data + *pos, end);
        if (end - nal <= 3) {
            break;
        }
        nal += 3;
        const uint8_t *next = find_start_code(nal, end);
        *pos = (size_t)(next - data);
        while (next > nal && next[-1] == 0) {
            next--;
        }
        if (next == nal) {
            continue; /* nothing between two start codes */
        }
        *out = (struct h264_nal){ nal, (size_t)(next - nal), nal[0] & 31 };
        return true;
    }
    *pos = size;
    return false;
}

static void note_nal(struct h264_unit_info *info, const struct h264_nal *nal)
{
    switch (nal->type) {
    case H264_NAL_IDR:
        info->has_idr = true;
        info->has_slice = true;
        break;
    case H264_NAL_SLICE:
    case H264_NAL_PARTITION_A:
        info->has_slice = true;
        break;
    case H264_NAL_SPS:
        if (!info->has_sps) {
            info->sps = *nal;
        }
        info->has_sps = true;
        break;
    case H264_NAL_PPS:
        if (!info->has_pps) {
            info->pps = *nal;
        }
        info->has_pps = true;
        break;
    case H264_NAL_AUD:
        info->has_aud = true;
        break;
    default:
        break;
    }
}

/* Where the end of a slice is does not matter here, and looking for it costs more than all the rest. */
static bool begins_slice(const uint8_t *nal, const uint8_t *end)
{
    int type = end - nal > 3 ? nal[3] & 31 : 0;
    return type == H264_NAL_SLICE || type == H264_NAL_PARTITION_A || type == H264_NAL_IDR;
}

void h264_scan_unit(const uint8_t *data, size_t size, struct h264_unit_info *out)
{
    struct h264_nal nal;
    size_t pos = 0;
    *out = (struct h264_unit_info){ 0 };
    while (!out->has_slice) {
        const uint8_t *start = find_start_code(data + pos, data + size);
        if (begins_slice(start, data + size)) {
            note_nal(out, &(struct h264_nal){ .type = start[3] & 31 });
        } else if (h264_next_nal(data, size, &pos, &nal)) {
            note_nal(out, &nal);
        } else {
            return;
        }
    }
}

/* Bits of a NAL unit's payload, emulation prevention bytes (7.4.1.1) left out. */
struct bits {
    const uint8_t *p, *end;
    int zeros; /* zero bytes in a row before p */
    unsigned byte;
    int left; /* bits of `byte` not read yet */
    bool bad;
};

static void bits_load(struct bits *b)
{
    if (b->zeros >= 2 && b->p < b->end && *b->p == 3) {
        b->p++;
        b->zeros = 0;
    }
    if (b->p == b->end) {
        b->bad = true;
        b->byte = 0;
    } else {
        b->byte = *b->p++;
        b->zeros = b->byte ? 0 : b->zeros + 1;
    }
    b->left = 8;
}

static unsigned read_bit(struct bits *b)
{
    if (!b->left) {
        bits_load(b);
    }
    b->left--;
    return b->byte >> b->left & 1;
}

static uint32_t read_bits(struct bits *b, int n)
{
    uint32_t v = 0;
    while (n-- > 0) {
        v = v << 1 | read_bit(b);
    }
    return v;
}

/* Exp-Golomb (9.1). */
static uint32_t read_ue(struct bits *b)
{
    int zeros = 0;
    while (!b->bad && !read_bit(b)) {
        zeros++;
    }
    if (b->bad || zeros > 31) {
        b->bad = true;
        return 0;
    }
    return (uint32_t)((1ull << zeros) - 1 + read_bits(b, zeros));
}

/* Values above `max` are errors: keeps every sum below in range. */
static int read_ue_max(struct bits *b, int max)
{
    uint32_t v = read_ue(b);
    if (v > (uint32_t)max) {
        b->bad = true;
        return 0;
    }
    return (int)v;
}

static int64_t read_se(struct bits *b)
{
    int64_t k = read_ue(b);
    return k & 1 ? (k + 1) / 2 : -(k / 2);
}

static bool profile_has_chroma_format(int profile)
{
    static const uint8_t profiles[] = {
        100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135
    };
    return memchr(profiles, profile, sizeof(profiles)) != NULL;
}

/* scaling_list() of 7.3.2.1.1.1; only its length matters here. */
static void skip_scaling_list(struct bits *b, int size)
{
    int last = 8, next = 8;
    for (int i = 0; i < size && !b->bad; i++) {
        if (next) {
            next = (int)((last + read_se(b) + 512) & 255);
        }
        last = next ? next : last;
    }
}

static void read_chroma(struct bits *b, struct h264_sps *sps, bool *separate_planes)
{
    sps->chroma_format = read_ue_max(b, 3);
    *separate_planes = sps->chroma_format == 3 && read_bit(b);
    sps->luma_bits = 8 + read_ue_max(b, 6);
    sps->chroma_bits = 8 + read_ue_max(b, 6);
    (void)read_bit(b);  /* qpprime_y_zero_transform_bypass_flag */
    if (!read_bit(b)) { /* seq_scaling_matrix_present_flag */
        return;
    }
    int lists = sps->chroma_format == 3 ? 12 : 8;
    for (int i = 0; i < lists && !b->bad; i++) {
        if (read_bit(b)) {
            skip_scaling_list(b, i < 6 ? 16 : 64);
        }
    }
}

static void skip_picture_order(struct bits *b)
{
    int type = read_ue_max(b, 2);
    if (type == 0) {
        (void)read_ue_max(b, 12); /* log2_max_pic_order_cnt_lsb_minus4 */
    }
    if (type != 1) {
        return;
    }
    (void)read_bit(b); /* delta_pic_order_always_zero_flag */
    (void)read_se(b);
    (void)read_se(b);
    int cycle = read_ue_max(b, 255);
    for (int i = 0; i < cycle && !b->bad; i++) {
        (void)read_se(b);
    }
}

/* Size in luma samples from macroblocks and the cropping rectangle (7.4.2.1.1). */
static void read_size(struct bits *b, struct h264_sps *sps, bool separate_planes)
{
    int columns = read_ue_max(b, FORMAT_MAX_SIZE / 16 - 1) + 1;
    int rows = read_ue_max(b, FORMAT_MAX_SIZE / 16 - 1) + 1;
    int fields = read_bit(b) ? 1 : 2; /* frame_mbs_only_flag */
    if (fields == 2) {
        (void)read_bit(b); /* mb_adaptive_frame_field_flag */
    }
    (void)read_bit(b); /* direct_8x8_inference_flag */
    sps->width = columns * 16;
    sps->height = rows * 16 * fields;
    if (!read_bit(b)) {
        return;
    }
    bool chroma = !separate_planes && sps->chroma_format > 0;
    int unit_x = chroma && sps->chroma_format < 3 ? 2 : 1;
    int unit_y = (chroma && sps->chroma_format == 1 ? 2 : 1) * fields;
    int left = read_ue_max(b, FORMAT_MAX_SIZE), right = read_ue_max(b, FORMAT_MAX_SIZE);
    int top = read_ue_max(b, FORMAT_MAX_SIZE), bottom = read_ue_max(b, FORMAT_MAX_SIZE);
    sps->width -= (left + right) * unit_x;
    sps->height -= (top + bottom) * unit_y;
}

static void read_colour(struct bits *b, struct h264_sps *sps)
{
    (void)read_bits(b, 3); /* video_format */
    sps->full_range = read_bit(b);
    if (!read_bit(b)) {
        return;
    }
    sps->primaries = (int)read_bits(b, 8);
    sps->transfer = (int)read_bits(b, 8);
    sps->matrix = (int)read_bits(b, 8);
}

static void read_timing(struct bits *b, struct h264_sps *sps)
{
    uint32_t tick = read_bits(b, 32), scale = read_bits(b, 32);
    if (b->bad || !tick || !scale || tick > INT32_MAX / 2 || scale > INT32_MAX) {
        return;
    }
    bool even = scale % 2 == 0; /* a tick is a field: two make a frame */
    sps->fps_num = (int)(even ? scale / 2 : scale);
    sps->fps_den = (int)(even ? tick : 2 * tick);
}

/* vui_parameters() (E.1.1) as far as the timing. Damage here only loses what it would have said. */
static void read_vui(struct bits *b, struct h264_sps *sps)
{
    if (read_bit(b) && read_bits(b, 8) == 255) { /* aspect_ratio_idc: Extended_SAR */
        (void)read_bits(b, 32);
    }
    if (read_bit(b)) {
        (void)read_bit(b); /* overscan_appropriate_flag */
    }
    if (read_bit(b)) {
        read_colour(b, sps);
    }
    if (read_bit(b)) {
        (void)read_ue(b); /* chroma_sample_loc_type_top_field, _bottom_field */
        (void)read_ue(b);
    }
    if (read_bit(b)) {
        read_timing(b, sps);
    }
}

int h264_parse_sps(const uint8_t *sps, size_t size, struct h264_sps *out)
{
    struct h264_sps s = { .primaries = 2,
                          .transfer = 2,
                          .matrix = 2,
                          .fps_den = 1,
                          .chroma_format = 1,
                          .luma_bits = 8,
                          .chroma_bits = 8 };
    bool separate_planes = false;
    if (size < 4 || (sps[0] & 31) != H264_NAL_SPS) {
        return -EBADMSG;
    }
    struct bits b = { .p = sps + 1, .end = sps + size };
    s.profile_idc = (int)read_bits(&b, 8);
    s.constraint_flags = (int)read_bits(&b, 8);
    s.level_idc = (int)read_bits(&b, 8);
    (void)read_ue_max(&b, 31); /* seq_parameter_set_id */
    if (profile_has_chroma_format(s.profile_idc)) {
        read_chroma(&b, &s, &separate_planes);
    }
    (void)read_ue_max(&b, 12); /* log2_max_frame_num_minus4 */
    skip_picture_order(&b);
    (void)read_ue_max(&b, 16); /* max_num_ref_frames */
    (void)read_bit(&b);        /* gaps_in_frame_num_value_allowed_flag */
    read_size(&b, &s, separate_planes);
    if (b.bad || s.width < 1 || s.height < 1 || s.height > FORMAT_MAX_SIZE) {
        return -EBADMSG;
    }
    if (read_bit(&b)) {
        read_vui(&b, &s);
    }
    *out = s;
    return 0;
}

static void write_avcc_chroma(struct writer *w, const struct h264_sps *info)
{
    write_u8(w, (uint8_t)(0xFC | info->chroma_format));
    write_u8(w, (uint8_t)(0xF8 | (info->luma_bits - 8)));
    write_u8(w, (uint8_t)(0xF8 | (info->chroma_bits - 8)));
    write_u8(w, 0); /* no SPS extensions */
}

int h264_make_avcc(const struct h264_nal *sps, const struct h264_nal *pps, uint8_t *out,
                   size_t capacity)
{
    struct h264_sps info;
    if (h264_parse_sps(sps->data, sps->size, &info) || sps->size > UINT16_MAX || !pps->size ||
        pps->size > UINT16_MAX) {
        return -EBADMSG;
    }
    struct writer w = writer_on(out, capacity);
    write_u8(&w, 1);                   /* configurationVersion */
    write_bytes(&w, sps->data + 1, 3); /* profile, compatibility, level */
    write_u8(&w, 0xFF);                /* NAL lengths of 4 bytes */
    write_u8(&w, 0xE1);                /* one SPS */
    write_be16(&w, (uint16_t)sps->size);
    write_bytes(&w, sps->data, sps->size);
    write_u8(&w, 1);
    write_be16(&w, (uint16_t)pps->size);
    write_bytes(&w, pps->data, pps->size);
    if (profile_has_chroma_format(info.profile_idc)) {
        write_avcc_chroma(&w, &info);
    }
    return w.bad ? -ENOSPC : (int)writer_used(&w);
}
