/* SPDX-License-Identifier: MIT */
/* What /metrics says: /stats for Prometheus. Threads: the web thread. */
#pragma once

#include <stddef.h>

struct host_health;
struct site;

/* To be freed; NULL: no memory. */
char *metrics_of(const struct site *site, const struct host_health *host, size_t *size);
