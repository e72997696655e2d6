/* SPDX-License-Identifier: MIT */
#include "udp_clients.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SPACE 4

struct udp_where udp_where(const struct sockaddr *addr)
{
    struct udp_where w = { 0 };
    if (addr->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)addr;
        w.ip[10] = w.ip[11] = 0xff;
        memcpy(w.ip + 12, &in->sin_addr, 4);
        w.port = ntohs(in->sin_port);
    } else if (addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)addr;
        memcpy(w.ip, &in6->sin6_addr, 16);
        w.scope = in6->sin6_scope_id;
        w.port = ntohs(in6->sin6_port);
    }
    return w;
}

void udp_clients_init(struct udp_clients *c, size_t max)
{
    *c = (struct udp_clients){ .max = max };
}

void udp_clients_finish(struct udp_clients *c)
{
    while (c->count > 0) {
        udp_clients_remove(c, &c->list[c->count - 1]);
    }
    free(c->list);
    c->list = NULL;
    c->space = 0;
}

struct udp_client *udp_clients_find(struct udp_clients *c, const struct udp_where *where)
{
    for (size_t i = 0; i < c->count; i++) {
        if (memcmp(&c->list[i].where, where, sizeof *where) == 0) {
            return &c->list[i];
        }
    }
    return NULL;
}

void udp_clients_remove(struct udp_clients *c, struct udp_client *client)
{
    c->cut += client->train.frame != NULL;
    udp_train_end(&client->train);
    *client = c->list[--c->count]; /* their order means nothing */
}

static bool grow(struct udp_clients *c)
{
    if (c->count < c->space) {
        return true;
    }
    size_t space = c->space ? c->space * 2 : FIRST_SPACE;
    struct udp_client *list = realloc(c->list, space * sizeof *list);
    if (list) {
        c->list = list;
        c->space = space;
    }
    return list != NULL;
}

static bool has_room(const struct udp_clients *c, const struct udp_where *where)
{
    size_t same = 0;
    for (size_t i = 0; i < c->count; i++) {
        same += memcmp(c->list[i].where.ip, where->ip, sizeof where->ip) == 0;
    }
    return c->count < c->max && same < UDP_PER_HOST;
}

/* Somebody new who may have a place, if there is one. */
static enum udp_answer add(struct udp_clients *c, const struct udp_heard *heard, int64_t now_us)
{
    if (!has_room(c, &heard->where) || !grow(c)) {
        c->refused++;
        return UDP_SAY_FULL;
    }
    c->list[c->count++] = (struct udp_client){
        .where = heard->where, .route = heard->route, .raw = heard->raw, .heard_us = now_us
    };
    c->registered++;
    return UDP_SAY_REGISTERED;
}

static enum udp_answer hear_stranger(struct udp_clients *c, const struct udp_heard *heard,
                                     int64_t now_us)
{
    switch (heard->request) {
    case UDP_REGISTER:
    case UDP_REGISTER_RAW:
        return heard->near ? add(c, heard, now_us) : UDP_SAY_PROVE;
    case UDP_PROVE:
        return heard->proven ? add(c, heard, now_us) : UDP_SAY_NOTHING;
    default:
        return UDP_SAY_NOTHING;
    }
}

enum udp_answer udp_clients_hear(struct udp_clients *c, const struct udp_heard *heard,
                                 int64_t now_us)
{
    struct udp_client *client = udp_clients_find(c, &heard->where);
    if (!client) {
        return hear_stranger(c, heard, now_us);
    }
    switch (heard->request) {
    case UDP_REGISTER:
    case UDP_REGISTER_RAW:
        client->raw = heard->raw;
        client->route = heard->route;
        client->heard_us = now_us;
        return UDP_SAY_REGISTERED;
    case UDP_PROVE: /* again: our answer was lost */
        return heard->proven ? UDP_SAY_REGISTERED : UDP_SAY_NOTHING;
    case UDP_KEEPALIVE:
        client->heard_us = now_us;
        return UDP_SAY_NOTHING;
    case UDP_DISCONNECT:
        udp_clients_remove(c, client);
        return UDP_SAY_NOTHING;
    default:
        return UDP_SAY_NOTHING;
    }
}

int64_t udp_clients_expire(struct udp_clients *c, int64_t now_us)
{
    int64_t next_us = INT64_MAX;
    for (size_t i = 0; i < c->count;) {
        struct udp_client *client = &c->list[i];
        int64_t end_us = client->heard_us + UDP_SILENCE_US;
        if (now_us >= end_us) {
            udp_clients_remove(c, client); /* another one is in its place now */
            c->expired++;
            continue;
        }
        next_us = end_us < next_us ? end_us : next_us;
        i++;
    }
    return next_us;
}
