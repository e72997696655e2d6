/* SPDX-License-Identifier: MIT */
#pragma once

#include "pcs/sink.h"

/* Every output this build has, NULL at the end. A new one is a line in outputs.c. Most are in src/sinks; those
 * that stand on another room (web, record) are here in src/app. */
extern const struct sink_backend *const outputs[];
