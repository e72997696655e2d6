/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "pcs/format.h"
#include "pcs/h264_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_parameter_sets(const struct h264_unit_info *info)
{
    struct h264_sps sps;
    uint8_t avcc[256];
    if (info->has_sps && !h264_parse_sps(info->sps.data, info->sps.size, &sps)) {
        assert(sps.width > 0 && sps.width <= FORMAT_MAX_SIZE);
        assert(sps.height > 0 && sps.height <= FORMAT_MAX_SIZE);
        assert(sps.fps_den > 0 && sps.fps_num >= 0);
    }
    if (info->has_sps && info->has_pps) {
        assert(h264_make_avcc(&info->sps, &info->pps, avcc, sizeof(avcc)) <= (int)sizeof(avcc));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct h264_nal nal;
    size_t pos = 0, before = 0;
    while (h264_next_nal(data, size, &pos, &nal)) {
        assert(pos > before && pos <= size);
        assert(nal.size > 0 && nal.data > data && nal.data + nal.size <= data + size);
        before = pos;
    }
    struct h264_unit_info info;
    h264_scan_unit(data, size, &info);
    check_parameter_sets(&info);
    return 0;
}
