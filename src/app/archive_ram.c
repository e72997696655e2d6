/* SPDX-License-Identifier: MIT */
#include "archive_ram.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/hub.h"
#include "pcs/log.h"
#include "pcs/queue.h"
#include "pcs/thread.h"
#include "record/dump.h"
#include "record/recent.h"

#define QUEUE_FRAMES 64  /* of which one is used: it is emptied by whoever fills it */
#define AT_ONCE      32  /* frames let go of between two looks at the lock */
#define COPY_AT_ONCE 256 /* … referenced: whoever publishes may wait for that */

struct archive_ram {
    struct archive_ram_config config; /* strings our own */
    struct queue *queue;
    bool subscribed;
    _Atomic int64_t deadline_us;
    struct log_limit large_limit;

    pthread_mutex_t dump_lock; /* held by whoever begins or ends a dump; guards the next two */
    struct thread thread;
    bool finished; /* no more dumps */
    /* What the thread writes: set before it begins, its own until `dumping` is false again. */
    const struct frame **frames;
    size_t count;

    pthread_mutex_t lock; /* guards the rest */
    struct recent recent;
    struct archive_ram_stats stats;
};

/* ---- in the publisher's thread ---- */

static void let_go(struct archive_ram *r)
{
    const struct frame *gone[AT_ONCE];
    size_t n;
    bool empty;
    do {
        pthread_mutex_lock(&r->lock);
        n = recent_take_surplus(&r->recent, gone, AT_ONCE);
        empty = r->recent.count == 0;
        pthread_mutex_unlock(&r->lock);
        for (size_t i = 0; i < n; i++) {
            frame_unref(gone[i]);
        }
    } while (n == AT_ONCE);
    if (n > 0 && empty) {
        log_limited(&r->large_limit, 60 * CLOCK_S, LOG_WARN,
                    "--archive-ram is too small for one group of pictures: nothing is held");
    }
}

static bool take_frames(void *arg)
{
    struct archive_ram *r = arg;
    const struct frame *frame;
    while ((frame = queue_take(r->queue))) {
        pthread_mutex_lock(&r->lock);
        bool taken = recent_add(&r->recent, frame);
        r->stats.taken++;
        r->stats.refused += !taken;
        r->stats.bytes += frame->size;
        pthread_mutex_unlock(&r->lock);
        frame_unref(frame);
        let_go(r);
    }
    return true;
}

/* ---- dumping ---- */

static void on_opened(void *arg, const char *path)
{
    struct archive_ram *r = arg;
    pthread_mutex_lock(&r->lock);
    (void)snprintf(r->stats.file, sizeof r->stats.file, "%s", path);
    pthread_mutex_unlock(&r->lock);
    log_info("memory is being written to '%s'", path);
}

static void dump_ended(struct archive_ram *r, int code, const struct err *err)
{
    if (code < 0) {
        log_error("the dump of %zu frames failed: %s", r->count, err->text);
    } else {
        log_info("dumped %zu frames from memory", r->count);
    }
    pthread_mutex_lock(&r->lock);
    r->stats.dumps += code == 0;
    (void)snprintf(r->stats.problem, sizeof r->stats.problem, "%.199s", code < 0 ? err->text : "");
    r->stats.dumping = false;
    pthread_mutex_unlock(&r->lock);
}

static void run_dump(void *arg)
{
    struct archive_ram *r = arg;
    const struct dump dump = {
        .pattern = r->config.pattern,
        .name = r->config.name,
        .frames = r->frames,
        .count = r->count,
        .deadline_us = &r->deadline_us,
        .opened = on_opened,
        .arg = r,
    };
    struct err err = { 0 };
    int code = dump_write(&dump, &err);
    for (size_t i = 0; i < r->count; i++) {
        frame_unref(r->frames[i]);
    }
    free(r->frames);
    r->frames = NULL;
    dump_ended(r, code, &err);
}

/* References to all that is held, from a key frame on. What comes between counting and copying is
 * left out when there is no place for it. */
static int copy_frames(struct archive_ram *r, struct err *err)
{
    pthread_mutex_lock(&r->lock);
    size_t most = r->recent.count;
    pthread_mutex_unlock(&r->lock);
    r->frames = calloc(most + 1, sizeof *r->frames);
    if (!r->frames) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    uint64_t next = 0;
    size_t n;
    r->count = 0;
    do {
        size_t room = most - r->count;
        pthread_mutex_lock(&r->lock);
        n = recent_copy(&r->recent, &next, r->frames + r->count,
                        room < COPY_AT_ONCE ? room : COPY_AT_ONCE);
        pthread_mutex_unlock(&r->lock);
        r->count += n;
    } while (n > 0);
    if (r->count == 0) {
        free(r->frames);
        r->frames = NULL;
        return err_set(err, -ENODATA, "memory holds no pictures yet");
    }
    return 0;
}

static bool is_dumping(struct archive_ram *r)
{
    pthread_mutex_lock(&r->lock);
    bool dumping = r->stats.dumping;
    pthread_mutex_unlock(&r->lock);
    return dumping;
}

static void set_dumping(struct archive_ram *r, bool dumping)
{
    pthread_mutex_lock(&r->lock);
    r->stats.dumping = dumping;
    pthread_mutex_unlock(&r->lock);
}

static int start_dump(struct archive_ram *r, struct err *err)
{
    if (r->finished) {
        return err_set(err, -ECANCELED, "the program is ending");
    }
    if (is_dumping(r)) {
        return err_set(err, -EBUSY, "memory is being written already");
    }
    thread_join(&r->thread); /* the last dump's, which is at its very end */
    int code = copy_frames(r, err);
    if (code < 0) {
        return code;
    }
    set_dumping(r, true);
    code = thread_start(&r->thread, "dump", run_dump, r);
    if (code < 0) {
        for (size_t i = 0; i < r->count; i++) {
            frame_unref(r->frames[i]);
        }
        free(r->frames);
        r->frames = NULL;
        set_dumping(r, false);
        return err_set(err, code, "cannot start a thread: %s", err_text(code));
    }
    return 0;
}

int archive_ram_dump(struct archive_ram *r, struct err *err)
{
    pthread_mutex_lock(&r->dump_lock);
    int code = start_dump(r, err);
    pthread_mutex_unlock(&r->dump_lock);
    return code;
}

/* ---- life ---- */

int archive_ram_open(struct archive_ram **out, const struct archive_ram_config *config,
                     struct err *err)
{
    const struct queue_limits limits = { .policy = QUEUE_ALL, .max_frames = QUEUE_FRAMES };
    struct archive_ram *r = calloc(1, sizeof *r);
    if (!r) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    pthread_mutex_init(&r->lock, NULL);
    pthread_mutex_init(&r->dump_lock, NULL);
    recent_init(&r->recent, (uint64_t)config->max_bytes);
    atomic_init(&r->deadline_us, INT64_MAX);
    r->config = *config;
    r->config.pattern = strdup(config->pattern);
    r->config.name = strdup(config->name);
    r->queue = queue_new(&limits);
    int code = r->config.pattern && r->config.name && r->queue ? 0 : -ENOMEM;
    if (code == 0) {
        queue_on_push(r->queue, take_frames, r);
        code = hub_subscribe(config->hub, r->queue);
    }
    if (code < 0) {
        archive_ram_free(r);
        return err_set(err, code, "out of memory");
    }
    r->subscribed = true;
    *out = r;
    return 0;
}

void archive_ram_finish(struct archive_ram *r, int64_t deadline_us)
{
    atomic_store(&r->deadline_us, deadline_us);
    pthread_mutex_lock(&r->dump_lock);
    r->finished = true;
    pthread_mutex_unlock(&r->dump_lock);
    thread_join(&r->thread);
}

/* The hub has ended, so nobody is pushing any more. */
void archive_ram_free(struct archive_ram *r)
{
    if (!r) {
        return;
    }
    if (r->subscribed) {
        hub_unsubscribe(r->config.hub, r->queue);
    }
    queue_unref(r->queue);
    recent_finish(&r->recent);
    pthread_mutex_destroy(&r->lock);
    pthread_mutex_destroy(&r->dump_lock);
    free((char *)r->config.pattern);
    free((char *)r->config.name);
    free(r);
}

void archive_ram_get_stats(struct archive_ram *r, struct archive_ram_stats *out)
{
    pthread_mutex_lock(&r->lock);
    *out = r->stats;
    out->held_frames = r->recent.count;
    out->held_bytes = r->recent.bytes;
    out->held_us = recent_span_us(&r->recent);
    pthread_mutex_unlock(&r->lock);
}
