/* SPDX-License-Identifier: MIT */
/*
 * From limited range (BT.601/709: luma 16..235, chroma 16..240), which cameras send, to full range,
 * which JPEG (JFIF) means. In place, to 8 bits.
 * Threads: any, pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

void range_expand_luma(uint8_t *row, size_t n);
void range_expand_chroma(uint8_t *row, size_t n);
