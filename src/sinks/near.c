/* SPDX-License-Identifier: MIT */
#include "near.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>

#include "pcs/clock.h"

#define KEEP_US (10 * CLOCK_S)

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

void near_init(struct near *n)
{
    *n = (struct near){ 0 };
}

void near_finish(struct near *n)
{
    if (n->interfaces) {
        freeifaddrs(n->interfaces);
    }
    n->interfaces = NULL;
}

static bool private_v4(const uint8_t ip[4])
{
    return ip[0] == 127 || ip[0] == 10 || (ip[0] == 172 && ip[1] >> 4 == 1) ||
           (ip[0] == 192 && ip[1] == 168) || (ip[0] == 169 && ip[1] == 254);
}

bool near_always(const uint8_t ip[16])
{
    static const uint8_t loopback[16] = { [15] = 1 };
    if (memcmp(ip, mapped, sizeof mapped) == 0) {
        return private_v4(ip + 12);
    }
    return memcmp(ip, loopback, sizeof loopback) == 0 || (ip[0] & 0xfe) == 0xfc ||
           (ip[0] == 0xfe && ip[1] >> 6 == 2);
}

static bool same_network(const uint8_t *a, const uint8_t *b, const uint8_t *mask, size_t size)
{
    uint8_t differs = 0, any = 0;
    for (size_t i = 0; i < size; i++) {
        differs |= (uint8_t)((a[i] ^ b[i]) & mask[i]);
        any |= mask[i];
    }
    return any && !differs;
}

static bool on_link(const struct ifaddrs *i, const uint8_t ip[16])
{
    if (!i->ifa_addr || !i->ifa_netmask) {
        return false;
    }
    bool v4 = memcmp(ip, mapped, sizeof mapped) == 0;
    if (v4 && i->ifa_addr->sa_family == AF_INET) {
        const struct sockaddr_in *own = (const struct sockaddr_in *)(void *)i->ifa_addr;
        const struct sockaddr_in *mask = (const struct sockaddr_in *)(void *)i->ifa_netmask;
        return same_network(ip + 12, (const uint8_t *)&own->sin_addr,
                            (const uint8_t *)&mask->sin_addr, 4);
    }
    if (!v4 && i->ifa_addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *own = (const struct sockaddr_in6 *)(void *)i->ifa_addr;
        const struct sockaddr_in6 *mask = (const struct sockaddr_in6 *)(void *)i->ifa_netmask;
        return same_network(ip, own->sin6_addr.s6_addr, mask->sin6_addr.s6_addr, 16);
    }
    return false;
}

static void read_interfaces(struct near *n, int64_t now_us)
{
    if (n->read_us && now_us - n->read_us < KEEP_US) {
        return;
    }
    near_finish(n);
    if (getifaddrs(&n->interfaces) < 0) {
        n->interfaces = NULL; /* then only what is always near is */
    }
    n->read_us = now_us;
}

bool near_has(struct near *n, const uint8_t ip[16], int64_t now_us)
{
    if (near_always(ip)) {
        return true;
    }
    read_interfaces(n, now_us);
    for (const struct ifaddrs *i = n->interfaces; i; i = i->ifa_next) {
        if (on_link(i, ip)) {
            return true;
        }
    }
    return false;
}
