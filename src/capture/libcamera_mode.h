/* SPDX-License-Identifier: MIT */
/*
 * What to ask of a libcamera camera, and what it gave, in our words.
 * Threads: any, pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/source.h"

struct libcamera_format;
struct libcamera_setup;

/* One pixel format at the size nearest to the wish. */
struct libcamera_offer {
    enum format_id id;
    uint32_t fourcc;
    int width, height;
};

/* DRM's names, which are not V4L2's: its RGB888 has blue first in memory. FORMAT_NONE: not ours. */
enum format_id libcamera_format_id(uint32_t fourcc);

/* Is it what a sensor gives, before anything has made a picture of it? */
bool libcamera_is_raw(const struct libcamera_format *format);

/* libcamera's own rule: a USB camera's id ends in "-vvvv:pppp", its vendor and product. */
bool libcamera_is_usb(const char *id);

/* What of a format comes nearest to the wish. False: nothing we can read, or not what is wished. */
bool libcamera_offer(const struct libcamera_format *format, const struct source_wish *wish,
                     struct libcamera_offer *out);

/* The best of them; NULL when there is none. `usb`: raw pictures must fit through the cable. */
const struct libcamera_offer *libcamera_choose(const struct libcamera_offer *offers, size_t count,
                                               const struct source_wish *wish, bool usb);

/* Size, pixels and colours as configured. 0, or -ENOTSUP when the pixels are none of ours. */
int libcamera_tell_format(const struct libcamera_setup *setup, struct format *out);

/* Frames per second that are wished, or the default. */
int libcamera_fps(const struct source_wish *wish);
