/* SPDX-License-Identifier: MIT */
/* One picture for those who only want one: the newest, or, when nobody watches, the next that is made. */
#include <event2/event.h>
#include <stdlib.h>

#include "feed_internal.h"
#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/hub.h"
#include "request_internal.h"
#include "server.h"

/* When this machine was last done with it. */
static int64_t made_us(const struct frame *frame)
{
    int64_t us = 0;
    for (int i = 0; i < STAGE_COUNT; i++) {
        us = frame->stage_us[i] > us ? frame->stage_us[i] : us;
    }
    return us;
}

const struct frame *feed_fresh_key(struct web_feed *feed, int64_t now_us)
{
    const struct frame *key = hub_ref_key(feed->hub);
    if (key && now_us - made_us(key) > FEED_FRESH_US) {
        frame_unref(key);
        key = NULL;
    }
    return key;
}

static void answer(struct web_feed *feed, struct snapshot *s, const struct frame *frame)
{
    struct web_request *r = web_resume(s->later);
    TAILQ_REMOVE(&feed->snapshots, s, link);
    frame = frame ? frame : s->fallback;
    if (r && frame) {
        web_reply_frame(r, frame);
    } else if (r) {
        web_reply_text(r, 503, "there is no picture younger than 2 s");
    }
    frame_unref(s->fallback);
    free(s);
}

/* While somebody waits for one, pictures must come by the web thread. */
static void set_alone(struct web_feed *feed, bool alone)
{
    const struct timeval tick = { .tv_usec = 100000 };
    pthread_mutex_lock(&feed->lock);
    feed->alone = alone;
    pthread_mutex_unlock(&feed->lock);
    if (!alone) {
        (void)event_del(feed->timer); /* neither can fail */
    } else if (!event_pending(feed->timer, EV_TIMEOUT, NULL)) {
        (void)event_add(feed->timer, &tick);
    }
}

void snapshot_answer_all(struct web_feed *feed, const struct frame *frame)
{
    struct snapshot *s;
    while ((s = TAILQ_FIRST(&feed->snapshots)) != NULL) {
        answer(feed, s, frame);
    }
    set_alone(feed, false);
}

bool snapshot_fits(const struct part *part)
{
    return part && !(part->frame->flags & FRAME_STANDBY);
}

void snapshot_tick(int fd, short what, void *arg)
{
    struct web_feed *feed = arg;
    struct snapshot *s, *next;
    int64_t now_us = clock_now_us();
    (void)fd;
    (void)what;
    web_woken(feed->web);
    for (s = TAILQ_FIRST(&feed->snapshots); s; s = next) {
        next = TAILQ_NEXT(s, link);
        if (now_us >= s->deadline_us) {
            answer(feed, s, NULL);
        }
    }
    if (TAILQ_EMPTY(&feed->snapshots)) {
        set_alone(feed, false);
        feed_left(feed);
    }
}

static bool answer_at_once(struct web_feed *feed, struct web_request *r)
{
    const struct frame *frame = NULL;
    pthread_mutex_lock(&feed->lock);
    if (snapshot_fits(feed->last) && clock_now_us() - feed->last_us < FEED_FRESH_US) {
        frame = frame_ref(feed->last->frame);
    }
    pthread_mutex_unlock(&feed->lock);
    if (frame) {
        web_reply_frame(r, frame);
        frame_unref(frame);
    }
    return frame != NULL;
}

/* One that is there already, in case the next one takes long. */
static void find_fallback(struct web_feed *feed, struct snapshot *s)
{
    int64_t now_us = clock_now_us();
    const struct frame *key = feed_fresh_key(feed, now_us);
    if (key && (key->flags & FRAME_STANDBY)) {
        frame_unref(key);
        key = NULL;
    }
    s->fallback = key;
    s->deadline_us = (key ? made_us(key) : now_us) + FEED_FRESH_US;
}

static void wait_for_picture(struct web_feed *feed, struct web_request *r)
{
    struct snapshot *s = calloc(1, sizeof *s);
    s = s && (s->later = web_defer(r)) ? s : (free(s), NULL);
    if (!s) {
        web_reply_text(r, 503, "out of memory");
        return;
    }
    find_fallback(feed, s);
    TAILQ_INSERT_TAIL(&feed->snapshots, s, link);
    set_alone(feed, true);
    if (!feed_subscribe(feed)) {
        answer(feed, s, NULL);
    }
}

void feed_snapshot(struct web_feed *feed, struct web_request *r)
{
    if (feed->closed || feed->ending) {
        web_reply_text(r, 503, "the stream has ended");
    } else if (!answer_at_once(feed, r)) {
        wait_for_picture(feed, r);
    }
}
