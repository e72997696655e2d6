/* SPDX-License-Identifier: MIT */
/*
 * A visitor's bytes through the whole server, without its thread: over a socket pair, in pieces, with frames
 * coming in between. Whatever he sends, nothing of him is left when he has gone.
 */
#include <assert.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/hub.h"
#include "pcs/pool.h"
#include "pcs/serve.h"
#include "web/client.h"
#include "web/feed.h"
#include "web/request.h"
#include "web/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Made once: what is fuzzed is what visitors do to a running server. */
struct bench {
    struct web *web;
    struct hub *jpeg, *h264;
    struct web_feed *mjpeg, *ws;
    struct pool *pool;
    struct web_listener listener;
    uint64_t seq;
};

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

static void echo(void *arg, struct web_request *r)
{
    size_t size;
    (void)arg;
    const char *body = web_body(r, &size), *what = web_query(r, "what");
    assert(strlen(body) <= size);
    (void)web_add_header(r, "X-What", what ? what : web_rest(r));
    web_reply_text(r, 200, "%s %zu", body, size);
}

static void forget(void *arg, struct web_request *r)
{
    (void)arg;
    (void)r; /* the server has to answer in its place */
}

static const struct web_route routes[] = {
    { "/stream", WEB_GET, 0, 0, get_stream },
    { "/snapshot", WEB_GET, 0, 0, get_snapshot },
    { "/ws", WEB_GET, WEB_SAME_SITE, 0, get_ws },
    { "/forget", WEB_GET, 0, 0, forget },
    { "/echo/", WEB_GET | WEB_POST | WEB_PUT, WEB_PREFIX | WEB_SAME_SITE, 0, echo },
    { NULL, 0, 0, 0, NULL },
};

static void publish(struct bench *b, struct hub *hub, size_t size)
{
    struct frame *f = pool_get(b->pool, size);
    assert(f);
    memset(f->buffer, 0x42, size);
    f->size = size;
    f->flags = FRAME_KEY;
    f->seq = ++b->seq;
    f->capture_us = f->stage_us[STAGE_ENCODED] = clock_now_us();
    f->wall_us = clock_wall_us();
    hub_publish(hub, f);
    frame_unref(f);
}

static struct bench *make_bench(void)
{
    static const struct serve_config serve = { .max_clients = 3 };
    static struct bench b;
    const struct web_config config = {
        .name = "fuzz/1", .routes = routes, .arg = &b, .not_found = "nothing", .serve = &serve
    };
    (void)signal(SIGPIPE, SIG_IGN);
    b.pool = pool_new(1 << 20);
    b.jpeg = hub_new();
    b.h264 = hub_new();
    int code = web_new(&b.web, &config, NULL);
    assert(b.pool && b.jpeg && b.h264 && code == 0);
    b.mjpeg = feed_new(b.web, FEED_MJPEG, b.jpeg);
    b.ws = feed_new(b.web, FEED_WS, b.h264);
    b.listener = (struct web_listener){ .web = b.web, .fd = -1 };
    assert(b.mjpeg && b.ws);
    return &b;
}

static void turn(struct bench *b)
{
    for (int i = 0; i < 3; i++) {
        (void)event_base_loop(b->web->base, EVLOOP_NONBLOCK);
    }
}

static void drain(int fd)
{
    char away[65536];
    while (recv(fd, away, sizeof away, MSG_DONTWAIT) > 0) {
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct bench *b;
    int pair[2];
    b = b ? b : make_bench();
    if (size < 2 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) < 0) {
        return 0;
    }
    size_t pieces = 1 + data[0] % 4, reads = data[1] % 2;
    data += 2;
    size -= 2;
    client_new(&b->listener, pair[0], "fuzz");
    for (size_t i = 0; i < pieces; i++) {
        size_t from = size * i / pieces, to = size * (i + 1) / pieces;
        (void)!send(pair[1], data + from, to - from, MSG_NOSIGNAL);
        turn(b);
        publish(b, b->jpeg, 3000);
        publish(b, b->h264, 300000);
        turn(b);
        if (reads) {
            drain(pair[1]);
        }
    }
    close(pair[1]);
    turn(b);
    publish(b, b->jpeg, 100); /* who only watches is missed when a frame does not reach him */
    publish(b, b->h264, 100);
    turn(b);
    assert(b->web->connections == 0 && b->web->buffered == 0);
    return 0;
}
