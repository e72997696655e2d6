/* SPDX-License-Identifier: MIT */
/*
 * Pictures turned and flipped (format.h: enum format_transform), to planar 4:2:0. The colour of a picture of odd
 * size may be half a pixel off afterwards: its last column or line of chroma, which covers one pixel, comes to
 * cover two.
 * Threads: any, pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct raw_view;
struct yu12;

/* Bytes that turn_to_yu12 needs to work in, for pictures of that width. */
size_t turn_scratch_size(int width);

/* `to` has the turned size. 0, or -EINVAL when `from` is not raw. */
int turn_to_yu12(const struct raw_view *from, unsigned transform, const struct yu12 *to,
                 uint8_t *scratch);
