/* SPDX-License-Identifier: MIT */
/*
 * Rows for the JPEG encoder: any raw picture as full-range BT.601 4:2:0 (or grey), sixteen lines at a time, so
 * that what is converted is still in the cache when it is encoded. Planes that are right as they are
 * are not copied.
 * Life: init/finish; rows point into the frame and the scratch until the next fill.
 * Threads: one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "matrix.h"
#include "pcs/format.h"

struct frame;

#define JPEG_ROWS 16 /* luma lines of one row of 4:2:0 MCUs */

struct jpeg_rows {
    struct format format;
    int planes;   /* 3, or 1 for grey */
    int padded;   /* luma width in whole MCUs */
    bool expand;  /* limited range in */
    bool recolor; /* another matrix than BT.601's in */
    struct matrix_step step;
    int16_t *luma;    /* of one line */
    uint8_t *scratch; /* one MCU row of three planes */
    uint8_t *row[3][JPEG_ROWS];
};

int jpeg_rows_init(struct jpeg_rows *r, const struct format *format); /* 0 or -ENOMEM, -EINVAL */
void jpeg_rows_finish(struct jpeg_rows *r);

/* Set row[][] for the lines from `y` (a multiple of 16) on; lines below the picture repeat its last. */
void jpeg_rows_fill(struct jpeg_rows *r, const struct frame *in, int y);
