/* SPDX-License-Identifier: MIT */
/*
 * What is known of the pictures inside an encoder, for the packets that come out: found by presentation
 * time, since some encoders give their packets later than they take the pictures.
 * Life: zero-initialised. Threads: one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pcs/frame.h"

#define PENDING_MAX 32 /* more than any live encoder holds; then the oldest is forgotten */

struct pending {
    int count;
    struct {
        int64_t pts;
        struct frame meta;
    } entry[PENDING_MAX]; /* in the order in which they went in */
};

void pending_add(struct pending *p, int64_t pts, const struct frame *picture);

/*
 * Give `packet` the meta of the picture with this time, and forget it and those before it: without
 * B-frames they will not come any more. A time that never went in (some drivers change them) means the
 * oldest. False: there is none.
 */
bool pending_take(struct pending *p, int64_t pts, struct frame *packet);
