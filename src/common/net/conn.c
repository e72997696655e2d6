/* SPDX-License-Identifier: MIT */
#include "pcs/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "conn_internal.h"

static ssize_t plain_result(ssize_t n)
{
    if (n >= 0) {
        return n;
    }
    return errno == EWOULDBLOCK ? -EAGAIN : errno == ECONNRESET ? -EPIPE : -errno;
}

static ssize_t plain_sendv(struct conn *c, const struct iovec *iov, int count)
{
    struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count };
    ssize_t n;
    do {
        n = sendmsg(c->fd, &msg, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return plain_result(n);
}

static ssize_t plain_recvv(struct conn *c, const struct iovec *iov, int count)
{
    ssize_t n;
    do {
        n = readv(c->fd, iov, count);
    } while (n < 0 && errno == EINTR);
    return n == 0 ? -EPIPE : plain_result(n);
}

static void plain_shutdown(struct conn *c)
{
    (void)shutdown(c->fd, SHUT_WR); /* the peer may have gone first */
}

static const struct conn_transport plain = { plain_sendv, plain_recvv, plain_shutdown, NULL };

struct conn *conn_with(int fd, const struct conn_transport *transport, void *state)
{
    struct conn *c = malloc(sizeof *c);
    if (c) {
        *c = (struct conn){ .fd = fd, .transport = transport, .state = state };
    }
    return c;
}

struct conn *conn_new(int fd)
{
    return conn_with(fd, &plain, NULL);
}

void conn_free(struct conn *c)
{
    if (!c) {
        return;
    }
    if (c->transport->finish) {
        c->transport->finish(c);
    }
    close(c->fd);
    if (c->freed) {
        c->freed(c->freed_arg);
    }
    free(c);
}

void conn_on_free(struct conn *c, void (*freed)(void *arg), void *arg)
{
    c->freed = freed;
    c->freed_arg = arg;
}

int conn_fd(const struct conn *c)
{
    return c->fd;
}

ssize_t conn_sendv(struct conn *c, const struct iovec *iov, int count)
{
    return c->transport->sendv(c, iov, count);
}

ssize_t conn_recvv(struct conn *c, const struct iovec *iov, int count)
{
    return c->transport->recvv(c, iov, count);
}

void conn_shutdown(struct conn *c)
{
    c->transport->shutdown(c);
}
