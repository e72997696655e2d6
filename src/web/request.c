/* SPDX-License-Identifier: MIT */
#include "request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access.h"
#include "client.h"
#include "pcs/serve.h"
#include "request_internal.h"
#include "server.h"

static const struct {
    const char *name;
    enum web_method method;
} methods[] = { { "GET", WEB_GET }, { "HEAD", WEB_GET },    { "POST", WEB_POST },
                { "PUT", WEB_PUT }, { "PATCH", WEB_PATCH }, { "DELETE", WEB_DELETE } };
#define METHODS (sizeof methods / sizeof methods[0])

struct web_later {
    struct web_request *request; /* NULL: its client has gone */
};

/* ---- what it says ---- */

enum web_method web_method(const struct web_request *r)
{
    return r->method;
}

const char *web_path(const struct web_request *r)
{
    return r->path;
}

const char *web_rest(const struct web_request *r)
{
    size_t n = strlen(r->route->path);
    return strlen(r->path) > n ? r->path + n : "";
}

const char *web_query(struct web_request *r, const char *name)
{
    if (r->query) {
        r->pair_count = http_query(r->query, r->pair, REQUEST_PAIRS);
        r->query = NULL;
    }
    for (size_t i = 0; i < r->pair_count; i++) {
        if (strcmp(r->pair[i].name, name) == 0) {
            return r->pair[i].value;
        }
    }
    return NULL;
}

const char *web_header(const struct web_request *r, const char *name)
{
    return http_find(&r->head, name);
}

const char *web_body(const struct web_request *r, size_t *size)
{
    *size = (size_t)r->head.body_size;
    return *size > 0 ? r->client->in.bytes + r->head_size : "";
}

const char *web_client(const struct web_request *r)
{
    return r->client->name;
}

bool web_secure(const struct web_request *r)
{
    return r->client->secure;
}

/* ---- life ---- */

static void find_method(struct web_request *r)
{
    for (size_t i = 0; i < METHODS; i++) {
        if (strcmp(r->head.method, methods[i].name) == 0) {
            r->method = methods[i].method;
        }
    }
    r->is_head = strcmp(r->head.method, "HEAD") == 0;
}

int request_new(struct client *c, size_t head_size)
{
    struct web_request *r = calloc(1, sizeof *r + head_size);
    if (!r) {
        return -503;
    }
    r->client = c;
    r->head_size = head_size;
    r->path = (char *)"";
    c->request = r;
    c->web->buffered += sizeof *r + head_size;
    web_bound_memory(c->web, c);
    memcpy(r->bytes, c->in.bytes, head_size);
    int code = http_parse(r->bytes, head_size, &r->head);
    if (code == 0 && c->web->buffered > c->web->max_buffered) {
        code = -503; /* for those that are being answered */
    }
    if (code < 0) {
        r->head.body_size = 0;
        return code;
    }
    find_method(r);
    return 0;
}

void request_free(struct web_request *r)
{
    if (!r) {
        return;
    }
    if (r->later) {
        r->later->request = NULL;
    }
    if (r->body_ended) {
        r->client->in.bytes[request_size(r)] = r->behind_body;
    }
    r->client->web->buffered -= sizeof *r + r->head_size;
    free(r);
}

size_t request_size(const struct web_request *r)
{
    return r->head_size + (size_t)r->head.body_size;
}

/* There is always room for it: see the client's buffer. */
static void end_body(struct web_request *r)
{
    char *end = r->client->in.bytes + request_size(r);
    r->behind_body = *end;
    r->body_ended = true;
    *end = '\0';
}

/* ---- what may be done with it ---- */

static bool fits(const struct web_route *route, const struct web_request *r)
{
    size_t n = strlen(route->path);
    if (route->listeners && !(route->listeners & r->client->listener)) {
        return false;
    }
    if (!(route->flags & WEB_PREFIX)) {
        return strcmp(route->path, r->path) == 0;
    }
    /* "/api/" is also "/api" */
    return strncmp(route->path, r->path, n) == 0 ||
           (n > 1 && strlen(r->path) == n - 1 && strncmp(route->path, r->path, n - 1) == 0);
}

static const struct web_route *find_route(const struct web_request *r)
{
    for (const struct web_route *route = r->client->web->config.routes; route->path; route++) {
        if (fits(route, r)) {
            return route;
        }
    }
    return NULL;
}

static void list_methods(const struct web_route *route, char list[80])
{
    size_t n = 0;
    *list = '\0';
    for (size_t i = 0; i < METHODS; i++) {
        if (route->methods & methods[i].method) {
            n += (size_t)snprintf(list + n, 80 - n, "%s%s", n > 0 ? ", " : "", methods[i].name);
        }
    }
    (void)snprintf(list + n, 80 - n, "%sOPTIONS", n > 0 ? ", " : "");
}

static bool knows_token(struct web_request *r)
{
    const char *token = r->client->web->token;
    return !token || access_granted(token, web_query(r, "token"), web_header(r, "Authorization"));
}

static void refuse_token(struct web_request *r)
{
    char realm[120];
    (void)snprintf(realm, sizeof realm, "Basic realm=\"%s\", charset=\"UTF-8\"",
                   r->client->web->config.name);
    (void)web_add_header(r, "WWW-Authenticate", realm);
    web_reply_text(r, 401,
                   "a token is needed: ?token=..., Authorization: Bearer ..., or as the password");
}

/* Pages of other sites that are allowed to ask must also be allowed to read the answer (Fetch, "CORS"). */
static bool judge_origin(struct web_request *r)
{
    const char *origin = web_header(r, "Origin"), *host = web_header(r, "Host");
    const struct option_list *allowed = &r->client->web->config.serve->origins;
    if (!origin || !access_foreign(origin, host)) {
        return true;
    }
    if (access_origin(origin, host, allowed)) {
        (void)web_add_header(r, "Access-Control-Allow-Origin", origin);
        (void)web_add_header(r, "Vary", "Origin");
        return true;
    }
    return !(r->route->flags & WEB_SAME_SITE);
}

static void answer_options(struct web_request *r, const char *list)
{
    (void)web_add_header(r, "Allow", list);
    (void)web_add_header(r, "Access-Control-Allow-Methods", list);
    (void)web_add_header(r, "Access-Control-Allow-Headers", "Authorization, Content-Type");
    web_reply_bytes(r, 204, NULL, NULL, 0, NULL, NULL);
}

static void refuse_with(struct web_request *r, int status, const char *why)
{
    counter_add(&r->client->web->refused, 1);
    web_reply_text(r, status, "%s", why);
}

static bool is_trusted_host(struct web_request *r)
{
    const struct web *w = r->client->web;
    const char *host = web_header(r, "Host");
    return w->token || !host || !*host || access_host(host, w->host, &w->config.serve->origins);
}

/* A method that the route has not. */
static void answer_other(struct web_request *r)
{
    char list[80];
    list_methods(r->route, list);
    if (strcmp(r->head.method, "OPTIONS") == 0) {
        answer_options(r, list);
        return;
    }
    (void)web_add_header(r, "Allow", list);
    refuse_with(r, 405, "this method is not for this address");
}

static void route_request(struct web_request *r)
{
    if (!is_trusted_host(r)) {
        refuse_with(r, 421,
                    "this name is not known to be this machine's: use its address, or name it "
                    "by --allow-origin");
        return;
    }
    r->route = find_route(r);
    if (!r->route) {
        web_reply_text(r, 404, "%s", r->client->web->config.not_found);
    } else if (!judge_origin(r)) {
        refuse_with(r, 403, "a page of another site may not do this: name it by --allow-origin");
    } else if (!(r->route->methods & (unsigned)r->method)) {
        answer_other(r);
    } else if (!(r->route->flags & WEB_OPEN) && !knows_token(r)) {
        counter_add(&r->client->web->refused, 1);
        refuse_token(r);
    } else {
        r->route->handle(r->client->web->config.arg, r);
    }
}

void request_answer(struct web_request *r)
{
    struct client *c = r->client;
    int code = http_target((char *)r->head.target, &r->path, &r->query);
    if (code == -400) {
        request_refuse(c, 400);
        return;
    }
    if (r->head.body_size > 0) {
        end_body(r);
    }
    if (code < 0) {
        web_reply_text(r, 404, "%s", c->web->config.not_found);
        return;
    }
    route_request(r);
    if (c->request == r && !r->answered && !r->later) {
        web_reply_text(r, 500, "nothing has answered this");
    }
}

/* ---- later ---- */

struct web_later *web_defer(struct web_request *r)
{
    struct web_later *later = malloc(sizeof *later);
    if (later) {
        later->request = r;
        r->later = later;
    }
    return later;
}

struct web_request *web_resume(struct web_later *later)
{
    struct web_request *r = later->request;
    if (r) {
        r->later = NULL;
    }
    free(later);
    return r;
}
