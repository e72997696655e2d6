/* SPDX-License-Identifier: MIT */
/*
 * The pulse: every thread made by thread_start owns one slot of a fixed table while it runs, with the
 * moment since when it has been busy (0 = idle). That moment needs no lock, because busy/idle are
 * called around every wait of every frame; who owns a slot changes rarely and does. With more threads
 * than slots the rest go unwatched.
 */
#include "pcs/thread.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "pcs/clock.h"

#define PULSES 512

struct pulse {
    _Atomic int64_t busy_since_us;
    bool taken;    /* under pulses_lock */
    char name[16]; /* under pulses_lock */
};

/* The process's, as its threads are. */
static pthread_mutex_t pulses_lock = PTHREAD_MUTEX_INITIALIZER;
static struct pulse pulses[PULSES];
static _Thread_local struct pulse *my_pulse;

static struct pulse *take_pulse(const char *name)
{
    struct pulse *pulse = NULL;
    pthread_mutex_lock(&pulses_lock);
    for (int i = 0; i < PULSES && !pulse; i++) {
        pulse = pulses[i].taken ? NULL : &pulses[i];
    }
    if (pulse) {
        pulse->taken = true;
        memcpy(pulse->name, name, sizeof pulse->name);
    }
    pthread_mutex_unlock(&pulses_lock);
    return pulse;
}

static void give_pulse(struct pulse *pulse)
{
    pthread_mutex_lock(&pulses_lock);
    atomic_store(&pulse->busy_since_us, 0);
    pulse->taken = false;
    pthread_mutex_unlock(&pulses_lock);
}

static void *enter(void *arg)
{
    struct thread *thread = arg;
    (void)pthread_setname_np(pthread_self(), thread->name); /* only a name */
    my_pulse = take_pulse(thread->name);
    thread->run(thread->arg);
    if (my_pulse) {
        give_pulse(my_pulse);
    }
    return NULL;
}

int thread_start(struct thread *thread, const char *name, void (*run)(void *arg), void *arg)
{
    static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS };
    *thread = (struct thread){ .run = run, .arg = arg };
    strncpy(thread->name, name, sizeof thread->name - 1);

    sigset_t all, before;
    sigfillset(&all);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        sigdelset(&all,
                  faults[i]); /* a fault hits its own thread; blocked, it kills without a word */
    }
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
    pthread_mutex_lock(&pulses_lock);
    for (int i = 0; i < PULSES; i++) {
        int64_t since_us = atomic_load_explicit(&pulses[i].busy_since_us, memory_order_relaxed);
        if (since_us != 0 && now_us - since_us > longest_us) {
            longest_us = now_us - since_us;
            memcpy(name, pulses[i].name, sizeof pulses[i].name);
        }
    }
    pthread_mutex_unlock(&pulses_lock);
    return longest_us;
}
