/* SPDX-License-Identifier: MIT */
#include "pcs/marker.h"

#include <string.h>

#include "pcs/bytes.h"

#define COLUMNS 32
#define ROWS    4
#define BYTES   (COLUMNS * ROWS / 8)
#define SYNC    0xA5C3

/* Nominal black and white of limited range: they survive an encoder that clips to it. */
#define BLACK 16
#define WHITE 235

/* CRC-16/CCITT-FALSE: polynomial 0x1021, start 0xFFFF, not reflected. */
static uint16_t crc16(const uint8_t *data, size_t size)
{
    unsigned crc = 0xFFFF;
    for (size_t i = 0; i < size; i++) {
        crc ^= (unsigned)data[i] << 8;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1;
        }
    }
    return (uint16_t)crc;
}

int marker_cell(int width, int height)
{
    if (width < 2 * COLUMNS || height < 2 * ROWS) {
        return 0;
    }
    int cell = width / (2 * COLUMNS);
    if (cell > height / ROWS) {
        cell = height / ROWS;
    }
    return cell < 2 ? 2 : cell & ~1;
}

static void draw_cell(uint8_t *luma, int stride, int cell, uint8_t value)
{
    for (int y = 0; y < cell; y++) {
        memset(luma + (size_t)y * (size_t)stride, value, (size_t)cell);
    }
}

void marker_draw(uint8_t *luma, int stride, int width, int height, const struct marker *m)
{
    int cell = marker_cell(width, height);
    if (cell == 0) {
        return;
    }
    uint8_t bytes[BYTES];
    struct writer w = writer_on(bytes, sizeof bytes);
    write_be16(&w, SYNC);
    write_be32(&w, m->number);
    write_be64(&w, m->time_us);
    write_be16(&w, crc16(bytes + 2, 12));
    for (int i = 0; i < COLUMNS * ROWS; i++) {
        bool one = bytes[i / 8] >> (7 - i % 8) & 1;
        uint8_t *at = luma + (size_t)(i / COLUMNS * cell) * (size_t)stride + i % COLUMNS * cell;
        draw_cell(at, stride, cell, one ? WHITE : BLACK);
    }
}

/* Mean over the inside of a cell: its rim is what ringing and motion smear. */
static int cell_level(const uint8_t *luma, int stride, int cell, int index)
{
    int rim = cell / 4;
    if (cell - 2 * rim < 2) {
        rim = (cell - 2) / 2;
    }
    const uint8_t *at = luma + (size_t)(index / COLUMNS * cell + rim) * (size_t)stride +
                        index % COLUMNS * cell + rim;
    int side = cell - 2 * rim;
    unsigned sum = 0;
    for (int y = 0; y < side; y++, at += stride) {
        for (int x = 0; x < side; x++) {
            sum += at[x];
        }
    }
    return (int)(sum / (unsigned)(side * side));
}

/* Half way between the known black and white cells of the sync word; -1 when they do not differ. */
static int sync_threshold(const int level[COLUMNS * ROWS])
{
    int sum[2] = { 0, 0 };
    for (int i = 0; i < 16; i++) {
        sum[SYNC >> (15 - i) & 1] += level[i]; /* eight of each */
    }
    int black = sum[0] / 8, white = sum[1] / 8;
    return white - black >= 32 ? (black + white) / 2 : -1;
}

bool marker_read(const uint8_t *luma, int stride, int width, int height, struct marker *out)
{
    int cell = marker_cell(width, height);
    if (cell == 0) {
        return false;
    }
    int level[COLUMNS * ROWS];
    for (int i = 0; i < COLUMNS * ROWS; i++) {
        level[i] = cell_level(luma, stride, cell, i);
    }
    int threshold = sync_threshold(level);
    if (threshold < 0) {
        return false;
    }
    uint8_t bytes[BYTES] = { 0 };
    for (int i = 0; i < COLUMNS * ROWS; i++) {
        bytes[i / 8] |= (uint8_t)((level[i] > threshold) << (7 - i % 8));
    }
    struct reader r = reader_on(bytes, sizeof bytes);
    uint16_t sync = read_be16(&r);
    struct marker m = { .number = read_be32(&r), .time_us = read_be64(&r) };
    if (sync != SYNC || read_be16(&r) != crc16(bytes + 2, 12)) {
        return false;
    }
    *out = m;
    return true;
}
