/* SPDX-License-Identifier: MIT */
#include "capture/capture.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "capture/source.h"
#include "pcs/backoff.h"
#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/log.h"
#include "pcs/stop.h"
#include "pcs/thread.h"

#define RETRY_FIRST_US (200 * CLOCK_MS)
#define RETRY_MAX_US   (5 * CLOCK_S)
#define REPEAT_LOG_US  (30 * CLOCK_S)

struct capture {
    /* Fixed after start. */
    const struct capture_config *config;
    const void *const *backend_configs;
    struct source_wish wish;
    uint64_t max_frames;
    struct capture_handler handler;
    struct stop *stop;
    struct thread thread;

    /* The capture thread's. */
    const struct source_backend *backend;
    struct source *source;
    struct format format;
    bool ever_opened;
    bool delivered; /* a frame came since the last open */
    uint64_t seq;
    int64_t last_capture_us;
    struct backoff backoff;
    struct log_limit retry_log;
    struct err err;    /* of the last failure */
    struct err logged; /* … the last one logged */

    pthread_mutex_t lock; /* guards stats */
    struct capture_stats stats;
};

#define AT(field) offsetof(struct capture_config, field)

const struct option_def capture_source_options[] = {
    { .name = "source",
      .type = OPTION_CHOICE,
      .offset = AT(source),
      .value = "auto",
      .choices = source_names,
      .help = "where pictures come from" },
};
const size_t capture_source_option_count = OPTION_COUNT(capture_source_options);

const struct option_def capture_picture_options[] = {
    { .name = "width",
      .type = OPTION_INT,
      .offset = AT(width),
      .min = 16,
      .max = FORMAT_MAX_SIZE,
      .arg = "PIXELS",
      .help = "picture width (best mode up to 1280x720)" },
    { .name = "height",
      .type = OPTION_INT,
      .offset = AT(height),
      .min = 16,
      .max = FORMAT_MAX_SIZE,
      .arg = "PIXELS",
      .help = "picture height" },
    { .name = "fps",
      .type = OPTION_INT,
      .offset = AT(fps),
      .min = 1,
      .max = 1000,
      .arg = "RATE",
      .help = "frames per second (30 where the camera has it)" },
    { .name = "format",
      .type = OPTION_STRING,
      .offset = AT(format),
      .arg = "FOURCC",
      .help = "what the camera must deliver: YUYV UYVY NV12 YU12 GREY RGB3 MJPG H264" },
};
const size_t capture_picture_option_count = OPTION_COUNT(capture_picture_options);

static int backend_index(const char *name)
{
    for (int i = 0; source_backends[i]; i++) {
        if (strcmp(source_backends[i]->name, name) == 0) {
            return i;
        }
    }
    return -1;
}

static bool is_implied(int i, const void *const *configs)
{
    return source_backends[i]->implied && source_backends[i]->implied(configs[i]);
}

/* Two options that each name a source: which one was meant? */
static int check_implied(const struct capture_config *config, const void *const *configs,
                         struct err *err)
{
    const char *named = config->source > 0 ? source_names[config->source] : NULL;
    for (int i = 0; source_backends[i]; i++) {
        const char *name = source_backends[i]->name;
        if (!is_implied(i, configs)) {
            continue;
        }
        if (named && strcmp(named, name) != 0) {
            return err_set(err, -EINVAL, "options of two sources are given: %s and %s; use one",
                           named, name);
        }
        named = name;
    }
    return 0;
}

int capture_check(const struct capture_config *config, const void *const *backend_configs,
                  struct err *err)
{
    if (config->format && format_by_name(config->format) == FORMAT_NONE) {
        return err_set(err, -EINVAL,
                       "--format %s: unknown; use YUYV, UYVY, NV12, YU12, GREY, RGB3, MJPG or H264",
                       config->format);
    }
    int input = backend_index("input");
    if (config->source > 0 && strcmp(source_names[config->source], "input") == 0 &&
        !is_implied(input, backend_configs)) {
        return err_set(err, -EINVAL, "--source input needs --input URL");
    }
    return check_implied(config, backend_configs, err);
}

/* The index of the source to open now, or -ENODEV when `auto` finds none. */
static int choose(const struct capture *c)
{
    if (c->config->source > 0) {
        return backend_index(source_names[c->config->source]);
    }
    for (int i = 0; source_backends[i]; i++) {
        if (is_implied(i, c->backend_configs)) {
            return i;
        }
    }
    for (int i = 0; source_backends[i]; i++) {
        if (source_backends[i]->available && source_backends[i]->available(c->backend_configs[i])) {
            return i;
        }
    }
    return -ENODEV;
}

static void set_state(struct capture *c, enum capture_state state)
{
    pthread_mutex_lock(&c->lock);
    c->stats.state = state;
    c->stats.since_us = clock_now_us();
    c->stats.format = c->format;
    c->stats.source = c->backend ? c->backend->name : NULL;
    if (c->err.code != 0) {
        memcpy(c->stats.why, c->err.text, sizeof c->stats.why);
    }
    pthread_mutex_unlock(&c->lock);
}

static void announce(struct capture *c, const struct format *format)
{
    c->format = *format;
    set_state(c, CAPTURE_LIVE);
    if (c->handler.opened) {
        c->handler.opened(c->handler.arg, format);
    }
}

static int open_source(struct capture *c)
{
    int i = choose(c);
    if (i < 0) {
        return err_set(&c->err, i,
                       "no camera found; waiting for one (or name one: --device, "
                       "--input, --source test)");
    }
    c->backend = source_backends[i];
    struct format format = { 0 };
    int code =
        c->backend->open(&c->source, &c->wish, c->backend_configs[i], c->stop, &format, &c->err);
    if (code < 0) {
        return code;
    }
    if (c->ever_opened) {
        pthread_mutex_lock(&c->lock);
        c->stats.reopened++;
        pthread_mutex_unlock(&c->lock);
    }
    c->ever_opened = true;
    c->delivered = false;
    announce(c, &format);
    return 0;
}

/* Nobody else has the frame yet: the one moment when its head may be written. */
static void stamp(struct capture *c, struct frame *frame)
{
    int64_t now_us = clock_now_us();
    if (frame->capture_us <= c->last_capture_us) {
        frame->capture_us = c->last_capture_us + 1; /* a driver's clock stepped back */
    }
    c->last_capture_us = frame->capture_us;
    frame->seq = ++c->seq;
    frame->wall_us = clock_wall_us() - (now_us - frame->capture_us);
    frame->stage_us[STAGE_CAPTURED] = frame->capture_us;
    frame->stage_us[STAGE_DEQUEUED] = now_us;
}

static void note_frame(struct capture *c, const struct frame *frame, unsigned lost)
{
    pthread_mutex_lock(&c->lock);
    c->stats.lost += lost;
    if (frame) {
        c->stats.captured = frame->seq;
        c->stats.last_frame_us = frame->stage_us[STAGE_DEQUEUED];
    }
    pthread_mutex_unlock(&c->lock);
}

static void note_delivery(struct capture *c)
{
    if (c->delivered) {
        return;
    }
    c->delivered = true;
    backoff_reset(&c->backoff);
    if (c->logged.code != 0) {
        log_info("source %s: pictures again", c->backend->name);
        c->logged.code = 0;
    }
}

static void deliver(struct capture *c, const struct frame *frame, unsigned lost)
{
    stamp(c, (struct frame *)frame);
    note_frame(c, frame, lost);
    note_delivery(c);
    if (!format_same(&frame->format, &c->format)) {
        announce(c, &frame->format);
    }
    c->handler.frame(c->handler.arg, frame);
    frame_unref(frame);
}

/* Until all wanted frames are given (0), or the source's next() fails for good. */
static int deliver_all(struct capture *c)
{
    while (c->max_frames == 0 || c->seq < c->max_frames) {
        const struct frame *frame = NULL;
        unsigned lost = 0;
        int code = c->backend->next(c->source, &frame, &lost, &c->err);
        if (code == 0) {
            deliver(c, frame, lost);
            continue;
        }
        note_frame(c, NULL, lost);
        if (code != -EAGAIN) {
            return code;
        }
        if (stop_requested(c->stop)) {
            return -ECANCELED;
        }
    }
    return 0;
}

static int run_once(struct capture *c)
{
    c->err = (struct err){ 0 };
    thread_idle(); /* opening and closing may take the driver or the network seconds */
    int code = open_source(c);
    if (code == 0) {
        thread_busy();
        code = deliver_all(c);
        thread_idle();
        c->backend->close(c->source);
        c->source = NULL;
    }
    if (code < 0 && c->err.code == 0 && code != -ECANCELED && code != -ENODATA) {
        (void)err_set(&c->err, code, "source %s: %s", c->backend->name, err_text(code));
    }
    return code;
}

static bool is_final(const struct capture *c, int code)
{
    bool useless = code == -EINVAL || code == -ENOTSUP;
    return code == 0 || code == -ECANCELED || code == -ENODATA || (useless && !c->ever_opened);
}

/* A new reason is logged at once, the same one again now and then. */
static void log_failure(struct capture *c)
{
    enum log_level level = c->ever_opened ? LOG_WARN : LOG_ERROR;
    if (c->logged.code == 0 || strcmp(c->logged.text, c->err.text) != 0) {
        c->logged = c->err;
        c->retry_log = (struct log_limit){ 0 };
    }
    log_limited(&c->retry_log, REPEAT_LOG_US, level, "%s; trying again", c->err.text);
}

static void wait_to_retry(struct capture *c)
{
    log_failure(c);
    set_state(c, CAPTURE_FAILED);
    (void)stop_wait(c->stop, backoff_next(&c->backoff, random_u32())); /* the loop asks again */
}

static void end(struct capture *c, int code)
{
    bool fatal = code != 0 && code != -ECANCELED && code != -ENODATA;
    if (fatal) {
        log_error("%s", c->err.text);
    }
    set_state(c, CAPTURE_ENDED);
    if (c->handler.ended) {
        c->handler.ended(c->handler.arg, code == -ENODATA ? 0 : code, &c->err);
    }
}

static void capture_run(void *arg)
{
    struct capture *c = arg;
    int code = run_once(c);
    while (!is_final(c, code)) {
        wait_to_retry(c);
        code = stop_requested(c->stop) ? -ECANCELED : run_once(c);
    }
    end(c, code);
}

static void take_params(struct capture *c, const struct capture_params *p)
{
    c->config = p->config;
    c->backend_configs = p->backend_configs;
    c->max_frames = p->max_frames;
    c->handler = p->handler;
    c->wish = (struct source_wish){
        .width = (int)p->config->width,
        .height = (int)p->config->height,
        .fps = (int)p->config->fps,
        .format = p->config->format ? format_by_name(p->config->format) : FORMAT_NONE,
        .codec = p->codec,
    };
    c->backoff = (struct backoff){ .first_us = RETRY_FIRST_US, .max_us = RETRY_MAX_US };
    c->stats.since_us = clock_now_us();
}

int capture_start(struct capture **out, const struct capture_params *params, struct err *err)
{
    struct capture *c = calloc(1, sizeof *c);
    if (!c) {
        return err_set(err, -ENOMEM, "capture: out of memory");
    }
    pthread_mutex_init(&c->lock, NULL);
    take_params(c, params);
    c->stop = stop_new();
    int code = c->stop ? thread_start(&c->thread, "capture", capture_run, c) : -ENOMEM;
    if (code < 0) {
        capture_free(c);
        return err_set(err, code, "capture: cannot start its thread: %s", err_text(code));
    }
    *out = c;
    return 0;
}

void capture_stop(struct capture *c)
{
    if (c) {
        stop_request(c->stop);
        thread_join(&c->thread);
    }
}

void capture_free(struct capture *c)
{
    if (c) {
        if (c->thread.started) {
            capture_stop(c);
        }
        stop_free(c->stop);
        pthread_mutex_destroy(&c->lock);
        free(c);
    }
}

void capture_get_stats(struct capture *c, struct capture_stats *out)
{
    pthread_mutex_lock(&c->lock);
    *out = c->stats;
    pthread_mutex_unlock(&c->lock);
}
