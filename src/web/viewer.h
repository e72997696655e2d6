/* SPDX-License-Identifier: MIT */
/*
 * Viewer: a client that watches a feed, what it is still to be sent, and what it has missed.
 * Life: viewer_new → in the feed's list → viewer_leave, by its client. Threads: the web thread; what is under
 * the feed's lock also the producer's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "part.h"

#define VIEWER_PARTS 48 /* of a WebSocket: 30 frames, and room for answers to pings */

struct client;
struct web_feed;
struct ws;

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

/* NULL: no memory. It joins its feed by being put into the list. */
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
