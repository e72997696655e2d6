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
#include "stream.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "config.h"
#include "link.h"
#include "pcs/clock.h"
#include "pcs/conn.h"
#include "pcs/frame.h"
#include "pcs/hub.h"
#include "pcs/log.h"
#include "pcs/pool.h"
#include "pcs/queue.h"
#include "pcs/stats.h"
#include "pcs/thread.h"
#include "record_sink.h"
#include "tally.h"

#define AWAY_US      (10 * CLOCK_S) /* a sender that is gone this long: its file is closed */
#define POOL_IDLE    ((size_t)2 << 20)
#define REFRESH_US   (500 * CLOCK_MS)
#define THROTTLE_US  (10 * CLOCK_MS)
#define LAST_SYNC_US (30 * CLOCK_S) /* after BYE, for a disk with a problem */

struct stream {
    const struct stream_env *env; /* fixed */
    uint8_t session[16];
    unsigned number;
    char name[WIRE_NAME_MAX + 1];
    int wake_fd;
    struct histogram latency;
    counter bytes;

    struct thread thread; /* the server's */

    /* the thread's own */
    struct link link;
    struct pool *pool;
    struct hub *hub;
    struct record_sink *record;
    int64_t refresh_us;
    struct format format;
    int64_t wall_offset_us; /* wall - monotonic clock of the sender */
    int64_t away_us;        /* since when there is no link */
    int64_t bye_us;         /* when BYE came, 0 = not yet */
    uint64_t frames_here;   /* given to this recording */
    uint64_t acked_seq;
    uint64_t synced_seq; /* over all recordings */

    pthread_mutex_t lock; /* guards the rest */
    struct conn *pending; /* a new connection waits to be taken over */
    struct wire_hello pending_hello;
    bool active, connected;
    uint64_t connections;
    int64_t stop_us; /* end by then; INT64_MAX = go on */
    struct tally tally;
    uint64_t written;                    /* by recordings closed so far */
    struct record_sink_totals recording; /* of the one going on, as of a moment ago */
    struct cJSON *files;
};

static void wake(void *arg)
{
    static const uint64_t one = 1;
    struct stream *s = arg;
    if (write(s->wake_fd, &one, sizeof one) < 0) {
        /* EAGAIN: it is awake already. */
    }
}

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
    log_info("%s now sends %s", s->name, format_describe(format, text, sizeof text));
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

static void send_ack(struct stream *s)
{
    uint64_t synced = record_sink_synced(s->record);
    s->synced_seq = synced > s->synced_seq ? synced : s->synced_seq;
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
    struct wire_message m = { .type = WIRE_REPLAY };
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

/* Has the stream come to its end? Then its file is closed until *deadline_us. */
static bool is_over(struct stream *s, int64_t now_us, int64_t *deadline_us)
{
    *deadline_us = get_stop_us(s);
    if (*deadline_us != INT64_MAX) {
        return true;
    }
    if (s->bye_us && (record_sink_end(s->record, s->tally.newest, now_us) ||
                      now_us - s->bye_us > LAST_SYNC_US)) {
        return true;
    }
    return !link_is_open(&s->link) && (s->bye_us || now_us - s->away_us >= AWAY_US);
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
    (void)poll(fds, 2, clock_poll_ms(next_deadline_us(s, throttled, now_us), now_us));
    thread_busy();
    uint64_t n;
    if (fds[0].revents && read(s->wake_fd, &n, sizeof n) < 0) {
        /* Someone read it before: nothing lost. */
    }
    return fds[1].revents;
}

static void close_recording(struct stream *s, int64_t deadline_us)
{
    struct record_sink_totals t;
    record_sink_finish(s->record, deadline_us);
    if (link_is_open(&s->link)) {
        send_ack(s); /* what the last sync made safe need not be sent again to another receiver */
        (void)link_send(&s->link, clock_now_us()); /* the sender finds out either way */
    }
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
    record_sink_free(s->record);
    s->record = NULL;
    hub_free(s->hub);
    s->hub = NULL;
}

/* Asleep from here on; a connection that came too late has to come again. */
static void fall_asleep(struct stream *s)
{
    pthread_mutex_lock(&s->lock);
    struct conn *late = s->pending;
    s->pending = NULL;
    s->connected = false;
    s->active = false;
    pthread_mutex_unlock(&s->lock);
    conn_free(late);
    s->env->ended(s->env->arg);
}

static void run(void *arg)
{
    struct stream *s = arg;
    int64_t now_us = clock_now_us(), deadline_us;
    s->away_us = now_us;
    while (!is_over(s, now_us, &deadline_us)) {
        short revents = wait_for_work(s, now_us);
        now_us = clock_now_us();
        take_connection(s, now_us);
        if (link_is_open(&s->link)) {
            serve_link(s, revents, now_us);
        }
        refresh_totals(s, now_us);
    }
    if (s->bye_us && link_is_open(&s->link)) {
        /* The sender need not wait for the file to be made plain: this is its last ACK. */
        send_ack(s);
        (void)link_send(&s->link, now_us); /* the sender finds out either way */
        link_close(&s->link);
    }
    close_recording(s, deadline_us);
    link_close(&s->link);
    fall_asleep(s);
}

/* ---- life ---- */

struct stream *stream_new(const struct stream_env *env, const struct wire_hello *hello,
                          unsigned number)
{
    struct stream *s = calloc(1, sizeof *s);
    if (!s) {
        return NULL;
    }
    pthread_mutex_init(&s->lock, NULL);
    s->env = env;
    s->number = number;
    s->stop_us = INT64_MAX;
    memcpy(s->session, hello->session, sizeof s->session);
    memcpy(s->name, *hello->name ? hello->name : "camera", sizeof s->name);
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->pool = pool_new(POOL_IDLE);
    s->files = cJSON_CreateArray();
    if (s->wake_fd < 0 || !s->pool || !s->files) {
        stream_free(s);
        return NULL;
    }
    return s;
}

void stream_free(struct stream *s)
{
    if (!s) {
        return;
    }
    thread_join(&s->thread);
    conn_free(s->pending);
    pool_free(s->pool);
    cJSON_Delete(s->files);
    if (s->wake_fd >= 0) {
        close(s->wake_fd);
    }
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static int start_recording(struct stream *s)
{
    struct err err = { 0 };
    struct record_sink *record;
    const struct record_sink_params params = { .config = s->env->config,
                                               .name = s->name,
                                               .number = s->number,
                                               .hub = s->hub,
                                               .wake = wake,
                                               .arg = s };
    int code = record_sink_start(&record, &params, &err);
    if (code < 0) {
        log_error("%s: %s", s->name, err.text);
        return code;
    }
    s->record = record;
    return 0;
}

static void undo_start(struct stream *s)
{
    if (s->record) {
        record_sink_finish(s->record, 0);
        record_sink_free(s->record);
        s->record = NULL;
    }
    pthread_mutex_lock(&s->lock);
    s->pending = NULL;
    s->active = false;
    pthread_mutex_unlock(&s->lock);
    hub_free(s->hub);
    s->hub = NULL;
}

/* A sleeping stream wakes up: hub, recorder and thread. */
static int start(struct stream *s)
{
    char name[16];
    (void)snprintf(name, sizeof name, "stream-%u", s->number);
    s->frames_here = 0;
    s->bye_us = 0;
    s->hub = hub_new();
    int code = s->hub ? start_recording(s) : -ENOMEM;
    if (code == 0) {
        code = thread_start(&s->thread, name, run, s);
    }
    if (code < 0) {
        undo_start(s);
    }
    return code;
}

int stream_attach(struct stream *s, struct conn *conn, const struct wire_hello *hello)
{
    pthread_mutex_lock(&s->lock);
    struct conn *older = s->pending;
    bool asleep = !s->active;
    s->pending = conn;
    s->pending_hello = *hello;
    s->active = true;
    pthread_mutex_unlock(&s->lock);
    conn_free(older);
    if (asleep) {
        thread_join(&s->thread);
        return start(s);
    }
    wake(s);
    return 0;
}

void stream_request_stop(struct stream *s, int64_t deadline_us)
{
    pthread_mutex_lock(&s->lock);
    s->stop_us = deadline_us;
    pthread_mutex_unlock(&s->lock);
    wake(s);
}

void stream_join(struct stream *s)
{
    thread_join(&s->thread);
}

bool stream_is(const struct stream *s, const uint8_t session[16])
{
    return memcmp(s->session, session, sizeof s->session) == 0;
}

bool stream_active(struct stream *s)
{
    pthread_mutex_lock(&s->lock);
    bool active = s->active;
    pthread_mutex_unlock(&s->lock);
    return active;
}

const char *stream_name(const struct stream *s)
{
    return s->name;
}

void stream_get_totals(struct stream *s, struct stream_totals *out)
{
    pthread_mutex_lock(&s->lock);
    *out = (struct stream_totals){ .received = s->tally.received,
                                   .lost = tally_lost(&s->tally),
                                   .written = s->written + s->recording.written,
                                   .bytes = counter_get(&s->bytes),
                                   .reconnects = s->connections > 0 ? s->connections - 1 : 0,
                                   .connected = s->connected,
                                   .recording_paused = s->recording.paused };
    pthread_mutex_unlock(&s->lock);
}

struct cJSON *stream_report(struct stream *s)
{
    struct stream_totals t;
    stream_get_totals(s, &t);
    struct cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "name", s->name);
    cJSON_AddNumberToObject(o, "received", (double)t.received);
    cJSON_AddNumberToObject(o, "written", (double)t.written);
    cJSON_AddNumberToObject(o, "lost", (double)t.lost);
    cJSON_AddNumberToObject(o, "late", 0); /* over TCP nothing comes too late to be kept */
    cJSON_AddNumberToObject(o, "bytes", (double)t.bytes);
    cJSON_AddNumberToObject(o, "reconnects", (double)t.reconnects);
    pthread_mutex_lock(&s->lock);
    cJSON_AddNumberToObject(o, "never_sent", (double)s->tally.never_sent);
    cJSON_AddNumberToObject(o, "again", (double)s->tally.again);
    cJSON_AddItemToObject(o, "files", cJSON_Duplicate(s->files, true));
    pthread_mutex_unlock(&s->lock);
    cJSON_AddItemToObject(o, "latency_ms", histogram_json(&s->latency));
    return o;
}
