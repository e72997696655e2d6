/* SPDX-License-Identifier: MIT */
/*
 * The API of the sender's web server: /stats, /metrics and /api/v1/…
 * Life: api_new → (handlers) → api_stop → api_free. Threads: handlers: the web thread; the rest: main.
 */
#pragma once

struct api;
struct site;
struct web_request;

struct api *api_new(const struct site *site); /* NULL: no memory */
void api_stop(struct api *api);               /* when the web server has stopped */
void api_free(struct api *api);

/* Handlers; `arg` is the site. */
void api_get_stats(void *arg, struct web_request *r);
void api_get_metrics(void *arg, struct web_request *r);
void api_handle(void *arg, struct web_request *r); /* below /api/v1/ */
