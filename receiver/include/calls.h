/* SPDX-License-Identifier: MIT */
/*
 * Calls: connections that we make, to senders that serve (--connect). Each is made again for ever, after
 * 0.2 s, doubling to 10 s, +-20 %; once a stream has it, it is left alone until it ends.
 * Life: calls_new … calls_free, after every connection of theirs has ended.
 * Threads: the listener's; a connection may end in any.
 */
#pragma once

#include <stdint.h>

#include "pcs/err.h"
#include "pcs/option.h"

struct call;
struct calls;
struct conn;
struct pollfd;

#define CALLS_MAX 256
#define CALLS_FDS (CALLS_MAX + 1)

/* "HOST:PORT", "HOST" (8888), "[IPV6]:PORT". The host's length in bytes, behind any '[', and the port.
 * 0, or -EINVAL with the line for the user. */
int call_parse(const char *text, int *host_size, int *port, struct err *err);

int calls_new(struct calls **out, const struct option_list *targets, struct err *err);
void calls_free(struct calls *c);

/* Fills CALLS_FDS. Returns when the next call is due. */
int64_t calls_poll(const struct calls *c, struct pollfd *fds);

/* After poll: begin what is due; `called` takes each connection that was made. */
void calls_serve(struct calls *c, int64_t now_us,
                 void (*called)(void *arg, struct conn *conn, struct call *call, const char *peer),
                 void *arg);

/* Its sender has said hello: if that lasts, the next break is a new one. */
void call_greeted(struct call *call);
