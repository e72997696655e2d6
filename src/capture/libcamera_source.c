/* SPDX-License-Identifier: MIT */
/*
 * The `libcamera` source: cameras that need more than a /dev/video node, as those of a Raspberry Pi.
 * libcamera itself is behind libcamera_api.h. Its manager lives from open to close, so that a camera
 * that comes back is found by a fresh look at the machine, and nothing of it is left at the end.
 *
 * For `auto` a USB camera is not ours (through V4L2 it gives its JPEG or H.264 as it is), and libcamera is
 * not even loaded on a machine without a camera's sensor.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "capture/source.h"
#include "libcamera_control.h"
#include "libcamera_find.h"
#include "libcamera_frames.h"
#include "libcamera_heap.h"
#include "libcamera_load.h"
#include "libcamera_mode.h"
#include "libcamera_setup.h"
#include "node_watch.h"
#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/log.h"
#include "pcs/stop.h"
#include "pcs/thread.h"

#define SILENCE_US (5 * CLOCK_S)
#define MAX_AGE_US (10 * CLOCK_S) /* a time stamp farther from now is not of this clock */
#define WAIT_US    (10 * CLOCK_S) /* so long for the camera that was open before */

struct libcamera_config {
    const char *camera;

    /* What lasts from one open to the next; the capture thread's. */
    char last[256];    /* id; "": none was open yet */
    int64_t missed_us; /* since when it is not found; 0: it was, the last time */
};

struct source {
    char name[256];
    const struct libcamera_api *api;
    struct stop *stop;
    struct libcamera_manager *manager;
    struct libcamera_camera *camera;
    struct libcamera_frames *frames;
    struct libcamera_mode mode;
    int64_t heard_us; /* when the last usable picture came, or the stream started */
};

static const struct option_def libcamera_options[] = {
    { .name = "camera",
      .type = OPTION_STRING,
      .offset = offsetof(struct libcamera_config, camera),
      .arg = "NAME|INDEX",
      .help = "libcamera's camera: number, id, model, or a part of one; --list-devices tells" },
};

static bool libcamera_implied(const void *config)
{
    return ((const struct libcamera_config *)config)->camera != NULL;
}

static int libcamera_check(const void *config, struct err *err)
{
    const char *camera = ((const struct libcamera_config *)config)->camera;
    return camera && !*camera ? err_set(err, -EINVAL, "--camera: say which: a number or a name")
                              : 0;
}

/* ---- libcamera ---- */

/* "[0:01:02.345678] [123]  WARN V4L2 v4l2.cpp:1 text": its errors are warnings to us, because who gives
 * up says so; its warnings are for developers. */
static void on_log(const char *text)
{
    for (int i = 0; i < 2 && *text == '['; i++) {
        text += strcspn(text, "]");
        text += strspn(text, "] ");
    }
    bool bad = strncmp(text, "ERROR", 5) == 0 || strncmp(text, "FATAL", 5) == 0;
    log_at(bad ? LOG_WARN : LOG_DEBUG, "libcamera: %s", text);
}

static int start_manager(const struct libcamera_api **api, struct libcamera_manager **manager,
                         struct err *err)
{
    *api = libcamera_load(err);
    if (!*api) {
        return -ENOTSUP;
    }
    (void)(*api)->set_log(on_log); /* else it writes to stderr by itself */
    int code = (*api)->manager_new(manager);
    return code < 0 ? err_set(err, code, "libcamera: cannot look for cameras: %s", err_text(code))
                    : 0;
}

static void libcamera_list(FILE *out)
{
    const struct libcamera_api *api;
    struct libcamera_manager *manager;
    struct err err = { 0 };
    if (start_manager(&api, &manager, &err) < 0) {
        (void)fprintf(out, "%s\n", err.text);
        return;
    }
    libcamera_print(out, api, manager);
    api->manager_free(manager);
}

static bool libcamera_available(const void *config)
{
    (void)config;
    const struct libcamera_api *api;
    struct libcamera_manager *manager;
    const struct libcamera_found *found;
    struct libcamera_cameras cameras;
    struct err why = { 0 };
    if (!libcamera_has_sensor()) {
        return false;
    }
    if (start_manager(&api, &manager, &why) < 0) {
        log_debug("%s", why.text);
        return false;
    }
    libcamera_look(api, manager, &cameras);
    bool is = libcamera_find(&cameras, NULL, &found, NULL) == 0 && !libcamera_is_usb(found->id);
    api->manager_free(manager);
    return is;
}

static int libcamera_watch(const void *config)
{
    (void)config;
    return node_watch_open();
}

/* ---- open and close ---- */

static void libcamera_close(struct source *s)
{
    if (!s) {
        return;
    }
    if (s->frames) {
        libcamera_frames_close(s->frames);
    }
    if (s->camera) {
        s->api->close(s->camera);
    }
    libcamera_frames_unref(s->frames);
    if (s->manager) {
        s->api->manager_free(s->manager);
    }
    free(s);
}

static const struct libcamera_found *find_by_id(const struct libcamera_cameras *cameras,
                                                const char *id)
{
    for (size_t i = 0; i < cameras->count; i++) {
        if (strcmp(cameras->item[i].id, id) == 0) {
            return &cameras->item[i];
        }
    }
    return NULL;
}

/* The one that was open before, however the others are counted now; for a while no other. */
static int find_again(struct libcamera_config *config, const struct libcamera_cameras *cameras,
                      const struct libcamera_found **out, struct err *err)
{
    int64_t now_us = clock_now_us();
    if (*config->last) {
        *out = find_by_id(cameras, config->last);
        if (*out) {
            config->missed_us = 0;
            return 0;
        }
        config->missed_us = config->missed_us ? config->missed_us : now_us;
        if (now_us - config->missed_us < WAIT_US) {
            return err_set(err, -ENODEV, "libcamera: %s is not here", config->last);
        }
    }
    return libcamera_find(cameras, config->camera, out, err);
}

static int fail(const struct source *s, int code, const char *what, struct err *err)
{
    switch (code) {
    case -ENODEV:
        return err_set(err, code, "%s: the camera is gone", s->name);
    case -EBUSY:
        return err_set(err, code, "%s: in use by another program", s->name);
    case -EACCES:
    case -EPERM:
        return err_set(err, code, "%s: no permission (the user must be in the group video)",
                       s->name);
    default:
        /* A pipeline's EINVAL is about the moment, not about what the user asked. */
        return err_set(err, code == -EINVAL ? -EIO : code, "%s: cannot %s: %s", s->name, what,
                       err_text(code));
    }
}

static int open_camera(struct source *s, struct libcamera_config *config, struct err *err)
{
    struct libcamera_cameras cameras;
    const struct libcamera_found *found;
    int code = start_manager(&s->api, &s->manager, err);
    if (code < 0) {
        return code;
    }
    libcamera_look(s->api, s->manager, &cameras);
    code = find_again(config, &cameras, &found, err);
    if (code < 0) {
        return code;
    }
    (void)snprintf(s->name, sizeof s->name, "%s", found->id);
    s->frames = libcamera_frames_new(s->api);
    if (!s->frames) {
        return err_set(err, -ENOMEM, "libcamera: out of memory");
    }
    const struct libcamera_listener listener = libcamera_frames_listener(s->frames);
    code = s->api->open(s->manager, s->name, &listener, &s->camera);
    if (code < 0) {
        return fail(s, code, "open it", err);
    }
    (void)snprintf(config->last, sizeof config->last, "%s", s->name);
    config->missed_us = 0;
    return 0;
}

struct wanted_control {
    const char *name;
    bool found;
    struct libcamera_control control;
};

static void match_control(void *arg, const struct libcamera_control *control)
{
    struct wanted_control *wanted = arg;
    if (!wanted->found && control_same_name(control->name, wanted->name)) {
        wanted->found = true;
        wanted->control = *control;
        libcamera_control_complete(&wanted->control);
    }
}

static int libcamera_set_control(struct source *s, const char *name, const char *value,
                                 struct err *err)
{
    struct wanted_control wanted = { .name = name };
    struct libcamera_value v;
    s->api->each_control(s->camera, match_control, &wanted);
    if (!wanted.found) {
        return err_set(err, -EINVAL, "control %s: %s has none of that name; --list-devices tells",
                       name, s->name);
    }
    int code = libcamera_control_parse(&wanted.control, value, &v, err);
    if (code == 0) {
        code = s->api->set(s->camera, wanted.control.id, &v);
        code = code < 0 ? err_set(err, -EINVAL, "control %s: %s refuses %s: %s", name, s->name,
                                  value, err_text(code))
                        : 0;
    }
    return code;
}

/* Cached memory where the machine has some for cameras, else what the camera's driver gives. */
static int get_buffers(struct source *s, struct libcamera_buffer *buffers, unsigned *count)
{
    int fds[LIBCAMERA_BUFFERS];
    bool raw = !format_info(s->mode.format.id)->compressed;
    unsigned wanted = s->mode.buffers < LIBCAMERA_BUFFERS ? s->mode.buffers : LIBCAMERA_BUFFERS;
    int code = raw ? libcamera_heap_get(s->mode.frame_size, wanted, fds) : -ENOENT;
    if (code == 0) {
        code = s->api->adopt(s->camera, fds, wanted, buffers);
        for (unsigned i = 0; i < wanted; i++) {
            close(fds[i]);
        }
    }
    if (code == 0) {
        log_debug("%s: its buffers are in cached memory", s->name);
        *count = wanted;
        return 0;
    }
    return s->api->allocate(s->camera, buffers, count);
}

static int start(struct source *s, const struct source_wish *wish, struct err *err)
{
    struct libcamera_buffer buffers[LIBCAMERA_BUFFERS];
    unsigned count = 0;
    int code = libcamera_set_up(s->api, s->camera, s->name, wish, &s->mode, err);
    if (code == 0) {
        code = control_apply(&wish->controls, s, libcamera_set_control, err);
    }
    if (code < 0) {
        return code;
    }
    code = get_buffers(s, buffers, &count);
    if (code < 0) {
        return fail(s, code, "get buffers for its pictures", err);
    }
    code =
        libcamera_frames_map(s->frames, s->camera, buffers, count, &s->mode.format, s->mode.stride);
    if (code < 0) {
        return fail(s, code, "map its buffers", err);
    }
    code = s->api->start(s->camera);
    if (code == 0) {
        code = libcamera_frames_queue_all(s->frames);
    }
    return code < 0 ? fail(s, code, "start it", err) : 0;
}

static int libcamera_open(struct source **out, const struct source_wish *wish, const void *config,
                          struct stop *stop, struct format *format, struct err *err)
{
    char text[64];
    struct source *s = calloc(1, sizeof *s);
    if (!s) {
        return err_set(err, -ENOMEM, "libcamera: out of memory");
    }
    s->stop = stop;
    /* The one part of a config that is written to: by nobody else, see libcamera_config. */
    int code = open_camera(s, (struct libcamera_config *)config, err);
    if (code == 0) {
        code = start(s, wish, err);
    }
    if (code < 0) {
        libcamera_close(s);
        return code;
    }
    log_info("%s: %s, %s", s->name, format_describe(&s->mode.format, text, sizeof text),
             s->mode.why);
    s->heard_us = clock_now_us();
    *format = s->mode.format;
    format->transform = s->mode.transform;
    *out = s;
    return 0;
}

/* ---- pictures ---- */

static int64_t offset_of_boottime_us(void)
{
    struct timespec boot, mono;
    (void)clock_gettime(CLOCK_BOOTTIME, &boot);
    (void)clock_gettime(CLOCK_MONOTONIC, &mono);
    return (int64_t)(boot.tv_sec - mono.tv_sec) * CLOCK_S + (boot.tv_nsec - mono.tv_nsec) / 1000;
}

static bool is_recent(int64_t at_us, int64_t now_us)
{
    return at_us <= now_us && at_us > now_us - MAX_AGE_US;
}

/*
 * libcamera says that a SensorTimestamp counts from boot, suspended time included (CLOCK_BOOTTIME), but
 * most drivers give it from CLOCK_MONOTONIC. The two differ once the machine has slept, and then a stamp
 * of the one is in the future, or long past, for the other.
 */
static int64_t capture_time(const struct libcamera_done *done)
{
    int64_t now_us = clock_now_us();
    int64_t stamp_us = (done->sensor_ns > 0 ? done->sensor_ns : done->buffer_ns) / 1000;
    if (is_recent(stamp_us, now_us)) {
        return stamp_us;
    }
    stamp_us -= offset_of_boottime_us();
    return is_recent(stamp_us, now_us) ? stamp_us : now_us;
}

/* 0 when there may be a picture. */
static int wait_for_picture(struct source *s, struct err *err)
{
    int64_t left_us = s->heard_us + SILENCE_US - clock_now_us();
    thread_idle();
    int events =
        stop_poll(s->stop, libcamera_frames_fd(s->frames), POLLIN, left_us > 0 ? left_us : 0);
    thread_busy();
    if (events < 0) {
        return events == -ECANCELED ? events : fail(s, events, "wait for it", err);
    }
    if (events == 0) {
        return err_set(err, -ETIMEDOUT, "%s: no usable picture for %.1f s", s->name,
                       (double)SILENCE_US / CLOCK_S);
    }
    return 0;
}

static int libcamera_next(struct source *s, const struct frame **out, unsigned *lost,
                          struct err *err)
{
    struct libcamera_done done;
    int code = wait_for_picture(s, err);
    if (code < 0) {
        return code;
    }
    code = libcamera_frames_take(s->frames, &done, lost);
    if (code == -EAGAIN && clock_now_us() - s->heard_us > SILENCE_US) {
        return err_set(err, -ETIMEDOUT, "%s: its pictures are unusable", s->name);
    }
    if (code < 0) {
        return code == -EAGAIN ? code : fail(s, code, "read a picture", err);
    }
    struct frame *frame = libcamera_frames_wrap(s->frames, &done);
    frame->capture_us = capture_time(&done);
    s->heard_us = clock_now_us();
    *out = frame;
    return 0;
}

/* ---- controls, for others ---- */

struct control_visit {
    struct source *source;
    void (*visit)(void *arg, const struct control *control);
    void *arg;
};

static void visit_control(void *arg, const struct libcamera_control *control)
{
    struct control_visit *v = arg;
    struct libcamera_control complete = *control;
    struct libcamera_value now;
    struct libcamera_view view;
    bool known = v->source->api->current(v->source->camera, control->id, &now) == 0;
    libcamera_control_complete(&complete);
    libcamera_control_view(&complete, known ? &now : NULL, &view);
    v->visit(v->arg, &view.control);
}

static void libcamera_each_control(struct source *s,
                                   void (*visit)(void *arg, const struct control *control),
                                   void *arg)
{
    struct control_visit v = { s, visit, arg };
    s->api->each_control(s->camera, visit_control, &v);
}

const struct source_backend source_libcamera = {
    .name = "libcamera",
    .options = libcamera_options,
    .option_count = OPTION_COUNT(libcamera_options),
    .config_size = sizeof(struct libcamera_config),
    .implied = libcamera_implied,
    .available = libcamera_available,
    .check = libcamera_check,
    .list = libcamera_list,
    .watch = libcamera_watch,
    .changed = node_watch_read,
    .open = libcamera_open,
    .next = libcamera_next,
    .close = libcamera_close,
    .set_control = libcamera_set_control,
    .each_control = libcamera_each_control,
};
