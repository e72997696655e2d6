/* SPDX-License-Identifier: MIT */
/*
 * A request to the web server and its answer. A request is whole when its handler is called: head and body
 * together at most 64 KiB (else 431 or 413), within 10 s. The handler answers it by one of the web_reply
 * calls (or feed.h's), or keeps it for later by web_defer; for a handler that does neither a 500 is sent.
 * HEAD is answered by the GET handler; the body is left out.
 *
 * Life: a request belongs to the server and is valid until it is answered; so are the strings that its
 * accessors give. Threads: the web thread, for all of it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "web.h"

struct cJSON;
struct frame;
struct web_later;

enum web_method web_method(const struct web_request *r); /* HEAD is WEB_GET */
const char *web_path(const struct web_request *r);       /* decoded, "/…", without "." and ".." */
/* Below a WEB_PREFIX route: what follows it, "" for the prefix itself. */
const char *web_rest(const struct web_request *r);
/* Value of a query parameter, decoded, or NULL; of several the first. Always well-formed UTF-8. */
const char *web_query(struct web_request *r, const char *name);
/* Value of a header line, name without regard to case, or NULL; of several the first. */
const char *web_header(const struct web_request *r, const char *name);
const char *web_body(const struct web_request *r, size_t *size); /* NUL behind it; never NULL */
const char *web_client(const struct web_request *r);             /* "1.2.3.4:567" */
bool web_secure(const struct web_request *r);                    /* came by TLS */

/* ---- replies: one a request ---- */

/* A header line besides the usual ones, before the reply. Copied. False: no room, it is left out. */
bool web_add_header(struct web_request *r, const char *name, const char *value);

/* text/plain; charset=utf-8; no-store. A line end is added. */
void web_reply_text(struct web_request *r, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void web_reply_json(struct web_request *r, int status, struct cJSON *o); /* takes `o`; NULL = 500 */
/* `release` frees what `bytes` point to, sooner or later, by `arg`; NULL = they outlive the server. */
void web_reply_bytes(struct web_request *r, int status, const char *type, const void *bytes,
                     size_t size, void (*release)(void *arg), void *arg);
/* Takes its own reference; no copy. */
void web_reply_frame(struct web_request *r, const struct frame *frame);

/* What is built into the program. */
struct web_file {
    const char *type; /* "text/html; charset=utf-8" */
    const void *data;
    size_t size;
    const void *gzip; /* the same, compressed, or NULL */
    size_t gzip_size;
    const char *etag; /* with its quotes, or NULL; 304 when the client has it */
    const char *csp;  /* Content-Security-Policy, or NULL */
};
void web_reply_file(struct web_request *r, const struct web_file *file);

/*
 * Answer later: the handle stays valid until it is resumed, which must happen once. web_resume: the request,
 * to be answered now, or NULL when its client has gone. Both in the web thread (see web_post).
 * Before web_free, always. NULL: no memory, and the request is still to be answered.
 */
struct web_later *web_defer(struct web_request *r);
struct web_request *web_resume(struct web_later *later);
