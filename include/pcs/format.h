/* SPDX-License-Identifier: MIT */
/*
 * What a frame's bytes mean: pixel layout or codec, size, rate, colour.
 * A compressed format keeps two promises everywhere behind the encoders:
 *   H.264: one whole access unit in Annex B (4-byte start codes), SPS and PPS in front of each IDR;
 *   JPEG:  one whole picture from SOI to EOI that carries its own Huffman tables.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum format_id {
    FORMAT_NONE,
    FORMAT_YUYV,  /* 4:2:2 packed Y0 U Y1 V */
    FORMAT_UYVY,  /* 4:2:2 packed U Y0 V Y1 */
    FORMAT_NV12,  /* 4:2:0, Y plane, interleaved UV plane */
    FORMAT_YU12,  /* 4:2:0 planar Y, U, V (I420) */
    FORMAT_GREY,  /* 8-bit luma */
    FORMAT_RGB24, /* bytes R G B */
    FORMAT_YVYU,  /* 4:2:2 packed Y0 V Y1 U */
    FORMAT_VYUY,  /* 4:2:2 packed V Y0 U Y1 */
    FORMAT_NV21,  /* 4:2:0, Y plane, interleaved VU plane */
    FORMAT_YV12,  /* 4:2:0 planar Y, V, U */
    FORMAT_NV16,  /* 4:2:2, Y plane, interleaved UV plane */
    FORMAT_422P,  /* 4:2:2 planar Y, U, V */
    FORMAT_BGR24, /* bytes B G R */
    FORMAT_BGRX,  /* bytes B G R and one of no meaning */
    FORMAT_RGBX,  /* bytes R G B and one of no meaning */
    FORMAT_RGB16, /* 5-6-5 bits, little-endian, red on top */
    FORMAT_JPEG,
    FORMAT_H264,
    FORMAT_COUNT
};

enum color_range { COLOR_RANGE_LIMITED, COLOR_RANGE_FULL };
enum color_matrix { COLOR_MATRIX_601, COLOR_MATRIX_709, COLOR_MATRIX_2020 };
enum color_primaries {
    COLOR_PRIMARIES_UNKNOWN,
    COLOR_PRIMARIES_709, /* sRGB's too */
    COLOR_PRIMARIES_170M,
    COLOR_PRIMARIES_470BG,
    COLOR_PRIMARIES_2020,
};
enum color_transfer {
    COLOR_TRANSFER_UNKNOWN,
    COLOR_TRANSFER_709, /* SMPTE 170M's and BT.2020's too */
    COLOR_TRANSFER_SRGB,
    COLOR_TRANSFER_PQ, /* SMPTE ST 2084 */
};

/* What is still to be done to a picture to show it upright, in this order. */
enum format_transform {
    TRANSFORM_HFLIP = 1,
    TRANSFORM_VFLIP = 2,
    TRANSFORM_ROTATE = 4, /* a quarter turn clockwise; width and height change places */
};

#define FORMAT_MAX_SIZE   8192 /* pixels, either direction: more is refused on any input */
#define FORMAT_MAX_PLANES 3

struct format {
    enum format_id id;
    int width, height;    /* pixels */
    int fps_num, fps_den; /* nominal rate; 0/1 = unknown */
    enum color_range range;
    enum color_matrix matrix;
    enum color_primaries primaries;
    enum color_transfer transfer;
    unsigned transform; /* enum format_transform */
};

struct format_info {
    const char *name;      /* for people: "YUYV", "H.264" */
    uint32_t fourcc;       /* V4L2's, little-endian characters */
    uint32_t fourcc_other; /* a second V4L2 name (JPEG besides MJPG), 0 = none */
    uint32_t
        fourcc_planes; /* V4L2's name with each plane in a buffer of its own (NM12), 0 = none */
    bool compressed;
    int planes;
    int plane_shift_x[FORMAT_MAX_PLANES]; /* log2 of horizontal subsampling of each plane */
    int plane_shift_y[FORMAT_MAX_PLANES];
    int bytes_per_sample[FORMAT_MAX_PLANES]; /* bytes per (subsampled) sample of each plane */
};

#define FORMAT_FOURCC(a, b, c, d)                                                                  \
    ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

const struct format_info *format_info(enum format_id id); /* never NULL; FORMAT_NONE for unknown */
enum format_id format_by_fourcc(uint32_t fourcc); /* any of its names; FORMAT_NONE when unknown */
enum format_id format_by_name(const char *name);  /* four characters, any case */
enum color_matrix format_matrix_of(int h273); /* ITU-T H.273's MatrixCoefficients; unknown = 601 */
bool format_same(const struct format *a, const struct format *b); /* all but the rate */

/* What H.264, MP4 and libavutil call its colours: code points of ITU-T H.273; 2 = unspecified. */
struct format_color_codes {
    int primaries, transfer, matrix;
};
struct format_color_codes format_color_codes(const struct format *f);

/*
 * Offsets, strides and total bytes of a raw picture in one buffer, as V4L2 single-plane buffers lay
 * it out: `stride0` is the stride of the first plane in bytes (0: tight), the others follow from it.
 * Returns the size in bytes, 0 for a compressed or impossible format.
 */
size_t format_layout(const struct format *f, int stride0, size_t offset[FORMAT_MAX_PLANES],
                     int stride[FORMAT_MAX_PLANES]);

/* "1920x1080 YUYV @ 30" into buf; returns buf. */
char *format_describe(const struct format *f, char *buf, size_t size);
