/* SPDX-License-Identifier: MIT */
/*
 * How pictures of a camera get into a hardware encoder: in place, when it can read the camera's buffers
 * (DMABUF) as they are, else written into its own memory as YU12 or NV12.
 * Threads: any; pure but for asking the device.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "m2m_device.h"
#include "pcs/format.h"

struct frame;

struct m2m_plan {
    struct format from;       /* of the camera's pictures */
    bool shared;              /* they lay in buffers that could be shared … */
    int stride;               /* … with lines of so many bytes */
    bool in_place;            /* and are read there */
    struct format to;         /* the layout that the device reads, of even size */
    struct m2m_format device; /* what it makes of that */
};

/* Are the planes of a picture where V4L2 wants them in one buffer that can be shared? */
bool m2m_plan_shareable(const struct frame *picture);

/* Does the device read a picture of this layout in a buffer of `bytes` as it is? */
bool m2m_plan_fits(const struct m2m_format *wanted, const struct m2m_format *got, size_t bytes);

/* Is it the plan that would be made for this picture? `share`: buffers may be shared. */
bool m2m_plan_serves(const struct m2m_plan *plan, const struct frame *picture, bool share);

/* The level that the size and rate need (ITU-T H.264, table A-1): V4L2_MPEG_VIDEO_H264_LEVEL_… */
int m2m_plan_level(const struct format *f);

/*
 * Make a plan and set the device's formats by it. `colour`: what the pictures' colours will be inside
 * (h264_input_format). 0; -ENOTSUP: it takes nothing that we could give; another negative errno.
 */
int m2m_plan_make(struct m2m_plan *out, const struct m2m_device *dev, const struct frame *picture,
                  const struct format *colour, bool share);
