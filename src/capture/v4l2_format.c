/* SPDX-License-Identifier: MIT */
#include "v4l2_format.h"

#include <errno.h>
#include <linux/videodev2.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "v4l2_device.h"

#define MAX_OFFERS     512
#define DEFAULT_WIDTH  1280
#define DEFAULT_HEIGHT 720
#define DEFAULT_FPS    30

struct offers {
    struct v4l2_offer item[MAX_OFFERS];
    size_t count;
};

static int wanted_fps(const struct source_wish *wish)
{
    return wish->fps > 0 ? wish->fps : DEFAULT_FPS;
}

/* 29.97 is as good as 30. */
static bool has_rate(const struct v4l2_offer *o, const struct source_wish *wish, double share)
{
    return o->fps <= 0 || o->fps >= share * wanted_fps(wish);
}

static int size_distance(const struct v4l2_offer *o, const struct source_wish *wish)
{
    int width = wish->width > 0 ? abs(o->width - wish->width) : 0;
    int height = wish->height > 0 ? abs(o->height - wish->height) : 0;
    return width + height;
}

/* Small numbers first: what costs least to bring to the wanted codec. -1: no way there. */
static int rank(enum format_id id, enum format_id codec)
{
    static const int raw[FORMAT_COUNT] = {
        [FORMAT_YU12] = 1, [FORMAT_NV12] = 2,  [FORMAT_YUYV] = 3,
        [FORMAT_UYVY] = 4, [FORMAT_RGB24] = 5, [FORMAT_GREY] = 6
    };
    if (!format_info(id)->compressed) {
        return 10 * raw[id];
    }
    if (codec == FORMAT_NONE) {
        return id == FORMAT_H264 ? 0 : 1; /* what the camera compressed passes through */
    }
    if (id == codec) {
        return 0;
    }
    return id == FORMAT_JPEG ? 100 : -1; /* JPEG can be decoded for H.264; H.264 is not decoded */
}

static bool allowed(const struct v4l2_offer *o, const struct source_wish *wish)
{
    if (wish->format != FORMAT_NONE) {
        return o->id == wish->format;
    }
    return rank(o->id, wish->codec) >= 0;
}

/* Without a wish for a size: the largest up to 1280x720 that is not slow; if all are larger, the
 * smallest. Negative: a is better. */
static int compare_free_size(const struct v4l2_offer *a, const struct v4l2_offer *b,
                             const struct source_wish *wish)
{
    bool fits_a = a->width <= DEFAULT_WIDTH && a->height <= DEFAULT_HEIGHT;
    bool fits_b = b->width <= DEFAULT_WIDTH && b->height <= DEFAULT_HEIGHT;
    if (fits_a != fits_b) {
        return fits_a ? -1 : 1;
    }
    bool fast_a = has_rate(a, wish, 0.8), fast_b = has_rate(b, wish, 0.8);
    if (fits_a && fast_a != fast_b) {
        return fast_a ? -1 : 1;
    }
    int larger = b->width * b->height - a->width * a->height;
    return fits_a ? larger : -larger;
}

static int compare(const struct v4l2_offer *a, const struct v4l2_offer *b,
                   const struct source_wish *wish)
{
    bool free_size = wish->width <= 0 && wish->height <= 0;
    int by_size = free_size ? compare_free_size(a, b, wish)
                            : size_distance(a, wish) - size_distance(b, wish);
    if (by_size != 0) {
        return by_size;
    }
    bool enough_a = has_rate(a, wish, 0.95), enough_b = has_rate(b, wish, 0.95);
    if (enough_a != enough_b) {
        return enough_a ? -1 : 1;
    }
    if (!enough_a && fabs(a->fps - b->fps) > 0.5) {
        return a->fps > b->fps ? -1 : 1;
    }
    return rank(a->id, wish->codec) - rank(b->id, wish->codec);
}

const struct v4l2_offer *v4l2_choose(const struct v4l2_offer *offers, size_t count,
                                     const struct source_wish *wish)
{
    const struct v4l2_offer *best = NULL;
    for (size_t i = 0; i < count; i++) {
        if (allowed(&offers[i], wish) && (!best || compare(&offers[i], best, wish) < 0)) {
            best = &offers[i];
        }
    }
    return best;
}

static double rate_of(const struct v4l2_fract *interval)
{
    return interval->numerator > 0 ? (double)interval->denominator / interval->numerator : 0;
}

/* The highest frame rate at this size; 0 when the driver does not say. */
static double highest_rate(int fd, const struct v4l2_offer *o)
{
    struct v4l2_frmivalenum arg = { .pixel_format = o->fourcc,
                                    .width = (uint32_t)o->width,
                                    .height = (uint32_t)o->height };
    double best = 0;
    while (arg.index < 64 && v4l2_ioctl(fd, VIDIOC_ENUM_FRAMEINTERVALS, &arg) == 0) {
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

static void add_offer(int fd, struct offers *list, struct v4l2_offer o, uint32_t width,
                      uint32_t height)
{
    if (width < 1 || height < 1 || width > FORMAT_MAX_SIZE || height > FORMAT_MAX_SIZE ||
        list->count == MAX_OFFERS) {
        return;
    }
    o.width = (int)width;
    o.height = (int)height;
    o.fps = highest_rate(fd, &o);
    list->item[list->count++] = o;
}

static uint32_t clamp_step(uint32_t value, uint32_t min, uint32_t max, uint32_t step)
{
    if (value <= min || step == 0) {
        return value <= min ? min : value >= max ? max : value;
    }
    return value >= max ? max : min + (value - min + step / 2) / step * step;
}

static void add_stepwise(int fd, struct offers *list, struct v4l2_offer o,
                         const struct v4l2_frmsize_stepwise *s, const struct source_wish *wish)
{
    bool free_size = wish->width <= 0 && wish->height <= 0;
    uint32_t width = wish->width > 0 ? (uint32_t)wish->width : DEFAULT_WIDTH;
    uint32_t height = wish->height > 0 ? (uint32_t)wish->height
                      : free_size      ? DEFAULT_HEIGHT
                                       : width * DEFAULT_HEIGHT / DEFAULT_WIDTH;
    if (wish->width <= 0 && wish->height > 0) {
        width = height * DEFAULT_WIDTH / DEFAULT_HEIGHT;
    }
    add_offer(fd, list, o, clamp_step(width, s->min_width, s->max_width, s->step_width),
              clamp_step(height, s->min_height, s->max_height, s->step_height));
}

/* A driver that cannot list sizes is asked what it would make of the wish. */
static void add_tried(int fd, struct offers *list, struct v4l2_offer o,
                      const struct source_wish *wish)
{
    struct v4l2_format arg = { .type = V4L2_BUF_TYPE_VIDEO_CAPTURE };
    arg.fmt.pix.pixelformat = o.fourcc;
    arg.fmt.pix.width = wish->width > 0 ? (uint32_t)wish->width : DEFAULT_WIDTH;
    arg.fmt.pix.height = wish->height > 0 ? (uint32_t)wish->height : DEFAULT_HEIGHT;
    if (v4l2_ioctl(fd, VIDIOC_TRY_FMT, &arg) == 0 && arg.fmt.pix.pixelformat == o.fourcc) {
        add_offer(fd, list, o, arg.fmt.pix.width, arg.fmt.pix.height);
    }
}

static void list_sizes(int fd, struct offers *list, struct v4l2_offer o,
                       const struct source_wish *wish)
{
    struct v4l2_frmsizeenum arg = { .pixel_format = o.fourcc };
    while (arg.index < 256 && v4l2_ioctl(fd, VIDIOC_ENUM_FRAMESIZES, &arg) == 0) {
        if (arg.type != V4L2_FRMSIZE_TYPE_DISCRETE) {
            add_stepwise(fd, list, o, &arg.stepwise, wish);
            return;
        }
        add_offer(fd, list, o, arg.discrete.width, arg.discrete.height);
        arg.index++;
    }
    if (arg.index == 0) {
        add_tried(fd, list, o, wish);
    }
}

/* The next format we can read, from *index on; FORMAT_NONE at the end. */
static enum format_id next_format(int fd, uint32_t *index, uint32_t *fourcc)
{
    struct v4l2_fmtdesc arg = { .type = V4L2_BUF_TYPE_VIDEO_CAPTURE };
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

bool v4l2_has_formats(int fd)
{
    uint32_t index = 0, fourcc;
    return next_format(fd, &index, &fourcc) != FORMAT_NONE;
}

static void list_offers(int fd, struct offers *list, const struct source_wish *wish)
{
    uint32_t index = 0;
    struct v4l2_offer o = { 0 };
    while ((o.id = next_format(fd, &index, &o.fourcc)) != FORMAT_NONE) {
        list_sizes(fd, list, o, wish);
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
    if (wish->format != FORMAT_NONE) {
        return err_set(err, -ENOTSUP, "%s: --format %s: the camera has only%s", name,
                       format_info(wish->format)->name, *have ? have : " formats unknown here");
    }
    return err_set(err, -ENOTSUP, "%s: the camera has no usable format (it has%s)", name,
                   *have ? have : " formats unknown here");
}

static void say_why(const struct offers *list, const struct v4l2_offer *taken,
                    const struct source_wish *wish, char *why, size_t size)
{
    double raw_fps = -1;
    for (size_t i = 0; i < list->count; i++) {
        const struct v4l2_offer *o = &list->item[i];
        if (!format_info(o->id)->compressed && o->width == taken->width &&
            o->height == taken->height && o->fps > raw_fps) {
            raw_fps = o->fps;
        }
    }
    if (wish->format != FORMAT_NONE) {
        (void)snprintf(why, size, "as --format says");
    } else if (!format_info(taken->id)->compressed) {
        (void)snprintf(why, size, "raw, to be compressed here");
    } else if (raw_fps > 0 && raw_fps < 0.95 * wanted_fps(wish)) {
        (void)snprintf(why, size, "raw pictures have only %.4g frames per second", raw_fps);
    } else {
        (void)snprintf(why, size, "compressed by the camera");
    }
}

static void take_colors(const struct v4l2_pix_format *pix, struct format *f)
{
    if (f->id == FORMAT_JPEG) { /* JFIF knows only these */
        f->range = COLOR_RANGE_FULL;
        f->matrix = COLOR_MATRIX_601;
        return;
    }
    uint32_t encoding = pix->ycbcr_enc ? pix->ycbcr_enc
                                       : (uint32_t)V4L2_MAP_YCBCR_ENC_DEFAULT(pix->colorspace);
    uint32_t range = pix->quantization ? pix->quantization
                                       : (uint32_t)V4L2_MAP_QUANTIZATION_DEFAULT(
                                             f->id == FORMAT_RGB24, pix->colorspace, encoding);
    f->range = range == V4L2_QUANTIZATION_FULL_RANGE ? COLOR_RANGE_FULL : COLOR_RANGE_LIMITED;
    bool hd = encoding == V4L2_YCBCR_ENC_709 || encoding == V4L2_YCBCR_ENC_XV709;
    f->matrix = hd ? COLOR_MATRIX_709 : COLOR_MATRIX_601;
}

static int set_format(int fd, const char *name, const struct v4l2_offer *o, struct v4l2_mode *out,
                      struct err *err)
{
    struct v4l2_format arg = { .type = V4L2_BUF_TYPE_VIDEO_CAPTURE };
    struct v4l2_pix_format *pix = &arg.fmt.pix;
    pix->pixelformat = o->fourcc;
    pix->width = (uint32_t)o->width;
    pix->height = (uint32_t)o->height;
    int code = v4l2_ioctl(fd, VIDIOC_S_FMT, &arg);
    if (code < 0) {
        return v4l2_fail(err, code, name, "set the picture format");
    }
    enum format_id id = format_by_fourcc(pix->pixelformat);
    if (id != o->id || pix->width < 1 || pix->height < 1 || pix->width > FORMAT_MAX_SIZE ||
        pix->height > FORMAT_MAX_SIZE) {
        return err_set(err, -EIO, "%s: the driver does not take %s, which it lists", name,
                       format_info(o->id)->name);
    }
    out->format.id = id;
    out->format.width = (int)pix->width;
    out->format.height = (int)pix->height;
    out->stride = format_info(id)->compressed ? 0 : (int)pix->bytesperline;
    take_colors(pix, &out->format);
    return 0;
}

/* What the driver makes of the wished rate is what there is; without an answer the rate is unknown. */
static void set_rate(int fd, const struct source_wish *wish, struct format *f)
{
    struct v4l2_streamparm arg = { .type = V4L2_BUF_TYPE_VIDEO_CAPTURE };
    arg.parm.capture.timeperframe = (struct v4l2_fract){ 1, (uint32_t)wanted_fps(wish) };
    f->fps_num = 0;
    f->fps_den = 1;
    if (v4l2_ioctl(fd, VIDIOC_S_PARM, &arg) < 0 && v4l2_ioctl(fd, VIDIOC_G_PARM, &arg) < 0) {
        return;
    }
    const struct v4l2_fract *t = &arg.parm.capture.timeperframe;
    if (t->numerator > 0 && t->denominator > 0 && t->numerator < 1000000000 &&
        t->denominator < 1000000000) {
        f->fps_num = (int)t->denominator;
        f->fps_den = (int)t->numerator;
    }
}

int v4l2_set_mode(int fd, const char *name, const struct source_wish *wish, struct v4l2_mode *out,
                  struct err *err)
{
    struct offers *list = calloc(1, sizeof *list);
    if (!list) {
        return err_set(err, -ENOMEM, "%s: out of memory", name);
    }
    struct v4l2_mode mode = { 0 };
    list_offers(fd, list, wish);
    const struct v4l2_offer *o = v4l2_choose(list->item, list->count, wish);
    int code = o ? set_format(fd, name, o, &mode, err) : fail_choice(list, name, wish, err);
    if (code == 0) {
        set_rate(fd, wish, &mode.format);
        say_why(list, o, wish, mode.why, sizeof mode.why);
        *out = mode;
    }
    free(list);
    return code;
}
