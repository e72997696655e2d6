/* SPDX-License-Identifier: MIT */
/* The ring in plain memory: nothing here maps or waits. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/proto/shm_ring.h"

#define SLOTS 16
#define RING  8192

struct bench {
    void *map;
    size_t size;
    struct shm_writer writer;
    struct shm_reader reader;
    struct shm_slot slot;
    uint64_t missed;
};

static void begin_reader(struct bench *b)
{
    struct shm_head head;
    memcpy(&head, b->map, sizeof head);
    assert_int_equal(shm_head_check(&head, b->size), 0);
    shm_reader_init(&b->reader, b->map, b->size, &head);
}

static struct bench *begin_at(uint32_t first_index)
{
    struct bench *b = calloc(1, sizeof *b);
    b->size = shm_payload_offset(SLOTS) + RING;
    b->map = aligned_alloc(64, (b->size + 63) / 64 * 64);
    memset(b->map, 0, b->size);
    const struct shm_plan plan = { .map_size = b->size,
                                   .ring_size = RING,
                                   .slot_count = SLOTS,
                                   .first_index = first_index,
                                   .epoch = 7,
                                   .name = "door" };
    shm_writer_init(&b->writer, b->map, &plan);
    begin_reader(b);
    return b;
}

static void end(struct bench *b)
{
    free(b->map);
    free(b);
}

/* A frame whose bytes are all the low byte of its sequence number. */
static bool put_flags(struct bench *b, uint64_t seq, size_t size, unsigned flags)
{
    struct shm_slot slot = { .seq = seq, .flags = flags };
    uint8_t *to = shm_writer_claim(&b->writer, size);
    if (!to) {
        return false;
    }
    memset(to, (uint8_t)seq, size);
    shm_writer_publish(&b->writer, &slot, size);
    return true;
}

static bool put(struct bench *b, uint64_t seq, size_t size)
{
    return put_flags(b, seq, size, SHM_KEY);
}

static int next(struct bench *b)
{
    return shm_reader_next(&b->reader, &b->slot, &b->missed);
}

static void check_bytes(const struct bench *b)
{
    const uint8_t *at = (const uint8_t *)b->map + b->slot.offset;
    for (size_t i = 0; i < b->slot.size; i++) {
        assert_int_equal(at[i], (uint8_t)b->slot.seq);
    }
    for (size_t i = 0; i < SHM_SPARE; i++) {
        assert_int_equal(at[b->slot.size + i], 0);
    }
}

static void check_next(struct bench *b, uint64_t seq, uint64_t missed)
{
    assert_int_equal(next(b), 0);
    assert_int_equal(b->slot.seq, seq);
    assert_int_equal(b->missed, missed);
    assert_true(shm_reader_valid(&b->reader, b->slot.index));
    check_bytes(b);
}

static void every_frame_arrives_whole(void **state)
{
    (void)state;
    struct bench *b = begin_at(0);
    assert_int_equal(next(b), -EAGAIN);
    for (uint64_t i = 1; i < 2000; i++) {
        assert_true(put(b, i, 1 + (i * 331) % b->writer.frame_max));
        check_next(b, i, 0);
        assert_int_equal(next(b), -EAGAIN);
    }
    end(b);
}

static void the_index_wraps(void **state)
{
    (void)state;
    struct bench *b = begin_at(UINT32_MAX - 20);
    assert_int_equal(next(b), -EAGAIN);
    for (uint64_t i = 1; i < 100; i++) {
        assert_true(put(b, i, 300));
        check_next(b, i, 0);
    }
    end(b);
}

/* Also across the wrap of the index: from a full ring a reader that slept gets the newest key frame, and
 * the exact number of those before it. */
static void what_is_missed_is_exact(void **state)
{
    (void)state;
    for (uint32_t first = UINT32_MAX - 50; first != 50; first++) {
        struct bench *b = begin_at(first);
        assert_true(put(b, 1, 100));
        check_next(b, 1, 0);
        for (uint64_t i = 2; i <= 40; i++) {
            assert_true(put(b, i, 500));
        }
        check_next(b, 40, 38);
        assert_true(put(b, 41, 500));
        check_next(b, 41, 0);
        end(b);
    }
}

static void overtaken_goes_on_at_a_key_frame(void **state)
{
    (void)state;
    struct bench *b = begin_at(0);
    (void)put(b, 1, 10);
    check_next(b, 1, 0);
    for (uint64_t i = 2; i <= 40; i++) {
        (void)put_flags(b, i, 10, i == 30 ? SHM_KEY : 0);
    }
    check_next(b, 30, 28);
    check_next(b, 31, 0);
    for (uint64_t i = 41; i <= 80; i++) {
        (void)put_flags(b, i, 10, 0); /* no key frame is left */
    }
    check_next(b, 80, 48);
    assert_int_equal(next(b), -EAGAIN);
    end(b);
}

static void *write_fast(void *arg)
{
    struct bench *b = arg;
    for (uint64_t i = 1; i <= 5000000; i++) {
        (void)put_flags(b, i, 1, i % 4 == 0 ? SHM_KEY : 0);
    }
    shm_writer_end(&b->writer);
    return NULL;
}

/* Also when a key frame is being published at that very moment. */
static void overtaken_at_any_moment(void **state)
{
    (void)state;
    pthread_t thread;
    struct bench *b = begin_at(0);
    uint64_t gaps = 0;
    int code = 0;
    assert_int_equal(pthread_create(&thread, NULL, write_fast, b), 0);
    while (code != -EPIPE) { /* EBADMSG: overtaken too often in a row, which no camera does */
        code = next(b);
        gaps += code == 0 && b->missed > 0;
        if (code == 0 && b->missed > 0 && !(b->slot.flags & SHM_KEY)) {
            fail_msg("frame %llu after a gap is no key frame", (unsigned long long)b->slot.seq);
        }
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(gaps > 0);
    end(b);
}

static void in_use_it_is_seen_to_be_overwritten(void **state)
{
    (void)state;
    struct bench *b = begin_at(0);
    (void)put(b, 1, 1500);
    check_next(b, 1, 0);
    uint32_t index = b->slot.index;
    for (uint64_t i = 2; i <= 5; i++) {
        assert_true(shm_reader_valid(&b->reader, index));
        check_bytes(b);
        (void)put(b, i, 1500);
    }
    assert_true(shm_reader_valid(&b->reader, index));
    (void)shm_writer_claim(&b->writer, 1500); /* nothing is written yet */
    assert_false(shm_reader_valid(&b->reader, index));
    end(b);
}

/* The claim alone takes all frames away: the reader waits, and nothing is counted twice. */
static void while_one_large_frame_is_written(void **state)
{
    (void)state;
    struct bench *b = begin_at(0);
    for (uint64_t i = 1; i <= SLOTS; i++) {
        (void)put(b, i, 10);
    }
    check_next(b, 16, 0);
    uint8_t *to = shm_writer_claim(&b->writer, 100);
    assert_non_null(to);
    assert_int_equal(next(b), -EAGAIN);
    memset(to, 17, 100);
    struct shm_slot slot = { .seq = 17, .flags = SHM_KEY };
    shm_writer_publish(&b->writer, &slot, 100);
    check_next(b, 17, 0);
    end(b);
}

static void refused_and_skipped_count_as_missed(void **state)
{
    (void)state;
    struct bench *b = begin_at(0);
    (void)put(b, 1, 10);
    check_next(b, 1, 0);
    assert_false(put(b, 2, b->writer.frame_max + 1));
    assert_false(put(b, 3, 0));
    shm_writer_skip(&b->writer, 5);
    (void)put(b, 9, b->writer.frame_max);
    check_next(b, 9, 7);
    end(b);
}

static void a_new_reader_begins_with_the_newest_key_frame(void **state)
{
    (void)state;
    struct bench *b = begin_at(0);
    (void)put_flags(b, 1, 10, 0);
    assert_int_equal(next(b), -EAGAIN); /* not before there is one */
    (void)put(b, 2, 10);
    (void)put(b, 3, 10);
    (void)put_flags(b, 4, 10, 0);
    check_next(b, 3, 0);
    check_next(b, 4, 0);
    begin_reader(b);
    b->reader.oldest_first = true;
    check_next(b, 1, 0);
    begin_reader(b);
    shm_writer_pause(&b->writer);
    assert_int_equal(next(b), -EAGAIN); /* those are of an earlier time */
    (void)put_flags(b, 5, 10, 0);
    assert_int_equal(next(b), -EAGAIN);
    (void)put(b, 6, 10);
    check_next(b, 6, 0);
    end(b);
}

static void newest_only(void **state)
{
    (void)state;
    struct bench *b = begin_at(0);
    b->reader.newest_only = true;
    for (uint64_t i = 1; i <= 3; i++) {
        (void)put(b, i, 10);
    }
    check_next(b, 3, 0);
    for (uint64_t i = 4; i <= 9; i++) {
        (void)put_flags(b, i, 10, i == 7 ? SHM_KEY : 0);
    }
    check_next(b, 7, 3);
    check_next(b, 8, 0);
    end(b);
}

static void the_end_comes_after_the_last_frame(void **state)
{
    (void)state;
    struct bench *b = begin_at(0);
    uint32_t wake = b->reader.head->wake;
    (void)put(b, 1, 10);
    assert_int_not_equal(b->reader.head->wake, wake);
    wake = b->reader.head->wake;
    shm_writer_end(&b->writer);
    assert_int_not_equal(b->reader.head->wake, wake);
    check_next(b, 1, 0);
    assert_int_equal(next(b), -EPIPE);
    end(b);
}

static void a_resized_ring_keeps_the_row(void **state)
{
    (void)state;
    struct bench *b = begin_at(0);
    (void)put(b, 1, 10);
    check_next(b, 1, 0);
    shm_writer_resize(&b->writer, RING / 2);
    assert_false(shm_reader_valid(&b->reader, b->slot.index));
    (void)put(b, 2, 100);
    check_next(b, 2, 0);
    end(b);
}

static void heads_that_are_refused(void **state)
{
    (void)state;
    struct bench *b = begin_at(0);
    struct shm_head good, h;
    memcpy(&good, b->map, sizeof good);
#define REFUSED(code, change)                                                                      \
    memcpy(&h, &good, sizeof h);                                                                   \
    change;                                                                                        \
    assert_int_equal(shm_head_check(&h, b->size), code)
    REFUSED(-EBADMSG, h.magic[0] = 'x');
    REFUSED(-ENOTSUP, h.version++);
    REFUSED(-ENOTSUP, h.byte_order = 0x04030201);
    REFUSED(-ENOTSUP, h.slot_size -= 4);
    REFUSED(-EBADMSG, h.slot_count = 0);
    REFUSED(-EBADMSG, h.slot_count = 3);
    REFUSED(-EBADMSG, h.slot_count = 1u << 31);
    REFUSED(-EBADMSG, h.slot_offset = 8);
    REFUSED(-EBADMSG, h.slot_offset = UINT32_MAX - 7);
    REFUSED(-EBADMSG, h.slot_offset++);
    REFUSED(-EBADMSG, h.payload_offset--);
    REFUSED(-EBADMSG, h.payload_offset = (uint32_t)b->size + 1);
    REFUSED(-EBADMSG, h.map_size = 0);
    REFUSED(-EBADMSG, h.map_size = UINT64_MAX);
    assert_int_equal(shm_head_check(&good, sizeof good - 1), -EBADMSG);
    end(b);
}

static void slots_that_are_refused(void **state)
{
    (void)state;
    struct bench *b = begin_at(0);
    (void)put(b, 1, 100);
    struct shm_slot *s = (void *)((uint8_t *)b->map + b->reader.slot_offset), good = *s;
    const struct shm_reader fresh = b->reader;
#define BAD(code, change)                                                                          \
    *s = good;                                                                                     \
    b->reader = fresh;                                                                             \
    change;                                                                                        \
    assert_int_equal(next(b), code)
    BAD(-EBADMSG, s->index++);
    BAD(-EBADMSG, s->size = 0);
    BAD(-EBADMSG, s->size = UINT64_MAX);
    BAD(-ERANGE, s->size = RING - SHM_SPARE + 1);
    BAD(0, s->size = RING - SHM_SPARE);
    BAD(-EBADMSG, s->offset = 0);
    BAD(-EBADMSG, s->offset = UINT64_MAX - 64);
    BAD(-ERANGE, s->offset = b->size - 100);
    BAD(-EBADMSG, s->plane_count = SHM_PLANES + 1);
    BAD(-EBADMSG, (s->plane_count = 1, s->plane[0].offset = 101));
    BAD(-EBADMSG, (s->plane_count = 1, s->plane[0].stride = 50, s->plane[0].rows = 3));
    BAD(-EBADMSG,
        (s->plane_count = 1, s->plane[0].stride = UINT32_MAX, s->plane[0].rows = UINT32_MAX));
    BAD(-EBADMSG, (s->plane_count = 1, s->plane[0].row_bytes = 1));
    BAD(-EBADMSG, (s->plane_count = 1, s->plane[0].rows = UINT32_MAX));
    BAD(0, (s->plane_count = 1, s->plane[0].stride = 50, s->plane[0].rows = 2));
    end(b);
}

static void counters_that_are_refused(void **state)
{
    (void)state;
    struct bench *b = begin_at(0);
    for (uint64_t i = 1; i <= 4; i++) {
        (void)put(b, i, 10);
    }
    check_next(b, 4, 0);
    struct shm_head *head = b->map;
    head->written = 1000;
    assert_int_equal(next(b), -EBADMSG);
    head->written = 3; /* behind the reader */
    assert_int_equal(next(b), -EBADMSG);
    head->written = 4;
    head->oldest = 5; /* an honest writer is never found there for long */
    assert_int_equal(next(b), -EBADMSG);
    head->oldest = 0;
    head->key = 12345;
    assert_int_equal(next(b), -EAGAIN);
    end(b);
}

/* No byte, however it is set, leads outside; what is left is told by the sanitizers. */
static void damage_anywhere(void **state)
{
    (void)state;
    struct bench *b = begin_at(0);
    srand(1);
    for (int round = 0; round < 20000; round++) {
        if (round % 50 == 0) {
            end(b);
            b = begin_at((uint32_t)rand());
        }
        (void)put(b, (uint64_t)round + 1, 1 + (size_t)rand() % 2000);
        size_t most = offsetof(struct shm_head, wake) + 24 + SLOTS * sizeof(struct shm_slot);
        ((uint8_t *)b->map)[128 + (size_t)rand() % (most - 128)] = (uint8_t)rand();
        if (next(b) == 0) {
            uint8_t sum = 0;
            for (size_t i = 0; i < b->slot.size; i++) {
                sum ^= ((const uint8_t *)b->map)[b->slot.offset + i];
            }
            assert_true(sum || !sum); /* it was read */
        }
    }
    end(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_frame_arrives_whole),
        cmocka_unit_test(the_index_wraps),
        cmocka_unit_test(what_is_missed_is_exact),
        cmocka_unit_test(overtaken_goes_on_at_a_key_frame),
        cmocka_unit_test(overtaken_at_any_moment),
        cmocka_unit_test(in_use_it_is_seen_to_be_overwritten),
        cmocka_unit_test(while_one_large_frame_is_written),
        cmocka_unit_test(refused_and_skipped_count_as_missed),
        cmocka_unit_test(a_new_reader_begins_with_the_newest_key_frame),
        cmocka_unit_test(newest_only),
        cmocka_unit_test(the_end_comes_after_the_last_frame),
        cmocka_unit_test(a_resized_ring_keeps_the_row),
        cmocka_unit_test(heads_that_are_refused),
        cmocka_unit_test(slots_that_are_refused),
        cmocka_unit_test(counters_that_are_refused),
        cmocka_unit_test(damage_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
