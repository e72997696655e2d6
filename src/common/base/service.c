/* SPDX-License-Identifier: MIT */
/*
 * Signals come through a signalfd while main waits here. Once it is busy stopping the rest, nobody
 * reads that, so SIGINT gets a plain handler then, and a thread feeds the watchdog.
 */
#include "pcs/service.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>
#ifdef PCS_HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "pcs/clock.h"
#include "pcs/log.h"
#include "pcs/stop.h"
#include "pcs/thread.h"

#define ECHO_US (100 * CLOCK_MS)

/* Who supervises us. */
struct supervisor {
    void (*tell)(const char *state); /* sd_notify(3)'s assignments */
    int64_t (*watchdog_us)(void);    /* 0: it does not watch */
};

#ifdef PCS_HAVE_SYSTEMD
static void systemd_tell(const char *state)
{
    (void)sd_notify(0, state); /* not run by systemd, or it is gone: nothing to do about it */
}

static int64_t systemd_watchdog_us(void)
{
    uint64_t usec = 0;
    return sd_watchdog_enabled(0, &usec) > 0 ? (int64_t)usec : 0;
}

static const struct supervisor supervisor = { systemd_tell, systemd_watchdog_us };
#else
static void nobody_tell(const char *state)
{
    (void)state;
}

static int64_t nobody_watchdog_us(void)
{
    return 0;
}

static const struct supervisor supervisor = { nobody_tell, nobody_watchdog_us };
#endif

struct service {
    struct stop *stop; /* the caller's */
    int signal_fd;
    bool interrupted, reload, usr1, draining;
    int call_fd; /* of the work; -1 = none */
    bool called;
    unsigned sigints;
    /* The watchdog: fed by main until service_stopping, then by the feeder. */
    int64_t watchdog_us, next_feed_us; /* 0: nobody watches; INT64_MAX: never */
    struct log_limit hang_limit;
    struct stop *feeder_stop;
    struct thread feeder;
};

/* ---- signals ---- */

/* When the first SIGINT came: for the handler, which has no argument of ours. */
static _Atomic int64_t first_sigint_us;

/* timeout(1) and some shells send one interruption to us and again to our group: that is no second
 * wish of a person. Async-signal-safe. */
static bool is_echo(void)
{
    return clock_now_us() - atomic_load(&first_sigint_us) < ECHO_US;
}

static void quit_now(int signal)
{
    if (is_echo()) {
        return;
    }
    static const char line[] = "interrupted again: quitting at once, unfinished\n";
    (void)signal;
    (void)!write(STDERR_FILENO, line, sizeof(line) - 1); /* nobody is left to tell */
    _exit(1);
}

static void set_handler(int signal, void (*handler)(int))
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
    sigemptyset(&action.sa_mask);
    (void)sigaction(signal, &action, NULL); /* fails only for an invalid signal */
}

/* The first SIGINT while stopping for another reason: as good as stopped, the next one counts. */
static void heed_next(int signal)
{
    atomic_store(&first_sigint_us, clock_now_us());
    set_handler(signal, quit_now);
}

static void our_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGUSR1);
}

static void take_signal(struct service *s, int signal)
{
    if (signal == SIGHUP || signal == SIGUSR1) {
        s->reload |= signal == SIGHUP;
        s->usr1 |= signal == SIGUSR1;
        return;
    }
    if (signal == SIGINT && s->sigints++ > 0) {
        quit_now(signal);
    } else if (signal == SIGINT) {
        atomic_store(&first_sigint_us, clock_now_us());
    }
    if (!stop_requested(s->stop))
        log_info("%s: stopping", signal == SIGINT ? "interrupted" : "terminated");
    s->interrupted = true;
    stop_request(s->stop);
}

static void take_signals(struct service *s)
{
    struct signalfd_siginfo info;
    while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        take_signal(s, (int)info.ssi_signo);
}

/* ---- the watchdog ---- */

static void feed(struct service *s, int64_t now_us)
{
    char name[16] = "";
    int64_t busy_us = thread_longest_busy_us(now_us, name);
    s->next_feed_us = now_us + s->watchdog_us / 2;
    if (busy_us < s->watchdog_us)
        supervisor.tell("WATCHDOG=1");
    else
        log_limited(&s->hang_limit, s->watchdog_us, LOG_ERROR,
                    "thread %s hangs since %lld s: the watchdog will restart us", name,
                    (long long)(busy_us / CLOCK_S));
}

static void feed_when_due(struct service *s, int64_t now_us)
{
    if (now_us >= s->next_feed_us)
        feed(s, now_us);
}

static void run_feeder(void *arg)
{
    struct service *s = arg;
    do {
        feed(s, clock_now_us());
    } while (!stop_wait(s->feeder_stop, s->watchdog_us / 2));
}

static void start_feeder(struct service *s)
{
    if (s->watchdog_us == 0 || s->feeder.started)
        return;
    s->feeder_stop = stop_new();
    int ret = s->feeder_stop ? thread_start(&s->feeder, "watchdog", run_feeder, s) : -ENOMEM;
    if (ret < 0)
        log_warn("watchdog: nobody feeds it while we stop: %s", err_text(ret));
}

/* ---- life ---- */

int service_start(struct service **out, struct stop *stop, struct err *err)
{
    struct service *s = calloc(1, sizeof(*s));
    if (!s)
        return err_set(err, -ENOMEM, "out of memory");
    sigset_t set;
    our_signals(&set);
    int ret = -pthread_sigmask(SIG_BLOCK, &set, NULL);
    s->signal_fd = ret == 0 ? signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK) : -1;
    if (s->signal_fd < 0) {
        ret = ret ? ret : -errno;
        free(s);
        return err_set(err, ret, "cannot receive signals: %s", err_text(ret));
    }
    set_handler(SIGPIPE, SIG_IGN);
    s->stop = stop;
    s->call_fd = -1;
    s->watchdog_us = supervisor.watchdog_us();
    s->next_feed_us = s->watchdog_us ? 0 : INT64_MAX;
    *out = s;
    return 0;
}

/* The signals stay as they are: the process is about to end, and a late SIGINT must not change how. */
void service_finish(struct service *s)
{
    if (!s)
        return;
    if (s->feeder_stop)
        stop_request(s->feeder_stop);
    thread_join(&s->feeder);
    stop_free(s->feeder_stop);
    close(s->signal_fd);
    free(s);
}

static void wait_until(struct service *s, int64_t now_us, int64_t deadline_us)
{
    struct pollfd fds[] = { { .fd = s->signal_fd, .events = POLLIN },
                            { .fd = s->draining ? -1 : stop_fd(s->stop), .events = POLLIN },
                            { .fd = s->call_fd, .events = POLLIN } };
    int64_t until_us = deadline_us < s->next_feed_us ? deadline_us : s->next_feed_us;
    /* The caller looks at everything else anyway. */
    s->called = poll(fds, 3, clock_poll_ms(until_us, now_us)) > 0 && fds[2].revents;
}

enum service_event service_wait(struct service *s, int64_t deadline_us)
{
    for (;;) {
        int64_t now_us = clock_now_us();
        take_signals(s);
        feed_when_due(s, now_us);
        if (s->interrupted || (!s->draining && stop_requested(s->stop)))
            return SERVICE_STOP;
        if (s->reload) {
            s->reload = false;
            return SERVICE_RELOAD;
        }
        if (s->usr1) {
            s->usr1 = false;
            return SERVICE_USR1;
        }
        if (s->called) {
            s->called = false;
            return SERVICE_CALLED;
        }
        if (now_us >= deadline_us)
            return SERVICE_TICK;
        wait_until(s, now_us, deadline_us);
    }
}

static int64_t next_after(int64_t now_us, int64_t interval_us)
{
    return interval_us > 0 ? now_us + interval_us : INT64_MAX;
}

void service_run(struct service *s, const struct service_work *work)
{
    int64_t now_us = clock_now_us();
    int64_t interval_us = *work->interval_us;
    int64_t end_us = next_after(now_us, work->duration_us);
    int64_t tick_us = next_after(now_us, interval_us);
    enum service_event event;
    s->call_fd = work->called ? work->call_fd : -1;
    while ((event = service_wait(s, tick_us < end_us ? tick_us : end_us)) != SERVICE_STOP &&
           (now_us = clock_now_us()) < end_us) {
        if (event == SERVICE_RELOAD) {
            work->reload(work->arg);
        } else if (event == SERVICE_CALLED) {
            work->called(work->arg);
        } else if (event == SERVICE_TICK) {
            work->tick(work->arg, now_us);
        } else if (work->usr1) {
            work->usr1(work->arg);
        }
        if (event == SERVICE_TICK || *work->interval_us != interval_us) {
            interval_us = *work->interval_us;
            tick_us = next_after(now_us, interval_us);
        }
    }
    s->call_fd = -1;
}

void service_draining(struct service *s)
{
    s->draining = true;
}

void service_stopping(struct service *s)
{
    sigset_t set;
    supervisor.tell("STOPPING=1");
    start_feeder(s);
    take_signals(s);
    set_handler(SIGINT, s->sigints ? quit_now : heed_next);
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL); /* cannot fail with these arguments */
}

/* One line: the protocol separates assignments by newlines. */
static void tell_status(const char *prefix, const char *status)
{
    char state[400];
    size_t len = strlen(prefix);
    snprintf(state, sizeof(state), "%s%s", prefix, status);
    for (char *p = state + len; (p = strchr(p, '\n'));)
        *p = ' ';
    supervisor.tell(state);
}

void service_ready(struct service *s, const char *status)
{
    (void)s;
    tell_status("READY=1\nSTATUS=", status);
}

void service_status(struct service *s, const char *status)
{
    (void)s;
    tell_status("STATUS=", status);
}

bool service_interrupted(const struct service *s)
{
    return s->interrupted;
}
