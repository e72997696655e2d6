/* SPDX-License-Identifier: MIT */
/*
 * Hardware that the kernel offers as a V4L2 memory-to-memory encoder, Raspberry Pi 4's above all.
 * libavcodec has a driver for it, too, but copies each picture into the device's memory, cannot be given a
 * camera's buffer, and waits without limit. Here a picture that lies in a buffer which the device can read
 * stays there (m2m_plan.c), held until the device returns it.
 *
 * At most INSIDE pictures are with the device: one that it works on and one that waits, so that it is never
 * idle, and no picture is ever older than two encoding times when its packet comes.
 *
 * Is it H.264 at all? Drivers have been seen that announce what they do not make. So the first packet has
 * to be a key frame with its parameter sets, or the next encoder gets the work; unless the user has asked
 * for this one by name: then the packets are taken as they come.
 */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <linux/videodev2.h>

#include "encoder.h"
#include "h264_input.h"
#include "h264_unit.h"
#include "h264_vui.h"
#include "m2m_device.h"
#include "m2m_plan.h"
#include "m2m_queue.h"
#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/log.h"
#include "pcs/pool.h"
#include "pending.h"
#include "tempo.h"

#define NAME     "v4l2m2m"
#define INSIDE   2
#define PACKETS  4
#define DRAIN_MS 300 /* without progress */

struct encoder {
    struct encode_config config;
    struct pool *pool;
    bool named;
    struct m2m_device dev;
    struct h264_input input;
    bool running; /* the rest up to `tempo` belongs to one run: formats set, queues streaming */
    bool proven, finishing, ended;
    struct m2m_plan plan;
    struct m2m_queue pictures, packets;
    struct h264_sets sets;
    struct h264_vui vui;
    struct pending pending;
    struct tempo tempo;
    bool unshared;           /* the device cannot read the camera's buffers after all */
    _Atomic int64_t bitrate; /* wanted */
    int64_t bitrate_set;
    int64_t last_pts;
};

static bool accepts(enum format_id input)
{
    return encoder_reads(input) || input == FORMAT_JPEG;
}

static bool is_named(const struct encode_config *config)
{
    return config->encoder && strcmp(config->encoder, NAME) == 0;
}

static int no_device(const struct encode_config *config, struct err *err)
{
    return err_set(err, -ENODEV, "%s" NAME ": this machine has no V4L2 H.264 encoder (/dev/video*)",
                   is_named(config) ? "--encoder " : "");
}

static int check(const struct encode_config *config, struct err *err)
{
    struct m2m_device dev;
    if (m2m_device_open(&dev)) {
        return no_device(config, err);
    }
    m2m_device_close(&dev);
    return 0;
}

/* ---- a run ---- */

static void stop_run(struct encoder *e)
{
    m2m_queue_close(&e->pictures);
    m2m_queue_close(&e->packets);
    e->pending.count = 0;
    e->plan.in_place = false;
    e->running = e->proven = e->finishing = e->ended = false;
}

static void set_rate(struct encoder *e)
{
    e->bitrate_set = atomic_load_explicit(&e->bitrate, memory_order_relaxed);
    m2m_device_control(&e->dev, V4L2_CID_MPEG_VIDEO_BITRATE, (int)e->bitrate_set);
}

static double nominal_us(const struct format *f)
{
    return f->fps_num > 0 && f->fps_den > 0 ? 1e6 * f->fps_den / f->fps_num : 1e6 / 30;
}

/* The device's rate control counts pictures: tell it how long one lasts. */
static void set_interval(struct encoder *e)
{
    double us = nominal_us(&e->plan.from) * e->tempo.scale;
    int rc = m2m_device_interval(&e->dev, (unsigned)(us + 0.5), 1000000);
    if (rc) {
        log_debug("%s: frame rate: %s", e->dev.path, err_text(rc));
    }
}

static int gop_of(const struct encoder *e)
{
    return e->config.gop > 0 ? (int)e->config.gop : (int)(2e6 / nominal_us(&e->plan.from) + 0.5);
}

static void set_controls(struct encoder *e)
{
    const struct m2m_device *dev = &e->dev;
    int gop = gop_of(e);
    m2m_device_control(dev, V4L2_CID_MPEG_VIDEO_FRAME_RC_ENABLE, 1);
    m2m_device_control(dev, V4L2_CID_MPEG_VIDEO_BITRATE_MODE, V4L2_MPEG_VIDEO_BITRATE_MODE_CBR);
    m2m_device_control(dev, V4L2_CID_MPEG_VIDEO_B_FRAMES, 0);
    m2m_device_control(dev, V4L2_CID_MPEG_VIDEO_GOP_SIZE, gop);
    m2m_device_control(dev, V4L2_CID_MPEG_VIDEO_H264_I_PERIOD, gop);
    m2m_device_control(dev, V4L2_CID_MPEG_VIDEO_HEADER_MODE,
                       V4L2_MPEG_VIDEO_HEADER_MODE_JOINED_WITH_1ST_FRAME);
    m2m_device_control(dev, V4L2_CID_MPEG_VIDEO_REPEAT_SEQ_HEADER, 1);
    m2m_device_control(dev, V4L2_CID_MPEG_VIDEO_H264_PROFILE, V4L2_MPEG_VIDEO_H264_PROFILE_HIGH);
    m2m_device_control(dev, V4L2_CID_MPEG_VIDEO_H264_LEVEL, m2m_plan_level(&e->plan.to));
    set_rate(e);
    set_interval(e);
}

static int picture_buffers(const struct encoder *e)
{
    if (e->plan.in_place) {
        return M2M_BUFFERS; /* no memory: one for each of the camera's, so that each stays mapped */
    }
    int least = m2m_device_get(&e->dev, V4L2_CID_MIN_BUFFERS_FOR_OUTPUT, 1);
    return least < INSIDE ? INSIDE : least < M2M_BUFFERS ? least : M2M_BUFFERS;
}

static int open_queues(struct encoder *e)
{
    int rc =
        m2m_queue_open(&e->pictures, &e->dev, M2M_PICTURES, e->plan.in_place, picture_buffers(e));
    rc = rc ? rc : m2m_queue_open(&e->packets, &e->dev, M2M_PACKETS, false, PACKETS);
    for (int i = 0; i < e->packets.count && rc == 0; i++) {
        rc = m2m_queue_put(&e->packets, i, 0, 0, NULL);
    }
    rc = rc ? rc : m2m_queue_start(&e->pictures);
    return rc ? rc : m2m_queue_start(&e->packets);
}

static void tell(const struct encoder *e)
{
    if (e->plan.in_place) {
        log_info(NAME ": %s (%s) reads the camera's buffers in place", e->dev.path, e->dev.card);
    } else {
        log_info(NAME ": %s (%s), pictures are written to it as %s", e->dev.path, e->dev.card,
                 format_info(e->plan.to.id)->name);
    }
}

static int start_run(struct encoder *e, const struct frame *picture)
{
    struct format colour = h264_input_format(&e->input, &picture->format);
    stop_run(e);
    int rc = m2m_plan_make(&e->plan, &e->dev, picture, &colour, !e->unshared);
    if (rc) {
        return rc;
    }
    e->tempo = (struct tempo){ .scale = 1 };
    e->last_pts = INT64_MIN;
    set_controls(e);
    rc = open_queues(e);
    e->running = rc == 0;
    if (e->running) {
        tell(e);
    }
    return rc;
}

/* ---- pictures ---- */

/* The device's memory as a frame to write to. */
static int write_picture(struct encoder *e, const struct frame *picture, struct m2m_buffer *b)
{
    struct frame to = { .format = e->plan.to, .data = b->map, .buffer = b->map, .size = b->size };
    struct format padded = e->plan.to;
    padded.height = (int)e->plan.device.height; /* where the planes are */
    padded.width = (int)e->plan.device.width;
    to.format = padded;
    int rc = frame_set_planes(&to, (int)e->plan.device.stride);
    to.format = e->plan.to;
    return rc ? rc : h264_input_write(&e->input, picture, &to);
}

static int put_picture(struct encoder *e, const struct frame *picture, int64_t pts)
{
    int index = m2m_queue_free(&e->pictures, e->plan.in_place ? picture->dmabuf_fd : -1);
    if (index < 0) {
        return -EBUSY;
    }
    if (!e->plan.in_place) {
        int rc = write_picture(e, picture, &e->pictures.buffer[index]);
        if (rc) {
            return rc;
        }
    }
    return m2m_queue_put(&e->pictures, index, e->plan.device.size, pts, picture);
}

static void adapt(struct encoder *e, const struct frame *picture, bool key)
{
    if (tempo_note(&e->tempo, picture->capture_us, nominal_us(&e->plan.from))) {
        set_interval(e);
    }
    if (atomic_load_explicit(&e->bitrate, memory_order_relaxed) != e->bitrate_set) {
        set_rate(e);
    }
    if (key && e->last_pts != INT64_MIN) { /* the first of a run is one anyway */
        m2m_device_control(&e->dev, V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME, 1);
    }
}

static int feed(struct encoder *e, const struct frame *picture, bool key)
{
    int64_t pts = picture->capture_us > e->last_pts ? picture->capture_us : e->last_pts + 1;
    adapt(e, picture, key);
    int rc = put_picture(e, picture, pts);
    if (rc == 0) {
        e->last_pts = pts;
        pending_add(&e->pending, pts, picture);
    }
    return rc;
}

/* Feed it, in place if that goes: a camera's buffer may be one that the device cannot read after all,
 * in pieces for instance, and only says so now. */
static int feed_somehow(struct encoder *e, const struct frame *picture, bool key)
{
    int rc = e->running ? 0 : start_run(e, picture);
    rc = rc ? rc : feed(e, picture, key);
    if (rc == 0 || !e->plan.in_place) {
        return rc;
    }
    log_info(NAME ": cannot read the camera's buffers (%s); copying", err_text(rc));
    e->unshared = true;
    rc = start_run(e, picture);
    return rc ? rc : feed(e, picture, key);
}

static int upright(struct encoder *e, const struct frame *in, const struct frame **out)
{
    if (in->format.id == FORMAT_JPEG) {
        return h264_input_convert(&e->input, in, out);
    }
    *out = frame_ref(in);
    return 0;
}

/* ---- packets ---- */

static bool is_annex_b(const struct m2m_done *done)
{
    static const uint8_t code[] = { 0, 0, 0, 1 };
    return done->size > 4 &&
           (memcmp(done->data, code, 4) == 0 || memcmp(done->data, code + 1, 3) == 0);
}

static struct frame *copy_packet(struct encoder *e, const struct m2m_done *done,
                                 const struct h264_unit *unit)
{
    struct frame *f = pool_get(e->pool, unit ? unit->size : done->size);
    if (f && unit) {
        h264_unit_write(&e->sets, done->data, done->size, unit, f->buffer);
        f->size = unit->size;
    } else if (f) {
        memcpy(f->buffer, done->data, done->size);
        f->size = done->size;
    }
    return f;
}

/* 0 with *out, or with NULL when there is none: the picture was skipped. */
static int finish_packet(struct encoder *e, const struct m2m_done *done,
                         const struct h264_unit *unit, bool key, struct frame **out)
{
    struct frame *f = copy_packet(e, done, unit);
    if (!f) {
        return -ENOMEM;
    }
    if (!pending_take(&e->pending, done->time_us, f)) {
        frame_unref(f);
        return 0;
    }
    e->proven = true;
    f->format = e->plan.to;
    f->format.id = FORMAT_H264;
    f->flags = (f->flags & FRAME_STANDBY) | (key ? FRAME_KEY : 0u);
    *out = key && unit ? h264_vui_tell(&e->vui, &e->plan.to, e->pool, f) : f;
    return 0;
}

static int make_packet(struct encoder *e, const struct m2m_done *done, struct frame **out)
{
    struct h264_unit unit;
    if (done->size == 0 || done->damaged) {
        return 0;
    }
    if (!is_annex_b(done)) {
        return e->named ? finish_packet(e, done, NULL, done->key, out) : -EPROTO;
    }
    h264_unit_read(&e->sets, done->data, done->size, &unit);
    if (!unit.has_slice) {
        return 0; /* parameter sets alone: they are remembered */
    }
    bool proof = e->proven || (unit.key && unit.complete);
    return proof ? finish_packet(e, done, &unit, unit.key, out) : -EPROTO;
}

static int return_pictures(struct encoder *e)
{
    struct m2m_done done;
    int rc;
    do {
        rc = m2m_queue_take(&e->pictures, &done);
    } while (rc == 0);
    return rc == -EAGAIN ? 0 : rc;
}

static int encoder_collect(struct encoder *e, struct frame **out)
{
    struct m2m_done done;
    *out = NULL;
    int rc = e->running ? return_pictures(e) : -EAGAIN;
    while (rc == 0 && !*out && !e->ended) {
        rc = m2m_queue_take(&e->packets, &done);
        if (rc == 0) {
            rc = make_packet(e, &done, out);
            e->ended = done.last;
            int put = done.last ? 0 : m2m_queue_put(&e->packets, done.index, 0, 0, NULL);
            rc = rc ? rc : put;
        }
    }
    e->ended |= rc == -EPIPE;
    if (rc && rc != -EAGAIN && rc != -EPIPE) {
        frame_unref(*out);
        *out = NULL;
        return rc;
    }
    return 0;
}

static bool encoder_ready(const struct encoder *e)
{
    return e->pictures.queued < INSIDE;
}

static bool encoder_busy(const struct encoder *e)
{
    return e->pending.count > 0 || e->pictures.queued > 0;
}

static int encoder_fd(const struct encoder *e)
{
    return e->dev.fd;
}

/* Until there is something to collect. */
static int wait_device(const struct encoder *e, int timeout_ms)
{
    struct pollfd p = { .fd = e->dev.fd, .events = POLLIN | POLLOUT };
    int rc;
    do {
        rc = poll(&p, 1, timeout_ms);
    } while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : rc == 0 ? -ETIMEDOUT : p.revents & POLLERR ? -EIO : 0;
}

static int encoder_drain(struct encoder *e, struct frame **out)
{
    *out = NULL;
    if (!e->running || !encoder_busy(e)) {
        return 0;
    }
    if (!e->finishing) {
        e->finishing = true;
        (void)m2m_device_finish(&e->dev); /* without it the packets come, too, from what is live */
    }
    int rc = 0;
    while (rc == 0 && encoder_busy(e) && !e->ended) {
        rc = encoder_collect(e, out);
        if (rc || *out) {
            return rc;
        }
        rc = encoder_busy(e) && !e->ended ? wait_device(e, DRAIN_MS) : 0;
    }
    return 0;
}

/* ---- the backend ---- */

static int encoder_encode(struct encoder *e, const struct frame *in, bool key, struct frame **out)
{
    const struct frame *picture = NULL;
    int rc = upright(e, in, &picture);
    if (rc) {
        return rc;
    }
    if (e->running && !m2m_plan_serves(&e->plan, picture, !e->unshared)) {
        stop_run(e); /* another size, or a picture that is not the camera's */
    }
    rc = feed_somehow(e, picture, key);
    frame_unref(picture);
    return rc ? rc : encoder_collect(e, out);
}

static void encoder_close(struct encoder *e)
{
    if (e) {
        stop_run(e);
        h264_input_finish(&e->input);
        h264_vui_finish(&e->vui);
        m2m_device_close(&e->dev);
        free(e);
    }
}

static int encoder_open(struct encoder **out, const struct encode_config *config,
                        const struct format *in, struct pool *pool, struct err *err)
{
    (void)in; /* how pictures lie in memory is known at the first one */
    struct encoder *e = calloc(1, sizeof *e);
    if (!e) {
        return err_set(err, -ENOMEM, NAME ": out of memory");
    }
    int rc = m2m_device_open(&e->dev);
    if (rc) {
        encoder_close(e);
        return no_device(config, err);
    }
    e->config = *config;
    e->pool = pool;
    e->named = is_named(config);
    atomic_init(&e->bitrate, config->bitrate);
    h264_input_init(&e->input, pool, true);
    *out = e;
    return 0;
}

static void encoder_set_bitrate(struct encoder *e, int64_t bitrate)
{
    atomic_store_explicit(&e->bitrate, bitrate, memory_order_relaxed);
}

static const char *encoder_name(const struct encoder *e)
{
    (void)e;
    return NAME;
}

const struct encoder_backend encoder_m2m = {
    .name = NAME,
    .output = FORMAT_H264,
    .accepts = accepts,
    .check = check,
    .open = encoder_open,
    .encode = encoder_encode,
    .drain = encoder_drain,
    .ready = encoder_ready,
    .busy = encoder_busy,
    .fd = encoder_fd,
    .collect = encoder_collect,
    .set_bitrate = encoder_set_bitrate,
    .describe = encoder_name,
    .close = encoder_close,
};
