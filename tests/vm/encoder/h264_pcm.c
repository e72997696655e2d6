/* SPDX-License-Identifier: MIT */
/*
 * The encoder's half of a pretended hardware encoder, vih264: real H.264, though a plain one, in which each
 * macroblock carries its samples as they are (I_PCM). So what a decoder makes of it are exactly the samples that
 * the driver found in the buffer it was given, and a test can see whether that was the right one.
 *
 * Included at the end of the kernel's test-drivers/vicodec/codec-v4l2-fwht.c by guest-encoder, in place of that
 * driver's own codec, whose state and buffers it uses. One picture in GOP_SIZE is an IDR with its parameter
 * sets; the others are P pictures of the same macroblocks. No VUI: as with real ones, colours are ours to tell.
 *
 * ITU-T H.264: 7.3.1 (NAL unit), 7.3.2.1 (SPS), 7.3.2.2 (PPS), 7.3.3 (slice header), 7.3.5 (macroblock), 9.1 (ue).
 */

struct pcm_bits {
    u8 *at;
    u32 word;
    int count; /* bits in word, fewer than 8 */
    int zeros; /* zero bytes just written */
};

static void pcm_byte(struct pcm_bits *b, u8 v)
{
    if (b->zeros == 2 && v <= 3) {
        *b->at++ = 3; /* emulation_prevention_three_byte */
        b->zeros = 0;
    }
    *b->at++ = v;
    b->zeros = v ? 0 : b->zeros + 1;
}

static void pcm_put(struct pcm_bits *b, int n, u32 v)
{
    while (n--) {
        b->word = b->word << 1 | (v >> n & 1);
        if (++b->count == 8) {
            pcm_byte(b, b->word);
            b->word = b->count = 0;
        }
    }
}

static void pcm_ue(struct pcm_bits *b, u32 v)
{
    int n = fls(v + 1);

    pcm_put(b, n - 1, 0);
    pcm_put(b, n, v + 1);
}

static void pcm_align(struct pcm_bits *b)
{
    while (b->count)
        pcm_put(b, 1, 0);
}

static void pcm_nal(struct pcm_bits *b, int ref_idc, int type)
{
    static const u8 start[] = { 0, 0, 0, 1 };

    memcpy(b->at, start, 4);
    b->at += 4;
    b->zeros = 0;
    pcm_put(b, 8, ref_idc << 5 | type);
}

static void pcm_end(struct pcm_bits *b)
{
    pcm_put(b, 1, 1);
    pcm_align(b);
}

static void pcm_sps(struct pcm_bits *b, u32 width, u32 height)
{
    u32 mbs_x = (width + 15) / 16, mbs_y = (height + 15) / 16;
    bool crop = width % 16 || height % 16;

    pcm_nal(b, 3, 7);
    pcm_put(b, 24, 0x42c028); /* constrained baseline, level 4.0 */
    pcm_ue(b, 0);             /* seq_parameter_set_id */
    pcm_ue(b, 0);             /* frame_num has 4 bits */
    pcm_ue(b, 2);             /* pic_order_cnt_type: output is decoding order */
    pcm_ue(b, 1);             /* max_num_ref_frames */
    pcm_put(b, 1, 0);
    pcm_ue(b, mbs_x - 1);
    pcm_ue(b, mbs_y - 1);
    pcm_put(b, 2, 3); /* frame_mbs_only_flag, direct_8x8_inference_flag */
    pcm_put(b, 1, crop);
    if (crop) {
        pcm_ue(b, 0);
        pcm_ue(b, (mbs_x * 16 - width) / 2);
        pcm_ue(b, 0);
        pcm_ue(b, (mbs_y * 16 - height) / 2);
    }
    pcm_put(b, 1, 0); /* vui_parameters_present_flag */
    pcm_end(b);
}

static void pcm_pps(struct pcm_bits *b)
{
    pcm_nal(b, 3, 8);
    pcm_ue(b, 0);
    pcm_ue(b, 0);
    pcm_put(b, 2, 0); /* CAVLC, bottom_field_pic_order_in_frame_present_flag */
    pcm_ue(b, 0);     /* one slice group */
    pcm_ue(b, 0);     /* one reference */
    pcm_ue(b, 0);
    pcm_put(b, 3, 0); /* no weights */
    pcm_ue(b, 0);     /* the quantisers */
    pcm_ue(b, 0);
    pcm_ue(b, 0);
    pcm_put(b, 3, 4); /* deblocking_filter_control_present_flag */
    pcm_end(b);
}

static void pcm_slice(struct pcm_bits *b, bool idr, u32 frame_num, u32 idr_pic_id)
{
    pcm_nal(b, 3, idr ? 5 : 1);
    pcm_ue(b, 0);           /* first_mb_in_slice */
    pcm_ue(b, idr ? 7 : 5); /* slice_type: all of them I, or P */
    pcm_ue(b, 0);
    pcm_put(b, 4, frame_num);
    if (idr) {
        pcm_ue(b, idr_pic_id);
        pcm_put(b, 2, 0); /* dec_ref_pic_marking() */
    } else {
        pcm_put(b, 3, 0); /* as many references, as ordered; marking by sliding window */
    }
    pcm_ue(b, 0); /* slice_qp_delta */
    pcm_ue(b, 1); /* no deblocking */
}

/* One component of a macroblock, its last samples repeated beyond the picture. */
static void pcm_block(struct pcm_bits *b, const u8 *p, u32 stride, u32 step, u32 x, u32 y, u32 size,
                      u32 right, u32 bottom, u32 div_x, u32 div_y)
{
    u32 i, k;

    for (k = 0; k < size; k++) {
        const u8 *line = p + min(y + k, bottom) * div_y * stride;

        for (i = 0; i < size; i++)
            pcm_byte(b, line[min(x + i, right) * div_x * step]);
    }
}

int v4l2_fwht_encode(struct v4l2_fwht_state *state, u8 *p_in, u8 *p_out)
{
    const struct v4l2_fwht_pixfmt_info *info = state->info;
    u32 width = state->visible_width, height = state->visible_height, x, y;
    u32 chroma_stride = state->stride, div_x, div_y;
    struct pcm_bits b = { .at = p_out };
    bool idr = state->gop_cnt == 0;
    struct fwht_raw_frame rf;

    if (!info || info->components_num < 3 || info->pixenc != V4L2_FWHT_FL_PIXENC_YUV ||
        prepare_raw_frame(&rf, info, p_in, state->stride * state->coded_height))
        return -EINVAL;
    if (info->planes_num == 3)
        chroma_stride /= 2;
    if (info->width_div == 1)
        chroma_stride *= 2;
    div_x = info->width_div == 1 ? 2 : 1; /* of chroma samples, every second one */
    div_y = info->height_div == 1 ? 2 : 1;
    if (idr) {
        pcm_sps(&b, width, height);
        pcm_pps(&b);
        state->ref_frame_ts++; /* only the stateless decoder uses it otherwise */
    }
    pcm_slice(&b, idr, state->gop_cnt % 16, state->ref_frame_ts & 1);
    for (y = 0; y < height; y += 16) {
        for (x = 0; x < width; x += 16) {
            if (!idr)
                pcm_ue(&b, 0);         /* mb_skip_run */
            pcm_ue(&b, idr ? 25 : 30); /* mb_type: I_PCM */
            pcm_align(&b);
            pcm_block(&b, rf.luma, state->stride, rf.luma_alpha_step, x, y, 16, width - 1,
                      height - 1, 1, 1);
            pcm_block(&b, rf.cb, chroma_stride, rf.chroma_step, x / 2, y / 2, 8, width / 2 - 1,
                      height / 2 - 1, div_x, div_y);
            pcm_block(&b, rf.cr, chroma_stride, rf.chroma_step, x / 2, y / 2, 8, width / 2 - 1,
                      height / 2 - 1, div_x, div_y);
        }
    }
    pcm_end(&b);
    state->gop_cnt = state->gop_cnt + 1 >= state->gop_size ? 0 : state->gop_cnt + 1;
    return b.at - p_out;
}
