/* SPDX-License-Identifier: MIT */
/*
 * Stream: one run of one sender, known by its session id, across any number of connections. It has a
 * thread and a recorder while the sender is connected and, when it has sent something, for a while after;
 * then its file is closed, and the stream sleeps, remembering where it was, until the session comes back.
 *
 * Life: stream_new → stream_attach … → stream_stop → stream_free, by the server.
 * Threads: new, attach, stop and free by the server's; the getters from any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pcs/wire.h"

struct cJSON;
struct config;
struct conn;
struct stream;

struct stream_env {
    const struct config *config;
    const char *name, *software; /* ours, for the sender's log */
    const uint8_t *id;           /* 16 bytes: the same whenever this receiver is started again */
    /* A frame was received / a stream that brought something has ended and its file is closed. From
     * its thread. */
    void (*received)(void *arg);
    void (*ended)(void *arg);
    void *arg;
};

/* NULL: no memory. `number` is the sender's serial number. */
struct stream *stream_new(const struct stream_env *env, const struct wire_hello *hello,
                          unsigned number);
void stream_free(struct stream *s);

/*
 * Take over a connection that has said hello (an older one of this stream is dropped). 0, or a
 * negative errno: the connection stays the caller's.
 */
int stream_attach(struct stream *s, struct conn *conn, const struct wire_hello *hello);

/* Ask it to close its file and end until `deadline_us`; does not wait. */
void stream_request_stop(struct stream *s, int64_t deadline_us);
void stream_join(struct stream *s); /* wait for that; also reaps a stream that ended by itself */

/* If it only waits for its sender to come back, have it end now. True: its place will soon be free. */
bool stream_yield(struct stream *s);

bool stream_is(const struct stream *s, const uint8_t session[16]);
bool stream_active(struct stream *s); /* has a thread: connected, or expected back */

struct stream_totals {
    uint64_t received, lost, written, bytes, reconnects;
    bool active, connected, recording_paused;
};
void stream_get_totals(struct stream *s, struct stream_totals *out);
const char *stream_name(const struct stream *s);
struct cJSON *stream_report(struct stream *s); /* its object in the summary */
