/* SPDX-License-Identifier: MIT */
/* Streams that ffmpeg makes, and JPEGs made by hand, cut into reads in every way. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "capture/command_split.h"
#include "pcs/frame.h"
#include "pcs/pool.h"

#define MAX_FRAMES 64

struct bytes {
    uint8_t *data;
    size_t size;
};

static void append(struct bytes *b, const void *data, size_t size)
{
    b->data = realloc(b->data, b->size + size);
    assert_non_null(b->data);
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

/* What a program prints. */
static struct bytes run(const char *command)
{
    struct bytes out = { 0 };
    char buffer[65536];
    size_t n;
    FILE *f = popen(command, "r");
    assert_non_null(f);
    while ((n = fread(buffer, 1, sizeof buffer, f)) > 0) {
        append(&out, buffer, n);
    }
    assert_int_equal(pclose(f), 0);
    assert_true(out.size > 0);
    return out;
}

#define PICTURE "ffmpeg -v error -f lavfi -i testsrc2=s=160x120:r=30 -frames:v 12 "
#define JPEGS   PICTURE "-c:v mjpeg -f mjpeg -"
#define UNITS   PICTURE "-c:v libx264 -preset ultrafast -tune zerolatency -g 5 -bf 0 %s -f h264 -"

struct piece {
    size_t size;
    unsigned flags;
    int width, height;
    enum format_id id;
    int64_t capture_us;
};

struct outcome {
    int code;
    int count;
    unsigned lost;
    struct piece piece[MAX_FRAMES];
    struct bytes bytes; /* of all frames */
    struct command_split_stats stats;
    bool text;
    char what[200];
};

static void take_all(struct command_split *s, struct outcome *o)
{
    struct frame *f = NULL;
    while ((o->code = command_split_take(s, &f, &o->lost)) == 0) {
        assert_true(o->count < MAX_FRAMES);
        o->piece[o->count++] = (struct piece){ f->size,          f->flags,     f->format.width,
                                               f->format.height, f->format.id, f->capture_us };
        append(&o->bytes, f->data, f->size);
        assert_int_equal(atomic_load(&f->refs), 1);
        frame_unref(f);
    }
}

/* Read n brings at most `step` bytes, at time n * 1000. */
static struct outcome split(const struct bytes *in, size_t step)
{
    struct outcome o = { .code = -EAGAIN };
    struct pool *pool = pool_new(8 << 20);
    struct command_split *s = command_split_new(pool);
    size_t at = 0, room;
    int64_t now_us = 0;
    assert_non_null(s);
    while (at < in->size && o.code == -EAGAIN) {
        uint8_t *to = command_split_room(s, &room);
        size_t n = in->size - at < step ? in->size - at : step;
        n = n < room ? n : room;
        memcpy(to, in->data + at, n);
        at += n;
        command_split_fed(s, n, now_us += 1000);
        take_all(s, &o);
    }
    if (o.code == -EAGAIN) {
        command_split_end(s);
        take_all(s, &o);
    }
    command_split_get_stats(s, &o.stats);
    command_split_describe(s, o.what, sizeof o.what);
    o.text = command_split_is_text(s);
    command_split_free(s);
    pool_free(pool);
    return o;
}

static const size_t steps[] = { 1, 2, 3, 5, 7, 64, 1000, 4096, 65536, 1 << 20 };
#define STEPS (sizeof steps / sizeof steps[0])

/* All of it comes out, as so many frames of that kind. */
static void check_whole(const struct bytes *in, enum format_id id, int count)
{
    for (size_t i = 0; i < STEPS; i++) {
        struct outcome o = split(in, steps[i]);
        assert_int_equal(o.code, -EAGAIN);
        assert_int_equal(o.count, count);
        assert_int_equal(o.lost, 0);
        assert_int_equal(o.stats.skipped, 0);
        assert_int_equal(o.bytes.size, in->size);
        assert_memory_equal(o.bytes.data, in->data, in->size);
        for (int k = 0; k < o.count; k++) {
            assert_int_equal(o.piece[k].id, id);
            assert_int_equal(o.piece[k].width, 160);
            assert_int_equal(o.piece[k].height, 120);
            bool key = id == FORMAT_JPEG || k % 5 == 0;
            assert_int_equal(o.piece[k].flags, key ? FRAME_KEY : 0);
        }
        free(o.bytes.data);
    }
}

static void test_jpegs(void **state)
{
    (void)state;
    struct bytes in = run(JPEGS);
    check_whole(&in, FORMAT_JPEG, 12);
    free(in.data);
}

static void test_units(void **state)
{
    (void)state;
    static const char *const ways[] = {
        "", "-bsf:v h264_metadata=aud=insert", "-x264-params slices=4",
        "-x264-params nal-hrd=cbr:vbv-maxrate=500:vbv-bufsize=500 -b:v 500k"
    };
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        char command[500];
        (void)snprintf(command, sizeof command, UNITS, ways[i]);
        struct bytes in = run(command);
        check_whole(&in, FORMAT_H264, 12);
        free(in.data);
    }
}

/* The capture time is when the first byte came, though the end came later. */
static void test_capture_time(void **state)
{
    (void)state;
    struct bytes in = run(JPEGS);
    struct outcome whole = split(&in, in.size), o = split(&in, 1000);
    size_t at = 0;
    for (int i = 0; i < o.count; i++) {
        assert_int_equal(o.piece[i].capture_us, ((int64_t)at / 1000 + 1) * 1000);
        assert_int_equal(whole.piece[i].capture_us, whole.piece[0].capture_us);
        at += o.piece[i].size;
    }
    free(whole.bytes.data);
    free(o.bytes.data);
    free(in.data);
}

/* A program that prints one picture, and then the next: once their size is known nothing is copied. */
static void test_no_copies(void **state)
{
    (void)state;
    struct bytes in = run("ffmpeg -v error -f lavfi -i testsrc2=s=1280x720:r=30,noise=alls=30 "
                          "-frames:v 1 -q:v 2 -f mjpeg -");
    struct pool *pool = pool_new(32 << 20);
    struct command_split *s = command_split_new(pool);
    struct command_split_stats before = { 0 }, after;
    assert_true(in.size > 100000);
    for (int i = 0; i < 10; i++) {
        struct frame *f = NULL;
        unsigned lost = 0;
        command_split_get_stats(s, i == 1 ? &before : &after);
        for (size_t at = 0, room; at < in.size;) {
            uint8_t *to = command_split_room(s, &room);
            size_t left = in.size - at, n = left < 65536 ? left : 65536;
            n = n < room ? n : room;
            memcpy(to, in.data + at, n);
            command_split_fed(s, n, 1);
            at += n;
            assert_int_equal(command_split_take(s, &f, &lost), at < in.size ? -EAGAIN : 0);
        }
        assert_ptr_equal(f->data, f->buffer);
        assert_true(f->capacity < 4 * f->size);
        frame_unref(f);
    }
    command_split_get_stats(s, &after);
    assert_int_equal(after.moved, before.moved);
    assert_true(before.moved <= 2 * before.bytes); /* the first grew */
    assert_true(pool_allocations(pool) < 6);
    command_split_free(s);
    pool_free(pool);
    free(in.data);
}

/* Never more than once, however much comes at once. */
static void test_copies_of_bursts(void **state)
{
    (void)state;
    struct bytes in = run(JPEGS);
    for (size_t i = 0; i < STEPS; i++) {
        struct outcome o = split(&in, steps[i]);
        assert_true(o.stats.moved <= o.stats.bytes + (128 << 10));
        free(o.bytes.data);
    }
    free(in.data);
}

/* ---- JPEGs by hand: the walker reads no tables ---- */

#define SOI     "\xFF\xD8"
#define EOI     "\xFF\xD9"
#define SOF     "\xFF\xC0\x00\x0B\x08\x00\x10\x00\x20\x01\x01\x11\x00" /* 32x16 */
#define SOS     "\xFF\xDA\x00\x08\x01\x01\x00\x00\x3F\x00"
#define TEXT(s) (s), sizeof(s) - 1

static void check_hand(const void *text, size_t size, int count, size_t frame_bytes, unsigned lost)
{
    struct bytes in = { 0 };
    append(&in, text, size);
    for (size_t step = 1; step <= size; step++) {
        struct outcome o = split(&in, step);
        assert_int_equal(o.count, count);
        assert_int_equal(o.bytes.size, frame_bytes);
        assert_int_equal(o.lost, lost);
        for (int i = 0; i < count; i++) {
            assert_int_equal(o.piece[i].width, 32);
            assert_int_equal(o.piece[i].height, 16);
        }
        free(o.bytes.data);
    }
    free(in.data);
}

#define PLAIN SOI SOF SOS "data" EOI
#define THUMB SOI SOF SOS "tiny" EOI
#define APP1  "\xFF\xE1\x00\x2B" /* 43 bytes: a thumbnail and 10 more */

static void test_thumbnail(void **state)
{
    (void)state;
    static const char one[] = SOI APP1 "Exif" THUMB "......" SOF SOS "data" EOI;
    static const char two[] = SOI APP1 "Exif" THUMB "......" SOF SOS "data" EOI SOI APP1
                                       "Exif" THUMB "......" SOF SOS "data" EOI;
    assert_int_equal(sizeof THUMB - 1 + 10 + 2, 0x2B);
    check_hand(TEXT(one), 1, sizeof one - 1, 0);
    check_hand(TEXT(two), 2, sizeof two - 1, 0);
}

static void test_coded_data(void **state)
{
    (void)state;
    static const char stuffed[] = SOI SOF SOS
        "a\xFF\0b\xFF\xD0\xFF\0\xFF\xD7\xFF\xFF\xD1z\xFF\xFF" EOI;
    static const char scans[] = SOI SOF SOS "a\xFF\xC4\x00\x04\x01\x02" SOS
                                            "b\xFF\xDC\x00\x04\x00\x10" SOS "c" EOI;
    static const char fill[] = SOI "\xFF\xFF" SOF "\xFF" SOS "a" EOI;
    check_hand(TEXT(stuffed), 1, sizeof stuffed - 1, 0);
    check_hand(TEXT(scans), 1, sizeof scans - 1, 0);
    check_hand(TEXT(fill), 1, sizeof fill - 1, 0);
}

static void test_damage(void **state)
{
    (void)state;
    const size_t whole = sizeof PLAIN - 1;
    /* no EOI: whoever judges frames shall say whether it is whole */
    check_hand(TEXT(SOI SOF SOS "dat" PLAIN), 2, 2 * whole - 3, 0);
    /* cut in a header: the segment reaches into the next picture, which goes with it */
    check_hand(TEXT(SOI "\xFF\xE0\x00\x0A.." PLAIN PLAIN), 1, whole, 0);
    check_hand(TEXT(SOI SOF SOS "d\xFF\x01" PLAIN), 1, whole, 1);
    check_hand(TEXT(SOI SOF SOF SOS "d" EOI PLAIN), 1, whole, 0);
    check_hand(TEXT(SOI SOS "d" EOI PLAIN), 1, whole, 0);
    check_hand(TEXT(SOI EOI PLAIN), 1, whole, 0);
    check_hand(TEXT(SOI SOI PLAIN), 1, whole, 0);
    check_hand(TEXT(SOI "\xFF\xC0\x00\x0B\x08\x00\x00\x00\x20\x01\x01\x11\x00" SOS "d" EOI PLAIN),
               1, whole, 0);
}

static void test_garbage_between(void **state)
{
    (void)state;
    struct bytes in = { 0 };
    append(&in, TEXT("--b\r\n\r\n" PLAIN "\r\n--b\r\nX: \xFF\xD8\xFF\r\n" PLAIN
                     "\0\0\0\xFF\xFF" PLAIN "end"));
    check_hand(in.data, in.size, 3, 3 * (sizeof PLAIN - 1), 0);
    struct outcome o = split(&in, 3);
    assert_int_equal(o.stats.bytes, in.size);
    assert_in_range(o.stats.skipped, 7 + 15 + 5, 7 + 15 + 5 + 3);
    free(o.bytes.data);
    free(in.data);
}

static void test_size_changes(void **state)
{
    (void)state;
    struct bytes in = run(PICTURE "-c:v mjpeg -f mjpeg -"),
                 more = run("ffmpeg -v error -f lavfi -i testsrc2=s=64x48 -frames:v 2 -f mjpeg -");
    append(&in, more.data, more.size);
    struct outcome o = split(&in, 4096);
    assert_int_equal(o.count, 14);
    assert_int_equal(o.piece[11].width, 160);
    assert_int_equal(o.piece[12].width, 64);
    free(o.bytes.data);
    free(in.data);
    free(more.data);
}

/* ---- what is no picture ---- */

static void test_text(void **state)
{
    (void)state;
    struct bytes in = { 0 };
    append(&in, TEXT("no cameras available\n"));
    struct outcome o = split(&in, 4096);
    assert_int_equal(o.code, -EAGAIN);
    assert_true(o.text);
    assert_string_equal(o.what, "text: \"no cameras available\"");
    while (in.size < 2 * COMMAND_MAX_TEXT) {
        append(&in, TEXT("no cameras available\n"));
    }
    o = split(&in, 4096);
    assert_int_equal(o.code, -EBADMSG);
    assert_in_range(o.stats.bytes, COMMAND_MAX_TEXT, COMMAND_MAX_TEXT + 4096);
    free(in.data);
}

static void test_other_streams(void **state)
{
    (void)state;
    static const char *const kinds[][2] = { { "-f mpegts -", "MPEG-TS" },
                                            { "-f matroska -", "Matroska" },
                                            { "-f mpeg -", "an MPEG program stream" } };
    for (size_t i = 0; i < 3; i++) {
        char command[300];
        (void)snprintf(command, sizeof command, PICTURE "-c:v libx264 -preset ultrafast %s 2>&1",
                       kinds[i][0]);
        struct bytes in = run(command);
        for (size_t k = 0; k < STEPS; k++) {
            struct outcome o = split(&in, steps[k]);
            assert_int_equal(o.count, 0);
            assert_string_equal(o.what, kinds[i][1]);
        }
        free(in.data);
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct bytes in = { .data = calloc(1, 48 << 20), .size = 48 << 20 };
    struct outcome o = split(&in, 65536);
    assert_int_equal(o.code, -EBADMSG);
    assert_in_range(o.stats.bytes, COMMAND_MAX_GARBAGE, COMMAND_MAX_GARBAGE + (1 << 20));
    memcpy(in.data, SOI SOF SOS, sizeof SOI SOF SOS - 1);
    o = split(&in, 65536);
    assert_int_equal(o.code, -EMSGSIZE);
    assert_in_range(o.stats.bytes, COMMAND_MAX_FRAME, COMMAND_MAX_FRAME + (1 << 20));
    free(in.data);

    char command[500];
    (void)snprintf(command, sizeof command, UNITS, "-frames:v 1");
    in = run(command);
    size_t unit = in.size;
    in.data = realloc(in.data, 48 << 20);
    in.size = 48 << 20;
    memset(in.data + unit, 0x55, in.size - unit);
    o = split(&in, 65536);
    assert_int_equal(o.code, -EMSGSIZE);
    free(in.data);
}

/* Headers within headers within headers: linear all the same. */
static void test_no_quadratic_walk(void **state)
{
    (void)state;
    struct bytes in = { .data = malloc(12 << 20), .size = 12 << 20 };
    for (size_t i = 0; i + 8 <= in.size; i += 8) {
        memcpy(in.data + i, "\xFF\xE0\x00\x06\xFF\xD8\xFF\xE0", 8);
    }
    memcpy(in.data, SOI, 2);
    struct outcome o = split(&in, 1 << 20);
    assert_int_equal(o.count, 0);
    free(in.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jpegs),
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_capture_time),
        cmocka_unit_test(test_no_copies),
        cmocka_unit_test(test_copies_of_bursts),
        cmocka_unit_test(test_thumbnail),
        cmocka_unit_test(test_coded_data),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_garbage_between),
        cmocka_unit_test(test_size_changes),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_other_streams),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_no_quadratic_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
