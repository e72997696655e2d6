/* SPDX-License-Identifier: MIT */
/*
 * Finisher: a thread that makes closed segments plain while the next one is being recorded. When it
 * falls behind, segments stay as they are (they play; the next start mends them).
 * Life: finisher_start → finisher_add … → finisher_stop. Threads: one at a time.
 */
#pragma once

#include <stdint.h>

struct finisher;
struct mp4_closed;

#define FINISHER_BACKLOG 32 /* each holds an fd */

/* Files are given up at `*deadline_us`, which may change meanwhile. 0 or a negative errno. */
int finisher_start(struct finisher **out, _Atomic int64_t *deadline_us);

/* Takes `file` over (its path and fd). */
void finisher_add(struct finisher *f, struct mp4_closed *file);

/* Finishes the backlog until the deadline, leaves the rest as it is, joins, frees. */
void finisher_stop(struct finisher *f);

/* Make one file plain in this thread, say how it went, close it. */
void finisher_do(struct mp4_closed *file, _Atomic int64_t *deadline_us);
