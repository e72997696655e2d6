/* SPDX-License-Identifier: MIT */
/*
 * Server: listens, or calls senders that listen, hears each new connection's hello, and hands it to the stream it belongs to. Who
 * has not said a proper hello costs a few hundred bytes and no thread, and is gone after 5 s.
 * Life: server_start → server_stop → server_free. Threads: main; the listener has its own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pcs/err.h"

struct cJSON;
struct config;
struct server;
struct stop;

/* `done` is requested when --once or --frames is fulfilled. */
int server_start(struct server **out, const struct config *config, struct stop *done,
                 struct err *err);
/* Stop listening, close every stream's file until `deadline_us`, join everything. */
void server_stop(struct server *s, int64_t deadline_us);
void server_free(struct server *s);

struct server_totals {
    unsigned active, connected; /* streams: with a thread, with a connection */
    unsigned paused;            /* recordings that wait for the disk */
    uint64_t received, lost, written, bytes;
};
void server_get_totals(struct server *s, struct server_totals *out);
struct cJSON *server_report(struct server *s); /* the summary's "streams" */
int server_port(const struct server *s);       /* 0: only calls */
