/* SPDX-License-Identifier: MIT */
#include "encoder.h"

#include <stddef.h>

static const struct encoder_backend *const encoders[] = {
    &encoder_jpeg,
    &encoder_h264,
};

const struct encoder_backend *encoder_find(enum format_id input, enum format_id output)
{
    for (size_t i = 0; i < sizeof encoders / sizeof encoders[0]; i++) {
        if (encoders[i]->output == output &&
            (input == FORMAT_NONE || encoders[i]->accepts(input))) {
            return encoders[i];
        }
    }
    return NULL;
}
