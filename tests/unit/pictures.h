/* SPDX-License-Identifier: MIT */
/*
 * Pictures for the encoders' tests: one scene, drawn as RGB and from there brought to every pixel
 * format by the definitions of BT.601, BT.709 and BT.2020, so that what comes out of a decoder can be
 * compared with what was meant.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "pcs/format.h"

struct frame;

/* Picture number `t` of the scene (-1: eight colour bars), on the heap, with one reference. Lines are `pad` bytes longer than
 * they need be. Asserts on lack of memory. */
struct frame *picture_new(const struct format *format, int t, int pad);

/* The same, but every sample random: the worst there is for an encoder. */
struct frame *picture_noise(const struct format *format);

/* A frame that owns a copy of these bytes. */
struct frame *picture_bytes(enum format_id id, const void *data, size_t size);

/* The scene as tight RGB; free() it. */
uint8_t *picture_rgb(int width, int height, int t);

/* Peak signal to noise ratio in dB of `n` bytes; 99 when equal. */
double picture_psnr(const uint8_t *a, const uint8_t *b, size_t n);
