/* SPDX-License-Identifier: MIT */
/*
 * Train: one picture on its way to one client of the UDP service, as datagrams: FRAME_START, then its
 * chunks in bursts. It is spread over a part of the time until the next picture, because a receiver's
 * socket holds some ninety datagrams by default, and a picture may have two hundred.
 * Life: zeroed; begin … end, which drops its reference to the frame. Threads: one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "pcs/udp_service.h"

struct frame;

#define UDP_CONTROL_MAX 64

/* How to reach a client: its address, and from which of ours (a control message, IP_PKTINFO). */
struct udp_route {
    struct sockaddr_storage to;
    socklen_t to_size;
    uint8_t control[UDP_CONTROL_MAX];
    size_t control_size;
    bool plain; /* on this way the kernel does not cut a train itself (UDP_SEGMENT) */
};

struct udp_train {
    const struct frame *frame; /* NULL: none on its way */
    struct udp_payload payload;
    uint32_t id, chunks, next; /* next: the chunk to send next */
    bool started;              /* FRAME_START is sent */
    int64_t due_us;            /* the next burst, not before */
    int64_t gap_ns;            /* from chunk to chunk */
};

/* `frame_us`: until the next picture, as far as is known. Takes a reference. */
void udp_train_begin(struct udp_train *t, const struct frame *frame, bool raw, uint32_t id,
                     int64_t frame_us, int64_t now_us);
void udp_train_end(struct udp_train *t);

/*
 * Send what is due. 0: all of it is sent. 1: the rest is due at t->due_us. -EAGAIN: the socket is full.
 * Other negative: this datagram cannot be sent (EMSGSIZE and EINVAL: try again with route->plain).
 */
int udp_train_send(struct udp_train *t, int fd, const struct udp_route *route, int64_t now_us);
