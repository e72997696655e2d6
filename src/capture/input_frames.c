/* SPDX-License-Identifier: MIT */
#include "input_frames.h"

#include <libavcodec/avcodec.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "pcs/frame.h"

#define MAX_IDLE 64

struct wrapper {
    struct frame frame;
    AVPacket *packet;
    AVFrame *picture;
    struct input_frames *owner;
    struct wrapper *next;
};

struct input_frames {
    pthread_mutex_t lock; /* guards everything below */
    struct wrapper *idle;
    unsigned idle_count, out;
    bool closed;
};

struct input_frames *input_frames_new(void)
{
    struct input_frames *f = calloc(1, sizeof *f);
    if (f) {
        pthread_mutex_init(&f->lock, NULL);
    }
    return f;
}

static void destroy_wrapper(struct wrapper *w)
{
    if (w) {
        av_packet_free(&w->packet);
        av_frame_free(&w->picture);
        free(w);
    }
}

static void destroy(struct input_frames *f)
{
    while (f->idle) {
        struct wrapper *w = f->idle;
        f->idle = w->next;
        destroy_wrapper(w);
    }
    pthread_mutex_destroy(&f->lock);
    free(f);
}

void input_frames_free(struct input_frames *f)
{
    if (!f) {
        return;
    }
    pthread_mutex_lock(&f->lock);
    f->closed = true;
    bool last = f->out == 0;
    pthread_mutex_unlock(&f->lock);
    if (last) {
        destroy(f);
    }
}

static void give_back(struct frame *frame)
{
    struct wrapper *w = frame->owner;
    struct input_frames *f = w->owner;
    av_packet_unref(w->packet);
    av_frame_unref(w->picture);
    pthread_mutex_lock(&f->lock);
    bool keep = !f->closed && f->idle_count < MAX_IDLE;
    if (keep) {
        w->next = f->idle;
        f->idle = w;
        f->idle_count++;
    }
    bool last = --f->out == 0 && f->closed;
    pthread_mutex_unlock(&f->lock);
    if (!keep) {
        destroy_wrapper(w);
    }
    if (last) {
        destroy(f);
    }
}

static struct wrapper *new_wrapper(struct input_frames *f)
{
    struct wrapper *w = calloc(1, sizeof *w);
    if (!w) {
        return NULL;
    }
    w->owner = f;
    w->packet = av_packet_alloc();
    w->picture = av_frame_alloc();
    if (!w->packet || !w->picture) {
        destroy_wrapper(w);
        return NULL;
    }
    return w;
}

static struct wrapper *take_wrapper(struct input_frames *f)
{
    pthread_mutex_lock(&f->lock);
    struct wrapper *w = f->idle;
    if (w) {
        f->idle = w->next;
        f->idle_count--;
        f->out++;
    }
    pthread_mutex_unlock(&f->lock);
    if (!w && (w = new_wrapper(f))) {
        pthread_mutex_lock(&f->lock);
        f->out++;
        pthread_mutex_unlock(&f->lock);
    }
    if (w) {
        frame_init(&w->frame, give_back, w);
    }
    return w;
}

struct frame *input_frames_packet(struct input_frames *f, struct AVPacket *packet)
{
    struct wrapper *w = take_wrapper(f);
    if (!w) {
        return NULL;
    }
    av_packet_move_ref(w->packet, packet);
    w->frame.data = w->packet->data;
    w->frame.size = (size_t)w->packet->size;
    return &w->frame;
}

struct frame *input_frames_picture(struct input_frames *f, struct AVFrame *picture)
{
    struct wrapper *w = take_wrapper(f);
    if (!w) {
        return NULL;
    }
    av_frame_move_ref(w->picture, picture);
    return &w->frame;
}
