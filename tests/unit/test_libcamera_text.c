/* SPDX-License-Identifier: MIT */
/* What is pure of the libcamera source: formats, the choice among them, cameras by name, controls. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "capture/libcamera_api.h"
#include "capture/libcamera_control.h"
#include "capture/libcamera_find.h"
#include "capture/libcamera_mode.h"

#define CC FORMAT_FOURCC

static void test_names_of_pixels(void **state)
{
    (void)state;
    /* drm_fourcc.h: RGB888 is "[23:0] R:G:B little endian", so blue comes first. */
    assert_int_equal(libcamera_format_id(CC('R', 'G', '2', '4')), FORMAT_BGR24);
    assert_int_equal(libcamera_format_id(CC('B', 'G', '2', '4')), FORMAT_RGB24);
    assert_int_equal(libcamera_format_id(CC('X', 'R', '2', '4')), FORMAT_BGRX);
    assert_int_equal(libcamera_format_id(CC('X', 'B', '2', '4')), FORMAT_RGBX);
    assert_int_equal(libcamera_format_id(CC('R', 'G', '1', '6')), FORMAT_RGB16);
    assert_int_equal(libcamera_format_id(CC('R', '8', ' ', ' ')), FORMAT_GREY);
    assert_int_equal(libcamera_format_id(CC('Y', 'U', '1', '2')), FORMAT_YU12);
    assert_int_equal(libcamera_format_id(CC('Y', 'U', '1', '6')), FORMAT_422P);
    assert_int_equal(libcamera_format_id(CC('N', 'V', '1', '2')), FORMAT_NV12);
    assert_int_equal(libcamera_format_id(CC('M', 'J', 'P', 'G')), FORMAT_JPEG);
    assert_int_equal(libcamera_format_id(CC('R', 'G', 'B', '3')), FORMAT_NONE); /* only V4L2's */
    assert_int_equal(libcamera_format_id(CC('p', 'R', 'A', 'A')), FORMAT_NONE);
}

static void test_usb_by_id(void **state)
{
    (void)state;
    assert_true(libcamera_is_usb("\\_SB_.PCI0.XHC_.RHUB.HS08-8:1.0-04f2:b6d9"));
    assert_true(libcamera_is_usb("/base/scb/pcie@7d500000/pci@0,0/usb@0,0-1.1:1.0-046d:0825"));
    assert_false(libcamera_is_usb("/base/soc/i2c0mux/i2c@1/imx708@1a"));
    assert_false(libcamera_is_usb("-046d:08"));
    assert_false(libcamera_is_usb(""));
}

static struct libcamera_format range(uint32_t fourcc)
{
    return (struct libcamera_format){
        .fourcc = fourcc, .plain = true, .min = { 32, 32 }, .max = { 3280, 2464 }, .step = { 2, 2 }
    };
}

static void test_nearest_size(void **state)
{
    (void)state;
    static const struct libcamera_size sizes[] = { { 640, 480 }, { 1280, 720 }, { 1920, 1080 } };
    struct libcamera_format f = { .fourcc = CC('Y', 'U', 'Y', 'V'), .plain = true };
    struct libcamera_format any = range(CC('N', 'V', '1', '2'));
    struct source_wish wish = { 0 };
    struct libcamera_offer o;
    assert_false(libcamera_offer(&f, &wish, &o)); /* no size at all */
    f.sizes = sizes;
    f.size_count = 3;
    assert_true(libcamera_offer(&f, &wish, &o));
    assert_int_equal(o.width, 1280); /* without a wish */
    wish.height = 1000;
    assert_true(libcamera_offer(&f, &wish, &o));
    assert_int_equal(o.width, 1920);
    assert_true(libcamera_offer(&any, &wish, &o));
    assert_int_equal(o.width, 1778); /* 16:9 on a step */
    assert_int_equal(o.height, 1000);
    wish.width = 20;
    assert_true(libcamera_offer(&any, &wish, &o));
    assert_int_equal(o.width, 32);
    wish.format = FORMAT_YUYV;
    assert_false(libcamera_offer(&any, &wish, &o));
    any.plain = false;
    wish.format = FORMAT_NONE;
    assert_false(libcamera_offer(&any, &wish, &o));
}

static void test_choice(void **state)
{
    (void)state;
    const struct libcamera_offer offers[] = {
        { FORMAT_JPEG, 1, 1280, 720 },  { FORMAT_BGR24, 2, 1280, 720 },
        { FORMAT_YUYV, 3, 1280, 720 },  { FORMAT_NV12, 4, 1280, 720 },
        { FORMAT_JPEG, 5, 1920, 1080 },
    };
    struct source_wish wish = { 0 };
    assert_int_equal(libcamera_choose(offers, 5, &wish, false)->fourcc, 4);
    wish.codec = FORMAT_JPEG;
    assert_int_equal(libcamera_choose(offers, 5, &wish, false)->fourcc, 1);
    wish.pictures = true; /* they are to be written on */
    assert_int_equal(libcamera_choose(offers, 5, &wish, false)->fourcc, 4);
    wish = (struct source_wish){ 0 };
    assert_int_equal(libcamera_choose(offers, 3, &wish, true)->fourcc, 1); /* raw is too much */
    wish.fps = 5;
    assert_int_equal(libcamera_choose(offers, 3, &wish, true)->fourcc, 3);
    wish.width = 1920;
    assert_int_equal(libcamera_choose(offers, 5, &wish, false)->fourcc, 5); /* the size first */
    assert_null(libcamera_choose(offers, 0, &wish, false));
}

static void test_colors(void **state)
{
    (void)state;
    struct libcamera_setup setup = { .fourcc = CC('N', 'V', '1', '2'),
                                     .width = 640,
                                     .height = 480 };
    struct format f;
    assert_int_equal(libcamera_tell_format(&setup, &f), 0);
    assert_int_equal(f.matrix, COLOR_MATRIX_601);
    setup.height = 720;
    assert_int_equal(libcamera_tell_format(&setup, &f), 0);
    assert_int_equal(f.matrix, COLOR_MATRIX_709);
    setup.color_known = true;
    setup.full_range = true;
    setup.matrix = LIBCAMERA_MATRIX_601;
    setup.primaries = LIBCAMERA_PRIMARIES_709;
    setup.transfer = LIBCAMERA_TRANSFER_SRGB;
    assert_int_equal(libcamera_tell_format(&setup, &f), 0);
    assert_int_equal(f.matrix, COLOR_MATRIX_601);
    assert_int_equal(f.range, COLOR_RANGE_FULL);
    assert_int_equal(f.primaries, COLOR_PRIMARIES_709);
    assert_int_equal(f.transfer, COLOR_TRANSFER_SRGB);
    setup.fourcc = 0;
    assert_int_equal(libcamera_tell_format(&setup, &f), -ENOTSUP);
}

static void test_cameras_by_name(void **state)
{
    (void)state;
    static const struct libcamera_cameras cameras = {
        .item = { { .id = "usb-1:1.0-046d:0825", .model = "HD Webcam" },
                  { .id = "/base/i2c@1/imx708@1a", .model = "imx708_wide" },
                  { .id = "/base/i2c@0/imx219@10", .model = "imx219" } },
        .count = 3,
    };
    static const struct libcamera_cameras none;
    static const struct {
        const char *wanted;
        int index; /* or an error */
    } cases[] = {
        { NULL, 1 },
        { "0", 0 },
        { "2", 2 },
        { "3", -ENODEV },
        { "imx219", 2 },
        { "IMX708", 1 },
        { "webcam", 0 },
        { "imx", -EINVAL },
        { "", -ENODEV },
        { "-1", 0 },
        { "ov5647", -ENODEV },
        { "/base/i2c@1/imx708@1a", 1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct libcamera_found *found = NULL;
        struct err err = { 0 };
        int code = libcamera_find(&cameras, cases[i].wanted, &found, &err);
        if (cases[i].index >= 0) {
            assert_int_equal(code, 0);
            assert_ptr_equal(found, &cameras.item[cases[i].index]);
        } else {
            assert_int_equal(code, cases[i].index);
            assert_non_null(strstr(err.text, "0=usb-1:1.0-046d:0825, 1=/base/i2c@1/imx708@1a"));
        }
    }
    const struct libcamera_found *found;
    struct err err = { 0 };
    assert_int_equal(libcamera_find(&none, NULL, &found, &err), -ENODEV);
    assert_int_equal(libcamera_find(&none, "0", &found, &err), -ENODEV);
}

/* ---- controls ---- */

static struct libcamera_value ints(enum libcamera_type type, unsigned count, const int32_t *n)
{
    struct libcamera_value v = { .type = type, .count = count };
    unsigned each = type == LIBCAMERA_RECTANGLE ? 4 : type == LIBCAMERA_SIZE ? 2 : 1;
    memcpy(v.bytes, n, 4 * each * (size_t)count);
    return v;
}

static struct libcamera_value one_float(float f)
{
    struct libcamera_value v = { .type = LIBCAMERA_FLOAT, .count = 1 };
    memcpy(v.bytes, &f, sizeof f);
    return v;
}

static struct libcamera_control control(const char *name, enum libcamera_type type)
{
    return (struct libcamera_control){ .id = 1, .name = name, .type = type };
}

#define INT(n) ints(LIBCAMERA_INT32, 1, (const int32_t[]){ n })

static void refuses(const struct libcamera_control *c, const char *text, const char *says)
{
    struct libcamera_value v = { .count = 77 };
    struct err err = { 0 };
    assert_int_equal(libcamera_control_parse(c, text, &v, &err), -EINVAL);
    assert_non_null(strstr(err.text, c->name));
    assert_non_null(strstr(err.text, says));
    assert_int_equal(v.count, 77);
}

static void takes(const struct libcamera_control *c, const char *text, const void *bytes,
                  size_t size)
{
    struct libcamera_value v;
    struct err err = { 0 };
    if (libcamera_control_parse(c, text, &v, &err) != 0) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(v.type, c->type);
    assert_memory_equal(v.bytes, bytes, size);
}

static void test_numbers(void **state)
{
    (void)state;
    struct libcamera_control c = control("ExposureTime", LIBCAMERA_INT32);
    takes(&c, "-5", &(int32_t){ -5 }, 4);
    refuses(&c, "3000000000", "not within -2147483648 to 2147483647");
    c.min = INT(100);
    c.max = INT(20000);
    takes(&c, "20000", &(int32_t){ 20000 }, 4);
    refuses(&c, "20001", "not within 100 to 20000");
    refuses(&c, "1.5", "no whole number");
    refuses(&c, "long", "no whole number");
    refuses(&c, "", "no whole number");
    c = control("AnalogueGain", LIBCAMERA_FLOAT);
    c.min = one_float(1);
    c.max = one_float(16);
    takes(&c, "1.5", &(float){ 1.5F }, 4);
    refuses(&c, "17", "not within 1 to 16");
    refuses(&c, "nan", "no number");
    c = control("AeEnable", LIBCAMERA_BOOL);
    takes(&c, "no", &(uint8_t){ 0 }, 1);
    takes(&c, "ON", &(uint8_t){ 1 }, 1);
    refuses(&c, "2", "neither yes nor no");
    c = control("FrameDuration", LIBCAMERA_INT64);
    takes(&c, "5000000000", &(int64_t){ 5000000000 }, 8);
    c.read_only = true;
    refuses(&c, "1", "can only be read");
    c = control("Byte", LIBCAMERA_BYTE);
    refuses(&c, "256", "not within 0 to 255");
    c = control("Strange", LIBCAMERA_NONE);
    refuses(&c, "1", "does not know");
}

static void test_menus(void **state)
{
    (void)state;
    struct libcamera_control c = control("AfMode", LIBCAMERA_INT32);
    c.min = INT(0);
    c.max = INT(2);
    c.initial = INT(0);
    libcamera_control_complete(&c); /* as of a version that names none */
    assert_int_equal(c.choice_count, 3);
    takes(&c, "continuous", &(int32_t){ 2 }, 4);
    takes(&c, "AfModeContinuous", &(int32_t){ 2 }, 4);
    takes(&c, "1", &(int32_t){ 1 }, 4);
    refuses(&c, "3", "0=Manual, 1=Auto, 2=Continuous");
    struct libcamera_view view;
    const struct libcamera_value now = INT(2);
    libcamera_control_view(&c, &now, &view);
    assert_int_equal(view.control.kind, CONTROL_MENU);
    assert_string_equal(view.control.initial, "Manual");
    assert_string_equal(view.control.value, "Continuous");
    /* A list of values without names gets those that are known. */
    c = control("AwbMode", LIBCAMERA_INT32);
    c.choice[0].value = 1;
    c.choice[1].value = 99;
    c.choice_count = 2;
    libcamera_control_complete(&c);
    libcamera_control_view(&c, NULL, &view);
    assert_string_equal(view.control.choices[0].name, "AwbIncandescent");
    assert_string_equal(view.control.choices[1].name, "99");
}

static void test_shapes_and_lists(void **state)
{
    (void)state;
    struct libcamera_control c = control("ScalerCrop", LIBCAMERA_RECTANGLE);
    c.min = ints(LIBCAMERA_RECTANGLE, 1, (const int32_t[]){ 0, 0, 64, 64 });
    c.max = ints(LIBCAMERA_RECTANGLE, 1, (const int32_t[]){ 0, 0, 3280, 2464 });
    const int32_t crop[4] = { 100, 200, 1640, 1232 };
    takes(&c, "100,200,1640x1232", crop, sizeof crop);
    takes(&c, "100,200,1640,1232", crop, sizeof crop);
    takes(&c, "(100, 200)/1640x1232", crop, sizeof crop); /* as libcamera writes it */
    refuses(&c, "100,200,1640", "X,Y,WIDTHxHEIGHT");
    refuses(&c, "100,200,1640x0", "not within 1x1 to 3280x2464");
    refuses(&c, "0,0,3281x100", "not within 1x1 to 3280x2464");
    refuses(&c, "0,0,100.5x100", "X,Y,WIDTHxHEIGHT");
    refuses(&c, "1e9,0,100x100", "not within");
    refuses(&c, "middle", "X,Y,WIDTHxHEIGHT");
    struct libcamera_view view;
    libcamera_control_view(&c, &c.max, &view);
    assert_string_equal(view.control.value, "0,0,3280x2464");
    assert_string_equal(view.range, "0,0,64x64 to 0,0,3280x2464");
    c.array = true; /* AfWindows */
    const int32_t two[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    takes(&c, "1,2,3x4,5,6,7x8", two, sizeof two);
    refuses(&c, "1,2,3x4,5", "rectangles");

    c = control("ColourGains", LIBCAMERA_FLOAT);
    c.min = one_float(0);
    c.max = one_float(32);
    libcamera_control_complete(&c);
    assert_true(c.array);
    const float gains[2] = { 1.5F, 2 };
    takes(&c, "1.5,2", gains, sizeof gains);
    refuses(&c, "1.5", "2 of them");
    refuses(&c, "1.5,33", "not within 0 to 32");
    c = control("Name", LIBCAMERA_STRING);
    takes(&c, "hello", "hello", 5);
    refuses(&c, "", "1 to 256");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_of_pixels),  cmocka_unit_test(test_usb_by_id),
        cmocka_unit_test(test_nearest_size),     cmocka_unit_test(test_choice),
        cmocka_unit_test(test_colors),           cmocka_unit_test(test_cameras_by_name),
        cmocka_unit_test(test_numbers),          cmocka_unit_test(test_menus),
        cmocka_unit_test(test_shapes_and_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
