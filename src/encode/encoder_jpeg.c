/* SPDX-License-Identifier: MIT */
/*
 * A large picture is cut into horizontal stripes that several cores compress at once, each to a JPEG
 * of its own, and joined into one ordinary baseline JPEG: the first stripe's header, with the height
 * of the whole, and the stripes' entropy-coded data with a restart marker (T.81, E.1.4) at each seam.
 * All use the same tables, and a restart resets exactly the state that crosses a seam, so the result
 * decodes to the same samples as if it had been compressed in one piece.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "encoder.h"
#include "jpeg_stripe.h"
#include "pcs/frame.h"
#include "pcs/pool.h"
#include "workers.h"

#define MAX_STRIPES       16
#define MAX_THREADS       4
#define STRIPE_MIN_PIXELS (1280 * 360) /* below this waking a thread is not worth it */
#define RESTART_MAX       65535        /* DRI holds 16 bits */
#define M_SOF0            0xC0
#define M_RST0            0xD0
#define M_SOS             0xDA

struct encoder {
    struct pool *pool;
    struct workers *workers;
    atomic_int quality;     /* wanted */
    int quality_set;        /* in the stripes */
    size_t guess;           /* bytes of the next picture */
    const struct frame *in; /* of the job at hand */
    int count;
    struct jpeg_stripe stripe[MAX_STRIPES];
};

static int clamp(int v, int low, int high)
{
    return v < low ? low : v > high ? high : v;
}

/* MCUs in 16 lines: two rows of 8x8 for grey. */
static int mcus_of_rows(const struct format *f)
{
    return f->id == FORMAT_GREY ? (f->width + 7) / 8 * 2 : (f->width + 15) / 16;
}

/* Height of all stripes but the last, in steps of 16 lines: for `threads`, within what DRI can say. */
static int stripe_rows(const struct format *f, int threads)
{
    int rows = (f->height + 15) / 16;
    int64_t pixels = (int64_t)f->width * f->height;
    int most = clamp((int)(pixels / STRIPE_MIN_PIXELS), 1, MAX_STRIPES);
    int wanted = threads > 1 ? clamp(threads, 1, most) : 1;
    int each = (rows + wanted - 1) / wanted;
    return wanted > 1 ? clamp(each, 1, RESTART_MAX / mcus_of_rows(f)) : each;
}

static int open_stripes(struct encoder *e, const struct format *f, int threads)
{
    int rows = stripe_rows(f, threads);
    bool several = rows * 16 < f->height;
    unsigned restart = several ? (unsigned)(rows * mcus_of_rows(f)) : 0;
    for (int y = 0; y < f->height; y += rows * 16) {
        int left = f->height - y;
        int height = left < rows * 16 ? left : rows * 16;
        int rc = jpeg_stripe_init(&e->stripe[e->count++], e->pool, f, y, height, y ? 0 : restart);
        if (rc) {
            return rc;
        }
    }
    e->workers = workers_new(several ? threads - 1 : 0);
    return e->workers ? 0 : -ENOMEM;
}

static void encoder_close(struct encoder *e)
{
    if (!e) {
        return;
    }
    workers_free(e->workers);
    for (int i = 0; i < e->count; i++) {
        jpeg_stripe_finish(&e->stripe[i]);
    }
    free(e);
}

static int encoder_open(struct encoder **out, const struct encode_config *config,
                        const struct format *in, struct pool *pool, struct err *err)
{
    struct encoder *e = calloc(1, sizeof *e);
    if (!e) {
        return err_set(err, -ENOMEM, "JPEG encoder: out of memory");
    }
    e->pool = pool;
    e->guess = (size_t)in->width * (size_t)in->height / 4 + 1024;
    atomic_init(&e->quality, clamp((int)config->quality, 1, 100));
    int threads = config->threads > 0 ? config->threads : workers_cores(MAX_THREADS);
    int rc = open_stripes(e, in, threads);
    if (rc) {
        encoder_close(e);
        return err_set(err, rc, "JPEG encoder for %dx%d: %s", in->width, in->height, err_text(rc));
    }
    *out = e;
    return 0;
}

static void encode_part(void *arg, int index)
{
    struct encoder *e = arg;
    jpeg_stripe_encode(&e->stripe[index], e->in);
}

/* Offset behind the first SOS segment, and of SOF0, in a header the library wrote. */
static size_t find_scan(const struct frame *jpeg, size_t *sof)
{
    size_t at = 2;
    for (int marker = 0; marker != M_SOS;) {
        marker = jpeg->data[at + 1];
        *sof = marker == M_SOF0 ? at : *sof;
        at += 2 + (size_t)(jpeg->data[at + 2] << 8 | jpeg->data[at + 3]);
    }
    return at;
}

/* Append stripe `index`: its restart marker in place of the EOI before it, its scan, its EOI. */
static void append_stripe(struct frame *to, const struct frame *stripe, int index)
{
    size_t sof;
    size_t scan = find_scan(stripe, &sof);
    uint8_t *p = to->buffer + to->size - 1;
    *p++ = (uint8_t)(M_RST0 + ((index - 1) & 7));
    memcpy(p, stripe->data + scan, stripe->size - scan);
    to->size += stripe->size - scan;
}

static void patch_height(struct frame *jpeg, int height)
{
    size_t sof = 0;
    (void)find_scan(jpeg, &sof);
    jpeg->buffer[sof + 5] = (uint8_t)(height >> 8);
    jpeg->buffer[sof + 6] = (uint8_t)height;
}

/* The first stripe's frame with room for all of them. */
static struct frame *make_room(struct encoder *e, size_t total)
{
    struct frame *first = e->stripe[0].out;
    if (first->capacity >= total) {
        return first;
    }
    struct frame *bigger = pool_get(e->pool, total);
    if (!bigger) {
        return NULL;
    }
    memcpy(bigger->buffer, first->buffer, first->size);
    bigger->size = first->size;
    frame_unref(first);
    e->stripe[0].out = bigger;
    return bigger;
}

static struct frame *join_stripes(struct encoder *e, int height)
{
    size_t total = 0;
    for (int i = 0; i < e->count; i++) {
        total += e->stripe[i].out->size;
    }
    struct frame *joined = e->count > 1 ? make_room(e, total) : e->stripe[0].out;
    if (!joined) {
        return NULL;
    }
    for (int i = 1; i < e->count; i++) {
        append_stripe(joined, e->stripe[i].out, i);
    }
    if (e->count > 1) {
        patch_height(joined, height);
    }
    e->stripe[0].out = NULL;
    return joined;
}

/* Sizes change slowly: an eighth above the last one, falling by a sixteenth at most. */
static size_t next_guess(size_t guess, size_t size)
{
    size_t wish = size + size / 8;
    size_t floor = guess - guess / 16;
    return wish > floor ? wish : floor;
}

static void prepare(struct encoder *e)
{
    int quality = atomic_load_explicit(&e->quality, memory_order_relaxed);
    for (int i = 0; i < e->count && quality != e->quality_set; i++) {
        jpeg_stripe_set_quality(&e->stripe[i], quality);
    }
    e->quality_set = quality;
    e->stripe[0].guess = e->guess; /* it takes the others in */
}

static void finish_parts(struct encoder *e)
{
    for (int i = 0; i < e->count; i++) {
        struct jpeg_stripe *s = &e->stripe[i];
        if (s->out) {
            s->guess = next_guess(s->guess, s->out->size);
        }
        frame_unref(s->out);
        s->out = NULL;
    }
}

static int encode_parts(struct encoder *e, const struct frame *in, struct frame **out)
{
    int rc = 0;
    e->in = in;
    workers_run(e->workers, encode_part, e, e->count);
    for (int i = 0; i < e->count; i++) {
        rc = rc ? rc : e->stripe[i].rc;
    }
    if (!rc) {
        *out = join_stripes(e, in->format.height);
        rc = *out ? 0 : -ENOMEM;
    }
    finish_parts(e);
    return rc;
}

static int encoder_encode(struct encoder *e, const struct frame *in, bool key, struct frame **out)
{
    (void)key; /* every JPEG is one */
    struct frame *jpeg = NULL;
    prepare(e);
    int rc = encode_parts(e, in, &jpeg);
    if (rc) {
        return rc;
    }
    e->guess = next_guess(e->guess, jpeg->size);
    frame_copy_meta(jpeg, in);
    jpeg->format.id = FORMAT_JPEG;
    jpeg->format.range = COLOR_RANGE_FULL;
    jpeg->format.matrix = COLOR_MATRIX_601;
    jpeg->flags = (jpeg->flags & FRAME_STANDBY) | FRAME_KEY;
    *out = jpeg;
    return 0;
}

static void encoder_set_quality(struct encoder *e, int quality)
{
    atomic_store_explicit(&e->quality, clamp(quality, 1, 100), memory_order_relaxed);
}

static const char *encoder_name(const struct encoder *e)
{
    (void)e;
    return "libjpeg-turbo";
}

const struct encoder_backend encoder_jpeg = {
    .name = "jpeg",
    .output = FORMAT_JPEG,
    .accepts = encoder_reads,
    .open = encoder_open,
    .encode = encoder_encode,
    .set_quality = encoder_set_quality,
    .describe = encoder_name,
    .close = encoder_close,
};
