/* SPDX-License-Identifier: MIT */
#include "libcamera_mode.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "libcamera_api.h"

#define DEFAULT_WIDTH  1280
#define DEFAULT_HEIGHT 720
#define DEFAULT_FPS    30
#define HD_HEIGHT      720 /* from here on BT.709 */

/* An isochronous endpoint of USB 2 carries at most 3 x 1024 bytes in each of 8000 microframes. */
#define USB_BYTES_PER_S 24000000

/* drm_fourcc.h of the kernel; only the names that differ from V4L2's. */
static const struct {
    uint32_t fourcc;
    enum format_id id;
} drm_names[] = {
    { FORMAT_FOURCC('R', 'G', '2', '4'), FORMAT_BGR24 }, /* RGB888 */
    { FORMAT_FOURCC('B', 'G', '2', '4'), FORMAT_RGB24 }, /* BGR888 */
    { FORMAT_FOURCC('X', 'R', '2', '4'), FORMAT_BGRX },  /* XRGB8888 */
    { FORMAT_FOURCC('A', 'R', '2', '4'), FORMAT_BGRX },  /* ARGB8888 */
    { FORMAT_FOURCC('X', 'B', '2', '4'), FORMAT_RGBX },  /* XBGR8888 */
    { FORMAT_FOURCC('A', 'B', '2', '4'), FORMAT_RGBX },  /* ABGR8888 */
    { FORMAT_FOURCC('R', 'G', '1', '6'), FORMAT_RGB16 },
    { FORMAT_FOURCC('Y', 'U', '1', '6'), FORMAT_422P },
    { FORMAT_FOURCC('R', '8', ' ', ' '), FORMAT_GREY },
};

/* Of the others the names are the same; V4L2 gives some of them other meanings. */
static const enum format_id same_names[] = { FORMAT_YUYV, FORMAT_UYVY, FORMAT_YVYU, FORMAT_VYUY,
                                             FORMAT_NV12, FORMAT_NV21, FORMAT_NV16, FORMAT_YU12,
                                             FORMAT_YV12, FORMAT_JPEG };

/* In the order of what costs least to bring into an encoder. */
static const enum format_id preferred[] = { FORMAT_YU12,  FORMAT_NV12,  FORMAT_YUYV,  FORMAT_UYVY,
                                            FORMAT_NV21,  FORMAT_YV12,  FORMAT_YVYU,  FORMAT_VYUY,
                                            FORMAT_NV16,  FORMAT_422P,  FORMAT_BGRX,  FORMAT_RGBX,
                                            FORMAT_BGR24, FORMAT_RGB24, FORMAT_RGB16, FORMAT_GREY };

enum format_id libcamera_format_id(uint32_t fourcc)
{
    for (size_t i = 0; i < sizeof drm_names / sizeof drm_names[0]; i++) {
        if (drm_names[i].fourcc == fourcc) {
            return drm_names[i].id;
        }
    }
    for (size_t i = 0; i < sizeof same_names / sizeof same_names[0]; i++) {
        if (format_info(same_names[i])->fourcc == fourcc) {
            return same_names[i];
        }
    }
    return FORMAT_NONE;
}

/* Asked for raw data, a USB camera offers its pictures. */
bool libcamera_is_raw(const struct libcamera_format *format)
{
    enum format_id id = libcamera_format_id(format->fourcc);
    return format->bits > 0 && (id == FORMAT_NONE || id == FORMAT_GREY);
}

static bool is_hex4(const char *s)
{
    for (int i = 0; i < 4; i++) {
        if (!isxdigit((unsigned char)s[i])) {
            return false;
        }
    }
    return true;
}

bool libcamera_is_usb(const char *id)
{
    const size_t tail = strlen("-vvvv:pppp");
    size_t size = strlen(id);
    if (size < tail) {
        return false;
    }
    const char *end = id + size - tail;
    return end[0] == '-' && end[5] == ':' && is_hex4(end + 1) && is_hex4(end + 6);
}

int libcamera_fps(const struct source_wish *wish)
{
    return wish->fps > 0 ? wish->fps : DEFAULT_FPS;
}

static bool is_free_size(const struct source_wish *wish)
{
    return wish->width <= 0 && wish->height <= 0;
}

/* The size in mind: one that is half given is completed as 16:9. */
static struct libcamera_size wanted_size(const struct source_wish *wish)
{
    struct libcamera_size s = { wish->width, wish->height };
    if (is_free_size(wish)) {
        return (struct libcamera_size){ DEFAULT_WIDTH, DEFAULT_HEIGHT };
    }
    if (s.width <= 0) {
        s.width = s.height * DEFAULT_WIDTH / DEFAULT_HEIGHT;
    }
    if (s.height <= 0) {
        s.height = s.width * DEFAULT_HEIGHT / DEFAULT_WIDTH;
    }
    return s;
}

/* How far a size is from the wish. With free choice it may be smaller, but not larger. */
static int64_t distance(struct libcamera_size s, const struct source_wish *wish)
{
    if (!is_free_size(wish)) {
        int64_t width = wish->width > 0 ? abs(s.width - wish->width) : 0;
        return width + (wish->height > 0 ? abs(s.height - wish->height) : 0);
    }
    bool fits = s.width <= DEFAULT_WIDTH && s.height <= DEFAULT_HEIGHT;
    int64_t pixels = (int64_t)s.width * s.height;
    return fits ? DEFAULT_WIDTH * DEFAULT_HEIGHT - pixels : 100000000 + pixels;
}

static int clamp_step(int value, int min, int max, int step)
{
    if (value <= min || value >= max) {
        return value <= min ? min : max;
    }
    return min + (value - min + step / 2) / step * step;
}

static struct libcamera_size nearest(const struct libcamera_format *f,
                                     const struct source_wish *wish)
{
    if (f->step.width > 0 && f->step.height > 0) {
        struct libcamera_size s = wanted_size(wish);
        return (struct libcamera_size){
            clamp_step(s.width, f->min.width, f->max.width, f->step.width),
            clamp_step(s.height, f->min.height, f->max.height, f->step.height),
        };
    }
    struct libcamera_size best = { 0 };
    for (size_t i = 0; i < f->size_count; i++) {
        if (best.width == 0 || distance(f->sizes[i], wish) < distance(best, wish)) {
            best = f->sizes[i];
        }
    }
    return best;
}

bool libcamera_offer(const struct libcamera_format *format, const struct source_wish *wish,
                     struct libcamera_offer *out)
{
    enum format_id id = format->plain ? libcamera_format_id(format->fourcc) : FORMAT_NONE;
    struct libcamera_size size = nearest(format, wish);
    bool usable = size.width >= 1 && size.height >= 1 && size.width <= FORMAT_MAX_SIZE &&
                  size.height <= FORMAT_MAX_SIZE;
    if (id == FORMAT_NONE || !usable || (wish->format != FORMAT_NONE && wish->format != id)) {
        return false;
    }
    *out = (struct libcamera_offer){ id, format->fourcc, size.width, size.height };
    return true;
}

/* Small first. JPEG first where JPEG is wished, else only instead of nothing. */
static int rank(const struct libcamera_offer *o, const struct source_wish *wish, bool usb)
{
    const int count = sizeof preferred / sizeof preferred[0];
    if (o->id == FORMAT_JPEG) {
        return wish->codec == FORMAT_JPEG && !wish->pictures ? -1 : count;
    }
    struct format f = { .id = o->id, .width = o->width, .height = o->height };
    size_t offset[FORMAT_MAX_PLANES];
    int stride[FORMAT_MAX_PLANES];
    bool too_much = usb && format_layout(&f, 0, offset, stride) * (size_t)libcamera_fps(wish) >
                               USB_BYTES_PER_S;
    for (int i = 0; i < count; i++) {
        if (preferred[i] == o->id) {
            return too_much ? count + 1 + i : i;
        }
    }
    return 3 * count;
}

const struct libcamera_offer *libcamera_choose(const struct libcamera_offer *offers, size_t count,
                                               const struct source_wish *wish, bool usb)
{
    const struct libcamera_offer *best = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct libcamera_offer *o = &offers[i];
        int64_t nearer =
            best ? distance((struct libcamera_size){ o->width, o->height }, wish) -
                       distance((struct libcamera_size){ best->width, best->height }, wish)
                 : -1;
        if (nearer < 0 || (nearer == 0 && rank(o, wish, usb) < rank(best, wish, usb))) {
            best = o;
        }
    }
    return best;
}

static enum color_primaries primaries(enum libcamera_primaries p)
{
    static const enum color_primaries to[] = {
        [LIBCAMERA_PRIMARIES_RAW] = COLOR_PRIMARIES_UNKNOWN,
        [LIBCAMERA_PRIMARIES_170M] = COLOR_PRIMARIES_170M,
        [LIBCAMERA_PRIMARIES_709] = COLOR_PRIMARIES_709,
        [LIBCAMERA_PRIMARIES_2020] = COLOR_PRIMARIES_2020,
    };
    return to[p];
}

static enum color_transfer transfer(enum libcamera_transfer t)
{
    static const enum color_transfer to[] = {
        [LIBCAMERA_TRANSFER_LINEAR] = COLOR_TRANSFER_UNKNOWN,
        [LIBCAMERA_TRANSFER_SRGB] = COLOR_TRANSFER_SRGB,
        [LIBCAMERA_TRANSFER_709] = COLOR_TRANSFER_709,
    };
    return to[t];
}

static enum color_matrix matrix(enum libcamera_matrix m)
{
    static const enum color_matrix to[] = {
        [LIBCAMERA_MATRIX_NONE] = COLOR_MATRIX_601, /* RGB: what we make of it has this one */
        [LIBCAMERA_MATRIX_601] = COLOR_MATRIX_601,
        [LIBCAMERA_MATRIX_709] = COLOR_MATRIX_709,
        [LIBCAMERA_MATRIX_2020] = COLOR_MATRIX_2020,
    };
    return to[m];
}

int libcamera_tell_format(const struct libcamera_setup *setup, struct format *out)
{
    struct format f = { .width = setup->width, .height = setup->height, .fps_den = 1 };
    f.id = libcamera_format_id(setup->fourcc);
    if (f.id == FORMAT_NONE) {
        return -ENOTSUP;
    }
    if (f.id == FORMAT_JPEG) { /* JFIF's, whatever the camera calls it */
        f.range = COLOR_RANGE_FULL;
    } else if (setup->color_known) {
        f.range = setup->full_range ? COLOR_RANGE_FULL : COLOR_RANGE_LIMITED;
        f.matrix = matrix(setup->matrix);
        f.primaries = primaries(setup->primaries);
        f.transfer = transfer(setup->transfer);
    } else {
        f.matrix = f.height >= HD_HEIGHT ? COLOR_MATRIX_709 : COLOR_MATRIX_601;
    }
    *out = f;
    return 0;
}
