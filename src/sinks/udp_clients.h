/* SPDX-License-Identifier: MIT */
/*
 * Clients of the UDP service: who is registered, who may be, and what a datagram of theirs changes. Pure:
 * the caller brings the time, the addresses and the cookie.
 *
 * Somebody who sends a datagram with another's address must not have us send that one more than was sent
 * to us. So an address that is not near (loopback, our own networks) is registered only when it gives back
 * the cookie that was sent to it; and until then gets answers that are no longer than its question. The
 * table holds no trace of it before.
 *
 * Life: init/finish in the caller's memory. Threads: one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "pcs/udp_service.h"
#include "udp_train.h"

#define UDP_SILENCE_US ((int64_t)30 * 1000 * 1000) /* then a client is gone */
#define UDP_PER_HOST   16                          /* clients of one address */

/* Address and port in one shape, to be compared and hashed byte by byte. */
struct udp_where {
    uint8_t ip[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint32_t scope;
    uint32_t port;
};

struct udp_where udp_where(const struct sockaddr *addr);

struct udp_client {
    struct udp_where where;
    struct udp_route route; /* how to reach it */
    bool raw;
    int64_t heard_us;
    uint32_t next_id;   /* of its next picture */
    uint64_t begun_seq; /* the picture that was last put on its way */
    struct udp_train train;
};

struct udp_clients {
    struct udp_client *list; /* `count` of `space`, which grows up to max */
    size_t count, space, max;
    uint64_t registered, refused, expired; /* ever */
    uint64_t cut;                          /* pictures whose client was removed halfway */
};

void udp_clients_init(struct udp_clients *c, size_t max);
void udp_clients_finish(struct udp_clients *c);

enum udp_answer {
    UDP_SAY_NOTHING,
    UDP_SAY_REGISTERED,
    UDP_SAY_PROVE, /* send the cookie */
    UDP_SAY_FULL,
};

/* A datagram, and who sent it. */
struct udp_heard {
    struct udp_where where;
    struct udp_route route;
    enum udp_request request;
    bool raw;    /* it wants the picture as it is */
    bool near;   /* its address is believed */
    bool proven; /* it brought the right cookie */
};

enum udp_answer udp_clients_hear(struct udp_clients *c, const struct udp_heard *heard,
                                 int64_t now_us);

struct udp_client *udp_clients_find(struct udp_clients *c, const struct udp_where *where);
void udp_clients_remove(struct udp_clients *c, struct udp_client *client);

/* Remove who has been silent for too long. When the next of them will have been; INT64_MAX: nobody. */
int64_t udp_clients_expire(struct udp_clients *c, int64_t now_us);
