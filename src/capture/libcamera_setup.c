/* SPDX-License-Identifier: MIT */
/*
 * libcamera chooses the sensor's mode by the size that is asked for. When the mode it chose is too slow for
 * the wished rate, others are tried, larger ones first, as far as this version lets choose (0.2 and later).
 */
#include "libcamera_setup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libcamera_api.h"
#include "libcamera_mode.h"
#include "libcamera_value.h"
#include "pcs/clock.h"
#include "pcs/log.h"

#define BUFFERS    6 /* one filling, one ready, and what encoders may hold */
#define MAX_OFFERS 128
#define MAX_MODES  32
#define HD_HEIGHT  720 /* from here on BT.709 */

#define FLIPS (TRANSFORM_HFLIP | TRANSFORM_VFLIP)

struct offers {
    const struct source_wish *wish;
    struct libcamera_offer item[MAX_OFFERS];
    size_t count;
};

static void add_offer(void *arg, const struct libcamera_format *format)
{
    struct offers *offers = arg;
    if (offers->count < MAX_OFFERS &&
        libcamera_offer(format, offers->wish, &offers->item[offers->count])) {
        offers->count++;
    }
}

/* ---- the rate ---- */

struct rate {
    bool known;
    unsigned id;
    bool array;
    double min_us, max_us; /* duration of a frame */
};

static void find_rate(void *arg, const struct libcamera_control *control)
{
    struct rate *rate = arg;
    if (strcmp(control->name, "FrameDurationLimits") == 0 && control->type == LIBCAMERA_INT64) {
        rate->id = control->id;
        rate->known = libcamera_value_range(control, &rate->min_us, &rate->max_us) &&
                      rate->min_us > 0 && rate->max_us >= rate->min_us;
    }
}

static struct rate ask_rate(const struct libcamera_api *api, struct libcamera_camera *camera)
{
    struct rate rate = { 0 };
    api->each_control(camera, find_rate, &rate);
    return rate;
}

/* 29.97 is as good as 30. */
static bool is_fast_enough(const struct rate *rate, int fps)
{
    return !rate->known || rate->min_us * fps <= 1.02 * CLOCK_S;
}

/* USB cameras have no such control and keep their own rate. */
static int set_rate(const struct libcamera_api *api, struct libcamera_camera *camera,
                    const struct rate *rate, int fps, struct format *format)
{
    double us = (double)CLOCK_S / fps;
    format->fps_num = 0;
    format->fps_den = 1;
    if (!rate->known) {
        return 0;
    }
    us = us < rate->min_us ? rate->min_us : us > rate->max_us ? rate->max_us : us;
    const int64_t limits[2] = { (int64_t)us, (int64_t)us };
    struct libcamera_value value = { .type = LIBCAMERA_INT64, .array = true, .count = 2 };
    memcpy(value.bytes, limits, sizeof limits);
    bool exact = us * fps > 0.98 * CLOCK_S && us * fps < 1.02 * CLOCK_S;
    format->fps_num = exact ? fps : (int)((double)CLOCK_S * 1000 / us + 0.5);
    format->fps_den = exact ? 1 : 1000;
    return api->set(camera, rate->id, &value);
}

/* ---- the sensor's mode ---- */

struct modes {
    struct mode {
        struct libcamera_size size;
        int bits;
    } item[MAX_MODES];
    size_t count;
};

static int64_t area(struct libcamera_size s)
{
    return (int64_t)s.width * s.height;
}

/* Largest first; of one size the one with more bits. */
static void add_mode(struct modes *modes, struct libcamera_size size, int bits)
{
    if (modes->count == MAX_MODES) {
        return;
    }
    size_t i = modes->count++;
    while (i > 0 &&
           (area(modes->item[i - 1].size) < area(size) ||
            (area(modes->item[i - 1].size) == area(size) && modes->item[i - 1].bits < bits))) {
        modes->item[i] = modes->item[i - 1];
        i--;
    }
    modes->item[i] = (struct mode){ size, bits };
}

static void add_modes(void *arg, const struct libcamera_format *format)
{
    for (size_t i = 0; libcamera_is_raw(format) && i < format->size_count; i++) {
        add_mode(arg, format->sizes[i], format->bits);
    }
}

/*
 * Another mode of the sensor that is fast enough and not smaller than the picture. Leaves the camera
 * configured with it, or as it was.
 */
static int find_faster(const struct libcamera_api *api, struct libcamera_camera *camera, int fps,
                       const struct libcamera_setup *wanted, struct libcamera_setup *taken)
{
    struct modes modes = { .count = 0 };
    api->each_format(camera, true, add_modes, &modes);
    for (size_t i = 0; i < modes.count; i++) {
        struct libcamera_setup setup = *wanted;
        setup.sensor = modes.item[i].size;
        setup.sensor_bits = modes.item[i].bits;
        if (setup.sensor.width < wanted->width || setup.sensor.height < wanted->height ||
            api->configure(camera, &setup) < 0) {
            continue;
        }
        if (setup.sensor.width == 0) {
            break; /* this version cannot choose it */
        }
        struct rate rate = ask_rate(api, camera);
        if (is_fast_enough(&rate, fps)) {
            *taken = setup;
            return 0;
        }
    }
    *taken = *wanted;
    return modes.count > 0 ? api->configure(camera, taken) : 0;
}

/* ---- all of it ---- */

static void explain(const struct libcamera_setup *wanted, const struct libcamera_setup *taken,
                    const struct rate *rate, int fps, char *why, size_t size)
{
    size_t used = 0;
    why[0] = 0;
    if (taken->width != wanted->width || taken->height != wanted->height ||
        taken->fourcc != wanted->fourcc) {
        used = (size_t)snprintf(why, size, "the camera's choice instead of %dx%d, ", wanted->width,
                                wanted->height);
    }
    if (taken->sensor.width > 0 && used < size) {
        used += (size_t)snprintf(why + used, size - used, "sensor at %dx%d for the rate, ",
                                 taken->sensor.width, taken->sensor.height);
    }
    if (used >= size) {
        return;
    }
    if (!rate->known) {
        (void)snprintf(why + used, size - used, "at the camera's own rate");
    } else if (!is_fast_enough(rate, fps)) {
        (void)snprintf(why + used, size - used, "the sensor gives at most %.4g of the %d a second",
                       CLOCK_S / rate->min_us, fps);
    } else {
        (void)snprintf(why + used, size - used, "frame rate by libcamera");
    }
}

/* What the camera made of being mounted as it is, and of the flips that were asked of it. */
static unsigned turned(const char *name, const struct libcamera_setup *taken)
{
    if (taken->transform & TRANSFORM_ROTATE) {
        log_warn("%s: mounted sideways, and cannot turn its pictures: use --rotate", name);
        return 0;
    }
    return taken->transform & FLIPS;
}

static int refuse(const struct offers *offers, const char *name, struct err *err)
{
    if (offers->wish->format != FORMAT_NONE) {
        return err_set(err, -ENOTSUP, "%s: has no format %s; --list-devices tells what it has",
                       name, format_info(offers->wish->format)->name);
    }
    return err_set(err, -ENOTSUP, "%s: has no format that this program can use", name);
}

static int configure(const struct libcamera_api *api, struct libcamera_camera *camera,
                     const char *name, struct libcamera_setup *setup, struct err *err)
{
    int code = api->configure(camera, setup);
    if (code == -EINVAL || code == -ENOTSUP) {
        return err_set(err, -ENOTSUP, "%s: refuses %dx%d", name, setup->width, setup->height);
    }
    return code < 0 ? err_set(err, code, "%s: cannot set it up: %s", name, err_text(code)) : 0;
}

static struct libcamera_setup wanted_setup(const struct libcamera_offer *o,
                                           const struct source_wish *wish)
{
    struct libcamera_setup setup = {
        .fourcc = o->fourcc,
        .width = o->width,
        .height = o->height,
        .buffers = BUFFERS,
        .transform = wish->transform & FLIPS, /* they come before turning: the rest is for others */
    };
    if (o->id != FORMAT_JPEG && format_info(o->id)->planes > 0) {
        setup.color = o->height >= HD_HEIGHT ? LIBCAMERA_COLOR_709 : LIBCAMERA_COLOR_170M;
    }
    return setup;
}

int libcamera_set_up(const struct libcamera_api *api, struct libcamera_camera *camera,
                     const char *name, const struct source_wish *wish, struct libcamera_mode *out,
                     struct err *err)
{
    struct offers offers = { .wish = wish };
    api->each_format(camera, false, add_offer, &offers);
    const struct libcamera_offer *best =
        libcamera_choose(offers.item, offers.count, wish, libcamera_is_usb(name));
    if (!best) {
        return refuse(&offers, name, err);
    }
    const int fps = libcamera_fps(wish);
    const struct libcamera_setup wanted = wanted_setup(best, wish);
    struct libcamera_setup taken = wanted;
    int code = configure(api, camera, name, &taken, err);
    if (code < 0) {
        return code;
    }
    struct rate rate = ask_rate(api, camera);
    if (!is_fast_enough(&rate, fps)) {
        code = find_faster(api, camera, fps, &wanted, &taken);
        rate = ask_rate(api, camera);
    }
    if (code == 0) {
        code = libcamera_tell_format(&taken, &out->format);
    }
    if (code == 0) {
        code = set_rate(api, camera, &rate, fps, &out->format);
    }
    if (code < 0) {
        return err_set(err, code, "%s: cannot set it up: %s", name, err_text(code));
    }
    out->stride = taken.stride;
    out->frame_size = taken.frame_size;
    out->buffers = taken.buffers;
    out->transform = turned(name, &taken);
    explain(&wanted, &taken, &rate, fps, out->why, sizeof out->why);
    return 0;
}
