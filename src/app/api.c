/* SPDX-License-Identifier: MIT */
#include "api.h"

#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api_call.h"
#include "api_jobs.h"
#include "api_json.h"
#include "host.h"
#include "metrics.h"
#include "metrics_text.h"
#include "openapi.h"
#include "pcs/clock.h"
#include "pipeline.h"
#include "site.h"
#include "stats_json.h"
#include "web/request.h"

#define ROOT "/api/v1/"

struct api {
    struct pipeline *pipeline;
    struct api_jobs *jobs;
    struct host *host;        /* main's */
    struct host_health fresh; /* main's while `reading` */

    /* the web thread's */
    struct host_health health;
    int64_t health_us;
    bool reading;
    struct metrics_memory told;
};

struct endpoint {
    const char *path;
    enum web_method method;
    enum api_doer doer;
    bool body; /* needs one: a JSON object */
    void (*work)(struct api_call *call);
};

static const struct endpoint endpoints[] = {
    { "settings", WEB_GET, API_MAIN, false, api_get_settings },
    { "settings", WEB_PATCH, API_MAIN, true, api_patch_settings },
    { "controls", WEB_GET, API_CAMERA, false, api_get_controls },
    { "controls", WEB_PATCH, API_CAMERA, true, api_patch_controls },
    { "keyframe", WEB_POST, API_HERE, false, api_post_keyframe },
    { "recording", WEB_GET, API_HERE, false, api_get_recording },
    { "recording", WEB_POST, API_HERE, true, api_post_recording },
    { "archive/dump", WEB_POST, API_HERE, false, api_post_dump },
};
#define ENDPOINTS (sizeof endpoints / sizeof endpoints[0])

/* ---- answers ---- */

void api_fail(struct api_call *call, int status, const char *field, const char *fmt, ...)
{
    char text[sizeof((struct err *)0)->text];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    cJSON_Delete(call->answer);
    call->answer = cJSON_CreateObject();
    cJSON_AddStringToObject(call->answer, "error", text);
    if (field) {
        cJSON_AddStringToObject(call->answer, "field", field);
    }
    call->status = status;
}

void api_refuse(struct web_request *r, int status, const char *text)
{
    struct api_call call = { .status = status };
    api_fail(&call, status, NULL, "%s", text);
    web_reply_json(r, status, call.answer);
}

void api_post_keyframe(struct api_call *call)
{
    pipeline_request_key(call->pipeline);
    call->answer = cJSON_CreateObject();
    call->status = 202;
}

/* ---- requests ---- */

static bool is_json(const char *type)
{
    static const char json[] = "application/json";
    size_t n = sizeof json - 1;
    return type && strncasecmp(type, json, n) == 0 && (!type[n] || strchr("; \t", type[n]));
}

/* False: it has been refused. */
static bool read_body(struct web_request *r, struct cJSON **body)
{
    struct err err = { 0 };
    size_t size;
    const char *text = web_body(r, &size);
    if (!is_json(web_header(r, "Content-Type"))) {
        api_refuse(r, 415, "the body is to be JSON, with Content-Type: application/json");
        return false;
    }
    if (api_json_parse(text, size, body, &err) < 0) {
        api_refuse(r, 400, err.text);
        return false;
    }
    return true;
}

static void do_call(struct api *api, const struct endpoint *endpoint, struct web_request *r)
{
    struct cJSON *body = NULL;
    if (endpoint->body && !read_body(r, &body)) {
        return;
    }
    if (endpoint->doer != API_HERE) {
        api_jobs_give(api->jobs, endpoint->doer, endpoint->work, r, body);
        return;
    }
    struct api_call call = { .pipeline = api->pipeline, .client = web_client(r), .body = body };
    endpoint->work(&call);
    web_reply_json(r, call.status, call.answer);
    cJSON_Delete(body);
}

static void refuse_method(struct web_request *r, const char *rest)
{
    char allow[40] = "";
    for (size_t i = 0; i < ENDPOINTS; i++) {
        if (strcmp(endpoints[i].path, rest) == 0) {
            size_t n = strlen(allow);
            (void)snprintf(allow + n, sizeof allow - n, "%s%s", n > 0 ? ", " : "",
                           endpoints[i].method == WEB_GET     ? "GET, HEAD"
                           : endpoints[i].method == WEB_PATCH ? "PATCH"
                                                              : "POST");
        }
    }
    (void)web_add_header(r, "Allow", *allow ? allow : "GET, HEAD");
    api_refuse(r, 405, "this method is not for this address");
}

void api_handle(void *arg, struct web_request *r)
{
    const char *rest = web_rest(r);
    bool known = strcmp(rest, "openapi.json") == 0;
    if (known && web_method(r) == WEB_GET) {
        openapi_reply(r);
        return;
    }
    for (size_t i = 0; i < ENDPOINTS; i++) {
        bool here = strcmp(endpoints[i].path, rest) == 0;
        if (here && endpoints[i].method == web_method(r)) {
            do_call(site_api(arg), &endpoints[i], r);
            return;
        }
        known |= here;
    }
    if (known) {
        refuse_method(r, rest);
    } else {
        api_refuse(r, 404, "there is nothing here; " ROOT "openapi.json describes what there is");
    }
}

/* ---- figures ---- */

static void show_stats(struct site *site, struct web_request *r)
{
    web_reply_json(r, 200, stats_json(site, &site_api(site)->health));
}

static void show_metrics(struct site *site, struct web_request *r)
{
    size_t size = 0;
    struct api *api = site_api(site);
    char *text = metrics_of(site, &api->health, &api->told, &size);
    if (text) {
        web_reply_bytes(r, 200, METRICS_TYPE, text, size, free, text);
    } else {
        web_reply_text(r, 503, "out of memory");
    }
}

/* In main: files of the kernel may take a millisecond, for which no viewer should wait. */
static void read_host(struct api_call *call)
{
    struct api *api = site_api(call->arg);
    host_get(api->host, clock_now_us(), &api->fresh);
}

static void take_health(const struct api_call *call)
{
    struct api *api = site_api(call->arg);
    api->reading = false;
    api->health = api->fresh;
    api->health_us = clock_now_us();
}

static void stats_read(struct api_call *call, struct web_request *r)
{
    take_health(call);
    if (r) {
        show_stats(call->arg, r);
    }
}

static void metrics_read(struct api_call *call, struct web_request *r)
{
    take_health(call);
    if (r) {
        show_metrics(call->arg, r);
    }
}

/* Who asks while it is being read gets the last reading. */
static bool is_fresh(const struct api *api)
{
    return api->reading || clock_now_us() - api->health_us < CLOCK_S;
}

void api_get_stats(void *arg, struct web_request *r)
{
    struct api *api = site_api(arg);
    if (is_fresh(api)) {
        show_stats(arg, r);
        return;
    }
    api->reading = true;
    api_jobs_ask_main(api->jobs, read_host, stats_read, arg, r);
}

void api_get_metrics(void *arg, struct web_request *r)
{
    struct api *api = site_api(arg);
    if (is_fresh(api)) {
        show_metrics(arg, r);
        return;
    }
    api->reading = true;
    api_jobs_ask_main(api->jobs, read_host, metrics_read, arg, r);
}

/* ---- life ---- */

struct api *api_new(const struct site *site)
{
    struct api *api = calloc(1, sizeof *api);
    if (!api) {
        return NULL;
    }
    api->pipeline = site_env(site)->pipeline;
    api->host = host_new("");
    api->jobs = api_jobs_new(site_web(site), api->pipeline);
    if (!api->host || !api->jobs) {
        api_free(api);
        return NULL;
    }
    host_get(api->host, clock_now_us(), &api->fresh);
    api->health = api->fresh;
    return api;
}

void api_stop(struct api *api)
{
    api_jobs_stop(api->jobs);
}

void api_free(struct api *api)
{
    if (api) {
        api_jobs_free(api->jobs);
        host_free(api->host);
        free(api);
    }
}
