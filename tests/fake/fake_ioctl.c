/* SPDX-License-Identifier: MIT */
/* What the emulated camera answers to each ioctl but those of fake_format.c and fake_input.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_state.h"

static const struct v4l2_queryctrl controls[FAKE_CONTROLS] = {
    { .id = V4L2_CID_USER_CLASS,
      .type = V4L2_CTRL_TYPE_CTRL_CLASS,
      .name = "User Controls",
      .flags = V4L2_CTRL_FLAG_READ_ONLY | V4L2_CTRL_FLAG_WRITE_ONLY },
    { .id = V4L2_CID_BRIGHTNESS,
      .type = V4L2_CTRL_TYPE_INTEGER,
      .name = "Brightness",
      .minimum = 0,
      .maximum = 255,
      .step = 1,
      .default_value = 128 },
    { .id = V4L2_CID_CONTRAST,
      .type = V4L2_CTRL_TYPE_INTEGER,
      .name = "Contrast",
      .minimum = 0,
      .maximum = 100,
      .step = 1,
      .default_value = 50 },
    { .id = V4L2_CID_HFLIP,
      .type = V4L2_CTRL_TYPE_BOOLEAN,
      .name = "Horizontal Flip",
      .minimum = 0,
      .maximum = 1,
      .step = 1,
      .default_value = 0 },
};

void fake_reset_controls(struct fake *f)
{
    for (int i = 0; i < FAKE_CONTROLS; i++) {
        f->control[i] = controls[i].default_value;
    }
}

static int find_control(uint32_t id)
{
    for (int i = 0; i < FAKE_CONTROLS; i++) {
        if (controls[i].id == id) {
            return i;
        }
    }
    return -EINVAL;
}

static int query_control(struct v4l2_queryctrl *arg)
{
    uint32_t id = arg->id & V4L2_CTRL_ID_MASK;
    bool next = arg->id & V4L2_CTRL_FLAG_NEXT_CTRL;
    for (int i = 0; i < FAKE_CONTROLS; i++) {
        if (next ? controls[i].id > id : controls[i].id == id) {
            *arg = controls[i];
            return 0;
        }
    }
    return -EINVAL;
}

static int query_ext_control(struct v4l2_query_ext_ctrl *arg)
{
    struct v4l2_queryctrl plain = { .id = arg->id };
    int code = query_control(&plain);
    if (code < 0) {
        return code;
    }
    *arg = (struct v4l2_query_ext_ctrl){
        .id = plain.id,
        .type = plain.type,
        .minimum = plain.minimum,
        .maximum = plain.maximum,
        .step = (uint64_t)plain.step,
        .default_value = plain.default_value,
        .flags = plain.flags,
        .elem_size = plain.type == V4L2_CTRL_TYPE_CTRL_CLASS ? 0 : 4,
        .elems = plain.type == V4L2_CTRL_TYPE_CTRL_CLASS ? 0 : 1,
    };
    memcpy(arg->name, plain.name, sizeof arg->name);
    return 0;
}

static int change_control(struct fake *f, struct v4l2_control *arg, bool set)
{
    int i = find_control(arg->id);
    if (i < 0) {
        return i;
    }
    if (controls[i].type == V4L2_CTRL_TYPE_CTRL_CLASS) {
        return -EACCES;
    }
    if (set && (arg->value < controls[i].minimum || arg->value > controls[i].maximum)) {
        return -ERANGE;
    }
    f->control[i] = set ? arg->value : f->control[i];
    arg->value = f->control[i];
    return 0;
}

static int change_controls(struct fake *f, struct v4l2_ext_controls *arg, unsigned long request)
{
    bool defaults = arg->which == V4L2_CTRL_WHICH_DEF_VAL && request != VIDIOC_G_EXT_CTRLS;
    if (arg->which == V4L2_CTRL_WHICH_REQUEST_VAL || defaults) {
        return -EINVAL;
    }
    for (uint32_t i = 0; i < arg->count; i++) {
        struct v4l2_control one = { arg->controls[i].id, arg->controls[i].value };
        int code = change_control(f, &one, request == VIDIOC_S_EXT_CTRLS);
        if (code < 0) { /* only a try says which one; the others changed nothing */
            arg->error_idx = request == VIDIOC_TRY_EXT_CTRLS ? i : arg->count;
            return code;
        }
        arg->controls[i].value = one.value;
    }
    return 0;
}

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

static int ioctl_control(struct fake *f, unsigned long request, void *arg)
{
    switch (request) {
    case VIDIOC_QUERYCTRL:
        return query_control(arg);
    case VIDIOC_QUERY_EXT_CTRL:
        return query_ext_control(arg);
    case VIDIOC_G_CTRL:
    case VIDIOC_S_CTRL:
        return change_control(f, arg, request == VIDIOC_S_CTRL);
    case VIDIOC_TRY_EXT_CTRLS:
    case VIDIOC_G_EXT_CTRLS:
    case VIDIOC_S_EXT_CTRLS:
        return change_controls(f, arg, request);
    default:
        return -ENOTTY;
    }
}

int fake_ioctl_locked(struct fake *f, struct fake_handle *h, unsigned long request, void *arg)
{
    int code = fake_format_ioctl_locked(f, h, request, arg);
    code = code == -ENOTTY ? fake_input_ioctl_locked(f, request, arg) : code;
    code = code == -ENOTTY ? ioctl_stream(f, h, request, arg) : code;
    return code == -ENOTTY ? ioctl_control(f, request, arg) : code;
}
