/* SPDX-License-Identifier: MIT */
/*
 * Where the workers run: a waking thread is often put on the core that wakes it, though another one is
 * idle (in virtual machines nearly always: Linux takes a halted virtual core for a busy one). For a job
 * of 2 ms that means no gain at all. So the workers' affinity excludes the core the caller is on.
 */
#include "workers.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>

#include "pcs/thread.h"

struct workers {
    pthread_mutex_t lock; /* guards the job and quit */
    pthread_cond_t start, done;
    void (*job)(void *arg, int index);
    void *arg;
    int count, next, finished;
    bool quit;
    cpu_set_t cores; /* fixed: what the process may use */
    int avoided;     /* caller's: the core that is taken out of the workers' affinity, -1 = none */
    int threads;
    struct thread thread[];
};

/* Do parts until none is left to begin. */
static void work_locked(struct workers *w)
{
    while (w->next < w->count) {
        int index = w->next++;
        pthread_mutex_unlock(&w->lock);
        w->job(w->arg, index);
        pthread_mutex_lock(&w->lock);
        if (++w->finished == w->count) {
            pthread_cond_signal(&w->done);
        }
    }
}

static void run_worker(void *arg)
{
    struct workers *w = arg;
    pthread_mutex_lock(&w->lock);
    while (!w->quit) {
        thread_busy();
        work_locked(w);
        thread_idle();
        while (!w->quit && w->next >= w->count) {
            pthread_cond_wait(&w->start, &w->lock);
        }
    }
    pthread_mutex_unlock(&w->lock);
}

struct workers *workers_new(int count)
{
    struct workers *w = calloc(1, sizeof *w + (size_t)count * sizeof w->thread[0]);
    if (!w) {
        return NULL;
    }
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->start, NULL);
    pthread_cond_init(&w->done, NULL);
    if (sched_getaffinity(0, sizeof w->cores, &w->cores)) {
        CPU_ZERO(&w->cores);
    }
    w->avoided = -1;
    w->threads = count;
    for (int i = 0; i < count; i++) {
        if (thread_start(&w->thread[i], "stripe", run_worker, w)) {
            workers_free(w);
            return NULL;
        }
    }
    return w;
}

void workers_free(struct workers *w)
{
    if (!w) {
        return;
    }
    pthread_mutex_lock(&w->lock);
    w->quit = true;
    pthread_cond_broadcast(&w->start);
    pthread_mutex_unlock(&w->lock);
    for (int i = 0; i < w->threads; i++) {
        thread_join(&w->thread[i]);
    }
    pthread_cond_destroy(&w->done);
    pthread_cond_destroy(&w->start);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

static void avoid_this_core(struct workers *w)
{
    int core = sched_getcpu();
    cpu_set_t others = w->cores;
    if (core < 0 || core == w->avoided || CPU_COUNT(&others) < 2) {
        return;
    }
    CPU_CLR((size_t)core, &others);
    for (int i = 0; i < w->threads; i++) {
        /* A hint: when it fails they merely run where they like. */
        (void)pthread_setaffinity_np(w->thread[i].id, sizeof others, &others);
    }
    w->avoided = core;
}

void workers_run(struct workers *w, void (*job)(void *arg, int index), void *arg, int count)
{
    if (w->threads && count > 1) {
        avoid_this_core(w);
    }
    pthread_mutex_lock(&w->lock);
    w->job = job;
    w->arg = arg;
    w->count = count;
    w->next = 0;
    w->finished = 0;
    if (w->threads && count > 1) {
        pthread_cond_broadcast(&w->start);
    }
    work_locked(w);
    while (w->finished < w->count) {
        pthread_cond_wait(&w->done, &w->lock);
    }
    pthread_mutex_unlock(&w->lock);
}

int workers_cores(int max)
{
    cpu_set_t set;
    int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return cores < max ? cores : max;
}
