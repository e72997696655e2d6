/* SPDX-License-Identifier: MIT */
/*
 * Capture stage: a thread that opens the source the user asked for, hands out every frame stamped
 * and numbered, and opens it again with back-off, for ever, when it breaks, stalls or is not there
 * yet: a camera may be plugged in later.
 *
 * Life: capture_start → handler calls → capture_stop → capture_free. The configs and the handler's
 * arg are borrowed until capture_free.
 * Threads: start, stop and free by the pipeline; the handler is called in the capture thread; stats
 * from any.
 */
#pragma once

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "pcs/err.h"
#include "pcs/format.h"
#include "pcs/option.h"

struct capture;
struct control;
struct frame;

/* The options of every source: sections "source" and "picture" of contract.md. Each backend brings
 * its own part beside it (source.h). */
struct capture_config {
    int source; /* index into source_names */
    int64_t width, height, fps;
    const char *format;          /* FOURCC, NULL = any */
    struct option_list controls; /* NAME=VALUE */
    bool hflip, vflip;
    int rotate;        /* index into 0, 90, 180, 270 degrees clockwise */
    bool list_devices; /* do that and nothing else */
};
extern const struct option_def capture_source_options[];
extern const size_t capture_source_option_count;
extern const struct option_def capture_picture_options[];
extern const size_t capture_picture_option_count;

/* --list-devices: the cameras that each source finds, on `out`. */
void capture_list(FILE *out);

/* `backend_configs` is parallel to source_backends. Judges the options together; 0 or -EINVAL. */
int capture_check(const struct capture_config *config, const void *const *backend_configs,
                  struct err *err);

struct capture_handler {
    /* The source opened (again), or its pictures changed: what the next frames are. */
    void (*opened)(void *arg, const struct format *format);
    /* One frame: numbered 1, 2, 3 … without holes, capture_us strictly rising. Borrowed: take a
     * reference to keep it. A camera's own buffer may be behind it: keep it briefly. */
    void (*frame)(void *arg, const struct frame *frame);
    /*
     * Once, as the last call. 0: max_frames were given, or the input ended. -ECANCELED: capture_stop.
     * Other negatives: the source can never work as configured; `why` is for the user, and is logged.
     */
    void (*ended)(void *arg, int reason, const struct err *why);
    void *arg;
};

struct capture_params {
    const struct capture_config *config;
    const void *const *backend_configs; /* parallel to source_backends */
    enum format_id codec;               /* what --codec names (source_wish.codec) */
    bool pictures;                      /* they are written on (source_wish.pictures) */
    uint64_t max_frames;                /* end after exactly so many; 0 = never */
    struct capture_handler handler;
};

/* Returns at once; the source is opened in the thread. Only a lack of memory or threads fails here. */
int capture_start(struct capture **out, const struct capture_params *params, struct err *err);
void capture_stop(struct capture *c); /* no handler call after it returns; NULL is fine */
void capture_free(struct capture *c);

enum capture_state {
    CAPTURE_OPENING,
    CAPTURE_LIVE,
    CAPTURE_FAILED, /* not there or broken; tried again with back-off */
    CAPTURE_ENDED,
};

struct capture_stats {
    uint64_t captured; /* frames handed to the handler */
    uint64_t lost; /* the camera made, or should have made, but we did not get, or could not use */
    uint64_t reopened; /* successful opens after the first */
    enum capture_state state;
    int64_t started_us;    /* monotonic, capture_start */
    int64_t since_us;      /* … of the state */
    char why[400];         /* of CAPTURE_FAILED; the reason of the last failure otherwise */
    const char *source;    /* name of the backend, NULL before the first try */
    struct format format;  /* id FORMAT_NONE until opened */
    int64_t last_frame_us; /* monotonic, when the newest frame came; 0 = none yet */
};
void capture_get_stats(struct capture *c, struct capture_stats *out);

/*
 * Controls of the camera, by name; what is set stays set when it is opened again. -ENODEV: no camera is
 * open; -ENOENT: it has no such control; -EINVAL, -ERANGE: not with this value; err is for the user. Any
 * thread; waits while the camera is being opened or closed.
 */
int capture_set_control(struct capture *c, const char *name, const char *value, struct err *err);
int capture_each_control(struct capture *c, void (*visit)(void *arg, const struct control *control),
                         void *arg);
/* The config's controls changed (SIGHUP): sets those that did, and logs what does not work. */
void capture_reconfigure(struct capture *c);
