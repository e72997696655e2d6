/* SPDX-License-Identifier: MIT */
/* Pictures of our own between the source's and an encoder. Threads: any. */
#pragma once

struct format;
struct frame;
struct pool;

/* An empty picture of this raw format that otherwise says what `in` says, in rows of whole vectors, as encoders and
 * libyuv like them. NULL: no memory, or no such picture. */
struct frame *picture_like(struct pool *pool, const struct frame *in, const struct format *format);
