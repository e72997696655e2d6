/* SPDX-License-Identifier: MIT */
/*
 * UDP service: JPEG pictures as datagrams to whoever registers at the port (docs/udp-service.md). One socket,
 * one thread; pictures are made only while somebody is registered; each client gets the newest one
 * when the last one is on its way.
 */
#pragma once

#include "pcs/sink.h"

extern const struct sink_backend sink_udp;
