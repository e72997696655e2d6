/* SPDX-License-Identifier: MIT */
/*
 * Free lists by size class: class k holds buffers of 4 KiB << k. The pool is alive while its owner
 * or any frame holds it; after pool_free the frames that come back go to the heap, the last one takes
 * the pool along.
 */
#include "pcs/pool.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "pcs/frame.h"

#define SMALLEST 4096
#define CLASSES  20 /* up to 2 GiB */
#define SPARE    64 /* codecs over-read: AV_INPUT_BUFFER_PADDING_SIZE */

struct pool {
    pthread_mutex_t lock; /* guards everything below */
    struct frame *idle[CLASSES];
    size_t idle_count[CLASSES];
    size_t idle_bytes, max_idle_bytes;
    size_t out; /* frames not in a list */
    uint64_t allocations;
    bool closed;
};

struct pool *pool_new(size_t max_idle_bytes)
{
    struct pool *pool = calloc(1, sizeof *pool);
    if (!pool) {
        return NULL;
    }
    pthread_mutex_init(&pool->lock, NULL);
    pool->max_idle_bytes = max_idle_bytes;
    return pool;
}

static void destroy_frame(struct frame *frame)
{
    free(frame->buffer);
    free(frame);
}

static void destroy_frames(struct frame *list)
{
    while (list) {
        struct frame *next = list->next_free;
        destroy_frame(list);
        list = next;
    }
}

static void destroy_pool(struct pool *pool)
{
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

void pool_free(struct pool *pool)
{
    if (!pool) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->closed = true;
    for (int i = 0; i < CLASSES; i++) {
        destroy_frames(pool->idle[i]);
        pool->idle[i] = NULL;
    }
    bool last = pool->out == 0;
    pthread_mutex_unlock(&pool->lock);
    if (last) {
        destroy_pool(pool);
    }
}

static int class_of(size_t size)
{
    int k = 0;
    while (k < CLASSES && ((size_t)SMALLEST << k) < size) {
        k++;
    }
    return k;
}

static void push_idle_locked(struct pool *pool, int k, struct frame *frame)
{
    frame->next_free = pool->idle[k];
    pool->idle[k] = frame;
    pool->idle_count[k]++;
    pool->idle_bytes += frame->capacity;
}

static struct frame *pop_idle_locked(struct pool *pool, int k)
{
    struct frame *frame = pool->idle[k];
    if (frame) {
        pool->idle[k] = frame->next_free;
        pool->idle_count[k]--;
        pool->idle_bytes -= frame->capacity;
    }
    return frame;
}

static int fullest_class_locked(const struct pool *pool)
{
    int fullest = 0;
    for (int k = 1; k < CLASSES; k++) {
        if (pool->idle_count[k] << k > pool->idle_count[fullest] << fullest) {
            fullest = k;
        }
    }
    return fullest;
}

/*
 * Put `frame` on its list. When the lists are full, the class that holds most gives way, so that sizes
 * of an earlier format or of a burst do not keep today's out for ever. Returns what must go to the
 * heap, linked by next_free; that may be `frame` itself.
 */
static struct frame *keep_locked(struct pool *pool, struct frame *frame)
{
    struct frame *surplus = NULL;
    int k = class_of(frame->capacity);
    bool keep = frame->capacity <= pool->max_idle_bytes;
    while (keep && pool->idle_bytes + frame->capacity > pool->max_idle_bytes) {
        int fullest = fullest_class_locked(pool);
        keep = fullest != k;
        if (keep) {
            struct frame *old = pop_idle_locked(pool, fullest);
            old->next_free = surplus;
            surplus = old;
        }
    }
    if (keep) {
        push_idle_locked(pool, k, frame);
        return surplus;
    }
    frame->next_free = surplus;
    return frame;
}

static void give_back(struct frame *frame)
{
    struct pool *pool = frame->owner;
    frame->next_free = NULL;
    pthread_mutex_lock(&pool->lock);
    pool->out--;
    bool last = pool->closed && pool->out == 0;
    struct frame *surplus = pool->closed ? frame : keep_locked(pool, frame);
    pthread_mutex_unlock(&pool->lock);
    destroy_frames(surplus);
    if (last) {
        destroy_pool(pool);
    }
}

static struct frame *take_idle_locked(struct pool *pool, int k)
{
    struct frame *frame = pop_idle_locked(pool, k);
    pool->allocations += !frame;
    pool->out++;
    return frame;
}

static struct frame *new_frame(size_t capacity)
{
    struct frame *frame = malloc(sizeof *frame);
    void *buffer = NULL;
    if (frame && posix_memalign(&buffer, 64, capacity + SPARE) == 0) {
        frame->buffer = buffer;
        frame->capacity = capacity;
        return frame;
    }
    free(frame);
    return NULL;
}

struct frame *pool_get(struct pool *pool, size_t size)
{
    int k = class_of(size);
    if (k == CLASSES) {
        return NULL;
    }
    pthread_mutex_lock(&pool->lock);
    struct frame *frame = take_idle_locked(pool, k);
    pthread_mutex_unlock(&pool->lock);
    if (!frame) {
        frame = new_frame((size_t)SMALLEST << k);
    }
    if (!frame) {
        pthread_mutex_lock(&pool->lock);
        pool->out--;
        pthread_mutex_unlock(&pool->lock);
        return NULL;
    }
    uint8_t *buffer = frame->buffer;
    size_t capacity = frame->capacity;
    frame_init(frame, give_back, pool);
    frame->buffer = buffer;
    frame->capacity = capacity;
    frame->data = buffer;
    return frame;
}

uint64_t pool_allocations(const struct pool *pool)
{
    struct pool *p = (struct pool *)pool; /* the lock is not part of what const promises */
    pthread_mutex_lock(&p->lock);
    uint64_t n = p->allocations;
    pthread_mutex_unlock(&p->lock);
    return n;
}
