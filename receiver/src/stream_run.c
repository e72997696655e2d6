/* SPDX-License-Identifier: MIT */
/*
 * The stream's thread: bytes from the link become frames and go to the hub; the recorder, on its own
 * thread, takes them from its queue in batches. What it reports back (synced, send again) comes as
 * numbers and a wake-up, and leaves as messages.
 *
 * When the recorder's queue grows because the disk is slower than the line, the thread stops reading
 * for a moment: TCP holds the sender, whose buffer is made for that. When the disk has a problem it
 * reads on, the queue refuses, and what was refused is asked for again once the disk is back.
 */
#include <cjson/cJSON.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "pcs/clock.h"
#include "pcs/conn.h"
#include "pcs/frame.h"
#include "pcs/hub.h"
#include "pcs/log.h"
#include "stream_private.h"

#define AWAY_US      (10 * CLOCK_S) /* a sender that is gone this long: its file is closed */
#define GOODBYE_US   (500 * CLOCK_MS)
#define REFRESH_US   (500 * CLOCK_MS)
#define THROTTLE_US  (10 * CLOCK_MS)
#define LAST_SYNC_US (30 * CLOCK_S) /* after BYE, for a disk with a problem */

/* ---- frames in ---- */

static void measure(struct stream *s, const struct wire_frame *head, struct frame *frame)
{
    int64_t offset_us, error_us;
    if (!clocksync_offset(&s->link.clock, &offset_us, &error_us)) {
        return;
    }
    frame->stage_us[STAGE_CAPTURED] = head->capture_us - offset_us;
    frame->stage_us[STAGE_ENCODED] = frame->stage_us[STAGE_CAPTURED] + head->encode_us;
    histogram_add(&s->latency, frame->stage_us[STAGE_RECEIVED] - frame->stage_us[STAGE_CAPTURED]);
}

static void on_frame(void *arg, const struct wire_frame *head, struct frame *frame)
{
    struct stream *s = arg;
    frame->format = s->format;
    frame->flags = (head->flags & WIRE_FRAME_KEY ? FRAME_KEY : 0) |
                   (head->flags & WIRE_FRAME_REWOUND ? FRAME_REWOUND : 0);
    frame->seq = head->seq;
    frame->capture_us = head->capture_us;
    frame->pts_delay_us = head->pts_delay_us;
    frame->wall_us = head->capture_us + s->wall_offset_us;
    frame->stage_us[STAGE_RECEIVED] = clock_now_us();

    pthread_mutex_lock(&s->lock);
    bool fresh = tally_frame(&s->tally, head->seq, head->skipped);
    pthread_mutex_unlock(&s->lock);
    if (fresh) {
        s->last_seq = head->seq;
        counter_add(&s->bytes, frame->size);
        measure(s, head, frame);
    } else {
        frame->flags |= FRAME_REPLAY;
    }
    if (frame->flags & FRAME_REWOUND) {
        record_sink_rewound(s->record);
    }
    hub_publish(s->hub, frame);
    s->frames_here++;
    frame_unref(frame);
    if (fresh) {
        s->env->received(s->env->arg);
    }
}

static void on_format(void *arg, const struct format *format)
{
    struct stream *s = arg;
    char text[64];
    s->format = *format;
    log_limited(&s->format_limit, CLOCK_S, LOG_INFO, "%s now sends %s", s->name,
                format_describe(format, text, sizeof text));
}

static void on_bye(void *arg, const struct wire_bye *bye)
{
    struct stream *s = arg;
    pthread_mutex_lock(&s->lock);
    tally_end(&s->tally, bye->next_seq, bye->skipped);
    pthread_mutex_unlock(&s->lock);
    s->bye_us = clock_now_us();
}

/* ---- messages out ---- */

static void note_synced(struct stream *s)
{
    uint64_t synced = record_sink_synced(s->record);
    s->synced_seq = synced > s->synced_seq ? synced : s->synced_seq;
}

static void send_ack(struct stream *s)
{
    note_synced(s);
    if (s->synced_seq == s->acked_seq || !link_is_open(&s->link)) {
        return;
    }
    const struct wire_message m = {
        .type = WIRE_ACK, .u.ack = { .synced_seq = s->synced_seq, .received_seq = s->tally.newest }
    };
    link_put(&s->link, &m);
    s->acked_seq = s->synced_seq;
}

static void send_replay(struct stream *s)
{
    /* From a key frame on: the file may be gone, and its successor begins with one. What the recorder
     * has already, it passes over. */
    struct wire_message m = { .type = WIRE_REPLAY, .u.replay = { .need_key = true } };
    if (!link_is_open(&s->link) || !record_sink_take_replay(s->record, &m.u.replay.from_seq)) {
        return;
    }
    log_info("%s: asks for frame %llu again", s->name, (unsigned long long)m.u.replay.from_seq);
    link_put(&s->link, &m);
    s->bye_us = 0; /* the end comes again behind it */
}

/* Where the sender should go on: behind what this recording has been given, or, with a new file,
 * behind what is safe in older ones; a stranger is asked for everything it has kept. */
static void send_welcome(struct stream *s)
{
    struct wire_message m = { .type = WIRE_WELCOME, .u.welcome = { .version = WIRE_VERSION } };
    bool going_on = s->frames_here > 0;
    m.u.welcome.from_seq = going_on            ? s->tally.newest + 1
                           : s->synced_seq > 0 ? s->synced_seq + 1
                                               : 0;
    m.u.welcome.need_key = !going_on;
    m.u.welcome.has_id = true;
    memcpy(m.u.welcome.id, s->env->id, sizeof m.u.welcome.id);
    strncpy(m.u.welcome.name, s->env->name, WIRE_NAME_MAX);
    strncpy(m.u.welcome.software, s->env->software, WIRE_NAME_MAX);
    link_put(&s->link, &m);
    s->acked_seq = 0;
    send_ack(s);
}

/* ---- the connection comes and goes ---- */

static void lose_link(struct stream *s, int64_t now_us)
{
    log_info("%s: connection ended: %s", s->name, s->link.error.text);
    link_close(&s->link);
    s->away_us = now_us;
    pthread_mutex_lock(&s->lock);
    s->connected = false;
    pthread_mutex_unlock(&s->lock);
}

static struct conn *take_pending(struct stream *s, struct wire_hello *hello)
{
    pthread_mutex_lock(&s->lock);
    struct conn *conn = s->pending;
    s->pending = NULL;
    if (conn) {
        *hello = s->pending_hello;
        s->connections++;
        s->connected = true;
    }
    pthread_mutex_unlock(&s->lock);
    return conn;
}

static void take_connection(struct stream *s, int64_t now_us)
{
    struct wire_hello hello;
    struct conn *conn = take_pending(s, &hello);
    if (!conn) {
        return;
    }
    const struct link_handler handler = {
        .frame = on_frame, .format = on_format, .bye = on_bye, .arg = s
    };
    link_close(&s->link);
    link_open(&s->link, conn, s->pool, &handler, now_us);
    s->format = hello.format;
    s->wall_offset_us = hello.wall_us - hello.mono_us;
    s->bye_us = 0;
    send_welcome(s);
}

/* A copy for those who ask from other threads, so that nobody needs two locks. */
static void refresh_totals(struct stream *s, int64_t now_us)
{
    if (now_us < s->refresh_us) {
        return;
    }
    struct record_sink_totals t;
    record_sink_get_totals(s->record, &t);
    s->refresh_us = now_us + REFRESH_US;
    pthread_mutex_lock(&s->lock);
    s->recording = t;
    pthread_mutex_unlock(&s->lock);
}

static void serve_link(struct stream *s, short revents, int64_t now_us)
{
    int code = 0;
    if (revents & (POLLIN | POLLHUP | POLLERR)) {
        code = link_receive(&s->link);
    }
    if (code == 0) {
        send_ack(s);
        send_replay(s);
        code = link_send(&s->link, now_us);
    }
    if (code == 0) {
        code = link_check(&s->link, now_us);
    }
    if (code < 0) {
        lose_link(s, now_us);
    }
}

/* ---- the loop ---- */

static int64_t get_stop_us(struct stream *s)
{
    pthread_mutex_lock(&s->lock);
    int64_t stop_us = s->stop_us;
    pthread_mutex_unlock(&s->lock);
    return stop_us;
}

/* After BYE: is all of it on disk, and the sender knows? */
static bool is_delivered(struct stream *s, int64_t now_us)
{
    record_sink_end(s->record, s->synced_seq, now_us);
    note_synced(s);
    if (!link_is_open(&s->link)) {
        return s->acked_seq >= s->last_seq; /* else it comes back for that */
    }
    return s->synced_seq >= s->last_seq || now_us - s->bye_us > LAST_SYNC_US;
}

/* The sender is gone. A stream that brought nothing has nothing to go on with. */
static bool is_given_up(struct stream *s, int64_t now_us)
{
    pthread_mutex_lock(&s->lock);
    bool yield = s->yield;
    pthread_mutex_unlock(&s->lock);
    return yield || s->frames_here == 0 || now_us - s->away_us >= AWAY_US;
}

static bool is_over(struct stream *s, int64_t now_us)
{
    return get_stop_us(s) != INT64_MAX || (s->bye_us && is_delivered(s, now_us)) ||
           (!link_is_open(&s->link) && is_given_up(s, now_us));
}

static int64_t next_deadline_us(struct stream *s, bool throttled, int64_t now_us)
{
    int64_t at_us = s->bye_us ? s->bye_us + LAST_SYNC_US : INT64_MAX;
    int64_t link_us = link_is_open(&s->link) ? link_deadline_us(&s->link) : s->away_us + AWAY_US;
    at_us = link_us < at_us ? link_us : at_us;
    return throttled && now_us + THROTTLE_US < at_us ? now_us + THROTTLE_US : at_us;
}

static short wait_for_work(struct stream *s, int64_t now_us)
{
    bool open = link_is_open(&s->link);
    bool throttled = open && record_sink_is_behind(s->record);
    struct pollfd fds[2] = {
        { .fd = s->wake_fd, .events = POLLIN },
        { .fd = open ? conn_fd(s->link.conn) : -1,
          .events = open ? link_events(&s->link, !throttled) : 0 },
    };
    thread_idle();
    if (throttled) {
        link_rest(&s->link, now_us);
    }
    (void)poll(fds, 2, clock_poll_ms(next_deadline_us(s, throttled, now_us), now_us));
    thread_busy();
    uint64_t n;
    if (fds[0].revents && read(s->wake_fd, &n, sizeof n) < 0) {
        /* Someone read it before: nothing lost. */
    }
    return fds[1].revents;
}

/* The last acknowledgement, and the end of the connection. */
static void part(struct stream *s)
{
    note_synced(s);
    if (link_is_open(&s->link)) {
        int64_t now_us = clock_now_us();
        bool hurry = get_stop_us(s) != INT64_MAX;
        send_ack(s);
        (void)link_send(&s->link, now_us); /* the sender finds out either way */
        link_say_goodbye(&s->link, now_us + (hurry ? GOODBYE_US / 2 : GOODBYE_US));
        link_close(&s->link);
    }
}

/* Makes the file plain, which takes as long as the disk does, or until somebody is in a hurry. */
static void finish_recording(struct stream *s)
{
    pthread_mutex_lock(&s->lock);
    s->finishing = s->record;
    int64_t deadline_us = s->stop_us;
    pthread_mutex_unlock(&s->lock);
    thread_idle();
    record_sink_finish(s->record, deadline_us);
    thread_busy();
    pthread_mutex_lock(&s->lock);
    s->finishing = NULL;
    pthread_mutex_unlock(&s->lock);
}

static void close_recording(struct stream *s)
{
    struct record_sink_totals t;
    finish_recording(s);
    part(s); /* what the last sync made safe need not be sent again to another receiver */
    record_sink_get_totals(s->record, &t);
    struct cJSON *files = cJSON_CreateArray();
    record_sink_add_files(s->record, files);
    pthread_mutex_lock(&s->lock);
    s->written += t.written;
    s->recording = (struct record_sink_totals){ 0 };
    struct cJSON *file;
    while ((file = cJSON_DetachItemFromArray(files, 0)) != NULL) {
        cJSON_AddItemToArray(s->files, file);
    }
    pthread_mutex_unlock(&s->lock);
    cJSON_Delete(files);
    stream_free_parts(s);
}

/* False: its sender came back while the file was being closed. */
static bool fall_asleep(struct stream *s, bool must)
{
    pthread_mutex_lock(&s->lock);
    bool asleep = must || !s->pending || s->stop_us != INT64_MAX;
    struct conn *late = asleep ? s->pending : NULL;
    s->pending = asleep ? NULL : s->pending;
    s->connected = false;
    s->active = !asleep;
    s->yield = false;
    pthread_mutex_unlock(&s->lock);
    conn_free(late);
    if (asleep && (s->last_seq > 0 || s->bye_us)) {
        s->env->ended(s->env->arg);
    }
    return asleep;
}

/* One recording, from a connection until its file is closed. */
static void record_stream(struct stream *s)
{
    int64_t now_us = clock_now_us();
    s->away_us = now_us;
    take_connection(s, now_us);
    while (!is_over(s, now_us)) {
        short revents = wait_for_work(s, now_us);
        now_us = clock_now_us();
        take_connection(s, now_us);
        if (link_is_open(&s->link)) {
            serve_link(s, revents, now_us);
        }
        refresh_totals(s, now_us);
    }
    if (s->bye_us) {
        part(s); /* the sender need not wait for the file to be made plain */
    }
    close_recording(s);
}

void stream_run(void *arg)
{
    struct stream *s = arg;
    record_stream(s);
    while (!fall_asleep(s, false)) {
        if (stream_begin(s) < 0) {
            (void)fall_asleep(s, true);
            return;
        }
        record_stream(s);
    }
}
