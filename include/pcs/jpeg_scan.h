/* SPDX-License-Identifier: MIT */
/*
 * JPEG marker scanner (ITU-T T.81): is this a whole picture, how large, which subsampling, what does
 * it lack. Reads headers and skips entropy-coded data; decodes nothing. Safe on hostile bytes.
 * Threads: any, pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct jpeg_info {
    int width, height;
    int components;     /* 1 or 3 */
    int h_samp, v_samp; /* of the first component */
    bool progressive;
    bool has_dht;      /* brings its Huffman tables (motion JPEG may leave them out) */
    bool has_eoi;      /* ends with EOI */
    size_t sof_offset; /* of the SOF marker: the height is at +5, the width at +7 */
    size_t sos_offset; /* of the first SOS marker: where missing tables go */
    size_t size;       /* bytes from SOI to behind EOI; trailing padding cut off in either case */
    size_t scan_bytes; /* bytes between the first SOS header and EOI (or the end) */
};

/*
 * 0; -ENOTSUP: not baseline or progressive Huffman with 8 bits and 1 or 3 components, or larger than
 * FORMAT_MAX_SIZE; -EBADMSG: not a JPEG picture, cut within its headers, or with scan data that no
 * decoder takes without damage: a marker that cannot be there, restart markers out of order, fewer
 * bits than the number of blocks needs.
 */
int jpeg_scan(const uint8_t *data, size_t size, struct jpeg_info *out);

/* The standard Huffman tables of T.81 Annex K.3 as one DHT segment, marker included. */
extern const uint8_t jpeg_standard_dht[];
extern const size_t jpeg_standard_dht_size;
