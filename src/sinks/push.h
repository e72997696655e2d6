/* SPDX-License-Identifier: MIT */
/*
 * Push: the stream to one video-receiver over TCP (docs/protocol.md). Connects and reconnects for
 * ever, sends every frame with one sendmsg straight from the shared frame, keeps what the receiver
 * has not yet confirmed to be on disk, and sends it again after a break.
 */
#pragma once

#include "pcs/sink.h"

extern const struct sink_backend sink_push;
