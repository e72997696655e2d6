/* SPDX-License-Identifier: MIT */
/*
 * Byte-stream connection: plain, or TLS behind the same calls (pcs/tls.h). Non-blocking.
 * Life: conn_new takes the fd; conn_free closes it. Threads: one at a time.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

struct conn;
struct iovec;

struct conn *conn_new(int fd); /* NULL: no memory (the fd stays the caller's) */
void conn_free(struct conn *c);
/* `freed` is called when the connection ends in conn_free, in whichever thread that happens. */
void conn_on_free(struct conn *c, void (*freed)(void *arg), void *arg);
int conn_fd(const struct conn *c);

/*
 * One sendmsg/recvmsg. Bytes moved (> 0), -EAGAIN, -EPIPE when the peer is gone, other negative.
 * TLS: -EAGAIN may wait for either direction, so poll both, edge-triggered; after it, a sendv must begin
 * with the same bytes again.
 */
ssize_t conn_sendv(struct conn *c, const struct iovec *iov, int count);
ssize_t conn_recvv(struct conn *c, const struct iovec *iov, int count);

/* Half-close: no more from us. */
void conn_shutdown(struct conn *c);
