/* SPDX-License-Identifier: MIT */
/*
 * Bytes of a hostile peer: the first tells how the rest is split on its way. However they are split,
 * the same messages must come out; what parses must survive being written and parsed again.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "pcs/frame.h"
#include "pcs/pool.h"
#include "pcs/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_FRAME 65536

static struct frame *alloc_frame(void *arg, size_t size)
{
    return pool_get(arg, size);
}

static uint64_t mix(uint64_t digest, const void *data, size_t size)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < size; i++) {
        digest = (digest ^ p[i]) * UINT64_C(0x100000001b3);
    }
    return digest;
}

/* Written and parsed again it is the same. Of another version's hello only the number is known. */
static uint64_t check_message(const struct wire_message *m, uint64_t digest)
{
    uint8_t bytes[WIRE_CONTROL_MAX], again[WIRE_CONTROL_MAX];
    struct wire_message copy;
    if ((m->type == WIRE_HELLO && m->u.hello.version != WIRE_VERSION) ||
        (m->type == WIRE_WELCOME && m->u.welcome.version != WIRE_VERSION)) {
        return mix(digest, &m->u.hello.version, 2);
    }
    int n = wire_put(bytes, sizeof bytes, m);
    assert(n > 0);
    assert(wire_parse(bytes, (size_t)n, &copy) == 0);
    assert(copy.type == m->type);
    assert(wire_put(again, sizeof again, &copy) == n && memcmp(again, bytes, (size_t)n) == 0);
    return mix(digest, bytes, (size_t)n);
}

/* Everything up to the first error; the digest tells what came out. */
static uint64_t run(struct pool *pool, size_t max_frame, const uint8_t *data, size_t size,
                    size_t step)
{
    struct wire_rx rx;
    uint64_t digest = 1;
    int code = 0;
    wire_rx_init(&rx, max_frame, max_frame ? alloc_frame : NULL, pool);
    while (size > 0 && code >= 0) {
        struct iovec iov[2];
        int count = wire_rx_want(&rx, iov);
        assert(count >= 1 && count <= 2);
        size_t n = iov[0].iov_len < size ? iov[0].iov_len : size;
        n = n < step ? n : step;
        memcpy(iov[0].iov_base, data, n);
        wire_rx_got(&rx, n);
        data += n;
        size -= n;
        struct wire_message m;
        struct frame *frame = NULL;
        while ((code = wire_rx_next(&rx, &m, &frame)) == 1) {
            digest = check_message(&m, digest);
            assert((m.type == WIRE_FRAME) == (frame != NULL));
            if (frame) {
                assert(frame->size == m.u.frame.size && frame->size <= max_frame);
                digest = mix(digest, frame->data, frame->size);
            }
            frame_unref(frame);
            frame = NULL;
        }
    }
    wire_rx_finish(&rx);
    return mix(digest, &code, sizeof code);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    struct pool *pool = pool_new(4 * MAX_FRAME);
    size_t step = 1 + data[0] % 64;
    struct wire_message m;
    data++;
    size--;
    if (wire_parse(data, size, &m) == 0) {
        (void)check_message(&m, 0);
    }
    uint64_t whole = run(pool, MAX_FRAME, data, size, SIZE_MAX);
    assert(run(pool, MAX_FRAME, data, size, step) == whole);
    (void)run(pool, 0, data, size, step);
    pool_free(pool);
    return 0;
}
