/* SPDX-License-Identifier: MIT */
/* The input source against files that ffmpeg makes here. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "camera_bench.h"
#include "capture/input_clock.h"
#include "capture/source.h"
#include "pcs/clock.h"
#include "pcs/h264_scan.h"
#include "pcs/stop.h"

#define FRAMES 24

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

/* As the backend's options lay it out. */
struct input {
    const char *url;
    bool loop;
};

static int open_input(struct source **s, const struct input *input, const struct source_wish *wish,
                      struct format *f, struct err *err)
{
    assert_int_equal(source_input.config_size, sizeof *input);
    *err = (struct err){ 0 };
    return source_input.open(s, wish, input, bench.stop, f, err);
}

static struct source *must_open(const struct input *input, const struct source_wish *wish,
                                struct format *f)
{
    struct source *s = NULL;
    struct err err;
    if (open_input(&s, input, wish, f, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return s;
}

/* 0 or what the source ends with. */
static int next(struct source *s, const struct frame **frame)
{
    unsigned lost = 0;
    struct err err = { 0 };
    int code;
    do {
        code = source_input.next(s, frame, &lost, &err);
    } while (code == -EAGAIN);
    assert_int_equal(lost, 0);
    return code;
}

static void h264_passes_through_in_annex_b(void **state)
{
    (void)state;
    const struct input input = { bench_clip(
        &bench, "clip.mp4", 320, 240, FRAMES,
        "-c:v libx264 -bf 2 -b_strategy 0 -g 12 -pix_fmt yuv420p") };
    const struct source_wish wish = { 0 };
    struct format f;
    const struct frame *frame;
    struct source *s = must_open(&input, &wish, &f);
    assert_int_equal(f.id, FORMAT_H264);
    assert_int_equal(f.width, 320);
    assert_int_equal(f.height, 240);
    assert_int_equal(f.fps_num, 30 * f.fps_den);
    int64_t first_us = 0, last_us = 0;
    bool delayed = false;
    int n = 0;
    for (; next(s, &frame) == 0; n++) {
        struct h264_unit_info unit;
        h264_scan_unit(frame->data, frame->size, &unit);
        assert_true(unit.has_slice);
        if (n % 12 == 0) {
            assert_true(unit.has_idr && unit.has_sps && unit.has_pps);
            assert_true(frame->flags & FRAME_KEY);
        }
        assert_true(clock_now_us() >= frame->capture_us); /* in real time */
        assert_true(frame->pts_delay_us >= 0);
        delayed |= frame->pts_delay_us > 0;
        first_us = n == 0 ? frame->capture_us : first_us;
        assert_true(n == 0 || frame->capture_us > last_us);
        last_us = frame->capture_us;
        frame_unref(frame);
    }
    assert_int_equal(n, FRAMES);
    assert_true(delayed); /* it has B-frames */
    assert_in_range(last_us - first_us, (FRAMES - 1) * 33333 - 100, (FRAMES - 1) * 33333 + 100);
    assert_int_equal(next(s, &frame), -ENODATA);
    source_input.close(s);
}

static void jpeg_passes_through(void **state)
{
    (void)state;
    const struct input input = { bench_clip(&bench, "clip.avi", 320, 240, FRAMES,
                                            "-c:v mjpeg -q:v 4") };
    const struct source_wish wish = { .codec = FORMAT_JPEG };
    struct format f;
    const struct frame *frame;
    struct source *s = must_open(&input, &wish, &f);
    assert_int_equal(f.id, FORMAT_JPEG);
    assert_int_equal(f.range, COLOR_RANGE_FULL);
    int n = 0;
    for (; next(s, &frame) == 0; n++) {
        assert_int_equal(frame->data[0] << 8 | frame->data[1], 0xFFD8);
        assert_int_equal(frame->flags, FRAME_KEY);
        frame_unref(frame);
    }
    assert_int_equal(n, FRAMES);
    source_input.close(s);
}

/* Mean of what is bright in the marker: 235 in limited range, 255 in full. */
static int white_level(const struct frame *frame)
{
    int step = frame->format.id == FORMAT_RGB24 ? 3 : 1;
    int width = 32 * marker_cell(frame->format.width, frame->format.height), sum = 0, n = 0;
    for (int y = 0; y < width / 8; y++) {
        for (int x = 0; x < width; x++) {
            int level = frame->plane[0][y * frame->stride[0] + x * step];
            sum += level > 128 ? level : 0;
            n += level > 128;
        }
    }
    return sum / n;
}

/* Every picture comes, in order, and is the one it says. */
static void expect_pictures(const char *url, const struct source_wish *wish, enum format_id id,
                            enum color_range range)
{
    const struct input input = { url };
    struct format f;
    const struct frame *frame;
    struct source *s = must_open(&input, wish, &f);
    uint32_t n = 0;
    assert_int_equal(f.id, id);
    assert_int_equal(f.range, range);
    while (next(s, &frame) == 0) {
        struct marker m;
        assert_true(format_same(&frame->format, &f));
        assert_true(bench_marker(frame, &m));
        assert_int_equal(m.number, ++n);
        assert_in_range(white_level(frame), range == COLOR_RANGE_FULL ? 246 : 225,
                        range == COLOR_RANGE_FULL ? 255 : 242);
        assert_int_equal(frame->flags, FRAME_KEY);
        assert_true(frame->size > 0);
        frame_unref(frame);
    }
    assert_int_equal(n, FRAMES);
    source_input.close(s);
}

static void the_rest_is_decoded(void **state)
{
    (void)state;
    static const struct {
        const char *name, *args;
        enum color_range range;
    } clips[] = {
        { "mpeg4.avi", "-c:v mpeg4 -q:v 3", COLOR_RANGE_LIMITED },
        { "hevc.mp4", "-c:v libx265 -preset ultrafast -x265-params log-level=error",
          COLOR_RANGE_LIMITED },
        { "vp9.webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8", COLOR_RANGE_LIMITED },
        { "ffv1.mkv", "-c:v ffv1 -pix_fmt yuv444p", COLOR_RANGE_LIMITED },
        { "rgb.mkv", "-c:v ffv1 -pix_fmt bgr0", COLOR_RANGE_LIMITED },
        { "ten.mkv", "-c:v ffv1 -pix_fmt yuv422p10le", COLOR_RANGE_LIMITED },
    };
    const struct source_wish wish = { 0 };
    for (size_t i = 0; i < sizeof clips / sizeof clips[0]; i++) {
        const char *url = bench_clip(&bench, clips[i].name, 320, 240, FRAMES, clips[i].args);
        expect_pictures(url, &wish, FORMAT_YU12, clips[i].range);
    }
}

static void another_codec_is_decoded(void **state)
{
    (void)state;
    const char *h264 = bench_clip(&bench, "clip.mkv", 320, 240, FRAMES,
                                  "-c:v libx264 -bf 2 -g 12 -pix_fmt yuv420p");
    const struct source_wish jpeg = { .codec = FORMAT_JPEG }, nv12 = { .format = FORMAT_NV12 };
    const struct source_wish h = { .codec = FORMAT_H264 }, rgb = { .format = FORMAT_RGB24 };
    expect_pictures(h264, &jpeg, FORMAT_YU12, COLOR_RANGE_LIMITED);
    expect_pictures(h264, &nv12, FORMAT_NV12, COLOR_RANGE_LIMITED);
    expect_pictures(h264, &rgb, FORMAT_RGB24, COLOR_RANGE_FULL);
    const char *mjpeg =
        bench_clip(&bench, "clip.avi", 320, 240, FRAMES, "-c:v mjpeg -q:v 3 -pix_fmt yuvj420p");
    expect_pictures(mjpeg, &h, FORMAT_YU12, COLOR_RANGE_FULL);
    mjpeg =
        bench_clip(&bench, "clip422.avi", 320, 240, FRAMES, "-c:v mjpeg -q:v 3 -pix_fmt yuvj422p");
    expect_pictures(mjpeg, &h, FORMAT_YU12, COLOR_RANGE_FULL);
}

static void expect_loop(const char *url, const struct source_wish *wish, int64_t step_us)
{
    const struct input input = { url, .loop = true };
    struct format f;
    const struct frame *frame;
    struct source *s = must_open(&input, wish, &f);
    int64_t last_us = 0;
    for (int n = 0; n < 5 * 6; n++) { /* six frames, five times */
        assert_int_equal(next(s, &frame), 0);
        if (n > 0) {
            assert_in_range(frame->capture_us - last_us, step_us - 1000, step_us + 1000);
        }
        if (f.id == FORMAT_H264 && n % 6 == 0) {
            assert_true(frame->flags & FRAME_KEY);
        }
        if (!format_info(f.id)->compressed) {
            struct marker m;
            assert_true(bench_marker(frame, &m));
            assert_int_equal(m.number, n % 6 + 1);
        }
        last_us = frame->capture_us;
        frame_unref(frame);
    }
    source_input.close(s);
}

static void loops_without_a_seam(void **state)
{
    (void)state;
    const struct source_wish any = { 0 }, jpeg = { .codec = FORMAT_JPEG }, fast = { .fps = 60 };
    const char *mp4 = bench_clip(&bench, "clip.mp4", 320, 240, 6,
                                 "-c:v libx264 -bf 2 -b_strategy 0 -pix_fmt yuv420p");
    expect_loop(mp4, &any, 33333);
    expect_loop(mp4, &jpeg, 33333);
    expect_loop(bench_clip(&bench, "clip.avi", 320, 240, 6, "-c:v mjpeg"), &any, 33333);
    expect_loop(bench_clip(&bench, "clip.ts", 320, 240, 6, "-c:v libx264 -pix_fmt yuv420p"), &any,
                33333);
    const char *bare =
        bench_clip(&bench, "clip.h264", 320, 240, 6, "-c:v libx264 -bf 0 -pix_fmt yuv420p -f h264");
    expect_loop(bare, &any, 33333);  /* by the rate in its headers … */
    expect_loop(bare, &fast, 16667); /* … or by --fps */
}

static void expect_error(const char *url, const struct source_wish *wish, int code,
                         const char *text)
{
    const struct input input = { url };
    struct source *s;
    struct format f;
    struct err err;
    assert_int_equal(open_input(&s, &input, wish, &f, &err), code);
    if (!strstr(err.text, text) || strchr(err.text, '\n')) {
        fail_msg("\"%s\" does not say \"%s\"", err.text, text);
    }
}

static void says_what_is_wrong(void **state)
{
    (void)state;
    const struct source_wish any = { 0 }, jpeg = { .format = FORMAT_JPEG };
    expect_error("/nonexistent/x.mp4", &any, -EINVAL, "/nonexistent/x.mp4");
    expect_error("/etc/passwd", &any, -EINVAL, "/etc/passwd");
    expect_error("nothing://x", &any, -EINVAL, "nothing://x");
    expect_error("tcp://127.0.0.1:1", &any, -EIO, "refused"); /* may come up later */
    /* Viewers read it in the picture that stands in. */
    expect_error("http://me:secret@127.0.0.1:1/x?k=secret", &any, -EIO,
                 "--input http://127.0.0.1:1/x?");
    const char *sound =
        bench_clip(&bench, "sound.wav", 64, 64, 1, "-f lavfi -i sine -t 1 -map 1:a");
    expect_error(sound, &any, -EINVAL, "no video");
    const char *h264 = bench_clip(&bench, "clip.mp4", 320, 240, 2, "-c:v libx264 -pix_fmt yuv420p");
    expect_error(h264, &jpeg, -EINVAL, "h264");
    const struct input none = { NULL }, some = { "x" };
    assert_false(source_input.implied(&none));
    assert_true(source_input.implied(&some));
}

static void damaged_files_end_and_nothing_worse(void **state)
{
    (void)state;
    const struct source_wish jpeg = { .codec = FORMAT_JPEG };
    const char *url =
        bench_clip(&bench, "clip.ts", 320, 240, FRAMES, "-c:v libx264 -g 6 -pix_fmt yuv420p");
    FILE *file = fopen(url, "r+b");
    assert_non_null(file);
    for (long at = 20000; at < 40000; at += 700) {
        fseek(file, at, SEEK_SET);
        fputc(0x55, file);
    }
    fclose(file);
    const struct input input = { url };
    struct format f;
    struct err err = { 0 };
    const struct frame *frame;
    unsigned lost = 0, n = 0;
    struct source *s = must_open(&input, &jpeg, &f);
    int code;
    while ((code = source_input.next(s, &frame, &lost, &err)) == 0 || code == -EAGAIN) {
        if (code == 0) {
            frame_unref(frame);
            n++;
        }
    }
    assert_int_equal(code, -ENODATA);
    assert_true(n > 0);
    source_input.close(s);
}

static void frames_outlive_it(void **state)
{
    (void)state;
    const struct source_wish any = { 0 }, jpeg = { .codec = FORMAT_JPEG };
    const struct input input = { bench_clip(&bench, "clip.mp4", 320, 240, 4,
                                            "-c:v libx264 -pix_fmt yuv420p") };
    struct format f;
    const struct frame *packet, *picture;
    struct source *s = must_open(&input, &any, &f);
    assert_int_equal(next(s, &packet), 0);
    source_input.close(s);
    s = must_open(&input, &jpeg, &f);
    assert_int_equal(next(s, &picture), 0);
    source_input.close(s);
    struct marker m;
    assert_true(bench_marker(picture, &m));
    assert_int_equal(packet->data[0], 0);
    frame_unref(packet);
    frame_unref(picture);
}

static void *stop_later(void *arg)
{
    (void)poll(NULL, 0, 200);
    stop_request(arg);
    return NULL;
}

/* A FIFO that nobody writes to keeps neither opening nor reading from being stopped. */
static void a_silent_pipe_can_be_stopped(void **state)
{
    (void)state;
    const char *path = bench_path(&bench, "pipe");
    assert_int_equal(mkfifo(path, 0600), 0);
    const struct input input = { path };
    const struct source_wish any = { 0 };
    struct source *s;
    struct format f;
    struct err err;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stop_later, bench.stop), 0);
    int writer = open(path, O_RDWR | O_CLOEXEC); /* so that it does not end */
    assert_int_equal(open_input(&s, &input, &any, &f, &err), -ECANCELED);
    close(writer);
    pthread_join(thread, NULL);
}

static void a_pipe_is_read_as_it_comes(void **state)
{
    (void)state;
    const char *clip = bench_clip(&bench, "clip.h264", 320, 240, FRAMES,
                                  "-c:v libx264 -bf 0 -pix_fmt yuv420p -f h264");
    const char *path = bench_path(&bench, "pipe");
    char command[600];
    assert_int_equal(mkfifo(path, 0600), 0);
    (void)snprintf(command, sizeof command, "env -u LD_PRELOAD cat %s > %s &", clip, path);
    assert_int_equal(system(command), 0);
    const struct input input = { path };
    const struct source_wish any = { 0 };
    struct format f;
    const struct frame *frame;
    struct source *s = must_open(&input, &any, &f);
    int n = 0, code;
    for (; (code = next(s, &frame)) == 0; n++) {
        frame_unref(frame);
    }
    assert_int_equal(code, -ENODATA);
    assert_int_equal(n, FRAMES);
    source_input.close(s);
}

static void time_lines_follow_the_stamps(void **state)
{
    (void)state;
    struct input_clock c = { .frame_us = 40000 };
    assert_int_equal(input_clock_next(&c, 500, 1000000), 1000000);
    assert_int_equal(input_clock_next(&c, 40500, 1000100), 1040000); /* ahead: to be waited for */
    assert_int_equal(input_clock_next(&c, INPUT_NO_TIME, 1050000), 1080000);
    assert_int_equal(input_clock_next(&c, 0, 1090000), 1120000);        /* a loop */
    assert_int_equal(input_clock_next(&c, 90000000, 1130000), 1160000); /* a cut */
    assert_int_equal(input_clock_next(&c, 90040000, 9000000), 9000000); /* slept */
    assert_int_equal(input_clock_next(&c, 90080000, 9000100), 9040000);

    struct input_clock live = { .live = true, .frame_us = 40000 };
    assert_int_equal(input_clock_next(&live, 0, 1000000), 1000000);
    assert_int_equal(input_clock_next(&live, 40000, 1055000), 1040000); /* jitter taken out */
    assert_int_equal(input_clock_next(&live, 80000, 1075000), 1075000); /* never from the future */
    assert_int_equal(input_clock_next(&live, INPUT_NO_TIME, 1100000), 1100000);
    assert_int_equal(input_clock_next(&live, 160000, 9000000), 9000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(h264_passes_through_in_annex_b, setup, teardown),
        cmocka_unit_test_setup_teardown(jpeg_passes_through, setup, teardown),
        cmocka_unit_test_setup_teardown(the_rest_is_decoded, setup, teardown),
        cmocka_unit_test_setup_teardown(another_codec_is_decoded, setup, teardown),
        cmocka_unit_test_setup_teardown(loops_without_a_seam, setup, teardown),
        cmocka_unit_test_setup_teardown(says_what_is_wrong, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_files_end_and_nothing_worse, setup, teardown),
        cmocka_unit_test_setup_teardown(frames_outlive_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_silent_pipe_can_be_stopped, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pipe_is_read_as_it_comes, setup, teardown),
        cmocka_unit_test(time_lines_follow_the_stamps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
