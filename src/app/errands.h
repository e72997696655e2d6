/* SPDX-License-Identifier: MIT */
/*
 * Errands: what other threads want done in the one that may do it. Each is run once, there; or, when that
 * thread is about to end, called off, by whoever ends it.
 * Life: errands_new → errands_close → errands_free. Threads: put: any; fd, run: the one that does them.
 */
#pragma once

#include <stdbool.h>

/* Part of its owner, who keeps it until it has been run. */
struct errand {
    struct errand *next;
    void (*run)(struct errand *errand, bool called_off);
};

struct errands;

struct errands *errands_new(void); /* NULL: out of memory or fds */
void errands_free(struct errands *errands);
bool errands_put(struct errands *errands, struct errand *errand); /* false: closed */
int errands_fd(const struct errands *errands);                    /* readable: run them */
void errands_run(struct errands *errands);   /* all that are there; never waits */
void errands_close(struct errands *errands); /* no more, and those that wait are called off */
