/* SPDX-License-Identifier: MIT */
/* What tcp.c (options, life, questions from outside) and tcp_run.c (the thread) share. */
#pragma once

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "pcs/log.h"
#include "pcs/sink.h"
#include "pcs/sock.h"
#include "pcs/stats.h"
#include "pcs/thread.h"
#include "push_link.h"
#include "tcp_guests.h"

struct queue;
struct stop;

/* A connection. */
struct caller {
    struct sink *sink;
    int fd;           /* the link's once it is greeted */
    int64_t since_us; /* when it came, or was greeted */
    bool greeted;
    bool over; /* to be closed; link.error says why */
    char peer[SOCK_NAME_MAX];
    struct link link;
    struct guest *guest; /* NULL: a stranger */
};

struct sink {
    const struct sink_env *env;
    char target[SOCK_NAME_MAX + 8];
    int listener;
    struct queue *queue;
    struct stop *stop, *done; /* done: the thread has ended by itself */
    struct thread thread;
    uint8_t session[16];
    struct histogram latency;

    /* the thread's own */
    struct guests guests;
    struct caller **callers;
    struct pollfd *fds; /* as many, and three */
    size_t count, space;
    struct format format; /* of the newest frame */
    uint64_t last_seq;
    int64_t rest_us; /* no accepting before */
    int64_t key_us;  /* no key frame is asked for before */
    uint64_t refused;
    bool subscribed, ended;
    struct log_limit accept_limit, refused_limit, ended_limit, link_limit;

    pthread_mutex_t lock; /* guards the copies for other threads */
    struct sink_totals totals;
    uint64_t resent, refused_total;
    uint64_t delivered, skipped; /* frames × receivers */
    size_t here;
    bool idle; /* nobody is here, nobody expected */
};

/* Room for one more connection. False: no memory. */
bool tcp_grow(struct sink *s);

/* The thread: until everybody has everything, or it is stopped. */
void tcp_run(void *sink);
