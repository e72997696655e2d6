/* SPDX-License-Identifier: MIT */
/*
 * A camera's JPEG to planar 4:2:0 (YU12, full range), never through RGB; other subsamplings are
 * brought to 4:2:0 a few lines at a time, while they are in the cache.
 * Life: new/free. Threads: one at a time.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct frame;
struct jpeg_decoder;
struct pool;

struct jpeg_decoder *jpeg_decoder_new(struct pool *pool); /* NULL: no memory */
void jpeg_decoder_free(struct jpeg_decoder *d);

/*
 * 0 with *out: a picture (one reference) with in's meta. A missing EOI or missing standard Huffman tables
 * do not matter. -EBADMSG: not a picture, or cut or damaged within its data; -ENOTSUP: a coding that
 * is no video camera's (jpeg_scan.h), or RGB; -ENOMEM.
 */
int jpeg_decode(struct jpeg_decoder *d, const struct frame *in, struct frame **out);

/* Does the picture decode without damage? At an eighth of the size, so without most of the cost.
 * Returns as jpeg_decode. */
int jpeg_check(struct jpeg_decoder *d, const uint8_t *data, size_t size);
