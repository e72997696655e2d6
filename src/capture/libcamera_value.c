/* SPDX-License-Identifier: MIT */
#include "libcamera_value.h"

#include <float.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct libcamera_type_info type_infos[] = {
    [LIBCAMERA_BOOL] = { 1, 1, true, 0, 1 },
    [LIBCAMERA_BYTE] = { 1, 1, true, 0, UINT8_MAX },
    [LIBCAMERA_UINT16] = { 1, 2, true, 0, UINT16_MAX },
    [LIBCAMERA_UINT32] = { 1, 4, true, 0, UINT32_MAX },
    [LIBCAMERA_INT32] = { 1, 4, true, INT32_MIN, INT32_MAX },
    [LIBCAMERA_INT64] = { 1, 8, true, -9e18, 9e18 }, /* INT64_MAX is no double */
    [LIBCAMERA_FLOAT] = { 1, 4, false, -FLT_MAX, FLT_MAX },
    [LIBCAMERA_STRING] = { 0, 1, false, 0, 0 },
    [LIBCAMERA_RECTANGLE] = { 4, 4, true, INT32_MIN, INT32_MAX },
    [LIBCAMERA_SIZE] = { 2, 4, true, 0, INT32_MAX },
};

const struct libcamera_type_info *libcamera_type_info(enum libcamera_type type)
{
    return &type_infos[(size_t)type < COUNT(type_infos) ? type : LIBCAMERA_NONE];
}

union number {
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    int32_t i32;
    int64_t i64;
    float f;
};

static double get_number(enum libcamera_type type, const union number *from)
{
    switch (type) {
    case LIBCAMERA_BOOL:
    case LIBCAMERA_BYTE:
        return from->u8;
    case LIBCAMERA_UINT16:
        return from->u16;
    case LIBCAMERA_UINT32:
        return from->u32;
    case LIBCAMERA_INT64:
        return (double)from->i64;
    case LIBCAMERA_FLOAT:
        return (double)from->f;
    default: /* extents of rectangles and sizes, too: they stay below INT32_MAX */
        return from->i32;
    }
}

static void put_number(enum libcamera_type type, double n, union number *to)
{
    switch (type) {
    case LIBCAMERA_BOOL:
    case LIBCAMERA_BYTE:
        to->u8 = (uint8_t)n;
        return;
    case LIBCAMERA_UINT16:
        to->u16 = (uint16_t)n;
        return;
    case LIBCAMERA_UINT32:
        to->u32 = (uint32_t)n;
        return;
    case LIBCAMERA_INT64:
        to->i64 = (int64_t)n;
        return;
    case LIBCAMERA_FLOAT:
        to->f = (float)n;
        return;
    default:
        to->i32 = (int32_t)n;
    }
}

void libcamera_value_read(const struct libcamera_value *v, struct libcamera_numbers *out)
{
    const struct libcamera_type_info *info = libcamera_type_info(v->type);
    unsigned room = info->size ? LIBCAMERA_VALUE_BYTES / info->size : 0;
    unsigned count = v->count * info->numbers;
    room = room < LIBCAMERA_NUMBERS ? room : LIBCAMERA_NUMBERS;
    out->count = count < room ? count : room;
    for (unsigned i = 0; i < out->count; i++) {
        union number number = { 0 };
        memcpy(&number, v->bytes + (size_t)i * info->size, info->size);
        out->n[i] = get_number(v->type, &number);
    }
}

void libcamera_value_write(const struct libcamera_numbers *from, struct libcamera_value *v)
{
    const struct libcamera_type_info *info = libcamera_type_info(v->type);
    v->count = from->count / info->numbers;
    for (unsigned i = 0; i < from->count; i++) {
        union number number = { 0 };
        put_number(v->type, from->n[i], &number);
        memcpy(v->bytes + (size_t)i * info->size, &number, info->size);
    }
}

bool libcamera_value_first(const struct libcamera_value *v, double *out)
{
    struct libcamera_numbers numbers;
    libcamera_value_read(v, &numbers);
    if (numbers.count > 0) {
        *out = numbers.n[0];
    }
    return numbers.count > 0;
}

bool libcamera_value_range(const struct libcamera_control *control, double *min, double *max)
{
    return libcamera_value_first(&control->min, min) && libcamera_value_first(&control->max, max);
}
