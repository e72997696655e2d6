/* SPDX-License-Identifier: MIT */
#include "m2m_plan.h"

#include <errno.h>
#include <unistd.h>

#include <linux/videodev2.h>

#include "pcs/frame.h"

#define PACKET_MIN (512 * 1024) /* bytes; room for the largest key frame */

bool m2m_plan_shareable(const struct frame *picture)
{
    const struct format *f = &picture->format;
    size_t offset[FORMAT_MAX_PLANES];
    int stride[FORMAT_MAX_PLANES];
    if (picture->dmabuf_fd < 0 || !format_layout(f, picture->stride[0], offset, stride)) {
        return false;
    }
    for (int i = 0; i < format_info(f->id)->planes; i++) {
        if (picture->plane[i] != picture->data + offset[i] || picture->stride[i] != stride[i]) {
            return false;
        }
    }
    return true;
}

bool m2m_plan_fits(const struct m2m_format *wanted, const struct m2m_format *got, size_t bytes)
{
    return got->fourcc == wanted->fourcc && got->width == wanted->width &&
           got->height == wanted->height && got->stride == wanted->stride && got->planes == 1 &&
           got->size <= bytes;
}

bool m2m_plan_serves(const struct m2m_plan *plan, const struct frame *picture, bool share)
{
    bool shared = share && m2m_plan_shareable(picture);
    return format_same(&plan->from, &picture->format) && plan->shared == shared &&
           (!shared || plan->stride == picture->stride[0]);
}

int m2m_plan_level(const struct format *f)
{
    int fps = f->fps_num > 0 && f->fps_den > 0 ? (f->fps_num + f->fps_den - 1) / f->fps_den : 30;
    int64_t blocks = (int64_t)((f->width + 15) / 16) * ((f->height + 15) / 16);
    int64_t rate = blocks * fps;
    if (rate <= 245760 && blocks <= 8192) {
        return V4L2_MPEG_VIDEO_H264_LEVEL_4_0;
    }
    return rate <= 522240 && blocks <= 8704 ? V4L2_MPEG_VIDEO_H264_LEVEL_4_2
                                            : V4L2_MPEG_VIDEO_H264_LEVEL_5_1;
}

/* ---- asking the device ---- */

static int set_packets(const struct m2m_device *dev, const struct format *f)
{
    unsigned pixels = (unsigned)f->width * (unsigned)f->height;
    struct m2m_format packets = { .fourcc = V4L2_PIX_FMT_H264,
                                  .width = (unsigned)f->width,
                                  .height = (unsigned)f->height,
                                  .size = pixels / 2 > PACKET_MIN ? pixels / 2 : PACKET_MIN };
    int rc = m2m_device_format(dev, M2M_PACKETS, true, &packets, f);
    return rc ? rc : packets.fourcc == V4L2_PIX_FMT_H264 ? 0 : -ENOTSUP;
}

/* The whole buffer, which may be longer than the picture. */
static size_t shared_bytes(const struct frame *picture)
{
    off_t end = lseek(picture->dmabuf_fd, 0, SEEK_END);
    return end > 0 ? (size_t)end : picture->size;
}

static bool plan_in_place(struct m2m_plan *plan, const struct m2m_device *dev,
                          const struct frame *picture)
{
    const struct format *f = &plan->to;
    struct m2m_format wanted = { .fourcc = format_info(f->id)->fourcc,
                                 .width = (unsigned)f->width,
                                 .height = (unsigned)f->height,
                                 .stride = (unsigned)picture->stride[0] };
    size_t bytes = shared_bytes(picture);
    struct m2m_format got = wanted;
    if (m2m_device_format(dev, M2M_PICTURES, false, &got, f) ||
        !m2m_plan_fits(&wanted, &got, bytes)) {
        return false;
    }
    got = wanted;
    if (m2m_device_format(dev, M2M_PICTURES, true, &got, f) ||
        !m2m_plan_fits(&wanted, &got, bytes)) {
        return false;
    }
    plan->in_place = true;
    plan->device = got;
    return true;
}

/* A device may pad what it reads; then it has to be told what of it is the picture. */
static bool plan_copy(struct m2m_plan *plan, const struct m2m_device *dev, enum format_id layout)
{
    struct m2m_format got = { .fourcc = format_info(layout)->fourcc,
                              .width = (unsigned)plan->to.width,
                              .height = (unsigned)plan->to.height };
    if (m2m_device_format(dev, M2M_PICTURES, true, &got, &plan->to) || got.planes != 1 ||
        got.fourcc != format_info(layout)->fourcc || (int)got.width < plan->to.width ||
        (int)got.height < plan->to.height) {
        return false;
    }
    bool padded = (int)got.width != plan->to.width || (int)got.height != plan->to.height;
    if (padded && m2m_device_crop(dev, (unsigned)plan->to.width, (unsigned)plan->to.height)) {
        return false;
    }
    plan->to.id = layout;
    plan->device = got;
    return true;
}

int m2m_plan_make(struct m2m_plan *out, const struct m2m_device *dev, const struct frame *picture,
                  const struct format *colour, bool share)
{
    struct m2m_plan plan = { .from = picture->format, .to = *colour };
    plan.to.id = picture->format.id;
    plan.shared = share && m2m_plan_shareable(picture);
    plan.stride = picture->stride[0];
    bool even = !(plan.to.width & 1) && !(plan.to.height & 1);
    plan.to.width &= ~1;
    plan.to.height &= ~1;
    int rc = set_packets(dev, &plan.to);
    if (rc) {
        return rc;
    }
    bool nv12 = picture->format.id == FORMAT_NV12;
    bool found =
        (share && even && m2m_plan_shareable(picture) && plan_in_place(&plan, dev, picture)) ||
        plan_copy(&plan, dev, nv12 ? FORMAT_NV12 : FORMAT_YU12) ||
        plan_copy(&plan, dev, nv12 ? FORMAT_YU12 : FORMAT_NV12);
    if (!found) {
        return -ENOTSUP;
    }
    *out = plan;
    return 0;
}
