/* SPDX-License-Identifier: MIT */
/*
 * Which of libcamera's cameras is meant, and telling people what there is.
 * Threads: one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "libcamera_api.h"
#include "pcs/err.h"

#define LIBCAMERA_CAMERAS 16

struct libcamera_found {
    char id[256];
    char model[64];
    char location[16];
    int rotation;
};

struct libcamera_cameras {
    struct libcamera_found item[LIBCAMERA_CAMERAS];
    size_t count;
};

void libcamera_look(const struct libcamera_api *api, struct libcamera_manager *manager,
                    struct libcamera_cameras *out);

/*
 * The one that `wanted` means: an id, a model, an index, or a part of one camera's id or model. NULL:
 * the first that is no USB camera, else the first. Pure. -ENODEV with what there is, -EINVAL when it
 * could be several.
 */
int libcamera_find(const struct libcamera_cameras *cameras, const char *wanted,
                   const struct libcamera_found **out, struct err *err);

/* Does any media device but a USB camera's have a sensor? Asks the kernel, not libcamera. */
bool libcamera_has_sensor(void);

/* Each camera with its formats and controls. */
void libcamera_print(FILE *out, const struct libcamera_api *api, struct libcamera_manager *manager);
