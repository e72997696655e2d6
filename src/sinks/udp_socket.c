/* SPDX-License-Identifier: MIT */
#include "udp_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
/* after netinet/in.h */
#include <linux/errqueue.h>

#include "pcs/sock.h"

#define ERRORS     8         /* of earlier datagrams, which a read may tell of first */
#define SEND_BYTES (4 << 20) /* room for the pictures of many clients on a slow line */

static bool set_int(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

/* All of it makes a good service better; an old kernel may refuse. */
static void tune(int fd)
{
    if (!set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BYTES)) {
        (void)set_int(fd, SOL_SOCKET, SO_SNDBUF, SEND_BYTES);
    }
    (void)set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    (void)set_int(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
    (void)set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
    (void)set_int(fd, IPPROTO_IP, IP_RECVERR, 1);
}

int udp_socket_open(const char *address, int port, int *out, char *target, size_t size,
                    struct err *err)
{
    int fd;
    int code = sock_bind_udp(address, port, &fd, err);
    if (code < 0) {
        return code;
    }
    tune(fd);
    bool v6 = address && strchr(address, ':');
    (void)snprintf(target, size, v6 ? "[%s]:%d" : "%s:%d", address ? address : "*", sock_port(fd));
    *out = fd;
    return 0;
}

static bool is_pktinfo(const struct cmsghdr *c)
{
    return (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) ||
           (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO);
}

/* Answer from the address that was asked, by whatever interface the routes say. */
static void keep_route(struct udp_route *route, const struct cmsghdr *c)
{
    size_t payload = c->cmsg_len - CMSG_LEN(0), space = CMSG_SPACE(payload);
    if (space > sizeof route->control) {
        return;
    }
    memset(route->control, 0, space);
    memcpy(route->control, c, c->cmsg_len);
    route->control_size = space;
    uint8_t *data = route->control + CMSG_LEN(0);
    if (c->cmsg_level == IPPROTO_IP) {
        memset(data + offsetof(struct in_pktinfo, ipi_ifindex), 0,
               sizeof((struct in_pktinfo *)0)->ipi_ifindex);
    } else {
        memset(data + offsetof(struct in6_pktinfo, ipi6_ifindex), 0,
               sizeof((struct in6_pktinfo *)0)->ipi6_ifindex);
    }
}

ssize_t udp_socket_hear(int fd, struct udp_route *from, void *data, size_t size)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[256];
    } control;
    struct iovec iov = { data, size };
    struct msghdr m = { .msg_name = &from->to,
                        .msg_namelen = sizeof from->to,
                        .msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = control.bytes,
                        .msg_controllen = sizeof control.bytes };
    memset(&from->to, 0, sizeof from->to);
    ssize_t n = recvmsg(fd, &m, 0);
    for (int i = 0; n < 0 && errno != EWOULDBLOCK && i < ERRORS; i++) {
        n = recvmsg(fd, &m, 0);
    }
    if (n < 0) {
        return -EAGAIN;
    }
    from->to_size = m.msg_namelen;
    from->control_size = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (is_pktinfo(c) && from->control_size == 0) {
            keep_route(from, c);
        }
    }
    return m.msg_flags & MSG_TRUNC ? 0 : n; /* longer than anything we understand */
}

void udp_socket_say(int fd, const struct udp_route *to, const void *data, size_t size)
{
    const struct iovec iov = { (void *)data, size };
    const struct msghdr m = { .msg_name = (void *)&to->to,
                              .msg_namelen = to->to_size,
                              .msg_iov = (struct iovec *)&iov,
                              .msg_iovlen = 1,
                              .msg_control = to->control_size ? (void *)to->control : NULL,
                              .msg_controllen = to->control_size };
    if (sendmsg(fd, &m, MSG_NOSIGNAL) < 0 && errno != EWOULDBLOCK) {
        (void)sendmsg(fd, &m, MSG_NOSIGNAL); /* the first may have met another one's error */
    }
}

static int error_of(struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        bool v4 = c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR;
        bool v6 = c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR;
        if (v4 || v6) {
            struct sock_extended_err e;
            memcpy(&e, CMSG_DATA(c), sizeof e);
            return e.ee_errno ? -(int)e.ee_errno : -EIO;
        }
    }
    return -EIO;
}

int udp_socket_error(int fd, struct sockaddr_storage *to)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[512];
    } control;
    struct msghdr m = { .msg_name = to,
                        .msg_namelen = sizeof *to,
                        .msg_control = control.bytes,
                        .msg_controllen = sizeof control.bytes };
    memset(to, 0, sizeof *to);
    return recvmsg(fd, &m, MSG_ERRQUEUE) < 0 ? 0 : error_of(&m);
}
