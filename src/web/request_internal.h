/* SPDX-License-Identifier: MIT */
/* A request between its client and its handler. Threads: the web thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "http_parse.h"
#include "request.h"

#define REQUEST_PAIRS 32
#define REPLY_HEAD    2048 /* of a reply: the usual lines, and what is added */
#define REPLY_EXTRA   1024

struct client;
struct client_out;

struct web_request {
    struct client *client;
    const struct web_route *route;
    struct http_head head; /* its strings lie in `bytes` */
    size_t head_size;
    bool is_head, answered, body_ended;
    char behind_body; /* what stood there before the NUL, when body_ended */
    enum web_method method;
    char *path, *query;
    struct http_pair pair[REQUEST_PAIRS];
    size_t pair_count;
    char extra[REPLY_EXTRA]; /* header lines for the reply */
    size_t extra_size;
    struct web_later *later;
    char bytes[]; /* the head, taken apart */
};

/* Parse the head that the client has read: 0, or minus the status of the refusal. */
int request_new(struct client *c, size_t head_size);
void request_free(struct web_request *r);
/* Bytes of the client's input that it stands for. */
size_t request_size(const struct web_request *r);
/* Have it answered, or refuse it. */
void request_answer(struct web_request *r);
/* Answer with `status` and close; there need not be a request. */
void request_refuse(struct client *c, int status);

/* Status line and the lines that every reply has, and those of `r` (may be NULL), into `to`: how many
 * bytes, without the empty line. */
size_t reply_start(const struct client *c, const struct web_request *r, int status,
                   char to[REPLY_HEAD]);
