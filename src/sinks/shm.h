/* SPDX-License-Identifier: MIT */
/*
 * Shared memory: the stream, and on request raw pictures, for programs of the same machine
 * (include/pcs/shm.h, docs/shared-memory.md). Encodes only while somebody reads.
 */
#pragma once

#include "pcs/sink.h"

extern const struct sink_backend sink_shm;
