/* SPDX-License-Identifier: MIT */
/*
 * Feed: one hub's frames to any number of web clients, in the web thread. The hub is subscribed only while
 * somebody watches. Each frame is sent straight from where it is, by one sendmsg a client; a client whose
 * socket is full skips what it cannot have, is brought to the newest when it drains, and is closed after
 * 10 s without progress. Nobody else notices.
 *
 * Life: feed_new between web_new and web_start; freed by web_free. The hub outlives the server.
 * Threads: feed_new as web_new; feed_serve and feed_snapshot in the web thread; feed_get_stats any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct histogram;
struct hub;
struct web;
struct web_feed;
struct web_request;

enum web_feed_kind {
    FEED_MJPEG, /* multipart/x-mixed-replace of JPEG frames */
    FEED_WS,    /* WebSocket: H.264 access units, each with its capture time behind it */
};

struct web_feed *feed_new(struct web *web, enum web_feed_kind kind, struct hub *hub); /* or NULL */

/* Answer with the stream: the request's connection becomes a client. 503 when there are too many; for
 * FEED_WS 426 without a WebSocket's headers, 400 with wrong ones. */
void feed_serve(struct web_feed *feed, struct web_request *r);

/* FEED_MJPEG: answer with the newest picture, waiting for one for up to 2 s; 503 when there is none. */
void feed_snapshot(struct web_feed *feed, struct web_request *r);

struct feed_stats {
    uint64_t clients;
    uint64_t frames;  /* of the hub that went to at least one client */
    uint64_t sent;    /* frames × clients, whole ones */
    uint64_t skipped; /* frames × clients that were too slow for them */
    uint64_t bytes;
    bool ended; /* the hub has ended, and what was under way is sent */
};
void feed_get_stats(struct web_feed *feed, struct feed_stats *out);
const struct histogram *feed_latency(struct web_feed *feed); /* capture → handed to the kernel */
