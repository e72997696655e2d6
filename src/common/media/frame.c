/* SPDX-License-Identifier: MIT */
#include "pcs/frame.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

void frame_init(struct frame *frame, void (*release)(struct frame *), void *owner)
{
    memset(frame, 0, sizeof *frame);
    frame->release = release;
    frame->owner = owner;
    frame->dmabuf_fd = -1;
    atomic_init(&frame->refs, 1);
}

/* Readers see a const frame; only the count, which belongs to nobody's reading, changes. */
static struct frame *mutable_frame(const struct frame *frame)
{
    return (struct frame *)frame;
}

const struct frame *frame_ref(const struct frame *frame)
{
    unsigned before =
        atomic_fetch_add_explicit(&mutable_frame(frame)->refs, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before; /* only for the assert */
    return frame;
}

void frame_unref(const struct frame *frame)
{
    if (!frame) {
        return;
    }
    struct frame *f = mutable_frame(frame);
    unsigned before = atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before == 1) {
        f->release(f);
    }
}

int frame_set_planes(struct frame *frame, int stride0)
{
    size_t offset[FORMAT_MAX_PLANES];
    int stride[FORMAT_MAX_PLANES];
    size_t need = format_layout(&frame->format, stride0, offset, stride);
    if (need == 0 || need > frame->size) {
        return -EINVAL;
    }
    for (int i = 0; i < format_info(frame->format.id)->planes; i++) {
        frame->plane[i] = frame->data + offset[i];
        frame->stride[i] = stride[i];
    }
    return 0;
}

void frame_copy_meta(struct frame *to, const struct frame *from)
{
    to->format = from->format;
    to->flags = from->flags;
    to->seq = from->seq;
    to->capture_us = from->capture_us;
    to->wall_us = from->wall_us;
    to->pts_delay_us = from->pts_delay_us;
    memcpy(to->stage_us, from->stage_us, sizeof to->stage_us);
}
