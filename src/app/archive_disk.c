/* SPDX-License-Identifier: MIT */
/*
 * The bound: a segment is at most a part (1/PARTS) of it, and old ones go until three more such parts
 * are free: for the segment that grows, for the one just closed, and for its plain copy while that is
 * written. So the folder never holds more than the bound, however it is looked at. Where groups of pictures
 * make larger segments than that, parts are as large as those; what was written under other limits tells
 * nothing about it.
 */
#include "archive_disk.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "pcs/clock.h"
#include "pcs/hub.h"
#include "pcs/log.h"
#include "pcs/queue.h"
#include "pcs/stop.h"
#include "pcs/thread.h"
#include "record/recorder.h"
#include "record/retention.h"

#define QUEUE_FRAMES 16384
#define QUEUE_BYTES  ((size_t)32 << 20)
#define BATCH_BYTES  ((size_t)256 << 10)
#define SYNC_US      CLOCK_S
#define PARTS        32
#define PRUNE_US     (30 * CLOCK_S) /* besides at each new segment */
#define RETRY_US     (2 * CLOCK_S)
#define STOP_US                                                                                    \
    (60 * CLOCK_S) /* for making the last segment plain when recording is switched off */

struct archive_disk {
    struct archive_disk_config config; /* name and pattern our own; limits as at the start */
    _Atomic int64_t max_bytes, segment_time_us;
    _Atomic int64_t since_us; /* wall clock: when they were set */
    struct stop *stop;
    struct thread thread;
    int wake_fd;
    atomic_bool wanted, look; /* look: at the folder, soon */
    _Atomic int64_t deadline_us;

    /* the thread's own */
    int64_t prune_us, retry_us;
    uint64_t largest; /* segment that was written under these limits … */
    int64_t largest_since_us;
    struct log_limit start_limit;

    pthread_mutex_t lock; /* guards the rest; taken before the locks of queue and recorder */
    struct recorder *recorder;
    struct queue *queue;            /* both set, or none */
    struct archive_disk_stats past; /* of recorders before this one; and what has no other place */
};

static void wake(struct archive_disk *d)
{
    static const uint64_t one = 1;
    (void)!write(d->wake_fd, &one, sizeof one); /* fails only when it is readable anyway */
}

/* In the recorder's thread. */
static void on_segment(void *arg, const char *path)
{
    struct archive_disk *d = arg;
    pthread_mutex_lock(&d->lock);
    d->past.segments++;
    (void)snprintf(d->past.file, sizeof d->past.file, "%s", path);
    pthread_mutex_unlock(&d->lock);
    atomic_store(&d->look, true);
    wake(d);
}

/* In the recorder's thread. */
static void on_key_wanted(void *arg)
{
    struct archive_disk *d = arg;
    hub_request_key(d->config.hub);
}

/* ---- recording on and off ---- */

static int64_t largest_segment(const struct archive_disk *d)
{
    return atomic_load(&d->max_bytes) / PARTS;
}

static int start_recorder(struct archive_disk *d, struct queue *queue, struct recorder **out,
                          struct err *err)
{
    const struct recorder_config config = {
        .pattern = d->config.pattern,
        .name = d->config.name,
        .number = 1,
        .segment_time_us = atomic_load(&d->segment_time_us),
        .segment_bytes = largest_segment(d),
        .sync_us = SYNC_US,
        .opened = on_segment,
        .want_key = on_key_wanted,
        .arg = d,
    };
    int code = recorder_start(out, &config, queue, err);
    if (code == 0 && (code = hub_subscribe(d->config.hub, queue)) < 0) {
        recorder_finish(*out, 0);
        recorder_free(*out);
        (void)err_set(err, code, "out of memory"); /* `code` again */
    }
    return code;
}

static void limit_recorder_locked(struct archive_disk *d)
{
    if (d->recorder) {
        recorder_limit(d->recorder, atomic_load(&d->segment_time_us), largest_segment(d));
    }
}

static int begin(struct archive_disk *d, struct err *err)
{
    const struct queue_limits limits = { .policy = QUEUE_ALL,
                                         .max_frames = QUEUE_FRAMES,
                                         .max_bytes = QUEUE_BYTES,
                                         .wake_bytes = BATCH_BYTES };
    struct queue *queue = queue_new(&limits);
    struct recorder *recorder = NULL;
    int code = queue ? start_recorder(d, queue, &recorder, err)
                     : err_set(err, -ENOMEM, "out of memory");
    pthread_mutex_lock(&d->lock);
    if (code == 0) {
        d->recorder = recorder;
        d->queue = queue;
        limit_recorder_locked(d); /* they may have changed meanwhile */
    }
    (void)snprintf(d->past.problem, sizeof d->past.problem, "%.199s", code < 0 ? err->text : "");
    pthread_mutex_unlock(&d->lock);
    if (code < 0) {
        queue_unref(queue);
    }
    return code;
}

/* Add what `recorder` did to `s`. */
static void add_recorder(struct archive_disk_stats *s, struct recorder *recorder,
                         struct queue *queue)
{
    struct recorder_stats rs;
    struct queue_stats qs;
    recorder_get_stats(recorder, &rs);
    queue_get_stats(queue, &qs); /* second: so no frame seems to be written that was never queued */
    uint64_t settled = qs.dropped + rs.discarded + rs.written;
    s->written += rs.written;
    s->bytes += rs.bytes;
    s->refused += qs.dropped + rs.discarded;
    s->queued = qs.pushed > settled ? qs.pushed - settled : 0;
    s->paused = rs.paused;
    if (rs.paused) {
        memcpy(s->problem, rs.problem, sizeof s->problem);
    }
}

static void end(struct archive_disk *d, int64_t deadline_us)
{
    hub_unsubscribe(d->config.hub, d->queue);
    thread_idle();
    recorder_finish(d->recorder, deadline_us);
    thread_busy();
    pthread_mutex_lock(&d->lock);
    struct recorder *recorder = d->recorder;
    struct queue *queue = d->queue;
    add_recorder(&d->past, recorder, queue);
    d->past.refused += d->past.queued; /* what is left now is lost */
    d->past.queued = 0;
    d->past.paused = false;
    d->past.problem[0] = '\0';
    d->recorder = NULL;
    d->queue = NULL;
    pthread_mutex_unlock(&d->lock);
    recorder_free(recorder);
    queue_unref(queue);
}

static void switch_recording(struct archive_disk *d)
{
    bool wanted = atomic_load(&d->wanted);
    struct err err = { 0 };
    if (!wanted && d->recorder) {
        end(d, clock_now_us() + STOP_US);
        log_info("recording is off");
    } else if (wanted && !d->recorder && clock_now_us() >= d->retry_us) {
        if (begin(d, &err) == 0) {
            log_info("recording is on");
            return;
        }
        log_limited(&d->start_limit, 60 * CLOCK_S, LOG_ERROR, "%s", err.text);
        d->retry_us = clock_now_us() + RETRY_US;
    }
}

/* ---- old segments ---- */

/* The default is large, and cards are small. */
static void compare_with_disk(const struct archive_disk *d, uint64_t most, uint64_t held)
{
    struct statvfs fs;
    if (most == 0 || statvfs(d->config.folder, &fs) < 0) {
        return;
    }
    uint64_t fits = held + (uint64_t)fs.f_bavail * fs.f_frsize;
    if (fits < most) {
        log_warn(
            "--archive-size %llu MB is more than fits into '%s', %llu MB: when the disk is full, "
            "recording pauses",
            (unsigned long long)(most >> 20), d->config.folder, (unsigned long long)(fits >> 20));
    }
}

static void prune(struct archive_disk *d)
{
    uint64_t most = (uint64_t)atomic_load(&d->max_bytes);
    uint64_t part = most / PARTS;
    int64_t since_us = atomic_load(&d->since_us);
    bool changed = since_us != d->largest_since_us;
    d->largest = changed ? 0 : d->largest;
    d->largest_since_us = since_us;
    uint64_t spare =
        3 * (d->largest > part ? d->largest : part); /* a group of pictures may be larger */
    struct retention_limits limits = { .max_bytes = most == 0      ? 0
                                                    : most > spare ? most - spare
                                                                   : 1,
                                       .since_us = since_us };
    struct retention_result result;
    d->prune_us = clock_now_us() + PRUNE_US;
    thread_idle();
    int code = retention_run(d->config.pattern, &limits, &result);
    thread_busy();
    if (code < 0) {
        log_warn("cannot look for old segments: %s", err_text(code));
        return;
    }
    d->largest = result.largest;
    if (changed) {
        compare_with_disk(d, most, result.bytes);
    }
    pthread_mutex_lock(&d->lock);
    d->past.held_bytes = result.bytes;
    d->past.removed += result.removed;
    pthread_mutex_unlock(&d->lock);
}

/* ---- the thread ---- */

static void wait_for_work(struct archive_disk *d)
{
    uint64_t n;
    int64_t now_us = clock_now_us();
    bool retrying = atomic_load(&d->wanted) && !d->recorder;
    int64_t due_us = retrying && d->retry_us < d->prune_us ? d->retry_us : d->prune_us;
    thread_idle();
    int got = stop_poll(d->stop, d->wake_fd, POLLIN, due_us > now_us ? due_us - now_us : 0);
    thread_busy();
    if (got > 0) {
        (void)!read(d->wake_fd, &n, sizeof n); /* calms it; there is nothing else to learn */
    }
}

static void run(void *arg)
{
    struct archive_disk *d = arg;
    thread_busy();
    while (!stop_requested(d->stop)) {
        switch_recording(d);
        if (atomic_exchange(&d->look, false) || clock_now_us() >= d->prune_us) {
            prune(d);
        }
        wait_for_work(d);
    }
    if (d->recorder) {
        end(d, atomic_load(&d->deadline_us));
    }
    thread_idle();
}

/* ---- life ---- */

int archive_disk_open(struct archive_disk **out, const struct archive_disk_config *config,
                      struct err *err)
{
    struct archive_disk *d = calloc(1, sizeof *d);
    if (!d) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    pthread_mutex_init(&d->lock, NULL);
    d->config = *config;
    d->config.pattern = strdup(config->pattern);
    d->config.name = strdup(config->name);
    d->stop = stop_new();
    d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    atomic_init(&d->max_bytes, config->max_bytes);
    atomic_init(&d->segment_time_us, config->segment_time_us);
    atomic_init(&d->since_us, clock_wall_us());
    atomic_init(&d->wanted, true);
    atomic_init(&d->deadline_us, INT64_MAX);
    bool ok = d->config.pattern && d->config.name && d->stop && d->wake_fd >= 0;
    int code = ok ? begin(d, err) : err_set(err, -ENOMEM, "out of memory");
    if (code == 0 && (code = thread_start(&d->thread, "archive", run, d)) < 0) {
        end(d, 0);
        (void)err_set(err, code, "cannot start the archive: %s", err_text(code)); /* `code` again */
    }
    if (code < 0) {
        archive_disk_free(d);
        return code;
    }
    *out = d;
    return 0;
}

/* The thread may be ending a recording already, with more time than there is now. */
void archive_disk_finish(struct archive_disk *d, int64_t deadline_us)
{
    atomic_store(&d->deadline_us, deadline_us);
    pthread_mutex_lock(&d->lock);
    if (d->recorder) {
        recorder_hurry(d->recorder, deadline_us);
    }
    pthread_mutex_unlock(&d->lock);
    stop_request(d->stop);
    thread_join(&d->thread);
}

void archive_disk_free(struct archive_disk *d)
{
    if (!d) {
        return;
    }
    stop_free(d->stop);
    if (d->wake_fd >= 0) {
        close(d->wake_fd);
    }
    pthread_mutex_destroy(&d->lock);
    free((char *)d->config.pattern);
    free((char *)d->config.name);
    free(d);
}

void archive_disk_record(struct archive_disk *d, bool on)
{
    atomic_store(&d->wanted, on);
    wake(d);
}

void archive_disk_limit(struct archive_disk *d, int64_t max_bytes, int64_t segment_time_us)
{
    if (max_bytes == atomic_load(&d->max_bytes) &&
        segment_time_us == atomic_load(&d->segment_time_us)) {
        return; /* something else has changed */
    }
    pthread_mutex_lock(&d->lock);
    atomic_store(&d->max_bytes, max_bytes);
    atomic_store(&d->segment_time_us, segment_time_us);
    atomic_store(&d->since_us, clock_wall_us());
    limit_recorder_locked(d);
    pthread_mutex_unlock(&d->lock);
    atomic_store(&d->look, true);
    wake(d);
}

void archive_disk_get_stats(struct archive_disk *d, struct archive_disk_stats *out)
{
    pthread_mutex_lock(&d->lock);
    *out = d->past;
    out->recording = d->recorder != NULL;
    out->limit_bytes = (uint64_t)atomic_load(&d->max_bytes);
    out->idle = true;
    if (d->recorder) {
        add_recorder(out, d->recorder, d->queue);
        out->idle = out->queued == 0;
    }
    pthread_mutex_unlock(&d->lock);
    out->paused |= !out->recording && atomic_load(&d->wanted) && *out->problem;
}
