/* SPDX-License-Identifier: MIT */
/*
 * Client: one connection. It reads a request, has it answered, sends the reply, and so on; or it becomes a
 * stream, and then belongs to a feed's viewer.
 * Life: client_new by the listener; frees itself. Threads: the web thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "pcs/sock.h"

struct conn;
struct event;
struct viewer;
struct web;
struct web_listener;
struct web_request;

enum client_state {
    CLIENT_READING,
    CLIENT_ANSWERING, /* somebody has the request */
    CLIENT_SENDING,
    CLIENT_STREAMING,
    CLIENT_LINGERING, /* all is said; what the client still sends is read, so that it gets to read ours */
    CLIENT_CLOSED, /* freed by the turn that notices */
};

/* A reply on its way: a head of its own, and a body that is somebody else's. */
struct client_out {
    char *head;
    size_t head_size, body_size, sent;
    const void *body;
    void (*release)(void *arg);
    void *arg;
};

struct client {
    TAILQ_ENTRY(client) link;
    struct client_list *list;
    struct web *web;
    struct conn *conn;
    struct event *event;
    unsigned listener; /* its bit */
    bool secure;
    char name[SOCK_NAME_MAX];

    enum client_state state;
    bool running; /* a turn is under way: whoever changes the state need not start one */
    bool close;   /* after this reply */
    int64_t deadline_us;
    size_t lingered;

    struct {
        char *bytes;
        size_t size, space, scanned;
    } in;
    struct web_request *request; /* from its head's end until it is answered */
    struct client_out out;
    struct viewer *viewer; /* when streaming */
};

/* Takes the fd, also when it fails. */
void client_new(struct web_listener *listener, int fd, const char *name);
void client_free(struct client *c);
/* Does it keep bytes of a request or a reply? */
bool client_holds(const struct client *c);
/* Time is up: what that means depends on what it is doing. Frees it, or gives it a new deadline. */
void client_expire(struct client *c);

/* Something has changed: have a turn soon. */
void client_kick(struct client *c);
void client_kick_later(struct client *c); /* also when one is under way */
/* Send `out` (taken over). `close`: the last one. */
void client_send(struct client *c, const struct client_out *out, bool close);
/* The request is answered by a stream from here on. */
void client_stream(struct client *c, struct viewer *viewer);
/* What has been read and not been used, moved to `to`. */
size_t client_take_input(struct client *c, void *to, size_t size);
/* Read what there is: > 0 bytes, -EAGAIN, or another negative when the client is gone. */
int client_read(struct client *c, void *to, size_t size);
/* The stream has ended: half-close and go. */
void client_close(struct client *c);
