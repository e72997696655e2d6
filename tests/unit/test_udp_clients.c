/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "sinks/near.h"
#include "sinks/udp_clients.h"

#define S ((int64_t)1000000)

static struct udp_heard heard(const char *ip, int port, enum udp_request request, bool near)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    assert_int_equal(inet_pton(AF_INET, ip, &in.sin_addr), 1);
    return (struct udp_heard){ .where = udp_where((struct sockaddr *)&in),
                               .request = request,
                               .raw = request == UDP_REGISTER_RAW,
                               .near = near };
}

static enum udp_answer hear(struct udp_clients *c, const char *ip, int port,
                            enum udp_request request, int64_t now_us)
{
    const struct udp_heard h = heard(ip, port, request, true);
    return udp_clients_hear(c, &h, now_us);
}

static void one_address_in_both_families_is_one(void **state)
{
    (void)state;
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(7) };
    assert_int_equal(inet_pton(AF_INET6, "::ffff:10.0.0.1", &in6.sin6_addr), 1);
    struct udp_where a = udp_where((struct sockaddr *)&in6);
    struct udp_where b = heard("10.0.0.1", 7, UDP_REGISTER, true).where;
    assert_memory_equal(&a, &b, sizeof a);
}

static void a_client_comes_and_goes(void **state)
{
    (void)state;
    struct udp_clients c;
    udp_clients_init(&c, 10);
    assert_int_equal(hear(&c, "10.0.0.1", 7, UDP_KEEPALIVE, 0), UDP_SAY_NOTHING);
    assert_int_equal(hear(&c, "10.0.0.1", 7, UDP_DISCONNECT, 0), UDP_SAY_NOTHING);
    assert_int_equal(c.count, 0);
    assert_int_equal(hear(&c, "10.0.0.1", 7, UDP_REGISTER, 0), UDP_SAY_REGISTERED);
    assert_int_equal(hear(&c, "10.0.0.1", 8, UDP_REGISTER_RAW, 0), UDP_SAY_REGISTERED);
    assert_int_equal(hear(&c, "10.0.0.1", 8, UDP_REGISTER_RAW, 0), UDP_SAY_REGISTERED);
    assert_int_equal(c.count, 2);
    assert_false(c.list[0].raw);
    assert_true(c.list[1].raw);
    assert_int_equal(hear(&c, "10.0.0.1", 8, UDP_REGISTER, 0), UDP_SAY_REGISTERED);
    assert_false(c.list[1].raw);
    assert_int_equal(hear(&c, "10.0.0.1", 7, UDP_DISCONNECT, 0), UDP_SAY_NOTHING);
    assert_int_equal(c.count, 1);
    assert_int_equal(c.list[0].where.port, 8);
    assert_int_equal(c.registered, 2);
    udp_clients_finish(&c);
}

static void silence_ends_it(void **state)
{
    (void)state;
    struct udp_clients c;
    udp_clients_init(&c, 10);
    assert_true(udp_clients_expire(&c, 0) == INT64_MAX);
    (void)hear(&c, "10.0.0.1", 7, UDP_REGISTER, 0);
    (void)hear(&c, "10.0.0.1", 8, UDP_REGISTER, 5 * S);
    assert_int_equal(udp_clients_expire(&c, 29 * S), 30 * S);
    (void)hear(&c, "10.0.0.1", 7, UDP_KEEPALIVE, 29 * S);
    assert_int_equal(udp_clients_expire(&c, 34 * S), 35 * S);
    assert_int_equal(udp_clients_expire(&c, 35 * S), 59 * S);
    assert_int_equal(c.count, 1);
    assert_true(udp_clients_expire(&c, 100 * S) == INT64_MAX);
    assert_int_equal(c.expired, 2);
    udp_clients_finish(&c);
}

static void places_are_limited(void **state)
{
    (void)state;
    struct udp_clients c;
    udp_clients_init(&c, UDP_PER_HOST + 2);
    for (int i = 0; i < 1000; i++) {
        enum udp_answer answer = hear(&c, "10.0.0.1", 1000 + i, UDP_REGISTER, 0);
        assert_int_equal(answer, i < UDP_PER_HOST ? UDP_SAY_REGISTERED : UDP_SAY_FULL);
    }
    assert_int_equal(hear(&c, "10.0.0.2", 1, UDP_REGISTER, 0), UDP_SAY_REGISTERED);
    assert_int_equal(hear(&c, "10.0.0.3", 1, UDP_REGISTER, 0), UDP_SAY_REGISTERED);
    assert_int_equal(hear(&c, "10.0.0.4", 1, UDP_REGISTER, 0), UDP_SAY_FULL);
    assert_int_equal(hear(&c, "10.0.0.3", 1, UDP_REGISTER, 0), UDP_SAY_REGISTERED);
    assert_int_equal(c.count, UDP_PER_HOST + 2);
    assert_int_equal(c.refused, 1000 - UDP_PER_HOST + 1);
    udp_clients_finish(&c);
}

static void who_is_far_must_answer_first(void **state)
{
    (void)state;
    struct udp_clients c;
    struct udp_heard h = heard("198.51.100.1", 7, UDP_REGISTER, false);
    udp_clients_init(&c, 10);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(udp_clients_hear(&c, &h, 0), UDP_SAY_PROVE);
    }
    h.request = UDP_KEEPALIVE;
    assert_int_equal(udp_clients_hear(&c, &h, 0), UDP_SAY_NOTHING);
    h.request = UDP_PROVE;
    assert_int_equal(udp_clients_hear(&c, &h, 0), UDP_SAY_NOTHING);
    assert_int_equal(c.count, 0);
    h.proven = h.raw = true;
    assert_int_equal(udp_clients_hear(&c, &h, 0), UDP_SAY_REGISTERED);
    assert_int_equal(udp_clients_hear(&c, &h, 0), UDP_SAY_REGISTERED);
    assert_int_equal(c.count, 1);
    assert_true(c.list[0].raw);
    udp_clients_finish(&c);
}

static bool is_near(const char *text)
{
    struct in6_addr in6;
    assert_int_equal(inet_pton(AF_INET6, text, &in6), 1);
    return near_always(in6.s6_addr);
}

static void networks_of_ours_are_near(void **state)
{
    (void)state;
    static const char *const near[] = { "::1",
                                        "fd00::1",
                                        "fe80::1",
                                        "febf::1",
                                        "::ffff:127.9.9.9",
                                        "::ffff:10.0.0.1",
                                        "::ffff:172.16.0.1",
                                        "::ffff:172.31.255.255",
                                        "::ffff:192.168.0.1",
                                        "::ffff:169.254.1.1" };
    static const char *const far[] = { "::",
                                       "::2",
                                       "2001:db8::1",
                                       "fec0::1",
                                       "fe40::1",
                                       "::ffff:11.0.0.1",
                                       "::ffff:172.32.0.1",
                                       "::ffff:172.15.0.1",
                                       "::ffff:192.169.0.1",
                                       "::ffff:198.51.100.1",
                                       "::ffff:0.0.0.0",
                                       "::127.0.0.1" };
    for (size_t i = 0; i < sizeof near / sizeof near[0]; i++) {
        assert_true(is_near(near[i]));
    }
    for (size_t i = 0; i < sizeof far / sizeof far[0]; i++) {
        assert_false(is_near(far[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_address_in_both_families_is_one),
        cmocka_unit_test(a_client_comes_and_goes),
        cmocka_unit_test(silence_ends_it),
        cmocka_unit_test(places_are_limited),
        cmocka_unit_test(who_is_far_must_answer_first),
        cmocka_unit_test(networks_of_ours_are_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
