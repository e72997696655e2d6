/* SPDX-License-Identifier: MIT */
/* Which camera is it, what controls has it: the emulated camera, and trees like those of sysfs. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "camera_bench.h"
#include "capture/node_watch.h"
#include "capture/source.h"
#include "capture/v4l2_control.h"
#include "capture/v4l2_find.h"
#include "capture/v4l2_identity.h"
#include "capture/v4l2_list.h"
#include "pcs/stop.h"

static struct bench bench;

static int setup(void **state)
{
    (void)state;
    bench_init(&bench);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bench_finish(&bench);
    return 0;
}

static void make_folder(const char *path)
{
    assert_int_equal(mkdir(path, 0755), 0);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* ---- identity ---- */

/* As in sysfs: 1-2 is the device, 1-2:1.0 its interface with the node, whose `device` leads back. */
static void make_usb_tree(void)
{
    make_folder(bench_path(&bench, "1-2"));
    make_folder(bench_path(&bench, "1-2/1-2:1.0"));
    make_folder(bench_path(&bench, "1-2/1-2:1.0/video0"));
    assert_int_equal(symlink("../../1-2:1.0", bench_path(&bench, "1-2/1-2:1.0/video0/device")), 0);
    write_file(bench_path(&bench, "1-2/idVendor"), "046d\n");
    write_file(bench_path(&bench, "1-2/idProduct"), "0825\n");
    write_file(bench_path(&bench, "1-2/1-2:1.0/bInterfaceNumber"), "00\n");
    write_file(bench_path(&bench, "1-2/1-2:1.0/video0/index"), "0\n");
}

static struct v4l2_identity identity_of(const char *folder)
{
    struct v4l2_identity id = {
        .driver = "uvcvideo", .card = "Webcam", .bus = "usb-1", .index = -1
    };
    v4l2_identity_add_sysfs(&id, bench_path(&bench, folder));
    return id;
}

static void reads_what_sysfs_tells(void **state)
{
    (void)state;
    make_usb_tree();
    struct v4l2_identity id = identity_of("1-2/1-2:1.0/video0");
    assert_string_equal(id.vendor, "046d");
    assert_string_equal(id.product, "0825");
    assert_string_equal(id.interface, "00");
    assert_string_equal(id.serial, "");
    assert_int_equal(id.index, 0);
    write_file(bench_path(&bench, "1-2/serial"), "AB\x1b[2J12\n"); /* from the device: anything */
    write_file(bench_path(&bench, "1-2/1-2:1.0/video0/index"), "many\n");
    id = identity_of("1-2/1-2:1.0/video0");
    assert_string_equal(id.serial, "AB?[2J12");
    assert_int_equal(id.index, -1);
}

static void says_nothing_without_sysfs(void **state)
{
    (void)state;
    struct v4l2_identity id = identity_of("nowhere");
    assert_string_equal(id.vendor, "");
    assert_string_equal(id.serial, "");
    assert_int_equal(id.index, -1);
}

static void knows_a_camera_again(void **state)
{
    (void)state;
    const struct v4l2_identity plain = { .driver = "uvcvideo",
                                         .card = "Webcam",
                                         .bus = "usb-1",
                                         .vendor = "046d",
                                         .product = "0825",
                                         .interface = "00" };
    struct v4l2_identity serial = plain, other = plain;
    (void)snprintf(serial.serial, sizeof serial.serial, "A1");
    assert_int_equal(v4l2_identity_compare(&plain, &plain), V4L2_SAME_PLACE);
    assert_int_equal(v4l2_identity_compare(&serial, &serial), V4L2_SAME);
    assert_int_equal(v4l2_identity_compare(&plain, &serial), V4L2_ANOTHER);

    (void)snprintf(other.bus, sizeof other.bus, "usb-2");
    assert_int_equal(v4l2_identity_compare(&plain, &other), V4L2_SAME_MODEL);
    (void)snprintf(other.serial, sizeof other.serial, "A1");
    assert_int_equal(v4l2_identity_compare(&serial, &other), V4L2_SAME_SERIAL);
    (void)snprintf(other.serial, sizeof other.serial, "A2");
    assert_int_equal(v4l2_identity_compare(&serial, &other), V4L2_ANOTHER);

    other = serial;
    other.index = 1; /* its metadata node */
    assert_int_equal(v4l2_identity_compare(&serial, &other), V4L2_ANOTHER);
    other = serial;
    (void)snprintf(other.interface, sizeof other.interface, "02"); /* its infrared sensor */
    assert_int_equal(v4l2_identity_compare(&serial, &other), V4L2_ANOTHER);
    other = serial;
    (void)snprintf(other.product, sizeof other.product, "0826");
    assert_int_equal(v4l2_identity_compare(&serial, &other), V4L2_ANOTHER);
    other = plain;
    (void)snprintf(other.card, sizeof other.card, "Other");
    assert_int_equal(v4l2_identity_compare(&plain, &other), V4L2_ANOTHER);
}

/* ---- links ---- */

static void lists_the_links_that_lead_there(void **state)
{
    (void)state;
    char *text = NULL, *expected = NULL;
    size_t size;
    make_folder(bench_path(&bench, "by-id"));
    make_folder(bench_path(&bench, "by-path"));
    write_file(bench_path(&bench, "node0"), "");
    write_file(bench_path(&bench, "node1"), "");
    assert_int_equal(symlink("../node0", bench_path(&bench, "by-id/usb-b-index0")), 0);
    assert_int_equal(symlink("../node1", bench_path(&bench, "by-id/usb-c-index0")), 0);
    assert_int_equal(symlink("../nowhere", bench_path(&bench, "by-id/usb-d-index0")), 0);
    assert_int_equal(symlink("../node0", bench_path(&bench, "by-path/pci-a")), 0);
    FILE *out = open_memstream(&text, &size);
    v4l2_list_links(out, bench.dir, bench_path(&bench, "node0"));
    assert_int_equal(fclose(out), 0);
    assert_true(asprintf(&expected, "  %s/by-id/usb-b-index0\n  %s/by-path/pci-a\n", bench.dir,
                         bench.dir) > 0);
    assert_string_equal(text, expected);
    free(text);
    free(expected);
}

/* ---- watching ---- */

static void hears_of_video_nodes_only(void **state)
{
    (void)state;
    bench_camera_is("PCS_FAKE_DEV", bench.dir);
    int fd = node_watch_open();
    assert_true(fd >= 0);
    assert_false(node_watch_read(fd));
    write_file(bench_path(&bench, "tty0"), "");
    assert_false(node_watch_read(fd));
    write_file(bench_path(&bench, "video0"), "");
    assert_true(node_watch_read(fd));
    assert_false(node_watch_read(fd));
    assert_int_equal(chmod(bench_path(&bench, "video0"), 0660), 0); /* udev, a moment later */
    assert_true(node_watch_read(fd));
    for (int i = 0; i < 1000; i++) { /* more than one read takes */
        assert_int_equal(chmod(bench_path(&bench, i % 2 ? "video0" : "tty0"), 0600), 0);
    }
    assert_true(node_watch_read(fd));
    assert_false(node_watch_read(fd));
    close(fd);
    unsetenv("PCS_FAKE_DEV");
}

/* ---- controls ---- */

static int must_open_node(void)
{
    int fd = v4l2_open_node(BENCH_DEVICE);
    assert_true(fd >= 0);
    return fd;
}

struct looked_for {
    const char *name, *value;
    char found[64];
    int count;
};

static void look(void *arg, const struct control *control)
{
    struct looked_for *l = arg;
    l->count++;
    if (strcmp(control->name, l->name) == 0) {
        (void)snprintf(l->found, sizeof l->found, "%s", control->value);
    }
}

static void assert_value(int fd, const char *name, const char *value)
{
    struct looked_for l = { .name = name };
    v4l2_control_each(fd, look, &l);
    assert_string_equal(l.found, value);
    assert_int_equal(l.count, 14);
}

static void set_and_read_back_each_type(void **state)
{
    (void)state;
    static const char *const all[][3] = {
        { "brightness", "0x10", "16" },
        { "white_balance_automatic", "off", "0" },
        { "power_line_frequency", "50 hz", "1" },
        { "label", "", "" },
        { "label", "31 characters are the most here", "31 characters are the most here" },
        { "wide", "-1099511627776", "-1099511627776" },
        { "wide", "9007199254740993", "9007199254740993" },
        { "sensor_lanes", "0xF4", "0xf4" },
        { "link_speed", "1024000000", "2" },
        { "auto_exposure", "manual mode", "1" },
        { "exposure_time_absolute", "2047", "2047" },
    };
    int fd = must_open_node();
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct err err = { 0 };
        if (v4l2_control_set(fd, "cam", all[i][0], all[i][1], &err) != 0) {
            fail_msg("%s", err.text);
        }
        assert_value(fd, all[i][0], all[i][2]);
    }
    close(fd);
}

static void refuses_with_the_right_number(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
        int code;
    } all[] = {
        { "zoom", "1", -ENOENT },
        { "brightness", "256", -EINVAL },
        { "brightness", "", -EINVAL },
        { "wide", "9007199254740994", -ERANGE },
        { "wide", "99999999999999999999", -ERANGE },
        { "wide", "1.5", -EINVAL },
        { "sensor_lanes", "256", -EINVAL },
        { "sensor_lanes", "8", -ERANGE },
        { "label", "32 characters are one too many …", -ERANGE },
        { "sensor_temperature", "1", -EACCES },
        { "exposure_time_absolute", "100", -EACCES },
        { "link_speed", "3", -EINVAL },
    };
    bench_camera(&bench, "unplug"); /* resets what the test before has set */
    bench_camera(&bench, "plug");
    int fd = must_open_node();
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct err err = { 0 };
        int code = v4l2_control_set(fd, "cam", all[i].name, all[i].value, &err);
        assert_int_equal(code, all[i].code);
        assert_non_null(strstr(err.text, all[i].name));
    }
    close(fd);
}

static int fail_with_value(struct source *source, const char *name, const char *value,
                           struct err *err)
{
    (void)source;
    return err_set(err, -atoi(value), "%s", name);
}

/* What may go better the next time does not end the program. */
static void only_what_can_never_be_set_is_final(void **state)
{
    (void)state;
    static const struct {
        int code, told;
    } all[] = { { ENOENT, EINVAL }, { ERANGE, EINVAL }, { EACCES, EINVAL }, { EINVAL, EINVAL },
                { EIO, EIO },       { EBUSY, EBUSY },   { ENODEV, ENODEV } };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        char setting[32];
        const char *const item[] = { setting };
        struct control_settings settings = { item, 1, true };
        struct err err = { 0 };
        (void)snprintf(setting, sizeof setting, "gain=%d", all[i].code);
        assert_int_equal(control_apply(&settings, NULL, fail_with_value, &err), -all[i].told);
        assert_int_equal(err.code, -all[i].told);
        settings.strict = false;
        assert_int_equal(control_apply(&settings, NULL, fail_with_value, &err), 0);
    }
}

static void flips_what_the_user_leaves_alone(void **state)
{
    (void)state;
    static const char *const own[] = { "brightness=3", "Horizontal-Flip=0" };
    struct source_wish wish = { .transform = TRANSFORM_HFLIP | TRANSFORM_VFLIP | TRANSFORM_ROTATE };
    int fd = must_open_node();
    assert_int_equal(v4l2_control_flip(fd, &wish),
                     TRANSFORM_HFLIP); /* it cannot flip the other way */
    assert_value(fd, "horizontal_flip", "1");
    wish.controls = (struct control_settings){ own, 2, true };
    assert_int_equal(v4l2_control_flip(fd, &wish), 0);
    assert_value(fd, "horizontal_flip", "1");
    wish = (struct source_wish){ 0 };
    assert_int_equal(v4l2_control_flip(fd, &wish), 0);
    assert_value(fd, "horizontal_flip", "0");
    close(fd);
}

/* Another thread turns the knobs while pictures come. */
struct knob {
    struct source *source;
    atomic_bool over;
    int turned;
};

static void *turn(void *arg)
{
    struct knob *k = arg;
    while (!atomic_load(&k->over)) {
        struct err err = { 0 };
        struct looked_for l = { .name = "brightness" };
        assert_int_equal(source_v4l2.set_control(k->source, "brightness", "77", &err), 0);
        assert_int_equal(source_v4l2.set_control(k->source, "sensor_lanes", "1", &err), -EBUSY);
        source_v4l2.each_control(k->source, look, &l);
        k->turned++;
    }
    return NULL;
}

static void controls_while_it_streams(void **state)
{
    (void)state;
    struct {
        const char *path;
        struct v4l2_history history;
    } config = { BENCH_DEVICE };
    const struct source_wish wish = { .width = 320, .height = 240 };
    struct knob knob = { 0 };
    struct format format;
    struct err err = { 0 };
    pthread_t thread;
    assert_int_equal(source_v4l2.open(&knob.source, &wish, &config, bench.stop, &format, &err), 0);
    assert_int_equal(pthread_create(&thread, NULL, turn, &knob), 0);
    for (int i = 0; i < 10;) {
        const struct frame *frame = NULL;
        unsigned lost = 0;
        int code = source_v4l2.next(knob.source, &frame, &lost, &err);
        assert_true(code == 0 || code == -EAGAIN);
        frame_unref(frame);
        i += code == 0;
    }
    atomic_store(&knob.over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    source_v4l2.close(knob.source);
    assert_true(knob.turned > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_what_sysfs_tells, setup, teardown),
        cmocka_unit_test_setup_teardown(says_nothing_without_sysfs, setup, teardown),
        cmocka_unit_test(knows_a_camera_again),
        cmocka_unit_test_setup_teardown(lists_the_links_that_lead_there, setup, teardown),
        cmocka_unit_test_setup_teardown(hears_of_video_nodes_only, setup, teardown),
        cmocka_unit_test_setup_teardown(set_and_read_back_each_type, setup, teardown),
        cmocka_unit_test_setup_teardown(refuses_with_the_right_number, setup, teardown),
        cmocka_unit_test(only_what_can_never_be_set_is_final),
        cmocka_unit_test_setup_teardown(flips_what_the_user_leaves_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(controls_while_it_streams, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
