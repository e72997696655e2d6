/* SPDX-License-Identifier: MIT */
/* A camera's JPEG on its way to a packet (copy) and to a picture for the H.264 encoder (decode). */
#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "encode/encode.h"
#include "encode/jpeg_decode.h"
#include "pcs/frame.h"
#include "pcs/jpeg_scan.h"
#include "pcs/pool.h"

#define PIXELS_MAX (1024 * 1024) /* larger ones only cost time */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void keep(struct frame *f)
{
    (void)f; /* it is on the stack */
}

static void decode(struct pool *pool, const struct frame *in)
{
    struct jpeg_decoder *d = jpeg_decoder_new(pool);
    struct frame *out = NULL;
    assert(d);
    if (jpeg_decode(d, in, &out) == 0) {
        assert(out->format.id == FORMAT_YU12);
        frame_unref(out);
    }
    (void)jpeg_check(d, in->data, in->size);
    jpeg_decoder_free(d);
}

static void copy(struct pool *pool, const struct frame *in)
{
    struct copy *c = copy_new(pool);
    const struct frame *out = NULL;
    struct jpeg_info info;
    assert(c);
    if (copy_frame(c, in, &out) == 0) {
        assert(jpeg_scan(out->data, out->size, &info) == 0); /* what format.h promises */
        assert(info.has_dht && info.has_eoi && info.size == out->size);
        frame_unref(out);
    }
    copy_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jpeg_info info;
    struct pool *pool = pool_new(0);
    struct frame in;
    frame_init(&in, keep, NULL);
    in.format = (struct format){ .id = FORMAT_JPEG, .width = 16, .height = 16, .fps_den = 1 };
    in.flags = FRAME_DRIVER;
    in.data = data;
    in.size = size;
    assert(pool);
    if (jpeg_scan(data, size, &info) || info.width * info.height <= PIXELS_MAX) {
        decode(pool, &in);
        copy(pool, &in);
    }
    pool_free(pool);
    return 0;
}
