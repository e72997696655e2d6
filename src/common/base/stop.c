/* SPDX-License-Identifier: MIT */
#include "pcs/stop.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "pcs/clock.h"

struct stop {
    atomic_bool requested;
    int fd;
};

struct stop *stop_new(void)
{
    struct stop *stop = calloc(1, sizeof *stop);
    if (!stop) {
        return NULL;
    }
    stop->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (stop->fd < 0) {
        free(stop);
        return NULL;
    }
    return stop;
}

void stop_free(struct stop *stop)
{
    if (stop) {
        close(stop->fd);
        free(stop);
    }
}

void stop_request(struct stop *stop)
{
    static const uint64_t one = 1;
    atomic_store(&stop->requested, true);
    if (write(stop->fd, &one, sizeof one) < 0) {
        /* Only EAGAIN is possible: the counter is full, so the fd is readable already. */
    }
}

bool stop_requested(const struct stop *stop)
{
    return atomic_load_explicit(&stop->requested, memory_order_acquire);
}

int stop_fd(const struct stop *stop)
{
    return stop->fd;
}

bool stop_wait(struct stop *stop, int64_t timeout_us)
{
    return stop_poll(stop, -1, 0, timeout_us) == -ECANCELED;
}

int stop_poll(struct stop *stop, int fd, short events, int64_t timeout_us)
{
    struct pollfd fds[2] = { { .fd = stop ? stop->fd : -1, .events = POLLIN },
                             { .fd = fd, .events = events } };
    int64_t deadline_us = timeout_us == 0 ? 0 : clock_deadline_us(timeout_us);
    for (;;) {
        /* "At once" and "for ever" need no clock; else it is read again after EINTR. */
        bool timed = deadline_us != 0 && deadline_us != INT64_MAX;
        int n = poll(fds, 2, clock_poll_ms(deadline_us, timed ? clock_now_us() : 0));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (fds[0].revents) {
            return -ECANCELED;
        }
        return n == 0 ? 0 : fds[1].revents;
    }
}
