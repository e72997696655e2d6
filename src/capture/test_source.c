/* SPDX-License-Identifier: MIT */
/*
 * The `test` source: a camera made of arithmetic. Frames are due at start + n / rate on the monotonic
 * clock, so the pace is right over hours; who comes late gets the newest, and the rest are lost, as
 * with a real one.
 */
#include <errno.h>
#include <libyuv.h>
#include <stdlib.h>
#include <unistd.h>

#include "capture/source.h"
#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/log.h"
#include "pace.h"
#include "pcs/pool.h"
#include "test_picture.h"

struct source {
    struct format format;
    struct stop *stop;
    struct test_picture *picture;
    struct pool *pool;
    uint8_t *canvas; /* I420, for formats made from it; NULL: painted in place */
    size_t frame_size;
    int timer;
    int64_t start_us;
    struct wall_clock wall;
    int64_t tick; /* of the next frame */
    uint32_t number;
};

static void pick_size(const struct source_wish *wish, struct format *f)
{
    f->width = wish->width;
    f->height = wish->height;
    if (f->width == 0 && f->height == 0) {
        f->width = 1280;
    }
    if (f->height == 0) {
        f->height = (f->width * 9 / 16) & ~1;
    }
    if (f->width == 0) {
        f->width = (f->height * 16 / 9) & ~1;
    }
}

static bool packed_rgb(enum format_id id)
{
    return id == FORMAT_RGB24 || (id >= FORMAT_BGR24 && id <= FORMAT_RGB16);
}

static int pick_format(const struct source_wish *wish, struct format *f, struct err *err)
{
    *f = (struct format){
        .id = wish->format ? wish->format : FORMAT_YU12,
        .fps_num = wish->fps ? wish->fps : 30,
        .fps_den = 1,
        .range = COLOR_RANGE_LIMITED,
        .matrix = COLOR_MATRIX_601,
    };
    pick_size(wish, f);
    if (packed_rgb(f->id)) {
        f->range = COLOR_RANGE_FULL;
    }
    if (format_info(f->id)->compressed) {
        return err_set(err, -EINVAL, "--format %s: the test source makes raw pictures only",
                       format_info(f->id)->name);
    }
    if (f->width < 16 || f->height < 16 || f->width > FORMAT_MAX_SIZE ||
        f->height > FORMAT_MAX_SIZE) {
        return err_set(err, -EINVAL, "test source: %dx%d: allowed are 16x16 to %dx%d", f->width,
                       f->height, FORMAT_MAX_SIZE, FORMAT_MAX_SIZE);
    }
    return 0;
}

static void test_close(struct source *s)
{
    if (!s) {
        return;
    }
    if (s->timer >= 0) {
        close(s->timer);
    }
    pool_free(s->pool);
    test_picture_free(s->picture);
    free(s->canvas);
    free(s);
}

static size_t layout_size(const struct format *f)
{
    size_t offset[FORMAT_MAX_PLANES];
    int stride[FORMAT_MAX_PLANES];
    return format_layout(f, 0, offset, stride);
}

static int make_parts(struct source *s)
{
    struct format i420 = s->format;
    i420.id = FORMAT_YU12;
    s->timer = pace_timer();
    if (s->timer < 0) {
        return s->timer;
    }
    s->frame_size = layout_size(&s->format);
    s->picture = test_picture_new(s->format.width, s->format.height);
    s->pool = pool_new(8 * s->frame_size + (1 << 20));
    bool in_place = s->format.id == FORMAT_YU12 || s->format.id == FORMAT_YV12 ||
                    s->format.id == FORMAT_GREY;
    s->canvas = in_place ? NULL : malloc(layout_size(&i420));
    return s->picture && s->pool && (in_place || s->canvas) ? 0 : -ENOMEM;
}

static int test_open(struct source **out, const struct source_wish *wish, const void *config,
                     struct stop *stop, struct format *format, struct err *err)
{
    (void)config; /* it has no options */
    struct source *s = calloc(1, sizeof *s);
    if (!s) {
        return err_set(err, -ENOMEM, "test source: out of memory");
    }
    s->timer = -1;
    s->stop = stop;
    int code = pick_format(wish, &s->format, err);
    if (code == 0 && (code = make_parts(s)) < 0) {
        (void)err_set(err, code, "test source: %s", err_text(code));
    }
    if (code < 0) {
        test_close(s);
        return code;
    }
    char text[64];
    log_info("test source: %s", format_describe(&s->format, text, sizeof text));
    s->start_us = clock_now_us();
    *format = s->format;
    *out = s;
    return 0;
}

static int64_t due_us(const struct source *s, int64_t tick)
{
    return s->start_us + tick * CLOCK_S * s->format.fps_den / s->format.fps_num;
}

/* The tick to make now: the next one, or the newest when we are late. */
static int wait_for_tick(struct source *s, unsigned *lost)
{
    int64_t now_us = clock_now_us();
    int64_t newest = (now_us - s->start_us) * s->format.fps_num / (CLOCK_S * s->format.fps_den);
    if (newest > s->tick) {
        *lost += (unsigned)(newest - s->tick);
        s->tick = newest;
    }
    return pace_wait(s->timer, s->stop, due_us(s, s->tick));
}

static struct test_planes canvas_planes(const struct source *s, const struct frame *frame)
{
    struct format i420 = s->format;
    i420.id = FORMAT_YU12;
    size_t offset[FORMAT_MAX_PLANES];
    int stride[FORMAT_MAX_PLANES];
    (void)format_layout(&i420, 0, offset, stride); /* was asked at open */
    uint8_t *base = s->canvas ? s->canvas : frame->buffer;
    bool grey = s->format.id == FORMAT_GREY, v_first = s->format.id == FORMAT_YV12;
    return (struct test_planes){
        .y = base,
        .u = grey ? NULL : base + offset[v_first ? 2 : 1],
        .v = grey ? NULL : base + offset[v_first ? 1 : 2],
        .stride_y = stride[0],
        .stride_uv = stride[1],
    };
}

/* Packed layouts: libyuv's names are those of a little-endian word, ours those of the bytes. */
static int (*packer(enum format_id id))(const uint8_t *, int, const uint8_t *, int, const uint8_t *,
                                        int, uint8_t *, int, int, int)
{
    switch (id) {
    case FORMAT_YUYV:
    case FORMAT_YVYU:
        return I420ToYUY2;
    case FORMAT_UYVY:
    case FORMAT_VYUY:
        return I420ToUYVY;
    case FORMAT_RGB24:
        return I420ToRAW;
    case FORMAT_BGR24:
        return I420ToRGB24;
    case FORMAT_BGRX:
        return I420ToARGB;
    case FORMAT_RGBX:
        return I420ToABGR;
    case FORMAT_RGB16:
        return I420ToRGB565;
    default:
        return NULL;
    }
}

/* The same chroma for two lines. */
static void merge_422(const struct test_planes *from, uint8_t *to, int stride, int width,
                      int height)
{
    int suv = from->stride_uv, half = (width + 1) / 2;
    MergeUVPlane(from->u, suv, from->v, suv, to, 2 * stride, half, (height + 1) / 2);
    MergeUVPlane(from->u, suv, from->v, suv, to + stride, 2 * stride, half, height / 2);
}

static void convert_planes(const struct test_planes *from, struct frame *frame)
{
    int width = frame->format.width, height = frame->format.height;
    uint8_t *to[FORMAT_MAX_PLANES];
    for (int i = 0; i < FORMAT_MAX_PLANES; i++) {
        to[i] = frame->plane[i] ? frame->buffer + (frame->plane[i] - frame->data) : NULL;
    }
    CopyPlane(from->y, from->stride_y, to[0], frame->stride[0], width, height);
    if (frame->format.id == FORMAT_422P) {
        I420ToI422(from->y, from->stride_y, from->u, from->stride_uv, from->v, from->stride_uv,
                   to[0], frame->stride[0], to[1], frame->stride[1], to[2], frame->stride[2], width,
                   height);
    } else if (frame->format.id == FORMAT_NV16) {
        merge_422(from, to[1], frame->stride[1], width, height);
    } else {
        MergeUVPlane(from->u, from->stride_uv, from->v, from->stride_uv, to[1], frame->stride[1],
                     (width + 1) / 2, (height + 1) / 2);
    }
}

static void convert(const struct source *s, const struct test_planes *painted, struct frame *frame)
{
    enum format_id id = s->format.id;
    struct test_planes from = *painted;
    if (id == FORMAT_YVYU || id == FORMAT_VYUY || id == FORMAT_NV21) {
        from.u = painted->v;
        from.v = painted->u;
    }
    if (!s->canvas) {
        return; /* painted in place */
    }
    if (!packer(id)) {
        convert_planes(&from, frame);
        return;
    }
    packer(id)(from.y, from.stride_y, from.u, from.stride_uv, from.v, from.stride_uv, frame->buffer,
               frame->stride[0], s->format.width, s->format.height);
}

static void paint(struct source *s, struct frame *frame)
{
    struct test_planes planes = canvas_planes(s, frame);
    int64_t wall_us = wall_clock_at(&s->wall, frame->capture_us);
    test_picture_draw(s->picture, &planes, ++s->number, frame->capture_us - s->start_us,
                      frame->capture_us, wall_us);
    convert(s, &planes, frame);
}

static int test_next(struct source *s, const struct frame **out, unsigned *lost, struct err *err)
{
    int code = wait_for_tick(s, lost);
    if (code < 0) {
        return code;
    }
    struct frame *frame = pool_get(s->pool, s->frame_size);
    if (!frame) {
        return err_set(err, -ENOMEM, "test source: out of memory");
    }
    frame->format = s->format;
    frame->flags = FRAME_KEY;
    frame->data = frame->buffer;
    frame->size = s->frame_size;
    frame->capture_us = due_us(s, s->tick++);
    (void)frame_set_planes(frame, 0); /* its size is the layout's */
    paint(s, frame);
    *out = frame;
    return 0;
}

const struct source_backend source_test = {
    .name = "test",
    .open = test_open,
    .next = test_next,
    .close = test_close,
};
