/* SPDX-License-Identifier: MIT */
#include "prepare.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "convert.h"
#include "encoder.h"
#include "jpeg_decode.h"
#include "overlay.h"
#include "pcs/frame.h"
#include "pcs/log.h"
#include "pcs/pool.h"
#include "picture.h"
#include "turn.h"

struct prepare {
    struct pool *pool;
    struct jpeg_decoder *decoder; /* made at the first JPEG */
    struct overlay *overlay;      /* NULL = none */

    pthread_mutex_t lock; /* guards what follows */
    bool changed;
    struct overlay *next; /* takes the place of `overlay` when changed */
};

/* ---- the overlay, from any thread ---- */

static bool is_text(const char *overlay)
{
    return overlay && *overlay;
}

void prepare_set_overlay(struct prepare *p, const char *overlay)
{
    struct overlay *next = is_text(overlay) ? overlay_new(overlay) : NULL;
    if (is_text(overlay) && !next) {
        log_error("overlay: out of memory; it stays as it was");
        return;
    }
    pthread_mutex_lock(&p->lock);
    struct overlay *unused = p->next;
    p->next = next;
    p->changed = true;
    pthread_mutex_unlock(&p->lock);
    overlay_free(unused);
}

static void take_change(struct prepare *p)
{
    struct overlay *old = NULL;
    pthread_mutex_lock(&p->lock);
    if (p->changed) {
        old = p->overlay;
        p->overlay = p->next;
        p->next = NULL;
        p->changed = false;
    }
    pthread_mutex_unlock(&p->lock);
    overlay_free(old);
}

struct prepare *prepare_new(struct pool *pool, const char *overlay)
{
    struct prepare *p = calloc(1, sizeof *p);
    if (!p) {
        return NULL;
    }
    pthread_mutex_init(&p->lock, NULL);
    p->pool = pool;
    p->overlay = is_text(overlay) ? overlay_new(overlay) : NULL;
    if (is_text(overlay) && !p->overlay) {
        prepare_free(p);
        return NULL;
    }
    return p;
}

void prepare_free(struct prepare *p)
{
    if (!p) {
        return;
    }
    jpeg_decoder_free(p->decoder);
    overlay_free(p->overlay);
    overlay_free(p->next);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* ---- what has to be done ---- */

static bool is_read(enum format_id id)
{
    return encoder_reads(id) || format_info(id)->compressed;
}

static bool will_write(const struct prepare *p)
{
    struct prepare *m = (struct prepare *)p; /* the lock is not part of what const promises */
    pthread_mutex_lock(&m->lock);
    bool text = (p->changed ? p->next : p->overlay) != NULL;
    pthread_mutex_unlock(&m->lock);
    return text;
}

bool prepare_changes(const struct prepare *p, const struct format *in)
{
    return in->id != FORMAT_H264 && (in->transform || !is_read(in->id) || will_write(p));
}

static struct format upright_format(const struct format *in, unsigned transform)
{
    struct format f = *in;
    f.id = FORMAT_YU12;
    f.transform = 0;
    if (transform & TRANSFORM_ROTATE) {
        f.width = in->height;
        f.height = in->width;
    }
    if (in->id == FORMAT_JPEG || convert_is_rgb(in->id)) {
        f.range = in->id == FORMAT_JPEG ? COLOR_RANGE_FULL : COLOR_RANGE_LIMITED;
        f.matrix = COLOR_MATRIX_601;
    }
    return f;
}

struct format prepare_format(const struct prepare *p, const struct format *in)
{
    return prepare_changes(p, in) ? upright_format(in, in->transform) : *in;
}

/* ---- doing it ---- */

static struct yu12 yu12_of(struct frame *f)
{
    return (struct yu12){ .y = f->buffer + (f->plane[0] - f->data),
                          .u = f->buffer + (f->plane[1] - f->data),
                          .v = f->buffer + (f->plane[2] - f->data),
                          .stride_y = f->stride[0],
                          .stride_uv = f->stride[1] };
}

static int turn(struct prepare *p, const struct raw_view *from, unsigned transform,
                const struct yu12 *to)
{
    struct frame *scratch = pool_get(p->pool, turn_scratch_size(from->width));
    if (!scratch) {
        return -ENOMEM;
    }
    int rc = turn_to_yu12(from, transform, to, scratch->buffer);
    frame_unref(scratch);
    return rc;
}

/* A raw picture as an upright YU12 of our own. */
static int make_upright(struct prepare *p, const struct frame *in, unsigned transform,
                        struct frame **out)
{
    struct format format = upright_format(&in->format, transform);
    struct raw_view from = raw_view_of(in);
    if (format_info(in->format.id)->planes == 0) {
        return -EINVAL;
    }
    struct frame *picture = picture_like(p->pool, in, &format);
    if (!picture) {
        return -ENOMEM;
    }
    struct yu12 to = yu12_of(picture);
    int rc = transform ? turn(p, &from, transform, &to) : convert_to_yu12(&from, &to);
    if (rc) {
        frame_unref(picture);
        return rc;
    }
    *out = picture;
    return 0;
}

static int decode(struct prepare *p, const struct frame *in, struct frame **out)
{
    if (!p->decoder) {
        p->decoder = jpeg_decoder_new(p->pool);
    }
    int rc = p->decoder ? jpeg_decode(p->decoder, in, out) : -ENOMEM;
    if (rc == 0) {
        (*out)->format.transform = 0;
    }
    return rc == -ENOTSUP ? -EBADMSG : rc;
}

static int decode_upright(struct prepare *p, const struct frame *in, unsigned transform,
                          struct frame **out)
{
    struct frame *decoded = NULL;
    int rc = decode(p, in, &decoded);
    if (rc || !transform) {
        *out = decoded;
        return rc;
    }
    rc = make_upright(p, decoded, transform, out);
    frame_unref(decoded);
    return rc;
}

int prepare_picture(struct prepare *p, const struct frame *in, const struct frame **out)
{
    take_change(p);
    unsigned transform = in->flags & FRAME_STANDBY ? 0 : in->format.transform;
    bool as_it_is = !transform && !p->overlay && is_read(in->format.id);
    if (as_it_is || in->format.id == FORMAT_H264) {
        *out = frame_ref(in);
        return 0;
    }
    struct frame *picture = NULL;
    int rc =
        (in->format.id == FORMAT_JPEG ? decode_upright : make_upright)(p, in, transform, &picture);
    if (rc) {
        return rc;
    }
    if (p->overlay) {
        struct yu12 on = yu12_of(picture);
        overlay_draw(p->overlay, &on, picture->format.width, picture->format.height, in->wall_us);
    }
    *out = picture;
    return 0;
}
