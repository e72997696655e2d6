/* SPDX-License-Identifier: MIT */
#include "pcs/dial.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pcs/stop.h"
#include "pcs/thread.h"

struct dial {
    atomic_uint refs; /* the owner's and the thread's */
    char *host;
    int port;
    int64_t timeout_us;
    bool lookup_only;
    struct stop *given_up, *decided;
    struct thread thread;

    /* the thread's until it has decided, then the owner's */
    int fd, code;
    char name[SOCK_NAME_MAX];
    struct err err;
};

static void unref(struct dial *d)
{
    if (atomic_fetch_sub(&d->refs, 1) != 1) {
        return;
    }
    if (d->fd >= 0) {
        close(d->fd);
    }
    stop_free(d->given_up);
    stop_free(d->decided);
    free(d->host);
    free(d);
}

static void run(void *arg)
{
    struct dial *d = arg;
    int fd = -1;
    d->code = d->lookup_only ? sock_lookup(d->host, &d->err)
                             : sock_connect(d->host, d->port, d->given_up, d->timeout_us, &fd,
                                            d->name, &d->err);
    d->fd = fd;
    stop_request(d->decided);
    unref(d);
}

static struct dial *dial_new(const char *host, int port, int64_t timeout_us)
{
    struct dial *d = calloc(1, sizeof *d);
    if (!d) {
        return NULL;
    }
    atomic_init(&d->refs, 1);
    d->fd = -1;
    d->port = port;
    d->timeout_us = timeout_us;
    d->host = strdup(host);
    d->given_up = stop_new();
    d->decided = stop_new();
    return d;
}

/* Takes `d` over, NULL too. */
static int start(struct dial **out, struct dial *d)
{
    int code = d && d->host && d->given_up && d->decided ? 0 : -ENOMEM;
    if (code == 0) {
        atomic_fetch_add(&d->refs, 1);
        code = thread_start(&d->thread, "dial", run, d);
        if (code < 0) {
            atomic_fetch_sub(&d->refs, 1);
        }
    }
    if (code < 0) {
        dial_free(d);
        return code;
    }
    (void)pthread_detach(d->thread.id); /* cannot fail: it was just made, and nobody joins it */
    *out = d;
    return 0;
}

int dial_start(struct dial **out, const char *host, int port, int64_t timeout_us)
{
    return start(out, dial_new(host, port, timeout_us));
}

int dial_lookup(struct dial **out, const char *host)
{
    struct dial *d = dial_new(host, 0, 0);
    if (d) {
        d->lookup_only = true;
    }
    return start(out, d);
}

void dial_free(struct dial *d)
{
    if (d) {
        if (d->given_up) {
            stop_request(d->given_up);
        }
        unref(d);
    }
}

int dial_fd(const struct dial *d)
{
    return stop_fd(d->decided);
}

int dial_take(struct dial *d, int *out, char name[SOCK_NAME_MAX], struct err *err)
{
    if (!stop_requested(d->decided)) {
        return -EAGAIN;
    }
    if (d->code < 0) {
        *err = d->err;
        return d->code;
    }
    memcpy(name, d->name, sizeof d->name);
    *out = d->fd;
    d->fd = -1;
    return 0;
}
