/* SPDX-License-Identifier: MIT */
#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client.h"
#include "pcs/frame.h"
#include "pcs/text.h"
#include "request_internal.h"
#include "server.h"

static const char *reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {
        { 101, "Switching Protocols" },
        { 200, "OK" },
        { 201, "Created" },
        { 202, "Accepted" },
        { 204, "No Content" },
        { 206, "Partial Content" },
        { 304, "Not Modified" },
        { 400, "Bad Request" },
        { 401, "Unauthorized" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 408, "Request Timeout" },
        { 409, "Conflict" },
        { 411, "Length Required" },
        { 413, "Content Too Large" },
        { 415, "Unsupported Media Type" },
        { 421, "Misdirected Request" },
        { 422, "Unprocessable Content" },
        { 426, "Upgrade Required" },
        { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" },
        { 503, "Service Unavailable" },
        { 505, "HTTP Version Not Supported" },
    };
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (reasons[i].status == status) {
            return reasons[i].text;
        }
    }
    return "Unknown";
}

static void date(char out[40])
{
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    /* Its names of days and months are those of the C locale, which we never leave. */
    (void)strftime(out, 40, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

size_t reply_start(const struct client *c, const struct web_request *r, int status,
                   char to[REPLY_HEAD])
{
    char now[40];
    date(now);
    int n = snprintf(to, REPLY_HEAD,
                     "HTTP/1.1 %d %s\r\nServer: %.60s\r\nDate: %s\r\n"
                     "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n%.*s",
                     status, reason(status), c->web->config.name, now, r ? (int)r->extra_size : 0,
                     r ? r->extra : "");
    return (size_t)n; /* REPLY_HEAD is more than all of this can be */
}

bool web_add_header(struct web_request *r, const char *name, const char *value)
{
    char *to = r->extra + r->extra_size;
    size_t room = sizeof r->extra - r->extra_size;
    if (strpbrk(value, "\r\n")) {
        return false;
    }
    int n = snprintf(to, room, "%s: %s\r\n", name, value);
    if (n < 0 || (size_t)n >= room) {
        *to = '\0';
        return false;
    }
    r->extra_size += (size_t)n;
    return true;
}

/* The connection ends here unless both sides are in step about where the next request begins. */
static void send_reply(struct client *c, struct web_request *r, int status, const char *type,
                       bool close, struct client_out *out)
{
    char head[REPLY_HEAD];
    size_t n = reply_start(c, r, status, head);
    bool empty = status == 204 || status == 304;
    bool endless = r && r->is_head && !out->body; /* what GET would send has no length */
    if (type && !empty) {
        n += (size_t)snprintf(head + n, sizeof head - n, "Content-Type: %.100s\r\n", type);
    }
    if (!empty && !endless) {
        n += (size_t)snprintf(head + n, sizeof head - n, "Content-Length: %zu\r\n", out->body_size);
    }
    bool keeps = r && r->head.minor == 0 && !close;
    n += (size_t)snprintf(head + n, sizeof head - n, "%s\r\n",
                          close   ? "Connection: close\r\n"
                          : keeps ? "Connection: keep-alive\r\n"
                                  : "");
    if (empty || (r && r->is_head)) {
        out->body_size = 0;
    }
    out->head = malloc(n);
    out->head_size = n;
    if (!out->head) {
        out->head_size = out->body_size = 0; /* the connection just ends */
        close = true;
    } else {
        memcpy(out->head, head, n);
    }
    client_send(c, out, close);
}

static void answer(struct web_request *r, int status, const char *type, const void *body,
                   size_t size, void (*release)(void *arg), void *arg)
{
    struct client_out out = { .body = body, .body_size = size, .release = release, .arg = arg };
    r->answered = true;
    send_reply(r->client, r, status, type, r->head.close || r->client->web->stopping, &out);
}

void web_reply_bytes(struct web_request *r, int status, const char *type, const void *bytes,
                     size_t size, void (*release)(void *arg), void *arg)
{
    (void)web_add_header(r, "Cache-Control", "no-store");
    answer(r, status, type, bytes, size, release, arg);
}

void web_reply_text(struct web_request *r, int status, const char *fmt, ...)
{
    va_list args;
    char *text = NULL;
    va_start(args, fmt);
    int n = vasprintf(&text, fmt, args);
    va_end(args);
    if (n < 0) {
        web_reply_bytes(r, 503, NULL, NULL, 0, NULL, NULL);
        return;
    }
    text[n] = '\n'; /* in place of the NUL */
    web_reply_bytes(r, status, "text/plain; charset=utf-8", text, (size_t)n + 1, free, text);
}

void web_reply_json(struct web_request *r, int status, struct cJSON *o)
{
    char *text = o ? cJSON_PrintUnformatted(o) : NULL;
    cJSON_Delete(o);
    if (!text) {
        web_reply_text(r, 500, "out of memory");
        return;
    }
    size_t size = strlen(text);
    text_clean(text, size); /* names and paths may be anything; JSON is UTF-8 */
    web_reply_bytes(r, status, "application/json", text, size, cJSON_free, text);
}

static void unref_frame(void *arg)
{
    frame_unref(arg);
}

void web_reply_frame(struct web_request *r, const struct frame *frame)
{
    char value[40];
    (void)snprintf(value, sizeof value, "%lld.%06lld", (long long)(frame->wall_us / 1000000),
                   (long long)(frame->wall_us % 1000000));
    (void)web_add_header(r, "X-Timestamp", value);
    (void)snprintf(value, sizeof value, "%llu", (unsigned long long)frame->seq);
    (void)web_add_header(r, "X-Frame-Number", value);
    web_reply_bytes(r, 200, "image/jpeg", frame->data, frame->size, unref_frame,
                    (void *)frame_ref(frame));
}

void web_reply_file(struct web_request *r, const struct web_file *file)
{
    const char *known = web_header(r, "If-None-Match");
    bool gzip = file->gzip && http_lists(&r->head, "Accept-Encoding", "gzip");
    if (file->csp) {
        (void)web_add_header(r, "Content-Security-Policy", file->csp);
    }
    (void)web_add_header(r, "Cache-Control", file->etag ? "no-cache" : "no-store");
    if (file->etag) {
        (void)web_add_header(r, "ETag", file->etag);
    }
    if (file->gzip) {
        (void)web_add_header(r, "Vary", "Accept-Encoding");
    }
    if (known && file->etag && (strstr(known, file->etag) || strcmp(known, "*") == 0)) {
        answer(r, 304, NULL, NULL, 0, NULL, NULL);
        return;
    }
    if (gzip) {
        (void)web_add_header(r, "Content-Encoding", "gzip");
    }
    answer(r, 200, file->type, gzip ? file->gzip : file->data, gzip ? file->gzip_size : file->size,
           NULL, NULL);
}

static const char *say(int status)
{
    switch (status) {
    case 408:
        return "the request took longer than 10 s\n";
    case 411:
        return "say how long the body is: Content-Length\n";
    case 413:
        return "a request may have 64 KiB\n";
    case 431:
        return "a request may have 64 KiB and 100 header lines\n";
    case 503:
        return "out of memory\n";
    case 505:
        return "HTTP/1.0 and 1.1 are spoken here\n";
    default:
        return "this is not a request that can be understood\n";
    }
}

void request_refuse(struct client *c, int status)
{
    const char *text = say(status);
    struct client_out out = { .body = text, .body_size = strlen(text) };
    if (c->request) {
        c->request->answered = true;
    }
    send_reply(c, c->request, status, "text/plain; charset=utf-8", true, &out);
}
