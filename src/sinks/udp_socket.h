/* SPDX-License-Identifier: MIT */
/*
 * The socket of the UDP service: datagrams in with where they came from and to which of our addresses,
 * answers out the same way back (NAT and firewalls know only that), and what routers say of ours.
 * Threads: one.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "pcs/err.h"
#include "udp_train.h"

/* A port on `address`. `target` gets both as text. */
int udp_socket_open(const char *address, int port, int *out, char *target, size_t size,
                    struct err *err);

/* The next datagram's bytes (0 of one that is longer than `size`), or a negative errno. */
ssize_t udp_socket_hear(int fd, struct udp_route *from, void *data, size_t size);

/* Send a few bytes; that may fail like any datagram on its way. */
void udp_socket_say(int fd, const struct udp_route *to, const void *data, size_t size);

/* Why an earlier datagram to `to` did not arrive (a negative errno); 0: no more such news. */
int udp_socket_error(int fd, struct sockaddr_storage *to);
