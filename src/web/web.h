/* SPDX-License-Identifier: MIT */
/*
 * Web: an HTTP/1.1 and WebSocket server. One thread, one event loop, any number of listeners; what it
 * answers is a table of routes that the program gives it. Requests and replies are in request.h, streams in
 * feed.h.
 *
 * Life: web_new → web_listen … → web_start → web_stop → web_free.
 * Threads: web_new to web_start, web_stop and web_free: one thread. Handlers: the web
 * thread. web_post and web_get_stats: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pcs/err.h"

struct serve_config;
struct web;
struct web_request;

enum web_method {
    WEB_GET = 1, /* and HEAD */
    WEB_POST = 2,
    WEB_PUT = 4,
    WEB_PATCH = 8,
    WEB_DELETE = 16,
};

enum web_route_flag {
    WEB_PREFIX = 1,   /* `path` ends in '/' and stands for everything below it too */
    WEB_OPEN = 2,     /* needs no token */
    WEB_SAME_SITE = 4 /* a foreign Origin is refused: what changes things, and WebSockets */
};

struct web_route {
    const char *path;   /* decoded, begins with '/' */
    unsigned methods;   /* of web_method; others get 405 with Allow */
    unsigned flags;     /* of web_route_flag */
    unsigned listeners; /* bits: on which it is there; 0 = on all */
    void (*handle)(void *arg, struct web_request *request);
};

/* All borrowed; outlives the server. */
struct web_config {
    const char *name;                 /* in Server: and in the realm of Basic */
    const struct web_route *routes;   /* the first whose path fits; ends with one without path */
    void *arg;                        /* for the handlers */
    const char *not_found;            /* text of a 404: names what there is */
    const struct serve_config *serve; /* max_clients, origins, TLS files */
};

int web_new(struct web **out, const struct web_config *config, struct err *err);
void web_free(struct web *web);

/* Where to listen: one of `port` (0 = any free one), `path` (of a UNIX socket) and `fd` (given by systemd;
 * taken over) with the others -1 or NULL. */
struct web_place {
    unsigned bit;        /* this listener's in web_route.listeners */
    const char *address; /* for a port */
    int port;
    const char *path;
    int fd;
};
struct web_spot {
    bool exposed;   /* others than this machine can reach it */
    int port;       /* 0 for a UNIX socket */
    char name[120]; /* "127.0.0.1 port 8080", "/run/x" */
    char url[200];  /* where a browser finds it, without token: "//127.0.0.1:8080"; "" */
};
/* Bound and listening from here on, served from web_start on. */
int web_listen(struct web *web, const struct web_place *place, struct web_spot *out,
               struct err *err);
bool web_is_secure(const struct web *web); /* HTTPS */

/* What visitors must know, NULL = nothing; copied. Before web_start. */
int web_set_token(struct web *web, const char *token);

int web_start(struct web *web);
/* Ends: listeners at once, streams and replies under way by `deadline_us`, then the thread. */
void web_stop(struct web *web, int64_t deadline_us);

/* Have `run` called in the web thread, soon. False: the server has stopped, or no memory; it is not called. */
bool web_post(struct web *web, void (*run)(void *arg), void *arg);

/* ---- figures ---- */

struct web_stats {
    uint64_t clients, clients_total; /* streaming: now, ever */
    uint64_t rejected;               /* one client too many, or no more connections */
    uint64_t refused;                /* wrong token, foreign origin, bad request */
    uint64_t connections;            /* open now */
    uint64_t requests;               /* ever */
    uint64_t frames, bytes;          /* frames to clients; bytes of all replies */
};
void web_get_stats(struct web *web, struct web_stats *out);

/* A streaming client. */
struct web_client_info {
    uint64_t id;
    const char *address, *kind; /* "1.2.3.4:567"; "mjpeg", "ws" */
    const char *agent;          /* its User-Agent, cleaned, or "" */
    int64_t since_us;           /* clock_now_us */
    uint64_t frames, skipped, bytes;
    int64_t delay_us; /* capture to handed to the kernel, of its last frame */
};
/* In the web thread. What `info` points to is gone when `each` returns. */
void web_each_client(struct web *web, void (*each)(void *arg, const struct web_client_info *info),
                     void *arg);
