/* SPDX-License-Identifier: MIT */
/* Pictures lent to libavcodec: whatever memory their planes lie in. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <libavutil/frame.h>

#include "encode/h264_input.h"
#include "pcs/frame.h"
#include "pcs/pool.h"
#include "pictures.h"

/* A picture whose planes are on the heap, each alone, so that a sanitizer sees a byte too many. */
struct apart {
    struct frame frame;
    uint8_t *memory[FORMAT_MAX_PLANES];
    int released;
};

static void count_release(struct frame *frame)
{
    struct apart *a = frame->owner;
    a->released++;
}

static void take_apart(struct apart *a, const struct frame *whole)
{
    const struct format_info *info = format_info(whole->format.id);
    *a = (struct apart){ .released = 0 };
    frame_init(&a->frame, count_release, a);
    a->frame.format = whole->format;
    for (int i = 0; i < info->planes; i++) {
        size_t lines = (size_t)(whole->format.height + info->plane_shift_y[i]) >>
                       info->plane_shift_y[i];
        size_t size = (size_t)whole->stride[i] * lines;
        a->memory[i] = malloc(size);
        assert_non_null(a->memory[i]);
        memcpy(a->memory[i], whole->plane[i], size);
        a->frame.plane[i] = a->memory[i];
        a->frame.stride[i] = whole->stride[i];
        a->frame.size = i == 0 ? size : a->frame.size;
    }
    a->frame.data = a->memory[0];
}

static void each_plane_lies_in_a_buffer(const struct AVFrame *lent, int planes, int chroma_lines)
{
    for (int i = 0; i < planes; i++) {
        int lines = i ? chroma_lines : lent->height;
        const uint8_t *end = lent->data[i] + (ptrdiff_t)lent->linesize[i] * lines;
        bool inside = false;
        for (int k = 0; k < AV_NUM_DATA_POINTERS && lent->buf[k]; k++) {
            const AVBufferRef *b = lent->buf[k];
            inside |= lent->data[i] >= b->data && end <= b->data + b->size;
        }
        assert_true(inside);
    }
}

static void lends_each_memory(void **state)
{
    (void)state;
    const enum format_id ids[] = { FORMAT_YU12, FORMAT_NV12, FORMAT_GREY };
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        const struct format f = { .id = ids[i], .width = 66, .height = 50 };
        struct frame *whole = picture_new(&f, 3, 10);
        struct apart a;
        take_apart(&a, whole);
        struct pool *pool = pool_new(1 << 20);
        struct h264_input input;
        h264_input_init(&input, pool, true);
        for (int both = 0; both < 2; both++) {
            const struct frame *picture = both ? whole : &a.frame;
            struct AVFrame *lent = av_frame_alloc();
            assert_int_equal(h264_input_lend(&input, picture, lent), 0);
            int planes = ids[i] == FORMAT_NV12 ? 2 : 3;
            each_plane_lies_in_a_buffer(lent, planes, 25);
            assert_ptr_equal(lent->data[0], picture->plane[0]);
            av_frame_free(&lent);
        }
        assert_int_equal(a.released, 0);
        frame_unref(&a.frame);
        assert_int_equal(a.released, 1); /* every loan was given back */
        for (int k = 0; k < FORMAT_MAX_PLANES; k++) {
            free(a.memory[k]);
        }
        frame_unref(whole);
        h264_input_finish(&input);
        pool_free(pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(lends_each_memory) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
