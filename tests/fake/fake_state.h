/* SPDX-License-Identifier: MIT */
/*
 * The emulated camera's state, shared by the files of the device. Everything under `lock`.
 */
#pragma once

#include <linux/videodev2.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "fake_media.h"
#include "pcs/format.h"

#define FAKE_HANDLES  128
#define FAKE_BUFFERS  32
#define FAKE_FORMATS  32
#define FAKE_SIZES    16
#define FAKE_RATES    8
#define FAKE_CONTROLS 16
#define FAKE_LABEL    32 /* bytes of the control that is a text */
#define FAKE_MAPS     128

struct fake_handle {
    bool used, dead; /* dead: opened before the unplug */
    int fd;          /* an eventfd, readable while a filled buffer waits */
    int event_fd;
    bool wants_source_change;
    uint32_t priority;
    unsigned events; /* source changes that wait */
};

/* A buffer is one piece of memory, or one for each plane (NM12 …). */
struct fake_buffer {
    enum { BUFFER_IDLE, BUFFER_QUEUED, BUFFER_DONE } state;
    struct v4l2_buffer said; /* what DQBUF will say, but for its pieces */
    struct fake_piece {
        int memory;      /* memfd */
        uint8_t *pixels; /* … mapped by the sensor */
        uint32_t used;
    } piece[FORMAT_MAX_PLANES];
};

struct fake_mode {
    struct format format;
    uint32_t fourcc;
    int pieces;
    int stride[FORMAT_MAX_PLANES];  /* of each piece */
    size_t size[FORMAT_MAX_PLANES]; /* with what lies in front of the picture */
};

struct fake_size {
    int width, height;
};

struct fake {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* monotonic clock */
    struct fake_handle handle[FAKE_HANDLES];

    /* From the environment. */
    uint32_t formats[FAKE_FORMATS]; /* V4L2's names */
    int format_count;
    struct fake_size sizes[FAKE_SIZES];
    int size_count;
    int rates[FAKE_RATES];
    int rate_count;
    int64_t raw_rate;         /* pixels a second that raw formats may have; 0 = any */
    int padding;              /* bytes behind each row */
    int front;                /* bytes in front of each piece of a multi-planar picture */
    int buffer_limit;         /* the most buffers it gives */
    const char *kind;         /* camera, meta, output, mplane, hdmi */
    enum v4l2_buf_type type;  /* of its buffers */
    uint32_t colors[4];       /* colorspace, ycbcr_enc, quantization, xfer_func */
    const char *stamp;        /* monotonic, unknown, zero */
    const char *quantization; /* default, full, limited */
    struct clip clip[FORMAT_COUNT];

    /* The current mode. */
    struct fake_mode mode;
    struct v4l2_bt_timings timings; /* that are set, of the kind hdmi */
    int64_t control[FAKE_CONTROLS];
    char label[FAKE_LABEL];

    /* Streaming. */
    struct fake_handle *owner; /* of the buffers; NULL = free */
    unsigned orphans;          /* mappings that a closed owner left: still busy, as in the kernel */
    uint8_t *scratch;
    unsigned buffer_count;
    struct fake_buffer buffer[FAKE_BUFFERS];
    unsigned order[2][FAKE_BUFFERS], length[2]; /* FIFOs: 0 = queued, 1 = done */
    bool streaming;
    pthread_t sensor;
    int64_t start_us;
    int64_t tick;
    size_t position; /* in the clip */
    struct fake_map {
        void *at;
        bool orphan;
    } map[FAKE_MAPS];

    /* Switches (the control file); a new file begins with all of them off. */
    off_t control_offset;   /* read so far … */
    char control_path[200]; /* of this file */
    bool unplugged, stalled, hung, busy, denied;
    char node[64], card[32], bus[32]; /* empty: as it was at first */
    unsigned corrupt, cut, empty, error, skip;
    struct fake_size forced;       /* the only size, by resize; 0 = none */
    struct v4l2_bt_timings signal; /* at the input of the kind hdmi … */
    int no_signal;                 /* … or why there is none: a negative errno */
};

/* Read new commands (fake_commands.c) and obey them. */
void fake_obey_locked(struct fake *f);
void fake_load_settings_locked(struct fake *f);
void fake_load_sizes(struct fake *f); /* a part of it */
int fake_sizes_of(const struct fake *f, enum format_id id, struct fake_size out[FAKE_SIZES]);
int fake_rates_of(const struct fake *f, enum format_id id, int width, int height,
                  int out[FAKE_RATES]);
/* Take the mode nearest to *wanted, and say it; nothing changes when `only_try`. */
void fake_set_mode_locked(struct fake *f, struct v4l2_format *wanted, bool only_try);
void fake_say_mode_locked(const struct fake *f, struct v4l2_format *out);
bool fake_is_hdmi(const struct fake *f);
/* WxH@FPS in the usual blanking of HDMI. */
struct v4l2_bt_timings fake_timings(int width, int height, int fps);
void fake_wake_locked(struct fake *f);        /* readers of every handle */
void fake_tell_change_locked(struct fake *f); /* the source's, as an event */

void fake_reset_controls(struct fake *f);
int fake_brightness(const struct fake *f); /* against the default */
int fake_control_ioctl_locked(struct fake *f, unsigned long request, void *arg);
/* Each -ENOTTY for another kind of call: capabilities and formats; the input and its signal. */
int fake_format_ioctl_locked(struct fake *f, struct fake_handle *h, unsigned long request,
                             void *arg);
int fake_input_ioctl_locked(struct fake *f, unsigned long request, void *arg);
int fake_ioctl_locked(struct fake *f, struct fake_handle *h, unsigned long request, void *arg);

/* Buffers and the sensor; each returns 0 or a negative errno. */
int fake_request_locked(struct fake *f, struct fake_handle *h, struct v4l2_requestbuffers *arg);
int fake_query_locked(struct fake *f, struct v4l2_buffer *arg);
int fake_export_locked(struct fake *f, struct v4l2_exportbuffer *arg);
/* The piece of memory that is mapped at this offset; -1: none of that size. */
int fake_memory_at(const struct fake *f, off_t offset, size_t size);
int fake_queue_locked(struct fake *f, struct fake_handle *h, struct v4l2_buffer *arg);
int fake_dequeue_locked(struct fake *f, struct fake_handle *h, struct v4l2_buffer *arg);
int fake_stream_on_locked(struct fake *f, struct fake_handle *h);
/* Drops the lock while it waits for the sensor. */
void fake_stream_off_locked(struct fake *f);
void fake_free_buffers_locked(struct fake *f);
void fake_calm(int eventfd); /* make it unreadable */
int64_t fake_now_us(void);
