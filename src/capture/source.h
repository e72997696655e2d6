/* SPDX-License-Identifier: MIT */
/*
 * Source: where pictures come from. One file, one line in src/capture/sources.c, one line of CMake;
 * it brings its options with it.
 * Life: open → next … next → close, all in the capture thread, which opens it again with back-off
 * when it fails. A frame may outlive its source (a driver's buffer then just is not queued again).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "capture/control.h"
#include "pcs/err.h"
#include "pcs/format.h"
#include "pcs/option.h"

struct frame;
struct source;
struct stop;

/* What the user asked of any source. Zero = no wish: up to 1280x720@30. */
struct source_wish {
    int width, height;
    int fps;
    enum format_id format; /* --format */
    enum format_id
        codec;          /* FORMAT_JPEG/FORMAT_H264 when --codec names it: prefer to capture it ready
                              made; FORMAT_NONE = auto */
    bool pictures;      /* they will be turned or written on here: H.264 is of no use */
    unsigned transform; /* enum format_transform; a source may do a part itself */
    struct control_settings controls; /* to apply before the first frame, by control_apply */
};

struct source_backend {
    const char *name;
    const struct option_def *options;
    size_t option_count;
    size_t config_size;
    bool (*implied)(const void *config);   /* one of its options names it (--device …) */
    bool (*available)(const void *config); /* for --source auto: is such a camera here? */
    /* Judges its options before anything starts; NULL: any will do. 0 or -EINVAL with err. */
    int (*check)(const void *config, struct err *err);
    /* --list-devices: each camera with its formats and controls, for people. NULL: has none to list. */
    void (*list)(FILE *out);
    int64_t retry_first_us, retry_max_us; /* back-off between tries; 0 = 0.2 s to 5 s */
    /* While open() fails, so that what has just been plugged in need not wait for the back-off. `watch`:
     * an fd that becomes readable then; the caller closes it. `changed` takes what it has to say: is a
     * try worth it? NULL, or a negative errno: cannot tell. */
    int (*watch)(const void *config);
    bool (*changed)(int fd);

    /* Opens and starts. On success *format says what next() will give. Errors: -ENODEV, -EBUSY,
     * -EACCES … with a line that names the device. -EINVAL and -ENOTSUP mean that trying again is
     * useless (not a camera, no such format, no such file, a control it has not). -ECANCELED: stopped.
     * format->transform comes back as what its pictures have been through already (0: nothing); what is
     * left of the wish is done to them later. */
    int (*open)(struct source **out, const struct source_wish *wish, const void *config,
                struct stop *stop, struct format *format, struct err *err);
    /*
     * Wait for the next frame. 0: *out with one reference (seq and wall_us are filled in by the
     * caller). -EAGAIN: nothing this time (a frame was unusable); go on. -ECANCELED: stopped.
     * -ENODATA: end of the input, for good. Anything else: broken; close and open again (err says
     * why). Whatever the result, frames that got lost are added to *lost. A frame whose format differs
     * from the last one announces a change. A source that hears nothing for too long says so itself
     * (-ETIMEDOUT).
     */
    int (*next)(struct source *source, const struct frame **out, unsigned *lost, struct err *err);
    void (*close)(struct source *source);

    /* Controls while open; NULL: has none. From any thread, also during next(). */
    int (*set_control)(struct source *source, const char *name, const char *value, struct err *err);
    void (*each_control)(struct source *source,
                         void (*visit)(void *arg, const struct control *control), void *arg);
};

extern const struct source_backend source_libcamera;
extern const struct source_backend source_v4l2;
extern const struct source_backend source_command;
extern const struct source_backend source_input;
extern const struct source_backend source_test;

/* All of them, in the order `auto` tries; NULL at the end. */
extern const struct source_backend *const source_backends[];
/* The choices of --source: "auto" and their names; NULL at the end. */
extern const char *const source_names[];
