/* SPDX-License-Identifier: MIT */
/*
 * One connection to a receiver, whoever made it: hello, welcome, frames out, acknowledgements in. The
 * replay buffer outlives it; a link only moves its cursor.
 * Life: link_open … link_close by its sink's thread. Threads: that one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pcs/err.h"
#include "pcs/format.h"
#include "pcs/log.h"
#include "pcs/stats.h"
#include "pcs/wire.h"
#include "pcs/wire_tx.h"
#include "replay.h"

struct conn;

/* Who is to be served: the replay buffer of this receiver. NULL, with why in err: nobody. */
struct link_host {
    struct replay *(*welcomed)(void *arg, const struct wire_welcome *welcome, struct err *err);
    void *arg;
    struct histogram *latency; /* capture → handed to the kernel */
    struct log_limit *log;     /* for what any peer can have us say again and again */
};

struct link {
    struct conn *conn;
    struct link_host host;
    struct replay *replay; /* since it is welcomed */
    struct wire_tx tx;
    struct wire_rx rx;
    struct format announced;
    bool welcomed, rewound, bye_sent, key_wanted;
    bool more;        /* there was more to send than one turn allows */
    int64_t heard_us; /* last time the peer said anything */
    struct err error; /* why it ended */
};

/* Take a connected socket and greet. 0 or a negative errno (the fd is closed). */
int link_open(struct link *l, int fd, const struct link_host *host, const struct wire_hello *hello);
void link_close(struct link *l);

/* Bytes have arrived: read and act on them. Negative: the link is dead, l->error says why. */
int link_receive(struct link *l, int64_t now_us);

/*
 * Send what is due and the socket takes. `max_latency_us` 0: everything in order. `end`: nothing more
 * will be added to the replay buffer, so finish with BYE. Negative: dead.
 */
int link_send(struct link *l, int64_t now_us, int64_t max_latency_us, bool end);

short link_events(const struct link *l);        /* for poll */
bool link_idle(const struct link *l);           /* all that there was is sent */
bool link_finished(const struct link *l);       /* BYE is sent and everything confirmed */
int64_t link_deadline_us(const struct link *l); /* silent until then: dead */
