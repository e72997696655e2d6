/* SPDX-License-Identifier: MIT */
/*
 * Hub: one stream, any number of subscribers, each with its own queue. Publishing takes no lock
 * while it pushes and allocates nothing; a slow subscriber loses by its own queue's policy and
 * nobody else notices. Without subscribers the producer is told (demand), so that encoders rest.
 *
 * Life: hub_new/hub_free by the pipeline; subscribers leave before hub_free.
 * Threads: any. Several producers may take turns (a camera, and what stands in for it): one publishes at a
 * time, the others wait.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pcs/format.h"

struct frame;
struct hub;
struct queue;

struct hub *hub_new(void);
void hub_free(struct hub *hub);

/* Hand `frame` to every subscriber (each takes a reference); the caller keeps its own. Key frames
 * are remembered. */
void hub_publish(struct hub *hub, const struct frame *frame);

/*
 * The same for a frame that only the caller knows yet, when producers take turns: its seq becomes one more
 * than were published so far, its capture time is made later than the last one's. A stand-in
 * (FRAME_STANDBY) that was made before a real frame came to hand is stale: false, nothing is published.
 */
bool hub_publish_next(struct hub *hub, struct frame *frame);

/* No more frames will come: closes every subscriber's queue, now and for later subscribers. */
void hub_end(struct hub *hub);

/* 0 or -ENOMEM. Asks the producer for a key frame. The hub keeps a reference to `q`. */
int hub_subscribe(struct hub *hub, struct queue *q);
void hub_unsubscribe(struct hub *hub, struct queue *q); /* a push in flight may still land in q */

bool hub_wanted(const struct hub *hub); /* has it any subscriber? */
/* `changed` is called, without locks, by whoever makes hub_wanted() change. It outlives the subscribers. */
void hub_on_demand(struct hub *hub, void (*changed)(void *arg), void *arg);

/* Subscribers ask for a key frame; the producer takes the wish once. */
void hub_request_key(struct hub *hub);
bool hub_take_key_request(struct hub *hub);

/*
 * From now on `hub` is another name of `target`: its subscribers are moved there, and all calls but
 * hub_free go there. Once, before anything was published to `hub`; `target` outlives it. For outputs that
 * want "the stream" before it is known which one that is.
 */
void hub_follow(struct hub *hub, struct hub *target);

/* The newest key frame with a reference, or NULL. */
const struct frame *hub_ref_key(struct hub *hub);
uint64_t hub_published(const struct hub *hub); /* frames so far */
