/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "pcs/clock.h"
#include "pcs/conn.h"
#include "pcs/sock.h"
#include "pcs/stop.h"
#include "pcs/thread.h"

#define LONG_US (30 * CLOCK_S)

static struct stop *never; /* a token that nobody sets */

static int open_token(void **state)
{
    (void)state;
    never = stop_new();
    return never ? 0 : -1;
}

static int close_token(void **state)
{
    (void)state;
    stop_free(never);
    return 0;
}

static bool have_ipv6(void)
{
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool have = fd >= 0 && bind(fd, (struct sockaddr *)&in6, sizeof in6) == 0;
    close(fd);
    return have;
}

/* A bare root (debootstrap's) has no /etc/hosts. */
static bool have_localhost(void)
{
    struct addrinfo *list = NULL;
    bool have = getaddrinfo("localhost", NULL, NULL, &list) == 0;
    if (have) {
        freeaddrinfo(list);
    }
    return have;
}

static int listen_on(const char *address, int *port)
{
    struct err err = { 0 };
    int fd = -1, code = sock_listen(address, 0, &fd, &err);
    if (code != 0) {
        fail_msg("%s", err.text);
    }
    *port = sock_port(fd);
    assert_in_range(*port, 1, 65535);
    return fd;
}

static int connect_to(const char *host, int port)
{
    char name[SOCK_NAME_MAX];
    struct err err = { 0 };
    int fd = -1, code = sock_connect(host, port, never, LONG_US, &fd, name, &err);
    if (code != 0) {
        fail_msg("%s", err.text);
    }
    return fd;
}

static int accept_from(int listener, char name[SOCK_NAME_MAX])
{
    int fd = -1;
    assert_int_equal(stop_poll(never, listener, POLLIN, LONG_US), POLLIN);
    assert_int_equal(sock_accept(listener, &fd, name), 0);
    return fd;
}

static void name_of(char name[SOCK_NAME_MAX], const char *host, int port)
{
    bool v6 = strchr(host, ':');
    snprintf(name, SOCK_NAME_MAX, "%s%s%s:%d", v6 ? "[" : "", host, v6 ? "]" : "", port);
}

static bool is_plain_fd(int fd)
{
    return !(fcntl(fd, F_GETFL) & O_NONBLOCK) || !(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

/* Both ends know each other's name and are as promised. */
static void check_pair(int listener, const char *host, int port)
{
    char name[SOCK_NAME_MAX], peer[SOCK_NAME_MAX], want[SOCK_NAME_MAX];
    struct err err;
    int client = -1;
    assert_int_equal(sock_connect(host, port, never, LONG_US, &client, name, &err), 0);
    name_of(want, host, port);
    assert_string_equal(name, want);
    int server = accept_from(listener, peer);
    name_of(want, host, sock_port(client));
    assert_string_equal(peer, want); /* an IPv4 peer is not shown as ::ffff:… */
    assert_false(is_plain_fd(client) || is_plain_fd(server) || is_plain_fd(listener));
    close(client);
    close(server);
}

static void any_address_takes_both_families(void **state)
{
    (void)state;
    int port, listener = listen_on(NULL, &port);
    check_pair(listener, "127.0.0.1", port);
    if (have_ipv6()) {
        check_pair(listener, "::1", port);
    }
    close(listener);
    listener = listen_on("", &port);
    check_pair(listener, "127.0.0.1", port);
    close(listener);
}

static int refusal(const char *host, int port, struct err *err)
{
    char name[SOCK_NAME_MAX];
    int fd = -1;
    int code = sock_connect(host, port, never, LONG_US, &fd, name, err);
    assert_int_equal(fd, -1);
    return code;
}

static void one_address_takes_only_its_own(void **state)
{
    (void)state;
    struct err err;
    int port, listener = listen_on("127.0.0.1", &port);
    check_pair(listener, "127.0.0.1", port);
    if (have_ipv6()) {
        assert_int_equal(refusal("::1", port, &err), -ECONNREFUSED);
        close(listener);
        listener = listen_on("::1", &port);
        check_pair(listener, "::1", port);
        assert_int_equal(refusal("127.0.0.1", port, &err), -ECONNREFUSED);
    }
    close(listener);
}

static void a_name_will_do(void **state)
{
    (void)state;
    if (!have_localhost()) {
        skip();
    }
    int port, listener = listen_on("localhost", &port);
    close(connect_to("localhost", port));
    close(listener);
}

static void a_taken_port_is_named(void **state)
{
    (void)state;
    static const char *const addresses[] = { NULL, "127.0.0.1" };
    char number[8];
    int port, listener = listen_on(NULL, &port);
    snprintf(number, sizeof number, "%d", port);
    for (int i = 0; i < 2; i++) {
        struct err err = { 0 };
        int fd = -1;
        assert_int_equal(sock_listen(addresses[i], port, &fd, &err), -EADDRINUSE);
        assert_int_equal(err.code, -EADDRINUSE);
        assert_int_equal(fd, -1);
        assert_non_null(strstr(err.text, number));
        assert_non_null(strstr(err.text, "Address already in use"));
        assert_int_equal(sock_listen(addresses[i], port, &fd, NULL), -EADDRINUSE);
    }
    close(listener);
}

static void a_port_is_free_again_at_once(void **state)
{
    (void)state;
    struct err err;
    char name[SOCK_NAME_MAX];
    int port, listener = listen_on(NULL, &port);
    int client = connect_to("127.0.0.1", port), server = accept_from(listener, name);
    close(server); /* our side first: it lingers in TIME_WAIT */
    close(client);
    close(listener);
    assert_int_equal(sock_listen(NULL, port, &listener, &err), 0);
    close(listener);
}

static void a_wrong_address_is_named(void **state)
{
    (void)state;
    struct err err = { 0 };
    int fd = -1;
    assert_int_equal(sock_listen("192.0.2.1", 0, &fd, &err), -EADDRNOTAVAIL);
    assert_non_null(strstr(err.text, "192.0.2.1"));
    assert_int_equal(sock_listen("fe80::1%nowhere", 0, &fd, &err), -EHOSTUNREACH);
    assert_non_null(strstr(err.text, "fe80::1%nowhere"));
    assert_int_equal(refusal("fe80::1%nowhere", 1, &err), -EHOSTUNREACH);
    assert_non_null(strstr(err.text, "fe80::1%nowhere"));
    assert_int_equal(fd, -1);
}

static void a_refusal_is_named(void **state)
{
    (void)state;
    struct err err = { 0 };
    char want[SOCK_NAME_MAX];
    int port, listener = listen_on("127.0.0.1", &port);
    close(listener);
    assert_int_equal(refusal("127.0.0.1", port, &err), -ECONNREFUSED);
    snprintf(want, sizeof want, "127.0.0.1:%d: ", port);
    assert_memory_equal(err.text, want, strlen(want));
}

static void nobody_waiting_is_eagain(void **state)
{
    (void)state;
    char name[SOCK_NAME_MAX];
    int fd = -1, port, listener = listen_on(NULL, &port);
    assert_int_equal(sock_accept(listener, &fd, name), -EAGAIN);
    assert_int_equal(fd, -1);
    close(listener);
    assert_int_equal(sock_accept(listener, &fd, name), -EBADF);
}

/* A listener whose queue is full: further connects hang, as they do at a host that drops them. */
struct full {
    int listener, port, clients[4];
};

static void full_open(struct full *f)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->listener, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(f->listener, 0), 0);
    f->port = sock_port(f->listener);
    in.sin_port = htons((uint16_t)f->port);
    for (int i = 0; i < 4; i++) {
        f->clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(f->clients[i], (struct sockaddr *)&in, sizeof in);
    }
}

static void full_close(struct full *f)
{
    for (int i = 0; i < 4; i++) {
        close(f->clients[i]);
    }
    close(f->listener);
}

static void connecting_takes_no_longer_than_allowed(void **state)
{
    (void)state;
    struct full full;
    struct err err = { 0 };
    char name[SOCK_NAME_MAX];
    int fd = -1;
    full_open(&full);
    int64_t before_us = clock_now_us();
    assert_int_equal(sock_connect("127.0.0.1", full.port, never, 20 * CLOCK_MS, &fd, name, &err),
                     -ETIMEDOUT);
    assert_true(clock_now_us() - before_us >= 20 * CLOCK_MS);
    assert_int_equal(fd, -1);
    assert_non_null(strstr(err.text, "127.0.0.1"));
    full_close(&full);
}

static void request(void *stop)
{
    stop_request(stop);
}

static void connecting_stops_when_told(void **state)
{
    (void)state;
    struct full full;
    struct stop *stop = stop_new();
    struct thread thread;
    char name[SOCK_NAME_MAX];
    int fd = -1;
    full_open(&full);
    assert_int_equal(thread_start(&thread, "stopper", request, stop), 0);
    assert_int_equal(sock_connect("127.0.0.1", full.port, stop, LONG_US, &fd, name, NULL),
                     -ECANCELED);
    assert_int_equal(fd, -1);
    thread_join(&thread);
    stop_free(stop);
    full_close(&full);
}

static int option_of(int fd, int level, int option)
{
    int value = -1;
    socklen_t size = sizeof value;
    assert_int_equal(getsockopt(fd, level, option, &value, &size), 0);
    return value;
}

static void tuning_is_set(void **state)
{
    (void)state;
    int port, listener = listen_on(NULL, &port), fd = connect_to("127.0.0.1", port);
    sock_tune(fd, 65536, 9000);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 65536);
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 9000);
    assert_int_equal(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    close(fd);
    close(listener);
}

/* ---- conn ---- */

struct pair {
    struct conn *a, *b;
};

static void pair_open(struct pair *p)
{
    char name[SOCK_NAME_MAX];
    int port, listener = listen_on("127.0.0.1", &port), fd = connect_to("127.0.0.1", port);
    p->a = conn_new(fd);
    assert_int_equal(conn_fd(p->a), fd);
    p->b = conn_new(accept_from(listener, name));
    close(listener);
}

static void pair_close(struct pair *p)
{
    conn_free(p->a);
    conn_free(p->b);
    conn_free(NULL);
}

static ssize_t receive(struct conn *c, void *first, size_t n, void *second, size_t m)
{
    const struct iovec iov[2] = { { first, n }, { second, m } };
    assert_true(stop_poll(never, conn_fd(c), POLLIN, LONG_US) > 0);
    return conn_recvv(c, iov, 2);
}

static ssize_t send_text(struct conn *c, const char *text)
{
    return conn_sendv(c, &(struct iovec){ (void *)text, strlen(text) }, 1);
}

static void bytes_travel_gathered_and_scattered(void **state)
{
    (void)state;
    struct pair p;
    char first[4], second[20];
    char out[] = "abcdefghi";
    const struct iovec iov[3] = { { out, 2 }, { out + 2, 4 }, { out + 6, 3 } };
    pair_open(&p);
    assert_int_equal(conn_recvv(p.b, &(struct iovec){ first, 4 }, 1), -EAGAIN);
    assert_int_equal(conn_sendv(p.a, iov, 3), 9);
    assert_int_equal(receive(p.b, first, 4, second, 20), 9);
    assert_memory_equal(first, "abcd", 4);
    assert_memory_equal(second, "efghi", 5);
    pair_close(&p);
}

static void a_half_close_still_lets_the_peer_speak(void **state)
{
    (void)state;
    struct pair p;
    char first[4], second[4];
    pair_open(&p);
    conn_shutdown(p.a);
    assert_int_equal(receive(p.b, first, 4, second, 4), -EPIPE);
    assert_int_equal(send_text(p.b, "bye"), 3);
    assert_int_equal(receive(p.a, first, 4, second, 4), 3);
    pair_close(&p);
}

/* No signal, whatever the process does with SIGPIPE. */
static void a_peer_that_is_gone_is_epipe(void **state)
{
    (void)state;
    struct pair p;
    char first[4], second[4];
    pair_open(&p);
    assert_int_equal(send_text(p.a, "unread"), 6);
    assert_int_equal(stop_poll(never, conn_fd(p.b), POLLIN, LONG_US), POLLIN);
    conn_free(p.b); /* with unread bytes: a reset */
    p.b = NULL;
    assert_int_equal(receive(p.a, first, 4, second, 4), -EPIPE);
    assert_int_equal(send_text(p.a, "more"), -EPIPE);
    pair_close(&p);
}

static void a_full_socket_is_eagain(void **state)
{
    (void)state;
    static char bytes[1 << 20];
    struct pair p;
    ssize_t n, sent = 0;
    pair_open(&p);
    while ((n = conn_sendv(p.a, &(struct iovec){ bytes, sizeof bytes }, 1)) > 0) {
        sent += n;
    }
    assert_int_equal(n, -EAGAIN);
    assert_true(sent > 0);
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_address_takes_both_families),
        cmocka_unit_test(one_address_takes_only_its_own),
        cmocka_unit_test(a_name_will_do),
        cmocka_unit_test(a_taken_port_is_named),
        cmocka_unit_test(a_port_is_free_again_at_once),
        cmocka_unit_test(a_wrong_address_is_named),
        cmocka_unit_test(a_refusal_is_named),
        cmocka_unit_test(nobody_waiting_is_eagain),
        cmocka_unit_test(connecting_takes_no_longer_than_allowed),
        cmocka_unit_test(connecting_stops_when_told),
        cmocka_unit_test(tuning_is_set),
        cmocka_unit_test(bytes_travel_gathered_and_scattered),
        cmocka_unit_test(a_half_close_still_lets_the_peer_speak),
        cmocka_unit_test(a_peer_that_is_gone_is_epipe),
        cmocka_unit_test(a_full_socket_is_eagain),
    };
    return cmocka_run_group_tests(tests, open_token, close_token);
}
