/* SPDX-License-Identifier: MIT */
/*
 * What the emulated camera sees: raw pictures painted with the marker (pcs/marker.h), and JPEGs and
 * H.264 access units served from files.
 * Threads: under the device's lock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pcs/format.h"

/* A file of compressed pictures, split at load. */
struct clip {
    uint8_t *data;
    size_t size;
    struct piece {
        size_t offset, size;
        bool key;
    } * piece;
    size_t count, largest;
    int width, height;
};

/* False when the file is missing or holds no picture: a line on stderr says so. */
bool clip_load(struct clip *clip, const char *path, enum format_id id);
void clip_free(struct clip *clip);

/* A JPEG with a comment of this text and 16 digits in its first bytes gets the moment written there, in
 * microseconds of CLOCK_MONOTONIC: who reads the picture then knows how old it is, whoever served it. */
#define CLIP_MOMENT "pcs-taken-us="
void clip_write_moment(uint8_t *picture, size_t size, int64_t now_us);

/* The still part of a raw picture, once per buffer. */
void paint_scene(uint8_t *to, const struct format *f, int stride);
/* What changes with each frame: the marker and a band whose grey tells the number. `scratch` holds
 * width x height / 4 bytes at least. */
void paint_frame(uint8_t *to, const struct format *f, int stride, uint8_t *scratch, uint32_t number,
                 uint64_t time_us);
/* A band of the still part, that much brighter. */
void paint_brighter(uint8_t *to, const struct format *f, int stride, int by);
