/* SPDX-License-Identifier: MIT */
#include "outputs.h"

#include <stddef.h>

#include "archive.h"
#include "http.h"
#include "sinks/publish.h"
#include "sinks/push.h"
#include "sinks/shm.h"
#include "sinks/tcp.h"
#include "sinks/udp.h"

const struct sink_backend *const outputs[] = {
    &sink_archive, /* first: what it writes at the end, the others deliver meanwhile */
    &sink_push,    &sink_http, &sink_ws, &sink_shm, &sink_publish, &sink_tcp, &sink_udp, NULL,
};
