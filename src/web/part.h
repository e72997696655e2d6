/* SPDX-License-Identifier: MIT */
/*
 * Part: what goes out in one piece, the same to all viewers; its frame is not copied.
 * Life: reference-counted. Threads: any, but the count of one that viewers have is guarded by their feed's
 * lock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct frame;

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
