/* SPDX-License-Identifier: MIT */
/*
 * One call of /api/v1/…, as the files that do the work see it: what was asked, and what to answer.
 * Threads: one at a time.
 */
#pragma once

#include "pcs/err.h"

struct cJSON;
struct pipeline;
struct web_request;

struct api_call {
    struct pipeline *pipeline;
    const char *client;       /* who asks, for the log */
    void *arg;                /* api_jobs_ask_main's */
    const struct cJSON *body; /* NULL: none was asked for */
    int status;               /* to be set with … */
    struct cJSON *answer;     /* … this, whose owner is the call; NULL = no memory */
};

/* {"error": text, "field": field}; `field` may be NULL. */
void api_fail(struct api_call *call, int status, const char *field, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* The same when there is no call yet. */
void api_refuse(struct web_request *r, int status, const char *text);

/* main's */
void api_get_settings(struct api_call *call);
void api_patch_settings(struct api_call *call);
/* the API's own thread's */
void api_get_controls(struct api_call *call);
void api_patch_controls(struct api_call *call);
/* any thread's: they never wait */
void api_post_keyframe(struct api_call *call);
void api_get_recording(struct api_call *call);
void api_post_recording(struct api_call *call);
void api_post_dump(struct api_call *call);
