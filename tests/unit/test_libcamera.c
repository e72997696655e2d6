/* SPDX-License-Identifier: MIT */
/* The libcamera source over a libcamera of our own: one camera whose pictures come when the test says. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "capture/libcamera_api.h"
#include "capture/libcamera_load.h"
#include "capture/source.h"
#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/stop.h"

#define BUFFERS 4
#define STRIDE  704 /* of 640 pixels */
#define HEIGHT  480
#define LUMA    ((size_t)STRIDE * HEIGHT)
#define SIZE    (LUMA * 3 / 2)

enum { EXPOSURE = 1, LIMITS = 2, AF_MODE = 3 };

/* The fake libcamera: one for all, as the real one. */
static struct fake {
    bool absent, vanished, busy;
    unsigned managers, opened;
    struct libcamera_listener listener;
    struct libcamera_setup setup; /* as configured */
    int memfd;
    bool started, queued[BUFFERS];
    int64_t limits[2];
    int32_t exposure;
    bool separate; /* one fd for each plane */
    int chroma;    /* … that of the other */
} fake;

static int manager_new(struct libcamera_manager **out)
{
    assert_int_equal(fake.managers, 0); /* one at a time */
    fake.managers++;
    *out = (struct libcamera_manager *)&fake;
    return 0;
}

static void manager_free(struct libcamera_manager *m)
{
    assert_ptr_equal(m, &fake);
    assert_int_equal(fake.opened, 0);
    fake.managers--;
}

static int set_log(void (*write)(const char *text))
{
    write("[0:01:02.345678] [123]  INFO Camera camera.cpp:1 hello");
    write("unusual");
    write("");
    return 0;
}

static void each_camera(struct libcamera_manager *m,
                        void (*visit)(void *arg, const struct libcamera_info *info), void *arg)
{
    (void)m;
    static const struct libcamera_info info = { "/base/i2c@1/imx219@10", "imx219", "back", 180 };
    static const struct libcamera_info other = { "usb-1:1.0-046d:0825", "Webcam", "", -1 };
    if (!fake.vanished) {
        visit(arg, &info);
    }
    visit(arg, &other);
}

static int camera_open(struct libcamera_manager *m, const char *id,
                       const struct libcamera_listener *listener, struct libcamera_camera **out)
{
    assert_non_null(id);
    if (fake.busy) {
        return -EBUSY;
    }
    fake.opened++;
    if (listener) {
        fake.listener = *listener;
    }
    *out = (struct libcamera_camera *)m;
    return 0;
}

static void camera_stop(struct libcamera_camera *c)
{
    (void)c;
    fake.started = false;
    for (unsigned i = 0; i < BUFFERS; i++) {
        const struct libcamera_done done = { .index = i, .cancelled = true };
        if (fake.queued[i]) {
            fake.queued[i] = false;
            fake.listener.completed(fake.listener.arg, &done);
        }
    }
}

static void camera_close(struct libcamera_camera *c)
{
    camera_stop(c);
    fake.opened--;
    if (fake.memfd >= 0) {
        close(fake.memfd);
        close(fake.chroma);
        fake.memfd = fake.chroma = -1;
    }
}

static void each_format(struct libcamera_camera *c, bool sensor,
                        void (*visit)(void *arg, const struct libcamera_format *format), void *arg)
{
    (void)c;
    static const struct libcamera_size sizes[] = { { 640, 480 } };
    static const struct libcamera_size modes[] = {
        { 320, 240 }, { 640, 480 }, { 1640, 1232 }, { 3280, 2464 }
    };
    const struct libcamera_format nv12 = {
        .fourcc = FORMAT_FOURCC('N', 'V', '1', '2'), .plain = true, .sizes = sizes, .size_count = 1
    };
    const struct libcamera_format raw = {
        .fourcc = FORMAT_FOURCC('R', 'G', '1', '0'), .bits = 10, .sizes = modes, .size_count = 4
    };
    visit(arg, sensor ? &raw : &nv12);
}

static struct libcamera_value number(enum libcamera_type type, int64_t n)
{
    struct libcamera_value v = { .type = type, .count = 1 };
    int32_t n32 = (int32_t)n;
    memcpy(v.bytes, type == LIBCAMERA_INT64 ? (void *)&n : (void *)&n32,
           type == LIBCAMERA_INT64 ? 8 : 4);
    return v;
}

/* The whole sensor is slow. */
static int64_t shortest_us(void)
{
    switch (fake.setup.sensor.width) {
    case 320:
        return 4000;
    case 640:
        return 8000;
    case 1640:
        return 16000;
    default:
        return 40000;
    }
}

static void each_control(struct libcamera_camera *c,
                         void (*visit)(void *arg, const struct libcamera_control *control),
                         void *arg)
{
    (void)c;
    const struct libcamera_control controls[] = {
        { .id = EXPOSURE,
          .name = "ExposureTime",
          .type = LIBCAMERA_INT32,
          .min = number(LIBCAMERA_INT32, 100),
          .max = number(LIBCAMERA_INT32, 20000) },
        { .id = LIMITS,
          .name = "FrameDurationLimits",
          .type = LIBCAMERA_INT64,
          .array = true,
          .array_size = 2,
          .min = number(LIBCAMERA_INT64, shortest_us()),
          .max = number(LIBCAMERA_INT64, 1000000) },
        { .id = AF_MODE,
          .name = "AfMode",
          .type = LIBCAMERA_INT32,
          .min = number(LIBCAMERA_INT32, 0),
          .max = number(LIBCAMERA_INT32, 2) },
    };
    for (size_t i = 0; i < 3; i++) {
        visit(arg, &controls[i]);
    }
}

static int configure(struct libcamera_camera *c, struct libcamera_setup *setup)
{
    (void)c;
    setup->stride = STRIDE;
    setup->frame_size = SIZE;
    fake.setup = *setup;
    return 0;
}

static int allocate(struct libcamera_camera *c, struct libcamera_buffer buffers[LIBCAMERA_BUFFERS],
                    unsigned *count)
{
    (void)c;
    fake.memfd = memfd_create("buffers", MFD_CLOEXEC);
    fake.chroma = memfd_create("chroma", MFD_CLOEXEC);
    assert_int_equal(ftruncate(fake.memfd, (off_t)(BUFFERS * SIZE)), 0);
    assert_int_equal(ftruncate(fake.chroma, (off_t)(BUFFERS * SIZE)), 0);
    for (unsigned i = 0; i < BUFFERS; i++) {
        size_t at = i * SIZE;
        buffers[i].planes = 2;
        buffers[i].plane[0].fd = fake.memfd;
        buffers[i].plane[0].offset = at;
        buffers[i].plane[0].length = LUMA;
        buffers[i].plane[1].fd = fake.separate ? fake.chroma : fake.memfd;
        buffers[i].plane[1].offset = fake.separate ? at : at + LUMA;
        buffers[i].plane[1].length = LUMA / 2;
    }
    *count = BUFFERS;
    return 0;
}

static int adopt(struct libcamera_camera *c, const int fds[], unsigned count,
                 struct libcamera_buffer buffers[LIBCAMERA_BUFFERS])
{
    (void)c, (void)fds, (void)count, (void)buffers;
    return -EINVAL; /* on a machine with such memory: not with ours */
}

static int start(struct libcamera_camera *c)
{
    (void)c;
    fake.started = true;
    return 0;
}

static int queue(struct libcamera_camera *c, unsigned index)
{
    (void)c;
    assert_true(fake.started);
    assert_in_range(index, 0, BUFFERS - 1);
    assert_false(fake.queued[index]);
    fake.queued[index] = true;
    return 0;
}

static int set(struct libcamera_camera *c, unsigned id, const struct libcamera_value *value)
{
    (void)c;
    if (id == LIMITS) {
        assert_int_equal(value->count, 2);
        memcpy(fake.limits, value->bytes, sizeof fake.limits);
    } else if (id == EXPOSURE) {
        memcpy(&fake.exposure, value->bytes, sizeof fake.exposure);
    }
    return 0;
}

static int current(struct libcamera_camera *c, unsigned id, struct libcamera_value *out)
{
    (void)c;
    *out = number(LIBCAMERA_INT32, 5000);
    return id == EXPOSURE ? 0 : -ENOENT;
}

static const struct libcamera_api api = {
    LIBCAMERA_API_VERSION,
    "fake",
    set_log,
    manager_new,
    manager_free,
    each_camera,
    camera_open,
    camera_close,
    each_format,
    each_control,
    configure,
    allocate,
    adopt,
    start,
    queue,
    camera_stop,
    set,
    current,
};

const struct libcamera_api *__wrap_libcamera_load(struct err *err);
const struct libcamera_api *__wrap_libcamera_load(struct err *err)
{
    if (fake.absent) {
        (void)err_set(err, -ENOTSUP, "this build has no libcamera");
    }
    return fake.absent ? NULL : &api;
}

/* ---- the bench ---- */

struct bench {
    struct stop *stop;
    void *config;
    struct source_wish wish;
    struct source *source;
    struct format format;
    struct err err;
};

static const struct source_backend *const backend = &source_libcamera;

static int setup(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    assert_non_null(b);
    fake = (struct fake){ .memfd = -1, .chroma = -1 };
    b->stop = stop_new();
    b->config = calloc(1, backend->config_size);
    assert_non_null(b->config);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    backend->close(b->source);
    assert_int_equal(fake.managers, 0);
    stop_free(b->stop);
    free(b->config);
    free(b);
    return 0;
}

static int try_open(struct bench *b)
{
    b->err = (struct err){ 0 };
    return backend->open(&b->source, &b->wish, b->config, b->stop, &b->format, &b->err);
}

static void open_it(struct bench *b)
{
    if (try_open(b) < 0) {
        fail_msg("%s", b->err.text);
    }
}

static void close_it(struct bench *b)
{
    backend->close(b->source);
    b->source = NULL;
}

/* The camera fills a buffer; its first bytes say which. */
static void shoot(struct libcamera_done done)
{
    assert_true(fake.queued[done.index]);
    fake.queued[done.index] = false;
    uint8_t byte = (uint8_t)(done.index + 1);
    assert_int_equal(pwrite(fake.memfd, &byte, 1, (off_t)(done.index * SIZE)), 1);
    fake.listener.completed(fake.listener.arg, &done);
}

#define GOOD(buffer, number)                                                                       \
    ((struct libcamera_done){ .index = (buffer), .ok = true, .sequence = (number) })

static const struct frame *next(struct bench *b, unsigned *lost)
{
    const struct frame *frame = NULL;
    assert_int_equal(backend->next(b->source, &frame, lost, &b->err), 0);
    return frame;
}

static unsigned queued(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < BUFFERS; i++) {
        n += fake.queued[i];
    }
    return n;
}

/* ---- the tests ---- */

static void test_a_picture_in_place(void **state)
{
    struct bench *b = *state;
    unsigned lost = 0;
    open_it(b);
    assert_int_equal(queued(), BUFFERS);
    int64_t stamp_us = clock_now_us() - 20000;
    struct libcamera_done done = GOOD(2, 1);
    done.sensor_ns = stamp_us * 1000;
    shoot(done);
    const struct frame *f = next(b, &lost);
    assert_int_equal(lost, 0);
    assert_int_equal(f->format.id, FORMAT_NV12);
    assert_int_equal(f->format.width, 640);
    assert_int_equal(f->capture_us, stamp_us);
    assert_int_equal(f->flags, FRAME_DRIVER | FRAME_KEY);
    assert_int_equal(f->data[0], 3);
    assert_ptr_equal(f->plane[0], f->data);
    assert_ptr_equal(f->plane[1], f->data + LUMA);
    assert_int_equal(f->stride[0], STRIDE);
    assert_int_equal(f->stride[1], STRIDE);
    assert_int_equal(f->size, SIZE);
    assert_int_equal(f->dmabuf_fd, -1); /* a memfd is no DMABUF */
    assert_int_equal(queued(), BUFFERS - 1);
    frame_unref(f);
    assert_int_equal(queued(), BUFFERS);
}

static void test_planes_in_two_buffers(void **state)
{
    struct bench *b = *state;
    unsigned lost = 0;
    fake.separate = true;
    open_it(b);
    const uint8_t chroma = 0x55;
    assert_int_equal(pwrite(fake.chroma, &chroma, 1, SIZE), 1);
    shoot(GOOD(1, 1));
    const struct frame *f = next(b, &lost);
    assert_int_equal(f->plane[0][0], 2);
    assert_int_equal(f->plane[1][0], 0x55);
    assert_int_equal(f->size, LUMA); /* what lies together */
    frame_unref(f);
}

static void test_the_newest_and_the_lost(void **state)
{
    struct bench *b = *state;
    unsigned lost = 0;
    open_it(b);
    shoot(GOOD(0, 7));
    shoot(GOOD(1, 10)); /* 8 and 9 had no buffer */
    shoot((struct libcamera_done){ .index = 2, .sequence = 11 });
    const struct frame *f = next(b, &lost);
    assert_int_equal(f->data[0], 2);
    assert_int_equal(lost, 4);
    assert_int_equal(queued(), BUFFERS - 1);
    frame_unref(f);
    shoot(GOOD(3, 2)); /* counted anew */
    lost = 0;
    frame_unref(next(b, &lost));
    assert_int_equal(lost, 0);
}

static void test_cancelled_ones_wait_for_a_picture(void **state)
{
    struct bench *b = *state;
    const struct frame *f;
    unsigned lost = 0;
    open_it(b);
    shoot((struct libcamera_done){ .index = 0, .cancelled = true });
    assert_int_equal(backend->next(b->source, &f, &lost, &b->err), -EAGAIN);
    assert_false(fake.queued[0]);
    shoot(GOOD(1, 1));
    f = next(b, &lost);
    assert_true(fake.queued[0]);
    frame_unref(f);
    assert_int_equal(queued(), BUFFERS);
}

static void test_unplugged_with_a_picture_out(void **state)
{
    struct bench *b = *state;
    const struct frame *f, *none;
    unsigned lost = 0;
    open_it(b);
    shoot(GOOD(3, 1));
    f = next(b, &lost);
    fake.listener.gone(fake.listener.arg);
    assert_int_equal(backend->next(b->source, &none, &lost, &b->err), -ENODEV);
    assert_non_null(strstr(b->err.text, "imx219"));
    close_it(b);
    assert_int_equal(f->data[0], 4); /* still mapped */
    frame_unref(f);
    assert_int_equal(queued(), 0);
}

static void test_found_again(void **state)
{
    struct bench *b = *state;
    open_it(b);
    close_it(b);
    fake.vanished = true; /* the other one is not taken at once */
    assert_int_equal(try_open(b), -ENODEV);
    assert_non_null(strstr(b->err.text, "imx219"));
    fake.vanished = false;
    open_it(b);
}

static void test_controls(void **state)
{
    struct bench *b = *state;
    static const char *const good[] = { "exposure_time=5000" };
    static const char *const bad[] = { "ExposureTime=5", "Sharpness=1" };
    b->wish.controls = (struct control_settings){ bad, 1, true };
    assert_int_equal(try_open(b), -EINVAL);
    assert_non_null(strstr(b->err.text, "ExposureTime: 5 is not within 100 to 20000"));
    b->wish.controls.item = bad + 1;
    assert_int_equal(try_open(b), -EINVAL);
    assert_non_null(strstr(b->err.text, "Sharpness"));
    b->wish.controls.item = good;
    open_it(b);
    assert_int_equal(fake.exposure, 5000);
    assert_int_equal(backend->set_control(b->source, "Exposure Time", "700", &b->err), 0);
    assert_int_equal(fake.exposure, 700);
    assert_int_equal(backend->set_control(b->source, "AfMode", "sleepy", &b->err), -EINVAL);
    assert_non_null(strstr(b->err.text, "2=Continuous"));
}

static void count_visit(void *arg, const struct control *control)
{
    *(int *)arg += 1;
    if (strcmp(control->name, "ExposureTime") == 0) {
        assert_string_equal(control->value, "5000");
    }
}

static void test_control_values(void **state)
{
    struct bench *b = *state;
    int count = 0;
    open_it(b);
    backend->each_control(b->source, count_visit, &count);
    assert_int_equal(count, 3);
}

static void test_the_rate(void **state)
{
    struct bench *b = *state;
    b->wish.fps = 20;
    open_it(b);
    assert_int_equal(fake.limits[0], 50000);
    assert_int_equal(fake.limits[1], 50000);
    assert_int_equal(b->format.fps_num, 20);
    assert_int_equal(fake.setup.sensor.width, 0); /* fast enough as it is */
    close_it(b);
    b->wish.fps = 30; /* the whole sensor gives 25 */
    open_it(b);
    assert_int_equal(fake.setup.sensor.width, 1640);
    assert_int_equal(fake.setup.sensor_bits, 10);
    assert_int_equal(fake.limits[0], 33333);
    close_it(b);
    b->wish.fps = 200; /* only a mode smaller than the picture does */
    open_it(b);
    assert_int_equal(fake.setup.sensor.width, 0);
    assert_int_equal(fake.limits[0], 40000);
    assert_int_equal(b->format.fps_num, 25000);
    assert_int_equal(b->format.fps_den, 1000);
}

static void test_flips(void **state)
{
    struct bench *b = *state;
    b->wish.transform = TRANSFORM_HFLIP | TRANSFORM_ROTATE;
    open_it(b);
    assert_int_equal(fake.setup.transform, TRANSFORM_HFLIP);
    assert_int_equal(b->format.transform, TRANSFORM_HFLIP);
}

static void test_refusals(void **state)
{
    struct bench *b = *state;
    fake.absent = true;
    assert_int_equal(try_open(b), -ENOTSUP);
    assert_non_null(strstr(b->err.text, "no libcamera"));
    fake.absent = false;
    fake.busy = true;
    assert_int_equal(try_open(b), -EBUSY);
    assert_non_null(strstr(b->err.text, "another program"));
    fake.busy = false;
    b->wish.format = FORMAT_YUYV;
    assert_int_equal(try_open(b), -ENOTSUP);
    assert_non_null(strstr(b->err.text, "YUYV"));
}

static void test_stopped_and_strange_stamps(void **state)
{
    struct bench *b = *state;
    const struct frame *f;
    unsigned lost = 0;
    open_it(b);
    int64_t before_us = clock_now_us();
    struct libcamera_done done = GOOD(0, 1);
    done.sensor_ns = INT64_MAX / 2;
    shoot(done);
    f = next(b, &lost);
    assert_in_range(f->capture_us, before_us, clock_now_us());
    frame_unref(f);
    stop_request(b->stop);
    assert_int_equal(backend->next(b->source, &f, &lost, &b->err), -ECANCELED);
}

static void test_list(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    backend->list(out);
    fake.absent = true;
    backend->list(out);
    (void)fclose(out);
    assert_non_null(strstr(text, "libcamera 0: /base/i2c@1/imx219@10"));
    assert_non_null(strstr(text, "NV12 640x480"));
    assert_non_null(strstr(text, "sensor, 10 bits: 320x240 640x480 1640x1232 3280x2464"));
    assert_non_null(strstr(text, "ExposureTime (int) 100 to 20000"));
    assert_non_null(strstr(text, "AfMode (menu) 0=Manual, 1=Auto, 2=Continuous"));
    assert_non_null(strstr(text, "no libcamera"));
    free(text);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_picture_in_place),
        TEST(test_planes_in_two_buffers),
        TEST(test_the_newest_and_the_lost),
        TEST(test_cancelled_ones_wait_for_a_picture),
        TEST(test_unplugged_with_a_picture_out),
        TEST(test_found_again),
        TEST(test_controls),
        TEST(test_control_values),
        TEST(test_the_rate),
        TEST(test_flips),
        TEST(test_refusals),
        TEST(test_stopped_and_strange_stamps),
        TEST(test_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
