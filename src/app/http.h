/* SPDX-License-Identifier: MIT */
/* The outputs "http" and "ws": listeners of the one site. */
#pragma once

struct sink_backend;

extern const struct sink_backend sink_http, sink_ws;
