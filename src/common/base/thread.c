/* SPDX-License-Identifier: MIT */
/*
 * The pulse: every thread made by thread_start owns one slot of a fixed table while it runs, with the
 * moment since when it has been busy (0 = idle). Slots are lock-free, because busy/idle are called
 * around every wait of every frame. With more threads than slots the rest go unwatched.
 */
#include "pcs/thread.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "pcs/clock.h"

#define PULSES 512

struct pulse {
    atomic_bool taken;
    _Atomic int64_t busy_since_us;
    char name[16];
};

static struct pulse pulses[PULSES]; /* the process's, as its threads are */
static _Thread_local struct pulse *my_pulse;

static struct pulse *take_pulse(const char *name)
{
    for (int i = 0; i < PULSES; i++) {
        bool expected = false;
        if (atomic_compare_exchange_strong(&pulses[i].taken, &expected, true)) {
            memcpy(pulses[i].name, name, sizeof pulses[i].name);
            return &pulses[i];
        }
    }
    return NULL;
}

static void *enter(void *arg)
{
    struct thread *thread = arg;
    (void)pthread_setname_np(pthread_self(), thread->name); /* only a name */
    my_pulse = take_pulse(thread->name);
    thread->run(thread->arg);
    if (my_pulse) {
        atomic_store(&my_pulse->busy_since_us, 0);
        atomic_store(&my_pulse->taken, false);
    }
    return NULL;
}

int thread_start(struct thread *thread, const char *name, void (*run)(void *arg), void *arg)
{
    *thread = (struct thread){ .run = run, .arg = arg };
    strncpy(thread->name, name, sizeof thread->name - 1);

    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&thread->id, NULL, enter, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    thread->started = code == 0;
    return -code;
}

void thread_join(struct thread *thread)
{
    if (thread->started) {
        pthread_join(thread->id, NULL);
        thread->started = false;
    }
}

void thread_busy(void)
{
    if (my_pulse) {
        atomic_store_explicit(&my_pulse->busy_since_us, clock_now_us(), memory_order_relaxed);
    }
}

void thread_idle(void)
{
    if (my_pulse) {
        atomic_store_explicit(&my_pulse->busy_since_us, 0, memory_order_relaxed);
    }
}

int64_t thread_longest_busy_us(int64_t now_us, char name[16])
{
    int64_t longest_us = 0;
    for (int i = 0; i < PULSES; i++) {
        int64_t since_us = atomic_load_explicit(&pulses[i].busy_since_us, memory_order_relaxed);
        if (atomic_load(&pulses[i].taken) && since_us != 0 && now_us - since_us > longest_us) {
            longest_us = now_us - since_us;
            memcpy(name, pulses[i].name, sizeof pulses[i].name);
        }
    }
    return longest_us;
}
