/* SPDX-License-Identifier: MIT */
/*
 * Sockets: resolving, listening, connecting with a stop token, and the options that keep video
 * fresh. All sockets are non-blocking and close-on-exec.
 * Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "pcs/err.h"

struct stop;

#define SOCK_NAME_MAX 80 /* "[ipv6]:port" and its NUL */

/*
 * TCP listeners on `address` (NULL or "": every address, both families through one dual-stack
 * socket) and `port` (0: any free one). *out is the fd. A taken port is -EADDRINUSE with a line
 * that names it.
 */
int sock_listen(const char *address, int port, int *out, struct err *err);

/* A UNIX stream socket at `path`. One that nobody listens on any more is replaced. */
int sock_listen_unix(const char *path, int *out, struct err *err);
bool sock_loopback(int fd); /* can only this machine reach this listener? */

/* A port for datagrams, as sock_listen. */
int sock_bind_udp(const char *address, int port, int *out, struct err *err);

/* Next connection, or -EAGAIN. `name` gets "1.2.3.4:567", "local" of a UNIX socket. */
int sock_accept(int listener, int *out, char name[SOCK_NAME_MAX]);

/*
 * Resolve `host` (here and now; nothing interrupts a look-up, so threads that must not wait use
 * pcs/dial.h) and try its addresses in turn, each at most `timeout_us`. Returns 0 with *out and
 * `name`, -ECANCELED when stopped, else the last error.
 */
int sock_connect(const char *host, int port, struct stop *stop, int64_t timeout_us, int *out,
                 char name[SOCK_NAME_MAX], struct err *err);

/* Has `host` an address? Here and now, as above. 0, or why not. */
int sock_lookup(const char *host, struct err *err);

/* TCP_NODELAY, TCP_NOTSENT_LOWAT (bytes; 0 leaves it), TCP_USER_TIMEOUT and keep-alive (ms). */
void sock_tune(int fd, int notsent_lowat_bytes, int user_timeout_ms);

int sock_port(int fd); /* local port, or negative errno */
void sock_name(const struct sockaddr *addr, char name[SOCK_NAME_MAX]);
