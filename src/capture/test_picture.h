/* SPDX-License-Identifier: MIT */
/*
 * The picture of the test source: a slowly moving scene with fine detail, fresh sensor-like noise in
 * every frame, bouncing balls, a running clock, the frame number, and the marker (pcs/marker.h).
 * Everything slow is painted once; a frame is copies with shifting offsets plus one addition per
 * pixel for the noise.
 * Life: test_picture_new/test_picture_free. Threads: one at a time.
 */
#pragma once

#include <stdint.h>

struct test_picture;

struct test_planes {
    uint8_t *y, *u, *v; /* u and v may be NULL: grey */
    int stride_y, stride_uv;
};

struct test_picture *test_picture_new(int width, int height); /* NULL: no memory */
void test_picture_free(struct test_picture *p);

/* Paint all of I420 frame `number` as captured at `capture_us` (monotonic) and `wall_us`; the scene
 * stands where it is after `scene_us`. Limited range. */
void test_picture_draw(struct test_picture *p, const struct test_planes *to, uint32_t number,
                       int64_t scene_us, int64_t capture_us, int64_t wall_us);
