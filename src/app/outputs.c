/* SPDX-License-Identifier: MIT */
#include "outputs.h"

#include <stddef.h>

#include "http.h"
#include "sinks/push.h"
#include "sinks/tcp.h"
#include "sinks/udp.h"

const struct sink_backend *const outputs[] = {
    &sink_push,
    &sink_http,
    &sink_ws,
    &sink_tcp,
    &sink_udp,
    NULL,
};
