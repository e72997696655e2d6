/* SPDX-License-Identifier: MIT */
/*
 * A call goes round like this: web thread: request kept for later → its doer: the work → web thread (web_post):
 * answer. When the server has stopped meanwhile, nobody waits for the answer, and main puts the call away.
 */
#include "api_jobs.h"

#include <cjson/cJSON.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "api_call.h"
#include "errands.h"
#include "pcs/stop.h"
#include "pcs/thread.h"
#include "pipeline.h"
#include "web/request.h"

#define MOST_UNDER_WAY 64

struct api_jobs {
    struct web *web;
    struct pipeline *pipeline;
    unsigned under_way; /* the web thread's */

    struct errands *camera; /* for `thread` */
    struct stop *stop;
    struct thread thread;

    pthread_mutex_t lock;     /* guards: */
    struct errand *abandoned; /* calls whose answer the server would not take */
};

/* A call on its way. */
struct job {
    struct errand errand; /* first */
    struct api_jobs *jobs;
    void (*work)(struct api_call *call);
    void (*reply)(struct api_call *call, struct web_request *r); /* NULL: the call's answer */
    struct web_later *later;
    struct cJSON *body;
    char client[80];
    struct api_call call;
};

static void job_free(struct job *job)
{
    cJSON_Delete(job->body);
    cJSON_Delete(job->call.answer);
    free(job);
}

/* In the web thread, or in main when that has ended. */
static void answer(void *arg)
{
    struct job *job = arg;
    struct web_request *r = web_resume(job->later);
    job->jobs->under_way--;
    if (job->reply) {
        job->reply(&job->call, r);
    } else if (r) {
        web_reply_json(r, job->call.status, job->call.answer);
        job->call.answer = NULL;
    }
    job_free(job);
}

static void run_job(struct errand *errand, bool called_off)
{
    struct job *job = (struct job *)errand;
    struct api_jobs *jobs = job->jobs;
    if (called_off) {
        api_fail(&job->call, 503, NULL, "the program is stopping");
    } else {
        job->work(&job->call);
    }
    if (!web_post(jobs->web, answer, job)) {
        pthread_mutex_lock(&jobs->lock);
        errand->next = jobs->abandoned;
        jobs->abandoned = errand;
        pthread_mutex_unlock(&jobs->lock);
    }
}

static void run_camera(void *arg)
{
    struct api_jobs *jobs = arg;
    for (;;) {
        thread_idle(); /* a camera may take its time, and it is not ours to say how long */
        if (stop_poll(jobs->stop, errands_fd(jobs->camera), POLLIN, -1) <= 0) {
            return;
        }
        errands_run(jobs->camera);
    }
}

/* The thread is there from the first call on. */
static bool put_camera(struct api_jobs *jobs, struct job *job)
{
    if (!jobs->thread.started && thread_start(&jobs->thread, "api", run_camera, jobs) < 0) {
        return false;
    }
    return errands_put(jobs->camera, &job->errand);
}

static struct job *job_new(struct api_jobs *jobs, void (*work)(struct api_call *call),
                           struct web_request *r)
{
    struct job *job = calloc(1, sizeof *job);
    if (!job) {
        return NULL;
    }
    job->errand.run = run_job;
    job->jobs = jobs;
    job->work = work;
    (void)snprintf(job->client, sizeof job->client, "%s", web_client(r));
    job->call = (struct api_call){ .pipeline = jobs->pipeline, .client = job->client };
    job->later = web_defer(r);
    if (!job->later) {
        free(job);
        return NULL;
    }
    return job;
}

void api_jobs_give(struct api_jobs *jobs, enum api_doer doer, void (*work)(struct api_call *call),
                   struct web_request *r, struct cJSON *body)
{
    struct job *job = jobs->under_way < MOST_UNDER_WAY ? job_new(jobs, work, r) : NULL;
    if (!job) {
        cJSON_Delete(body);
        api_refuse(r, 503, "too many calls at once");
        return;
    }
    jobs->under_way++;
    job->body = body;
    job->call.body = body;
    bool taken = doer == API_MAIN ? errands_put(pipeline_errands(jobs->pipeline), &job->errand)
                                  : put_camera(jobs, job);
    if (!taken) {
        api_fail(&job->call, 503, NULL, "the program is stopping, or has no memory for a thread");
        answer(job);
    }
}

void api_jobs_ask_main(struct api_jobs *jobs, void (*work)(struct api_call *call),
                       void (*reply)(struct api_call *call, struct web_request *r), void *arg,
                       struct web_request *r)
{
    struct job *job = jobs->under_way < MOST_UNDER_WAY ? job_new(jobs, work, r) : NULL;
    if (!job) {
        struct api_call call = { .pipeline = jobs->pipeline, .arg = arg };
        reply(&call, r);
        return;
    }
    jobs->under_way++;
    job->reply = reply;
    job->call.arg = arg;
    if (!errands_put(pipeline_errands(jobs->pipeline), &job->errand)) {
        answer(job);
    }
}

/* ---- life ---- */

struct api_jobs *api_jobs_new(struct web *web, struct pipeline *pipeline)
{
    struct api_jobs *jobs = calloc(1, sizeof *jobs);
    if (!jobs) {
        return NULL;
    }
    pthread_mutex_init(&jobs->lock, NULL);
    jobs->web = web;
    jobs->pipeline = pipeline;
    jobs->camera = errands_new();
    jobs->stop = stop_new();
    if (!jobs->camera || !jobs->stop) {
        api_jobs_free(jobs);
        return NULL;
    }
    return jobs;
}

void api_jobs_stop(struct api_jobs *jobs)
{
    stop_request(jobs->stop);
    thread_join(&jobs->thread);
    errands_close(jobs->camera);
    struct errand *next, *errand = jobs->abandoned; /* nobody else is there any more */
    jobs->abandoned = NULL;
    for (; errand; errand = next) {
        next = errand->next;
        answer(errand);
    }
}

void api_jobs_free(struct api_jobs *jobs)
{
    if (jobs) {
        stop_free(jobs->stop);
        errands_free(jobs->camera);
        pthread_mutex_destroy(&jobs->lock);
        free(jobs);
    }
}
