/* SPDX-License-Identifier: MIT */
/*
 * Recent: the newest frames of a stream, by reference, as many as a number of bytes allows. It begins
 * with a key frame: what is too much goes by whole groups of pictures.
 * Life: recent_init/recent_finish, caller's memory. Threads: one at a time; the caller's lock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct frame;

struct recent {
    const struct frame **ring; /* `space` entries, a power of two */
    size_t space, head, count;
    uint64_t gone; /* frames that have left: the first one's number, counted from 0 */
    uint64_t bytes, max_bytes;
    bool need_key; /* what the next frames refer to is missing */
};

/* `max_bytes` of payload, each frame counting as 4 KiB at least: no buffer is smaller. */
void recent_init(struct recent *r, uint64_t max_bytes);
void recent_finish(struct recent *r);

/* Takes a reference. False: not taken, as it follows no key frame, or there is no memory. */
bool recent_add(struct recent *r, const struct frame *frame);

/* Hand up to `max` frames that have to go to the caller, who unrefs them (without its lock); 0 when none
 * has to. Until then a group may be there in part: see recent_copy. */
size_t recent_take_surplus(struct recent *r, const struct frame **out, size_t max);

/*
 * References to at most `max` frames from number *next on, which becomes the number behind them; how many. A copy
 * may so be taken bit by bit, with others adding meanwhile: begins with 0, ends with 0. What has left by then is
 * passed over, up to the next key frame.
 */
size_t recent_copy(const struct recent *r, uint64_t *next, const struct frame **out, size_t max);

int64_t recent_span_us(const struct recent *r); /* from the first frame to the last */
