/* SPDX-License-Identifier: MIT */
/*
 * The recorder's thread: takes frames out of the queue in batches, holds them (by reference) until
 * the next sync, writes and syncs them together, tells who wants to know. While the disk refuses,
 * nothing is taken: the queue fills up and refuses in turn, and what it refused is asked for again.
 */
#include "record/recorder.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "finisher.h"
#include "mp4.h"
#include "naming.h"
#include "recording.h"
#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/log.h"
#include "pcs/queue.h"
#include "pcs/stop.h"
#include "pcs/thread.h"

#define RETRY_US      CLOCK_S
#define ASK_AGAIN_US  CLOCK_S
#define NO_ANSWER_US  (10 * CLOCK_S)
#define KEY_EVERY_US  (5 * CLOCK_S) /* a key frame costs all who watch */
#define SHORTEST_SYNC (10 * CLOCK_MS)
#define SLOW_US       (5 * CLOCK_S) /* a sync that takes longer is a problem worth telling */
#define MAX_FILES     65536         /* paths that are remembered */

struct recorder {
    struct recorder_config config; /* fixed, strings our own */
    struct queue *queue;
    struct stop *stop;
    struct thread thread;
    _Atomic int64_t deadline_us; /* for the end */
    _Atomic int64_t segment_time_us, segment_bytes;

    /* The thread's own. */
    struct recording *recording;
    struct finisher *finisher;   /* NULL before the first closed segment */
    const struct frame *in_hand; /* taken, but there was no place for it */
    uint64_t last_seq;           /* of the newest frame that went to the recording */
    bool waiting;                /* for a replay of `last_seq + 1` */
    bool asked_twice;            /* … so whatever the answer begins with is all there is */
    uint64_t ignored;            /* … meanwhile, expected again */
    uint64_t discarded;          /* besides those that the recording counts */
    uint64_t refused;            /* by the queue, when it was looked at last */
    int64_t asked_us, key_asked_us, sync_due_us;
    bool paused;  /* nothing is taken from the queue */
    bool trouble; /* … was told, and nothing could be written since */
    bool ending;
    struct log_limit complaint;

    pthread_mutex_t lock; /* guards everything below */
    struct recorder_stats stats;
    int64_t sync_began_us; /* 0 = none under way */
    char **file;
    size_t files, file_space;
};

static void note_file(void *arg, const char *path)
{
    struct recorder *r = arg;
    char *copy = strdup(path);
    pthread_mutex_lock(&r->lock);
    if (r->files == r->file_space && r->files < MAX_FILES) {
        size_t space = r->file_space ? r->file_space * 2 : 8;
        char **file = realloc(r->file, space * sizeof *file);
        r->file = file ? file : r->file;
        r->file_space = file ? space : r->file_space;
    }
    if (copy && r->files < r->file_space) {
        r->file[r->files++] = copy;
        copy = NULL;
    }
    pthread_mutex_unlock(&r->lock);
    free(copy);
    log_info("recording to '%s'", path);
    if (r->config.opened) {
        r->config.opened(r->config.arg, path);
    }
}

static void finish_file(void *arg, struct mp4_closed *file)
{
    struct recorder *r = arg;
    if (r->ending || (!r->finisher && finisher_start(&r->finisher, &r->deadline_us) < 0)) {
        thread_idle();
        finisher_do(file, &r->deadline_us);
        thread_busy();
    } else {
        finisher_add(r->finisher, file);
    }
}

static void publish_stats(struct recorder *r, const char *problem)
{
    const struct recording_totals *t = recording_totals(r->recording);
    pthread_mutex_lock(&r->lock);
    r->stats.written = t->written;
    r->stats.bytes = t->bytes;
    r->stats.discarded = t->discarded + r->discarded;
    r->stats.synced_seq = t->synced_seq;
    r->stats.paused = r->trouble;
    snprintf(r->stats.problem, sizeof r->stats.problem, "%s", problem);
    pthread_mutex_unlock(&r->lock);
}

static void set_sync_began(struct recorder *r, int64_t us)
{
    pthread_mutex_lock(&r->lock);
    r->sync_began_us = us;
    pthread_mutex_unlock(&r->lock);
}

static void flush_failed(struct recorder *r, const struct err *err)
{
    if (!r->trouble) {
        log_limited(&r->complaint, CLOCK_S, LOG_ERROR, "recording pauses: %s", err->text);
    }
    r->paused = r->trouble = true;
    publish_stats(r, err->text);
}

static void flush_worked(struct recorder *r, uint64_t synced_before)
{
    uint64_t synced = recording_totals(r->recording)->synced_seq;
    r->paused = false;
    if (synced == synced_before) {
        return; /* there was nothing to write: that says nothing about the disk */
    }
    if (r->trouble) {
        log_info("recording goes on");
    }
    r->trouble = false;
    publish_stats(r, "");
    if (r->config.synced) {
        r->config.synced(r->config.arg, synced);
    }
}

/* The next sync must have ended within sync_us of this one's beginning. */
static void plan_sync(struct recorder *r, int64_t began_us)
{
    int64_t cost = clock_now_us() - began_us;
    int64_t half = r->config.sync_us / 2;
    r->sync_due_us = began_us + r->config.sync_us - (cost < half ? cost : half);
}

static bool queue_refused_more(struct recorder *r)
{
    struct queue_stats stats;
    queue_get_stats(r->queue, &stats);
    bool more = stats.dropped != r->refused;
    r->refused = stats.dropped;
    return more;
}

static void ask_replay(struct recorder *r)
{
    r->waiting = true;
    r->asked_us = clock_now_us();
    log_debug("asking for frames from %llu on again", (unsigned long long)r->last_seq + 1);
    r->config.replay(r->config.arg, r->last_seq + 1);
}

/* Frames that went down with their file begin the next one. */
static void ask_for_lost(struct recorder *r)
{
    uint64_t seq, frames;
    if (!recording_take_lost(r->recording, &seq, &frames)) {
        return;
    }
    if (r->ending) {
        r->discarded += frames;
        return;
    }
    r->last_seq = seq - 1;
    r->ignored += frames;
    ask_replay(r);
}

/* True: everything that was held is on disk. */
static bool flush(struct recorder *r)
{
    struct err err = { 0 };
    uint64_t synced = recording_totals(r->recording)->synced_seq;
    int64_t began_us = clock_now_us();
    set_sync_began(r, began_us);
    thread_idle();
    int ret = recording_flush(r->recording, &err);
    thread_busy();
    set_sync_began(r, 0);
    plan_sync(r, began_us);
    if (ret < 0) {
        flush_failed(r, &err);
        ask_for_lost(r);
    } else {
        flush_worked(r, synced);
    }
    return ret == 0;
}

/* The answer itself may have been refused, or the wish lost with its connection. */
static bool must_ask_again(struct recorder *r)
{
    int64_t since_us = clock_now_us() - r->asked_us;
    return since_us >= NO_ANSWER_US || (since_us >= ASK_AGAIN_US && queue_refused_more(r));
}

/*
 * The answer to a replay, or a frame that was under way before it? An answer that begins later than
 * asked may be that of a new connection, which knows nothing of the wish: hence a second try.
 */
static bool ends_waiting(struct recorder *r, const struct frame *frame)
{
    bool answer = frame->flags & FRAME_REWOUND;
    if (frame->seq == r->last_seq + 1 ||
        (answer && (frame->seq <= r->last_seq || r->asked_twice))) {
        r->waiting = r->asked_twice = false;
        r->ignored = 0;
        return true;
    }
    r->ignored++;
    if (answer || must_ask_again(r)) {
        r->asked_twice = answer;
        ask_replay(r);
    }
    return false;
}

static bool is_wanted(struct recorder *r, const struct frame *frame)
{
    if (r->waiting && !ends_waiting(r, frame)) {
        return false;
    }
    if (frame->seq <= r->last_seq) {
        /* A replay that begins before what is missing brings the key frame for a new file. */
        return frame->flags & FRAME_KEY && recording_needs_key(r->recording);
    }
    bool gap = r->last_seq > 0 && frame->seq > r->last_seq + 1;
    if (gap && r->config.replay && !r->ending && queue_refused_more(r)) {
        ask_replay(r);
        r->ignored++;
        return false;
    }
    return true;
}

/* Put the frame in hand into the recording. False: there is no place for it now. */
static bool place(struct recorder *r)
{
    while (recording_add(r->recording, r->in_hand) == -EAGAIN) {
        if (!flush(r)) {
            return false;
        }
    }
    r->last_seq = r->in_hand->seq;
    frame_unref(r->in_hand);
    r->in_hand = NULL;
    return true;
}

static bool out_of_time(struct recorder *r)
{
    int64_t deadline_us = atomic_load(&r->deadline_us);
    return deadline_us != INT64_MAX && clock_now_us() >= deadline_us;
}

/* True: the queue is empty. */
static bool drain(struct recorder *r)
{
    while (!out_of_time(r)) {
        if (r->in_hand && !place(r)) {
            return false;
        }
        const struct frame *frame = queue_take(r->queue);
        if (!frame) {
            return true;
        }
        if (is_wanted(r, frame)) {
            r->in_hand = frame;
        } else {
            frame_unref(frame);
        }
    }
    return false;
}

static void ask_for_key(struct recorder *r)
{
    int64_t now_us = clock_now_us();
    bool soon = r->key_asked_us > 0 && now_us - r->key_asked_us < KEY_EVERY_US;
    if (r->config.want_key && !soon && recording_wants_key(r->recording)) {
        r->key_asked_us = now_us;
        r->config.want_key(r->config.arg);
    }
}

static void work(struct recorder *r)
{
    recording_limit(r->recording, atomic_load(&r->segment_time_us), atomic_load(&r->segment_bytes));
    if (r->paused && !flush(r)) {
        return;
    }
    if (!drain(r)) {
        return;
    }
    ask_for_key(r);
    if (queue_closed(r->queue) || clock_now_us() >= r->sync_due_us) {
        (void)flush(r); /* a failure pauses, which is all there is to do */
    }
}

/* Closed, empty, and all of it on disk. */
static bool is_done(struct recorder *r)
{
    struct queue_stats stats;
    if (!queue_closed(r->queue)) {
        return false;
    }
    queue_get_stats(r->queue, &stats);
    return stats.frames == 0 && !recording_pending(r->recording);
}

/* The queue's fd stays readable once it is closed, and while nothing is taken. */
static void wait_for_work(struct recorder *r)
{
    int64_t left = r->sync_due_us - clock_now_us();
    thread_idle();
    if (r->paused) {
        (void)stop_wait(r->stop, RETRY_US);
    } else if (is_done(r)) {
        (void)stop_wait(r->stop, -1);
    } else {
        (void)stop_poll(r->stop, queue_fd(r->queue), POLLIN, left > 0 ? left : 0);
    }
    thread_busy();
}

static void discard_rest(struct recorder *r)
{
    const struct frame *frame;
    r->discarded += (r->waiting ? r->ignored : 0) + (r->in_hand != NULL);
    frame_unref(r->in_hand);
    r->in_hand = NULL;
    while ((frame = queue_take(r->queue))) {
        frame_unref(frame);
        r->discarded++;
    }
}

static void end(struct recorder *r)
{
    r->ending = true;
    if (!r->paused || flush(r)) {
        (void)drain(r);
        (void)flush(r); /* what cannot be written now is discarded and counted */
    }
    recording_end(r->recording);
    discard_rest(r);
    publish_stats(r, "");
}

static void run(void *arg)
{
    struct recorder *r = arg;
    thread_busy();
    r->sync_due_us = clock_now_us() + r->config.sync_us;
    while (!stop_requested(r->stop)) {
        work(r);
        wait_for_work(r);
    }
    end(r);
    thread_idle();
}

static int set_up(struct recorder *r)
{
    const struct recorder_config *c = &r->config;
    struct recording_config rc = {
        .naming = { .pattern = c->pattern, .name = c->name, .number = c->number },
        .segment_time_us = c->segment_time_us,
        .segment_bytes = c->segment_bytes,
        .replays = c->replay,
        .opened = note_file,
        .closed = finish_file,
        .arg = r,
    };
    r->recording = recording_new(&rc);
    r->stop = stop_new();
    if (!c->pattern || !c->name || !r->recording || !r->stop) {
        return -ENOMEM;
    }
    return thread_start(&r->thread, "record", run, r);
}

int recorder_start(struct recorder **out, const struct recorder_config *config, struct queue *queue,
                   struct err *err)
{
    struct naming naming = { config->pattern, config->name, config->number };
    int ret = naming_check(&naming, err);
    if (ret < 0) {
        return ret;
    }
    struct recorder *r = calloc(1, sizeof *r);
    if (!r) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    pthread_mutex_init(&r->lock, NULL);
    r->config = *config;
    r->config.pattern = strdup(config->pattern);
    r->config.name = strdup(config->name ? config->name : "");
    r->config.sync_us = config->sync_us > SHORTEST_SYNC ? config->sync_us : SHORTEST_SYNC;
    r->queue = queue_ref(queue);
    atomic_init(&r->deadline_us, INT64_MAX);
    atomic_init(&r->segment_time_us, config->segment_time_us);
    atomic_init(&r->segment_bytes, config->segment_bytes);
    ret = set_up(r);
    if (ret < 0) {
        recorder_free(r);
        return err_set(err, ret, "cannot start recording: %s", err_text(ret));
    }
    *out = r;
    return 0;
}

void recorder_limit(struct recorder *r, int64_t segment_time_us, int64_t segment_bytes)
{
    atomic_store(&r->segment_time_us, segment_time_us);
    atomic_store(&r->segment_bytes, segment_bytes);
}

void recorder_hurry(struct recorder *r, int64_t deadline_us)
{
    int64_t old_us = atomic_load(&r->deadline_us);
    while (deadline_us < old_us &&
           !atomic_compare_exchange_weak(&r->deadline_us, &old_us, deadline_us)) {
        /* old_us is what it has become meanwhile */
    }
}

void recorder_finish(struct recorder *r, int64_t deadline_us)
{
    recorder_hurry(r, deadline_us);
    queue_close(r->queue);
    stop_request(r->stop);
    thread_join(&r->thread);
    finisher_stop(r->finisher);
    r->finisher = NULL;
}

void recorder_free(struct recorder *r)
{
    if (!r) {
        return;
    }
    recording_free(r->recording);
    stop_free(r->stop);
    queue_unref(r->queue);
    for (size_t i = 0; i < r->files; i++) {
        free(r->file[i]);
    }
    free(r->file);
    free((char *)r->config.pattern);
    free((char *)r->config.name);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

void recorder_get_stats(struct recorder *r, struct recorder_stats *out)
{
    pthread_mutex_lock(&r->lock);
    *out = r->stats;
    int64_t began_us = r->sync_began_us;
    pthread_mutex_unlock(&r->lock);
    int64_t taken_us = began_us ? clock_now_us() - began_us : 0;
    if (taken_us > SLOW_US && !out->paused) {
        out->paused = true;
        snprintf(out->problem, sizeof out->problem, "the disk has not answered for %lld s",
                 (long long)(taken_us / CLOCK_S));
    }
}

void recorder_each_file(struct recorder *r, void (*each)(void *arg, const char *path), void *arg)
{
    for (size_t i = 0;; i++) {
        pthread_mutex_lock(&r->lock);
        const char *path = i < r->files ? r->file[i] : NULL;
        pthread_mutex_unlock(&r->lock);
        if (!path) {
            return;
        }
        each(arg, path);
    }
}
