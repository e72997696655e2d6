/* SPDX-License-Identifier: MIT */
#include "h264_unit.h"

#include <string.h>

#include "pcs/h264_scan.h"

static const uint8_t start_code[] = { 0, 0, 0, 1 };

static uint8_t *put_nal(uint8_t *out, const struct h264_nal *nal)
{
    memcpy(out, start_code, sizeof start_code);
    memcpy(out + sizeof start_code, nal->data, nal->size);
    return out + sizeof start_code + nal->size;
}

/* Append to the sets of its kind; the first of a unit replaces those of earlier units. */
static void remember(uint8_t *sets, size_t *size, const struct h264_nal *nal, bool first)
{
    size_t used = first ? 0 : *size;
    if (used + sizeof start_code + nal->size > H264_SETS_MAX) {
        return; /* more than any camera has; the unit itself still carries it */
    }
    *size = (size_t)(put_nal(sets + used, nal) - sets);
}

static void read_nal(struct h264_sets *sets, const struct h264_nal *nal, bool *has_sps,
                     bool *has_pps, struct h264_unit *unit)
{
    if (nal->type == H264_NAL_SPS) {
        remember(sets->sps, &sets->sps_size, nal, !*has_sps);
        *has_sps = true;
    } else if (nal->type == H264_NAL_PPS) {
        remember(sets->pps, &sets->pps_size, nal, !*has_pps);
        *has_pps = true;
    }
    unit->key |= nal->type == H264_NAL_IDR;
    unit->has_slice |= nal->type >= H264_NAL_SLICE && nal->type <= H264_NAL_IDR;
}

void h264_unit_read(struct h264_sets *sets, const uint8_t *data, size_t size, struct h264_unit *out)
{
    struct h264_unit unit = { .kept = true };
    bool has_sps = false, has_pps = false;
    const uint8_t *end = data; /* of the NAL unit before */
    struct h264_nal nal;
    size_t pos = 0;
    while (h264_next_nal(data, size, &pos, &nal)) {
        read_nal(sets, &nal, &has_sps, &has_pps, &unit);
        unit.kept &= (size_t)(nal.data - end) == sizeof start_code;
        unit.size += sizeof start_code + nal.size;
        end = nal.data + nal.size;
    }
    unit.insert_sps = unit.key && !has_sps;
    unit.insert_pps = unit.key && !has_pps;
    unit.size += unit.insert_sps ? sets->sps_size : 0;
    unit.size += unit.insert_pps ? sets->pps_size : 0;
    unit.kept &= end == data + size && !unit.insert_sps && !unit.insert_pps;
    unit.complete = !unit.key || (sets->sps_size && sets->pps_size);
    *out = unit;
}

void h264_unit_write(const struct h264_sets *sets, const uint8_t *data, size_t size,
                     const struct h264_unit *unit, uint8_t *out)
{
    bool sps = unit->insert_sps, pps = unit->insert_pps;
    struct h264_nal nal;
    size_t pos = 0;
    while (h264_next_nal(data, size, &pos, &nal)) {
        /* In the order of 7.4.1.2.3: delimiter, SPS, PPS, the rest. */
        if (sps && nal.type != H264_NAL_AUD) {
            memcpy(out, sets->sps, sets->sps_size);
            out += sets->sps_size;
            sps = false;
        }
        if (pps && nal.type != H264_NAL_AUD && nal.type != H264_NAL_SPS) {
            memcpy(out, sets->pps, sets->pps_size);
            out += sets->pps_size;
            pps = false;
        }
        out = put_nal(out, &nal);
    }
}
