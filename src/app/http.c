/* SPDX-License-Identifier: MIT */
#include "http.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "pcs/hub.h"
#include "pcs/log.h"
#include "pcs/option.h"
#include "pcs/serve.h"
#include "pcs/sink.h"
#include "pcs/stats.h"
#include "site.h"
#include "web/activation.h"
#include "web/feed.h"
#include "web/web.h"

struct http_config {
    const char *place; /* a port, or unix:/path; NULL: nowhere */
    bool usual;        /* nobody named it */
};

struct sink {
    const char *kind;
    const char *place;
    struct site *site;
    struct web_feed *feed;
    struct hub *hub;
};

static const struct option_def http_options[] = {
    { .name = "http-port",
      .type = OPTION_STRING,
      .offset = offsetof(struct http_config, place),
      .arg = "PORT|unix:PATH|systemd",
      .help = "serve page, MJPEG, pictures and figures by HTTP there; 0 = any free port" },
};

static const struct option_def ws_options[] = {
    { .name = "ws-port",
      .type = OPTION_STRING,
      .offset = offsetof(struct http_config, place),
      .arg = "PORT|unix:PATH|systemd",
      .help = "serve H.264 by WebSocket there; 0 = any free port" },
};

static bool is_wanted(const void *config)
{
    const struct http_config *c = config;
    return c->place != NULL;
}

static void http_serve(void *config)
{
    struct http_config *c = config;
    c->usual = !c->place;
    c->place = c->place ? c->place : "8080";
}

static void ws_serve(void *config)
{
    struct http_config *c = config;
    c->place = c->place ? c->place : "8765";
}

/* "8080", "unix:/run/camera.sock" or "systemd". */
static int parse_place(const char *text, struct web_place *out)
{
    char *end;
    out->port = out->fd = -1;
    if (strncmp(text, "unix:", 5) == 0) {
        out->path = text + 5;
        return *out->path ? 0 : -EINVAL;
    }
    if (strcmp(text, "systemd") == 0) {
        return 0;
    }
    errno = 0;
    long port = strtol(text, &end, 10);
    if (errno || end == text || *end || port < 0 || port > 65535) {
        return -EINVAL;
    }
    out->port = (int)port;
    return 0;
}

static int check(const char *option, const void *config, struct err *err)
{
    const struct http_config *c = config;
    struct web_place place;
    if (c->place && parse_place(c->place, &place) < 0) {
        return err_set(err, -EINVAL,
                       "--%s: '%s' is neither a port (0 to 65535) nor unix:PATH nor systemd",
                       option, c->place);
    }
    return 0;
}

static int http_check(const void *config, struct err *err)
{
    return check("http-port", config, err);
}

static int ws_check(const void *config, struct err *err)
{
    return check("ws-port", config, err);
}

static void http_free(struct sink *s)
{
    if (s) {
        site_unref(s->site);
        free(s);
    }
}

static int open_at(struct sink **out, const char *kind, unsigned bit, const char *text,
                   const struct sink_env *env, struct err *err)
{
    struct web_place place = { .bit = bit, .address = env->serve->address };
    struct sink *s = calloc(1, sizeof *s);
    int code = s ? site_ref(&s->site, env, err) : err_set(err, -ENOMEM, "out of memory");
    if (code == 0) {
        (void)parse_place(text, &place); /* check has seen it */
        code = strcmp(text, "systemd") == 0 ? place.fd = activation_take(kind, err) : 0;
    }
    if (code >= 0) {
        code = site_listen(s->site, &place, err);
    }
    if (code < 0) {
        http_free(s);
        return code;
    }
    s->kind = kind;
    s->place = text;
    s->hub = bit == SITE_WS ? env->h264 : env->jpeg;
    s->feed = bit == SITE_WS ? site_h264(s->site) : site_mjpeg(s->site);
    *out = s;
    return 0;
}

static int http_open(struct sink **out, const void *config, const struct sink_env *env,
                     struct err *err)
{
    const struct http_config *c = config;
    if (c->usual && !env->serve->all) {
        log_info("no output is named, so the picture is served by HTTP on this machine");
    }
    return open_at(out, "http", SITE_HTTP, c->place, env, err);
}

static int ws_open(struct sink **out, const void *config, const struct sink_env *env,
                   struct err *err)
{
    return open_at(out, "ws", SITE_WS, ((const struct http_config *)config)->place, env, err);
}

static int http_start(struct sink *s, struct err *err)
{
    return site_start(s->site, err);
}

static void http_finish(struct sink *s, int64_t deadline_us)
{
    site_stop(s->site, deadline_us);
}

static void http_totals(struct sink *s, struct sink_totals *out)
{
    struct feed_stats f;
    feed_get_stats(s->feed, &f);
    uint64_t published = hub_published(s->hub);
    *out = (struct sink_totals){ .sent = f.frames,
                                 .acked = f.frames,
                                 .dropped = published > f.frames ? published - f.frames : 0,
                                 .bytes = f.bytes,
                                 .connected = f.clients > 0,
                                 .done = f.clients == 0 || f.ended };
}

static struct cJSON *http_report(struct sink *s)
{
    struct sink_totals t;
    struct feed_stats f;
    struct web_stats w;
    http_totals(s, &t);
    feed_get_stats(s->feed, &f);
    web_get_stats(site_web(s->site), &w);
    struct cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "kind", s->kind);
    cJSON_AddStringToObject(o, "target", s->place);
    cJSON_AddNumberToObject(o, "sent", (double)t.sent);
    cJSON_AddNumberToObject(o, "acked", (double)t.acked);
    cJSON_AddNumberToObject(o, "dropped", (double)t.dropped);
    cJSON_AddNumberToObject(o, "bytes", (double)t.bytes);
    cJSON_AddNumberToObject(o, "reconnects", 0);
    cJSON_AddNumberToObject(o, "viewers", (double)f.clients);
    cJSON_AddNumberToObject(o, "delivered", (double)f.sent);
    cJSON_AddNumberToObject(o, "skipped", (double)f.skipped);
    cJSON_AddNumberToObject(o, "rejected", (double)w.rejected);
    cJSON_AddItemToObject(o, "latency_ms", histogram_json(feed_latency(s->feed)));
    return o;
}

const struct sink_backend sink_http = {
    .kind = "http",
    .section = "serve",
    .options = http_options,
    .option_count = OPTION_COUNT(http_options),
    .config_size = sizeof(struct http_config),
    .wanted = is_wanted,
    .serve = http_serve,
    .check = http_check,
    .open = http_open,
    .start = http_start,
    .finish = http_finish,
    .free = http_free,
    .totals = http_totals,
    .report = http_report,
};

const struct sink_backend sink_ws = {
    .kind = "ws",
    .section = "serve",
    .options = ws_options,
    .option_count = OPTION_COUNT(ws_options),
    .config_size = sizeof(struct http_config),
    .wanted = is_wanted,
    .serve = ws_serve,
    .check = ws_check,
    .open = ws_open,
    .start = http_start,
    .finish = http_finish,
    .free = http_free,
    .totals = http_totals,
    .report = http_report,
};
