/* SPDX-License-Identifier: MIT */
#include "fake_media.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcs/h264_scan.h"
#include "pcs/jpeg_scan.h"
#include "pcs/marker.h"

static bool read_file(struct clip *clip, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        return false;
    }
    size_t room = 0;
    for (;;) {
        if (clip->size == room) {
            room = room ? room * 2 : 1 << 20;
            uint8_t *more = realloc(clip->data, room);
            if (!more) {
                break;
            }
            clip->data = more;
        }
        size_t n = fread(clip->data + clip->size, 1, room - clip->size, file);
        if (n == 0) {
            break;
        }
        clip->size += n;
    }
    fclose(file);
    return clip->size > 0;
}

static void add_piece(struct clip *clip, size_t offset, size_t size, bool key)
{
    struct piece *more = realloc(clip->piece, (clip->count + 1) * sizeof *more);
    if (!more || size == 0) {
        return;
    }
    clip->piece = more;
    clip->piece[clip->count++] = (struct piece){ offset, size, key };
    clip->largest = size > clip->largest ? size : clip->largest;
}

static void split_jpeg(struct clip *clip)
{
    struct jpeg_info info;
    for (size_t at = 0; at < clip->size; at += info.size) {
        if (jpeg_scan(clip->data + at, clip->size - at, &info) < 0 || info.size == 0) {
            break;
        }
        add_piece(clip, at, info.size, true);
        clip->width = info.width;
        clip->height = info.height;
    }
}

/* Does this NAL unit begin a new access unit, once one with a slice has begun (H.264, 7.4.1.2.3)? */
static bool begins_unit(const struct h264_nal *nal)
{
    bool slice = nal->type >= H264_NAL_SLICE && nal->type <= H264_NAL_IDR;
    bool first_macroblock = nal->size > 1 && (nal->data[1] & 0x80);
    return slice ? first_macroblock : nal->type >= H264_NAL_SEI && nal->type <= H264_NAL_AUD;
}

/* Where the start code in front of a NAL unit begins. */
static size_t code_start(const struct clip *clip, const struct h264_nal *nal)
{
    size_t at = (size_t)(nal->data - clip->data) - 3;
    return at > 0 && clip->data[at - 1] == 0 ? at - 1 : at;
}

static void split_h264(struct clip *clip)
{
    struct h264_nal nal;
    size_t pos = 0, start = 0;
    bool has_slice = false, key = false;
    while (h264_next_nal(clip->data, clip->size, &pos, &nal)) {
        struct h264_sps sps;
        if (has_slice && begins_unit(&nal)) {
            size_t end = code_start(clip, &nal);
            add_piece(clip, start, end - start, key);
            start = end;
            has_slice = key = false;
        }
        has_slice |= nal.type >= H264_NAL_SLICE && nal.type <= H264_NAL_IDR;
        key |= nal.type == H264_NAL_IDR;
        if (nal.type == H264_NAL_SPS && h264_parse_sps(nal.data, nal.size, &sps) == 0) {
            clip->width = sps.width;
            clip->height = sps.height;
        }
    }
    if (has_slice) {
        add_piece(clip, start, clip->size - start, key);
    }
}

bool clip_load(struct clip *clip, const char *path, enum format_id id)
{
    *clip = (struct clip){ 0 };
    if (read_file(clip, path)) {
        id == FORMAT_JPEG ? split_jpeg(clip) : split_h264(clip);
    }
    if (clip->count > 0 && clip->width > 0) {
        return true;
    }
    (void)fprintf(stderr, "v4l2fake: %s: no pictures in it\n", path);
    clip_free(clip);
    return false;
}

void clip_free(struct clip *clip)
{
    free(clip->data);
    free(clip->piece);
    *clip = (struct clip){ 0 };
}

static bool is_rgb(enum format_id id)
{
    return id == FORMAT_RGB24 || id == FORMAT_BGR24 || id == FORMAT_BGRX || id == FORMAT_RGBX;
}

/* Bytes from one pixel's luma to the next. */
static int luma_step(enum format_id id)
{
    const struct format_info *info = format_info(id);
    return info->planes == 1 ? info->bytes_per_sample[0] : 1;
}

static void put_luma(uint8_t *row, const struct format *f, int x, uint8_t value)
{
    uint8_t *to = row + x * luma_step(f->id);
    if (f->id == FORMAT_RGB16) {
        unsigned pixel = (value >> 3U) << 11 | (value >> 2U) << 5 | value >> 3U;
        to[0] = (uint8_t)pixel;
        to[1] = (uint8_t)(pixel >> 8);
        return;
    }
    to[f->id == FORMAT_UYVY || f->id == FORMAT_VYUY] = value;
    if (is_rgb(f->id)) {
        to[1] = to[2] = value;
    }
}

void clip_write_moment(uint8_t *picture, size_t size, int64_t now_us)
{
    enum { DIGITS = 16, WITHIN = 256 };
    const size_t text = strlen(CLIP_MOMENT);
    uint8_t *at = memmem(picture, size < WITHIN ? size : WITHIN, CLIP_MOMENT, text);
    if (!at || at + text + DIGITS > picture + size) {
        return;
    }
    for (int i = DIGITS - 1; i >= 0; i--, now_us /= 10) {
        at[text + (size_t)i] = (uint8_t)('0' + now_us % 10);
    }
}

static uint8_t scene_luma(const struct format *f, int x, int y)
{
    return (uint8_t)(32 + (x * 96 / f->width) + (y * 96 / f->height));
}

void paint_scene(uint8_t *to, const struct format *f, int stride0)
{
    size_t offset[FORMAT_MAX_PLANES];
    int stride[FORMAT_MAX_PLANES];
    size_t size = format_layout(f, stride0, offset, stride);
    memset(to, 128, size); /* neutral chroma */
    for (int y = 0; y < f->height; y++) {
        for (int x = 0; x < f->width; x++) {
            put_luma(to + (size_t)y * (size_t)stride0, f, x, scene_luma(f, x, y));
        }
    }
}

void paint_frame(uint8_t *to, const struct format *f, int stride, uint8_t *scratch, uint32_t number,
                 uint64_t time_us)
{
    const struct marker m = { .number = number, .time_us = time_us };
    int cell = marker_cell(f->width, f->height), width = 32 * cell;
    if (cell > 0) {
        marker_draw(scratch, width, f->width, f->height, &m);
    }
    for (int y = 0; y < 4 * cell; y++) {
        for (int x = 0; x < width; x++) {
            put_luma(to + (size_t)y * (size_t)stride, f, x, scratch[y * width + x]);
        }
    }
    for (int y = f->height / 2; y < f->height / 2 + f->height / 16; y++) {
        for (int x = 0; x < f->width; x++) {
            put_luma(to + (size_t)y * (size_t)stride, f, x, (uint8_t)(16 + number % 220));
        }
    }
}

void paint_brighter(uint8_t *to, const struct format *f, int stride, int by)
{
    for (int y = f->height * 7 / 8; y < f->height * 15 / 16; y++) {
        for (int x = 0; x < f->width; x++) {
            int value = scene_luma(f, x, y) + by;
            put_luma(to + (size_t)y * (size_t)stride, f, x,
                     (uint8_t)(value < 0     ? 0
                               : value > 255 ? 255
                                             : value));
        }
    }
}
