/* SPDX-License-Identifier: MIT */
/*
 * Handshakes: connections that have not said hello yet. A fixed number of places; when all are taken
 * the one that has waited longest goes. A peer that speaks something else is told so politely.
 * Life: init/finish in the caller's memory. Threads: the listener's.
 */
#pragma once

#include <stdint.h>

#include "pcs/log.h"
#include "pcs/sock.h"
#include "pcs/wire.h"

struct call;
struct conn;
struct pollfd;

#define HANDSHAKES 128

struct handshake {
    struct conn *conn; /* NULL: free place */
    struct call *call; /* we called; NULL: they came to us */
    int64_t since_us;
    char peer[SOCK_NAME_MAX];
    struct wire_rx rx;
};

struct handshakes {
    struct handshake place[HANDSHAKES];
    struct log_limit refused_limit; /* one voice for all of them, however many they are */
};

void handshakes_init(struct handshakes *h);
void handshakes_finish(struct handshakes *h);

/* Takes `conn`. `call`: who made it; NULL: it came by itself. */
void handshakes_add(struct handshakes *h, struct conn *conn, struct call *call, const char *peer,
                    int64_t now_us);

/* One pollfd a place (fd -1 where free). Returns when the first of them has waited long enough. */
int64_t handshakes_poll(const struct handshakes *h, struct pollfd *fds);

/*
 * After poll: reads, drops who is late or wrong, and calls `hello` for each that said it; the
 * connection is then the callee's.
 */
struct handshake_handler {
    void (*hello)(void *arg, struct conn *conn, struct call *call, const char *peer,
                  const struct wire_hello *m);
    void *arg;
};
void handshakes_serve(struct handshakes *h, const struct pollfd *fds, int64_t now_us,
                      const struct handshake_handler *handler);

/* Say why, as well as one send can, and close. */
void handshake_refuse(struct conn *conn, uint16_t code, const char *text);
