/* SPDX-License-Identifier: MIT */
/* How a connection's bytes travel: conn.c has the plain way, tls.c the other. */
#pragma once

#include <sys/types.h>

struct conn;
struct iovec;

/* The calls of pcs/conn.h, without the fd's own closing. `finish` may be NULL. */
struct conn_transport {
    ssize_t (*sendv)(struct conn *c, const struct iovec *iov, int count);
    ssize_t (*recvv)(struct conn *c, const struct iovec *iov, int count);
    void (*shutdown)(struct conn *c);
    void (*finish)(struct conn *c);
};

struct conn {
    int fd;
    const struct conn_transport *transport;
    void *state; /* of the transport */
    void (*freed)(void *arg);
    void *freed_arg;
};

struct conn *conn_with(int fd, const struct conn_transport *transport, void *state);
