/* SPDX-License-Identifier: MIT */
#include "m2m_device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/videodev2.h>

#include "pcs/err.h"
#include "pcs/log.h"

#define NODES 64 /* /dev/video0 … */

int m2m_ioctl(int fd, unsigned long request, void *arg)
{
    int rc;
    do {
        rc = ioctl(fd, request, arg);
    } while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
}

/* ---- finding ---- */

static bool offers_h264(int fd, unsigned type)
{
    struct v4l2_fmtdesc desc = { .type = type };
    for (; m2m_ioctl(fd, VIDIOC_ENUM_FMT, &desc) == 0; desc.index++) {
        if (desc.pixelformat == V4L2_PIX_FMT_H264) {
            return true;
        }
    }
    return false;
}

/* Some encoders and decoders are one node: an encoder is what H.264 comes out of. */
static bool is_encoder(struct m2m_device *dev)
{
    struct v4l2_capability cap = { 0 };
    if (m2m_ioctl(dev->fd, VIDIOC_QUERYCAP, &cap)) {
        return false;
    }
    uint32_t caps = cap.capabilities & V4L2_CAP_DEVICE_CAPS ? cap.device_caps : cap.capabilities;
    dev->mplane = caps & V4L2_CAP_VIDEO_M2M_MPLANE;
    (void)snprintf(dev->card, sizeof dev->card, "%s", (const char *)cap.card);
    bool m2m = caps & (V4L2_CAP_VIDEO_M2M | V4L2_CAP_VIDEO_M2M_MPLANE);
    return m2m && offers_h264(dev->fd, m2m_device_type(dev, M2M_PACKETS));
}

int m2m_device_open(struct m2m_device *out)
{
    for (int i = 0; i < NODES; i++) {
        struct m2m_device dev = { 0 };
        (void)snprintf(dev.path, sizeof dev.path, "/dev/video%d", i);
        dev.fd = open(dev.path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (dev.fd >= 0 && is_encoder(&dev)) {
            *out = dev;
            return 0;
        }
        if (dev.fd >= 0) {
            (void)close(dev.fd);
        }
    }
    return -ENODEV;
}

void m2m_device_close(struct m2m_device *dev)
{
    if (dev->path[0]) {
        (void)close(dev->fd);
        dev->path[0] = 0;
    }
}

unsigned m2m_device_type(const struct m2m_device *dev, enum m2m_side side)
{
    if (dev->mplane) {
        return side == M2M_PICTURES ? V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE
                                    : V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
    }
    return side == M2M_PICTURES ? V4L2_BUF_TYPE_VIDEO_OUTPUT : V4L2_BUF_TYPE_VIDEO_CAPTURE;
}

/* ---- formats ---- */

/* V4L2's four words for a colour; a driver that writes a VUI takes it from there. */
struct words {
    unsigned space, matrix, range, transfer;
};

static struct words colour_words(const struct format *f)
{
    static const unsigned spaces[] = {
        [COLOR_PRIMARIES_UNKNOWN] = V4L2_COLORSPACE_SMPTE170M,
        [COLOR_PRIMARIES_709] = V4L2_COLORSPACE_REC709,
        [COLOR_PRIMARIES_170M] = V4L2_COLORSPACE_SMPTE170M,
        [COLOR_PRIMARIES_470BG] = V4L2_COLORSPACE_470_SYSTEM_BG,
        [COLOR_PRIMARIES_2020] = V4L2_COLORSPACE_BT2020,
    };
    static const unsigned matrices[] = {
        [COLOR_MATRIX_601] = V4L2_YCBCR_ENC_601,
        [COLOR_MATRIX_709] = V4L2_YCBCR_ENC_709,
        [COLOR_MATRIX_2020] = V4L2_YCBCR_ENC_BT2020,
    };
    static const unsigned transfers[] = {
        [COLOR_TRANSFER_UNKNOWN] = V4L2_XFER_FUNC_DEFAULT,
        [COLOR_TRANSFER_709] = V4L2_XFER_FUNC_709,
        [COLOR_TRANSFER_SRGB] = V4L2_XFER_FUNC_SRGB,
        [COLOR_TRANSFER_PQ] = V4L2_XFER_FUNC_SMPTE2084,
    };
    bool full = f->range == COLOR_RANGE_FULL;
    return (struct words){
        .space = spaces[f->primaries],
        .matrix = matrices[f->matrix],
        .range = full ? V4L2_QUANTIZATION_FULL_RANGE : V4L2_QUANTIZATION_LIM_RANGE,
        .transfer = transfers[f->transfer],
    };
}

static void fill_mplane(struct v4l2_pix_format_mplane *p, const struct m2m_format *f,
                        const struct words *colour)
{
    p->width = f->width;
    p->height = f->height;
    p->pixelformat = f->fourcc;
    p->field = V4L2_FIELD_NONE;
    p->num_planes = 1;
    p->plane_fmt[0].bytesperline = f->stride;
    p->plane_fmt[0].sizeimage = f->size;
    p->colorspace = colour->space;
    p->ycbcr_enc = (__u8)colour->matrix;
    p->quantization = (__u8)colour->range;
    p->xfer_func = (__u8)colour->transfer;
}

static void fill_single(struct v4l2_pix_format *p, const struct m2m_format *f,
                        const struct words *colour)
{
    p->width = f->width;
    p->height = f->height;
    p->pixelformat = f->fourcc;
    p->field = V4L2_FIELD_NONE;
    p->bytesperline = f->stride;
    p->sizeimage = f->size;
    p->colorspace = colour->space;
    p->ycbcr_enc = colour->matrix;
    p->quantization = colour->range;
    p->xfer_func = colour->transfer;
}

static struct m2m_format read_back(const struct v4l2_format *v, bool mplane)
{
    if (mplane) {
        const struct v4l2_pix_format_mplane *p = &v->fmt.pix_mp;
        return (struct m2m_format){ .fourcc = p->pixelformat,
                                    .width = p->width,
                                    .height = p->height,
                                    .stride = p->plane_fmt[0].bytesperline,
                                    .size = p->plane_fmt[0].sizeimage,
                                    .planes = p->num_planes };
    }
    const struct v4l2_pix_format *p = &v->fmt.pix;
    return (struct m2m_format){ .fourcc = p->pixelformat,
                                .width = p->width,
                                .height = p->height,
                                .stride = p->bytesperline,
                                .size = p->sizeimage,
                                .planes = 1 };
}

int m2m_device_format(const struct m2m_device *dev, enum m2m_side side, bool set,
                      struct m2m_format *f, const struct format *colour)
{
    struct v4l2_format v = { .type = m2m_device_type(dev, side) };
    struct words words = { 0 }; /* DEFAULT, each */
    if (colour) {
        words = colour_words(colour);
    }
    if (dev->mplane) {
        fill_mplane(&v.fmt.pix_mp, f, &words);
    } else {
        fill_single(&v.fmt.pix, f, &words);
    }
    int rc = m2m_ioctl(dev->fd, set ? VIDIOC_S_FMT : VIDIOC_TRY_FMT, &v);
    if (rc == 0) {
        *f = read_back(&v, dev->mplane);
    }
    return rc;
}

int m2m_device_crop(const struct m2m_device *dev, unsigned width, unsigned height)
{
    struct v4l2_selection s = {
        .type = V4L2_BUF_TYPE_VIDEO_OUTPUT, /* for multi-planar devices too */
        .target = V4L2_SEL_TGT_CROP,
        .r = { .width = width, .height = height },
    };
    int rc = m2m_ioctl(dev->fd, VIDIOC_S_SELECTION, &s);
    bool done = s.r.left == 0 && s.r.top == 0 && s.r.width == width && s.r.height == height;
    return rc ? rc : done ? 0 : -EINVAL;
}

/* ---- the rest ---- */

int m2m_device_interval(const struct m2m_device *dev, unsigned num, unsigned den)
{
    struct v4l2_streamparm parm = { .type = m2m_device_type(dev, M2M_PICTURES) };
    parm.parm.output.timeperframe.numerator = num;
    parm.parm.output.timeperframe.denominator = den;
    return m2m_ioctl(dev->fd, VIDIOC_S_PARM, &parm);
}

void m2m_device_control(const struct m2m_device *dev, uint32_t id, int value)
{
    struct v4l2_control control = { .id = id, .value = value };
    int rc = m2m_ioctl(dev->fd, VIDIOC_S_CTRL, &control);
    if (rc) {
        log_debug("%s: control %#x = %d: %s", dev->path, id, value, err_text(rc));
    }
}

int m2m_device_get(const struct m2m_device *dev, uint32_t id, int otherwise)
{
    struct v4l2_control control = { .id = id };
    return m2m_ioctl(dev->fd, VIDIOC_G_CTRL, &control) ? otherwise : control.value;
}

bool m2m_device_finish(const struct m2m_device *dev)
{
    struct v4l2_encoder_cmd cmd = { .cmd = V4L2_ENC_CMD_STOP };
    return m2m_ioctl(dev->fd, VIDIOC_ENCODER_CMD, &cmd) == 0;
}
