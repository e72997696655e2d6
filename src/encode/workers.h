/* SPDX-License-Identifier: MIT */
/*
 * Workers: a few threads that share the parts of one job with the caller.
 * Life: workers_new/workers_free. Threads: workers_run from one thread at a time.
 */
#pragma once

struct workers;

/* `count` threads besides the caller; 0 is fine. NULL: no memory or threads. */
struct workers *workers_new(int count);
void workers_free(struct workers *w);

/*
 * Call job(arg, i) for every i in [0, count), on the workers and here, and return when all are done.
 * Parts are taken as threads become free: a worker that is late costs nothing.
 */
void workers_run(struct workers *w, void (*job)(void *arg, int index), void *arg, int count);

/* How many threads are worth having on this machine: its cores, at most `max`. */
int workers_cores(int max);
