/* SPDX-License-Identifier: MIT */
#include "pcs/format.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define FOURCC FORMAT_FOURCC

/* Names and layouts as in the kernel's V4L2 documentation, "Image Formats". */
static const struct format_info table[FORMAT_COUNT] = {
    [FORMAT_NONE] = { .name = "none" },
    [FORMAT_YUYV] = { .name = "YUYV",
                      .fourcc = FOURCC('Y', 'U', 'Y', 'V'),
                      .planes = 1,
                      .bytes_per_sample = { 2 } },
    [FORMAT_UYVY] = { .name = "UYVY",
                      .fourcc = FOURCC('U', 'Y', 'V', 'Y'),
                      .planes = 1,
                      .bytes_per_sample = { 2 } },
    [FORMAT_NV12] = { .name = "NV12",
                      .fourcc = FOURCC('N', 'V', '1', '2'),
                      .fourcc_planes = FOURCC('N', 'M', '1', '2'),
                      .planes = 2,
                      .plane_shift_x = { 0, 1 },
                      .plane_shift_y = { 0, 1 },
                      .bytes_per_sample = { 1, 2 } },
    [FORMAT_YU12] = { .name = "YU12",
                      .fourcc = FOURCC('Y', 'U', '1', '2'),
                      .fourcc_planes = FOURCC('Y', 'M', '1', '2'),
                      .planes = 3,
                      .plane_shift_x = { 0, 1, 1 },
                      .plane_shift_y = { 0, 1, 1 },
                      .bytes_per_sample = { 1, 1, 1 } },
    [FORMAT_GREY] = { .name = "GREY",
                      .fourcc = FOURCC('G', 'R', 'E', 'Y'),
                      .planes = 1,
                      .bytes_per_sample = { 1 } },
    [FORMAT_RGB24] = { .name = "RGB24",
                       .fourcc = FOURCC('R', 'G', 'B', '3'),
                       .planes = 1,
                       .bytes_per_sample = { 3 } },
    [FORMAT_YVYU] = { .name = "YVYU",
                      .fourcc = FOURCC('Y', 'V', 'Y', 'U'),
                      .planes = 1,
                      .bytes_per_sample = { 2 } },
    [FORMAT_VYUY] = { .name = "VYUY",
                      .fourcc = FOURCC('V', 'Y', 'U', 'Y'),
                      .planes = 1,
                      .bytes_per_sample = { 2 } },
    [FORMAT_NV21] = { .name = "NV21",
                      .fourcc = FOURCC('N', 'V', '2', '1'),
                      .fourcc_planes = FOURCC('N', 'M', '2', '1'),
                      .planes = 2,
                      .plane_shift_x = { 0, 1 },
                      .plane_shift_y = { 0, 1 },
                      .bytes_per_sample = { 1, 2 } },
    [FORMAT_YV12] = { .name = "YV12",
                      .fourcc = FOURCC('Y', 'V', '1', '2'),
                      .fourcc_planes = FOURCC('Y', 'M', '2', '1'),
                      .planes = 3,
                      .plane_shift_x = { 0, 1, 1 },
                      .plane_shift_y = { 0, 1, 1 },
                      .bytes_per_sample = { 1, 1, 1 } },
    [FORMAT_NV16] = { .name = "NV16",
                      .fourcc = FOURCC('N', 'V', '1', '6'),
                      .fourcc_planes = FOURCC('N', 'M', '1', '6'),
                      .planes = 2,
                      .plane_shift_x = { 0, 1 },
                      .bytes_per_sample = { 1, 2 } },
    [FORMAT_422P] = { .name = "422P",
                      .fourcc = FOURCC('4', '2', '2', 'P'),
                      .fourcc_planes = FOURCC('Y', 'M', '1', '6'),
                      .planes = 3,
                      .plane_shift_x = { 0, 1, 1 },
                      .bytes_per_sample = { 1, 1, 1 } },
    [FORMAT_BGR24] = { .name = "BGR24",
                       .fourcc = FOURCC('B', 'G', 'R', '3'),
                       .planes = 1,
                       .bytes_per_sample = { 3 } },
    [FORMAT_BGRX] = { .name = "BGRX",
                      .fourcc = FOURCC('X', 'R', '2', '4'),
                      .fourcc_other = FOURCC('B', 'G', 'R', '4'),
                      .planes = 1,
                      .bytes_per_sample = { 4 } },
    [FORMAT_RGBX] = { .name = "RGBX",
                      .fourcc = FOURCC('X', 'B', '2', '4'),
                      .fourcc_other = FOURCC('A', 'B', '2', '4'),
                      .planes = 1,
                      .bytes_per_sample = { 4 } },
    [FORMAT_RGB16] = { .name = "RGB16",
                       .fourcc = FOURCC('R', 'G', 'B', 'P'),
                       .planes = 1,
                       .bytes_per_sample = { 2 } },
    [FORMAT_JPEG] = { .name = "MJPEG",
                      .fourcc = FOURCC('M', 'J', 'P', 'G'),
                      .fourcc_other = FOURCC('J', 'P', 'E', 'G'),
                      .compressed = true },
    [FORMAT_H264] = { .name = "H.264", .fourcc = FOURCC('H', '2', '6', '4'), .compressed = true },
};

const struct format_info *format_info(enum format_id id)
{
    return &table[(unsigned)id < FORMAT_COUNT ? id : FORMAT_NONE];
}

enum format_id format_by_fourcc(uint32_t fourcc)
{
    for (int i = 1; i < FORMAT_COUNT; i++) {
        bool named = fourcc == table[i].fourcc || fourcc == table[i].fourcc_other ||
                     fourcc == table[i].fourcc_planes;
        if (fourcc && named) {
            return (enum format_id)i;
        }
    }
    return FORMAT_NONE;
}

enum format_id format_by_name(const char *name)
{
    for (int i = 1; i < FORMAT_COUNT; i++) {
        const uint32_t codes[] = { table[i].fourcc, table[i].fourcc_other, table[i].fourcc_planes };
        for (int k = 0; k < 3; k++) {
            const char text[5] = { (char)codes[k], (char)(codes[k] >> 8), (char)(codes[k] >> 16),
                                   (char)(codes[k] >> 24), 0 };
            if (codes[k] && strcasecmp(name, text) == 0) {
                return (enum format_id)i;
            }
        }
        if (strcasecmp(name, table[i].name) == 0) {
            return (enum format_id)i;
        }
    }
    return FORMAT_NONE;
}

enum color_matrix format_matrix_of(int h273)
{
    return h273 == 1                 ? COLOR_MATRIX_709
           : h273 == 9 || h273 == 10 ? COLOR_MATRIX_2020
                                     : COLOR_MATRIX_601;
}

bool format_same(const struct format *a, const struct format *b)
{
    return a->id == b->id && a->width == b->width && a->height == b->height &&
           a->range == b->range && a->matrix == b->matrix && a->primaries == b->primaries &&
           a->transfer == b->transfer && a->transform == b->transform;
}

enum h273 { H273_709 = 1, H273_UNKNOWN = 2, H273_470BG = 5, H273_170M = 6, H273_2020 = 9 };

/* Where a source says nothing else, those that belong to its matrix; BT.601's fits two kinds. */
static int primaries_code(const struct format *f)
{
    static const int by_matrix[] = { [COLOR_MATRIX_601] = H273_UNKNOWN,
                                     [COLOR_MATRIX_709] = H273_709,
                                     [COLOR_MATRIX_2020] = H273_2020 };
    static const int codes[] = { [COLOR_PRIMARIES_709] = H273_709,
                                 [COLOR_PRIMARIES_170M] = H273_170M,
                                 [COLOR_PRIMARIES_470BG] = H273_470BG,
                                 [COLOR_PRIMARIES_2020] = H273_2020 };
    return f->primaries == COLOR_PRIMARIES_UNKNOWN ? by_matrix[f->matrix] : codes[f->primaries];
}

/* One curve has three names, after the standard that the primaries are of. */
static int curve_code(int primaries)
{
    enum { SMPTE_170M = 6, BT2020_10_BIT = 14 };
    return primaries == H273_2020                              ? BT2020_10_BIT
           : primaries == H273_170M || primaries == H273_470BG ? SMPTE_170M
                                                               : H273_709;
}

struct format_color_codes format_color_codes(const struct format *f)
{
    enum { SRGB = 13, PQ = 16 };
    struct format_color_codes c = { .primaries = primaries_code(f) };
    bool silent = f->transfer == COLOR_TRANSFER_UNKNOWN && c.primaries == H273_UNKNOWN;
    c.transfer = f->transfer == COLOR_TRANSFER_SRGB ? SRGB
                 : f->transfer == COLOR_TRANSFER_PQ ? PQ
                 : silent                           ? H273_UNKNOWN
                                                    : curve_code(c.primaries);
    c.matrix = f->matrix == COLOR_MATRIX_709    ? H273_709
               : f->matrix == COLOR_MATRIX_2020 ? H273_2020
               : c.primaries == H273_470BG      ? H273_470BG
                                                : H273_170M;
    return c;
}

static int shift_up(int value, int shift)
{
    return (value + (1 << shift) - 1) >> shift;
}

static bool is_pairs(enum format_id id)
{
    return id == FORMAT_YUYV || id == FORMAT_UYVY || id == FORMAT_YVYU || id == FORMAT_VYUY;
}

/* Width of a plane's row in bytes; packed 4:2:2 holds pixels in pairs. */
static int row_bytes(const struct format *f, const struct format_info *info, int plane)
{
    int width = f->width;
    if (is_pairs(f->id)) {
        width += width & 1;
    }
    return shift_up(width, info->plane_shift_x[plane]) * info->bytes_per_sample[plane];
}

static int plane_stride(const struct format *f, const struct format_info *info, int plane,
                        int stride0)
{
    if (plane == 0) {
        return stride0;
    }
    /* V4L2: chroma planes are padded as the first one is, in the ratio of their samples. */
    int follows = shift_up(stride0, info->plane_shift_x[plane]) * info->bytes_per_sample[plane];
    int tight = row_bytes(f, info, plane);
    return follows > tight ? follows : tight;
}

size_t format_layout(const struct format *f, int stride0, size_t offset[FORMAT_MAX_PLANES],
                     int stride[FORMAT_MAX_PLANES])
{
    const struct format_info *info = format_info(f->id);
    if (info->planes == 0 || f->width < 1 || f->height < 1 || f->width > FORMAT_MAX_SIZE ||
        f->height > FORMAT_MAX_SIZE || stride0 < 0 || stride0 > 8 * FORMAT_MAX_SIZE) {
        return 0;
    }
    int tight = row_bytes(f, info, 0);
    stride0 = stride0 > tight ? stride0 : tight;
    size_t size = 0;
    for (int i = 0; i < info->planes; i++) {
        offset[i] = size;
        stride[i] = plane_stride(f, info, i, stride0);
        size += (size_t)stride[i] * (size_t)shift_up(f->height, info->plane_shift_y[i]);
    }
    return size;
}

char *format_describe(const struct format *f, char *buf, size_t size)
{
    double fps = f->fps_den > 0 ? (double)f->fps_num / f->fps_den : 0;
    if (fps > 0) {
        (void)snprintf(buf, size, "%dx%d %s @ %.4g", f->width, f->height, format_info(f->id)->name,
                       fps);
    } else {
        (void)snprintf(buf, size, "%dx%d %s", f->width, f->height, format_info(f->id)->name);
    }
    return buf;
}
