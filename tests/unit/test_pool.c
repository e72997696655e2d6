/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "heap_watch.h"
#include "pcs/frame.h"
#include "pcs/pool.h"
#include "pcs/thread.h"

#define MB ((size_t)1 << 20)

static void a_frame_is_as_large_as_asked(void **state)
{
    (void)state;
    static const size_t sizes[] = { 0, 1, 4095, 4096, 4097, 65536, 100000, 3 * MB };
    struct pool *pool = pool_new(64 * MB);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct frame *f = pool_get(pool, sizes[i]);
        assert_non_null(f);
        assert_true(f->capacity >= sizes[i]);
        assert_ptr_equal(f->data, f->buffer);
        assert_int_equal((uintptr_t)f->buffer % 16, 0);
        assert_int_equal(f->size, 0);
        memset(f->buffer, 0x55, f->capacity);
        memset(f->buffer + f->capacity, 0, 64); /* spare bytes for codecs */
        frame_unref(f);
    }
    pool_free(pool);
    pool_free(NULL);
}

static void an_absurd_size_is_refused(void **state)
{
    (void)state;
    struct pool *pool = pool_new(MB);
    assert_null(pool_get(pool, SIZE_MAX));
    assert_null(pool_get(pool, (size_t)1 << 40));
    struct frame *f = pool_get(pool, 10); /* nothing is broken by it */
    assert_non_null(f);
    frame_unref(f);
    pool_free(pool);
}

static void a_frame_used_again_is_empty(void **state)
{
    (void)state;
    struct pool *pool = pool_new(MB);
    struct frame *f = pool_get(pool, 5000);
    const uint8_t *buffer = f->buffer;
    f->seq = 7;
    f->flags = FRAME_KEY;
    f->size = 5000;
    f->format.id = FORMAT_H264;
    f->stage_us[STAGE_ENCODED] = 1;
    f->data = f->buffer + 100;
    frame_unref(f);
    f = pool_get(pool, 8192);
    assert_ptr_equal(f->buffer, buffer); /* the same size class */
    assert_ptr_equal(f->data, buffer);
    assert_int_equal(f->seq, 0);
    assert_int_equal(f->flags, 0);
    assert_int_equal(f->size, 0);
    assert_int_equal(f->format.id, FORMAT_NONE);
    assert_int_equal(f->stage_us[STAGE_ENCODED], 0);
    frame_unref(f);
    assert_int_equal(pool_allocations(pool), 1);
    pool_free(pool);
}

static size_t size_of_frame(int i)
{
    return i % 30 == 0 ? 80000 : 2000 + (size_t)(i * 977) % 20000; /* key frame and others */
}

/* As in a stream: a few frames in flight, of changing sizes. */
static void run_stream(struct pool *pool, int frames, size_t scale)
{
    struct frame *flying[8] = { NULL };
    for (int i = 0; i < frames; i++) {
        frame_unref(flying[i % 8]);
        flying[i % 8] = pool_get(pool, size_of_frame(i) * scale);
        assert_non_null(flying[i % 8]);
    }
    for (int i = 0; i < 8; i++) {
        frame_unref(flying[i]);
    }
}

static void steady_state_allocates_nothing(void **state)
{
    (void)state;
    struct pool *pool = pool_new(4 * MB);
    run_stream(pool, 30000, 1);
    uint64_t before = pool_allocations(pool);
    unsigned long heap_before = atomic_load(&heap_calls);
    run_stream(pool, 30000, 1);
    assert_int_equal(pool_allocations(pool), before);
    assert_int_equal(atomic_load(&heap_calls), heap_before);
    pool_free(pool);
}

/* What was kept of one size makes room when another is in use. */
static void sizes_of_yesterday_give_way(void **state)
{
    (void)state;
    struct pool *pool = pool_new(4 * MB);
    struct frame *burst[1000];
    for (int i = 0; i < 1000; i++) {
        burst[i] = pool_get(pool, 4096);
    }
    for (int i = 0; i < 1000; i++) {
        frame_unref(burst[i]); /* now the lists are full of small ones */
    }
    run_stream(pool, 3000, 4);
    uint64_t before = pool_allocations(pool);
    run_stream(pool, 3000, 4);
    assert_int_equal(pool_allocations(pool), before);
    pool_free(pool);
}

static void idle_memory_is_bounded(void **state)
{
    (void)state;
    struct pool *pool = pool_new(10 * 4096);
    struct frame *f[20];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 20; i++) {
            f[i] = pool_get(pool, 4096);
        }
        for (int i = 0; i < 20; i++) {
            frame_unref(f[i]);
        }
    }
    assert_int_equal(pool_allocations(pool), 20 + 10); /* ten had been kept */
    frame_unref(pool_get(pool, 10 * 4096));            /* 64 KiB: more than may ever be kept */
    f[0] = pool_get(pool, 4096);
    assert_int_equal(pool_allocations(pool), 20 + 10 + 1);
    frame_unref(f[0]);
    pool_free(pool);

    pool = pool_new(0);
    frame_unref(pool_get(pool, 1));
    frame_unref(pool_get(pool, 1));
    assert_int_equal(pool_allocations(pool), 2);
    pool_free(pool);
}

static void frames_outlive_their_pool(void **state)
{
    (void)state;
    struct pool *pool = pool_new(MB);
    struct frame *a = pool_get(pool, 100), *b = pool_get(pool, 100), *c = pool_get(pool, 100);
    frame_unref(c);
    pool_free(pool);
    memset(a->buffer, 1, a->capacity);
    frame_unref(a);
    memset(b->buffer, 1, b->capacity);
    frame_unref(b); /* takes the pool along: the leak checker is the judge */
}

static void without_memory_there_is_no_frame(void **state)
{
    (void)state;
    heap_fail_next(1);
    assert_null(pool_new(MB));
    struct pool *pool = pool_new(MB);
    for (unsigned long n = 1; n <= 2; n++) { /* the frame, then its buffer */
        heap_fail_next(n);
        assert_null(pool_get(pool, 100));
        heap_fail_next(0);
    }
    struct frame *f = pool_get(pool, 100);
    assert_non_null(f);
    pool_free(pool);
    frame_unref(f);
}

#define ROUNDS 20000

static void churn(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        struct frame *f = pool_get(arg, size_of_frame(i));
        f->buffer[0] = (uint8_t)i;
        frame_unref(f);
    }
}

static void threads_share_a_pool(void **state)
{
    (void)state;
    struct pool *pool = pool_new(8 * MB);
    struct thread threads[3];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(thread_start(&threads[i], "churn", churn, pool), 0);
    }
    for (int i = 0; i < 3; i++) {
        thread_join(&threads[i]);
    }
    assert_true(pool_allocations(pool) < 100); /* each thread holds one frame at a time */
    pool_free(pool);
}

static void give_back(void *frame)
{
    frame_unref(frame);
}

static void a_pool_may_go_while_another_thread_gives_back(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct pool *pool = pool_new(MB);
        struct frame *frames[4];
        struct thread threads[4];
        for (int i = 0; i < 4; i++) {
            frames[i] = pool_get(pool, 100);
            assert_int_equal(thread_start(&threads[i], "giver", give_back, frames[i]), 0);
        }
        pool_free(pool);
        for (int i = 0; i < 4; i++) {
            thread_join(&threads[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_is_as_large_as_asked),
        cmocka_unit_test(an_absurd_size_is_refused),
        cmocka_unit_test(a_frame_used_again_is_empty),
        cmocka_unit_test(steady_state_allocates_nothing),
        cmocka_unit_test(sizes_of_yesterday_give_way),
        cmocka_unit_test(idle_memory_is_bounded),
        cmocka_unit_test(frames_outlive_their_pool),
        cmocka_unit_test(without_memory_there_is_no_frame),
        cmocka_unit_test(threads_share_a_pool),
        cmocka_unit_test(a_pool_may_go_while_another_thread_gives_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
