/* SPDX-License-Identifier: MIT */
/* V4L2's words for colours and for signals, in ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <linux/videodev2.h>

#include <cmocka.h>

#include "capture/v4l2_colors.h"
#include "capture/v4l2_timings.h"

#define P(name) COLOR_PRIMARIES_##name
#define T(name) COLOR_TRANSFER_##name
#define M(name) COLOR_MATRIX_##name

#define LIMITED COLOR_RANGE_LIMITED
#define FULL    COLOR_RANGE_FULL

static void follows_the_kernels_definitions(void **state)
{
    (void)state;
    static const struct {
        struct v4l2_colors in;
        enum format_id id;
        enum color_range range;
        enum color_matrix matrix;
        enum color_primaries primaries;
        enum color_transfer transfer;
    } cases[] = {
        /* what follows from the colorspace alone */
        { { 0, 0, 0, 0 }, FORMAT_YUYV, LIMITED, M(601), P(UNKNOWN), T(UNKNOWN) },
        { { V4L2_COLORSPACE_SMPTE170M, 0, 0, 0 }, FORMAT_YUYV, LIMITED, M(601), P(170M), T(709) },
        { { V4L2_COLORSPACE_SMPTE240M, 0, 0, 0 },
          FORMAT_YUYV,
          LIMITED,
          M(709),
          P(170M),
          T(UNKNOWN) },
        { { V4L2_COLORSPACE_REC709, 0, 0, 0 }, FORMAT_YUYV, LIMITED, M(709), P(709), T(709) },
        { { V4L2_COLORSPACE_470_SYSTEM_BG, 0, 0, 0 },
          FORMAT_NV12,
          LIMITED,
          M(601),
          P(470BG),
          T(709) },
        { { V4L2_COLORSPACE_470_SYSTEM_M, 0, 0, 0 },
          FORMAT_NV12,
          LIMITED,
          M(601),
          P(UNKNOWN),
          T(709) },
        { { V4L2_COLORSPACE_JPEG, 0, 0, 0 }, FORMAT_YUYV, FULL, M(601), P(709), T(SRGB) },
        { { V4L2_COLORSPACE_SRGB, 0, 0, 0 }, FORMAT_YUYV, LIMITED, M(601), P(709), T(SRGB) },
        { { V4L2_COLORSPACE_BT2020, 0, 0, 0 }, FORMAT_NV12, LIMITED, M(2020), P(2020), T(709) },
        { { V4L2_COLORSPACE_DCI_P3, 0, 0, 0 },
          FORMAT_NV12,
          LIMITED,
          M(709),
          P(UNKNOWN),
          T(UNKNOWN) },
        { { V4L2_COLORSPACE_OPRGB, 0, 0, 0 },
          FORMAT_NV12,
          LIMITED,
          M(601),
          P(UNKNOWN),
          T(UNKNOWN) },
        { { 99, 0, 0, 0 }, FORMAT_NV12, LIMITED, M(601), P(UNKNOWN), T(709) },
        /* what the driver says besides */
        { { V4L2_COLORSPACE_SRGB, V4L2_YCBCR_ENC_709, V4L2_QUANTIZATION_FULL_RANGE,
            V4L2_XFER_FUNC_709 },
          FORMAT_YU12,
          FULL,
          M(709),
          P(709),
          T(709) },
        { { V4L2_COLORSPACE_REC709, V4L2_YCBCR_ENC_601, V4L2_QUANTIZATION_LIM_RANGE,
            V4L2_XFER_FUNC_SRGB },
          FORMAT_YU12,
          LIMITED,
          M(601),
          P(709),
          T(SRGB) },
        { { V4L2_COLORSPACE_REC709, V4L2_YCBCR_ENC_XV601, 0, 0 },
          FORMAT_YU12,
          LIMITED,
          M(601),
          P(709),
          T(709) },
        { { V4L2_COLORSPACE_SRGB, V4L2_YCBCR_ENC_XV709, 0, 0 },
          FORMAT_YU12,
          LIMITED,
          M(709),
          P(709),
          T(SRGB) },
        { { V4L2_COLORSPACE_BT2020, V4L2_YCBCR_ENC_BT2020_CONST_LUM, 0, V4L2_XFER_FUNC_SMPTE2084 },
          FORMAT_NV12,
          LIMITED,
          M(2020),
          P(2020),
          T(PQ) },
        { { 0, 0, 0, V4L2_XFER_FUNC_709 }, FORMAT_NV12, LIMITED, M(601), P(UNKNOWN), T(709) },
        { { V4L2_COLORSPACE_RAW, 0, 0, V4L2_XFER_FUNC_NONE },
          FORMAT_GREY,
          FULL,
          M(601),
          P(UNKNOWN),
          T(UNKNOWN) },
        { { V4L2_COLORSPACE_SRGB, 0, V4L2_QUANTIZATION_LIM_RANGE, 0 },
          FORMAT_GREY,
          LIMITED,
          M(601),
          P(709),
          T(SRGB) },
        /* RGB is full unless the driver says otherwise */
        { { V4L2_COLORSPACE_SRGB, 0, 0, 0 }, FORMAT_RGB24, FULL, M(601), P(709), T(SRGB) },
        { { V4L2_COLORSPACE_SRGB, 0, 0, 0 }, FORMAT_RGB16, FULL, M(601), P(709), T(SRGB) },
        { { V4L2_COLORSPACE_SRGB, 0, 0, 0 }, FORMAT_BGRX, FULL, M(601), P(709), T(SRGB) },
        { { V4L2_COLORSPACE_SRGB, 0, V4L2_QUANTIZATION_LIM_RANGE, 0 },
          FORMAT_BGR24,
          LIMITED,
          M(601),
          P(709),
          T(SRGB) },
        /* JFIF knows one encoding, whatever the driver says */
        { { V4L2_COLORSPACE_REC709, V4L2_YCBCR_ENC_709, V4L2_QUANTIZATION_LIM_RANGE, 0 },
          FORMAT_JPEG,
          FULL,
          M(601),
          P(709),
          T(709) },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct format f = { .id = cases[i].id, .width = 64, .fps_num = 30 };
        v4l2_colors_take(&cases[i].in, &f);
        if (f.range != cases[i].range || f.matrix != cases[i].matrix ||
            f.primaries != cases[i].primaries || f.transfer != cases[i].transfer) {
            fail_msg("case %zu: range %d matrix %d primaries %d transfer %d", i, f.range, f.matrix,
                     f.primaries, f.transfer);
        }
        assert_int_equal(f.width, 64);
        assert_int_equal(f.fps_num, 30);
    }
}

static void rates_are_those_people_mean(void **state)
{
    (void)state;
    static const struct {
        int width, height, blank_x, blank_y;
        uint64_t clock;
        uint32_t flags;
        int num, den;
    } cases[] = {
        { 1920, 1080, 280, 45, 148500000, 0, 60, 1 },
        { 1920, 1080, 280, 45, 148351648, 0, 60000, 1001 },
        { 1920, 1080, 280, 45, 148485000, 0, 60, 1 }, /* a bridge that measures 0.01 % less */
        { 1920, 1080, 280, 45, 74250000, 0, 30, 1 },
        { 1920, 1080, 830, 45, 74175824, 0, 24000, 1001 },
        { 1920, 1080, 720, 45, 148500000, 0, 50, 1 },
        { 1920, 1080, 280, 45, 148500000,
          V4L2_DV_FL_CAN_DETECT_REDUCED_FPS | V4L2_DV_FL_REDUCED_FPS, 60000, 1001 },
        { 1024, 768, 320, 38, 65000000, 0, 60, 1 },       /* VESA: 60.004 */
        { 1366, 768, 426, 30, 85500000, 0, 59790, 1000 }, /* VESA: 59.79 */
        { 640, 480, 160, 45, 0, 0, 0, 1 },
        { 0, 0, 0, 0, 148500000, 0, 0, 1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct v4l2_bt_timings bt = { .width = (uint32_t)cases[i].width,
                                            .height = (uint32_t)cases[i].height,
                                            .hsync = (uint32_t)cases[i].blank_x,
                                            .vsync = (uint32_t)cases[i].blank_y,
                                            .pixelclock = cases[i].clock,
                                            .flags = cases[i].flags };
        int num, den;
        v4l2_signal_rate(&bt, &num, &den);
        if (num != cases[i].num || den != cases[i].den) {
            fail_msg("case %zu: %d/%d", i, num, den);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_kernels_definitions),
        cmocka_unit_test(rates_are_those_people_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
