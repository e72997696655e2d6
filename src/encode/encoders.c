/* SPDX-License-Identifier: MIT */
#include "encoder.h"

#include <stddef.h>
#include <string.h>

static const struct encoder_backend *const encoders[] = {
    &encoder_jpeg,
    &encoder_m2m,
    &encoder_h264,
};

/* Of H.264 encoders one can be named: its own name is that of encoder_m2m, others are libavcodec's. */
static bool meant(const struct encoder_backend *backend, const char *name)
{
    if (!name || backend->output != FORMAT_H264) {
        return true;
    }
    return (strcmp(name, encoder_m2m.name) == 0) == (backend == &encoder_m2m);
}

const struct encoder_backend *encoder_find(const char *name, enum format_id input,
                                           enum format_id output, int index)
{
    for (size_t i = 0; i < sizeof encoders / sizeof encoders[0]; i++) {
        bool fits = encoders[i]->output == output && meant(encoders[i], name) &&
                    (input == FORMAT_NONE || encoders[i]->accepts(input));
        if (fits && index-- == 0) {
            return encoders[i];
        }
    }
    return NULL;
}
