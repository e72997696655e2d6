/* SPDX-License-Identifier: MIT */
/*
 * libcamera's controls as ours: names of their values, text to value and back.
 * Threads: any, pure.
 */
#pragma once

#include "capture/control.h"
#include "libcamera_api.h"
#include "pcs/err.h"

#define LIBCAMERA_VALUE_TEXT 200

/* A control for people; the strings in `control` point into the rest. */
struct libcamera_view {
    struct control control;
    struct control_choice choice[LIBCAMERA_CHOICES];
    char choice_name[LIBCAMERA_CHOICES][24]; /* of those without a name: the number */
    char initial[LIBCAMERA_VALUE_TEXT];
    char value[LIBCAMERA_VALUE_TEXT];
    char range[2 * LIBCAMERA_VALUE_TEXT + 8]; /* of lists and rectangles: "LEAST to MOST", or "" */
};

/* Add what versions before 0.4 do not tell: names of values, which ones are arrays. */
void libcamera_control_complete(struct libcamera_control *control);

/* `now` NULL: not known. */
void libcamera_control_view(const struct libcamera_control *control,
                            const struct libcamera_value *now, struct libcamera_view *out);

/*
 * "continuous", "AfModeContinuous" or "2"; "10000"; "1.5,2"; a rectangle is "X,Y,WIDTHxHEIGHT", a size
 * "WIDTHxHEIGHT". 0, or -EINVAL with what is allowed in err.
 */
int libcamera_control_parse(const struct libcamera_control *control, const char *text,
                            struct libcamera_value *out, struct err *err);
