/* SPDX-License-Identifier: MIT */
/*
 * Calls of the API that are not answered in the web thread: what is main's (the options) is one of its errands;
 * what may take the camera a while (its controls) is done by a thread of their own, which is there from the
 * first time on that it is wanted.
 * Life: api_jobs_new → give … → stop, when the web server has stopped → free. Threads: give: the web thread;
 * the rest: main.
 */
#pragma once

struct api_call;
struct api_jobs;
struct cJSON;
struct pipeline;
struct web;
struct web_request;

enum api_doer { API_HERE, API_MAIN, API_CAMERA };

struct api_jobs *api_jobs_new(struct web *web, struct pipeline *pipeline); /* NULL: no memory */
void api_jobs_stop(struct api_jobs *jobs);
void api_jobs_free(struct api_jobs *jobs);

/* Have `work` called by API_MAIN or API_CAMERA, and the request answered by what it says. Takes `body`. */
void api_jobs_give(struct api_jobs *jobs, enum api_doer doer, void (*work)(struct api_call *call),
                   struct web_request *r, struct cJSON *body);

/* Have `work` called by main, then `reply` in the web thread, with NULL when the client has gone. When main does
 * nothing for others any more, only `reply`. */
void api_jobs_ask_main(struct api_jobs *jobs, void (*work)(struct api_call *call),
                       void (*reply)(struct api_call *call, struct web_request *r), void *arg,
                       struct web_request *r);
