/* SPDX-License-Identifier: MIT */
/*
 * pi-camera-streamer: the story of its main thread. Options, signals, the pipeline; then it only
 * waits: for a signal, for the time to say how things are, for the end of the source. At the end it
 * delivers what is in hand, says what happened, and leaves.
 */
#include <stdbool.h>
#include <stdio.h>

#include "archive.h"
#include "pcs/clock.h"
#include "pcs/log.h"
#include "pcs/option.h"
#include "pcs/service.h"
#include "pcs/stop.h"
#include "errands.h"
#include "pipeline.h"
#include "record/avlog.h"
#include "report.h"
#include "settings.h"

#define INTERRUPTED_US (1500 * CLOCK_MS) /* of the 2 s that stopping may take */
#define NO_PROGRESS_US (30 * CLOCK_S)    /* a finished stream is delivered as long as it moves */
#define END_TICK_US    (20 * CLOCK_MS)

/* What main turns to between waits. */
struct daily {
    struct service *service;
    struct settings *settings;
    struct pipeline *pipeline;
    struct report_health health;
    struct log_limit usr1_limit;
};

static void on_reload(void *arg)
{
    struct daily *d = arg;
    if (options_reload_logged(d->settings->options)) {
        pipeline_reconfigure(d->pipeline);
    }
}

/* SIGUSR1: something has just happened; write down what led to it. */
static void on_usr1(void *arg)
{
    struct daily *d = arg;
    struct sink *archive = pipeline_archive(d->pipeline);
    struct err err = { 0 };
    if (!archive) {
        log_limited(&d->usr1_limit, CLOCK_S, LOG_WARN,
                    "SIGUSR1: nothing is held in memory: --archive-ram SIZE does that");
    } else if (archive_dump(archive, &err) < 0) {
        log_limited(&d->usr1_limit, CLOCK_S, LOG_WARN, "SIGUSR1: %s", err.text);
    }
}

static void on_tick(void *arg, int64_t now_us)
{
    struct daily *d = arg;
    report_health(&d->health, d->pipeline, d->service, now_us);
}

static void on_called(void *arg)
{
    struct daily *d = arg;
    errands_run(pipeline_errands(d->pipeline));
}

/* Until a signal, the end of the source or the end of --duration. */
static void run(struct service *service, struct settings *settings, struct pipeline *pipeline)
{
    struct daily daily = { .service = service,
                           .settings = settings,
                           .pipeline = pipeline,
                           .health = { .since_us = clock_now_us() } };
    const struct service_work work = { .duration_us = settings->run.duration_us,
                                       .interval_us = &settings->run.stats_interval_us,
                                       .tick = on_tick,
                                       .reload = on_reload,
                                       .usr1 = on_usr1,
                                       .called = on_called,
                                       .call_fd = errands_fd(pipeline_errands(pipeline)),
                                       .arg = &daily };
    service_run(service, &work);
}

/* The source ended by itself: deliver all of it, as long as that makes progress and nobody is in a
 * hurry. False: given up. */
static bool deliver(struct service *service, struct pipeline *pipeline)
{
    uint64_t progress = pipeline_progress(pipeline);
    int64_t moved_us = clock_now_us();
    service_draining(service);
    while (!pipeline_delivered(pipeline) && !service_interrupted(service)) {
        int64_t now_us = clock_now_us();
        uint64_t now_at = pipeline_progress(pipeline);
        if (now_at != progress) {
            progress = now_at;
            moved_us = now_us;
        } else if (now_us - moved_us > NO_PROGRESS_US) {
            log_error("gave up delivering the rest: no progress for %d s",
                      (int)(NO_PROGRESS_US / CLOCK_S));
            return false;
        }
        (void)service_wait(service, now_us + END_TICK_US); /* a signal shows in the condition */
    }
    return true;
}

static int stream(struct service *service, struct settings *settings, struct stop *stop)
{
    struct err err = { 0 };
    struct pipeline *pipeline;
    int64_t start_us = clock_now_us();
    int code = pipeline_start(&pipeline, settings, stop, &err);
    if (code < 0) {
        log_error("%s", err.text);
        return 1;
    }
    service_ready(service, "streaming");
    run(service, settings, pipeline);

    bool delivered = true;
    int64_t deadline_us = clock_now_us() + INTERRUPTED_US;
    if (service_interrupted(service)) {
        service_stopping(service);
        pipeline_end(pipeline);
    } else {
        pipeline_end(pipeline);
        delivered = deliver(service, pipeline);
        service_stopping(service);
        deadline_us = clock_now_us() + INTERRUPTED_US;
    }
    /* Nobody there to take it: waiting would not help. */
    pipeline_finish(pipeline, pipeline_connected(pipeline) ? deadline_us : 0);
    report_summary(pipeline, clock_now_us() - start_us);
    code = pipeline_failed(pipeline, &err) < 0 || !delivered ? 1 : 0;
    pipeline_free(pipeline);
    return code;
}

int main(int argc, char **argv)
{
    struct err err = { 0 };
    struct settings *settings = settings_new();
    struct stop *stop = stop_new();
    struct service *service = NULL;
    int status = 1;
    if (!settings || !stop) {
        log_error("out of memory");
        goto out;
    }
    int loaded = settings_load(settings, argc, argv, &err);
    if (loaded < 0) {
        (void)fprintf(stderr, "%s\n", err.text); /* nowhere else to say it */
        status = 2;
    } else if (loaded == OPTIONS_DONE) {
        status = 0;
    } else if (settings->capture.list_devices) {
        capture_list(stdout);
        status = 0;
    } else if (service_start(&service, stop, &err) < 0) {
        log_error("%s", err.text);
    } else {
        avlog_install();
        status = stream(service, settings, stop);
    }
out:
    service_finish(service);
    stop_free(stop);
    settings_free(settings);
    return status;
}
