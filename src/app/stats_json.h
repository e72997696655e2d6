/* SPDX-License-Identifier: MIT */
/* What /stats says. Threads: the web thread. */
#pragma once

struct cJSON;
struct host_health;
struct site;

struct cJSON *stats_json(const struct site *site, const struct host_health *host);
