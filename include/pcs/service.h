/* SPDX-License-Identifier: MIT */
/*
 * The life of a daemon's main thread: signals as events, systemd's readiness and watchdog.
 * Everything else runs in threads that block all signals.
 * Life: service_start before the first thread, service_finish last. Threads: main only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pcs/err.h"

struct stop;
struct service;

enum service_event {
    SERVICE_TICK,   /* the deadline passed */
    SERVICE_STOP,   /* the stop token is set: SIGINT, SIGTERM or someone called stop_request */
    SERVICE_RELOAD, /* SIGHUP */
    SERVICE_USR1,   /* SIGUSR1 */
    SERVICE_CALLED, /* service_work's fd is readable */
};

/*
 * Blocks SIGINT, SIGTERM, SIGHUP, SIGUSR1 (read through a signalfd) and ignores SIGPIPE. The first SIGINT or
 * SIGTERM requests `stop`; a second SIGINT ends the process at once with status 1.
 */
int service_start(struct service **out, struct stop *stop, struct err *err);
void service_finish(struct service *s);

/* From here on only a signal is a SERVICE_STOP: the work has ended by itself and is being delivered. */
void service_draining(struct service *s);

/* Wait for the next event; feeds systemd's watchdog while no thread hangs. */
enum service_event service_wait(struct service *s, int64_t deadline_us);

/* What main does between start and stop, besides waiting. */
struct service_work {
    int64_t duration_us;        /* 0 = no end */
    const int64_t *interval_us; /* of `tick`; 0 = never; read again after each call */
    void (*tick)(void *arg, int64_t now_us);
    void (*reload)(void *arg); /* SIGHUP */
    void (*usr1)(void *arg);   /* SIGUSR1; NULL: it means nothing to this program */
    void (*called)(void *arg); /* `call_fd` is readable, and is not after it; NULL: there is none */
    int call_fd;
    void *arg;
};

/* Until SERVICE_STOP or the end of the duration. */
void service_run(struct service *s, const struct service_work *work);

/* Keep feeding the watchdog and heeding a second SIGINT while main is busy stopping the rest. */
void service_stopping(struct service *s);
void service_ready(struct service *s, const char *status); /* READY=1 STATUS=… */
void service_status(struct service *s, const char *status);
bool service_interrupted(const struct service *s); /* a signal, not a natural end, stopped us */
