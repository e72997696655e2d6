/* SPDX-License-Identifier: MIT */
/* Access units of a camera, three in a row, through copy. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "encode/encode.h"
#include "encode/h264_unit.h"
#include "pcs/frame.h"
#include "pcs/pool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void keep(struct frame *f)
{
    (void)f; /* it is on the stack */
}

static void copy_unit(struct copy *c, const uint8_t *data, size_t size)
{
    struct h264_sets sets = { .sps_size = 0 };
    struct h264_unit unit;
    const struct frame *out = NULL;
    struct frame in;
    frame_init(&in, keep, NULL);
    in.format = (struct format){ .id = FORMAT_H264, .width = 16, .height = 16, .fps_den = 1 };
    in.flags = FRAME_DRIVER;
    in.data = data;
    in.size = size;
    if (copy_frame(c, &in, &out) == 0) {
        h264_unit_read(&sets, out->data, out->size, &unit);
        assert(unit.kept && unit.has_slice && unit.size == out->size); /* what format.h promises */
        assert(unit.key == ((out->flags & FRAME_KEY) != 0));
        frame_unref(out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pool *pool = pool_new(0);
    struct copy *c = pool ? copy_new(pool) : NULL;
    assert(c);
    size_t third = size / 3;
    copy_unit(c, data, third);
    copy_unit(c, data + third, third);
    copy_unit(c, data + 2 * third, size - 2 * third);
    copy_free(c);
    pool_free(pool);
    return 0;
}
