/* SPDX-License-Identifier: MIT */
#include "part.h"

#include <stdlib.h>
#include <string.h>

#include "pcs/frame.h"

struct part *part_new(const struct frame *frame, const void *head, size_t head_size,
                      const void *tail, size_t tail_size)
{
    struct part *part = malloc(sizeof *part + head_size + tail_size);
    if (!part) {
        return NULL;
    }
    *part = (struct part){ .refs = 1,
                           .frame = frame ? frame_ref(frame) : NULL,
                           .key = frame && (frame->flags & FRAME_KEY),
                           .head_size = head_size,
                           .tail_size = tail_size };
    memcpy(part->bytes, head, head_size);
    if (tail_size > 0) {
        memcpy(part->bytes + head_size, tail, tail_size);
    }
    return part;
}

void part_unref(struct part *part)
{
    if (part && --part->refs == 0) {
        frame_unref(part->frame);
        free(part);
    }
}

size_t part_size(const struct part *part)
{
    return part->head_size + (part->frame ? part->frame->size : 0) + part->tail_size;
}
