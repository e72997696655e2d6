/* SPDX-License-Identifier: MIT */
/*
 * A feed as its own files see it. Threads: the web thread, but for what is under its lock: the producer's
 * thread may send too.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "feed.h"
#include "pcs/stats.h"
#include "viewer.h"
#include "web.h"

#define FEED_FRESH_US ((int64_t)2000000) /* a picture that is older is no live one */

struct event;
struct frame;
struct queue;
struct web_later;

/* Somebody who waits for one picture. */
struct snapshot {
    TAILQ_ENTRY(snapshot) link;
    struct web_later *later;
    const struct frame *fallback; /* in case no newer one comes; or NULL */
    int64_t deadline_us;
};
TAILQ_HEAD(snapshot_list, snapshot);

struct web_feed {
    TAILQ_ENTRY(web_feed) link;
    struct web *web;
    enum web_feed_kind kind;
    struct hub *hub;
    struct queue *queue;
    struct event *event, *timer;

    bool subscribed;
    struct snapshot_list snapshots;

    pthread_mutex_t lock; /* guards what follows */
    struct viewer_list viewers;
    size_t count, secure; /* viewers; of these by TLS */
    struct part *last;    /* the newest */
    int64_t last_us;      /* when it came */
    int64_t asked_us;     /* for a key frame */
    bool alone;           /* the producer must leave the sending to the web thread */
    bool trouble;         /* a viewer has broken in the producer's thread */
    bool closed;          /* the hub has ended */
    bool ending;          /* the server stops */

    counter frames, sent, skipped, bytes;
    struct histogram latency;
};

void feed_free(struct web_feed *feed);
void feed_sweep(struct web_feed *feed, int64_t now_us); /* once a second */
void feed_end(struct web_feed *feed);                   /* what is under way is the last */
void feed_each(struct web_feed *feed, void (*each)(void *arg, const struct web_client_info *info),
               void *arg);
bool feed_subscribe(struct web_feed *feed);
void feed_left(struct web_feed *feed); /* somebody has: is anybody left? */
/* The newest frame of the hub that is a picture on its own, if it is fresh, with a reference; else NULL. */
const struct frame *feed_fresh_key(struct web_feed *feed, int64_t now_us);

/* ---- those who want one picture ---- */

bool snapshot_fits(const struct part *part); /* a picture of the camera's, no stand-in */
/* `frame` NULL: there is none. */
void snapshot_answer_all(struct web_feed *feed, const struct frame *frame);
void snapshot_tick(int fd, short what, void *feed); /* the feed's timer */
