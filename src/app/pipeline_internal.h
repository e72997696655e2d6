/* SPDX-License-Identifier: MIT */
/* The pipeline as its own two files see it: pipeline.c runs it, pipeline_figures.c tells of it. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "pcs/err.h"
#include "pcs/log.h"
#include "pcs/sink.h"
#include "pcs/stats.h"

#define LANES 2

struct capture;
struct errands;
struct hub;
struct lane;
struct settings;
struct site;
struct standby;
struct stop;

struct open_sink {
    const struct sink_backend *backend;
    struct sink *sink;
    const void *config;
};

struct pipeline {
    const struct settings *settings;
    struct stop *stop;
    struct lane *lane[LANES];
    struct hub
        *stream; /* = the packets of the lane that outputs without a wish get, once it is known */
    struct hub *pictures; /* what the source gives, for local programs */
    struct capture *capture;
    struct standby *standby; /* NULL: not wished */
    struct errands *errands; /* for main */
    struct sink_env env;
    struct site *site; /* the outputs' own */
    struct open_sink *sinks;
    size_t sink_count;

    counter stood_in;
    struct histogram capture_latency;
    _Atomic(struct lane *) first; /* the stream's lane; NULL until the source says what it has */

    pthread_mutex_t lock; /* guards reason and why; held while `first` is decided */
    int reason;
    struct err why;
    struct log_limit encoder_log; /* the capture thread's */
};
