/* SPDX-License-Identifier: MIT */
/*
 * A segment as its readers find it, made by anybody: first byte how the reader reads, then the file. Whatever
 * it says, a reader stays inside, and ends.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/proto/shm_ring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint8_t sink;

static void touch(const uint8_t *from, uint64_t size)
{
    for (uint64_t i = 0; i < size; i++) {
        sink ^= from[i];
    }
}

static void use(const struct shm_reader *r, const struct shm_slot *s)
{
    const uint8_t *at = r->map + s->offset;
    touch(at, s->size + SHM_SPARE);
    for (uint32_t i = 0; i < s->plane_count; i++) {
        const struct shm_plane *p = &s->plane[i];
        for (uint32_t row = 0; row < p->rows && p->row_bytes > 0; row++) {
            touch(at + p->offset + (uint64_t)row * p->stride, p->row_bytes);
        }
    }
}

static void read_all(const uint8_t *map, size_t size, unsigned how)
{
    struct shm_head head;
    struct shm_reader r;
    struct shm_slot slot;
    uint64_t missed = 0, number = 0;
    memcpy(&head, map, size < sizeof head ? size : sizeof head);
    if (shm_head_check(&head, size) < 0) {
        return;
    }
    shm_reader_init(&r, map, size, &head);
    r.oldest_first = how & 1;
    r.newest_only = how & 2;
    uint32_t count = 0;
    int code;
    while ((code = shm_reader_next(&r, &slot, &missed)) == 0) {
        assert(++count <= head.slot_count);
        assert(slot.number > number || count == 1);
        assert(count == 1 || missed == slot.number - number - 1);
        number = slot.number;
        (void)shm_reader_valid(&r, slot.index);
        use(&r, &slot);
    }
    assert(code == -EAGAIN || code == -EPIPE || code == -EBADMSG || code == -ERANGE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 1 << 20) {
        return 0;
    }
    uint8_t *map = malloc(size); /* exact, so that a step beyond it is seen */
    assert(map);
    memcpy(map, data + 1, size - 1);
    read_all(map, size - 1, data[0]);
    free(map);
    return 0;
}
