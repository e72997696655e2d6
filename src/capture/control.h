/* SPDX-License-Identifier: MIT */
/*
 * Controls of a camera: what can be set while it runs, by name. Names are compared without regard to case,
 * '_', '-' and spaces, so that V4L2's "exposure_time_absolute", its "Exposure Time, Absolute" and
 * libcamera's "ExposureTime" are typed as people like.
 * Threads: any, pure, but for control_apply, which calls the source.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "pcs/err.h"

struct source;

enum control_kind {
    CONTROL_INT,
    CONTROL_BOOL,
    CONTROL_MENU, /* one of `choices` */
    CONTROL_FLOAT,
    CONTROL_TEXT,   /* strings, rectangles, lists: the source parses it */
    CONTROL_BUTTON, /* any value presses it */
};

struct control_choice {
    int64_t value;
    const char *name;
};

/* Borrowed for the time of the visit. */
struct control {
    const char *name; /* as --control takes it: lower case and '_', or libcamera's */
    enum control_kind kind;
    double min, max;     /* of numbers; both 0: the camera does not say */
    double step;         /* 0: any */
    const char *initial; /* default and current value as --control takes them; "" = not known */
    const char *value;
    const struct control_choice *choices; /* of CONTROL_MENU */
    size_t choice_count;
    bool read_only;
    bool inactive; /* another control has switched it off for now */
};

/* What the user set: items "NAME=VALUE". `strict`: one that the camera refuses is an error, else a
 * warning in the log (another camera than before may be behind the same name). */
struct control_settings {
    const char *const *item;
    size_t count;
    bool strict;
};

#define CONTROL_NAME_SIZE 64

/* "NAME=VALUE" apart: *value points into `setting`. 0 or -EINVAL with err. */
int control_split(const char *setting, char name[CONTROL_NAME_SIZE], const char **value,
                  struct err *err);
bool control_same_name(const char *a, const char *b);
/* The key that control_same_name compares: lower case, single '_' between words, none at the ends. */
void control_key(const char *name, char key[CONTROL_NAME_SIZE]);

/*
 * The value of a control of any kind but TEXT: a number in range and on a step, yes/no/on/off/true/
 * false/1/0, a menu's number or the name of its item. 0, or -EINVAL with what is allowed in err.
 */
int control_parse(const struct control *control, const char *text, double *out, struct err *err);

/* One line for people: "brightness (int) 0 to 255 step 1, default 128, now 128". */
void control_print(FILE *out, const char *indent, const struct control *control);

/* Set them all. 0, or with `strict` the first failure: -EINVAL where it can never be set so, else as the
 * source says. */
int control_apply(const struct control_settings *settings, struct source *source,
                  int (*set)(struct source *source, const char *name, const char *value,
                             struct err *err),
                  struct err *err);
