/* SPDX-License-Identifier: MIT */
#include "pace.h"

#include <errno.h>
#include <poll.h>
#include <sys/timerfd.h>

#include "pcs/clock.h"
#include "pcs/stop.h"
#include "pcs/thread.h"

int pace_timer(void)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

int pace_wait(int timer, struct stop *stop, int64_t at_us)
{
    if (at_us <= clock_now_us()) {
        return stop_requested(stop) ? -ECANCELED : 0;
    }
    const struct itimerspec when = { .it_value = { .tv_sec = at_us / CLOCK_S,
                                                   .tv_nsec = at_us % CLOCK_S * 1000 } };
    if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL) < 0) {
        return -errno;
    }
    thread_idle();
    int code = stop_poll(stop, timer, POLLIN, -1);
    thread_busy();
    return code < 0 ? code : 0;
}
