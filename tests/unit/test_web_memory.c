/* SPDX-License-Identifier: MIT */
/*
 * The web server when there is no memory, and when visitors want more of it than they may have. Through the
 * whole server, without its thread: over socket pairs, with frames coming in between. One heap call fails after
 * the other, ours and libevent's; whichever it is, nothing of a visitor is left when he has gone.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "heap_watch.h"
#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/hub.h"
#include "pcs/pool.h"
#include "pcs/serve.h"
#include "web/client.h"
#include "web/feed.h"
#include "web/request.h"
#include "web/server.h"

struct bench {
    struct web *web;
    struct hub *jpeg, *h264;
    struct web_feed *mjpeg, *ws;
    struct pool *pool;
    struct web_listener listener;
    uint64_t seq;
};

/* ---- the server ---- */

static void get_stream(void *arg, struct web_request *r)
{
    feed_serve(((struct bench *)arg)->mjpeg, r);
}

static void get_snapshot(void *arg, struct web_request *r)
{
    feed_snapshot(((struct bench *)arg)->mjpeg, r);
}

static void get_ws(void *arg, struct web_request *r)
{
    feed_serve(((struct bench *)arg)->ws, r);
}

static void get_file(void *arg, struct web_request *r)
{
    static const struct web_file file = {
        .type = "text/plain", .data = "file", .size = 4, .etag = "\"1\""
    };
    (void)arg;
    web_reply_file(r, &file);
}

static void echo(void *arg, struct web_request *r)
{
    size_t size;
    (void)arg;
    const char *body = web_body(r, &size);
    web_reply_text(r, 200, "%s", body);
}

static const struct web_route routes[] = {
    { "/stream", WEB_GET, 0, 0, get_stream },
    { "/snapshot", WEB_GET, 0, 0, get_snapshot },
    { "/ws", WEB_GET, WEB_SAME_SITE, 0, get_ws },
    { "/file", WEB_GET, WEB_OPEN, 0, get_file },
    { "/echo", WEB_POST, 0, 0, echo },
    { NULL, 0, 0, 0, NULL },
};

static void close_bench(struct bench *b)
{
    web_free(b->web);
    hub_free(b->jpeg);
    hub_free(b->h264);
    pool_free(b->pool);
}

static int open_bench(struct bench *b)
{
    static const struct serve_config serve = { .max_clients = 3 };
    const struct web_config config = {
        .name = "test/1", .routes = routes, .arg = b, .not_found = "nothing", .serve = &serve
    };
    *b = (struct bench){ .pool = pool_new(1 << 20), .jpeg = hub_new(), .h264 = hub_new() };
    struct err err = { 0 };
    int code = b->pool && b->jpeg && b->h264 ? web_new(&b->web, &config, &err) : -1;
    if (code == 0) {
        b->mjpeg = feed_new(b->web, FEED_MJPEG, b->jpeg);
        b->ws = feed_new(b->web, FEED_WS, b->h264);
        b->listener = (struct web_listener){ .web = b->web, .fd = -1 };
        code = b->mjpeg && b->ws ? 0 : -1;
    }
    return code;
}

/* Without memory for one there is no frame; that is the encoder's business. */
static void publish(struct bench *b, struct hub *hub, size_t size)
{
    struct frame *f = pool_get(b->pool, size);
    if (!f) {
        return;
    }
    memset(f->buffer, 0x42, size);
    f->size = size;
    f->flags = FRAME_KEY;
    f->seq = ++b->seq;
    f->capture_us = f->stage_us[STAGE_ENCODED] = clock_now_us();
    f->wall_us = clock_wall_us();
    hub_publish(hub, f);
    frame_unref(f);
}

static void turn(struct bench *b)
{
    for (int i = 0; i < 3; i++) {
        (void)event_base_loop(b->web->base, EVLOOP_NONBLOCK);
    }
}

static void publish_both(struct bench *b)
{
    publish(b, b->jpeg, 3000);
    publish(b, b->h264, 3000);
    turn(b);
}

/* ---- visitors ---- */

static int enter(struct bench *b)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    client_new(&b->listener, pair[0], "test");
    return pair[1];
}

static void say(int fd, const void *text, size_t size)
{
    (void)!send(fd, text, size, MSG_NOSIGNAL); /* he may have been turned away */
}

static void drain(int fd)
{
    char away[65536];
    while (recv(fd, away, sizeof away, MSG_DONTWAIT) > 0) {
    }
}

#define HOST "Host: localhost\r\n"
static const char *const requests[] = {
    "GET /stream HTTP/1.1\r\n" HOST "User-Agent: test\r\n\r\n",
    "GET /ws HTTP/1.1\r\n" HOST
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n\x89\x81xxxx?", /* and a ping */
    "GET /snapshot HTTP/1.1\r\n" HOST "\r\n",
    "GET /file?a=b HTTP/1.1\r\n" HOST "\r\nGET /file HTTP/1.1\r\n" HOST
    "If-None-Match: \"1\"\r\n\r\n",
    "POST /echo HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    "GET /nothing HTTP/1.1\r\n" HOST "\r\n",
    "nonsense\r\n\r\n",
};

static void visit(struct bench *b, const char *text)
{
    int fd = enter(b);
    size_t size = strlen(text), half = size / 2;
    say(fd, text, half);
    turn(b);
    say(fd, text + half, size - half);
    turn(b);
    publish_both(b);
    drain(fd);
    publish_both(b);
    close(fd);
    publish_both(b); /* who only watches is missed when a frame does not reach him */
    publish_both(b);
}

static void expect_nobody(const struct bench *b)
{
    struct web_stats stats;
    web_get_stats(b->web, &stats);
    assert_int_equal(b->web->connections, 0);
    assert_int_equal(b->web->buffered, 0);
    assert_int_equal(stats.clients, 0);
    assert_int_equal(stats.connections, 0);
}

/* ---- no memory ---- */

static void test_a_server_is_whole_or_not_there(void **state)
{
    int code = -1;
    (void)state;
    for (unsigned long n = 1; code < 0; n++) {
        struct bench b;
        heap_fail_next(n);
        code = open_bench(&b);
        heap_fail_next(0);
        close_bench(&b);
        assert_in_range(n, 1, 1000);
    }
}

static void test_each_visit_ends_whatever_fails(void **state)
{
    struct bench b;
    (void)state;
    assert_int_equal(open_bench(&b), 0);
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        bool failed = true;
        for (unsigned long n = 1; failed; n++) {
            heap_fail_next(n);
            visit(&b, requests[i]);
            failed = heap_calls >= heap_fail_at;
            heap_fail_next(0);
            expect_nobody(&b);
            assert_in_range(n, 1, 1000);
        }
    }
    close_bench(&b);
}

/* ---- more than there is for visitors ---- */

#define CROWD   100
#define LIMIT   ((size_t)4 << 20) /* in place of WEB_BUFFERED_MAX */
#define PICTURE ((size_t)1 << 20)

static void leave_all(struct bench *b, const int *fd)
{
    for (size_t i = 0; i < CROWD; i++) {
        close(fd[i]);
    }
    for (size_t i = 0; i < CROWD; i++) {
        turn(b);
    }
    expect_nobody(b);
}

/* Bodies that never end, together more than a small machine has: who has waited longest goes. */
static void test_unfinished_requests_are_bounded(void **state)
{
    static const char head[] = "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 65000\r\n\r\n";
    static char body[60000];
    struct bench b;
    int fd[CROWD];
    (void)state;
    assert_int_equal(open_bench(&b), 0);
    b.web->max_buffered = LIMIT;
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < CROWD; i++) {
            fd[i] = enter(&b);
        }
        for (size_t i = 0; i < CROWD; i++) {
            say(fd[i], head, sizeof head - 1);
            say(fd[i], body, sizeof body);
            turn(&b);
            assert_in_range(b.web->buffered, 1, LIMIT);
        }
        leave_all(&b, fd);
    }
    close_bench(&b);
}

/* Pictures that nobody takes away: each would keep its frame. */
static void test_unread_replies_are_bounded(void **state)
{
    struct bench b;
    int fd[CROWD];
    (void)state;
    assert_int_equal(open_bench(&b), 0);
    b.web->max_buffered = LIMIT;
    for (size_t i = 0; i < CROWD; i++) {
        fd[i] = enter(&b);
        say(fd[i], requests[2], strlen(requests[2]));
        turn(&b);
        publish(&b, b.jpeg, PICTURE);
        turn(&b);
        assert_in_range(b.web->buffered, 1, LIMIT + PICTURE);
    }
    leave_all(&b, fd);
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_server_is_whole_or_not_there),
        cmocka_unit_test(test_each_visit_ends_whatever_fails),
        cmocka_unit_test(test_unfinished_requests_are_bounded),
        cmocka_unit_test(test_unread_replies_are_bounded),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    event_set_mem_functions(__wrap_malloc, __wrap_realloc, free);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
