/* SPDX-License-Identifier: MIT */
/*
 * TCP service: the stream to any number of video-receivers that connect to us (docs/protocol.md; as push,
 * but for who dials). Each has a buffer of its own and goes on where it was after a break. Frames are
 * made only while somebody is connected, or expected back.
 */
#pragma once

#include "pcs/sink.h"

extern const struct sink_backend sink_tcp;
