/* SPDX-License-Identifier: MIT */
/*
 * Pool of frames with buffers: steady state takes from free lists (one per power of two) and
 * allocates nothing. A pool may be freed while frames are out: the last of them ends it.
 * Threads: any.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct frame;
struct pool;

/* `max_idle_bytes`: how much the free lists may hold; beyond it buffers go back to the heap. */
struct pool *pool_new(size_t max_idle_bytes);
void pool_free(struct pool *pool);

/* An empty frame with one reference and capacity >= `size` (16-byte aligned, 64 spare zeroable bytes
 * behind the capacity for codecs that over-read). NULL: out of memory. */
struct frame *pool_get(struct pool *pool, size_t size);

/* How often the pool had to ask the heap since it was made: flat in steady state. */
uint64_t pool_allocations(const struct pool *pool);
