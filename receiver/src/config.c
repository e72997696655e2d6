/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "calls.h"
#include "pcs/clock.h"
#include "pcs/option.h"

#define AT(field) .offset = offsetof(struct config, field)

static const struct option_def listen_options[] = {
    { .name = "listen-port",
      .type = OPTION_INT,
      AT(listen_port),
      .value = "5000",
      .min = 0,
      .max = 65535,
      .arg = "PORT",
      .help = "TCP port for senders; 0 = any free one" },
    { .name = "listen-address",
      .type = OPTION_STRING,
      AT(listen_address),
      .arg = "ADDRESS",
      .help = "listen on this address only (default: all, IPv4 and IPv6)" },
    { .name = "connect",
      .type = OPTION_LIST,
      AT(connect),
      .arg = "HOST:PORT",
      .help = "call this sender (its --tcp-port) for ever, in place of listening" },
    { .name = "max-senders",
      .type = OPTION_INT,
      AT(max_senders),
      .value = "64",
      .min = 1,
      .max = 4096,
      .arg = "N",
      .help = "senders at the same time; one more is refused" },
};

static const struct option_def record_options[] = {
    { .name = "output",
      .type = OPTION_STRING,
      AT(output),
      .value = "out.mp4",
      .arg = "PATTERN",
      .help = "file to record to: %n = sender's name, %s = its serial number, the rest strftime" },
    { .name = "segment-time",
      .type = OPTION_TIME,
      AT(segment_time_us),
      .value = "0",
      .max = INT64_MAX / 4,
      .arg = "TIME",
      .help = "begin a new file after this time, at a key frame; 0 = one file" },
    { .name = "segment-size",
      .type = OPTION_SIZE,
      AT(segment_bytes),
      .value = "0",
      .max = INT64_MAX / 4,
      .arg = "SIZE",
      .help = "begin a new file after this size, at a key frame; 0 = no limit" },
    { .name = "sync",
      .type = OPTION_TIME,
      AT(sync_us),
      .value = "1s",
      .min = 10 * CLOCK_MS,
      .max = 3600 * CLOCK_S,
      .arg = "TIME",
      .help = "the most that a power cut may lose" },
};

static const struct option_def run_options[] = {
    { .name = "once",
      .type = OPTION_FLAG,
      AT(once),
      .help = "exit when the first sender has ended" },
    { .name = "frames",
      .type = OPTION_INT,
      AT(frames),
      .value = "0",
      .max = INT64_MAX,
      .arg = "N",
      .help = "stop after N frames, of all senders together; 0 = never" },
    { .name = "duration",
      .type = OPTION_TIME,
      AT(duration_us),
      .value = "0",
      .max = INT64_MAX / 4,
      .arg = "TIME",
      .help = "stop after this time; 0 = never" },
    { .name = "stats-interval",
      .type = OPTION_TIME,
      AT(stats_interval_us),
      .value = "30s",
      .max = INT64_MAX / 4,
      .flags = OPTION_LIVE,
      .arg = "TIME",
      .help = "log a line of health this often; 0 = never" },
};

struct config *config_new(void)
{
    struct config *c = calloc(1, sizeof *c);
    if (!c) {
        return NULL;
    }
    const struct option_part parts[] = {
        { "listen", listen_options, OPTION_COUNT(listen_options), c },
        { "record", record_options, OPTION_COUNT(record_options), c },
        { "run", run_options, OPTION_COUNT(run_options), c },
    };
    c->options = options_new("video-receiver", PCS_VERSION,
                             "[OPTION]...\nReceive streams of pi-camera-streamer and record them.\n"
                             "Example: video-receiver --listen-port 5000 --output out.mp4",
                             parts, sizeof parts / sizeof parts[0]);
    if (!c->options) {
        free(c);
        return NULL;
    }
    return c;
}

void config_free(struct config *c)
{
    if (c) {
        options_free(c->options);
        free(c);
    }
}

static int check_connect(const struct option_list *targets, struct err *err)
{
    for (size_t i = 0; i < targets->count; i++) {
        int code = call_parse(targets->item[i], NULL, NULL, err);
        if (code < 0) {
            return code;
        }
        for (size_t k = 0; k < i; k++) {
            if (strcmp(targets->item[i], targets->item[k]) == 0) {
                return err_set(err, -EINVAL, "--connect: '%s' is given twice", targets->item[i]);
            }
        }
    }
    return targets->count <= CALLS_MAX
               ? 0
               : err_set(err, -E2BIG, "--connect: %zu senders; at most %d are allowed",
                         targets->count, CALLS_MAX);
}

static int check(void *arg, struct err *err)
{
    struct config *c = arg;
    int code = check_connect(&c->connect, err);
    if (code < 0) {
        return code;
    }
    c->listen = c->connect.count == 0 || options_given(c->options, "listen-port");
    if (!c->output || !*c->output) {
        return err_set(err, -EINVAL, "--output: '' is not allowed: a file name or pattern");
    }
    return 0;
}

int config_load(struct config *c, int argc, char **argv, struct err *err)
{
    return options_load(c->options, argc, argv, check, c, err);
}
