/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "record/boxes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
    const uint8_t *data;
    size_t size;
};

static int read_bytes_at(void *arg, uint64_t offset, void *buf, size_t size)
{
    const struct bytes *b = arg;
    assert(offset <= b->size);
    size_t left = b->size - (size_t)offset;
    size = size < left ? size : left;
    memcpy(buf, b->data + offset, size);
    return (int)size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes bytes = { data, size };
    struct box_source source = { .read = read_bytes_at, .arg = &bytes, .size = size };
    struct box_scan scan;
    struct box_mark mark;
    int found = boxes_find_mark(&source, &mark);
    assert(found == 0 || found == -ENODATA);
    if (boxes_scan(&source, &scan) < 0) {
        return 0;
    }
    assert(scan.header_end <= scan.good_end && scan.good_end <= size);
    assert((scan.fragments == 0) == (scan.good_end == scan.header_end));
    assert(scan.samples * 16 <= size);
    int hole = boxes_find_hole(&source, scan.last_data, scan.good_end);
    assert(hole == 0 || hole == 1);
    return 0;
}
