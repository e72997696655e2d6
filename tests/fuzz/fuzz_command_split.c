/* SPDX-License-Identifier: MIT */
/* What a camera program prints, in reads of sizes that the first byte chooses: nothing comes out twice or
 * out of order, no byte is lost count of, and one read gives the same frames as many. */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "capture/command_split.h"
#include "pcs/frame.h"
#include "pcs/pool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
    int code;
    unsigned frames, lost;
    uint64_t bytes, hash;
};

static void check_frame(const struct frame *f, const uint8_t **at, const uint8_t *end,
                        struct result *r)
{
    assert(f->size > 0 && (f->format.id == FORMAT_JPEG || f->format.id == FORMAT_H264));
    assert(f->format.width > 0 && f->format.width <= FORMAT_MAX_SIZE);
    assert(f->format.height > 0 && f->format.height <= FORMAT_MAX_SIZE);
    const uint8_t *found = memmem(*at, (size_t)(end - *at), f->data, f->size);
    assert(found); /* behind the last one */
    *at = found + f->size;
    r->frames++;
    r->bytes += f->size;
    r->hash = r->hash * 31 + f->size * 7 + f->flags + (uint64_t)f->format.width;
    frame_unref(f);
}

static void take_all(struct command_split *s, const uint8_t **at, const uint8_t *end,
                     struct result *r)
{
    struct frame *frame = NULL;
    while ((r->code = command_split_take(s, &frame, &r->lost)) == 0) {
        check_frame(frame, at, end, r);
    }
}

static struct result split(const uint8_t *data, size_t size, size_t step)
{
    struct result r = { .code = -EAGAIN };
    struct pool *pool = pool_new(1 << 20);
    struct command_split *s = pool ? command_split_new(pool) : NULL;
    const uint8_t *at = data, *from = data, *end = data + size;
    struct command_split_stats stats;
    char text[200];
    assert(s);
    while (from < end && r.code == -EAGAIN) {
        size_t room, left = (size_t)(end - from);
        uint8_t *to = command_split_room(s, &room);
        assert(to && room >= 16 << 10);
        size_t n = left < step ? left : step;
        memcpy(to, from, n);
        from += n;
        command_split_fed(s, n, 1);
        take_all(s, &at, end, &r);
    }
    command_split_end(s);
    take_all(s, &at, end, &r);
    command_split_get_stats(s, &stats);
    assert(r.bytes + stats.skipped <= stats.bytes && stats.bytes <= size);
    command_split_describe(s, text, sizeof text);
    command_split_free(s);
    pool_free(pool);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 64 << 10) {
        return 0; /* where text is given up depends on how much came at once */
    }
    struct result one = split(data + 1, size - 1, 16 << 10),
                  many = split(data + 1, size - 1, 1u + data[0]);
    assert(one.code == many.code && one.frames == many.frames && one.hash == many.hash);
    return 0;
}
