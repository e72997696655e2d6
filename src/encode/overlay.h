/* SPDX-License-Identifier: MIT */
/*
 * --overlay: a strftime(3) text, made for the moment of each picture and written in its lower left corner.
 * Besides strftime's conversions: %f, the thousandths of the second; \n typed as two characters begins a line.
 * Life: overlay_new/overlay_free. Threads: one at a time.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define OVERLAY_TEXT_SIZE 512 /* what is longer is cut */

struct overlay;
struct yu12;

struct overlay *overlay_new(const char *pattern); /* copies it; NULL: no memory */
void overlay_free(struct overlay *o);

/* The text is made again when the second changes, or at each picture when it has %f. */
void overlay_draw(struct overlay *o, const struct yu12 *on, int width, int height, int64_t wall_us);

/*
 * The text of that moment, local time. A conversion that strftime does not know, one wider than 99 and a
 * lone % stay as they are. Always ends with 0; size > 0. Pure.
 */
void overlay_expand(const char *pattern, int64_t wall_us, char *out, size_t size);
