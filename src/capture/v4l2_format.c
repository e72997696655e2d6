/* SPDX-License-Identifier: MIT */
#include "v4l2_format.h"

#include <errno.h>
#include <linux/videodev2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "v4l2_choose.h"
#include "v4l2_colors.h"
#include "v4l2_device.h"
#include "v4l2_timings.h"

#define MAX_OFFERS 512

/* A device that is asked what it has. */
struct offers {
    int fd;
    enum v4l2_buf_type type;
    const struct source_wish *wish;
    struct v4l2_offer item[MAX_OFFERS];
    size_t count;
};

static double rate_of(const struct v4l2_fract *interval)
{
    return interval->numerator > 0 ? (double)interval->denominator / interval->numerator : 0;
}

/* The highest frame rate at this size; 0 when the driver does not say. */
static double highest_rate(const struct offers *list, const struct v4l2_offer *o)
{
    struct v4l2_frmivalenum arg = { .pixel_format = o->fourcc,
                                    .width = (uint32_t)o->width,
                                    .height = (uint32_t)o->height };
    double best = 0;
    while (arg.index < 64 && v4l2_ioctl(list->fd, VIDIOC_ENUM_FRAMEINTERVALS, &arg) == 0) {
        bool discrete = arg.type == V4L2_FRMIVAL_TYPE_DISCRETE;
        double rate = rate_of(discrete ? &arg.discrete : &arg.stepwise.min);
        best = rate > best ? rate : best;
        if (!discrete) {
            break;
        }
        arg.index++;
    }
    return best;
}

static void add_offer(struct offers *list, struct v4l2_offer o, uint32_t width, uint32_t height)
{
    if (width < 1 || height < 1 || width > FORMAT_MAX_SIZE || height > FORMAT_MAX_SIZE ||
        list->count == MAX_OFFERS) {
        return;
    }
    o.width = (int)width;
    o.height = (int)height;
    o.fps = highest_rate(list, &o);
    list->item[list->count++] = o;
}

static uint32_t clamp_step(uint32_t value, uint32_t min, uint32_t max, uint32_t step)
{
    if (value <= min || step == 0) {
        return value <= min ? min : value >= max ? max : value;
    }
    return value >= max ? max : min + (value - min + step / 2) / step * step;
}

static void add_stepwise(struct offers *list, struct v4l2_offer o,
                         const struct v4l2_frmsize_stepwise *s)
{
    uint32_t width, height;
    v4l2_wanted_size(list->wish, &width, &height);
    add_offer(list, o, clamp_step(width, s->min_width, s->max_width, s->step_width),
              clamp_step(height, s->min_height, s->max_height, s->step_height));
}

/* ---- one shape for both kinds of device: the multi-planar one ---- */

static struct v4l2_format picture_format(enum v4l2_buf_type type, uint32_t fourcc, uint32_t width,
                                         uint32_t height)
{
    struct v4l2_format arg = { .type = type };
    if (type == V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE) {
        arg.fmt.pix_mp.pixelformat = fourcc;
        arg.fmt.pix_mp.width = width;
        arg.fmt.pix_mp.height = height;
    } else {
        arg.fmt.pix.pixelformat = fourcc;
        arg.fmt.pix.width = width;
        arg.fmt.pix.height = height;
    }
    return arg;
}

static struct v4l2_pix_format_mplane picture_of(const struct v4l2_format *arg)
{
    const struct v4l2_pix_format *pix = &arg->fmt.pix;
    if (arg->type == V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE) {
        return arg->fmt.pix_mp;
    }
    return (struct v4l2_pix_format_mplane){
        .width = pix->width,
        .height = pix->height,
        .pixelformat = pix->pixelformat,
        .field = pix->field,
        .colorspace = pix->colorspace,
        .ycbcr_enc = (uint8_t)pix->ycbcr_enc,
        .quantization = (uint8_t)pix->quantization,
        .xfer_func = (uint8_t)pix->xfer_func,
        .num_planes = 1,
        .plane_fmt[0] = { .sizeimage = pix->sizeimage, .bytesperline = pix->bytesperline },
    };
}

/* A driver that cannot list sizes is asked what it would make of the wish. */
static void add_tried(struct offers *list, struct v4l2_offer o)
{
    uint32_t width, height;
    v4l2_wanted_size(list->wish, &width, &height);
    struct v4l2_format arg = picture_format(list->type, o.fourcc, width, height);
    if (v4l2_ioctl(list->fd, VIDIOC_TRY_FMT, &arg) < 0) {
        return;
    }
    struct v4l2_pix_format_mplane pix = picture_of(&arg);
    if (pix.pixelformat == o.fourcc) {
        add_offer(list, o, pix.width, pix.height);
    }
}

static void list_sizes(struct offers *list, struct v4l2_offer o)
{
    struct v4l2_frmsizeenum arg = { .pixel_format = o.fourcc };
    while (arg.index < 256 && v4l2_ioctl(list->fd, VIDIOC_ENUM_FRAMESIZES, &arg) == 0) {
        if (arg.type != V4L2_FRMSIZE_TYPE_DISCRETE) {
            add_stepwise(list, o, &arg.stepwise);
            return;
        }
        add_offer(list, o, arg.discrete.width, arg.discrete.height);
        arg.index++;
    }
    if (arg.index == 0) {
        add_tried(list, o);
    }
}

enum format_id v4l2_next_format(int fd, enum v4l2_buf_type type, uint32_t *index, uint32_t *fourcc)
{
    struct v4l2_fmtdesc arg = { .type = type };
    for (; *index < 256; ++*index) {
        arg.index = *index;
        if (v4l2_ioctl(fd, VIDIOC_ENUM_FMT, &arg) < 0) {
            break;
        }
        enum format_id id = format_by_fourcc(arg.pixelformat);
        if (id != FORMAT_NONE) {
            ++*index;
            *fourcc = arg.pixelformat;
            return id;
        }
    }
    return FORMAT_NONE;
}

bool v4l2_has_formats(int fd, enum v4l2_buf_type type)
{
    uint32_t index = 0, fourcc;
    return v4l2_next_format(fd, type, &index, &fourcc) != FORMAT_NONE;
}

static void list_offers(struct offers *list)
{
    uint32_t index = 0;
    struct v4l2_offer o = { 0 };
    while ((o.id = v4l2_next_format(list->fd, list->type, &index, &o.fourcc)) != FORMAT_NONE) {
        list_sizes(list, o);
    }
}

static int fail_choice(const struct offers *list, const char *name, const struct source_wish *wish,
                       struct err *err)
{
    char have[100] = "";
    bool seen[FORMAT_COUNT] = { false };
    for (size_t i = 0; i < list->count; i++) {
        enum format_id id = list->item[i].id;
        size_t used = strlen(have);
        if (!seen[id]) {
            (void)snprintf(have + used, sizeof have - used, " %s", format_info(id)->name);
        }
        seen[id] = true;
    }
    if (seen[FORMAT_H264] && wish->pictures &&
        (wish->format == FORMAT_H264 || strcmp(have, " H.264") == 0)) {
        return err_set(err, -ENOTSUP, "%s: pictures cannot be turned or written on as H.264", name);
    }
    if (wish->format != FORMAT_NONE) {
        return err_set(err, -ENOTSUP, "%s: --format %s: the camera has only%s", name,
                       format_info(wish->format)->name, *have ? have : " formats unknown here");
    }
    return err_set(err, -ENOTSUP, "%s: the camera has no usable format (it has%s)", name,
                   *have ? have : " formats unknown here");
}

/* How the picture lies in its pieces of memory. */
static int lay_out(const struct v4l2_pix_format_mplane *pix, struct v4l2_mode *mode,
                   const char *name, struct err *err)
{
    const struct format_info *info = format_info(mode->format.id);
    size_t offset[FORMAT_MAX_PLANES + 1] = { 0 };
    int tight[FORMAT_MAX_PLANES], stride[FORMAT_MAX_PLANES];
    bool apart = pix->pixelformat == info->fourcc_planes;
    mode->memories = apart ? info->planes : 1;
    if (pix->num_planes != mode->memories) {
        return err_set(err, -EIO, "%s: the driver gives %s in %d pieces of memory", name,
                       info->name, pix->num_planes);
    }
    if (info->compressed) {
        mode->memory[0] = (struct v4l2_piece){ .least = 1, .full = 1 };
        return 0;
    }
    size_t size = format_layout(&mode->format, 0, offset, tight);
    offset[info->planes] = size;
    for (int i = 0; i < mode->memories; i++) {
        int row = (int)pix->plane_fmt[i].bytesperline;
        size_t lines = (offset[i + 1] - offset[i]) / (size_t)tight[i];
        int last = apart ? i : info->planes - 1;
        if (row < 0 || row > 8 * FORMAT_MAX_SIZE) {
            return err_set(err, -EIO, "%s: the driver gives an impossible row of %u bytes", name,
                           pix->plane_fmt[i].bytesperline);
        }
        row = row > tight[i] ? row : tight[i];
        size_t full = apart ? (size_t)row * lines
                            : format_layout(&mode->format, row, offset, stride);
        int padding = apart ? row - tight[i] : stride[last] - tight[last];
        mode->memory[i] = (struct v4l2_piece){ row, full - (size_t)padding, full };
    }
    return 0;
}

static int set_format(const struct offers *list, const char *name, const struct v4l2_offer *o,
                      struct v4l2_mode *out, struct err *err)
{
    struct v4l2_format arg =
        picture_format(list->type, o->fourcc, (uint32_t)o->width, (uint32_t)o->height);
    int code = v4l2_ioctl(list->fd, VIDIOC_S_FMT, &arg);
    if (code < 0) {
        return v4l2_fail(err, code, name, "set the picture format");
    }
    struct v4l2_pix_format_mplane pix = picture_of(&arg);
    if (format_by_fourcc(pix.pixelformat) != o->id || pix.width < 1 || pix.height < 1 ||
        pix.width > FORMAT_MAX_SIZE || pix.height > FORMAT_MAX_SIZE) {
        return err_set(err, -EIO, "%s: the driver does not take %s, which it lists", name,
                       format_info(o->id)->name);
    }
    const struct v4l2_colors colors = { pix.colorspace, pix.ycbcr_enc, pix.quantization,
                                        pix.xfer_func };
    out->type = list->type;
    out->fields = pix.field == V4L2_FIELD_ALTERNATE || pix.field == V4L2_FIELD_TOP ||
                  pix.field == V4L2_FIELD_BOTTOM;
    out->format.id = o->id;
    out->format.width = (int)pix.width;
    out->format.height = (int)pix.height;
    v4l2_colors_take(&colors, &out->format);
    return lay_out(&pix, out, name, err);
}

/* What the driver makes of the wished rate is what there is; without an answer the rate is unknown. */
static void set_rate(const struct offers *list, struct format *f)
{
    struct v4l2_streamparm arg = { .type = list->type };
    arg.parm.capture.timeperframe = (struct v4l2_fract){ 1, (uint32_t)v4l2_wanted_fps(list->wish) };
    f->fps_num = 0;
    f->fps_den = 1;
    if (v4l2_ioctl(list->fd, VIDIOC_S_PARM, &arg) < 0 &&
        v4l2_ioctl(list->fd, VIDIOC_G_PARM, &arg) < 0) {
        return;
    }
    const struct v4l2_fract *t = &arg.parm.capture.timeperframe;
    if (t->numerator > 0 && t->denominator > 0 && t->numerator < 1000000000 &&
        t->denominator < 1000000000) {
        f->fps_num = (int)t->denominator;
        f->fps_den = (int)t->numerator;
    }
}

static void take_rate(const struct offers *list, const struct v4l2_signal *signal,
                      struct v4l2_mode *mode)
{
    if (!signal->present) {
        set_rate(list, &mode->format);
        return;
    }
    bool alternate = mode->fields && mode->format.height < signal->height;
    mode->format.fps_num = signal->fps_num * (alternate ? 2 : 1);
    mode->format.fps_den = signal->fps_den;
}

static int take_mode(struct offers *list, const char *name, const struct v4l2_signal *signal,
                     struct v4l2_mode *out, struct err *err)
{
    list_offers(list);
    const struct v4l2_offer *o = v4l2_choose(list->item, list->count, list->wish);
    if (!o) {
        return fail_choice(list, name, list->wish, err);
    }
    int code = set_format(list, name, o, out, err);
    if (code == 0) {
        take_rate(list, signal, out);
        (void)v4l2_explain(list->item, list->count, o, list->wish, out->why, sizeof out->why);
    }
    return code;
}

int v4l2_set_mode(int fd, enum v4l2_buf_type type, const char *name, const struct source_wish *wish,
                  struct v4l2_mode *out, struct err *err)
{
    struct v4l2_signal signal;
    struct v4l2_mode mode = { 0 };
    struct source_wish at = *wish;
    int code = v4l2_signal_take(fd, name, &signal, err);
    struct offers *list = code == 0 ? calloc(1, sizeof *list) : NULL;
    if (!list) {
        return code < 0 ? code : err_set(err, -ENOMEM, "%s: out of memory", name);
    }
    *list = (struct offers){ .fd = fd, .type = type, .wish = &at };
    if (signal.present) { /* its size is the only one */
        at.width = signal.width;
        at.height = signal.height;
    }
    code = take_mode(list, name, &signal, &mode, err);
    free(list);
    if (code == 0) {
        mode.signal = signal.present;
        (void)v4l2_misses(&mode.format, wish, mode.missed, sizeof mode.missed);
        *out = mode;
    }
    return code;
}
