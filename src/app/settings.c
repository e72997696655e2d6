/* SPDX-License-Identifier: MIT */
#include "settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capture/source.h"
#include "outputs.h"
#include "pcs/clock.h"
#include "pcs/option.h"

static const struct option_def run_options[] = {
    { .name = "name",
      .type = OPTION_STRING,
      .offset = offsetof(struct run_config, name),
      .arg = "NAME",
      .help = "what this camera is called at the receiver (default: the host name)" },
    { .name = "frames",
      .type = OPTION_INT,
      .offset = offsetof(struct run_config, frames),
      .value = "0",
      .max = INT64_MAX,
      .arg = "N",
      .help = "stop after N frames; 0 = never" },
    { .name = "duration",
      .type = OPTION_TIME,
      .offset = offsetof(struct run_config, duration_us),
      .value = "0",
      .max = INT64_MAX / 4,
      .arg = "TIME",
      .help = "stop after this time; 0 = never" },
    { .name = "stats-interval",
      .type = OPTION_TIME,
      .offset = offsetof(struct run_config, stats_interval_us),
      .value = "30s",
      .max = INT64_MAX / 4,
      .flags = OPTION_LIVE,
      .arg = "TIME",
      .help = "log a line of health this often; 0 = never" },
};

#define SERVE(field) offsetof(struct serve_config, field)

static const struct option_def serve_options[] = {
    { .name = "serve",
      .type = OPTION_FLAG,
      .offset = SERVE(all),
      .help = "offer everything at its usual place: ports 8080, 8765, 8888, 9999, /video_stream" },
    { .name = "address",
      .type = OPTION_STRING,
      .offset = SERVE(address),
      .value = "127.0.0.1",
      .arg = "ADDRESS",
      .help = "listen for visitors on this address only; 0.0.0.0 or :: = all" },
    { .name = "max-clients",
      .type = OPTION_INT,
      .offset = SERVE(max_clients),
      .value = "100",
      .min = 1,
      .max = 100000,
      .arg = "N",
      .help = "visitors of each kind at the same time; one more is refused" },
    { .name = "auth-token",
      .type = OPTION_STRING,
      .offset = SERVE(token),
      .arg = "TOKEN|auto|none",
      .help = "what web visitors must know; auto: one is made and kept (default: auto, on loopback "
              "none)" },
    { .name = "allow-origin",
      .type = OPTION_LIST,
      .offset = SERVE(origins),
      .arg = "ORIGIN",
      .help = "a site whose pages may use WebSocket and API here" },
    { .name = "tls-cert",
      .type = OPTION_STRING,
      .offset = SERVE(tls_cert),
      .arg = "FILE",
      .help = "certificate chain (PEM): HTTPS in place of HTTP" },
    { .name = "tls-key",
      .type = OPTION_STRING,
      .offset = SERVE(tls_key),
      .arg = "FILE",
      .help = "its private key (PEM)" },
};

static const struct option_def picture_options[] = {
    { .name = "standby",
      .type = OPTION_ONOFF,
      .offset = offsetof(struct run_config, standby),
      .value = "on",
      .arg = "on|off",
      .help = "while the camera gives no pictures, send one that says so, why and since when" },
};

static size_t count_sources(void)
{
    size_t n = 0;
    while (source_backends[n]) {
        n++;
    }
    return n;
}

static size_t count_sinks(void)
{
    size_t n = 0;
    while (outputs[n]) {
        n++;
    }
    return n;
}

static int make_configs(struct settings *s)
{
    s->sources = calloc(count_sources() + 1, sizeof(void *));
    s->sinks = calloc(count_sinks() + 1, sizeof(void *));
    bool ok = s->sources && s->sinks;
    for (size_t i = 0; ok && i < count_sources(); i++) {
        s->sources[i] = calloc(1, source_backends[i]->config_size + 1);
        ok = s->sources[i] != NULL;
    }
    for (size_t i = 0; ok && i < count_sinks(); i++) {
        s->sinks[i] = calloc(1, outputs[i]->config_size + 1);
        ok = s->sinks[i] != NULL;
    }
    return ok ? 0 : -ENOMEM;
}

static size_t list_parts(struct settings *s, struct option_part *parts)
{
    size_t n = 0;
    parts[n++] = (struct option_part){ "source", capture_source_options,
                                       capture_source_option_count, &s->capture };
    for (size_t i = 0; source_backends[i]; i++) {
        const struct source_backend *b = source_backends[i];
        if (b->option_count > 0) {
            parts[n++] =
                (struct option_part){ "source", b->options, b->option_count, s->sources[i] };
        }
    }
    parts[n++] = (struct option_part){ "picture", capture_picture_options,
                                       capture_picture_option_count, &s->capture };
    parts[n++] = (struct option_part){ "picture", encode_picture_options,
                                       encode_picture_option_count, &s->encode };
    parts[n++] =
        (struct option_part){ "picture", picture_options, OPTION_COUNT(picture_options), &s->run };
    parts[n++] = (struct option_part){ "encode", encode_options, encode_option_count, &s->encode };
    for (size_t i = 0; outputs[i]; i++) {
        const struct sink_backend *b = outputs[i];
        parts[n++] = (struct option_part){ b->section ? b->section : b->kind, b->options,
                                           b->option_count, s->sinks[i] };
    }
    parts[n++] =
        (struct option_part){ "serve", serve_options, OPTION_COUNT(serve_options), &s->serve };
    parts[n++] = (struct option_part){ "run", run_options, OPTION_COUNT(run_options), &s->run };
    return n;
}

struct settings *settings_new(void)
{
    struct settings *s = calloc(1, sizeof *s);
    struct option_part *parts =
        calloc(count_sources() + count_sinks() + 7, sizeof(struct option_part));
    if (s && parts && make_configs(s) == 0) {
        s->options =
            options_new("pi-camera-streamer", PCS_VERSION,
                        "[OPTION]...\nCapture, encode and stream a camera.\n"
                        "Example: pi-camera-streamer --dest-ip 192.168.1.10 --device /dev/video0",
                        parts, list_parts(s, parts));
    }
    free(parts);
    if (s && !s->options) {
        settings_free(s);
        s = NULL;
    }
    return s;
}

static void free_all(void **configs, size_t count)
{
    for (size_t i = 0; configs && i < count; i++) {
        free(configs[i]);
    }
    free(configs);
}

void settings_free(struct settings *s)
{
    if (!s) {
        return;
    }
    options_free(s->options);
    free_all(s->sources, count_sources());
    free_all(s->sinks, count_sinks());
    free(s);
}

/* With no output named at all, the first one that serves does. */
static void place_outputs(struct settings *s)
{
    bool any = s->serve.all;
    for (size_t i = 0; outputs[i]; i++) {
        any |= outputs[i]->wanted(s->sinks[i]);
    }
    for (size_t i = 0; outputs[i]; i++) {
        if (outputs[i]->serve && (s->serve.all || !any)) {
            outputs[i]->serve(s->sinks[i]);
            any = true;
        }
    }
}

static int check_sinks(struct settings *s, struct err *err)
{
    bool any = false;
    place_outputs(s);
    for (size_t i = 0; outputs[i]; i++) {
        const struct sink_backend *b = outputs[i];
        int code = b->check ? b->check(s->sinks[i], err) : 0;
        if (code < 0) {
            return code;
        }
        any |= b->wanted(s->sinks[i]);
    }
    if ((s->serve.tls_cert == NULL) != (s->serve.tls_key == NULL)) {
        return err_set(err, -EINVAL, "--tls-cert and --tls-key: give both or none");
    }
    if (s->serve.token && !*s->serve.token) {
        return err_set(err, -EINVAL, "--auth-token '': give a token, or auto, or none");
    }
    return any ? 0 : err_set(err, -EINVAL, "no output: say where to send it with --dest-ip HOST");
}

static int check(void *arg, struct err *err)
{
    struct settings *s = arg;
    if (!s->run.name || !*s->run.name) {
        (void)gethostname(s->host, sizeof s->host - 1); /* an empty name is replaced below */
        s->run.name = *s->host ? s->host : "camera";
    }
    int code = capture_check(&s->capture, (const void *const *)s->sources, err);
    return code < 0 || s->capture.list_devices ? code : check_sinks(s, err);
}

int settings_load(struct settings *s, int argc, char **argv, struct err *err)
{
    return options_load(s->options, argc, argv, check, s, err);
}

enum format_id settings_codec(const struct settings *s)
{
    static const enum format_id codecs[] = { FORMAT_NONE, FORMAT_H264, FORMAT_JPEG };
    return codecs[s->encode.codec];
}
