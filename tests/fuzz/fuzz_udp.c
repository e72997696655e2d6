/* SPDX-License-Identifier: MIT */
/*
 * Datagrams of several clients to the UDP service, one after the other: each is a byte that says who sends
 * it (address, port, whether it is believed, whether time passes), a length, and its bytes.
 */
#include <assert.h>
#include <netinet/in.h>
#include <string.h>

#include "pcs/bytes.h"
#include "sinks/udp_clients.h"

#define MAX 20

static void check(const struct udp_clients *c)
{
    assert(c->count <= MAX);
    for (size_t i = 0; i < c->count; i++) {
        size_t same = 0;
        for (size_t k = 0; k < c->count; k++) {
            bool ip = !memcmp(c->list[i].where.ip, c->list[k].where.ip, 16);
            same += ip;
            assert(k == i || !ip || c->list[i].where.port != c->list[k].where.port);
        }
        assert(same <= UDP_PER_HOST);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct udp_clients c;
    struct reader r = reader_on(data, size);
    int64_t now_us = 0;
    udp_clients_init(&c, MAX);
    while (reader_left(&r) >= 3) {
        uint8_t who = read_u8(&r), port = read_u8(&r), length = read_u8(&r);
        size_t n = length < reader_left(&r) ? length : reader_left(&r);
        const uint8_t *text = read_bytes(&r, n);
        struct sockaddr_in in = { .sin_family = AF_INET,
                                  .sin_port = (in_port_t)(1 + port),
                                  .sin_addr.s_addr = who & 3u };
        uint32_t cookie = 0;
        struct udp_heard h = { .where = udp_where((struct sockaddr *)&in), .near = who & 4 };
        h.request = udp_parse(text, n, &cookie);
        h.raw = h.request == UDP_REGISTER_RAW;
        h.proven = h.request == UDP_PROVE && cookie == (who & 3u);
        size_t before = c.count;
        enum udp_answer answer = udp_clients_hear(&c, &h, now_us);
        assert(c.count <= before || (answer == UDP_SAY_REGISTERED && (h.near || h.proven)));
        now_us += who & 8 ? UDP_SILENCE_US / 2 : 1;
        int64_t next_us = udp_clients_expire(&c, now_us);
        assert(next_us > now_us);
        check(&c);
    }
    udp_clients_finish(&c);
    return 0;
}
