/* SPDX-License-Identifier: MIT */
#include "server.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "client.h"
#include "feed_internal.h"
#include "pcs/clock.h"
#include "pcs/log.h"
#include "pcs/serve.h"
#include "pcs/sock.h"
#include "pcs/tls.h"

#define SPARE_FDS        256 /* for the rest of the program */
#define CALLBACKS_A_POLL 32  /* then the kernel is asked who else has something to do */

struct web_job {
    struct web_job *next;
    void (*run)(void *arg);
    void *arg;
};

/* ---- in the web thread ---- */

void web_woken(struct web *w)
{
    if (!w->awake) {
        w->awake = true;
        thread_busy();
    }
}

void web_take_client(struct web *w)
{
    counter_add(&w->clients, 1);
    counter_add(&w->clients_total, 1);
}

void web_drop_client(struct web *w)
{
    atomic_fetch_sub_explicit(&w->clients, 1, memory_order_relaxed);
}

void web_bound_memory(struct web *w, const struct client *but)
{
    struct client *c, *next;
    for (c = TAILQ_FIRST(&w->waiting); c && w->buffered > w->max_buffered; c = next) {
        next = TAILQ_NEXT(c, link);
        if (c != but && client_holds(c)) {
            client_free(c);
        }
    }
}

static void begin_stop(struct web *w);

static void run_jobs(struct web *w)
{
    pthread_mutex_lock(&w->lock);
    struct web_job *job = w->first_job;
    w->first_job = NULL;
    w->last_job = &w->first_job;
    pthread_mutex_unlock(&w->lock);
    while (job) {
        struct web_job *next = job->next;
        job->run(job->arg);
        free(job);
        job = next;
    }
}

static void on_wake(int fd, short what, void *arg)
{
    struct web *w = arg;
    uint64_t n;
    (void)what;
    web_woken(w);
    (void)!read(fd, &n, sizeof n); /* nothing to read: woken for nothing */
    run_jobs(w);
    pthread_mutex_lock(&w->lock);
    bool stop = w->stop_wanted && !w->stopping;
    pthread_mutex_unlock(&w->lock);
    if (stop) {
        begin_stop(w);
    }
}

/* The waiting ones stand in the order of their deadlines: all have the same time. */
static void expire(struct web *w, int64_t now_us)
{
    struct client *c;
    while ((c = TAILQ_FIRST(&w->waiting)) != NULL && c->deadline_us <= now_us) {
        client_expire(c);
    }
    web_bound_memory(w, NULL);
}

static void on_sweep(int fd, short what, void *arg)
{
    struct web *w = arg;
    struct web_feed *feed;
    int64_t now_us = clock_now_us();
    (void)fd;
    (void)what;
    web_woken(w);
    expire(w, now_us);
    TAILQ_FOREACH(feed, &w->feeds, link)
    {
        feed_sweep(feed, now_us);
    }
    listeners_resume(w);
    (void)event_base_loopbreak(w->base); /* always works; see run */
}

/* ---- the end ---- */

static void close_all(struct client_list *list)
{
    struct client *c;
    while ((c = TAILQ_FIRST(list)) != NULL) {
        client_free(c);
    }
}

static void begin_stop(struct web *w)
{
    struct web_feed *feed;
    struct client *c, *next;
    w->stopping = true;
    listeners_close(w);
    for (c = TAILQ_FIRST(&w->waiting); c; c = next) {
        next = TAILQ_NEXT(c, link);
        if (c->state == CLIENT_READING) {
            client_free(c);
        }
    }
    TAILQ_FOREACH(feed, &w->feeds, link)
    {
        feed_end(feed);
    }
}

/* Who only lingers has all that is for him. */
static bool finished(const struct web *w)
{
    const struct client *c;
    if (!w->stopping || clock_now_us() >= w->stop_us) {
        return w->stopping;
    }
    TAILQ_FOREACH(c, &w->waiting, link)
    {
        if (c->state == CLIENT_SENDING) {
            return false;
        }
    }
    return TAILQ_EMPTY(&w->others);
}

/* The loop comes back when there is nothing more to do, and, however busy it is kept, with each sweep. */
static void run(void *arg)
{
    struct web *w = arg;
    const struct timeval soon = { .tv_usec = 20000 };
    bool hurried = false;
    while (!finished(w)) {
        if (w->stopping && !hurried) {
            hurried = event_add(w->sweep, &soon) == 0;
        }
        w->awake = false;
        thread_idle();
        if (event_base_loop(w->base, EVLOOP_ONCE) < 0) {
            log_error("web: the event loop has failed");
            break;
        }
    }
    thread_busy();
    begin_stop(w);
    close_all(&w->waiting);
    close_all(&w->others);
}

/* ---- for other threads ---- */

static void wake(struct web *w)
{
    static const uint64_t one = 1;
    (void)!write(w->wake_fd, &one, sizeof one); /* fails only when it is readable anyway */
}

bool web_post(struct web *w, void (*run_it)(void *arg), void *arg)
{
    struct web_job *job = malloc(sizeof *job);
    if (!job) {
        return false;
    }
    *job = (struct web_job){ .run = run_it, .arg = arg };
    pthread_mutex_lock(&w->lock);
    bool taken = !w->closed;
    if (taken) {
        *w->last_job = job;
        w->last_job = &job->next;
    }
    pthread_mutex_unlock(&w->lock);
    if (!taken) {
        free(job);
        return false;
    }
    wake(w);
    return true;
}

void web_get_stats(struct web *w, struct web_stats *out)
{
    *out = (struct web_stats){ .clients = counter_get(&w->clients),
                               .clients_total = counter_get(&w->clients_total),
                               .rejected = counter_get(&w->rejected),
                               .refused = counter_get(&w->refused),
                               .connections = counter_get(&w->open),
                               .requests = counter_get(&w->requests),
                               .frames = counter_get(&w->frames),
                               .bytes = counter_get(&w->bytes) };
}

void web_each_client(struct web *w, void (*each)(void *arg, const struct web_client_info *info),
                     void *arg)
{
    struct web_feed *feed;
    TAILQ_FOREACH(feed, &w->feeds, link)
    {
        feed_each(feed, each, arg);
    }
}

/* ---- life ---- */

/* Ten thousand connections need ten thousand descriptors. */
static size_t raise_limits(void)
{
    struct rlimit limit = { 0 };
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
        return 256;
    }
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); /* then with what there is */
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur > 2 * SPARE_FDS ? limit.rlim_cur - SPARE_FDS : limit.rlim_cur / 2;
}

/* Who has more to do each time it is asked stays active; without a limit the loop would see to nobody else. */
static struct event_base *make_base(void)
{
    static const struct timeval slice = { .tv_usec = 1000 };
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;
    if (config && event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0 &&
        event_config_require_features(config, EV_FEATURE_ET) == 0 &&
        event_config_set_max_dispatch_interval(config, &slice, CALLBACKS_A_POLL, 0) == 0) {
        base = event_base_new_with_config(config);
    }
    if (config) {
        event_config_free(config);
    }
    return base;
}

static int prepare(struct web *w)
{
    const struct timeval second = { .tv_sec = 1 };
    size_t most = w->tls ? WEB_TLS_CONNECTIONS : WEB_CONNECTIONS, fds = raise_limits();
    w->max_clients = (size_t)w->config.serve->max_clients;
    most += w->max_clients;
    w->max_connections = fds < most ? fds : most;
    w->max_buffered = WEB_BUFFERED_MAX;
    w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    w->base = make_base();
    if (!w->base || w->wake_fd < 0) {
        return -ENOMEM;
    }
    w->wake = event_new(w->base, w->wake_fd, EV_READ | EV_PERSIST, on_wake, w);
    w->sweep = event_new(w->base, -1, EV_PERSIST, on_sweep, w);
    bool ok = w->wake && w->sweep && event_add(w->wake, NULL) == 0 &&
              event_add(w->sweep, &second) == 0;
    return ok ? 0 : -ENOMEM;
}

int web_new(struct web **out, const struct web_config *config, struct err *err)
{
    struct web *w = calloc(1, sizeof *w);
    int code = 0;
    if (!w) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    w->config = *config;
    w->wake_fd = -1;
    w->last_job = &w->first_job;
    pthread_mutex_init(&w->lock, NULL);
    TAILQ_INIT(&w->waiting);
    TAILQ_INIT(&w->others);
    TAILQ_INIT(&w->feeds);
    (void)gethostname(w->host, sizeof w->host - 1); /* without a name none is ours */
    if (config->serve->tls_cert) {
        code = tls_server_new(&w->tls, config->serve->tls_cert, config->serve->tls_key, err);
    }
    if (code == 0 && (code = prepare(w)) < 0) {
        (void)err_set(err, code, "web server: %s", err_text(code));
    }
    if (code < 0) {
        web_free(w);
        return code;
    }
    *out = w;
    return 0;
}

void web_free(struct web *w)
{
    if (!w) {
        return;
    }
    struct web_feed *feed;
    while ((feed = TAILQ_FIRST(&w->feeds)) != NULL) {
        TAILQ_REMOVE(&w->feeds, feed, link);
        feed_free(feed);
    }
    listeners_close(w);
    if (w->wake) {
        event_free(w->wake);
    }
    if (w->sweep) {
        event_free(w->sweep);
    }
    if (w->base) {
        event_base_free(w->base);
    }
    if (w->wake_fd >= 0) {
        close(w->wake_fd);
    }
    tls_server_free(w->tls);
    pthread_mutex_destroy(&w->lock);
    free(w->token);
    free(w);
}

bool web_is_secure(const struct web *w)
{
    return w->tls != NULL;
}

int web_set_token(struct web *w, const char *token)
{
    free(w->token);
    w->token = token ? strdup(token) : NULL;
    return token && !w->token ? -ENOMEM : 0;
}

int web_start(struct web *w)
{
    int code = listeners_open(w);
    return code < 0 ? code : thread_start(&w->thread, "web", run, w);
}

void web_stop(struct web *w, int64_t deadline_us)
{
    pthread_mutex_lock(&w->lock);
    w->stop_wanted = true;
    w->stop_us = deadline_us;
    pthread_mutex_unlock(&w->lock);
    wake(w);
    thread_join(&w->thread);
    pthread_mutex_lock(&w->lock);
    w->closed = true;
    pthread_mutex_unlock(&w->lock);
    run_jobs(w); /* who waits for an answer hears that nobody does */
}
