/* SPDX-License-Identifier: MIT */
/*
 * The receiver's options. Life: config_new/config_free. Threads: main; read-only once threads run.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pcs/err.h"
#include "pcs/option.h"

struct config {
    const char *listen_address; /* NULL = any */
    int64_t listen_port, max_senders;
    struct option_list connect; /* "HOST:PORT" of senders to call */
    bool listen;                /* false: only calls */
    const char *output;
    int64_t segment_time_us, segment_bytes, sync_us;
    bool once;
    int64_t frames, duration_us, stats_interval_us;
    struct options *options;
};

struct config *config_new(void); /* NULL: no memory */
void config_free(struct config *c);
/* An options_result, or a negative errno with the line for the user. */
int config_load(struct config *c, int argc, char **argv, struct err *err);
