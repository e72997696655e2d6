/* SPDX-License-Identifier: MIT */
#include "errands.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct errands {
    int fd;
    pthread_mutex_t lock; /* guards what follows */
    struct errand *first, **last;
    bool closed;
};

struct errands *errands_new(void)
{
    struct errands *e = calloc(1, sizeof *e);
    if (!e) {
        return NULL;
    }
    pthread_mutex_init(&e->lock, NULL);
    e->last = &e->first;
    e->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (e->fd < 0) {
        errands_free(e);
        return NULL;
    }
    return e;
}

void errands_free(struct errands *e)
{
    if (!e) {
        return;
    }
    if (e->fd >= 0) {
        close(e->fd);
    }
    pthread_mutex_destroy(&e->lock);
    free(e);
}

bool errands_put(struct errands *e, struct errand *errand)
{
    static const uint64_t one = 1;
    errand->next = NULL;
    pthread_mutex_lock(&e->lock);
    bool taken = !e->closed;
    if (taken) {
        *e->last = errand;
        e->last = &errand->next;
    }
    pthread_mutex_unlock(&e->lock);
    if (taken) {
        (void)!write(e->fd, &one, sizeof one); /* fails only when it is readable anyway */
    }
    return taken;
}

int errands_fd(const struct errands *e)
{
    return e->fd;
}

static void take_all(struct errands *e, bool last)
{
    pthread_mutex_lock(&e->lock);
    struct errand *next, *errand = e->first;
    e->first = NULL;
    e->last = &e->first;
    e->closed |= last;
    pthread_mutex_unlock(&e->lock);
    for (; errand; errand = next) {
        next = errand->next; /* it may be gone when it has been run */
        errand->run(errand, last);
    }
}

void errands_run(struct errands *e)
{
    uint64_t n;
    (void)!read(e->fd, &n, sizeof n); /* nothing to read: nothing to do */
    take_all(e, false);
}

void errands_close(struct errands *e)
{
    take_all(e, true);
}
