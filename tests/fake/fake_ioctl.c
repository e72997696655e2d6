/* SPDX-License-Identifier: MIT */
/* What the emulated camera answers to each ioctl but those of fake_format.c, fake_input.c and
 * fake_control.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_state.h"

static int subscribe(struct fake_handle *h, const struct v4l2_event_subscription *arg, bool on)
{
    if (arg->type != V4L2_EVENT_SOURCE_CHANGE) {
        return -EINVAL;
    }
    h->wants_source_change = on;
    return 0;
}

static int take_event(struct fake_handle *h, struct v4l2_event *arg)
{
    if (h->events == 0) {
        return -ENOENT;
    }
    *arg = (struct v4l2_event){ .type = V4L2_EVENT_SOURCE_CHANGE,
                                .u.src_change.changes = V4L2_EVENT_SRC_CH_RESOLUTION };
    arg->pending = --h->events;
    if (h->events == 0) {
        fake_calm(h->event_fd);
    }
    return 0;
}

static int take_priority(struct fake *f, struct fake_handle *h, uint32_t *arg, bool set)
{
    uint32_t highest = V4L2_PRIORITY_UNSET;
    for (int i = 0; i < FAKE_HANDLES; i++) {
        bool higher = f->handle[i].used && f->handle[i].priority > highest;
        highest = higher ? f->handle[i].priority : highest;
    }
    if (set && (*arg < V4L2_PRIORITY_BACKGROUND || *arg > V4L2_PRIORITY_RECORD)) {
        return -EINVAL;
    }
    if (set && h->priority < highest) {
        return -EBUSY;
    }
    if (set) {
        h->priority = *arg;
    } else {
        *arg = highest;
    }
    return 0;
}

static int stream_off(struct fake *f, const struct fake_handle *h)
{
    if (f->owner && f->owner != h) {
        return -EBUSY;
    }
    fake_stream_off_locked(f);
    return 0;
}

static void release_maps_locked(struct fake *f)
{
    for (int i = 0; i < FAKE_MAPS; i++) {
        f->map[i] = (struct fake_map){ 0 };
    }
}

static int request_buffers(struct fake *f, struct fake_handle *h, void *arg)
{
    int code = fake_request_locked(f, h, arg);
    if (code == 0) {
        release_maps_locked(f); /* orphaned buffers no longer hold the queue */
    }
    return code;
}

static int ioctl_stream(struct fake *f, struct fake_handle *h, unsigned long request, void *arg)
{
    switch (request) {
    case VIDIOC_REQBUFS:
        return request_buffers(f, h, arg);
    case VIDIOC_QUERYBUF:
        return fake_query_locked(f, arg);
    case VIDIOC_QBUF:
        return fake_queue_locked(f, h, arg);
    case VIDIOC_DQBUF:
        return fake_dequeue_locked(f, h, arg);
    case VIDIOC_EXPBUF:
        return f->owner == h ? fake_export_locked(f, arg) : -EBUSY;
    case VIDIOC_STREAMON:
        return f->busy ? -EBUSY : fake_stream_on_locked(f, h);
    case VIDIOC_STREAMOFF:
        return stream_off(f, h);
    case VIDIOC_SUBSCRIBE_EVENT:
    case VIDIOC_UNSUBSCRIBE_EVENT:
        return subscribe(h, arg, request == VIDIOC_SUBSCRIBE_EVENT);
    case VIDIOC_DQEVENT:
        return take_event(h, arg);
    case VIDIOC_G_PRIORITY:
    case VIDIOC_S_PRIORITY:
        return take_priority(f, h, arg, request == VIDIOC_S_PRIORITY);
    default:
        return -ENOTTY;
    }
}

int fake_ioctl_locked(struct fake *f, struct fake_handle *h, unsigned long request, void *arg)
{
    int code = fake_format_ioctl_locked(f, h, request, arg);
    code = code == -ENOTTY ? fake_input_ioctl_locked(f, request, arg) : code;
    code = code == -ENOTTY ? ioctl_stream(f, h, request, arg) : code;
    return code == -ENOTTY ? fake_control_ioctl_locked(f, request, arg) : code;
}
