/* SPDX-License-Identifier: MIT */
/*
 * Site: the sender's one web server, shared by the outputs "http" and "ws" (each only opens a listener).
 * What it answers is the table in site_routes.c; its handlers get the site as their `arg`, are called in the
 * web thread, and only while the whole pipeline is running.
 * Life: site_ref by each output's open, site_unref by its free. Threads: main; the getters: any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pcs/err.h"
#include "pcs/sink.h"
#include "web/web.h"

struct api;
struct pipeline;
struct site;
struct web_feed;

enum site_listener { SITE_HTTP = 1, SITE_WS = 2 };

extern const struct web_route site_routes[];
extern const char site_endpoints[]; /* the text of a 404 */

int site_ref(struct site **out, const struct sink_env *env, struct err *err);
void site_unref(struct site *site);
/* Listen there, and say so in the log. */
int site_listen(struct site *site, const struct web_place *place, struct err *err);
int site_start(struct site *site, struct err *err); /* more than once is fine */
void site_stop(struct site *site, int64_t deadline_us);

const struct sink_env *site_env(const struct site *site);
struct api *site_api(const struct site *site);
struct web *site_web(const struct site *site);
struct web_feed *site_mjpeg(const struct site *site);
struct web_feed *site_h264(const struct site *site);
