/* SPDX-License-Identifier: MIT */
/*
 * TLS for visitors: a certificate chain and its key make connections (pcs/conn.h) of accepted sockets.
 * TLS 1.3 only. The handshake is part of the first conn_recvv.
 * Life: tls_server_new/tls_server_free, after the last of its connections. Threads: any, once made.
 */
#pragma once

#include "pcs/err.h"

struct conn;
struct tls_server;

/* PEM files. 0, or negative with a line that names the file. */
int tls_server_new(struct tls_server **out, const char *cert, const char *key, struct err *err);
void tls_server_free(struct tls_server *server);

/* Takes the fd. NULL: no memory (the fd stays the caller's). */
struct conn *tls_server_conn(struct tls_server *server, int fd);
