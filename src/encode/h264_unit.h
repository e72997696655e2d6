/* SPDX-License-Identifier: MIT */
/*
 * What format.h promises of H.264 behind the encoders, for access units from any camera or codec: Annex B
 * with 4-byte start codes, nothing behind the last NAL unit, SPS and PPS in front of each IDR picture.
 * Threads: one at a time for each struct h264_sets.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define H264_SETS_MAX 1024 /* bytes of all SPS, or all PPS, start codes included */

/* The parameter sets seen last. Zero-initialised. */
struct h264_sets {
    uint8_t sps[H264_SETS_MAX], pps[H264_SETS_MAX];
    size_t sps_size, pps_size;
};

struct h264_unit {
    bool key;       /* an IDR picture */
    bool has_slice; /* any picture at all: some cameras send the sets by themselves */
    bool complete;  /* not an IDR picture that lacks sets we have never seen */
    bool kept;      /* the bytes keep the promise as they are */
    bool insert_sps, insert_pps;
    size_t size; /* of what h264_unit_write makes */
};

/* Look at a unit; parameter sets in it are remembered. */
void h264_unit_read(struct h264_sets *sets, const uint8_t *data, size_t size,
                    struct h264_unit *out);

/* Write it as promised: unit->size bytes. */
void h264_unit_write(const struct h264_sets *sets, const uint8_t *data, size_t size,
                     const struct h264_unit *unit, uint8_t *out);
