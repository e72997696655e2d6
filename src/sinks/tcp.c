/* SPDX-License-Identifier: MIT */
#include "tcp.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pcs/backoff.h"
#include "pcs/clock.h"
#include "pcs/hub.h"
#include "pcs/queue.h"
#include "pcs/serve.h"
#include "pcs/stop.h"
#include "port.h"
#include "tcp_private.h"

#define QUEUE_FRAMES 65536

struct tcp_config {
    const char *port; /* NULL: off */
    int64_t buffer;
};

static const struct option_def tcp_options[] = {
    { .name = "tcp-port",
      .type = OPTION_STRING,
      .offset = offsetof(struct tcp_config, port),
      .arg = "PORT",
      .help = "serve video-receivers that connect here (8888 is usual; 0 = any free one)" },
    { .name = "tcp-buffer",
      .type = OPTION_SIZE,
      .offset = offsetof(struct tcp_config, buffer),
      .value = "64M",
      .min = 1 << 20,
      .max = (int64_t)1 << 40,
      .arg = "SIZE",
      .help = "frames kept for those of them that are slow, or away for up to a minute" },
};

static bool tcp_wanted(const void *config)
{
    return ((const struct tcp_config *)config)->port != NULL;
}

static void tcp_serve(void *config)
{
    struct tcp_config *c = config;
    c->port = c->port ? c->port : "8888";
}

static int tcp_check(const void *config, struct err *err)
{
    int port = port_parse("tcp-port", ((const struct tcp_config *)config)->port, err);
    return port < 0 ? port : 0;
}

/* ---- the sink ---- */

static void tcp_free(struct sink *s)
{
    if (!s) {
        return;
    }
    if (s->queue) {
        hub_unsubscribe(s->env->hub, s->queue);
        queue_unref(s->queue);
    }
    guests_finish(&s->guests);
    stop_free(s->stop);
    stop_free(s->done);
    if (s->listener >= 0) {
        close(s->listener);
    }
    pthread_mutex_destroy(&s->lock);
    free(s->callers);
    free(s->fds);
    free(s);
}

static struct sink *tcp_new(const struct tcp_config *config, const struct sink_env *env)
{
    struct sink *s = calloc(1, sizeof *s);
    if (!s) {
        return NULL;
    }
    const struct queue_limits limits = { .policy = QUEUE_ALL,
                                         .max_frames = QUEUE_FRAMES,
                                         .max_bytes = (size_t)config->buffer };
    pthread_mutex_init(&s->lock, NULL);
    s->env = env;
    s->listener = -1;
    s->idle = true;
    s->stop = stop_new();
    s->done = stop_new();
    s->queue = queue_new(&limits);
    random_bytes(s->session, sizeof s->session);
    guests_init(&s->guests, (size_t)env->serve->max_clients, (size_t)config->buffer);
    return s;
}

static int listen_at(struct sink *s, int port, struct err *err)
{
    const char *address = s->env->serve->address;
    int code = sock_listen(address, port, &s->listener, err);
    (void)snprintf(s->target, sizeof s->target, strchr(address, ':') ? "[%s]:%d" : "%s:%d", address,
                   code < 0 ? port : sock_port(s->listener));
    return code;
}

static int tcp_open(struct sink **out, const void *config, const struct sink_env *env,
                    struct err *err)
{
    const struct tcp_config *c = config;
    struct sink *s = tcp_new(c, env);
    int code = s && s->stop && s->done && s->queue && tcp_grow(s)
                   ? 0
                   : err_set(err, -ENOMEM, "out of memory");
    if (code == 0) {
        code = listen_at(s, port_parse("tcp-port", c->port, err), err);
    }
    if (code == 0) {
        code = thread_start(&s->thread, "tcp", tcp_run, s);
        code = code < 0 ? err_set(err, code, "cannot start: %s", err_text(code)) : 0;
    }
    if (code < 0) {
        tcp_free(s);
        return code;
    }
    port_tell("TCP", s->listener, s->target);
    *out = s;
    return 0;
}

static void tcp_finish(struct sink *s, int64_t deadline_us)
{
    queue_close(s->queue);
    int64_t left_us = deadline_us - clock_now_us();
    if (!stop_wait(s->done, left_us > 0 ? left_us : 0)) {
        stop_request(s->stop);
    }
    thread_join(&s->thread);
    s->totals.queued = 0; /* what is still unsent is lost with us */
}

static void tcp_totals(struct sink *s, struct sink_totals *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->totals;
    out->done = s->idle;
    pthread_mutex_unlock(&s->lock);
    out->done |= stop_requested(s->done);
}

static struct cJSON *tcp_report(struct sink *s)
{
    struct sink_totals t;
    tcp_totals(s, &t);
    struct cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "kind", "tcp");
    cJSON_AddStringToObject(o, "target", s->target);
    pthread_mutex_lock(&s->lock);
    feed_report(o, &t, s->resent, &s->latency);
    cJSON_AddNumberToObject(o, "delivered", (double)s->delivered);
    cJSON_AddNumberToObject(o, "skipped", (double)s->skipped);
    cJSON_AddNumberToObject(o, "clients", (double)s->here);
    cJSON_AddNumberToObject(o, "refused", (double)s->refused_total);
    pthread_mutex_unlock(&s->lock);
    return o;
}

const struct sink_backend sink_tcp = {
    .kind = "tcp",
    .section = "serve",
    .options = tcp_options,
    .option_count = OPTION_COUNT(tcp_options),
    .config_size = sizeof(struct tcp_config),
    .wanted = tcp_wanted,
    .serve = tcp_serve,
    .check = tcp_check,
    .open = tcp_open,
    .finish = tcp_finish,
    .free = tcp_free,
    .totals = tcp_totals,
    .report = tcp_report,
};
