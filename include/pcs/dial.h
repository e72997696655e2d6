/* SPDX-License-Identifier: MIT */
/*
 * Dial: a TCP connection in the making, on a thread of its own, so that its owner goes on working and
 * can leave at any moment. Nothing interrupts a name look-up, and one that nobody answers takes half a
 * minute: a dial that is given up during one is left behind, and its thread frees it when the look-up
 * ends. It is the one thread here that is not joined.
 * Life: dial_start … dial_free, which never waits. Threads: its owner's.
 */
#pragma once

#include <stdint.h>

#include "pcs/err.h"
#include "pcs/sock.h"

struct dial;

/* Look `host` up and try its addresses in turn, each at most `timeout_us`. 0 or a negative errno. */
int dial_start(struct dial **out, const char *host, int port, int64_t timeout_us);
/* Only look it up, for a library that will do so again and cannot be interrupted in it: dial_take gives
 * no socket (-1). */
int dial_lookup(struct dial **out, const char *host);
void dial_free(struct dial *d);

int dial_fd(const struct dial *d); /* readable once it is decided */

/* -EAGAIN: not yet. 0: *out is the socket, the caller's now, and `name` its peer; or what went wrong. */
int dial_take(struct dial *d, int *out, char name[SOCK_NAME_MAX], struct err *err);
