/* SPDX-License-Identifier: MIT */
/*
 * Site: the sender's one web server, shared by the outputs "http" and "ws" (each only opens a listener), and
 * the table of what it answers. Handlers get the site as their `arg`, are called in the web thread, and only
 * while the whole pipeline is running.
 * Life: site_ref by each output's open, site_unref by its free. Threads: main; the getters: any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pcs/err.h"
#include "pcs/sink.h"

struct pipeline;
struct site;
struct web;
struct web_feed;
struct web_place;

enum site_listener { SITE_HTTP = 1, SITE_WS = 2 };

int site_ref(struct site **out, const struct sink_env *env, struct err *err);
void site_unref(struct site *site);
int site_listen(struct site *site, const struct web_place *place, struct err *err);
int site_start(struct site *site); /* let visitors in; more than once is fine */
void site_stop(struct site *site, int64_t deadline_us);

const struct sink_env *site_env(const struct site *site);
struct web *site_web(const struct site *site);
struct web_feed *site_mjpeg(const struct site *site);
struct web_feed *site_h264(const struct site *site);
