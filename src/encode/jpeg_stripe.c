/* SPDX-License-Identifier: MIT */
#include "jpeg_stripe.h"

#include <errno.h>
#include <string.h>

#include <jerror.h>

#include "pcs/frame.h"
#include "pcs/pool.h"

static void point_dest(struct jpeg_stripe *s, size_t used)
{
    s->dest.next_output_byte = s->out->buffer + used;
    s->dest.free_in_buffer = s->out->capacity - used;
}

static void begin_output(j_compress_ptr c)
{
    (void)c; /* jpeg_stripe_encode has done it */
}

/* The guess was too small: go on in a buffer of twice the size. */
static boolean grow_output(j_compress_ptr c)
{
    struct jpeg_lib *lib = c->client_data;
    struct jpeg_stripe *s = (struct jpeg_stripe *)((char *)lib - offsetof(struct jpeg_stripe, lib));
    size_t used = s->out->capacity; /* the library means the whole buffer, whatever is "free" */
    struct frame *bigger = pool_get(s->pool, used * 2);
    if (!bigger) {
        ERREXIT1(c, JERR_OUT_OF_MEMORY, 0);
    }
    memcpy(bigger->buffer, s->out->buffer, used);
    frame_unref(s->out);
    s->out = bigger;
    point_dest(s, used);
    return TRUE;
}

static void end_output(j_compress_ptr c)
{
    struct jpeg_lib *lib = c->client_data;
    struct jpeg_stripe *s = (struct jpeg_stripe *)((char *)lib - offsetof(struct jpeg_stripe, lib));
    s->out->size = s->out->capacity - s->dest.free_in_buffer;
}

static void set_parameters(struct jpeg_stripe *s, const struct format *format, unsigned restart)
{
    struct jpeg_compress_struct *c = &s->c;
    bool grey = format->id == FORMAT_GREY;
    c->image_width = (JDIMENSION)format->width;
    c->image_height = (JDIMENSION)s->height;
    c->input_components = grey ? 1 : 3;
    c->in_color_space = grey ? JCS_GRAYSCALE : JCS_YCbCr;
    jpeg_set_defaults(c); /* also sets 4:2:0 */
    c->raw_data_in = TRUE;
    c->dct_method = JDCT_ISLOW;
    c->restart_interval = restart;
}

/* The part of init that the library may leave by a jump. */
static int create_compressor(struct jpeg_stripe *s, const struct format *format, unsigned restart)
{
    if (setjmp(s->lib.escape)) {
        return -ENOMEM;
    }
    s->c.err = &s->lib.err;
    s->c.client_data = &s->lib;
    jpeg_create_compress(&s->c);
    s->c.client_data = &s->lib; /* older versions clear it */
    jpeg_lib_keep_memory(&s->lib, (j_common_ptr)&s->c);
    s->dest = (struct jpeg_destination_mgr){ .init_destination = begin_output,
                                             .empty_output_buffer = grow_output,
                                             .term_destination = end_output };
    s->c.dest = &s->dest;
    set_parameters(s, format, restart);
    return 0;
}

int jpeg_stripe_init(struct jpeg_stripe *s, struct pool *pool, const struct format *format, int y,
                     int height, unsigned restart)
{
    memset(s, 0, sizeof *s);
    jpeg_lib_init(&s->lib);
    s->pool = pool;
    s->y = y;
    s->height = height;
    s->guess = (size_t)format->width * (size_t)height / 4 + 1024;
    int rc = jpeg_rows_init(&s->rows, format);
    return rc ? rc : create_compressor(s, format, restart);
}

void jpeg_stripe_finish(struct jpeg_stripe *s)
{
    jpeg_destroy_compress(&s->c);
    jpeg_lib_finish(&s->lib);
    jpeg_rows_finish(&s->rows);
    frame_unref(s->out);
    s->out = NULL;
}

void jpeg_stripe_set_quality(struct jpeg_stripe *s, int quality)
{
    jpeg_set_quality(&s->c, quality, TRUE);
}

static void write_lines(struct jpeg_stripe *s, const struct frame *in)
{
    JSAMPARRAY planes[3] = { s->rows.row[0], s->rows.row[1], s->rows.row[2] };
    JDIMENSION step = s->rows.planes == 1 ? DCTSIZE : 2 * DCTSIZE; /* lines the library takes */
    for (int y = 0; y < s->height; y += JPEG_ROWS) {
        jpeg_rows_fill(&s->rows, in, s->y + y);
        planes[0] = s->rows.row[0];
        for (int k = 0; k < JPEG_ROWS && y + k < s->height; k += (int)step) {
            planes[0] = s->rows.row[0] + k;
            (void)jpeg_write_raw_data(&s->c, planes, step);
        }
    }
}

void jpeg_stripe_encode(struct jpeg_stripe *s, const struct frame *in)
{
    s->out = pool_get(s->pool, s->guess);
    if (!s->out) {
        s->rc = -ENOMEM;
        return;
    }
    if (setjmp(s->lib.escape)) {
        jpeg_abort_compress(&s->c);
        frame_unref(s->out);
        s->out = NULL;
        s->rc = s->lib.err.msg_code == JERR_OUT_OF_MEMORY ? -ENOMEM : -EIO;
        return;
    }
    point_dest(s, 0);
    jpeg_start_compress(&s->c, TRUE);
    write_lines(s, in);
    jpeg_finish_compress(&s->c);
    s->rc = 0;
}
