/* SPDX-License-Identifier: MIT */
#include "h264_vui.h"

#include <errno.h>
#include <string.h>

#include <libavcodec/bsf.h>
#include <libavutil/opt.h>

#include "h264_unit.h"
#include "pcs/frame.h"
#include "pcs/h264_scan.h"
#include "pcs/log.h"
#include "pcs/pool.h"

void h264_vui_finish(struct h264_vui *v)
{
    av_bsf_free(&v->filter);
    *v = (struct h264_vui){ .filter = NULL };
}

static bool is_told(const struct frame *packet, const struct format *f)
{
    struct format_color_codes want = format_color_codes(f);
    struct h264_unit_info unit;
    struct h264_sps sps;
    h264_scan_unit(packet->data, packet->size, &unit);
    if (!unit.has_sps || h264_parse_sps(unit.sps.data, unit.sps.size, &sps)) {
        return true; /* nothing that could be put right */
    }
    return sps.full_range == (f->range == COLOR_RANGE_FULL) && sps.matrix == want.matrix &&
           sps.primaries == want.primaries && sps.transfer == want.transfer;
}

static int open_filter(struct h264_vui *v, const struct format *f)
{
    const AVBitStreamFilter *filter = av_bsf_get_by_name("h264_metadata");
    struct format_color_codes codes = format_color_codes(f);
    h264_vui_finish(v);
    v->format = *f;
    if (!filter || av_bsf_alloc(filter, &v->filter) < 0) {
        return -ENOENT;
    }
    void *options = v->filter->priv_data;
    v->filter->par_in->codec_type = AVMEDIA_TYPE_VIDEO;
    v->filter->par_in->codec_id = AV_CODEC_ID_H264;
    int failed = av_opt_set_int(options, "video_full_range_flag", f->range == COLOR_RANGE_FULL, 0) |
                 av_opt_set_int(options, "colour_primaries", codes.primaries, 0) |
                 av_opt_set_int(options, "transfer_characteristics", codes.transfer, 0) |
                 av_opt_set_int(options, "matrix_coefficients", codes.matrix, 0);
    return failed || av_bsf_init(v->filter) < 0 ? -EINVAL : 0;
}

static int run_filter(struct h264_vui *v, const struct frame *in, AVPacket *packet)
{
    int rc = av_new_packet(packet, (int)in->size);
    if (rc == 0) {
        memcpy(packet->data, in->data, in->size);
        rc = av_bsf_send_packet(v->filter, packet);
    }
    return rc ? rc : av_bsf_receive_packet(v->filter, packet);
}

/* With start codes as format.h promises them: the filter shortens some. */
static struct frame *make_frame(struct pool *pool, const struct frame *in, const AVPacket *packet)
{
    struct h264_sets sets = { .sps_size = 0 };
    struct h264_unit unit;
    h264_unit_read(&sets, packet->data, (size_t)packet->size, &unit);
    struct frame *out = pool_get(pool, unit.size);
    if (out) {
        frame_copy_meta(out, in);
        out->flags = in->flags;
        out->size = unit.size;
        h264_unit_write(&sets, packet->data, (size_t)packet->size, &unit, out->buffer);
    }
    return out;
}

static struct frame *rewrite(struct h264_vui *v, struct pool *pool, const struct frame *in)
{
    AVPacket *packet = av_packet_alloc();
    struct frame *out = NULL;
    if (packet && run_filter(v, in, packet) == 0) {
        out = make_frame(pool, in, packet);
    }
    av_packet_free(&packet);
    return out;
}

struct frame *h264_vui_tell(struct h264_vui *v, const struct format *f, struct pool *pool,
                            struct frame *packet)
{
    if (v->useless || is_told(packet, f)) {
        return packet;
    }
    bool open = v->filter && format_same(&v->format, f);
    int rc = open ? 0 : open_filter(v, f);
    struct frame *told = rc ? NULL : rewrite(v, pool, packet);
    if (!told) {
        log_debug("the encoder's H.264 stays without colours");
        v->useless = true;
        return packet;
    }
    frame_unref(packet);
    return told;
}
