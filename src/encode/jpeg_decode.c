/* SPDX-License-Identifier: MIT */
#include "jpeg_decode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>
#include <libyuv.h>

#include "jpeg_lib.h"
#include "pcs/frame.h"
#include "pcs/jpeg_scan.h"
#include "picture.h"

#define LINES_MAX   32 /* of one MCU row: four blocks high at most */
#define STRIDE_UNIT 64

struct jpeg_decoder {
    struct jpeg_decompress_struct d;
    struct jpeg_source_mgr src;
    struct jpeg_lib lib;
    struct pool *pool;
    struct frame *out; /* in the making */
    uint8_t *scratch;  /* chroma of one MCU row, and a line for what lies below the picture */
    size_t scratch_size;
};

static void begin_input(j_decompress_ptr d)
{
    (void)d; /* everything is there from the start */
}

/* The bytes are over: as a decoder of a file would, pretend an EOI. Whether blocks are missing shows
 * in the warnings. */
static boolean end_of_bytes(j_decompress_ptr d)
{
    static const JOCTET eoi[] = { 0xFF, JPEG_EOI };
    d->src->next_input_byte = eoi;
    d->src->bytes_in_buffer = sizeof eoi;
    return TRUE;
}

static void skip_input(j_decompress_ptr d, long n)
{
    struct jpeg_source_mgr *src = d->src;
    if (n <= 0) {
        return;
    }
    if ((size_t)n >= src->bytes_in_buffer) {
        (void)end_of_bytes(d);
        return;
    }
    src->next_input_byte += n;
    src->bytes_in_buffer -= (size_t)n;
}

static void end_input(j_decompress_ptr d)
{
    (void)d;
}

static int create_decompressor(struct jpeg_decoder *d)
{
    if (setjmp(d->lib.escape)) {
        return -ENOMEM;
    }
    d->d.err = &d->lib.err;
    d->d.client_data = &d->lib;
    jpeg_create_decompress(&d->d);
    d->d.client_data = &d->lib;
    jpeg_lib_keep_memory(&d->lib, (j_common_ptr)&d->d);
    d->src = (struct jpeg_source_mgr){ .init_source = begin_input,
                                       .fill_input_buffer = end_of_bytes,
                                       .skip_input_data = skip_input,
                                       .resync_to_restart = jpeg_resync_to_restart,
                                       .term_source = end_input };
    d->d.src = &d->src;
    return 0;
}

struct jpeg_decoder *jpeg_decoder_new(struct pool *pool)
{
    struct jpeg_decoder *d = calloc(1, sizeof *d);
    if (!d) {
        return NULL;
    }
    jpeg_lib_init(&d->lib);
    d->pool = pool;
    if (create_decompressor(d)) {
        jpeg_decoder_free(d);
        return NULL;
    }
    return d;
}

void jpeg_decoder_free(struct jpeg_decoder *d)
{
    if (!d) {
        return;
    }
    jpeg_destroy_decompress(&d->d);
    jpeg_lib_finish(&d->lib);
    frame_unref(d->out);
    free(d->scratch);
    free(d);
}

static void begin_picture(struct jpeg_decoder *d, const uint8_t *data, size_t size)
{
    d->lib.damaged = false;
    d->src.next_input_byte = data;
    d->src.bytes_in_buffer = size;
    (void)jpeg_read_header(&d->d, TRUE); /* FALSE cannot come: input never suspends */
    d->d.dct_method = JDCT_ISLOW;
    d->d.do_fancy_upsampling = FALSE;
}

/* After an error of the library: what it means to the caller. */
static int give_up(struct jpeg_decoder *d)
{
    jpeg_abort_decompress(&d->d);
    frame_unref(d->out);
    d->out = NULL;
    return d->lib.err.msg_code == JERR_OUT_OF_MEMORY ? -ENOMEM : -EBADMSG;
}

static int round_up(int n, int unit)
{
    return (n + unit - 1) / unit * unit;
}

static int make_output(struct jpeg_decoder *d, const struct frame *in)
{
    struct format format = in->format;
    format.id = FORMAT_YU12;
    format.width = (int)d->d.image_width;
    format.height = (int)d->d.image_height;
    format.range = COLOR_RANGE_FULL; /* JFIF */
    format.matrix = COLOR_MATRIX_601;
    d->out = picture_like(d->pool, in, &format);
    return d->out ? 0 : -ENOMEM;
}

/* Bytes of a chroma line as the library writes it: whole blocks; one more block for odd widths. */
static size_t chroma_stride(const struct jpeg_decoder *d)
{
    return (size_t)d->d.comp_info[1].width_in_blocks * DCTSIZE + DCTSIZE;
}

static int make_scratch(struct jpeg_decoder *d)
{
    size_t chroma = d->d.num_components == 3 ? 2 * chroma_stride(d) * LINES_MAX : 0;
    size_t size = chroma + (size_t)round_up((int)d->d.image_width, STRIDE_UNIT);
    if (size <= d->scratch_size) {
        return 0;
    }
    uint8_t *scratch = realloc(d->scratch, size);
    if (!scratch) {
        return -ENOMEM;
    }
    d->scratch = scratch;
    d->scratch_size = size;
    return 0;
}

static bool is_420(const struct jpeg_decoder *d)
{
    const jpeg_component_info *c = d->d.comp_info;
    return c[0].h_samp_factor == 2 && c[0].v_samp_factor == 2 && c[1].h_samp_factor == 1 &&
           c[1].v_samp_factor == 1;
}

static uint8_t *out_line(struct jpeg_decoder *d, int plane, int line)
{
    int height = plane ? (d->out->format.height + 1) / 2 : d->out->format.height;
    if (line >= height) {
        return d->scratch; /* below the picture: nobody looks at it */
    }
    return d->out->buffer + (d->out->plane[plane] - d->out->data) +
           (ptrdiff_t)line * d->out->stride[plane];
}

static uint8_t *chroma_scratch(const struct jpeg_decoder *d, int plane)
{
    size_t line = (size_t)round_up((int)d->d.image_width, STRIDE_UNIT);
    return d->scratch + line + (size_t)(plane - 1) * LINES_MAX * chroma_stride(d);
}

static int at_least_one(int n)
{
    return n < 1 ? 1 : n;
}

/* Half of the luma's size from whatever the picture has, for the lines of one MCU row. */
static void scale_chroma(struct jpeg_decoder *d, int plane, int y)
{
    const jpeg_component_info *c = &d->d.comp_info[plane];
    int width = (d->out->format.width + 1) / 2;
    int lines = d->d.max_v_samp_factor * DCTSIZE / 2;
    int room = (d->out->format.height + 1) / 2 - y / 2;
    lines = room < lines ? room : lines;
    /* Whole ratios, whatever the size: the blocks go beyond the picture's edge. */
    int from_width = at_least_one(width * 2 * c->h_samp_factor / d->d.max_h_samp_factor);
    int from_lines = at_least_one(lines * 2 * c->v_samp_factor / d->d.max_v_samp_factor);
    (void)ScalePlane(chroma_scratch(d, plane), (int)chroma_stride(d), from_width, from_lines,
                     out_line(d, plane, y / 2), d->out->stride[plane], width, lines,
                     from_width == width ? kFilterBilinear : kFilterBox);
}

static void decode_lines(struct jpeg_decoder *d, int y, bool direct)
{
    JSAMPROW row[3][LINES_MAX];
    JSAMPARRAY planes[3] = { row[0], row[1], row[2] };
    int lines = d->d.max_v_samp_factor * DCTSIZE;
    for (int k = 0; k < lines; k++) {
        row[0][k] = out_line(d, 0, y + k);
    }
    for (int i = 1; i < d->d.num_components; i++) {
        for (int k = 0; k < d->d.comp_info[i].v_samp_factor * DCTSIZE; k++) {
            row[i][k] = direct ? out_line(d, i, y / 2 + k)
                               : chroma_scratch(d, i) + (size_t)k * chroma_stride(d);
        }
    }
    (void)jpeg_read_raw_data(&d->d, planes, (JDIMENSION)lines);
    for (int i = 1; i < d->d.num_components && !direct; i++) {
        scale_chroma(d, i, y);
    }
}

static void fill_grey(struct frame *out)
{
    for (int i = 1; i < 3; i++) {
        size_t size = (size_t)out->stride[i] * (size_t)((out->format.height + 1) / 2);
        memset(out->buffer + (out->plane[i] - out->data), 128, size);
    }
}

static int decode_lines_all(struct jpeg_decoder *d)
{
    bool direct = d->d.num_components == 3 && is_420(d);
    (void)jpeg_start_decompress(&d->d);
    while (d->d.output_scanline < d->d.output_height) {
        decode_lines(d, (int)d->d.output_scanline, direct);
    }
    if (d->d.num_components == 1) {
        fill_grey(d->out);
    }
    (void)jpeg_finish_decompress(&d->d);
    return d->lib.damaged ? -EBADMSG : 0;
}

static bool is_yuv(const struct jpeg_decoder *d)
{
    J_COLOR_SPACE space = d->d.jpeg_color_space;
    const jpeg_component_info *c = d->d.comp_info;
    return space == JCS_GRAYSCALE ||
           (space == JCS_YCbCr && c[0].h_samp_factor == d->d.max_h_samp_factor &&
            c[0].v_samp_factor == d->d.max_v_samp_factor &&
            c[1].h_samp_factor == c[2].h_samp_factor && c[1].v_samp_factor == c[2].v_samp_factor);
}

static int decode_picture(struct jpeg_decoder *d, const struct frame *in)
{
    if (setjmp(d->lib.escape)) {
        return give_up(d);
    }
    begin_picture(d, in->data, in->size);
    int rc = is_yuv(d) ? make_output(d, in) : -ENOTSUP;
    rc = rc ? rc : make_scratch(d);
    if (rc) {
        jpeg_abort_decompress(&d->d);
        return rc;
    }
    d->d.raw_data_out = TRUE;
    return decode_lines_all(d);
}

int jpeg_decode(struct jpeg_decoder *d, const struct frame *in, struct frame **out)
{
    struct jpeg_info info;
    int rc = jpeg_scan(in->data, in->size, &info); /* also bounds the size */
    if (!rc) {
        rc = decode_picture(d, in);
    }
    if (rc) {
        frame_unref(d->out);
    } else {
        *out = d->out;
    }
    d->out = NULL;
    return rc;
}

static int check_lines(struct jpeg_decoder *d)
{
    uint8_t line[FORMAT_MAX_SIZE / DCTSIZE + DCTSIZE];
    JSAMPROW row = line;
    d->d.scale_num = 1;
    d->d.scale_denom = DCTSIZE;
    d->d.out_color_space = JCS_GRAYSCALE; /* the other components are still parsed */
    (void)jpeg_start_decompress(&d->d);
    while (d->d.output_scanline < d->d.output_height) {
        (void)jpeg_read_scanlines(&d->d, &row, 1);
    }
    (void)jpeg_finish_decompress(&d->d);
    return d->lib.damaged ? -EBADMSG : 0;
}

int jpeg_check(struct jpeg_decoder *d, const uint8_t *data, size_t size)
{
    struct jpeg_info info;
    int rc = jpeg_scan(data, size, &info);
    if (rc) {
        return rc;
    }
    if (setjmp(d->lib.escape)) {
        return give_up(d);
    }
    begin_picture(d, data, size);
    d->d.raw_data_out = FALSE;
    if (is_yuv(d)) {
        return check_lines(d);
    }
    jpeg_abort_decompress(&d->d);
    return -ENOTSUP;
}
