/* SPDX-License-Identifier: MIT */
#include "capture/capture.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capture/source.h"
#include "capture_options.h"
#include "pcs/backoff.h"
#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/log.h"
#include "pcs/stop.h"
#include "pcs/thread.h"

#define RETRY_FIRST_US (200 * CLOCK_MS)
#define RETRY_MAX_US   (5 * CLOCK_S)
#define REPEAT_LOG_US  (30 * CLOCK_S)
#define SETTLE_US      (100 * CLOCK_MS) /* from a change until the next try, which sees all of it */

#define MAX_SET 64 /* controls that were set while running */

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
    struct wall_clock wall;
    unsigned transform; /* of the wish, what the source leaves to others */
    struct backoff backoff;
    int watch; /* fd of watcher, open while the source is not; -1 = none */
    const struct source_backend *watcher;
    struct log_limit retry_log;
    struct err err;    /* of the last failure */
    struct err logged; /* … the last one logged */

    pthread_mutex_t lock; /* guards stats */
    struct capture_stats stats;

    /* Held while a control is set, so that the source is not closed meanwhile. Guards what follows. */
    pthread_mutex_t controls;
    struct source *open; /* = source while it may be asked for its controls */
    struct option_list configured;
    char *set[MAX_SET]; /* NAME=VALUE, set while running: they win over the configured ones */
    size_t set_count;
};

/* The index of the source that the user named, -1: none. */
static int named_index(const struct capture *c)
{
    if (c->config->source > 0) {
        return capture_backend_index(source_names[c->config->source]);
    }
    for (int i = 0; source_backends[i]; i++) {
        if (capture_is_implied(i, c->backend_configs)) {
            return i;
        }
    }
    return -1;
}

/* The index of the source to open now, or -ENODEV when `auto` finds none. */
static int choose(const struct capture *c)
{
    int named = named_index(c);
    if (named >= 0) {
        return named;
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

static void use_backend(struct capture *c, const struct source_backend *backend)
{
    c->backend = backend;
    c->backoff.first_us = backend->retry_first_us ? backend->retry_first_us : RETRY_FIRST_US;
    c->backoff.max_us = backend->retry_max_us ? backend->retry_max_us : RETRY_MAX_US;
}

/* ---- controls ---- */

static bool sets_controls(const struct capture *c, struct err *err)
{
    if (c->backend->set_control || c->wish.controls.count == 0) {
        return true;
    }
    (void)err_set(err, -EINVAL, "--control %s: the source %s has no controls",
                  c->wish.controls.item[0], c->backend->name);
    return false;
}

static void read_configured(struct capture *c)
{
    pthread_mutex_lock(&c->controls);
    c->wish.controls.item = c->configured.item;
    c->wish.controls.count = c->configured.count;
    pthread_mutex_unlock(&c->controls);
    c->wish.controls.strict = !c->ever_opened;
}

/* Let others ask the source, after what they had set is set again. */
static void open_controls(struct capture *c)
{
    if (!c->backend->set_control) {
        return;
    }
    pthread_mutex_lock(&c->controls);
    const struct control_settings again = { (const char *const *)c->set, c->set_count, false };
    (void)control_apply(&again, c->source, c->backend->set_control, NULL); /* not strict: it logs */
    c->open = c->source;
    pthread_mutex_unlock(&c->controls);
}

static void close_controls(struct capture *c)
{
    pthread_mutex_lock(&c->controls);
    c->open = NULL;
    pthread_mutex_unlock(&c->controls);
}

/* Keep it for the next time the source is opened. */
static void remember_control(struct capture *c, const char *name, const char *value)
{
    char *item = NULL, known[CONTROL_NAME_SIZE];
    const char *ignored;
    size_t i = 0;
    while (i < c->set_count && (control_split(c->set[i], known, &ignored, NULL) < 0 ||
                                !control_same_name(known, name))) {
        i++;
    }
    if (i == MAX_SET || asprintf(&item, "%s=%s", name, value) < 0) {
        return;
    }
    free(c->set[i]);
    c->set[i] = item;
    c->set_count = i == c->set_count ? i + 1 : c->set_count;
}

static int no_camera(struct err *err)
{
    return err_set(err, -ENODEV, "no camera is open, or it has no controls");
}

int capture_set_control(struct capture *c, const char *name, const char *value, struct err *err)
{
    pthread_mutex_lock(&c->controls);
    int code = c->open ? c->backend->set_control(c->open, name, value, err) : no_camera(err);
    if (code == 0) {
        remember_control(c, name, value);
    }
    pthread_mutex_unlock(&c->controls);
    return code;
}

int capture_each_control(struct capture *c, void (*visit)(void *arg, const struct control *control),
                         void *arg)
{
    pthread_mutex_lock(&c->controls);
    int code = c->open && c->backend->each_control ? 0 : -ENODEV;
    if (code == 0) {
        c->backend->each_control(c->open, visit, arg);
    }
    pthread_mutex_unlock(&c->controls);
    return code;
}

static bool has_item(const struct option_list *list, const char *item)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->item[i], item) == 0) {
            return true;
        }
    }
    return false;
}

void capture_reconfigure(struct capture *c)
{
    pthread_mutex_lock(&c->controls);
    struct option_list old = c->configured;
    c->configured = c->config->controls;
    for (size_t i = 0; c->open && i < c->configured.count; i++) {
        const struct control_settings one = { (const char *const *)&c->configured.item[i], 1,
                                              false };
        if (!has_item(&old, c->configured.item[i])) {
            (void)control_apply(&one, c->open, c->backend->set_control, NULL); /* it logs */
        }
    }
    pthread_mutex_unlock(&c->controls);
}

/* ---- being told that a try is worth it ---- */

/* Whatever `auto` has just tried in vain, it is to hear of a camera: from the first that can tell. */
static int watcher_index(const struct capture *c)
{
    int i = named_index(c);
    if (i >= 0) {
        return source_backends[i]->watch ? i : -1;
    }
    for (i = 0; source_backends[i] && !source_backends[i]->watch; i++) {
    }
    return source_backends[i] ? i : -1;
}

/* It stays open from one try to the next, so that nothing is missed in between. */
static void start_watch(struct capture *c)
{
    int i = c->watch < 0 ? watcher_index(c) : -1;
    if (i >= 0) {
        c->watcher = source_backends[i];
        c->watch = c->watcher->watch(c->backend_configs[i]);
    }
}

static void end_watch(struct capture *c)
{
    if (c->watch >= 0) {
        close(c->watch);
    }
    c->watch = -1;
}

/* True: something changed before the deadline. */
static bool wait_for_change(struct capture *c, int64_t deadline_us)
{
    int64_t left_us;
    while ((left_us = deadline_us - clock_now_us()) > 0) {
        int events = stop_poll(c->stop, c->watch, POLLIN, left_us);
        if (events <= 0) {
            return false;
        }
        if (c->watcher->changed(c->watch)) {
            return true;
        }
    }
    return false;
}

/* ---- one opening ---- */

static int open_source(struct capture *c)
{
    int i = choose(c);
    if (i < 0) {
        return err_set(&c->err, i,
                       "no camera found; waiting for one (or name one: --device, "
                       "--input, --source test)");
    }
    use_backend(c, source_backends[i]);
    read_configured(c);
    if (!sets_controls(c, &c->err)) {
        return -EINVAL;
    }
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
    end_watch(c);
    c->transform = c->wish.transform ^ format.transform;
    format.transform = c->transform;
    open_controls(c);
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
    frame->format.transform = c->transform;
    frame->seq = ++c->seq;
    frame->wall_us = wall_clock_at(&c->wall, frame->capture_us);
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
        close_controls(c);
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

/* The loop asks afterwards whether it is to stop. Changes in quick succession lead to one try, so that
 * however many come there is no spinning. */
static void wait_to_retry(struct capture *c)
{
    log_failure(c);
    set_state(c, CAPTURE_FAILED);
    start_watch(c);
    if (wait_for_change(c, clock_now_us() + backoff_next(&c->backoff, random_u32()))) {
        backoff_reset(&c->backoff);
        (void)stop_wait(c->stop, SETTLE_US);
        (void)c->watcher->changed(c->watch); /* the try sees it */
    }
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
    end_watch(c);
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
        .transform = capture_wished_transform(p->config),
    };
    c->wish.pictures = p->pictures || c->wish.transform;
    c->configured = p->config->controls;
    c->backoff = (struct backoff){ .first_us = RETRY_FIRST_US, .max_us = RETRY_MAX_US };
    c->stats.since_us = c->stats.started_us = clock_now_us();
    c->watch = -1;
}

int capture_start(struct capture **out, const struct capture_params *params, struct err *err)
{
    struct capture *c = calloc(1, sizeof *c);
    if (!c) {
        return err_set(err, -ENOMEM, "capture: out of memory");
    }
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->controls, NULL);
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
        for (size_t i = 0; i < c->set_count; i++) {
            free(c->set[i]);
        }
        pthread_mutex_destroy(&c->controls);
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
