/* SPDX-License-Identifier: MIT */
/*
 * The parameter sets of an H.264 stream (SPS and PPS) that one file has in its sample description.
 * They are taken out of the samples; when a key frame brings others, another file must begin.
 * Threads: one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct frame;
struct h264_nal;

#define PARAMS_MAX 4096

struct params {
    uint8_t data[PARAMS_MAX]; /* Annex B, each set once */
    size_t size;
};

/* Collect the sets of a key frame. 0 (with size 0 for anything but H.264); -EBADMSG when it has not
 * both kinds, or too many. */
int params_collect(const struct frame *frame, struct params *out);

/* Is this SPS or PPS, byte by byte, among them? */
bool params_have(const struct params *p, const struct h264_nal *nal);

/* Is everything in `other` also in `p`? */
bool params_cover(const struct params *p, const struct params *other);
