/* SPDX-License-Identifier: MIT */
/* The choice among a camera's modes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "capture/v4l2_choose.h"

/* What a usual USB 2 webcam offers. */
static const struct v4l2_offer webcam[] = {
    { FORMAT_YUYV, 1, 640, 480, 30 },  { FORMAT_YUYV, 1, 1280, 720, 10 },
    { FORMAT_YUYV, 1, 1920, 1080, 5 }, { FORMAT_JPEG, 2, 640, 480, 30 },
    { FORMAT_JPEG, 2, 1280, 720, 30 }, { FORMAT_JPEG, 2, 1920, 1080, 30 },
    { FORMAT_H264, 3, 1280, 720, 30 },
};

static void expect_choice(struct source_wish wish, enum format_id id, int width)
{
    const struct v4l2_offer *o = v4l2_choose(webcam, sizeof webcam / sizeof webcam[0], &wish);
    assert_non_null(o);
    assert_int_equal(o->id, id);
    assert_int_equal(o->width, width);
}

static void chooses_as_a_user_would(void **state)
{
    (void)state;
    expect_choice((struct source_wish){ 0 }, FORMAT_H264, 1280);
    expect_choice((struct source_wish){ .codec = FORMAT_JPEG }, FORMAT_JPEG, 1280);
    expect_choice((struct source_wish){ .width = 1920, .height = 1080 }, FORMAT_JPEG, 1920);
    /* Raw is better food for the encoder, when it is fast enough. */
    struct source_wish vga = { .width = 640, .height = 480, .codec = FORMAT_H264 };
    expect_choice(vga, FORMAT_YUYV, 640);
    vga.width = 1920, vga.height = 1080;
    expect_choice(vga, FORMAT_JPEG, 1920);
    vga.fps = 5;
    expect_choice(vga, FORMAT_YUYV, 1920);
    /* The nearest size; a named format before everything. */
    expect_choice((struct source_wish){ .width = 700, .height = 500, .codec = FORMAT_JPEG },
                  FORMAT_JPEG, 640);
    expect_choice((struct source_wish){ .format = FORMAT_YUYV }, FORMAT_YUYV, 640);
    expect_choice((struct source_wish){ .height = 1080, .format = FORMAT_YUYV }, FORMAT_YUYV, 1920);
    const struct source_wish nv12 = { .format = FORMAT_NV12 }, jpeg = { .codec = FORMAT_JPEG };
    assert_null(v4l2_choose(webcam, sizeof webcam / sizeof webcam[0], &nv12));
    assert_null(v4l2_choose(&webcam[6], 1, &jpeg)); /* nobody here decodes H.264 */
}

/* Turned or written on here: H.264 is of no use, and a JPEG costs a decoding. */
static void pictures_are_better_raw(void **state)
{
    (void)state;
    expect_choice((struct source_wish){ .pictures = true }, FORMAT_JPEG, 1280); /* raw is slow */
    expect_choice((struct source_wish){ .pictures = true, .fps = 10 }, FORMAT_YUYV, 1280);
    struct source_wish vga = { .pictures = true, .width = 640, .height = 480 };
    expect_choice(vga, FORMAT_YUYV, 640);
    vga.codec = FORMAT_JPEG;
    expect_choice(vga, FORMAT_YUYV, 640);
    vga.format = FORMAT_JPEG;
    expect_choice(vga, FORMAT_JPEG, 640);
    vga.format = FORMAT_H264;
    assert_null(v4l2_choose(webcam, sizeof webcam / sizeof webcam[0], &vga));
}

/* Every format has its place: what the encoders read first, then the others, JPEG, grey. */
static void knows_every_format(void **state)
{
    (void)state;
    static const enum format_id order[] = {
        FORMAT_YU12, FORMAT_NV12,  FORMAT_YUYV,  FORMAT_UYVY, FORMAT_RGB24, FORMAT_YV12,
        FORMAT_NV21, FORMAT_422P,  FORMAT_NV16,  FORMAT_YVYU, FORMAT_VYUY,  FORMAT_BGRX,
        FORMAT_RGBX, FORMAT_BGR24, FORMAT_RGB16, FORMAT_JPEG, FORMAT_GREY,
    };
    const size_t count = sizeof order / sizeof order[0];
    assert_int_equal(count, FORMAT_COUNT - 2); /* all but NONE and H.264 */
    const struct source_wish wish = { .codec = FORMAT_H264 };
    for (size_t i = 0; i + 1 < count; i++) {
        const struct v4l2_offer offers[] = { { order[i + 1], 1, 640, 480, 30 },
                                             { order[i], 2, 640, 480, 30 } };
        assert_ptr_equal(v4l2_choose(offers, 2, &wish), &offers[1]);
        assert_ptr_equal(v4l2_choose(&offers[1], 1, &wish), &offers[1]);
    }
}

static void prefers_one_memory(void **state)
{
    (void)state;
    const struct format_info *nv12 = format_info(FORMAT_NV12);
    const struct v4l2_offer offers[] = { { FORMAT_NV12, nv12->fourcc_planes, 640, 480, 30 },
                                         { FORMAT_NV12, nv12->fourcc, 640, 480, 30 } };
    const struct source_wish wish = { 0 };
    assert_ptr_equal(v4l2_choose(offers, 2, &wish), &offers[1]);
    assert_ptr_equal(v4l2_choose(offers, 1, &wish), &offers[0]);
}

static void expect_reason(struct source_wish wish, const char *reason)
{
    char why[120];
    const size_t count = sizeof webcam / sizeof webcam[0];
    const struct v4l2_offer *o = v4l2_choose(webcam, count, &wish);
    assert_non_null(o);
    assert_string_equal(v4l2_explain(webcam, count, o, &wish, why, sizeof why), reason);
}

static void says_why(void **state)
{
    (void)state;
    expect_reason((struct source_wish){ 0 }, "raw pictures have only 10 frames per second");
    expect_reason((struct source_wish){ .width = 640, .height = 480 }, "compressed by the camera");
    expect_reason((struct source_wish){ .fps = 10, .pictures = true },
                  "raw, to be turned or written on, then compressed here");
    expect_reason((struct source_wish){ .pictures = true },
                  "raw pictures have only 10 frames per second, decoded here");
    expect_reason((struct source_wish){ .format = FORMAT_YUYV }, "as --format says");
    expect_reason((struct source_wish){ .format = FORMAT_JPEG, .pictures = true },
                  "as --format says, decoded here");
    expect_reason((struct source_wish){ .width = 640, .height = 480, .codec = FORMAT_H264 },
                  "raw, to be compressed here");
}

static void says_what_was_asked_in_vain(void **state)
{
    (void)state;
    const struct format mode = { FORMAT_YUYV, 640, 480, 30000, 1001, 0, 0, 0, 0, 0 };
    const struct format unknown = { FORMAT_YUYV, 640, 480, 0, 1, 0, 0, 0, 0, 0 };
    const struct {
        struct source_wish wish;
        const char *missed;
    } cases[] = {
        { { 0 }, "" },
        { { .width = 640, .height = 480, .fps = 30 }, "" },
        { { .height = 480 }, "" },
        { { .width = 700, .height = 500 }, "700x500" },
        { { .width = 700, .height = 500, .fps = 60 }, "700x500 @ 60" },
        { { .width = 640, .height = 481 }, "640x481" },
        { { .width = 800 }, "800xany" },
        { { .height = 600 }, "anyx600" },
        { { .fps = 25 }, "@ 25" },
    };
    char text[64];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(v4l2_misses(&mode, &cases[i].wish, text, sizeof text),
                         *cases[i].missed != 0);
        assert_string_equal(text, cases[i].missed);
    }
    assert_false(v4l2_misses(&unknown, &cases[8].wish, text, sizeof text));
}

static void asks_for_sixteen_to_nine(void **state)
{
    (void)state;
    static const int cases[][4] = {
        { 0, 0, 1280, 720 }, { 1920, 0, 1920, 1080 }, { 0, 360, 640, 360 }, { 640, 480, 640, 480 }
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct source_wish wish = { .width = cases[i][0], .height = cases[i][1] };
        uint32_t width, height;
        v4l2_wanted_size(&wish, &width, &height);
        assert_int_equal(width, cases[i][2]);
        assert_int_equal(height, cases[i][3]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chooses_as_a_user_would),
        cmocka_unit_test(pictures_are_better_raw),
        cmocka_unit_test(knows_every_format),
        cmocka_unit_test(prefers_one_memory),
        cmocka_unit_test(says_why),
        cmocka_unit_test(says_what_was_asked_in_vain),
        cmocka_unit_test(asks_for_sixteen_to_nine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
