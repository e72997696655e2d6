/* SPDX-License-Identifier: MIT */
/*
 * A camera is away when it could not be opened, or when it has been silent for longer than its rate
 * allows. The thread wakes up only when that could be the case: not at every frame, about once a second.
 */
#include "standby.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/pool.h"
#include "pcs/stop.h"
#include "pcs/thread.h"

#define WHY_SIZE    200
#define PERIOD_US   (CLOCK_S / 2)
#define AGAIN_US    CLOCK_S       /* a camera that was there may be gone for so long unnoticed */
#define FIRST_US    (5 * CLOCK_S) /* … one that is still to come, when everything starts */
#define SILENCE_US  (3 * CLOCK_S / 2)
#define SLOW_FRAMES 4 /* … and so many of its frame intervals */
#define UNKNOWN_US  (5 * CLOCK_S)
#define MAX_WAIT_US CLOCK_S

struct standby {
    struct capture *capture;
    struct standby_handler handler;
    struct stop *stop;
    struct thread thread;
    struct pool *pool;     /* the thread's, as all below */
    int64_t away_since_us; /* 0 = it is here */
    struct wall_clock wall;
};

static int64_t longest_silence(const struct format *f)
{
    if (f->fps_num <= 0 || f->fps_den <= 0) {
        return UNKNOWN_US;
    }
    int64_t slow_us = SLOW_FRAMES * CLOCK_S * f->fps_den / f->fps_num;
    return slow_us > SILENCE_US ? slow_us : SILENCE_US;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

int64_t standby_due_us(const struct capture_stats *stats, int64_t now_us, char *why)
{
    bool never = stats->format.id == FORMAT_NONE;
    int64_t heard_us = later(stats->last_frame_us, never ? stats->started_us : 0);
    int64_t due_us = INT64_MAX;
    const char *what = "";
    switch (stats->state) {
    case CAPTURE_ENDED:
        break;
    case CAPTURE_OPENING:
    case CAPTURE_FAILED:
        due_us = heard_us + (never ? FIRST_US : AGAIN_US);
        what = *stats->why ? stats->why : "the camera is being opened";
        break;
    case CAPTURE_LIVE:
        heard_us = later(heard_us, stats->since_us);
        due_us = heard_us + longest_silence(&stats->format);
        what = "the camera sends no pictures";
        break;
    }
    if (due_us <= now_us) {
        (void)snprintf(why, WHY_SIZE, "%.199s", what);
    }
    return due_us;
}

/* The frame of one picture that says so; NULL: no memory. */
static struct frame *make_picture(struct standby *s, const struct format *wanted, const char *why,
                                  int64_t now_us)
{
    size_t offset[FORMAT_MAX_PLANES];
    int stride[FORMAT_MAX_PLANES];
    struct format format = *wanted;
    format.id = FORMAT_YU12;
    format.transform = 0;
    size_t size = format_layout(&format, 0, offset, stride);
    struct frame *f = size ? pool_get(s->pool, size) : NULL;
    if (!f) {
        return NULL;
    }
    f->format = format;
    f->flags = FRAME_KEY | FRAME_STANDBY;
    f->capture_us = now_us;
    f->wall_us = wall_clock_at(&s->wall, now_us);
    f->stage_us[STAGE_CAPTURED] = now_us;
    f->stage_us[STAGE_DEQUEUED] = now_us;
    f->size = size;
    (void)frame_set_planes(f, 0); /* the size is this layout's */
    standby_draw(f->buffer, &format, why, now_us - s->away_since_us, f->wall_us);
    return f;
}

static void show(struct standby *s, const struct capture_stats *stats, const char *why,
                 int64_t now_us)
{
    struct format format = stats->format;
    if (s->away_since_us == 0) {
        s->away_since_us = later(stats->last_frame_us, stats->started_us);
    }
    if (!s->handler.wanted(s->handler.arg, &format)) {
        return;
    }
    struct frame *picture = make_picture(s, &format, why, now_us);
    if (picture) {
        s->handler.picture(s->handler.arg, picture);
        frame_unref(picture);
    }
}

/* How long to sleep. */
static int64_t look(struct standby *s)
{
    struct capture_stats stats;
    char why[WHY_SIZE] = "";
    capture_get_stats(s->capture, &stats);
    int64_t now_us = clock_now_us();
    int64_t due_us = standby_due_us(&stats, now_us, why);
    if (due_us > now_us) {
        s->away_since_us = 0;
        return due_us - now_us < MAX_WAIT_US ? due_us - now_us : MAX_WAIT_US;
    }
    show(s, &stats, why, now_us);
    return PERIOD_US;
}

static void standby_run(void *arg)
{
    struct standby *s = arg;
    int64_t wait_us = 0;
    while (!stop_wait(s->stop, wait_us)) {
        thread_busy();
        wait_us = look(s);
        thread_idle();
    }
}

int standby_start(struct standby **out, struct capture *capture,
                  const struct standby_handler *handler)
{
    struct standby *s = calloc(1, sizeof *s);
    if (!s) {
        return -ENOMEM;
    }
    s->capture = capture;
    s->handler = *handler;
    s->stop = stop_new();
    s->pool = pool_new(0); /* rarely used: nothing is kept */
    int code = s->stop && s->pool ? thread_start(&s->thread, "standby", standby_run, s) : -ENOMEM;
    if (code < 0) {
        standby_free(s);
        return code;
    }
    *out = s;
    return 0;
}

void standby_stop(struct standby *s)
{
    if (s) {
        stop_request(s->stop);
        thread_join(&s->thread);
    }
}

void standby_free(struct standby *s)
{
    if (!s) {
        return;
    }
    if (s->thread.started) {
        standby_stop(s);
    }
    pool_free(s->pool);
    stop_free(s->stop);
    free(s);
}
