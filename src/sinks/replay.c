/* SPDX-License-Identifier: MIT */
#include "replay.h"

#include <stdlib.h>

#include "pcs/frame.h"

#define FIRST_SPACE 64

void replay_init(struct replay *r, size_t max_bytes)
{
    *r = (struct replay){ .max_bytes = max_bytes, .need_key = true };
}

static struct replay_entry *at(const struct replay *r, size_t i)
{
    return &r->ring[(r->head + i) % r->space];
}

static bool is_key(const struct replay *r, size_t i)
{
    return at(r, i)->frame->flags & FRAME_KEY;
}

static void drop_first(struct replay *r)
{
    struct replay_entry *entry = at(r, 0);
    uint64_t seq = entry->frame->seq;
    if (seq > r->sent_seq) {
        r->evicted++;
    } else if (seq > r->acked_seq) {
        r->unconfirmed++;
        r->unconfirmed_seq = seq;
    }
    r->bytes -= entry->frame->size;
    frame_unref(entry->frame);
    r->head = (r->head + 1) % r->space;
    r->count--;
    r->cursor -= r->cursor > 0;
}

void replay_rest(struct replay *r)
{
    while (r->count > 0) {
        drop_first(r);
    }
    free(r->ring);
    r->ring = NULL;
    r->space = r->head = 0;
    r->need_key = true;
}

void replay_finish(struct replay *r)
{
    replay_rest(r);
}

static void drop_group(struct replay *r)
{
    do {
        drop_first(r);
    } while (r->count > 0 && !is_key(r, 0));
}

static bool grow(struct replay *r)
{
    if (r->count < r->space) {
        return true;
    }
    size_t space = r->space ? r->space * 2 : FIRST_SPACE;
    struct replay_entry *ring = calloc(space, sizeof *ring);
    if (!ring) {
        return false;
    }
    for (size_t i = 0; i < r->count; i++) {
        ring[i] = *at(r, i);
    }
    free(r->ring);
    r->ring = ring;
    r->space = space;
    r->head = 0;
    return true;
}

/* Frames that never reached us (our own queue was full) were never sent either. */
static void count_hole(struct replay *r, uint64_t seq)
{
    if (r->last_seq + 1 < seq) {
        r->refused += seq - r->last_seq - 1;
        r->need_key = true;
    }
    r->last_seq = seq;
}

void replay_begin(struct replay *r, uint64_t seq)
{
    r->base_seq = r->last_seq = seq;
}

bool replay_add(struct replay *r, const struct frame *frame)
{
    bool key = frame->flags & FRAME_KEY;
    count_hole(r, frame->seq);
    while (r->count > 0 && r->bytes + frame->size > r->max_bytes) {
        drop_group(r);
    }
    if (r->count == 0) {
        r->need_key = true;
    }
    if ((r->need_key && !key) || !grow(r)) {
        r->refused++;
        r->need_key = true;
        return false;
    }
    r->need_key = false;
    r->count++;
    *at(r, r->count - 1) = (struct replay_entry){ frame_ref(frame), r->refused };
    r->bytes += frame->size;
    return true;
}

void replay_end(struct replay *r, uint64_t last_seq)
{
    if (r->last_seq < last_seq) {
        r->refused += last_seq - r->last_seq;
        r->last_seq = last_seq;
    }
}

const struct replay_entry *replay_peek(const struct replay *r, bool *again)
{
    if (r->cursor == r->count) {
        return NULL;
    }
    const struct replay_entry *entry = at(r, r->cursor);
    *again = entry->frame->seq <= r->sent_seq;
    return entry;
}

void replay_advance(struct replay *r)
{
    const struct frame *frame = at(r, r->cursor)->frame;
    r->cursor++;
    if (frame->seq > r->sent_seq) {
        r->sent_seq = frame->seq;
        r->sent++;
        r->sent_bytes += frame->size;
    } else {
        r->resent++;
    }
}

/* How many entries have a lower number. */
static size_t count_before(const struct replay *r, uint64_t seq)
{
    size_t low = 0, high = r->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (at(r, middle)->frame->seq < seq) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Index of the newest entry at or before `seq` that is a key frame (any entry when !key); the first
 * when there is none. */
static size_t find(const struct replay *r, uint64_t seq, bool key)
{
    size_t after = seq == UINT64_MAX ? r->count : count_before(r, seq + 1);
    size_t i = after > 0 ? after - 1 : 0;
    while (key && i > 0 && !is_key(r, i)) {
        i--;
    }
    return i;
}

void replay_ack(struct replay *r, uint64_t seq)
{
    if (seq <= r->acked_seq || seq > r->sent_seq) {
        return; /* old, or nonsense */
    }
    size_t i = r->count > 0 ? find(r, seq, false) : 0;
    if (seq == r->sent_seq) {
        r->acked = r->sent - r->gone;
    } else if (r->count > 0 && at(r, i)->frame->seq == seq) {
        r->acked = seq - r->base_seq - replay_skipped_before(r, at(r, i)) - r->gone;
    }
    r->acked_seq = seq;
    r->unconfirmed = 0;
    /* A new file would begin at the key frame at or before the first unconfirmed frame. */
    for (size_t keep = r->count > 0 ? find(r, seq + 1, true) : 0; keep > 0; keep--) {
        drop_first(r);
    }
}

/* What is wanted from `seq` on and has left the buffer, sent but never confirmed, nobody gets any more. */
static void give_up_from(struct replay *r, uint64_t seq)
{
    if (seq > r->unconfirmed_seq) {
        return;
    }
    uint64_t wanted = r->unconfirmed_seq - seq + 1;
    uint64_t gone = wanted < r->unconfirmed ? wanted : r->unconfirmed;
    r->gone += gone;
    r->unconfirmed -= gone;
    r->unconfirmed_seq = seq > 0 ? seq - 1 : 0; /* asked twice, counted once */
}

void replay_rewind(struct replay *r, uint64_t seq, bool need_key)
{
    give_up_from(r, seq);
    if (seq > r->sent_seq + 1) {
        seq = r->sent_seq + 1;
    }
    r->cursor = seq == 0 ? 0 : need_key ? find(r, seq, true) : count_before(r, seq);
}

bool replay_skip_late(struct replay *r, int64_t oldest_us)
{
    if (r->cursor == r->count || at(r, r->cursor)->frame->capture_us >= oldest_us) {
        return true;
    }
    size_t newest = find(r, UINT64_MAX, true);
    if (newest > r->cursor) {
        while (newest-- > 0) {
            drop_first(r);
        }
        r->cursor = 0;
        return at(r, 0)->frame->capture_us >= oldest_us;
    }
    if (newest == r->cursor) {
        return true; /* late, but the best there is */
    }
    while (r->count > 0) {
        drop_first(r);
    }
    r->need_key = true;
    return false;
}

uint64_t replay_skipped(const struct replay *r)
{
    return r->evicted + r->refused;
}

uint64_t replay_skipped_before(const struct replay *r, const struct replay_entry *entry)
{
    return r->evicted + entry->refused;
}

size_t replay_unsent(const struct replay *r)
{
    size_t n = 0;
    for (size_t i = r->count; i > 0 && at(r, i - 1)->frame->seq > r->sent_seq; i--) {
        n++;
    }
    return n;
}

size_t replay_after(const struct replay *r, uint64_t seq)
{
    return r->count - count_before(r, seq + 1);
}

uint64_t replay_first_seq(const struct replay *r)
{
    return r->count > 0 ? at(r, 0)->frame->seq : r->last_seq + 1;
}
