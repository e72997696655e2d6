/* SPDX-License-Identifier: MIT */
/*
 * Who reads? Readers cannot write, but they hold a lock on the file, and whoever opens or closes it causes an
 * inotify event. So nothing is polled: an event makes the thread look at the lock at once (somebody came),
 * and again a second later (did they all go? the lock of one that just closed may still be there; and who
 * comes back at once finds the encoder running).
 */
#include "shm_feed.h"

#include <errno.h>
#include <poll.h>
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
#include "pcs/stats.h"
#include "pcs/stop.h"
#include "pcs/thread.h"
#include "shm_segment.h"

#define MB             ((size_t)1 << 20)
#define STREAM_SIZE    (15 * MB)
#define STREAM_SLOTS   1024
#define RAW_SIZE       (sizeof(void *) > 4 ? 256 * MB : 96 * MB) /* of addresses */
#define RAW_SLOTS      16
#define RAW_PICTURES   6 /* memory for so many */
#define STREAM_WAITING 64
#define RAW_WAITING    1
#define LOOK_US        CLOCK_S
#define DEAF_US        (10 * CLOCK_MS) /* between looks, however often somebody opens the file */
#define LOG_PERIOD_US  (30 * CLOCK_S)
#define NAME_MAX_BYTES 200

struct shm_feed {
    struct hub *hub;
    bool raw;
    char name[NAME_MAX_BYTES];
    const char *camera;
    struct queue *queue;
    struct stop *stop;
    struct thread thread;

    /* the thread's own */
    int64_t deaf_us, look_us; /* not before, at the latest */
    bool ended;
    struct log_limit renew_limit;

    atomic_bool subscribed, done;
    counter sent, bytes, refused;

    pthread_mutex_t work; /* guards what follows: the thread and whoever publishes put frames in */
    struct shm_segment *segment; /* the thread changes it, and may look at it without the lock */
    uint64_t lost;               /* by the queue, as far as that is in the numbers */
    struct log_limit large_limit, full_limit;
};

bool shm_feed_name_ok(const char *name)
{
    name += *name == '/';
    return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
           strlen(name) + 2 <= NAME_MAX_BYTES;
}

/* ---- one frame ---- */

static void describe(const struct frame *frame, struct shm_slot *slot)
{
    const struct format *f = &frame->format;
    const struct format_color_codes colors = format_color_codes(f);
    bool key = frame->flags & FRAME_KEY || f->id != FORMAT_H264;
    bool standby = frame->flags & FRAME_STANDBY;
    *slot = (struct shm_slot){
        .seq = frame->seq,
        .capture_us = frame->capture_us,
        .wall_us = frame->wall_us,
        .flags = (key ? SHM_KEY : 0u) | (standby ? SHM_STANDBY : 0u),
        .fourcc = format_info(f->id)->fourcc,
        .width = (uint32_t)f->width,
        .height = (uint32_t)f->height,
        .fps_num = (uint32_t)f->fps_num,
        .fps_den = (uint32_t)f->fps_den,
        .primaries = (uint32_t)colors.primaries,
        .transfer = (uint32_t)colors.transfer,
        .matrix = (uint32_t)colors.matrix,
        .full_range = f->range == COLOR_RANGE_FULL,
        .transform = f->transform,
    };
}

/* Planes one behind the other, rows without gaps. Returns their size, 0 when they cannot be. */
static size_t lay_out(const struct frame *frame, struct shm_slot *slot)
{
    const struct format_info *info = format_info(frame->format.id);
    size_t offset[FORMAT_MAX_PLANES];
    int stride[FORMAT_MAX_PLANES];
    size_t size = format_layout(&frame->format, 0, offset, stride);
    slot->plane_count = (uint32_t)info->planes;
    for (int i = 0; size > 0 && i < info->planes; i++) {
        int shift = info->plane_shift_y[i];
        uint32_t rows = (uint32_t)(frame->format.height + (1 << shift) - 1) >> shift;
        slot->plane[i] =
            (struct shm_plane){ offset[i], (uint32_t)stride[i], (uint32_t)stride[i], rows };
        if (!frame->plane[i] || frame->stride[i] < stride[i]) {
            return 0;
        }
    }
    return size;
}

static void copy_plane(uint8_t *to, const struct shm_plane *p, const uint8_t *from, size_t stride)
{
    if (stride == p->stride) {
        memcpy(to, from, stride * p->rows);
        return;
    }
    for (uint32_t row = 0; row < p->rows; row++) {
        memcpy(to + (size_t)row * p->stride, from + row * stride, p->row_bytes);
    }
}

static void copy_frame(uint8_t *to, const struct shm_slot *slot, const struct frame *frame,
                       size_t size)
{
    if (slot->plane_count == 0) {
        memcpy(to, frame->data, size);
    }
    for (uint32_t i = 0; i < slot->plane_count; i++) {
        copy_plane(to + slot->plane[i].offset, &slot->plane[i], frame->plane[i],
                   (size_t)frame->stride[i]);
    }
}

/* A picture that is larger than all before: the ring grows with it. */
static void make_room(struct shm_feed *feed, size_t size)
{
    const struct shm_writer *w = shm_segment_writer(feed->segment);
    if (!feed->raw || size <= w->frame_max) {
        return;
    }
    int code = shm_segment_resize(feed->segment, RAW_PICTURES * (size + 2 * (size_t)SHM_SPARE));
    if (code < 0) {
        log_limited(&feed->full_limit, LOG_PERIOD_US, LOG_ERROR,
                    "shared memory %s: no room for pictures of %zu bytes: %s", feed->name, size,
                    err_text(code));
    }
}

/* Pictures that lean on others, of which a slow reader misses some, are none. */
static bool no_picture(struct shm_feed *feed, const struct frame *frame)
{
    bool leans = feed->raw && frame->format.id == FORMAT_H264;
    if (leans) {
        counter_add(&feed->refused, 1);
        log_limited(&feed->large_limit, LOG_PERIOD_US, LOG_WARN,
                    "shared memory %s: the camera gives H.264, no pictures: use --shm", feed->name);
    }
    return leans;
}

static void put(struct shm_feed *feed, const struct frame *frame)
{
    struct shm_slot slot;
    if (no_picture(feed, frame)) {
        return;
    }
    describe(frame, &slot);
    bool packed = format_info(frame->format.id)->compressed;
    size_t size = packed ? frame->size : lay_out(frame, &slot);
    make_room(feed, size);
    struct shm_writer *w = shm_segment_writer(feed->segment);
    uint8_t *to = shm_writer_claim(w, size);
    if (!to) {
        counter_add(&feed->refused, 1);
        log_limited(&feed->large_limit, LOG_PERIOD_US, LOG_WARN,
                    "shared memory %s: a frame of %zu bytes is left out: %zu is the most",
                    feed->name, size, w->frame_max);
        return;
    }
    copy_frame(to, &slot, frame, size);
    slot.published_us = clock_now_us();
    shm_writer_publish(w, &slot, size);
    shm_segment_wake(feed->segment);
    counter_add(&feed->sent, 1);
    counter_add(&feed->bytes, size);
}

/* With `work` held. What the queue had to drop is missing in the row. */
static void put_queued(struct shm_feed *feed)
{
    const struct frame *frame;
    struct queue_stats qs;
    queue_get_stats(feed->queue, &qs);
    shm_writer_skip(shm_segment_writer(feed->segment), qs.dropped - feed->lost);
    feed->lost = qs.dropped;
    while ((frame = queue_take(feed->queue)) != NULL) {
        put(feed, frame);
        frame_unref(frame);
    }
}

/* In the producer's thread. False: the feed's own is at it, and must look again. */
static bool put_at_once(void *arg)
{
    struct shm_feed *feed = arg;
    if (pthread_mutex_trylock(&feed->work) != 0) {
        return false;
    }
    put_queued(feed);
    pthread_mutex_unlock(&feed->work);
    return true;
}

/* ---- the segment ---- */

static int open_segment(const struct shm_feed *feed, struct shm_segment **out, struct err *err)
{
    const struct shm_segment_plan plan = {
        .name = feed->name,
        .camera = feed->camera,
        .map_size = feed->raw ? RAW_SIZE : STREAM_SIZE,
        .ring_size = feed->raw ? SHM_SPARE : 0, /* pictures: when their size is known */
        .slot_count = feed->raw ? RAW_SLOTS : STREAM_SLOTS,
    };
    return shm_segment_open(out, &plan, err);
}

/* A file without a name cannot get it back: another one takes its place, as after a restart. */
static void renew(struct shm_feed *feed)
{
    struct shm_segment *segment = NULL;
    struct err err = { 0 };
    if (open_segment(feed, &segment, &err) < 0) {
        log_limited(&feed->renew_limit, LOG_PERIOD_US, LOG_ERROR, "%s", err.text);
        return;
    }
    log_warn("shared memory %s was removed by somebody: made anew", feed->name);
    pthread_mutex_lock(&feed->work);
    struct shm_segment *old = feed->segment;
    feed->segment = segment;
    pthread_mutex_unlock(&feed->work);
    hub_request_key(feed->hub); /* for those who have to begin again */
    shm_segment_close(old);     /* its readers reopen */
}

/* ---- the thread ---- */

static void subscribe(struct shm_feed *feed)
{
    queue_clear(feed->queue); /* it begins with a key frame again */
    int code = hub_subscribe(feed->hub, feed->queue);
    if (code < 0) {
        log_error("shared memory %s: %s", feed->name, err_text(code));
        feed->look_us = clock_now_us() + LOOK_US;
        return;
    }
    atomic_store(&feed->subscribed, true);
    log_debug("shared memory %s has a reader", feed->name);
}

static void unsubscribe(struct shm_feed *feed)
{
    hub_unsubscribe(feed->hub, feed->queue);
    atomic_store(&feed->subscribed, false);
    pthread_mutex_lock(&feed->work);
    queue_clear(feed->queue);
    shm_writer_pause(shm_segment_writer(feed->segment));
    pthread_mutex_unlock(&feed->work);
    log_debug("shared memory %s: nobody reads it", feed->name);
}

static void look_for_readers(struct shm_feed *feed, bool event)
{
    int64_t now_us = clock_now_us();
    bool due = now_us >= feed->look_us;
    if (!event && !due) {
        return;
    }
    if (shm_segment_is_lost(feed->segment)) {
        renew(feed);
        event =
            true; /* look again: whoever was sent away comes back, or there was no room for it */
    }
    bool blind = shm_segment_watch_fd(feed->segment) < 0;
    bool read = shm_segment_has_reader(feed->segment);
    feed->deaf_us = now_us + DEAF_US;
    feed->look_us = event || blind ? now_us + LOOK_US : INT64_MAX;
    if (read && !feed->subscribed) {
        subscribe(feed);
    } else if (!read && feed->subscribed && due && !event) {
        unsubscribe(feed);
    }
}

/* Returns whether somebody came or went. */
static bool wait_for_work(struct shm_feed *feed)
{
    int64_t now_us = clock_now_us();
    int watch = shm_segment_watch_fd(feed->segment);
    bool deaf = watch >= 0 && now_us < feed->deaf_us;
    struct pollfd fds[3] = {
        { .fd = stop_fd(feed->stop), .events = POLLIN },
        { .fd = feed->ended ? -1 : queue_fd(feed->queue), .events = POLLIN },
        { .fd = deaf ? -1 : watch, .events = POLLIN },
    };
    int64_t until_us = deaf && feed->deaf_us < feed->look_us ? feed->deaf_us : feed->look_us;
    thread_idle();
    (void)poll(fds, 3, clock_poll_ms(until_us, now_us)); /* EINTR: look again */
    thread_busy();
    if (fds[2].revents & POLLIN) {
        shm_segment_drain(feed->segment);
    }
    return fds[2].revents != 0;
}

static void feed_run(void *arg)
{
    struct shm_feed *feed = arg;
    bool event = true; /* somebody may have come before we watched */
    while (!stop_requested(feed->stop)) {
        look_for_readers(feed, event);
        event = wait_for_work(feed);
        bool closed = queue_closed(feed->queue); /* asked first: what came before is still taken */
        pthread_mutex_lock(&feed->work);
        put_queued(feed);
        pthread_mutex_unlock(&feed->work);
        feed->ended = closed;
        atomic_store(&feed->done, closed);
    }
}

/* ---- life ---- */

static struct shm_feed *feed_new(const struct shm_feed_plan *plan)
{
    const struct queue_limits limits = {
        .policy = plan->raw ? QUEUE_NEWEST : QUEUE_GOP,
        .max_frames = plan->raw ? RAW_WAITING : STREAM_WAITING,
        .max_bytes = plan->raw ? 0 : STREAM_SIZE,
    };
    struct shm_feed *feed = calloc(1, sizeof *feed);
    if (!feed) {
        return NULL;
    }
    pthread_mutex_init(&feed->work, NULL);
    feed->hub = plan->hub;
    feed->raw = plan->raw;
    feed->camera = plan->camera;
    feed->look_us = INT64_MAX;
    (void)snprintf(feed->name, sizeof feed->name, "/%s", plan->name + (*plan->name == '/'));
    feed->queue = queue_new(&limits);
    feed->stop = stop_new();
    if (!feed->queue || !feed->stop) {
        shm_feed_free(feed);
        return NULL;
    }
    if (!feed->raw) {
        queue_on_push(feed->queue, put_at_once, feed);
    }
    return feed;
}

int shm_feed_start(struct shm_feed **out, const struct shm_feed_plan *plan, struct err *err)
{
    struct shm_feed *feed = feed_new(plan);
    if (!feed) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    int code = open_segment(feed, &feed->segment, err);
    if (code == 0 && (code = thread_start(&feed->thread, "shm", feed_run, feed)) < 0) {
        (void)err_set(err, code, "shared memory %s: %s", feed->name, err_text(code));
    }
    if (code < 0) {
        shm_feed_free(feed);
        return code;
    }
    log_info("shared memory %s: %s", feed->name,
             plan->raw ? "raw pictures" : "the stream, 15 MB of it");
    *out = feed;
    return 0;
}

void shm_feed_stop(struct shm_feed *feed)
{
    stop_request(feed->stop);
    thread_join(&feed->thread);
    if (atomic_load(&feed->subscribed)) {
        hub_unsubscribe(feed->hub, feed->queue);
    }
    pthread_mutex_lock(&feed->work);
    put_queued(feed);
    pthread_mutex_unlock(&feed->work);
}

void shm_feed_free(struct shm_feed *feed)
{
    if (!feed) {
        return;
    }
    shm_segment_close(feed->segment);
    queue_unref(feed->queue);
    stop_free(feed->stop);
    pthread_mutex_destroy(&feed->work);
    free(feed);
}

void shm_feed_get_totals(struct shm_feed *feed, struct shm_feed_totals *out)
{
    bool read = atomic_load(&feed->subscribed);
    *out = (struct shm_feed_totals){ .sent = counter_get(&feed->sent),
                                     .bytes = counter_get(&feed->bytes),
                                     .refused = counter_get(&feed->refused),
                                     .read = read,
                                     .done = !read || atomic_load(&feed->done) };
}
