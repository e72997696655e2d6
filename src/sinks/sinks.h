/* SPDX-License-Identifier: MIT */
#pragma once

#include "pcs/sink.h"

/* Every output this build has, NULL at the end. A new one is a line in sinks.c. */
extern const struct sink_backend *const sink_backends[];
