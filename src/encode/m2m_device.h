/* SPDX-License-Identifier: MIT */
/*
 * A V4L2 memory-to-memory H.264 encoder (Raspberry Pi 4's bcm2835-codec and the like): pictures go into
 * its OUTPUT queue, packets come out of its CAPTURE queue. Single-planar and multi-planar devices look
 * the same from here.
 * Source: the kernel's "Memory-to-Memory Stateful Video Encoder Interface".
 * Life: open/close. Threads: one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pcs/format.h"

struct m2m_device {
    int fd;
    bool mplane;
    char path[32];
    char card[32]; /* what the driver calls it */
};

enum m2m_side { M2M_PICTURES, M2M_PACKETS }; /* V4L2's OUTPUT and CAPTURE */

/* What one side carries. */
struct m2m_format {
    uint32_t fourcc;
    unsigned width, height;
    unsigned stride, size; /* of a picture's first plane; of a buffer. 0 = the driver's choice */
    unsigned planes;       /* buffers that make a picture; filled in by the driver */
};

/* The first such device of the machine, without blocking. 0, or -ENODEV when there is none. */
int m2m_device_open(struct m2m_device *out);
void m2m_device_close(struct m2m_device *dev); /* no-op when not open */

unsigned m2m_device_type(const struct m2m_device *dev, enum m2m_side side); /* enum v4l2_buf_type */

/*
 * Ask for a format (only try, or set), and learn in *f what the driver makes of it. `colour` may be
 * NULL. 0 or a negative errno.
 */
int m2m_device_format(const struct m2m_device *dev, enum m2m_side side, bool set,
                      struct m2m_format *f, const struct format *colour);
/* Of a padded picture, encode these pixels from the top left on. */
int m2m_device_crop(const struct m2m_device *dev, unsigned width, unsigned height);
int m2m_device_interval(const struct m2m_device *dev, unsigned num, unsigned den); /* seconds */
/* A control by V4L2_CID_…; a refusal is only noted in the debug log. */
void m2m_device_control(const struct m2m_device *dev, uint32_t id, int value);
/* A control's value, or `otherwise`. */
int m2m_device_get(const struct m2m_device *dev, uint32_t id, int otherwise);
/* No more pictures: the last packet will be flagged. False: the device knows no such thing. */
bool m2m_device_finish(const struct m2m_device *dev);

/* ioctl that is repeated when interrupted: 0 or a negative errno. */
int m2m_ioctl(int fd, unsigned long request, void *arg);
