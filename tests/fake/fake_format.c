/* SPDX-License-Identifier: MIT */
/* What the emulated camera says it is, and its ioctls of formats, sizes and rates. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_state.h"

static int query_cap(const struct fake *f, struct v4l2_capability *out)
{
    const struct {
        const char *kind;
        uint32_t caps;
    } kinds[] = { { "camera", V4L2_CAP_VIDEO_CAPTURE },
                  { "meta", V4L2_CAP_META_CAPTURE },
                  { "output", V4L2_CAP_VIDEO_OUTPUT },
                  { "mplane", V4L2_CAP_VIDEO_CAPTURE_MPLANE },
                  { "hdmi", V4L2_CAP_VIDEO_CAPTURE } };
    *out = (struct v4l2_capability){ .version = 0x060100 };
    (void)snprintf((char *)out->driver, sizeof out->driver, "v4l2fake");
    (void)snprintf((char *)out->card, sizeof out->card, "%s", *f->card ? f->card : "Fake camera");
    (void)snprintf((char *)out->bus_info, sizeof out->bus_info, "%s",
                   *f->bus ? f->bus : "platform:v4l2fake");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].kind, f->kind) == 0) {
            out->device_caps = kinds[i].caps | V4L2_CAP_STREAMING | V4L2_CAP_EXT_PIX_FORMAT;
        }
    }
    out->capabilities = out->device_caps | V4L2_CAP_DEVICE_CAPS;
    return 0;
}

/* As the kernel names them. */
static const char *const descriptions[FORMAT_COUNT] = {
    [FORMAT_YUYV] = "YUYV 4:2:2",          [FORMAT_UYVY] = "UYVY 4:2:2",
    [FORMAT_NV12] = "Y/CbCr 4:2:0",        [FORMAT_YU12] = "Planar YUV 4:2:0",
    [FORMAT_GREY] = "8-bit Greyscale",     [FORMAT_RGB24] = "24-bit RGB 8-8-8",
    [FORMAT_YVYU] = "YVYU 4:2:2",          [FORMAT_VYUY] = "VYUY 4:2:2",
    [FORMAT_NV21] = "Y/CrCb 4:2:0",        [FORMAT_YV12] = "Planar YVU 4:2:0",
    [FORMAT_NV16] = "Y/CbCr 4:2:2",        [FORMAT_422P] = "Planar YUV 4:2:2",
    [FORMAT_BGR24] = "24-bit BGR 8-8-8",   [FORMAT_BGRX] = "32-bit BGRX 8-8-8-8",
    [FORMAT_RGBX] = "32-bit RGBX 8-8-8-8", [FORMAT_RGB16] = "16-bit RGB 5-6-5",
    [FORMAT_JPEG] = "Motion-JPEG",         [FORMAT_H264] = "H.264",
};

static bool gives_pictures(const struct fake *f)
{
    return strcmp(f->kind, "meta") != 0 && strcmp(f->kind, "output") != 0;
}

static int enum_format(const struct fake *f, struct v4l2_fmtdesc *arg)
{
    if (arg->type != f->type || arg->index >= (uint32_t)f->format_count || !gives_pictures(f)) {
        return -EINVAL;
    }
    uint32_t fourcc = f->formats[arg->index];
    enum format_id id = format_by_fourcc(fourcc);
    bool apart = fourcc == format_info(id)->fourcc_planes;
    *arg = (struct v4l2_fmtdesc){
        .index = arg->index,
        .type = arg->type,
        .pixelformat = fourcc,
        .flags = format_info(id)->compressed ? V4L2_FMT_FLAG_COMPRESSED : 0,
    };
    (void)snprintf((char *)arg->description, sizeof arg->description, "%s%s", descriptions[id],
                   apart ? " (N-C)" : "");
    return 0;
}

static int enum_size(const struct fake *f, struct v4l2_frmsizeenum *arg)
{
    struct fake_size sizes[FAKE_SIZES];
    enum format_id id = format_by_fourcc(arg->pixel_format);
    int n = id && !fake_is_hdmi(f) ? fake_sizes_of(f, id, sizes) : 0;
    if (arg->index >= (uint32_t)n) {
        return -EINVAL;
    }
    struct fake_size size = sizes[arg->index];
    *arg = (struct v4l2_frmsizeenum){
        .index = arg->index,
        .pixel_format = arg->pixel_format,
        .type = V4L2_FRMSIZE_TYPE_DISCRETE,
        .discrete = { (uint32_t)size.width, (uint32_t)size.height },
    };
    return 0;
}

static int enum_interval(const struct fake *f, struct v4l2_frmivalenum *arg)
{
    int rates[FAKE_RATES];
    enum format_id id = format_by_fourcc(arg->pixel_format);
    struct fake_size sizes[FAKE_SIZES];
    int sizes_count = id && !fake_is_hdmi(f) ? fake_sizes_of(f, id, sizes) : 0;
    bool known = false;
    for (int i = 0; i < sizes_count; i++) {
        known |= (uint32_t)sizes[i].width == arg->width && (uint32_t)sizes[i].height == arg->height;
    }
    int n = known ? fake_rates_of(f, id, (int)arg->width, (int)arg->height, rates) : 0;
    if (arg->index >= (uint32_t)n) {
        return -EINVAL;
    }
    arg->type = V4L2_FRMIVAL_TYPE_DISCRETE;
    arg->discrete = (struct v4l2_fract){ 1, (uint32_t)rates[arg->index] };
    memset(arg->reserved, 0, sizeof arg->reserved);
    return 0;
}

static int set_format(struct fake *f, const struct fake_handle *h, struct v4l2_format *arg,
                      bool only_try)
{
    if (arg->type != f->type || !gives_pictures(f)) {
        return -EINVAL;
    }
    bool taken = f->busy || f->orphans > 0 || f->buffer_count > 0 || (f->owner && f->owner != h);
    if (!only_try && taken) {
        return -EBUSY;
    }
    fake_set_mode_locked(f, arg, only_try);
    return 0;
}

static int say_parm(const struct fake *f, struct v4l2_streamparm *arg)
{
    if (arg->type != f->type) {
        return -EINVAL;
    }
    arg->parm.capture = (struct v4l2_captureparm){
        .capability = V4L2_CAP_TIMEPERFRAME,
        .timeperframe = { (uint32_t)f->mode.format.fps_den, (uint32_t)f->mode.format.fps_num },
    };
    return 0;
}

static int set_parm(struct fake *f, struct v4l2_streamparm *arg)
{
    struct v4l2_fract wanted = arg->parm.capture.timeperframe;
    int rates[FAKE_RATES], n;
    n = fake_rates_of(f, f->mode.format.id, f->mode.format.width, f->mode.format.height, rates);
    int rate = wanted.numerator ? (int)(wanted.denominator / wanted.numerator) : rates[0];
    for (int i = 0, best = INT_MAX; i < n && !f->streaming; i++) {
        if (abs(rates[i] - rate) < best) {
            best = abs(rates[i] - rate);
            f->mode.format.fps_num = rates[i];
        }
    }
    return f->streaming ? -EBUSY : say_parm(f, arg);
}

int fake_format_ioctl_locked(struct fake *f, struct fake_handle *h, unsigned long request,
                             void *arg)
{
    struct v4l2_format *format = arg;
    switch (request) {
    case VIDIOC_QUERYCAP:
        return query_cap(f, arg);
    case VIDIOC_ENUM_FMT:
        return enum_format(f, arg);
    case VIDIOC_ENUM_FRAMESIZES:
        return enum_size(f, arg);
    case VIDIOC_ENUM_FRAMEINTERVALS:
        return enum_interval(f, arg);
    case VIDIOC_G_FMT:
        if (format->type != f->type) {
            return -EINVAL;
        }
        fake_say_mode_locked(f, format);
        return 0;
    case VIDIOC_S_FMT:
    case VIDIOC_TRY_FMT:
        return set_format(f, h, arg, request == VIDIOC_TRY_FMT);
    case VIDIOC_G_PARM:
        return fake_is_hdmi(f) ? -ENOTTY : say_parm(f, arg);
    case VIDIOC_S_PARM:
        return fake_is_hdmi(f) ? -ENOTTY : set_parm(f, arg);
    default:
        return -ENOTTY;
    }
}
