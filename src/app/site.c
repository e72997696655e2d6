/* SPDX-License-Identifier: MIT */
#include "site.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "pcs/log.h"
#include "pcs/serve.h"
#include "pipeline.h"
#include "web/feed.h"
#include "web/token.h"
#include "web/web.h"

struct site {
    const struct sink_env *env;
    struct web *web;
    struct api *api;
    struct web_feed *mjpeg, *h264;
    unsigned refs;
    bool started, stopped;
    char made[TOKEN_SIZE]; /* the token, if it is one of ours: then the log may show it */
};

static void site_free(struct site *s)
{
    if (s) {
        api_free(s->api);
        web_free(s->web);
        free(s);
    }
}

static int site_new(struct site **out, const struct sink_env *env, struct err *err)
{
    const struct web_config config = { .name = env->version,
                                       .routes = site_routes,
                                       .not_found = site_endpoints,
                                       .serve = env->serve };
    struct site *s = calloc(1, sizeof *s);
    struct web_config own = config;
    own.arg = s;
    int code = s ? web_new(&s->web, &own, err) : err_set(err, -ENOMEM, "out of memory");
    if (code == 0) {
        s->env = env;
        s->mjpeg = feed_new(s->web, FEED_MJPEG, env->jpeg);
        s->h264 = feed_new(s->web, FEED_WS, env->h264);
        s->api = api_new(s);
        code = s->mjpeg && s->h264 && s->api ? 0 : err_set(err, -ENOMEM, "out of memory");
    }
    if (code < 0) {
        site_free(s);
        return code;
    }
    *out = s;
    return 0;
}

int site_ref(struct site **out, const struct sink_env *env, struct err *err)
{
    struct site **shared = pipeline_site(env->pipeline);
    int code = *shared ? 0 : site_new(shared, env, err);
    if (code == 0) {
        (*shared)->refs++;
        *out = *shared;
    }
    return code;
}

void site_unref(struct site *s)
{
    if (s && --s->refs == 0) {
        *pipeline_site(s->env->pipeline) = NULL;
        site_free(s);
    }
}

/* ---- tokens ---- */

static int make_token(struct site *s, struct err *err)
{
    struct err why = { 0 };
    int code = token_load(s->made, &why);
    if (code < 0) {
        *err = why;
        return code;
    }
    if (code > 0) {
        log_warn("the token of this run cannot be kept for the next: %s", why.text);
    }
    return web_set_token(s->web, s->made);
}

/* What visitors of a new listener must know. */
static int need_token(struct site *s, const struct web_spot *spot, struct err *err)
{
    const char *given = s->env->serve->token;
    const char *token = given ? given : spot->exposed ? "auto" : "none";
    if (strcmp(token, "auto") == 0) {
        return *s->made ? 0 : make_token(s, err);
    }
    if (strcmp(token, "none") != 0) {
        return web_set_token(s->web, token);
    }
    if (spot->exposed) {
        log_warn("anybody who can reach %s can watch: --auth-token is none", spot->name);
    }
    return 0;
}

int site_listen(struct site *s, const struct web_place *place, struct err *err)
{
    struct web_spot spot;
    int code = web_listen(s->web, place, &spot, err);
    code = code == 0 ? need_token(s, &spot, err) : code;
    if (code < 0) {
        return code;
    }
    const char *kind = place->bit == SITE_WS ? "ws" : "http",
               *s_tls = web_is_secure(s->web) ? "s" : "";
    if (spot.port == 0) {
        log_info("%s: listening on %s%s%s", kind, spot.name, *s->made ? ", token " : "", s->made);
        return 0;
    }
    log_info("%s: listening on %s: %s%s:%s/%s%s", kind, spot.name, kind, s_tls, spot.url,
             *s->made ? "?token=" : "", s->made);
    return 0;
}

/* ---- life with the pipeline ---- */

int site_start(struct site *s, struct err *err)
{
    int code = s->started ? 0 : web_start(s->web);
    s->started = true;
    return code < 0 ? err_set(err, code, "web server: %s", err_text(code)) : 0;
}

void site_stop(struct site *s, int64_t deadline_us)
{
    if (!s->stopped) {
        s->stopped = true;
        web_stop(s->web, deadline_us);
        api_stop(s->api);
    }
}

const struct sink_env *site_env(const struct site *s)
{
    return s->env;
}

struct api *site_api(const struct site *s)
{
    return s->api;
}

struct web *site_web(const struct site *s)
{
    return s->web;
}

struct web_feed *site_mjpeg(const struct site *s)
{
    return s->mjpeg;
}

struct web_feed *site_h264(const struct site *s)
{
    return s->h264;
}
