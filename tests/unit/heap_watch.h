/* SPDX-License-Identifier: MIT */
/*
 * Counts the heap calls of a test program, and lets one of them fail. For a test registered with
 * pcs_watch_heap(NAME), which makes the linker send the calls of our own code here.
 * Threads: any; heap_fail_at is for tests with one thread.
 */
#pragma once

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

static atomic_ulong heap_calls;   /* so far */
static atomic_ulong heap_fail_at; /* the call with this number fails (the next: heap_calls + 1) */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
int __real_posix_memalign(void **out, size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
int __wrap_posix_memalign(void **out, size_t alignment, size_t size);

static bool heap_gives(void)
{
    return atomic_fetch_add(&heap_calls, 1) + 1 != atomic_load(&heap_fail_at);
}

void *__wrap_malloc(size_t size)
{
    return heap_gives() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t count, size_t size)
{
    return heap_gives() ? __real_calloc(count, size) : NULL;
}

void *__wrap_realloc(void *old, size_t size)
{
    return heap_gives() ? __real_realloc(old, size) : NULL;
}

int __wrap_posix_memalign(void **out, size_t alignment, size_t size)
{
    return heap_gives() ? __real_posix_memalign(out, alignment, size) : ENOMEM;
}

/* Let the n-th heap call from now on fail; 0: none. */
static inline void heap_fail_next(unsigned long n)
{
    atomic_store(&heap_fail_at, n ? atomic_load(&heap_calls) + n : 0);
}
