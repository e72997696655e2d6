/* SPDX-License-Identifier: MIT */
/*
 * Everything the user can set: one part of the option table per feature, each with its own config.
 * A new source, encoder or output brings its part along; nothing here changes for it.
 * Life: settings_new/settings_free. Threads: main; the configs are read-only once threads run, but
 * for what settings_reload hands on.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "capture/capture.h"
#include "encode/encode.h"
#include "pcs/err.h"
#include "pcs/serve.h"

struct options;

struct run_config {
    const char *name; /* never NULL after settings_load: the host name by default */
    int64_t frames;   /* 0 = no end */
    int64_t duration_us, stats_interval_us;
    bool standby; /* stand-in pictures while there are none */
};

struct settings {
    struct capture_config capture;
    struct encode_config encode;
    struct serve_config serve;
    struct run_config run;
    void **sources; /* parallel to source_backends */
    void **sinks;   /* parallel to outputs */
    char host[65];
    struct options *options;
};

/* NULL: no memory. */
struct settings *settings_new(void);
void settings_free(struct settings *s);

/* An options_result, or a negative errno with the line for the user. */
int settings_load(struct settings *s, int argc, char **argv, struct err *err);

/* What --codec names, FORMAT_NONE for auto. */
enum format_id settings_codec(const struct settings *s);
