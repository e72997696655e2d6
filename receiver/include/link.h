/* SPDX-License-Identifier: MIT */
/*
 * Link: one connection of a stream: messages in and out, clock probes. It knows nothing of files.
 * Life: link_open … link_close. Threads: the stream's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "clocksync.h"
#include "pcs/err.h"
#include "pcs/wire.h"
#include "pcs/wire_tx.h"

struct conn;
struct frame;
struct pool;

struct link_handler {
    /* A FRAME with its bytes (the reference is the handler's now). */
    void (*frame)(void *arg, const struct wire_frame *head, struct frame *frame);
    void (*format)(void *arg, const struct format *format);
    void (*bye)(void *arg, const struct wire_bye *bye);
    void *arg;
};

struct link {
    struct conn *conn;
    struct wire_rx rx;
    struct wire_tx tx;
    struct clocksync clock;
    struct link_handler handler;
    unsigned probes; /* sent */
    int64_t next_probe_us, heard_us, stuck_us;
    struct err error; /* why it ended */
};

/* Takes `conn`. Frames come from `pool`. */
void link_open(struct link *l, struct conn *conn, struct pool *pool,
               const struct link_handler *handler, int64_t now_us);
void link_close(struct link *l);
bool link_is_open(const struct link *l);

/* Read what has arrived and hand it on. Negative: dead, l->error says why. */
int link_receive(struct link *l);
/* Write what is waiting; clock probes when due. */
int link_send(struct link *l, int64_t now_us);
/* Queue a message; one that does not fit because the peer does not read is dropped. */
void link_put(struct link *l, const struct wire_message *m);

/* Closing with bytes unread would reset the connection and could destroy what was just sent: say that
 * nothing more will come and read until the sender closes, or the deadline. */
void link_say_goodbye(struct link *l, int64_t deadline_us);

/* Not reading for now is our own wish: that the sender is not heard does not count. */
void link_rest(struct link *l, int64_t now_us);

short link_events(const struct link *l, bool reading);
int64_t link_deadline_us(const struct link *l); /* next probe, or silence */
int link_check(struct link *l, int64_t now_us); /* silent or stuck for too long? */
