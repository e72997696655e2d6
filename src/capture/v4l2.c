/* SPDX-License-Identifier: MIT */
/*
 * The `v4l2` source: a /dev/video node. The camera's own buffers are handed out as frames
 * (v4l2_buffers.h); of several that are ready only the newest is, unless they are H.264, where every
 * access unit is needed. A camera that stays silent is reported, because uvcvideo goes silent for ever
 * after a few failed transfers until its stream is started again.
 */
#include <errno.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capture/source.h"
#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/h264_scan.h"
#include "pcs/log.h"
#include "pcs/stop.h"
#include "pcs/thread.h"
#include "node_watch.h"
#include "v4l2_buffers.h"
#include "v4l2_control.h"
#include "v4l2_device.h"
#include "v4l2_find.h"
#include "v4l2_format.h"
#include "v4l2_list.h"

#define BUFFERS       6 /* one filling, one ready, and what encoders may hold */
#define SILENCE_US    (5 * CLOCK_S)
#define MAX_STEP_BACK 64             /* one farther back is a counter's reset too */
#define MAX_GAP       100000         /* a larger jump of sequence numbers is a counter's reset */
#define MAX_CLOCK_US  (10 * CLOCK_S) /* a time stamp farther from now is not of our clock */

struct v4l2_config {
    const char *device;
    struct v4l2_history history; /* no option: it outlives the opens (v4l2_find.h) */
};

struct source {
    char name[256];
    int fd;
    struct stop *stop;
    unsigned transform; /* what the camera does itself */
    struct v4l2_mode mode;
    struct v4l2_buffers *buffers;
    int64_t silence_us; /* so long without a picture is too long */
    int64_t heard_us;   /* when the last usable one came, or the stream started */
    bool counting;      /* `sequence` is valid */
    uint32_t sequence;
};

static const struct option_def v4l2_options[] = {
    { .name = "device",
      .type = OPTION_STRING,
      .offset = offsetof(struct v4l2_config, device),
      .arg = "PATH",
      .help = "a /dev/video node, or a /dev/v4l/by-id or by-path link" },
};

static bool v4l2_implied(const void *config)
{
    return ((const struct v4l2_config *)config)->device != NULL;
}

static bool v4l2_available(const void *config)
{
    /* One that was here is waited for, before sources of other kinds get their turn. */
    return ((const struct v4l2_config *)config)->history.known || v4l2_find_any();
}

static int v4l2_watch(const void *config)
{
    (void)config; /* links change with the nodes they lead to */
    return node_watch_open();
}

static void v4l2_close(struct source *s)
{
    if (!s) {
        return;
    }
    v4l2_buffers_close(s->buffers);
    if (s->fd >= 0) {
        close(s->fd);
    }
    free(s);
}

static void watch_changes(int fd)
{
    struct v4l2_event_subscription arg = { .type = V4L2_EVENT_SOURCE_CHANGE };
    (void)v4l2_ioctl(fd, VIDIOC_SUBSCRIBE_EVENT, &arg); /* few cameras can tell */
}

static bool source_changed(struct source *s)
{
    struct v4l2_event event;
    bool changed = false;
    while (v4l2_ioctl(s->fd, VIDIOC_DQEVENT, &event) == 0) {
        changed |= event.type == V4L2_EVENT_SOURCE_CHANGE;
    }
    return changed;
}

static int64_t longest_silence(const struct format *f)
{
    int64_t three_us = f->fps_num > 0 ? 3 * CLOCK_S * f->fps_den / f->fps_num : 0;
    return three_us > SILENCE_US ? three_us : SILENCE_US;
}

static void say_mode(const struct source *s, const struct v4l2_capability *cap)
{
    const struct v4l2_mode *mode = &s->mode;
    char text[64];
    (void)format_describe(&mode->format, text, sizeof text);
    if (*mode->missed) {
        log_warn("%s (%.32s): %s%s%s asked for; %s", s->name, (const char *)cap->card, text,
                 mode->signal ? " as it arrives, not the " : ", nearest to the ", mode->missed,
                 mode->why);
    } else {
        log_info("%s (%.32s): %s%s, %s", s->name, (const char *)cap->card, text,
                 mode->signal ? " as it arrives" : "", mode->why);
    }
    if (mode->fields) {
        log_warn("%s: interlaced: each picture is one field, half as high", s->name);
    }
    log_debug("%s: %u buffers", s->name, v4l2_buffers_count(s->buffers));
}

static int v4l2_set_control(struct source *s, const char *name, const char *value, struct err *err)
{
    return v4l2_control_set(s->fd, s->name, name, value, err);
}

static void v4l2_each_control(struct source *s,
                              void (*visit)(void *arg, const struct control *control), void *arg)
{
    v4l2_control_each(s->fd, visit, arg);
}

/* Before the mode is chosen: some change which modes there are. */
static int set_controls(struct source *s, const struct source_wish *wish, struct err *err)
{
    s->transform = v4l2_control_flip(s->fd, wish);
    return control_apply(&wish->controls, s, v4l2_set_control, err);
}

/* Setting a signal's size may itself bring an event (vivid: its colours change with it), and so may the
 * source in the meantime: what has been set then is looked at again. */
static int take_mode(struct source *s, enum v4l2_buf_type type, const struct source_wish *wish,
                     struct err *err)
{
    int code;
    watch_changes(s->fd); /* first, so that none is missed */
    for (int i = 0; i < 3; i++) {
        code = v4l2_set_mode(s->fd, type, s->name, wish, &s->mode, err);
        if (code < 0 || !source_changed(s)) {
            break;
        }
    }
    return code;
}

static int start(struct source *s, const struct source_wish *wish, struct err *err)
{
    struct v4l2_capability cap;
    int code = v4l2_check_camera(s->fd, s->name, &cap, err);
    if (code == 0) {
        code = set_controls(s, wish, err);
    }
    if (code == 0) {
        code = take_mode(s, v4l2_capture_type(&cap), wish, err);
    }
    if (code == 0) {
        code = v4l2_buffers_open(&s->buffers, s->fd, &s->mode, BUFFERS, s->name, err);
    }
    if (code == 0) {
        say_mode(s, &cap);
    }
    return code;
}

static bool is_gone(int fd)
{
    struct v4l2_capability cap;
    return v4l2_ioctl(fd, VIDIOC_QUERYCAP, &cap) == -ENODEV;
}

static int v4l2_open(struct source **out, const struct source_wish *wish, const void *config,
                     struct stop *stop, struct format *format, struct err *err)
{
    const struct v4l2_config *c = config;
    struct v4l2_history *history =
        (struct v4l2_history *)&c->history; /* our one field that changes */
    struct v4l2_found found;
    int code = v4l2_find(history, c->device, &found, err);
    if (code < 0) {
        return code;
    }
    struct source *s = calloc(1, sizeof *s);
    if (!s) {
        close(found.fd);
        return err_set(err, -ENOMEM, "v4l2: out of memory");
    }
    (void)snprintf(s->name, sizeof s->name, "%s", found.path);
    s->fd = found.fd;
    s->stop = stop;
    code = start(s, wish, err);
    if (code < 0 && is_gone(s->fd)) { /* while it was asked: its answers mean nothing */
        code = v4l2_fail(err, -ENODEV, s->name, "open it");
    }
    if (code < 0) {
        v4l2_close(s);
        return code;
    }
    v4l2_found_it(history, &found);
    s->silence_us = longest_silence(&s->mode.format);
    s->heard_us = clock_now_us();
    *format = s->mode.format;
    format->transform = s->transform;
    *out = s;
    return 0;
}

/* 0 when a buffer may be ready. */
static int wait_for_buffer(struct source *s, struct err *err)
{
    int64_t left_us = s->heard_us + s->silence_us - clock_now_us();
    thread_idle();
    int events = stop_poll(s->stop, s->fd, POLLIN | POLLPRI, left_us > 0 ? left_us : 0);
    thread_busy();
    if (events < 0) {
        return events == -ECANCELED ? events : v4l2_fail(err, events, s->name, "wait for it");
    }
    if (events == 0) {
        return err_set(err, -ETIMEDOUT, "%s: no usable picture for %.1f s", s->name,
                       (double)s->silence_us / CLOCK_S);
    }
    if ((events & POLLPRI) && source_changed(s)) {
        return err_set(err, -ESTALE, "%s: the camera's picture format changed", s->name);
    }
    if (!(events & POLLIN) && (events & (POLLERR | POLLHUP | POLLNVAL))) {
        return v4l2_fail(err, -ENODEV, s->name, "wait for it");
    }
    return 0;
}

/* Frames that the driver had no buffer for, by the hole they leave in its count. */
/* uvcvideo completes buffers on several processors, and then may hand out an older one behind a newer. The
 * gap before the newer one has counted it. */
static bool is_overtaken(const struct source *s, uint32_t sequence)
{
    uint32_t back = s->sequence - sequence;
    return s->counting && s->mode.format.id != FORMAT_H264 && back > 0 && back < MAX_STEP_BACK;
}

static unsigned count_gap(struct source *s, uint32_t sequence)
{
    uint32_t gap = sequence - s->sequence - 1;
    bool valid = s->counting && gap < MAX_GAP;
    s->counting = true;
    s->sequence = sequence;
    return valid ? gap : 0;
}

static bool is_usable(const struct source *s, const struct v4l2_filled *b)
{
    bool usable = !(b->flags & V4L2_BUF_FLAG_ERROR);
    for (int i = 0; i < s->mode.memories; i++) {
        usable &= b->memory[i].size >= s->mode.memory[i].least &&
                  b->memory[i].room >= s->mode.memory[i].full;
    }
    return usable;
}

/*
 * All that is ready: the newest usable one stays, the others go back and count as lost. Of H.264 the
 * first is taken and nothing skipped. -EAGAIN when there was none.
 */
static int take_newest(struct source *s, struct v4l2_filled *newest, unsigned *lost)
{
    bool have = false, every = s->mode.format.id == FORMAT_H264;
    struct v4l2_filled b;
    int code = 0;
    /* A device that is going away may hand back what is queued again and again: there is an end to it. */
    unsigned takes = 2 * v4l2_buffers_count(s->buffers);
    while (!(have && every) && takes-- > 0 && (code = v4l2_buffers_take(s->buffers, &b)) == 0) {
        if (is_overtaken(s, b.sequence)) {
            v4l2_buffers_requeue(s->buffers, &b);
            continue;
        }
        *lost += count_gap(s, b.sequence);
        if (!is_usable(s, &b)) {
            v4l2_buffers_requeue(s->buffers, &b);
            ++*lost;
            continue;
        }
        if (have) {
            v4l2_buffers_requeue(s->buffers, newest);
            ++*lost;
        }
        *newest = b;
        have = true;
    }
    /* With a picture in hand an error can wait: the next call meets it again. */
    return have ? 0 : code ? code : -EAGAIN;
}

static int64_t capture_time(const struct v4l2_filled *b)
{
    int64_t now_us = clock_now_us();
    int64_t stamp_us = (int64_t)b->timestamp.tv_sec * CLOCK_S + b->timestamp.tv_usec;
    bool monotonic = (b->flags & V4L2_BUF_FLAG_TIMESTAMP_MASK) == V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    if (!monotonic || stamp_us > now_us || stamp_us < now_us - MAX_CLOCK_US) {
        return now_us;
    }
    return stamp_us;
}

static bool is_key(const struct frame *frame, const struct v4l2_filled *b)
{
    if (frame->format.id != FORMAT_H264 || b->flags & V4L2_BUF_FLAG_KEYFRAME) {
        return true;
    }
    struct h264_unit_info unit; /* most drivers do not flag it */
    h264_scan_unit(frame->data, frame->size, &unit);
    return unit.has_idr;
}

/* Of a picture in several pieces of memory, data and size are the first plane only. */
static void place_planes(const struct source *s, const struct v4l2_filled *b, struct frame *frame)
{
    frame->size = s->mode.memory[0].full; /* is_usable: so much is mapped */
    if (s->mode.memories == 1) {
        (void)frame_set_planes(frame, s->mode.memory[0].stride); /* cannot fail with that size */
        return;
    }
    for (int i = 0; i < s->mode.memories; i++) {
        frame->plane[i] = b->memory[i].data;
        frame->stride[i] = s->mode.memory[i].stride;
    }
}

static const struct frame *make_frame(struct source *s, const struct v4l2_filled *b)
{
    struct frame *frame = v4l2_buffers_wrap(s->buffers, b);
    frame->format = s->mode.format;
    frame->capture_us = capture_time(b);
    frame->flags = FRAME_DRIVER | (is_key(frame, b) ? FRAME_KEY : 0);
    if (!format_info(frame->format.id)->compressed) {
        place_planes(s, b, frame);
    }
    return frame;
}

static int v4l2_next(struct source *s, const struct frame **out, unsigned *lost, struct err *err)
{
    struct v4l2_filled b;
    int code = wait_for_buffer(s, err);
    if (code < 0) {
        return code;
    }
    code = take_newest(s, &b, lost);
    if (code == -EAGAIN) {
        return code;
    }
    if (code < 0) {
        return v4l2_fail(err, code, s->name, "read a picture");
    }
    s->heard_us = clock_now_us();
    *out = make_frame(s, &b);
    return 0;
}

const struct source_backend source_v4l2 = {
    .name = "v4l2",
    .options = v4l2_options,
    .option_count = OPTION_COUNT(v4l2_options),
    .config_size = sizeof(struct v4l2_config),
    .implied = v4l2_implied,
    .available = v4l2_available,
    .list = v4l2_list,
    .retry_max_us = CLOCK_S, /* nothing tells when a signal or a busy camera is back */
    .watch = v4l2_watch,
    .changed = node_watch_read,
    .open = v4l2_open,
    .next = v4l2_next,
    .close = v4l2_close,
    .set_control = v4l2_set_control,
    .each_control = v4l2_each_control,
};
