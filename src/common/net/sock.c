/* SPDX-License-Identifier: MIT */
#include "pcs/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "pcs/stop.h"

#define BACKLOG 256

void sock_name(const struct sockaddr *addr, char name[SOCK_NAME_MAX])
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)addr;
        if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
            inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], host, sizeof host);
            (void)snprintf(name, SOCK_NAME_MAX, "%s:%d", host, ntohs(in6->sin6_port));
        } else {
            inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
            (void)snprintf(name, SOCK_NAME_MAX, "[%s]:%d", host, ntohs(in6->sin6_port));
        }
        return;
    }
    if (addr->sa_family == AF_UNIX) {
        (void)snprintf(name, SOCK_NAME_MAX, "local");
        return;
    }
    const struct sockaddr_in *in = (const struct sockaddr_in *)addr;
    inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
    (void)snprintf(name, SOCK_NAME_MAX, "%s:%d", host, ntohs(in->sin_port));
}

static void set_int(int fd, int level, int option, int value)
{
    /* Tuning that an old kernel may not know; the stream works without it. */
    (void)setsockopt(fd, level, option, &value, sizeof value);
}

void sock_tune(int fd, int notsent_lowat_bytes, int user_timeout_ms)
{
    set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (notsent_lowat_bytes > 0) {
        set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, notsent_lowat_bytes);
    }
    if (user_timeout_ms > 0) {
        set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
        set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, 5);
        set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, 2);
        set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, 4);
        set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, user_timeout_ms);
    }
}

static int resolve(const char *host, int port, int type, int flags, struct addrinfo **out,
                   struct err *err)
{
    char service[8];
    (void)snprintf(service, sizeof service, "%d", port);
    const struct addrinfo hints = { .ai_family = AF_UNSPEC,
                                    .ai_socktype = type,
                                    .ai_flags = flags | AI_NUMERICSERV };
    int code = getaddrinfo(host, service, &hints, out);
    if (code == 0) {
        return 0;
    }
    return err_set(err, code == EAI_SYSTEM ? -errno : -EHOSTUNREACH, "%s: %s", host,
                   code == EAI_SYSTEM ? err_text(errno) : gai_strerror(code));
}

int sock_lookup(const char *host, struct err *err)
{
    struct addrinfo *list;
    int code = resolve(host, 0, SOCK_STREAM, 0, &list, err);
    if (code == 0) {
        freeaddrinfo(list);
    }
    return code;
}

static int try_listen(const struct addrinfo *ai, int type)
{
    bool stream = type == SOCK_STREAM;
    int fd = socket(ai->ai_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    if (stream) { /* of datagrams it would let a second program take the port */
        set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    }
    if (ai->ai_family == AF_INET6) {
        set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    }
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || (stream && listen(fd, BACKLOG) < 0)) {
        int code = -errno;
        close(fd);
        return code;
    }
    return fd;
}

/* Every address: one IPv6 socket takes both families; without IPv6 in the kernel, IPv4 alone. */
static int listen_any(int port, int type)
{
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
    struct addrinfo ai = { .ai_family = AF_INET6,
                           .ai_addr = (struct sockaddr *)&in6,
                           .ai_addrlen = sizeof in6 };
    int fd = try_listen(&ai, type);
    if (fd != -EAFNOSUPPORT && fd != -EADDRNOTAVAIL) {
        return fd;
    }
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    ai = (struct addrinfo){ .ai_family = AF_INET,
                            .ai_addr = (struct sockaddr *)&in,
                            .ai_addrlen = sizeof in };
    return try_listen(&ai, type);
}

static int open_port(const char *address, int port, int type, int *out, struct err *err)
{
    bool any = !address || !*address;
    int fd;
    if (any) {
        fd = listen_any(port, type);
    } else {
        struct addrinfo *list;
        int code = resolve(address, port, type, AI_PASSIVE, &list, err);
        if (code < 0) {
            return code;
        }
        fd = -EADDRNOTAVAIL;
        for (const struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next) {
            fd = try_listen(ai, type); /* "localhost" is ::1 first, even where there is no IPv6 */
        }
        freeaddrinfo(list);
    }
    if (fd < 0) {
        return err_set(err, fd, "cannot listen on %s%s port %d: %s", any ? "any address," : address,
                       type == SOCK_DGRAM ? " UDP" : "", port, err_text(fd));
    }
    *out = fd;
    return 0;
}

/* Is the socket file of one who has gone? */
static bool deserted(const struct sockaddr_un *un)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool refused = fd >= 0 && connect(fd, (const struct sockaddr *)un, sizeof *un) < 0 &&
                   errno == ECONNREFUSED;
    if (fd >= 0) {
        close(fd);
    }
    return refused;
}

static int bind_unix(int fd, const struct sockaddr_un *un)
{
    if (bind(fd, (const struct sockaddr *)un, sizeof *un) == 0) {
        return 0;
    }
    if (errno != EADDRINUSE || !deserted(un)) {
        return -errno;
    }
    (void)unlink(un->sun_path); /* then the second try says why not */
    return bind(fd, (const struct sockaddr *)un, sizeof *un) == 0 ? 0 : -errno;
}

int sock_listen_unix(const char *path, int *out, struct err *err)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    if (!*path || strlen(path) >= sizeof un.sun_path) {
        return err_set(err, -ENAMETOOLONG, "%s: a UNIX socket's path has 1 to %zu bytes", path,
                       sizeof un.sun_path - 1);
    }
    memcpy(un.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int code = fd < 0 ? -errno : bind_unix(fd, &un);
    if (code == 0 && listen(fd, BACKLOG) < 0) {
        code = -errno;
    }
    if (code < 0) {
        if (fd >= 0) {
            close(fd);
        }
        return err_set(err, code, "cannot listen on %s: %s", path, err_text(code));
    }
    *out = fd;
    return 0;
}

bool sock_loopback(int fd)
{
    struct sockaddr_storage addr = { 0 };
    socklen_t size = sizeof addr;
    if (getsockname(fd, (struct sockaddr *)&addr, &size) < 0) {
        return false;
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&addr;
    const struct sockaddr_in *in = (const struct sockaddr_in *)&addr;
    switch (addr.ss_family) {
    case AF_UNIX:
        return true;
    case AF_INET6:
        return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) && in6->sin6_addr.s6_addr[12] == 127);
    case AF_INET:
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    default:
        return false;
    }
}

int sock_listen(const char *address, int port, int *out, struct err *err)
{
    return open_port(address, port, SOCK_STREAM, out, err);
}

int sock_bind_udp(const char *address, int port, int *out, struct err *err)
{
    return open_port(address, port, SOCK_DGRAM, out, err);
}

int sock_accept(int listener, int *out, char name[SOCK_NAME_MAX])
{
    struct sockaddr_storage addr = { 0 };
    socklen_t size = sizeof addr;
    int fd;
    do {
        fd = accept4(listener, (struct sockaddr *)&addr, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (fd < 0 && (errno == EINTR || errno == ECONNABORTED || errno == EPROTO));
    if (fd < 0) {
        return errno == EWOULDBLOCK ? -EAGAIN : -errno;
    }
    sock_name((struct sockaddr *)&addr, name);
    *out = fd;
    return 0;
}

static int connect_one(const struct addrinfo *ai, struct stop *stop, int64_t timeout_us, int *out)
{
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    int code = connect(fd, ai->ai_addr, ai->ai_addrlen) == 0 ? 0 : -errno;
    if (code == -EINPROGRESS) {
        int events = stop_poll(stop, fd, POLLOUT, timeout_us);
        socklen_t size = sizeof code;
        code = events == 0 ? -ETIMEDOUT : events < 0 ? events : 0;
        int failure = 0;
        if (code == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &size) == 0) {
            code = -failure;
        }
    }
    if (code < 0) {
        close(fd);
        return code;
    }
    *out = fd;
    return 0;
}

int sock_connect(const char *host, int port, struct stop *stop, int64_t timeout_us, int *out,
                 char name[SOCK_NAME_MAX], struct err *err)
{
    struct addrinfo *list;
    int code = resolve(host, port, SOCK_STREAM, 0, &list, err);
    if (code < 0) {
        return code;
    }
    for (const struct addrinfo *ai = list; ai; ai = ai->ai_next) {
        sock_name(ai->ai_addr, name);
        code = connect_one(ai, stop, timeout_us, out);
        if (code == 0 || code == -ECANCELED) {
            break;
        }
        err_set(err, code, "%s: %s", name, err_text(code));
    }
    freeaddrinfo(list);
    return code;
}

int sock_port(int fd)
{
    struct sockaddr_storage addr;
    socklen_t size = sizeof addr;
    if (getsockname(fd, (struct sockaddr *)&addr, &size) < 0) {
        return -errno;
    }
    /* sin_port and sin6_port lie at the same place. */
    return ntohs(((struct sockaddr_in *)&addr)->sin_port);
}
