/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "pcs/format.h"

struct layout_case {
    enum format_id id;
    int width, height, stride0;
    size_t size;
    size_t offset[3];
    int stride[3];
};

/* By V4L2's rules: planes follow each other, a padded first plane pads the others in the ratio of
 * their samples, odd sizes round the chroma up. */
static const struct layout_case cases[] = {
    { FORMAT_YUYV, 640, 480, 0, 614400, { 0 }, { 1280 } },
    { FORMAT_YUYV, 640, 480, 1344, 645120, { 0 }, { 1344 } },
    { FORMAT_YUYV, 641, 3, 0, 3852, { 0 }, { 1284 } }, /* pixels come in pairs */
    { FORMAT_UYVY, 1920, 1080, 0, 4147200, { 0 }, { 3840 } },
    { FORMAT_UYVY, 1, 1, 0, 4, { 0 }, { 4 } },
    { FORMAT_NV12, 640, 480, 0, 460800, { 0, 307200 }, { 640, 640 } },
    { FORMAT_NV12, 640, 480, 704, 506880, { 0, 337920 }, { 704, 704 } },
    { FORMAT_NV12, 641, 481, 0, 641 * 481 + 642 * 241, { 0, 641 * 481 }, { 641, 642 } },
    { FORMAT_NV12, 1, 1, 0, 3, { 0, 1 }, { 1, 2 } },
    { FORMAT_YU12, 640, 480, 0, 460800, { 0, 307200, 384000 }, { 640, 320, 320 } },
    { FORMAT_YU12, 640, 480, 704, 506880, { 0, 337920, 422400 }, { 704, 352, 352 } },
    { FORMAT_YU12,
      641,
      481,
      0,
      641 * 481 + 2 * 321 * 241,
      { 0, 641 * 481, 641 * 481 + 321 * 241 },
      { 641, 321, 321 } },
    { FORMAT_YU12, 1, 1, 0, 3, { 0, 1, 2 }, { 1, 1, 1 } },
    { FORMAT_GREY, 333, 222, 0, 333 * 222, { 0 }, { 333 } },
    { FORMAT_GREY, 333, 222, 384, 384 * 222, { 0 }, { 384 } },
    { FORMAT_RGB24, 333, 222, 0, 999 * 222, { 0 }, { 999 } },
    { FORMAT_RGB24, 333, 222, 10, 999 * 222, { 0 }, { 999 } }, /* a stride too short is none */
    { FORMAT_RGB24, FORMAT_MAX_SIZE, FORMAT_MAX_SIZE, 0, (size_t)3 << 26, { 0 }, { 24576 } },
};

static void layouts_are_v4l2s(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct layout_case *c = &cases[i];
        const struct format f = { .id = c->id, .width = c->width, .height = c->height };
        size_t offset[FORMAT_MAX_PLANES];
        int stride[FORMAT_MAX_PLANES];
        assert_int_equal(format_layout(&f, c->stride0, offset, stride), c->size);
        for (int p = 0; p < format_info(c->id)->planes; p++) {
            assert_int_equal(offset[p], c->offset[p]);
            assert_int_equal(stride[p], c->stride[p]);
        }
    }
}

static size_t size_of(enum format_id id, int width, int height, int stride0)
{
    const struct format f = { .id = id, .width = width, .height = height };
    size_t offset[FORMAT_MAX_PLANES];
    int stride[FORMAT_MAX_PLANES];
    return format_layout(&f, stride0, offset, stride);
}

static void impossible_formats_have_no_layout(void **state)
{
    (void)state;
    assert_int_equal(size_of(FORMAT_YUYV, 0, 480, 0), 0);
    assert_int_equal(size_of(FORMAT_YUYV, 640, 0, 0), 0);
    assert_int_equal(size_of(FORMAT_YUYV, -640, 480, 0), 0);
    assert_int_equal(size_of(FORMAT_YUYV, 640, -1, 0), 0);
    assert_int_equal(size_of(FORMAT_YUYV, FORMAT_MAX_SIZE + 1, 480, 0), 0);
    assert_int_equal(size_of(FORMAT_YUYV, 640, FORMAT_MAX_SIZE + 1, 0), 0);
    assert_int_equal(size_of(FORMAT_YUYV, 640, 480, -1), 0);
    assert_int_equal(size_of(FORMAT_YUYV, 640, 480, INT32_MAX), 0);
    assert_int_equal(size_of(FORMAT_JPEG, 640, 480, 0), 0);
    assert_int_equal(size_of(FORMAT_H264, 640, 480, 0), 0);
    assert_int_equal(size_of(FORMAT_NONE, 640, 480, 0), 0);
    assert_int_equal(size_of((enum format_id)99, 640, 480, 0), 0);
    assert_int_equal(size_of((enum format_id) - 1, 640, 480, 0), 0);
}

static void formats_are_found_by_their_names(void **state)
{
    (void)state;
    for (int id = 1; id < FORMAT_COUNT; id++) {
        const struct format_info *info = format_info((enum format_id)id);
        assert_int_equal(format_by_fourcc(info->fourcc), id);
        assert_int_equal(format_by_name(info->name), id);
        assert_int_equal(info->compressed, info->planes == 0);
    }
    assert_int_equal(format_by_fourcc(FORMAT_FOURCC('J', 'P', 'E', 'G')), FORMAT_JPEG);
    assert_int_equal(format_by_fourcc(FORMAT_FOURCC('R', 'G', 'B', '3')), FORMAT_RGB24);
    assert_int_equal(format_by_fourcc(0), FORMAT_NONE);
    assert_int_equal(format_by_fourcc(FORMAT_FOURCC('H', 'E', 'V', 'C')), FORMAT_NONE);
    assert_int_equal(format_by_name("mjpg"), FORMAT_JPEG);
    assert_int_equal(format_by_name("Jpeg"), FORMAT_JPEG);
    assert_int_equal(format_by_name("h264"), FORMAT_H264);
    assert_int_equal(format_by_name("yuyv"), FORMAT_YUYV);
    assert_int_equal(format_by_name("rgb3"), FORMAT_RGB24);
    assert_int_equal(format_by_name(""), FORMAT_NONE);
    assert_int_equal(format_by_name("none"), FORMAT_NONE);
    assert_int_equal(format_by_name("yuy"), FORMAT_NONE);
    assert_int_equal(format_by_name("yuyv "), FORMAT_NONE);
}

static void same_means_all_but_the_rate(void **state)
{
    (void)state;
    const struct format a = { FORMAT_H264, 640, 480, 30, 1, COLOR_RANGE_LIMITED, COLOR_MATRIX_601 };
    struct format b = a;
    b.fps_num = 25;
    assert_true(format_same(&a, &b));
    b = a, b.id = FORMAT_JPEG;
    assert_false(format_same(&a, &b));
    b = a, b.width = 641;
    assert_false(format_same(&a, &b));
    b = a, b.height = 481;
    assert_false(format_same(&a, &b));
    b = a, b.range = COLOR_RANGE_FULL;
    assert_false(format_same(&a, &b));
    b = a, b.matrix = COLOR_MATRIX_709;
    assert_false(format_same(&a, &b));
}

static void describes_itself(void **state)
{
    (void)state;
    char text[64], tiny[8];
    struct format f = {
        .id = FORMAT_YUYV, .width = 1920, .height = 1080, .fps_num = 30, .fps_den = 1
    };
    assert_string_equal(format_describe(&f, text, sizeof text), "1920x1080 YUYV @ 30");
    f.fps_num = 30000, f.fps_den = 1001;
    assert_string_equal(format_describe(&f, text, sizeof text), "1920x1080 YUYV @ 29.97");
    f.id = FORMAT_H264, f.fps_num = 0, f.fps_den = 1;
    assert_string_equal(format_describe(&f, text, sizeof text), "1920x1080 H.264");
    f.fps_num = 5, f.fps_den = 0;
    assert_string_equal(format_describe(&f, text, sizeof text), "1920x1080 H.264");
    assert_string_equal(format_describe(&f, tiny, sizeof tiny), "1920x10");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layouts_are_v4l2s),
        cmocka_unit_test(impossible_formats_have_no_layout),
        cmocka_unit_test(formats_are_found_by_their_names),
        cmocka_unit_test(same_means_all_but_the_rate),
        cmocka_unit_test(describes_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
