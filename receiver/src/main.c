/* SPDX-License-Identifier: MIT */
/*
 * video-receiver: the story of its main thread. Options, what an earlier run left unfinished, the
 * server; then it waits for a signal or for the time to say how things are; at the end it closes
 * every file and says what happened.
 */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

#include "config.h"
#include "pcs/clock.h"
#include "pcs/log.h"
#include "pcs/option.h"
#include "pcs/service.h"
#include "pcs/stop.h"
#include "pcs/thread.h"
#include "record/avlog.h"
#include "record/recorder.h"
#include "server.h"

#define STOP_US (1500 * CLOCK_MS) /* of the 2 s that stopping may take */

struct health {
    int64_t since_us;
    uint64_t bytes;
};

static void report_health(struct health *h, struct server *server, struct service *service,
                          int64_t now_us)
{
    struct server_totals t;
    char line[300];
    server_get_totals(server, &t);
    double seconds = (double)(now_us - h->since_us) / (double)CLOCK_S;
    double mbit = seconds > 0 ? (double)(t.bytes - h->bytes) * 8 / 1e6 / seconds : 0;
    (void)snprintf(line, sizeof line,
                   "%u senders connected, %u expected back; received %llu, lost %llu, written "
                   "%llu; %.2f Mbit/s%s",
                   t.connected, t.active - t.connected, (unsigned long long)t.received,
                   (unsigned long long)t.lost, (unsigned long long)t.written, mbit,
                   t.paused ? "; RECORDING PAUSED" : "");
    log_info("%s", line);
    service_status(service, line);
    *h = (struct health){ .since_us = now_us, .bytes = t.bytes };
}

static void report_summary(struct server *server, int64_t run_us)
{
    struct cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "program", "video-receiver");
    cJSON_AddNumberToObject(o, "seconds", (double)(run_us / CLOCK_MS) / 1000.0);
    cJSON_AddItemToObject(o, "streams", server_report(server));
    char *text = cJSON_PrintUnformatted(o);
    if (text) {
        (void)printf("%s\n", text); /* a closed stdout is the caller's wish */
        (void)fflush(stdout);
    }
    free(text);
    cJSON_Delete(o);
}

static void on_changed(void *arg, const char *name, bool live)
{
    (void)arg;
    if (live) {
        log_info("%s has a new value", name);
    } else {
        log_warn("%s has a new value in the file, which needs a restart", name);
    }
}

static void reload(struct config *config)
{
    struct err err = { 0 };
    if (options_reload(config->options, on_changed, NULL, &err) < 0) {
        log_error("configuration not reloaded: %s", err.text);
        return;
    }
    log_info("configuration reloaded");
}

static int64_t next_after(int64_t now_us, int64_t interval_us)
{
    return interval_us > 0 ? now_us + interval_us : INT64_MAX;
}

static void run(struct service *service, struct config *config, struct server *server)
{
    int64_t now_us = clock_now_us();
    int64_t end_us = next_after(now_us, config->duration_us);
    int64_t health_us = next_after(now_us, config->stats_interval_us);
    struct health health = { .since_us = now_us };
    for (;;) {
        enum service_event event = service_wait(service, health_us < end_us ? health_us : end_us);
        now_us = clock_now_us();
        if (event == SERVICE_STOP || now_us >= end_us) {
            return;
        }
        if (event == SERVICE_RELOAD) {
            reload(config);
            health_us = next_after(now_us, config->stats_interval_us);
        } else if (now_us >= health_us) {
            report_health(&health, server, service, now_us);
            health_us = next_after(now_us, config->stats_interval_us);
        }
    }
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
    log_info("listening on port %d, recording to %s", server_port(server), config->output);
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
        status = serve(service, config, stop);
    }
out:
    service_finish(service);
    stop_free(stop);
    config_free(config);
    return status;
}
