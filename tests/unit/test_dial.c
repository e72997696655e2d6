/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pcs/clock.h"
#include "pcs/dial.h"
#include "pcs/stop.h"

#define LONG_MS 30000
#define LONG_US (30 * CLOCK_S)

/* ---- a name service that answers when it is told to ---- */

static struct stop *asked, *answer; /* never freed: a thread left behind may still look at them */

int __real_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out);
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out);

int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                       struct addrinfo **out)
{
    if (strcmp(host, "slow.invalid") != 0) {
        return __real_getaddrinfo(host, service, hints, out);
    }
    stop_request(asked);
    (void)stop_wait(answer, LONG_US);
    return __real_getaddrinfo("127.0.0.1", service, hints, out);
}

static int setup(void **state)
{
    (void)state;
    asked = stop_new();
    answer = stop_new();
    return asked && answer ? 0 : -1;
}

/* ---- */

static int listener(int *port)
{
    struct err err = { 0 };
    int fd = -1;
    assert_int_equal(sock_listen("127.0.0.1", 0, &fd, &err), 0);
    *port = sock_port(fd);
    return fd;
}

static int wait_and_take(struct dial *d, int *fd, char name[SOCK_NAME_MAX], struct err *err)
{
    struct pollfd p = { .fd = dial_fd(d), .events = POLLIN };
    assert_int_equal(poll(&p, 1, LONG_MS), 1);
    return dial_take(d, fd, name, err);
}

static void connects(void **state)
{
    (void)state;
    struct dial *d;
    struct err err = { 0 };
    char name[SOCK_NAME_MAX];
    int port, fd = -1, server = listener(&port);
    assert_int_equal(dial_start(&d, "127.0.0.1", port, LONG_US), 0);
    assert_int_equal(wait_and_take(d, &fd, name, &err), 0);
    dial_free(d);
    assert_non_null(strstr(name, "127.0.0.1:"));
    assert_int_equal(write(fd, "x", 1), 1); /* it is ours and open */
    close(fd);
    close(server);
}

static void says_why_not(void **state)
{
    (void)state;
    struct dial *d;
    struct err err = { 0 };
    char name[SOCK_NAME_MAX];
    int port, fd = -1, server = listener(&port);
    close(server);
    assert_int_equal(dial_start(&d, "127.0.0.1", port, LONG_US), 0);
    assert_int_equal(wait_and_take(d, &fd, name, &err), -ECONNREFUSED);
    assert_non_null(strstr(err.text, "127.0.0.1:"));
    assert_int_equal(fd, -1);
    dial_free(d);
}

static void a_look_up_that_hangs_holds_nobody_up(void **state)
{
    (void)state;
    struct dial *d;
    struct err err = { 0 };
    char name[SOCK_NAME_MAX];
    int port, fd = -1, server = listener(&port);
    assert_int_equal(dial_start(&d, "slow.invalid", port, LONG_US), 0);
    assert_true(stop_wait(asked, LONG_US));
    assert_int_equal(dial_take(d, &fd, name, &err), -EAGAIN);
    dial_free(d); /* returns while the look-up hangs; its thread frees the rest */
    stop_request(answer);
    close(server);
}

static void looks_names_up(void **state)
{
    (void)state;
    struct dial *d;
    struct err err = { 0 };
    char name[SOCK_NAME_MAX];
    int fd = 7;
    assert_int_equal(dial_lookup(&d, "localhost"), 0);
    assert_int_equal(wait_and_take(d, &fd, name, &err), 0);
    assert_int_equal(fd, -1);
    dial_free(d);
    assert_int_equal(dial_lookup(&d, "no such host"), 0);
    assert_int_equal(wait_and_take(d, &fd, name, &err), -EHOSTUNREACH);
    assert_non_null(strstr(err.text, "no such host"));
    dial_free(d);
}

static void one_given_up_leaves_no_connection(void **state)
{
    (void)state;
    struct dial *d;
    int port, server = listener(&port);
    assert_int_equal(dial_start(&d, "127.0.0.1", port, LONG_US), 0);
    dial_free(d); /* decided or not: whatever it got is closed */
    struct pollfd p = { .fd = server, .events = POLLIN };
    if (poll(&p, 1, 200) == 1) {
        char name[SOCK_NAME_MAX], byte;
        int fd;
        assert_int_equal(sock_accept(server, &fd, name), 0);
        p.fd = fd;
        assert_int_equal(poll(&p, 1, LONG_MS), 1);
        assert_true(read(fd, &byte, 1) <= 0);
        close(fd);
    }
    close(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connects),
        cmocka_unit_test(says_why_not),
        cmocka_unit_test(looks_names_up),
        cmocka_unit_test(one_given_up_leaves_no_connection),
        cmocka_unit_test(a_look_up_that_hangs_holds_nobody_up),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
