/* SPDX-License-Identifier: MIT */
#include "record/recent.h"

#include <stdlib.h>
#include <string.h>

#include "pcs/frame.h"

#define FIRST_SPACE 256
#define LEAST_BYTES 4096

static uint64_t cost(const struct frame *frame)
{
    return frame->size > LEAST_BYTES ? frame->size : LEAST_BYTES;
}

static const struct frame *at(const struct recent *r, size_t i)
{
    return r->ring[(r->head + i) & (r->space - 1)];
}

void recent_init(struct recent *r, uint64_t max_bytes)
{
    *r = (struct recent){ .max_bytes = max_bytes, .need_key = true };
}

void recent_finish(struct recent *r)
{
    for (size_t i = 0; i < r->count; i++) {
        frame_unref(at(r, i));
    }
    free(r->ring);
    recent_init(r, r->max_bytes);
}

/* What is counted bounds the number of frames, and so the ring. */
static bool grow(struct recent *r)
{
    size_t space = r->space ? r->space * 2 : FIRST_SPACE;
    const struct frame **ring = calloc(space, sizeof *ring);
    if (!ring) {
        return false;
    }
    for (size_t i = 0; i < r->count; i++) {
        ring[i] = at(r, i);
    }
    free(r->ring);
    r->ring = ring;
    r->space = space;
    r->head = 0;
    return true;
}

bool recent_add(struct recent *r, const struct frame *frame)
{
    bool follows = !r->need_key || frame->flags & FRAME_KEY;
    if (!follows || (r->count == r->space && !grow(r))) {
        r->need_key = true;
        return false;
    }
    r->need_key = false;
    r->ring[(r->head + r->count++) & (r->space - 1)] = frame_ref(frame);
    r->bytes += cost(frame);
    return true;
}

/* Too much is held, or the group that begins here has lost its key frame already. */
static bool must_go(const struct recent *r)
{
    return r->count > 0 && (r->bytes > r->max_bytes || !(at(r, 0)->flags & FRAME_KEY));
}

size_t recent_take_surplus(struct recent *r, const struct frame **out, size_t max)
{
    size_t n = 0;
    while (n < max && must_go(r)) {
        out[n] = at(r, 0);
        r->bytes -= cost(out[n]);
        r->head = (r->head + 1) & (r->space - 1);
        r->count--;
        r->gone++;
        n++;
    }
    r->need_key |= r->count == 0;
    return n;
}

size_t recent_copy(const struct recent *r, uint64_t *next, const struct frame **out, size_t max)
{
    bool follows = *next >= r->gone;
    size_t i = follows ? (size_t)(*next - r->gone) : 0, n = 0;
    while (!follows && i < r->count && !(at(r, i)->flags & FRAME_KEY)) {
        i++;
    }
    for (; i < r->count && n < max; i++) {
        out[n++] = frame_ref(at(r, i));
    }
    *next = r->gone + i;
    return n;
}

int64_t recent_span_us(const struct recent *r)
{
    return r->count > 1 ? at(r, r->count - 1)->capture_us - at(r, 0)->capture_us : 0;
}
