/* SPDX-License-Identifier: MIT */
#include "camera_bench.h"

#include <dirent.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "capture/test_picture.h"
#include "pcs/stop.h"

static const char *const variables[] = {
    "PCS_FAKE_V4L2",     "PCS_FAKE_FORMATS", "PCS_FAKE_SIZES",        "PCS_FAKE_FPS",
    "PCS_FAKE_RAW_RATE", "PCS_FAKE_PADDING", "PCS_FAKE_MJPG",         "PCS_FAKE_H264",
    "PCS_FAKE_KIND",     "PCS_FAKE_STAMP",   "PCS_FAKE_QUANTIZATION", "PCS_FAKE_COLORS",
    "PCS_FAKE_FRONT",    "PCS_FAKE_BUFFERS", "PCS_FAKE_DEV",          "PCS_FAKE_SET",
};

int bench_fds(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir)) {
        n++;
    }
    closedir(dir);
    return n;
}

void bench_init(struct bench *b)
{
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        unsetenv(variables[i]);
    }
    (void)snprintf(b->dir, sizeof b->dir, "/tmp/pcs-test-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    setenv("PCS_FAKE_CONTROL", bench_path(b, "control"), 1);
    b->fds = bench_fds();
    b->stop = stop_new();
    assert_non_null(b->stop);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    return remove(path);
}

void bench_finish(struct bench *b)
{
    stop_free(b->stop);
    assert_int_equal(bench_fds(), b->fds);
    assert_int_equal(nftw(b->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

const char *bench_path(const struct bench *b, const char *name)
{
    static char paths[4][400];
    static int turn;
    turn = (turn + 1) % 4;
    (void)snprintf(paths[turn], sizeof paths[turn], "%s/%s", b->dir, name);
    return paths[turn];
}

static void write_pictures(const char *path, int width, int height, int frames)
{
    FILE *file = fopen(path, "wb");
    struct test_picture *picture = test_picture_new(width, height);
    int chroma_width = (width + 1) / 2, chroma_height = (height + 1) / 2;
    size_t luma = (size_t)width * (size_t)height;
    size_t chroma = (size_t)chroma_width * (size_t)chroma_height;
    uint8_t *bytes = malloc(luma + 2 * chroma);
    assert_true(file && picture && bytes);
    const struct test_planes planes = { bytes, bytes + luma, bytes + luma + chroma, width,
                                        chroma_width };
    for (int i = 1; i <= frames; i++) {
        test_picture_draw(picture, &planes, (uint32_t)i, i * 33333, i * 33333, 0);
        assert_int_equal(fwrite(bytes, 1, luma + 2 * chroma, file), luma + 2 * chroma);
    }
    assert_int_equal(fclose(file), 0);
    test_picture_free(picture);
    free(bytes);
}

const char *bench_clip(const struct bench *b, const char *name, int width, int height, int frames,
                       const char *args)
{
    char command[2000];
    const char *raw = bench_path(b, "clip.yuv"), *path = bench_path(b, name);
    write_pictures(raw, width, height, frames);
    /* Without the emulated camera and a sanitizer's library in front of it. */
    (void)snprintf(command, sizeof command,
                   "env -u LD_PRELOAD ffmpeg -v error -nostdin -y -f rawvideo -pix_fmt yuv420p "
                   "-s %dx%d -r 30 -i %s %s %s",
                   width, height, raw, args, path);
    if (system(command) != 0) {
        fail_msg("%s", command);
    }
    unlink(raw);
    return path;
}

void bench_camera_is(const char *variable, const char *value)
{
    setenv(variable, value, 1);
}

void bench_camera(const struct bench *b, const char *command)
{
    FILE *file = fopen(bench_path(b, "control"), "a");
    assert_non_null(file);
    assert_true(fprintf(file, "%s\n", command) > 0);
    assert_int_equal(fclose(file), 0);
}

/* The grey level that the emulated sensor put there: luma, or any of an RGB pixel's channels. */
static uint8_t grey_at(const struct frame *frame, int x, int y)
{
    const struct format *f = &frame->format;
    const struct format_info *info = format_info(f->id);
    int step = info->planes == 1 ? info->bytes_per_sample[0] : 1;
    const uint8_t *p = frame->plane[0] + (ptrdiff_t)y * frame->stride[0] + (ptrdiff_t)x * step;
    bool luma_second = f->id == FORMAT_UYVY || f->id == FORMAT_VYUY || f->id == FORMAT_RGB16;
    return p[luma_second]; /* of 5-6-5 the byte with red on top */
}

bool bench_marker(const struct frame *frame, struct marker *out)
{
    const struct format *f = &frame->format;
    uint8_t *luma = malloc((size_t)f->width * (size_t)f->height);
    assert_non_null(luma);
    for (int y = 0; y < f->height; y++) {
        for (int x = 0; x < f->width; x++) {
            luma[y * f->width + x] = grey_at(frame, x, y);
        }
    }
    bool found = marker_read(luma, f->width, f->width, f->height, out);
    free(luma);
    return found;
}
