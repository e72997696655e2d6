/* SPDX-License-Identifier: MIT */
/*
 * libcamera for C: libcamera.cpp is built as a module of its own (source-libcamera.so), which exports
 * one function, libcamera_get_api, that returns this table; libcamera_load.c loads it at first need. Only
 * what needs C++ is behind it: no choice and no text for people is made there, and it calls nothing of
 * the program.
 *
 * Life: manager_new … manager_free around everything else (libcamera allows one manager in a process at
 * a time); open … close around all that a camera does; allocate, start, stop each once in between.
 * Threads: one thread, but for queue, set and current, which are for any while the camera runs. The
 * listener is called in a thread of libcamera's and must only hand over.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIBCAMERA_API_VERSION 1
#define LIBCAMERA_VALUE_BYTES 256
#define LIBCAMERA_CHOICES     32
#define LIBCAMERA_PLANES      3
#define LIBCAMERA_BUFFERS     16

struct libcamera_manager;
struct libcamera_camera;

/* Of a camera that is here; borrowed for the time of the visit. */
struct libcamera_info {
    const char *id;
    const char *model;    /* "" = unknown */
    const char *location; /* "front", "back", "external", "" */
    int rotation;         /* how it is mounted, degrees; -1 = unknown */
};

struct libcamera_size {
    int width, height;
};

struct libcamera_format {
    uint32_t fourcc; /* DRM's */
    bool plain;      /* rows of pixels: no tiles, not compressed */
    int bits;        /* of a sensor's raw format, 0 = unknown */
    const struct libcamera_size *sizes;
    size_t size_count;
    struct libcamera_size min, max, step; /* any size in between; step 0: only those in `sizes` */
};

enum libcamera_color { /* struct libcamera_setup's color; after configure the four below it */
                       LIBCAMERA_COLOR_ANY,
                       LIBCAMERA_COLOR_170M,
                       LIBCAMERA_COLOR_709,
};
enum libcamera_primaries {
    LIBCAMERA_PRIMARIES_RAW,
    LIBCAMERA_PRIMARIES_170M,
    LIBCAMERA_PRIMARIES_709,
    LIBCAMERA_PRIMARIES_2020,
};
enum libcamera_transfer {
    LIBCAMERA_TRANSFER_LINEAR,
    LIBCAMERA_TRANSFER_SRGB,
    LIBCAMERA_TRANSFER_709,
};
enum libcamera_matrix {
    LIBCAMERA_MATRIX_NONE,
    LIBCAMERA_MATRIX_601,
    LIBCAMERA_MATRIX_709,
    LIBCAMERA_MATRIX_2020,
};

/* What to configure; comes back as what was. */
struct libcamera_setup {
    uint32_t fourcc;
    int width, height;
    unsigned buffers;
    unsigned transform; /* against upright: 1 mirrored, 2 upside down, 4 transposed */
    enum libcamera_color color;
    struct libcamera_size
        sensor; /* the sensor's mode; 0 = libcamera's choice, or it cannot be chosen */
    int sensor_bits;

    int stride; /* of the first plane, bytes */
    size_t frame_size;
    bool color_known;
    enum libcamera_primaries primaries;
    enum libcamera_transfer transfer;
    enum libcamera_matrix matrix;
    bool full_range;
};

enum libcamera_type {
    LIBCAMERA_NONE,
    LIBCAMERA_BOOL,
    LIBCAMERA_BYTE,
    LIBCAMERA_UINT16,
    LIBCAMERA_UINT32,
    LIBCAMERA_INT32,
    LIBCAMERA_INT64,
    LIBCAMERA_FLOAT,
    LIBCAMERA_STRING,
    LIBCAMERA_RECTANGLE, /* int32_t x, y, uint32_t width, height */
    LIBCAMERA_SIZE,      /* uint32_t width, height */
};

struct libcamera_value {
    enum libcamera_type type;
    bool array;
    unsigned count; /* elements; of a string characters */
    uint8_t bytes[LIBCAMERA_VALUE_BYTES];
};

/* Strings live as long as the module. */
struct libcamera_control {
    unsigned id;
    const char *name;
    enum libcamera_type type;
    bool array;
    unsigned array_size; /* elements; 0: any number */
    bool read_only;
    struct libcamera_value min, max, initial; /* NONE: it does not say */
    struct libcamera_choice {
        int64_t value;
        const char *name; /* NULL: only the number is known */
    } choice[LIBCAMERA_CHOICES];
    size_t choice_count;
};

struct libcamera_buffer {
    struct {
        int fd;
        size_t offset, length;
    } plane[LIBCAMERA_PLANES];
    unsigned planes;
};

struct libcamera_done {
    unsigned index;
    bool ok;        /* whole and right */
    bool cancelled; /* not even tried: the camera stops, or is gone */
    unsigned sequence;
    int64_t sensor_ns; /* the metadata's SensorTimestamp, 0 = none */
    int64_t buffer_ns;
    size_t bytes; /* of the first plane */
};

struct libcamera_listener {
    void (*completed)(void *arg, const struct libcamera_done *done);
    void (*gone)(void *arg);
    void *arg;
};

/* Functions that return int: 0 or a negative errno. */
struct libcamera_api {
    unsigned version; /* LIBCAMERA_API_VERSION: is it ours? */
    const char *built_with;

    /* Where its messages go: "[0:01:02.345678] [123] WARN V4L2 v4l2.cpp:1 text", from any thread. */
    int (*set_log)(void (*write)(const char *text));

    int (*manager_new)(struct libcamera_manager **out); /* looks for cameras: 0.1 s */
    void (*manager_free)(struct libcamera_manager *m);
    void (*each_camera)(struct libcamera_manager *m,
                        void (*visit)(void *arg, const struct libcamera_info *info), void *arg);

    /* Without a listener only to look at; with one the camera is ours: -EBUSY when it is another's. */
    int (*open)(struct libcamera_manager *m, const char *id,
                const struct libcamera_listener *listener, struct libcamera_camera **out);
    void (*close)(struct libcamera_camera *c);

    /* What its video stream can be, or the modes of its sensor. */
    void (*each_format)(struct libcamera_camera *c, bool sensor,
                        void (*visit)(void *arg, const struct libcamera_format *format), void *arg);
    /* Ranges of controls are those of the last configuration. */
    void (*each_control)(struct libcamera_camera *c,
                         void (*visit)(void *arg, const struct libcamera_control *control),
                         void *arg);

    int (*configure)(struct libcamera_camera *c, struct libcamera_setup *setup);
    /* fds are the camera's, until close. */
    int (*allocate)(struct libcamera_camera *c, struct libcamera_buffer buffers[LIBCAMERA_BUFFERS],
                    unsigned *count);
    /* Or instead of that: memory of ours, one DMABUF with all planes for each; it keeps its own fds. */
    int (*adopt)(struct libcamera_camera *c, const int fds[], unsigned count,
                 struct libcamera_buffer buffers[LIBCAMERA_BUFFERS]);
    int (*start)(struct libcamera_camera *c);
    /* Let it fill a buffer: at the start, and again when it is done with. */
    int (*queue)(struct libcamera_camera *c, unsigned index);
    void (*stop)(struct libcamera_camera *c); /* afterwards the listener is not called any more */

    /* With start, or with the next buffer. -EINVAL: not of the control's type. */
    int (*set)(struct libcamera_camera *c, unsigned id, const struct libcamera_value *value);
    /* As the camera said not more than about a second ago. -ENOENT: it did not. */
    int (*current)(struct libcamera_camera *c, unsigned id, struct libcamera_value *out);
};

#define LIBCAMERA_API_SYMBOL "libcamera_get_api" /* const struct libcamera_api *(void) */
