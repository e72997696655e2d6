/* SPDX-License-Identifier: MIT */
/*
 * Through a JPEG as far as its bytes have come (ITU-T T.81, B.1.1): segments by their length, coded data
 * to the next marker. Says where it ends; judges nothing that jpeg_scan will.
 * Life: zero it, keep it while the same picture grows. Threads: any, pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum walk_result {
    WALK_MORE,   /* all there is was seen, the end was not */
    WALK_WHOLE,  /* EOI is in front of `pos` */
    WALK_CUT,    /* at `pos` another picture begins: this one has no EOI */
    WALK_BROKEN, /* no JPEG, or a damaged one; look for the next from `pos` on, which is there */
};

struct jpeg_walk {
    size_t pos;        /* what is before it has been seen; may lie behind the bytes there are */
    bool coded;        /* … and is coded data, not a segment */
    int width, height; /* 0 until known */
    bool has_scan;     /* came to its coded data: it is a JPEG */
};

/* `data` begins with SOI; `size` may be less than the last time it was called only after zeroing. Linear:
 * no byte is seen twice. */
enum walk_result jpeg_walk(struct jpeg_walk *w, const uint8_t *data, size_t size);
