/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "pcs/format.h"
#include "pcs/jpeg_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct jpeg_info info;
    if (jpeg_scan(data, size, &info)) {
        return 0;
    }
    assert(info.width > 0 && info.width <= FORMAT_MAX_SIZE);
    assert(info.height > 0 && info.height <= FORMAT_MAX_SIZE);
    assert(info.size <= size && info.scan_bytes < info.size);
    assert(info.sof_offset + 9 < info.sos_offset && info.sos_offset + 2 < info.size);
    return 0;
}
