/* SPDX-License-Identifier: MIT */
/* What the hardware encoder decides without hardware: tests/vm has the rest, with a real driver. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/videodev2.h>

#include "encode/h264_input.h"
#include "encode/m2m_plan.h"
#include "encode/m2m_queue.h"
#include "encode/pending.h"
#include "encode/tempo.h"
#include "pcs/frame.h"
#include "pcs/pool.h"
#include "pictures.h"

static const struct format hd = {
    .id = FORMAT_YU12, .width = 1280, .height = 720, .fps_num = 30, .fps_den = 1
};

static void only_whole_pictures_are_shared(void **state)
{
    (void)state;
    struct frame *f = picture_new(&hd, 0, 0);
    assert_false(m2m_plan_shareable(f)); /* it is in nobody's buffer */
    f->dmabuf_fd = 5;
    assert_true(m2m_plan_shareable(f));
    f->plane[1] += 64; /* planes that lie elsewhere */
    assert_false(m2m_plan_shareable(f));
    f->plane[1] -= 64;
    f->stride[1] += 2;
    assert_false(m2m_plan_shareable(f));
    frame_unref(f);
    f = picture_new(&hd, 0, 64); /* padded lines are fine: the stride tells */
    f->dmabuf_fd = 5;
    assert_true(m2m_plan_shareable(f));
    frame_unref(f);
}

static void a_layout_fits_or_not(void **state)
{
    (void)state;
    const struct m2m_format wanted = {
        .fourcc = V4L2_PIX_FMT_YUYV, .width = 640, .height = 480, .stride = 1280
    };
    struct m2m_format got = wanted;
    got.planes = 1;
    got.size = 614400;
    assert_true(m2m_plan_fits(&wanted, &got, 614400));
    assert_false(m2m_plan_fits(&wanted, &got, 614399)); /* it would read beyond */
    got.stride = 1344;
    assert_false(m2m_plan_fits(&wanted, &got, 1 << 20));
    got.stride = 1280;
    got.height = 496;
    assert_false(m2m_plan_fits(&wanted, &got, 1 << 20));
    got.height = 480;
    got.fourcc = V4L2_PIX_FMT_NV12;
    assert_false(m2m_plan_fits(&wanted, &got, 1 << 20));
    got.fourcc = wanted.fourcc;
    got.planes = 2;
    assert_false(m2m_plan_fits(&wanted, &got, 1 << 20));
}

static void a_plan_holds_while_pictures_stay_the_same(void **state)
{
    (void)state;
    struct frame *f = picture_new(&hd, 0, 0);
    f->dmabuf_fd = 5;
    struct m2m_plan plan = { .from = hd, .shared = true, .in_place = true, .stride = 1280 };
    assert_true(m2m_plan_serves(&plan, f, true));
    f->dmabuf_fd = 9; /* another buffer of the camera */
    assert_true(m2m_plan_serves(&plan, f, true));
    plan.in_place = false; /* could be shared, but the device wants a copy: still so */
    assert_true(m2m_plan_serves(&plan, f, true));
    assert_false(m2m_plan_serves(&plan, f, false));
    f->dmabuf_fd = -1; /* the picture that says there is none */
    assert_false(m2m_plan_serves(&plan, f, true));
    plan.shared = false;
    assert_true(m2m_plan_serves(&plan, f, true));
    f->format.width = 640;
    assert_false(m2m_plan_serves(&plan, f, true));
    frame_unref(f);
}

static void level_follows_size_and_rate(void **state)
{
    (void)state;
    struct format f = hd;
    assert_int_equal(m2m_plan_level(&f), V4L2_MPEG_VIDEO_H264_LEVEL_4_0);
    f.width = 1920;
    f.height = 1080;
    assert_int_equal(m2m_plan_level(&f), V4L2_MPEG_VIDEO_H264_LEVEL_4_0);
    f.fps_num = 60;
    assert_int_equal(m2m_plan_level(&f), V4L2_MPEG_VIDEO_H264_LEVEL_4_2);
    f.width = 3840;
    f.height = 2160;
    assert_int_equal(m2m_plan_level(&f), V4L2_MPEG_VIDEO_H264_LEVEL_5_1);
    f = hd;
    f.fps_den = 0; /* unknown */
    assert_int_equal(m2m_plan_level(&f), V4L2_MPEG_VIDEO_H264_LEVEL_4_0);
}

/* A buffer that was in a place before is still mapped there for the device. */
static void buffers_go_back_to_their_places(void **state)
{
    (void)state;
    struct m2m_queue q = { .count = 3 };
    for (int i = 0; i < 3; i++) {
        q.buffer[i].dmabuf_fd = -1;
    }
    q.buffer[0].dmabuf_fd = 10;
    assert_int_equal(m2m_queue_free(&q, 10), 0);
    assert_true(m2m_queue_free(&q, 11) > 0); /* a fresh one */
    q.buffer[1].dmabuf_fd = 11;
    q.buffer[2].dmabuf_fd = 12;
    assert_int_equal(m2m_queue_free(&q, 12), 2);
    q.buffer[2].queued = true;
    assert_true(m2m_queue_free(&q, 13) < 2); /* none is fresh: any that is free */
    q.buffer[0].queued = q.buffer[1].queued = true;
    assert_true(m2m_queue_free(&q, 10) < 0);
}

static void packets_find_their_pictures(void **state)
{
    (void)state;
    struct pending p = { .count = 0 };
    struct frame packet, picture;
    frame_init(&packet, NULL, NULL);
    frame_init(&picture, NULL, NULL);
    assert_false(pending_take(&p, 1, &packet));
    for (int i = 1; i <= 5; i++) {
        picture.seq = (uint64_t)i;
        pending_add(&p, i * 100, &picture);
    }
    assert_true(pending_take(&p, 100, &packet));
    assert_int_equal(packet.seq, 1);
    assert_true(pending_take(&p, 300, &packet)); /* number 2 was skipped */
    assert_int_equal(packet.seq, 3);
    assert_int_equal(p.count, 2);
    assert_true(pending_take(&p, 0, &packet)); /* a driver that loses the times */
    assert_int_equal(packet.seq, 4);
    for (int i = 0; i < 2 * PENDING_MAX; i++) { /* one that never answers */
        picture.seq = (uint64_t)i;
        pending_add(&p, i, &picture);
    }
    assert_int_equal(p.count, PENDING_MAX);
    assert_true(pending_take(&p, -1, &packet));
    assert_int_equal(packet.seq, PENDING_MAX);
}

static void tempo_is_measured(void **state)
{
    (void)state;
    struct tempo t = { .scale = 1 };
    int64_t now = 1000000;
    int changes = 0;
    for (int i = 0; i < 90; i++) {
        changes += tempo_note(&t, now += 33333, 33333);
    }
    assert_int_equal(changes, 0); /* as promised */
    for (int i = 0; i < 90; i++) {
        changes += tempo_note(&t, now += 66666, 33333);
    }
    assert_true(changes >= 1 && t.scale > 1.9 && t.scale < 2.1);
    changes = tempo_note(&t, now + 3600000000, 33333); /* a pause */
    assert_int_equal(changes, 0);
}

/* Every layout into memory of either kind, lines padded and odd sizes cut, against the definitions. */
static void writes_every_layout(void **state)
{
    (void)state;
    static const enum format_id targets[] = { FORMAT_YU12, FORMAT_NV12 };
    struct pool *pool = pool_new(1 << 20);
    for (int id = FORMAT_YUYV; id <= FORMAT_RGB24; id++) {
        for (int k = 0; k < 2; k++) {
            struct format f = { .id = (enum format_id)id, .width = 161, .height = 97 };
            struct format want = { .id = targets[k], .width = 160, .height = 96 };
            struct h264_input input;
            struct frame *in = picture_new(&f, 3, 16), *to = picture_new(&want, 9, 32);
            f.id = targets[k];
            struct frame *truth = picture_new(&f, 3, 0);
            h264_input_init(&input, pool, true);
            assert_int_equal(h264_input_write(&input, in, to), 0);
            for (int y = 0; y < want.height; y += 5) {
                double psnr = picture_psnr(to->plane[0] + (ptrdiff_t)y * to->stride[0],
                                           truth->plane[0] + (ptrdiff_t)y * truth->stride[0], 160);
                assert_true(psnr > 40);
            }
            for (int y = 0; y < want.height / 2 && id != FORMAT_GREY; y += 5) {
                size_t bytes = k ? 160 : 80;
                double psnr = picture_psnr(to->plane[1] + (ptrdiff_t)y * to->stride[1],
                                           truth->plane[1] + (ptrdiff_t)y * truth->stride[1],
                                           bytes);
                assert_true(psnr > 28);
            }
            h264_input_finish(&input);
            frame_unref(in);
            frame_unref(to);
            frame_unref(truth);
        }
    }
    pool_free(pool);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_whole_pictures_are_shared),
        cmocka_unit_test(a_layout_fits_or_not),
        cmocka_unit_test(a_plan_holds_while_pictures_stay_the_same),
        cmocka_unit_test(level_follows_size_and_rate),
        cmocka_unit_test(buffers_go_back_to_their_places),
        cmocka_unit_test(packets_find_their_pictures),
        cmocka_unit_test(tempo_is_measured),
        cmocka_unit_test(writes_every_layout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
