/* SPDX-License-Identifier: MIT */
#include "stream.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "pcs/conn.h"
#include "pcs/hub.h"
#include "pcs/log.h"
#include "pcs/pool.h"
#include "stream_private.h"

/* A recording lets go of a second of frames (--sync) at once: 1080p JPEG is 7 MB of them. */
#define POOL_IDLE ((size_t)8 << 20)

void stream_wake(void *arg)
{
    static const uint64_t one = 1;
    struct stream *s = arg;
    if (write(s->wake_fd, &one, sizeof one) < 0) {
        /* EAGAIN: it is awake already. */
    }
}

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
    (void)snprintf(s->name, sizeof s->name, "%s", *hello->name ? hello->name : "camera");
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->files = cJSON_CreateArray();
    if (s->wake_fd < 0 || !s->files) {
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
                                               .wake = stream_wake,
                                               .arg = s };
    int code = record_sink_start(&record, &params, &err);
    if (code < 0) {
        log_error("%s: %s", s->name, err.text);
        return code;
    }
    s->record = record;
    return 0;
}

void stream_free_parts(struct stream *s)
{
    record_sink_free(s->record);
    hub_free(s->hub);
    pool_free(s->pool);
    s->record = NULL;
    s->hub = NULL;
    s->pool = NULL;
}

int stream_begin(struct stream *s)
{
    s->frames_here = 0;
    s->bye_us = 0;
    s->pool = pool_new(POOL_IDLE);
    s->hub = hub_new();
    int code = s->pool && s->hub ? start_recording(s) : -ENOMEM;
    if (code < 0) {
        stream_free_parts(s);
    }
    return code;
}

/* A sleeping stream wakes up. */
static int start(struct stream *s)
{
    char name[16];
    (void)snprintf(name, sizeof name, "stream-%u", s->number);
    int code = stream_begin(s);
    if (code < 0) {
        return code;
    }
    code = thread_start(&s->thread, name, stream_run, s);
    if (code < 0) {
        record_sink_finish(s->record, 0);
        stream_free_parts(s);
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
    stream_wake(s);
    if (!asleep) {
        return 0;
    }
    thread_join(&s->thread);
    int code = start(s);
    if (code < 0) {
        pthread_mutex_lock(&s->lock);
        s->pending = NULL;
        s->active = false;
        pthread_mutex_unlock(&s->lock);
    }
    return code;
}

void stream_request_stop(struct stream *s, int64_t deadline_us)
{
    pthread_mutex_lock(&s->lock);
    s->stop_us = deadline_us;
    if (s->finishing) {
        record_sink_hurry(s->finishing, deadline_us);
    }
    pthread_mutex_unlock(&s->lock);
    stream_wake(s);
}

bool stream_yield(struct stream *s)
{
    pthread_mutex_lock(&s->lock);
    bool waits = s->active && !s->connected && !s->pending;
    s->yield |= waits;
    pthread_mutex_unlock(&s->lock);
    if (waits) {
        stream_wake(s);
    }
    return waits;
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
                                   .active = s->active,
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
