/* SPDX-License-Identifier: MIT */
/* What stream.c (life, questions from outside) and stream_run.c (the thread) share. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "link.h"
#include "pcs/log.h"
#include "pcs/stats.h"
#include "pcs/thread.h"
#include "record_sink.h"
#include "stream.h"
#include "tally.h"

struct cJSON;
struct hub;
struct pool;

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
    struct log_limit format_limit;
    struct format format;
    int64_t wall_offset_us; /* wall - monotonic clock of the sender */
    int64_t away_us;        /* since when there is no link */
    int64_t bye_us;         /* when BYE came, 0 = not yet */
    uint64_t frames_here;   /* given to this recording */
    uint64_t last_seq;      /* newest that came, ever */
    uint64_t acked_seq;
    uint64_t synced_seq; /* over all recordings */

    pthread_mutex_t lock; /* guards the rest */
    struct conn *pending; /* a new connection waits to be taken over */
    struct wire_hello pending_hello;
    struct record_sink *finishing; /* `record` while it is being finished */
    bool active, connected;
    bool yield; /* end as soon as it is not connected */
    uint64_t connections;
    int64_t stop_us; /* end by then; INT64_MAX = go on */
    struct tally tally;
    uint64_t written;                    /* by recordings closed so far */
    struct record_sink_totals recording; /* of the one going on, as of a moment ago */
    struct cJSON *files;
};

/* Have the thread look at what changed; from any thread. */
void stream_wake(void *stream);

/* Buffers, hub and recorder, which a sleeping stream does without. To be freed, it must be finished. */
int stream_begin(struct stream *s);
void stream_free_parts(struct stream *s);

/* The thread: until the stream is over, its file closed and its end reported. */
void stream_run(void *stream);
