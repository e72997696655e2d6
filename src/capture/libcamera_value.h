/* SPDX-License-Identifier: MIT */
/*
 * The values of libcamera's controls, which libcamera_api.h hands over as bytes, as numbers.
 * Threads: any, pure.
 */
#pragma once

#include <stdbool.h>

#include "libcamera_api.h"

#define LIBCAMERA_NUMBERS 64 /* of a value: 16 rectangles */

struct libcamera_numbers {
    unsigned count;
    double n[LIBCAMERA_NUMBERS];
};

/* What an element of a type consists of. */
struct libcamera_type_info {
    unsigned numbers; /* 0: not of numbers */
    unsigned size;    /* bytes of each */
    bool whole;
    double min, max;
};

const struct libcamera_type_info *libcamera_type_info(enum libcamera_type type);

void libcamera_value_read(const struct libcamera_value *v, struct libcamera_numbers *out);
/* Sets count and bytes. The numbers are whole where they must be, and fit v->type. */
void libcamera_value_write(const struct libcamera_numbers *from, struct libcamera_value *v);

bool libcamera_value_first(const struct libcamera_value *v, double *out); /* false: it has none */
/* The first numbers of what a control says its limits are; false: it says none. */
bool libcamera_value_range(const struct libcamera_control *control, double *min, double *max);
