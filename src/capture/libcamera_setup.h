/* SPDX-License-Identifier: MIT */
/*
 * Setting a libcamera camera up for a wish: format and size, its sensor's mode, colours, turning, rate.
 * Threads: the source's.
 */
#pragma once

#include "capture/source.h"

struct libcamera_api;
struct libcamera_camera;

struct libcamera_mode {
    struct format format;
    int stride;
    size_t frame_size;
    unsigned buffers;   /* as many as the camera wants */
    unsigned transform; /* enum format_transform: what the camera does to the picture, of upright */
    char why[160];      /* for the log */
};

/* Errors as of source_backend's open. */
int libcamera_set_up(const struct libcamera_api *api, struct libcamera_camera *camera,
                     const char *name, const struct source_wish *wish, struct libcamera_mode *out,
                     struct err *err);
