/* SPDX-License-Identifier: MIT */
/*
 * A feed, its viewers, and the parts that it sends them: the same part to all, whose frame is not copied.
 * Threads: the web thread, but for what says otherwise; a part's count of references and all of a viewer's
 * sending are guarded by the feed's lock, because the producer's thread may do it too.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "feed.h"
#include "pcs/stats.h"
#include "web.h"

#define FEED_FRESH_US ((int64_t)2000000) /* a picture that is older is no live one */
#define VIEWER_PARTS  48 /* of a WebSocket: 30 frames, and room for answers to pings */

struct client;
struct event;
struct frame;
struct queue;
struct web_later;
struct ws;

/* What goes out in one piece: head, frame (or none), tail. */
struct part {
    unsigned refs;
    const struct frame *frame;
    bool key;
    size_t head_size, tail_size;
    char bytes[]; /* head, then tail */
};

struct part *part_new(const struct frame *frame, const void *head, size_t head_size,
                      const void *tail, size_t tail_size); /* its own reference; or NULL */
void part_unref(struct part *part);
size_t part_size(const struct part *part);

struct viewer {
    TAILQ_ENTRY(viewer) link;
    struct web_feed *feed;
    struct client *client;
    struct ws *ws; /* NULL: MJPEG */
    uint64_t id;
    int64_t since_us;
    char agent[120];

    /* under the feed's lock */
    struct part *ring[VIEWER_PARTS]; /* the first is being sent */
    size_t head, count;
    size_t offset;      /* of the first: sent so far */
    bool tried;         /* … or at least offered to the kernel */
    bool blocked;       /* the socket is full; its event will tell */
    bool need_key;      /* WebSocket: nothing before the next key frame */
    bool closing;       /* … when all is sent */
    bool broken;        /* to be freed by the web thread */
    int64_t waiting_us; /* since when nothing has moved though there is something to send */
    uint64_t frames, skipped, bytes;
    int64_t delay_us;
};

TAILQ_HEAD(viewer_list, viewer);

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

/* ---- one viewer ---- */

/* NULL: no memory. It joins by feed_join. */
struct viewer *viewer_new(struct web_feed *feed, struct client *client, const char *agent);
/* The socket may have moved. False: it is over, free the client. */
bool viewer_turn(struct viewer *v);
void viewer_leave(struct viewer *v); /* out of the feed, and freed */
void viewer_free(struct viewer *v);  /* one that never joined */

/* The rest with the feed's lock held. */
/* Whatever the policy, in any case: an answer's head, an answer to a ping. False: broken. */
bool viewer_push_locked(struct viewer *v, struct part *part);
/* A frame, which it may skip. */
void viewer_offer_locked(struct viewer *v, struct part *part);
void viewer_send_locked(struct viewer *v);
void viewer_end_locked(struct viewer *v);

/* ---- the ways of framing ---- */

struct part *mjpeg_hello(const struct client *c, const struct web_request *r); /* or NULL */
struct part *mjpeg_part(const struct frame *frame);
struct part *mjpeg_goodbye(void);
