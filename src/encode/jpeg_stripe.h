/* SPDX-License-Identifier: MIT */
/*
 * One horizontal stripe of a picture, compressed by one libjpeg-turbo object that is kept from picture
 * to picture; its output goes straight into a pool frame.
 * Life: init/finish. Threads: one at a time for each stripe; different stripes at once.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "jpeg_lib.h"
#include "jpeg_rows.h"

struct frame;
struct pool;

struct jpeg_stripe {
    struct jpeg_compress_struct c;
    struct jpeg_destination_mgr dest;
    struct jpeg_lib lib;
    struct jpeg_rows rows;
    struct pool *pool;
    int y, height;     /* lines of the picture */
    size_t guess;      /* bytes the next one will probably take */
    struct frame *out; /* the JPEG of the last one; whoever takes it unrefs it */
    int rc;
};

/*
 * `restart` (MCUs, 0 = none) goes into its header. With several stripes that is the first one's size in
 * MCUs: then a restart marker belongs exactly at each seam, where the next stripe begins with a fresh
 * DC prediction as a decoder does behind the marker.
 */
int jpeg_stripe_init(struct jpeg_stripe *s, struct pool *pool, const struct format *format, int y,
                     int height, unsigned restart);
void jpeg_stripe_finish(struct jpeg_stripe *s); /* a zeroed one is fine */
void jpeg_stripe_set_quality(struct jpeg_stripe *s, int quality);

/* Compress its lines of `in` to s->out; s->rc says how it went: 0, -ENOMEM, -EIO. */
void jpeg_stripe_encode(struct jpeg_stripe *s, const struct frame *in);
