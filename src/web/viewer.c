/* SPDX-License-Identifier: MIT */
#include "viewer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "client.h"
#include "feed_internal.h"
#include "mjpeg.h"
#include "pcs/clock.h"
#include "pcs/conn.h"
#include "pcs/frame.h"
#include "pcs/log.h"
#include "pcs/text.h"
#include "server.h"
#include "ws.h"

#define BACKLOG_FRAMES 30 /* of a WebSocket: a second that a shaky line may take */
#define BACKLOG_BYTES  ((size_t)4 << 20)

/* ---- its queue ---- */

/* What is left of a part after the first `skip` bytes. */
static int part_rest(struct part *part, size_t skip, struct iovec iov[3])
{
    const struct iovec all[3] = {
        { part->bytes, part->head_size },
        { part->frame ? (void *)part->frame->data : NULL, part->frame ? part->frame->size : 0 },
        { part->bytes + part->head_size, part->tail_size },
    };
    int n = 0;
    for (int i = 0; i < 3; i++) {
        size_t gone = skip < all[i].iov_len ? skip : all[i].iov_len;
        skip -= gone;
        if (gone < all[i].iov_len) {
            iov[n++] = (struct iovec){ (char *)all[i].iov_base + gone, all[i].iov_len - gone };
        }
    }
    return n;
}

static struct part **at(struct viewer *v, size_t i)
{
    return &v->ring[(v->head + i) % VIEWER_PARTS];
}

static void skipped(struct viewer *v, uint64_t n)
{
    v->skipped += n;
    counter_add(&v->feed->skipped, n);
}

bool viewer_push_locked(struct viewer *v, struct part *part)
{
    if (!part || v->count == VIEWER_PARTS) {
        v->broken = true;
        return false;
    }
    if (v->count == 0) {
        v->waiting_us = clock_now_us();
    }
    part->refs++;
    *at(v, v->count++) = part;
    return true;
}

/* All frames go but the one that is under way; what is none keeps its place in the row. */
static void drop_backlog(struct viewer *v)
{
    /* TLS may hold back what it has taken without saying so. */
    bool begun = v->offset > 0 || (v->tried && v->client->secure);
    size_t kept = v->count > 0 && begun, n = v->count;
    uint64_t dropped = 0;
    for (size_t i = kept; i < n; i++) {
        struct part *part = *at(v, i);
        if (part->frame) {
            part_unref(part);
            dropped++;
        } else {
            *at(v, kept++) = part;
        }
    }
    v->count = kept;
    skipped(v, dropped);
}

static bool is_behind(struct viewer *v)
{
    size_t frames = 0, bytes = 0;
    for (size_t i = 0; i < v->count; i++) {
        const struct part *part = *at(v, i);
        frames += part->frame != NULL;
        bytes += part->frame ? part->frame->size : 0;
    }
    return frames >= BACKLOG_FRAMES || bytes >= BACKLOG_BYTES;
}

/* JPEG: at most the one that is under way, and the newest. */
static void make_room_mjpeg(struct viewer *v)
{
    if (v->count >= 2) {
        drop_backlog(v);
    }
}

/* H.264: all or, once it is too much, none until the next key frame. */
static bool make_room_ws(struct viewer *v, const struct part *part)
{
    if (!v->need_key && v->blocked && is_behind(v)) {
        drop_backlog(v);
        v->need_key = true;
        skipped(v, !part->key);
    } else if (v->need_key && !part->key && v->frames > 0) {
        skipped(v, 1);
    }
    if (v->need_key && !part->key) {
        return false;
    }
    v->need_key = false;
    return true;
}

void viewer_offer_locked(struct viewer *v, struct part *part)
{
    if (v->broken || v->closing) {
        return;
    }
    if (v->ws) {
        if (!make_room_ws(v, part)) {
            return;
        }
    } else {
        make_room_mjpeg(v);
    }
    if (viewer_push_locked(v, part) && !v->blocked) {
        viewer_send_locked(v);
    }
}

void viewer_end_locked(struct viewer *v)
{
    if (!v->closing) {
        struct part *part = v->ws ? ws_goodbye() : mjpeg_goodbye();
        v->closing = true;
        (void)viewer_push_locked(v, part); /* or it ends without a word */
        part_unref(part);
    }
}

/* ---- sending ---- */

static void delivered(struct viewer *v, struct part *part, int64_t now_us)
{
    if (part->frame) {
        v->frames++;
        v->delay_us = now_us - part->frame->capture_us;
        histogram_add(&v->feed->latency, v->delay_us);
        counter_add(&v->feed->sent, 1);
        counter_add(&v->feed->web->frames, 1);
    }
    v->head = (v->head + 1) % VIEWER_PARTS;
    v->count--;
    v->offset = 0;
    v->tried = false;
    part_unref(part);
}

/* One part, as far as it goes. False: no further. */
static bool send_one(struct viewer *v)
{
    struct part *part = *at(v, 0);
    struct iovec iov[3];
    int pieces = part_rest(part, v->offset, iov);
    v->tried = true;
    ssize_t n = conn_sendv(v->client->conn, iov, pieces);
    if (n < 0) {
        v->blocked = n == -EAGAIN;
        v->broken = n != -EAGAIN;
        return false;
    }
    int64_t now_us = clock_now_us();
    v->waiting_us = now_us;
    v->offset += (size_t)n;
    v->bytes += (uint64_t)n;
    counter_add(&v->feed->bytes, (uint64_t)n);
    counter_add(&v->feed->web->bytes, (uint64_t)n);
    if (v->offset < part_size(part)) {
        v->blocked = true; /* all that fits: asking for EAGAIN would be another system call */
        return false;
    }
    delivered(v, part, now_us);
    return true;
}

void viewer_send_locked(struct viewer *v)
{
    while (v->count > 0 && send_one(v)) {
    }
}

/* ---- what it says ---- */

static ssize_t read_some(void *arg, void *to, size_t size)
{
    struct viewer *v = arg;
    size_t n = client_take_input(v->client, to, size);
    return n > 0 ? (ssize_t)n : client_read(v->client, to, size);
}

/* Who watches MJPEG has nothing to say. */
static bool listen_mjpeg(struct viewer *v)
{
    char away[2048];
    ssize_t n = read_some(v, away, sizeof away);
    if (n > 0) {
        client_kick_later(v->client);
    }
    return n > 0 || n == -EAGAIN;
}

static bool listen_ws(struct viewer *v)
{
    enum ws_state state = ws_read(v->ws);
    if (state == WS_MORE) {
        client_kick_later(v->client);
    }
    struct part *answer = state == WS_GONE ? NULL : ws_take_answer(v->ws);
    pthread_mutex_lock(&v->feed->lock);
    if (state == WS_ENDED) {
        v->closing = true;
        drop_backlog(v);
    }
    if (answer) {
        (void)viewer_push_locked(v, answer);
        part_unref(answer);
    }
    pthread_mutex_unlock(&v->feed->lock);
    return state != WS_GONE;
}

bool viewer_turn(struct viewer *v)
{
    bool there = v->ws ? listen_ws(v) : listen_mjpeg(v);
    pthread_mutex_lock(&v->feed->lock);
    if (there && !v->broken) {
        v->blocked = false;
        viewer_send_locked(v);
    }
    bool broken = v->broken, done = v->closing && v->count == 0;
    pthread_mutex_unlock(&v->feed->lock);
    if (!there || broken) {
        return false;
    }
    if (done) {
        client_close(v->client);
    }
    return true;
}

/* ---- life ---- */

struct viewer *viewer_new(struct web_feed *feed, struct client *client, const char *agent)
{
    struct viewer *v = calloc(1, sizeof *v);
    if (!v) {
        return NULL;
    }
    v->feed = feed;
    v->client = client;
    v->id = ++feed->web->next_id;
    v->since_us = clock_now_us();
    v->need_key = feed->kind == FEED_WS;
    if (agent) {
        strncpy(v->agent, agent, sizeof v->agent - 1);
        text_clean(v->agent, strlen(v->agent));
    }
    if (feed->kind == FEED_WS && !(v->ws = ws_new(read_some, v))) {
        free(v);
        return NULL;
    }
    return v;
}

void viewer_free(struct viewer *v)
{
    if (v) {
        ws_free(v->ws);
        free(v);
    }
}

void viewer_leave(struct viewer *v)
{
    struct web_feed *feed = v->feed;
    log_debug("%s has left: %llu frames, %llu skipped", v->client->name,
              (unsigned long long)v->frames, (unsigned long long)v->skipped);
    pthread_mutex_lock(&feed->lock);
    TAILQ_REMOVE(&feed->viewers, v, link);
    feed->count--;
    feed->secure -= v->client->secure;
    while (v->count > 0) {
        part_unref(*at(v, --v->count));
    }
    pthread_mutex_unlock(&feed->lock);
    viewer_free(v);
    web_drop_client(feed->web);
    feed_left(feed);
}
