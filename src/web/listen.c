/* SPDX-License-Identifier: MIT */
/* Where the server listens, and whom it lets in. */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "pcs/clock.h"
#include "pcs/log.h"
#include "pcs/sock.h"
#include "server.h"

#define ACCEPTS_A_TURN 16 /* each may cost a handshake */

/* ---- in the web thread ---- */

static void set_paused(struct web *w, bool paused)
{
    w->paused = paused;
    for (size_t i = 0; i < w->listener_count; i++) {
        struct event *event = w->listener[i].event;
        if (event) {
            (void)(paused ? event_del(event)
                          : event_add(event, NULL)); /* tried again by the sweep */
        }
    }
}

void listeners_resume(struct web *w)
{
    if (w->paused && !w->stopping) {
        set_paused(w, false);
    }
}

/* Room for one more connection: who has waited longest for a request that does not come, goes. */
static bool make_room(struct web *w)
{
    struct client *oldest = TAILQ_FIRST(&w->waiting);
    if (w->connections < w->max_connections) {
        return true;
    }
    if (oldest) {
        client_free(oldest);
        return true;
    }
    return false;
}

static void on_accept(int listener, short what, void *arg)
{
    struct web_listener *l = arg;
    struct web *w = l->web;
    (void)what;
    web_woken(w);
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        char name[SOCK_NAME_MAX];
        int fd, code = sock_accept(listener, &fd, name);
        if (code == -EAGAIN) {
            return;
        }
        if (code < 0) { /* no more descriptors: not before some are free */
            log_limited(&w->no_fds, 10 * CLOCK_S, LOG_WARN, "web: visitors have to wait: %s",
                        err_text(code));
            set_paused(w, true);
            return;
        }
        if (make_room(w)) {
            client_new(l, fd, name);
        } else {
            counter_add(&w->rejected, 1);
            close(fd);
        }
    }
}

void listeners_close(struct web *w)
{
    for (size_t i = 0; i < w->listener_count; i++) {
        struct web_listener *l = &w->listener[i];
        if (l->event) {
            event_free(l->event);
            l->event = NULL;
        }
        if (l->fd >= 0) {
            close(l->fd);
            l->fd = -1;
            if (l->path) {
                (void)unlink(l->path); /* somebody may have cleaned up */
            }
        }
        free(l->path);
        l->path = NULL;
    }
}

/* ---- before ---- */

static bool is_any(const char *address)
{
    return !address || !*address || strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
}

static void describe(const struct web *w, const struct web_listener *l,
                     const struct web_place *place, struct web_spot *out)
{
    const char *address = place->address, *own = *w->host ? w->host : "localhost", *host = own;
    *out = (struct web_spot){ .exposed = !sock_loopback(l->fd), .port = l->port };
    if (l->port == 0) {
        (void)snprintf(out->name, sizeof out->name, "%s", l->path ? l->path : "a UNIX socket");
        return;
    }
    if (place->fd >= 0) {
        address = "systemd's";
        host = out->exposed ? own : "localhost";
    } else if (is_any(address)) {
        address = "all addresses";
    } else {
        host = address;
    }
    (void)snprintf(out->name, sizeof out->name, "%s port %d", address, out->port);
    (void)snprintf(out->url, sizeof out->url, strchr(host, ':') ? "//[%s]:%d" : "//%s:%d", host,
                   out->port);
}

/* A descriptor that systemd has opened may be of any kind. */
static int port_of(int fd)
{
    struct sockaddr_storage addr = { 0 };
    socklen_t size = sizeof addr;
    bool internet = getsockname(fd, (struct sockaddr *)&addr, &size) == 0 &&
                    (addr.ss_family == AF_INET || addr.ss_family == AF_INET6);
    return internet ? sock_port(fd) : 0;
}

int web_listen(struct web *w, const struct web_place *place, struct web_spot *out, struct err *err)
{
    struct web_listener *l = &w->listener[w->listener_count];
    int code = 0;
    if (w->listener_count == WEB_LISTENERS) {
        return err_set(err, -ENOSPC, "too many places to listen at");
    }
    *l = (struct web_listener){ .web = w, .fd = place->fd, .bit = place->bit };
    if (place->path) {
        l->path = strdup(place->path);
        code = l->path ? sock_listen_unix(place->path, &l->fd, err)
                       : err_set(err, -ENOMEM, "out of memory");
    } else if (place->fd < 0) {
        code = sock_listen(place->address, place->port, &l->fd, err);
    }
    if (code < 0) {
        free(l->path);
        return code;
    }
    w->listener_count++;
    l->port = port_of(l->fd);
    describe(w, l, place, out);
    return 0;
}

int listeners_open(struct web *w)
{
    for (size_t i = 0; i < w->listener_count; i++) {
        struct web_listener *l = &w->listener[i];
        l->event = event_new(w->base, l->fd, EV_READ | EV_PERSIST, on_accept, l);
        if (!l->event || event_add(l->event, NULL) < 0) {
            return -ENOMEM;
        }
    }
    return 0;
}
