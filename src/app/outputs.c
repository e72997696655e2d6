/* SPDX-License-Identifier: MIT */
#include "outputs.h"

#include <stddef.h>

#include "http.h"
#include "sinks/push.h"
#include "sinks/shm.h"

const struct sink_backend *const outputs[] = {
    &sink_push,
    &sink_http,
    &sink_ws,
    &sink_shm,
    NULL,
};
