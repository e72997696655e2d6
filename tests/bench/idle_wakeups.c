/* SPDX-License-Identifier: MIT */
/*
 * The sender's pipeline with a camera and nobody who wants anything of it: how often does it wake up, and
 * does it encode? `idle_wakeups OPTION...` with the sender's own options for source and picture prints
 * "wakeups PER_SECOND cpu_ms PER_SECOND encoded N captured N", and a line for each thread. The emulated
 * camera's own thread does not count: a real one works elsewhere.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/pipeline.h"
#include "app/settings.h"
#include "pcs/clock.h"
#include "pcs/option.h"
#include "pcs/stop.h"

#define WARM_UP_US (2 * CLOCK_S)
#define MEASURE_S  5
#define MAX_ARGS   64

struct sample {
    unsigned long wakeups;
    double cpu_ms;
};

static bool read_file(const char *path, char *out, size_t size)
{
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(out, 1, size - 1, f) : 0;
    out[n] = 0;
    if (f) {
        (void)fclose(f);
    }
    return n > 0;
}

static void add_thread(const char *id, bool say, struct sample *sum)
{
    char path[300], name[64], text[4096];
    unsigned long run_ns = 0;
    (void)snprintf(path, sizeof path, "/proc/self/task/%s/comm", id);
    if (!read_file(path, name, sizeof name) || strncmp(name, "v4l2fake", 8) == 0) {
        return;
    }
    (void)snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", id);
    if (read_file(path, text, sizeof text)) {
        run_ns = strtoul(text, NULL, 10);
    }
    (void)snprintf(path, sizeof path, "/proc/self/task/%s/status", id);
    const char *at = read_file(path, text, sizeof text) ? strstr(text, "\nvoluntary_ctxt_switches:")
                                                        : NULL;
    unsigned long wakeups = at ? strtoul(strchr(at, ':') + 1, NULL, 10) : 0;
    sum->wakeups += wakeups;
    sum->cpu_ms += (double)run_ns / 1e6;
    if (say) {
        name[strcspn(name, "\n")] = 0;
        (void)printf("  %s: %lu since its start\n", name, wakeups);
    }
}

static struct sample sample_all(bool say)
{
    struct sample sum = { 0 };
    DIR *dir = opendir("/proc/self/task");
    for (struct dirent *d; dir && (d = readdir(dir)) != NULL;) {
        if (d->d_name[0] != '.') {
            add_thread(d->d_name, say, &sum);
        }
    }
    if (dir) {
        (void)closedir(dir);
    }
    return sum;
}

static void measure(struct pipeline *pipeline, struct stop *stop)
{
    struct pipeline_totals totals;
    (void)stop_wait(stop, WARM_UP_US);
    struct sample before = sample_all(false);
    (void)stop_wait(stop, MEASURE_S * CLOCK_S);
    struct sample after = sample_all(true);
    pipeline_get_totals(pipeline, &totals);
    (void)printf("wakeups %.1f cpu_ms %.2f encoded %llu captured %llu\n",
                 (double)(after.wakeups - before.wakeups) / MEASURE_S,
                 (after.cpu_ms - before.cpu_ms) / MEASURE_S, (unsigned long long)totals.encoded,
                 (unsigned long long)totals.captured);
}

int main(int argc, char **argv)
{
    char *args[MAX_ARGS] = { argv[0], (char *)"--list-devices" }; /* then no output is asked for */
    struct err err = { 0 };
    struct settings *settings = settings_new();
    struct stop *stop = stop_new();
    struct pipeline *pipeline = NULL;
    for (int i = 1; i < argc && i + 1 < MAX_ARGS; i++) {
        args[i + 1] = argv[i];
    }
    if (!settings || !stop || settings_load(settings, argc + 1, args, &err) != OPTIONS_RUN ||
        pipeline_start(&pipeline, settings, stop, &err) < 0) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    measure(pipeline, stop);
    pipeline_end(pipeline);
    pipeline_finish(pipeline, 0);
    pipeline_free(pipeline);
    stop_free(stop);
    settings_free(settings);
    return 0;
}
