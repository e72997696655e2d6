/* SPDX-License-Identifier: MIT */
/*
 * HTTP/1.x requests (RFC 9112): bytes in, struct out, no I/O. Parsing is in place: the strings of a head lie
 * in the buffer that was parsed, each with a NUL behind it.
 * Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_FIELDS_MAX 100

struct http_field {
    const char *name, *value; /* the value without the white space around it */
};

struct http_head {
    const char *method, *target;
    int minor; /* of HTTP/1.minor */
    struct http_field field[HTTP_FIELDS_MAX];
    size_t field_count;
    uint64_t body_size;
    bool close;           /* the client wants no more on this connection */
    bool expect_continue; /* it waits for 100 before it sends the body */
};

/* Bytes up to and with the empty line that ends the head, 0 = not there yet. `*scanned` (0 at first) keeps
 * what need not be looked at again. A few empty lines in front of it are part of it. */
size_t http_head_size(const char *bytes, size_t size, size_t *scanned);

/* 0, or minus the HTTP status of the refusal. `size` is http_head_size's. Lines end by CR LF or all by LF alone,
 * as people type them. */
int http_parse(char *bytes, size_t size, struct http_head *out);

/* The first header line of that name, or NULL. */
const char *http_find(const struct http_head *head, const char *name);

/* Is `token` in the comma-separated lists of the header lines of that name? Without regard to case. */
bool http_lists(const struct http_head *head, const char *name, const char *token);

/*
 * Take a target apart, in place: "/a%20b?c=d" to the path "/a b" and the query "c=d", which may be NULL;
 * "http://host/a" too. 0, -400 for what is no path, -404 for "." and ".." among its parts.
 */
int http_target(char *target, char **path, char **query);

struct http_pair {
    const char *name, *value;
};
/* Take "a=b&c=%20" apart, in place; both decoded, bytes that are no printable UTF-8 replaced by '?'. */
size_t http_query(char *query, struct http_pair *out, size_t max);
