/* SPDX-License-Identifier: MIT */
#include "pending.h"

#include <string.h>

static void forget(struct pending *p, int n)
{
    p->count -= n;
    memmove(p->entry, p->entry + n, (size_t)p->count * sizeof p->entry[0]);
}

void pending_add(struct pending *p, int64_t pts, const struct frame *picture)
{
    if (p->count == PENDING_MAX) {
        forget(p, 1);
    }
    p->entry[p->count].pts = pts;
    frame_copy_meta(&p->entry[p->count++].meta, picture);
}

bool pending_take(struct pending *p, int64_t pts, struct frame *packet)
{
    int found = 0;
    for (int i = 0; i < p->count; i++) {
        if (p->entry[i].pts == pts) {
            found = i;
        }
    }
    if (p->count == 0) {
        return false;
    }
    frame_copy_meta(packet, &p->entry[found].meta);
    forget(p, found + 1);
    return true;
}
