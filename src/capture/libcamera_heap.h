/* SPDX-License-Identifier: MIT */
/*
 * Memory for pictures that the processor reads through its cache. What a Raspberry Pi's camera driver
 * allocates by itself is not cached: reading it costs an encoder several times as much. Raspberry Pi OS
 * therefore has a DMA heap by the name of vidbuf_cached, on each model the one that its camera can
 * write to. Nothing else has it, and nothing else is used.
 * Threads: any.
 */
#pragma once

#include <stddef.h>

/* `count` DMABUFs of at least `size` bytes, to be closed. 0, -ENOENT: there is no such heap, -ENOMEM … */
int libcamera_heap_get(size_t size, unsigned count, int fds[]);
