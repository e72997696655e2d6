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
#define FAKE_SIZES    16
#define FAKE_RATES    8
#define FAKE_CONTROLS 4
#define FAKE_MAPS     128

struct fake_handle {
    bool used, dead; /* dead: opened before the unplug */
    int fd;          /* an eventfd, readable while a filled buffer waits */
    int event_fd;
    bool wants_source_change;
    uint32_t priority;
    unsigned events; /* source changes that wait */
};

struct fake_buffer {
    enum { BUFFER_IDLE, BUFFER_QUEUED, BUFFER_DONE } state;
    struct v4l2_buffer said; /* what DQBUF will say */
};

struct fake_size {
    int width, height;
};

struct fake {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* monotonic clock */
    struct fake_handle handle[FAKE_HANDLES];

    /* From the environment. */
    enum format_id formats[FORMAT_COUNT];
    int format_count;
    struct fake_size sizes[FAKE_SIZES];
    int size_count;
    int rates[FAKE_RATES];
    int rate_count;
    int64_t raw_rate;         /* pixels a second that raw formats may have; 0 = any */
    int padding;              /* bytes behind each row */
    const char *kind;         /* camera, meta, output, mplane */
    const char *stamp;        /* monotonic, unknown, zero */
    const char *quantization; /* default, full, limited */
    struct clip clip[FORMAT_COUNT];

    /* The current mode. */
    struct format format;
    int stride;
    size_t size_image;
    int32_t control[FAKE_CONTROLS];

    /* Streaming. */
    struct fake_handle *owner; /* of the buffers; NULL = free */
    unsigned orphans;          /* mappings that a closed owner left: still busy, as in the kernel */
    int memory;                /* memfd with all buffers, -1 = none */
    uint8_t *pixels;           /* … mapped by the sensor */
    uint8_t *scratch;
    unsigned buffer_count;
    size_t buffer_span; /* from one buffer to the next */
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
    bool unplugged, stalled, hung, busy;
    unsigned corrupt, cut, empty, error, skip;
    struct fake_size forced; /* the only size, by resize; 0 = none */
};

/* Read new commands and obey them. */
void fake_obey_locked(struct fake *f);
void fake_load_settings_locked(struct fake *f);
int fake_sizes_of(const struct fake *f, enum format_id id, struct fake_size out[FAKE_SIZES]);
int fake_rates_of(const struct fake *f, enum format_id id, int width, int height,
                  int out[FAKE_RATES]);
/* Take the mode nearest to *wanted, and say it; nothing changes when `only_try`. */
void fake_set_mode_locked(struct fake *f, struct v4l2_pix_format *wanted, bool only_try);
void fake_say_mode_locked(const struct fake *f, struct v4l2_pix_format *out);
void fake_wake_locked(struct fake *f); /* readers of every handle */

void fake_reset_controls(struct fake *f);
/* Capabilities and formats; -ENOTTY: another kind of call. */
int fake_format_ioctl_locked(struct fake *f, struct fake_handle *h, unsigned long request,
                             void *arg);
int fake_ioctl_locked(struct fake *f, struct fake_handle *h, unsigned long request, void *arg);

/* Buffers and the sensor; each returns 0 or a negative errno. */
int fake_request_locked(struct fake *f, struct fake_handle *h, struct v4l2_requestbuffers *arg);
int fake_query_locked(struct fake *f, struct v4l2_buffer *arg);
int fake_queue_locked(struct fake *f, struct fake_handle *h, struct v4l2_buffer *arg);
int fake_dequeue_locked(struct fake *f, struct fake_handle *h, struct v4l2_buffer *arg);
int fake_stream_on_locked(struct fake *f, struct fake_handle *h);
/* Drops the lock while it waits for the sensor. */
void fake_stream_off_locked(struct fake *f);
void fake_free_buffers_locked(struct fake *f);
void fake_calm(int eventfd); /* make it unreadable */
int64_t fake_now_us(void);
