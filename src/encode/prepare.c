/* SPDX-License-Identifier: MIT */
#include "prepare.h"

#include <stdlib.h>

#include "pcs/frame.h"

struct prepare {
    struct pool *pool;
};

struct prepare *prepare_new(struct pool *pool, const char *overlay)
{
    (void)overlay;
    struct prepare *p = calloc(1, sizeof *p);
    if (p) {
        p->pool = pool;
    }
    return p;
}

void prepare_free(struct prepare *p)
{
    free(p);
}

void prepare_set_overlay(struct prepare *p, const char *overlay)
{
    (void)p;
    (void)overlay;
}

int prepare_picture(struct prepare *p, const struct frame *in, const struct frame **out)
{
    (void)p;
    *out = frame_ref(in);
    return 0;
}

bool prepare_changes(const struct prepare *p, const struct format *in)
{
    (void)p;
    (void)in;
    return false;
}

struct format prepare_format(const struct prepare *p, const struct format *in)
{
    (void)p;
    return *in;
}
