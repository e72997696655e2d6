/* SPDX-License-Identifier: MIT */
/*
 * video-receiver: the story of its main thread. Options, what an earlier run left unfinished, the
 * server; then it waits for a signal or for the time to say how things are; at the end it closes
 * every file and says what happened.
 */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <sys/resource.h>

#include "config.h"
#include "pcs/clock.h"
#include "pcs/log.h"
#include "pcs/option.h"
#include "pcs/service.h"
#include "pcs/stats.h"
#include "pcs/stop.h"
#include "pcs/thread.h"
#include "record/avlog.h"
#include "record/recorder.h"
#include "server.h"

#define STOP_US (1500 * CLOCK_MS) /* of the 2 s that stopping may take */

/* What main turns to between waits. */
struct daily {
    struct service *service;
    struct config *config;
    struct server *server;
    int64_t since_us; /* of `bytes` */
    uint64_t bytes;
};

static void on_tick(void *arg, int64_t now_us)
{
    struct daily *d = arg;
    struct server_totals t;
    char line[300];
    server_get_totals(d->server, &t);
    double seconds = (double)(now_us - d->since_us) / (double)CLOCK_S;
    double mbit = seconds > 0 ? (double)(t.bytes - d->bytes) * 8 / 1e6 / seconds : 0;
    (void)snprintf(line, sizeof line,
                   "%u senders connected, %u expected back; received %llu, lost %llu, written "
                   "%llu; %.2f Mbit/s%s",
                   t.connected, t.active - t.connected, (unsigned long long)t.received,
                   (unsigned long long)t.lost, (unsigned long long)t.written, mbit,
                   t.paused ? "; RECORDING PAUSED" : "");
    log_info("%s", line);
    service_status(d->service, line);
    d->since_us = now_us;
    d->bytes = t.bytes;
}

static void on_reload(void *arg)
{
    struct daily *d = arg;
    (void)options_reload_logged(d->config->options); /* whoever uses a live option reads it anew */
}

static void run(struct service *service, struct config *config, struct server *server)
{
    struct daily daily = { service, config, server, clock_now_us(), 0 };
    const struct service_work work = { .duration_us = config->duration_us,
                                       .interval_us = &config->stats_interval_us,
                                       .tick = on_tick,
                                       .reload = on_reload,
                                       .arg = &daily };
    service_run(service, &work);
}

static void report_summary(struct server *server, int64_t run_us)
{
    struct cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "program", "video-receiver");
    cJSON_AddNumberToObject(o, "seconds", (double)(run_us / CLOCK_MS) / 1000.0);
    cJSON_AddItemToObject(o, "streams", server_report(server));
    summary_print(o);
}

/* What a killed run left behind is mended beside the new work. */
struct mender {
    const char *pattern;
    struct stop *stop;
    struct thread thread;
};

static void mend_run(void *arg)
{
    struct mender *m = arg;
    int mended = record_recover(m->pattern, m->stop);
    if (mended > 0) {
        log_info("%d recordings of an earlier run were finished", mended);
    }
}

static int serve(struct service *service, struct config *config, struct stop *stop)
{
    struct err err = { 0 };
    struct server *server;
    struct mender mender = { .pattern = config->output, .stop = stop };
    int64_t start_us = clock_now_us();
    int code = record_check_pattern(config->output, &err);
    if (code == 0) {
        code = server_start(&server, config, stop, &err);
    }
    if (code < 0) {
        log_error("%s", err.text);
        return 1;
    }
    if (thread_start(&mender.thread, "mend", mend_run, &mender) < 0) {
        log_warn("recordings of an earlier run stay as they are: no thread");
    }
    if (server_port(server) > 0) {
        log_info("listening on port %d, recording to %s", server_port(server), config->output);
    }
    for (size_t i = 0; i < config->connect.count; i++) {
        log_info("calling %s, recording to %s", config->connect.item[i], config->output);
    }
    service_ready(service, "waiting for senders");
    run(service, config, server);

    service_stopping(service);
    stop_request(stop);
    server_stop(server, clock_now_us() + STOP_US);
    thread_join(&mender.thread);
    report_summary(server, clock_now_us() - start_us);
    server_free(server);
    return 0;
}

/* A stream holds five. The usual soft limit of 1024 is there for select(2), which nobody here uses. */
static void raise_fd_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* not more than we may have anyway */
    }
}

int main(int argc, char **argv)
{
    struct err err = { 0 };
    struct config *config = config_new();
    struct stop *stop = stop_new();
    struct service *service = NULL;
    int status = 1;
    if (!config || !stop) {
        log_error("out of memory");
        goto out;
    }
    int loaded = config_load(config, argc, argv, &err);
    if (loaded < 0) {
        (void)fprintf(stderr, "%s\n", err.text); /* nowhere else to say it */
        status = 2;
    } else if (loaded == OPTIONS_DONE) {
        status = 0;
    } else if (service_start(&service, stop, &err) < 0) {
        log_error("%s", err.text);
    } else {
        avlog_install();
        raise_fd_limit();
        status = serve(service, config, stop);
    }
out:
    service_finish(service);
    stop_free(stop);
    config_free(config);
    return status;
}
