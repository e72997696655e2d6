/* SPDX-License-Identifier: MIT */
#include "finisher.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "mp4.h"
#include "pcs/clock.h"
#include "pcs/err.h"
#include "pcs/log.h"
#include "pcs/thread.h"
#include "plain.h"

struct finisher {
    struct thread thread;
    _Atomic int64_t *deadline_us;

    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t changed;
    struct mp4_closed backlog[FINISHER_BACKLOG];
    unsigned head, count;
    bool stopping;
};

static bool too_late(void *arg)
{
    _Atomic int64_t *deadline_us = arg;
    return clock_now_us() >= atomic_load(deadline_us);
}

void finisher_do(struct mp4_closed *file, _Atomic int64_t *deadline_us)
{
    int ret = too_late(deadline_us) ? -ECANCELED : plain_make(file, too_late, deadline_us);
    if (ret == 0) {
        log_debug("'%s' is complete, %llu frames", file->path, (unsigned long long)file->samples);
    } else if (ret == -ECANCELED) {
        log_info("'%s' stays a fragmented MP4: no time to rewrite it", file->path);
    } else if (ret == -ESTALE) {
        log_warn("'%s' was moved or deleted while it was recorded", file->path);
    } else {
        log_warn("'%s' stays a fragmented MP4: %s", file->path, err_text(ret));
    }
    mp4_closed_finish(file);
}

static bool next_file(struct finisher *f, struct mp4_closed *out)
{
    thread_idle();
    pthread_mutex_lock(&f->lock);
    while (f->count == 0 && !f->stopping) {
        pthread_cond_wait(&f->changed, &f->lock);
    }
    bool any = f->count > 0;
    if (any) {
        *out = f->backlog[f->head];
        f->head = (f->head + 1) % FINISHER_BACKLOG;
        f->count--;
    }
    pthread_mutex_unlock(&f->lock);
    return any;
}

/* Its time goes to the disk, as long as that takes: idle for the watchdog. */
static void run(void *arg)
{
    struct finisher *f = arg;
    struct mp4_closed file;
    while (next_file(f, &file)) {
        finisher_do(&file, f->deadline_us);
    }
}

int finisher_start(struct finisher **out, _Atomic int64_t *deadline_us)
{
    struct finisher *f = calloc(1, sizeof *f);
    if (!f) {
        return -ENOMEM;
    }
    f->deadline_us = deadline_us;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    int ret = thread_start(&f->thread, "finish", run, f);
    if (ret < 0) {
        finisher_stop(f);
        return ret;
    }
    *out = f;
    return 0;
}

void finisher_add(struct finisher *f, struct mp4_closed *file)
{
    pthread_mutex_lock(&f->lock);
    bool room = f->count < FINISHER_BACKLOG;
    if (room) {
        f->backlog[(f->head + f->count++) % FINISHER_BACKLOG] = *file;
        *file = (struct mp4_closed){ .fd = -1 };
        pthread_cond_signal(&f->changed);
    }
    pthread_mutex_unlock(&f->lock);
    if (!room) {
        log_warn("'%s' stays a fragmented MP4: the disk is too slow to rewrite it", file->path);
        mp4_closed_finish(file);
    }
}

void finisher_stop(struct finisher *f)
{
    if (!f) {
        return;
    }
    pthread_mutex_lock(&f->lock);
    f->stopping = true;
    pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->lock);
    thread_join(&f->thread);
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    free(f);
}
