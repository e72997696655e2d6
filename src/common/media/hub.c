/* SPDX-License-Identifier: MIT */
/*
 * The list of subscribers is an immutable array with a reference count; subscribing replaces it. A
 * publisher holds the list it found while it pushes, so pushing needs no lock of the hub, and
 * nothing is allocated for a frame.
 */
#include "pcs/hub.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "pcs/frame.h"
#include "pcs/queue.h"

struct list {
    atomic_uint refs;
    size_t count;
    struct queue *queue[];
};

struct hub {
    /* Held while one frame is pushed to all. Nobody takes it from within: what a push calls only reads. */
    pthread_mutex_t producing; /* guards these */
    int64_t last_us;           /* capture time of the newest frame */
    int64_t live_us;           /* when the newest real one came to hand */

    pthread_mutex_t lock; /* guards list, key, ended and changed */
    struct list *list;    /* NULL = nobody */
    const struct frame *key;
    bool ended;
    atomic_bool wanted, key_requested;
    _Atomic uint64_t published;
    _Atomic(struct hub *) target; /* set once: hub_follow */
    void (*changed)(void *arg);
    void *changed_arg;
};

static void list_unref(struct list *list)
{
    if (list && atomic_fetch_sub_explicit(&list->refs, 1, memory_order_acq_rel) == 1) {
        for (size_t i = 0; i < list->count; i++) {
            queue_unref(list->queue[i]);
        }
        free(list);
    }
}

/* A new list with everyone of `old` but `without`, plus `with` (either may be NULL). */
static struct list *list_make(const struct list *old, struct queue *with,
                              const struct queue *without)
{
    size_t old_count = old ? old->count : 0;
    struct list *list = malloc(sizeof *list + (old_count + 1) * sizeof(struct queue *));
    if (!list) {
        return NULL;
    }
    atomic_init(&list->refs, 1);
    list->count = 0;
    for (size_t i = 0; i < old_count; i++) {
        if (old->queue[i] != without) {
            list->queue[list->count++] = queue_ref(old->queue[i]);
        }
    }
    if (with) {
        list->queue[list->count++] = queue_ref(with);
    }
    return list;
}

/* Whom a call to `hub` is for. */
static struct hub *resolve(const struct hub *hub)
{
    struct hub *target = atomic_load_explicit(&hub->target, memory_order_acquire);
    return target ? target : (struct hub *)hub;
}

struct hub *hub_new(void)
{
    struct hub *hub = calloc(1, sizeof *hub);
    if (hub) {
        pthread_mutex_init(&hub->lock, NULL);
        pthread_mutex_init(&hub->producing, NULL);
        hub->last_us = INT64_MIN;
    }
    return hub;
}

void hub_free(struct hub *hub)
{
    if (!hub) {
        return;
    }
    list_unref(hub->list);
    frame_unref(hub->key);
    pthread_mutex_destroy(&hub->lock);
    pthread_mutex_destroy(&hub->producing);
    free(hub);
}

static struct list *ref_list(struct hub *hub, const struct frame *key)
{
    const struct frame *old_key = NULL;
    pthread_mutex_lock(&hub->lock);
    struct list *list = hub->list;
    if (list) {
        atomic_fetch_add_explicit(&list->refs, 1, memory_order_relaxed);
    }
    if (key) {
        old_key = hub->key;
        hub->key = frame_ref(key);
    }
    pthread_mutex_unlock(&hub->lock);
    frame_unref(old_key);
    return list;
}

static void push_to_all(struct hub *hub, const struct frame *frame)
{
    /* What may be a driver's buffer is never kept: the driver wants it back. */
    bool keep = (frame->flags & (FRAME_KEY | FRAME_DRIVER)) == FRAME_KEY &&
                format_info(frame->format.id)->compressed;
    struct list *list = ref_list(hub, keep ? frame : NULL);
    atomic_fetch_add_explicit(&hub->published, 1, memory_order_relaxed);
    bool want_key = false;
    for (size_t i = 0; list && i < list->count; i++) {
        want_key |= queue_push(list->queue[i], frame) == QUEUE_WANT_KEY;
    }
    list_unref(list);
    if (want_key) {
        hub_request_key(hub);
    }
}

void hub_publish(struct hub *hub, const struct frame *frame)
{
    hub = resolve(hub);
    pthread_mutex_lock(&hub->producing);
    push_to_all(hub, frame);
    pthread_mutex_unlock(&hub->producing);
}

/* A place in the row for `frame`; false when it is stale. */
static bool take_turn(struct hub *hub, struct frame *frame)
{
    bool standby = frame->flags & FRAME_STANDBY;
    if (standby && frame->capture_us <= hub->live_us) {
        return false;
    }
    if (!standby && frame->stage_us[STAGE_DEQUEUED] > hub->live_us) {
        hub->live_us = frame->stage_us[STAGE_DEQUEUED];
    }
    if (frame->capture_us <= hub->last_us) {
        frame->capture_us = hub->last_us + 1;
    }
    hub->last_us = frame->capture_us;
    frame->seq = hub_published(hub) + 1;
    return true;
}

bool hub_publish_next(struct hub *hub, struct frame *frame)
{
    hub = resolve(hub);
    pthread_mutex_lock(&hub->producing);
    bool ours = take_turn(hub, frame);
    if (ours) {
        push_to_all(hub, frame);
    }
    pthread_mutex_unlock(&hub->producing);
    return ours;
}

void hub_end(struct hub *hub)
{
    hub = resolve(hub);
    pthread_mutex_lock(&hub->lock);
    hub->ended = true;
    pthread_mutex_unlock(&hub->lock);
    struct list *list = ref_list(hub, NULL);
    for (size_t i = 0; list && i < list->count; i++) {
        queue_close(list->queue[i]);
    }
    list_unref(list);
}

/* Put `list` in place of the old one, drop the lock, and tell the producer when demand came or went. */
static void replace_list(struct hub *hub, struct list *list)
{
    struct list *old = hub->list;
    bool wanted = list && list->count > 0;
    hub->list = list;
    bool changed = atomic_exchange(&hub->wanted, wanted) != wanted;
    void (*tell)(void *arg) = changed ? hub->changed : NULL;
    void *arg = hub->changed_arg;
    pthread_mutex_unlock(&hub->lock);
    list_unref(old);
    if (tell) {
        tell(arg);
    }
}

/* The hub that a call is for, locked. A hub that begins to follow another does so under its lock. */
static struct hub *lock_resolved(struct hub *hub)
{
    pthread_mutex_lock(&hub->lock);
    for (struct hub *target; (target = resolve(hub)) != hub; hub = target) {
        pthread_mutex_unlock(&hub->lock);
        pthread_mutex_lock(&target->lock);
    }
    return hub;
}

int hub_subscribe(struct hub *hub, struct queue *q)
{
    hub = lock_resolved(hub);
    struct list *list = list_make(hub->list, q, NULL);
    if (!list) {
        pthread_mutex_unlock(&hub->lock);
        return -ENOMEM;
    }
    bool ended = hub->ended;
    hub_request_key(hub);
    replace_list(hub, list);
    if (ended) {
        queue_close(q);
    }
    return 0;
}

void hub_unsubscribe(struct hub *hub, struct queue *q)
{
    hub = lock_resolved(hub);
    struct list *list = list_make(hub->list, NULL, q);
    if (!list) {
        /* No memory for a shorter list: closing the queue has the same effect for its reader. */
        pthread_mutex_unlock(&hub->lock);
        queue_close(q);
        return;
    }
    replace_list(hub, list);
}

void hub_follow(struct hub *hub, struct hub *target)
{
    pthread_mutex_lock(&hub->lock);
    struct list *list = hub->list;
    hub->list = NULL;
    atomic_store_explicit(&hub->target, target, memory_order_release);
    bool ended = hub->ended;
    pthread_mutex_unlock(&hub->lock);
    for (size_t i = 0; list && i < list->count; i++) {
        if (ended || hub_subscribe(target, list->queue[i]) < 0) {
            queue_close(list->queue[i]);
        }
    }
    list_unref(list);
}

bool hub_wanted(const struct hub *hub)
{
    hub = resolve(hub);
    return atomic_load_explicit(&hub->wanted, memory_order_acquire);
}

void hub_on_demand(struct hub *hub, void (*changed)(void *arg), void *arg)
{
    hub = lock_resolved(hub);
    hub->changed = changed;
    hub->changed_arg = arg;
    pthread_mutex_unlock(&hub->lock);
}

void hub_request_key(struct hub *hub)
{
    atomic_store(&resolve(hub)->key_requested, true);
}

bool hub_take_key_request(struct hub *hub)
{
    hub = resolve(hub);
    return atomic_load_explicit(&hub->key_requested, memory_order_relaxed) &&
           atomic_exchange(&hub->key_requested, false);
}

const struct frame *hub_ref_key(struct hub *hub)
{
    hub = lock_resolved(hub);
    const struct frame *key = hub->key ? frame_ref(hub->key) : NULL;
    pthread_mutex_unlock(&hub->lock);
    return key;
}

uint64_t hub_published(const struct hub *hub)
{
    return atomic_load_explicit(&resolve(hub)->published, memory_order_relaxed);
}
