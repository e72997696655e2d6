/* SPDX-License-Identifier: MIT */
#include "tcp_guests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pcs/clock.h"
#include "pcs/frame.h"

#define AWAY_US   (60 * CLOCK_S)
#define SILENT_US (3 * CLOCK_S) /* three probes late: the connection is a dead one */
#define ASLEEP    256           /* remembered beside those who are here or away */

void guests_init(struct guests *g, size_t max, size_t buffer_bytes)
{
    *g = (struct guests){ .max = max, .buffer_bytes = buffer_bytes };
}

/* Frames that went to somebody for the first time since the last look. A guest sends them in order, each once. */
static void count_sent(struct guests *g, struct guest *guest)
{
    const struct replay *r = &guest->feed.replay;
    uint64_t sent = r->sent - guest->counted;
    guest->counted = r->sent;
    if (r->sent_seq > g->sent_seq) {
        uint64_t ahead = r->sent_seq - g->sent_seq;
        g->sent += ahead < sent ? ahead : sent;
        g->sent_seq = r->sent_seq;
    }
}

static void add_totals(const struct guest *guest, struct sink_totals *sum, uint64_t *resent)
{
    feed_add_totals(&guest->feed, sum);
    sum->reconnects += guest->connections > 0 ? guest->connections - 1 : 0;
    *resent += guest->feed.replay.resent;
}

static void forget(struct guests *g, size_t i)
{
    struct guest *guest = g->list[i];
    count_sent(g, guest);
    feed_finish(&guest->feed);
    add_totals(guest, &g->gone, &g->gone_resent);
    free(guest);
    g->count--;
    memmove(g->list + i, g->list + i + 1, (g->count - i) * sizeof(struct guest *));
}

void guests_finish(struct guests *g)
{
    while (g->count > 0) {
        forget(g, g->count - 1);
    }
    free(g->list);
    g->list = NULL;
    g->space = 0;
}

static void fall_asleep(struct guest *guest)
{
    replay_rest(&guest->feed.replay);
    guest->asleep = true;
}

size_t guests_here(const struct guests *g)
{
    size_t n = 0;
    for (size_t i = 0; i < g->count; i++) {
        n += g->list[i]->caller != NULL;
    }
    return n;
}

size_t guests_awake(const struct guests *g)
{
    size_t n = 0;
    for (size_t i = 0; i < g->count; i++) {
        n += !g->list[i]->asleep;
    }
    return n;
}

static bool can_return(const struct guest *guest, int64_t now_us)
{
    return !guest->caller || now_us - guest->heard_us > SILENT_US;
}

/* Two receivers may have the same id (a copied disk): the one who is here and well is another one. */
static struct guest *find(const struct guests *g, const struct wire_welcome *w, int64_t now_us)
{
    struct guest *found = NULL;
    for (size_t i = 0; w->has_id && i < g->count; i++) {
        struct guest *guest = g->list[i];
        bool same = guest->has_id && memcmp(guest->id, w->id, sizeof guest->id) == 0;
        if (same && can_return(guest, now_us) && (!found || found->asleep)) {
            found = guest;
        }
    }
    return found;
}

/* Who has been away for the longest time makes room for somebody who is here. */
static void make_room(struct guests *g)
{
    struct guest *longest = NULL;
    for (size_t i = 0; i < g->count; i++) {
        struct guest *guest = g->list[i];
        bool away = !guest->caller && !guest->asleep;
        if (away && (!longest || guest->away_us < longest->away_us)) {
            longest = guest;
        }
    }
    if (longest && guests_awake(g) >= g->max) {
        fall_asleep(longest);
    }
}

static void forget_oldest(struct guests *g)
{
    for (size_t i = 0; g->count >= g->max + ASLEEP && i < g->count; i++) {
        if (g->list[i]->asleep) {
            forget(g, i);
            return;
        }
    }
}

static bool grow(struct guests *g)
{
    if (g->count < g->space) {
        return true;
    }
    size_t space = g->space ? g->space * 2 : 4;
    struct guest **list = realloc(g->list, space * sizeof *list);
    if (list) {
        g->list = list;
        g->space = space;
    }
    return list != NULL;
}

static struct guest *add(struct guests *g, const struct wire_welcome *w, uint64_t last_seq)
{
    forget_oldest(g);
    struct guest *guest = grow(g) ? calloc(1, sizeof *guest) : NULL;
    if (!guest) {
        return NULL;
    }
    feed_init(&guest->feed, g->buffer_bytes);
    replay_begin(&guest->feed.replay, last_seq); /* what was before its time it does not miss */
    guest->waits = true;
    guest->has_id = w->has_id;
    memcpy(guest->id, w->id, sizeof guest->id);
    g->list[g->count++] = guest;
    return guest;
}

struct guest *guests_admit(struct guests *g, const struct wire_welcome *welcome, uint64_t last_seq,
                           int64_t now_us, struct err *err)
{
    struct guest *guest = find(g, welcome, now_us);
    bool takes_place = !guest || !guest->caller;
    if (takes_place && guests_here(g) >= g->max) {
        (void)err_set(err, -EBUSY, "too many receivers (--max-clients)");
        return NULL;
    }
    if (!guest || guest->asleep) {
        make_room(g);
    }
    guest = guest ? guest : add(g, welcome, last_seq);
    if (!guest) {
        (void)err_set(err, -ENOMEM, "out of memory");
        return NULL;
    }
    guest->waits |= guest->asleep;
    guest->asleep = false;
    guest->heard_us = now_us;
    guest->connections++;
    return guest;
}

void guests_leave(struct guests *g, struct guest *guest, bool delivered, int64_t now_us)
{
    guest->caller = NULL;
    guest->away_us = now_us;
    /* Nothing that it ever confirmed: a place for it would be a place for anybody who knocks. */
    if (delivered || !guest->has_id || guest->feed.replay.acked_seq == 0) {
        fall_asleep(guest);
    }
    for (size_t i = 0; !guest->has_id && i < g->count; i++) {
        if (g->list[i] == guest) {
            forget(g, i);
            return;
        }
    }
}

static bool add_frame(struct guest *guest, const struct frame *frame)
{
    bool key = frame->flags & FRAME_KEY, waits = guest->waits;
    guest->waits = waits && !key;
    if (waits && !key && guest->feed.replay.sent == 0) {
        replay_begin(&guest->feed.replay, frame->seq); /* it has not begun: it misses nothing */
        return false;
    }
    bool taken = feed_add(&guest->feed, frame);
    feed_warn(&guest->feed, waits);
    return taken;
}

bool guests_add(struct guests *g, const struct frame *frame)
{
    bool satisfied = true;
    for (size_t i = 0; i < g->count; i++) {
        if (!g->list[i]->asleep) {
            satisfied &= add_frame(g->list[i], frame);
        }
    }
    return satisfied;
}

void guests_end(struct guests *g, uint64_t last_seq)
{
    for (size_t i = 0; i < g->count; i++) {
        if (!g->list[i]->asleep) {
            replay_end(&g->list[i]->feed.replay, last_seq);
        }
    }
}

int64_t guests_expire(struct guests *g, int64_t now_us)
{
    int64_t next_us = INT64_MAX;
    for (size_t i = 0; i < g->count; i++) {
        struct guest *guest = g->list[i];
        int64_t end_us = guest->away_us + AWAY_US;
        if (guest->caller || guest->asleep) {
            continue;
        }
        if (now_us >= end_us) {
            fall_asleep(guest);
        } else if (end_us < next_us) {
            next_us = end_us;
        }
    }
    return next_us;
}

bool guests_waiting(const struct guests *g)
{
    for (size_t i = 0; i < g->count; i++) {
        const struct guest *guest = g->list[i];
        const struct replay *r = &guest->feed.replay;
        bool all = replay_unsent(r) == 0 && r->acked_seq >= r->sent_seq;
        if (!guest->asleep && (guest->caller || !all)) {
            return true;
        }
    }
    return false;
}

uint64_t guests_first_seq(const struct guests *g, uint64_t next_seq)
{
    uint64_t first = next_seq;
    for (size_t i = 0; i < g->count; i++) {
        uint64_t seq = replay_first_seq(&g->list[i]->feed.replay);
        bool holds = g->list[i]->feed.replay.count > 0;
        first = holds && seq < first ? seq : first;
    }
    return first;
}

void guests_count(struct guests *g, uint64_t *sent, uint64_t *queued)
{
    *queued = 0;
    for (size_t i = 0; i < g->count; i++) {
        count_sent(g, g->list[i]);
    }
    for (size_t i = 0; i < g->count; i++) {
        size_t ahead = replay_after(&g->list[i]->feed.replay, g->sent_seq);
        *queued = ahead > *queued ? ahead : *queued;
    }
    *sent = g->sent;
}

void guests_add_totals(const struct guests *g, struct sink_totals *sum, uint64_t *resent)
{
    sum->sent += g->gone.sent;
    sum->acked += g->gone.acked;
    sum->dropped += g->gone.dropped;
    sum->bytes += g->gone.bytes;
    sum->reconnects += g->gone.reconnects;
    *resent += g->gone_resent;
    for (size_t i = 0; i < g->count; i++) {
        add_totals(g->list[i], sum, resent);
    }
}
