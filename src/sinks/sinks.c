/* SPDX-License-Identifier: MIT */
#include "sinks.h"

#include "push.h"

const struct sink_backend *const sink_backends[] = {
    &sink_push,
    NULL,
};
