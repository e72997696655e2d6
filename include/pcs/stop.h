/* SPDX-License-Identifier: MIT */
/*
 * Stop token: a flag and a pollable fd, set once, never cleared. Every blocking call of the program
 * listens to one, so nothing sleeps through a shutdown and nothing polls for it.
 * Life: stop_new/stop_free; the owner frees it after every thread that knows it is joined.
 * Threads: any; stop_request is also async-signal-safe.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct pollfd;
struct stop;

struct stop *stop_new(void); /* NULL: out of memory or fds */
void stop_free(struct stop *stop);
void stop_request(struct stop *stop);
bool stop_requested(const struct stop *stop);
int stop_fd(const struct stop *stop); /* readable once stopped; never read it */

/* Wait until stopped or `timeout_us` passed (negative: for ever). True when stopped. */
bool stop_wait(struct stop *stop, int64_t timeout_us);

/*
 * poll(2) on one fd and the token. Returns revents of `fd` (>0), 0 on time-out, -ECANCELED when
 * stopped, or another negative errno. EINTR is retried. Negative timeout: for ever.
 * `stop` may be NULL: only the fd counts.
 */
int stop_poll(struct stop *stop, int fd, short events, int64_t timeout_us);
