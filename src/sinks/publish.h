/* SPDX-License-Identifier: MIT */
/*
 * Publish: the stream to servers, players and files that libavformat reaches, as it is, nothing encoded
 * anew. Each URL has a thread and a queue of its own, so none slows the camera or another; each connects
 * again for ever, after 1 s doubling to 60 s.
 */
#pragma once

#include "pcs/sink.h"

extern const struct sink_backend sink_publish;
