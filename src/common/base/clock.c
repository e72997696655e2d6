/* SPDX-License-Identifier: MIT */
#include "pcs/clock.h"

#include <limits.h>
#include <stdlib.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return ts.tv_sec * CLOCK_S + ts.tv_nsec / 1000;
}

int64_t clock_now_us(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_wall_us(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t clock_thread_us(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

void wall_clock_look(struct wall_clock *w, int64_t before_us, int64_t wall_us, int64_t after_us)
{
    int64_t unsure_us = (after_us - before_us) / 2;
    int64_t offset_us = wall_us - before_us - unsure_us;
    if (!w->known || llabs(offset_us - w->offset_us) > WALL_STEP_US + unsure_us) {
        *w = (struct wall_clock){ true, offset_us };
    }
}

int64_t wall_clock_at(struct wall_clock *w, int64_t at_us)
{
    int64_t before_us = clock_now_us(), wall_us = clock_wall_us();
    wall_clock_look(w, before_us, wall_us, clock_now_us());
    return at_us + w->offset_us;
}

int64_t clock_deadline_us(int64_t timeout_us)
{
    int64_t now_us = clock_now_us();
    return timeout_us < 0 || timeout_us > INT64_MAX - now_us ? INT64_MAX : now_us + timeout_us;
}

int clock_poll_ms(int64_t deadline_us, int64_t now_us)
{
    if (deadline_us == INT64_MAX) {
        return -1;
    }
    if (deadline_us <= now_us) {
        return 0;
    }
    int64_t ms = (deadline_us - now_us - 1) / CLOCK_MS + 1;
    return ms < INT_MAX ? (int)ms : INT_MAX;
}
