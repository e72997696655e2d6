/* SPDX-License-Identifier: MIT */
/*
 * The server as the files of this room see it: its loop, its lists, its limits.
 * Threads: as marked.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "pcs/log.h"
#include "pcs/stats.h"
#include "pcs/thread.h"
#include "web.h"

#define WEB_REQUEST_MAX     ((size_t)65536)    /* head and body together */
#define WEB_BUFFERED_MAX    ((size_t)64 << 20) /* of all requests and replies under way */
#define WEB_WAIT_US         ((int64_t)10000000) /* for a request, and for progress of a reply or a stream */
#define WEB_LISTENERS       4
#define WEB_CONNECTIONS     16384
#define WEB_TLS_CONNECTIONS 2048 /* each has some 20 KB of state */

struct client;
struct event;
struct event_base;
struct tls_server;
struct web_feed;
struct web_job;

TAILQ_HEAD(client_list, client);
TAILQ_HEAD(feed_list, web_feed);

struct web_listener {
    struct web *web;
    struct event *event;
    int fd;
    unsigned bit;
    int port;   /* 0: a UNIX socket */
    char *path; /* of a UNIX socket: removed at the end */
};

struct web {
    /* fixed after web_start */
    struct web_config config;
    struct tls_server *tls; /* NULL: plain */
    char *token;
    char host[65]; /* this machine's name */
    size_t max_clients, max_connections, max_buffered;
    struct web_listener listener[WEB_LISTENERS];
    size_t listener_count;
    struct feed_list feeds;
    struct event_base *base;
    struct event *wake, *sweep;
    int wake_fd;
    struct thread thread;

    /* the web thread's */
    struct client_list
        waiting; /* for a request or to get rid of a reply: the longest waiting first */
    struct client_list others; /* answering and streaming */
    size_t connections, buffered;
    bool awake;  /* said so to the watchdog in this turn */
    bool paused; /* no more connections can be accepted for now */
    struct log_limit no_fds;
    bool stopping; /* no more requests */
    uint64_t next_id;

    pthread_mutex_t lock; /* guards what follows */
    struct web_job *first_job, **last_job;
    bool closed; /* no more jobs */
    bool stop_wanted;
    int64_t stop_us; /* fixed once stop_wanted */

    counter clients, clients_total, rejected, refused, open, requests, frames, bytes;
};

/* ---- the web thread ---- */

void web_woken(struct web *web); /* first thing in every callback of the loop */
/* A streaming client more, or less. */
void web_take_client(struct web *web);
void web_drop_client(struct web *web);
/* Requests and replies keep at most max_buffered, and what `but` does: who has waited longest goes first. */
void web_bound_memory(struct web *web, const struct client *but);

/* ---- listeners ---- */

int listeners_open(struct web *web);    /* by web_start: from here on they are the web thread's */
void listeners_close(struct web *web);  /* also before web_start, and more than once */
void listeners_resume(struct web *web); /* a connection has gone: others may fit again */
