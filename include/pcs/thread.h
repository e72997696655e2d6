/* SPDX-License-Identifier: MIT */
/*
 * Named, joined threads with every signal blocked, and their pulse for the watchdog.
 * Life: a struct thread lives in its owner, from thread_start to thread_join.
 * Threads: start and join from the owner's thread; the pulse calls from the thread itself.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct thread {
    pthread_t id;
    bool started;
    void (*run)(void *arg);
    void *arg;
    char name[16];
};

/* Returns 0 or a negative errno. `name` is cut to 15 characters (pthread_setname_np(3)). */
int thread_start(struct thread *thread, const char *name, void (*run)(void *arg), void *arg);
void thread_join(struct thread *thread); /* no-op when it never started */

/*
 * Pulse: a thread that is about to do work of bounded time says "busy", one that waits (poll, disk,
 * join) says "idle". The watchdog asks for the longest that any thread has been busy; so a hung
 * thread is noticed and no thread has to wake up only to say that it lives.
 */
void thread_busy(void);
void thread_idle(void);
int64_t thread_longest_busy_us(int64_t now_us, char name[16]);
