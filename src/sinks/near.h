/* SPDX-License-Identifier: MIT */
/*
 * Near addresses: those whose sender could not lie about them from afar, because a router would have to
 * carry a packet from outside that claims to come from inside. Loopback; private and link-local addresses
 * (RFC 1918, 3927, 4193, 4291); the networks of this machine's own interfaces.
 * Life: init/finish in the caller's memory. Threads: one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct ifaddrs;

struct near {
    struct ifaddrs *interfaces; /* as of read_us */
    int64_t read_us;
};

void near_init(struct near *n);
void near_finish(struct near *n);

/* `ip`: IPv6, or IPv4 as ::ffff:a.b.c.d. Asks the kernel for its interfaces every 10 s at most. */
bool near_has(struct near *n, const uint8_t ip[16], int64_t now_us);

/* The same without the interfaces. */
bool near_always(const uint8_t ip[16]);
