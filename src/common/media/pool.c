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
        while (pool->idle[i]) {
            struct frame *frame = pool->idle[i];
            pool->idle[i] = frame->next_free;
            destroy_frame(frame);
        }
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

static void give_back(struct frame *frame)
{
    struct pool *pool = frame->owner;
    pthread_mutex_lock(&pool->lock);
    pool->out--;
    bool keep = !pool->closed && pool->idle_bytes + frame->capacity <= pool->max_idle_bytes;
    if (keep) {
        int k = class_of(frame->capacity);
        frame->next_free = pool->idle[k];
        pool->idle[k] = frame;
        pool->idle_bytes += frame->capacity;
    }
    bool last = pool->closed && pool->out == 0;
    pthread_mutex_unlock(&pool->lock);
    if (!keep) {
        destroy_frame(frame);
    }
    if (last) {
        destroy_pool(pool);
    }
}

static struct frame *take_idle(struct pool *pool, int k)
{
    struct frame *frame = pool->idle[k];
    if (frame) {
        pool->idle[k] = frame->next_free;
        pool->idle_bytes -= frame->capacity;
    } else {
        pool->allocations++;
    }
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
    struct frame *frame = take_idle(pool, k);
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
