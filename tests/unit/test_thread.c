/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "pcs/clock.h"
#include "pcs/stop.h"
#include "pcs/thread.h"

struct probe {
    struct stop *go_on[3]; /* set by the test, waited for by the thread */
    struct stop *reached[3];
    char name[16];
    sigset_t blocked;
};

static void probe_init(struct probe *p)
{
    for (int i = 0; i < 3; i++) {
        p->go_on[i] = stop_new();
        p->reached[i] = stop_new();
    }
}

static void probe_finish(struct probe *p)
{
    for (int i = 0; i < 3; i++) {
        stop_free(p->go_on[i]);
        stop_free(p->reached[i]);
    }
}

static void look_around(void *arg)
{
    struct probe *p = arg;
    pthread_getname_np(pthread_self(), p->name, sizeof p->name);
    pthread_sigmask(SIG_SETMASK, NULL, &p->blocked);
}

static void a_thread_is_named_and_hears_no_signals(void **state)
{
    (void)state;
    struct probe p;
    struct thread thread;
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    assert_int_equal(thread_start(&thread, "a name too long for the kernel", look_around, &p), 0);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    thread_join(&thread);
    thread_join(&thread); /* once more is harmless */
    assert_string_equal(p.name, "a name too long");
    for (int i = 1; i < SIGRTMIN; i++) { /* ours is as it was */
        assert_int_equal(sigismember(&before, i), sigismember(&after, i));
    }

    static const int blocked[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGUSR1, SIGCHLD, SIGALRM };
    for (size_t i = 0; i < sizeof blocked / sizeof blocked[0]; i++) {
        assert_int_equal(sigismember(&p.blocked, blocked[i]), 1);
    }
    assert_int_equal(sigismember(&p.blocked, SIGSEGV), 0);
}

static void joining_what_never_started_is_nothing(void **state)
{
    (void)state;
    struct thread thread = { 0 };
    thread_join(&thread);
}

static void work_and_rest(void *arg)
{
    struct probe *p = arg;
    thread_busy();
    stop_request(p->reached[0]);
    stop_wait(p->go_on[0], -1);
    thread_idle();
    stop_request(p->reached[1]);
    stop_wait(p->go_on[1], -1);
    thread_busy();
    stop_request(p->reached[2]);
    stop_wait(p->go_on[2], -1);
}

static void the_pulse_tells_who_is_busy(void **state)
{
    (void)state;
    struct probe p;
    struct thread thread;
    char name[16] = "nobody";
    probe_init(&p);
    assert_true(thread_longest_busy_us(clock_now_us(), name) == 0);
    assert_string_equal(name, "nobody");

    int64_t start_us = clock_now_us();
    assert_int_equal(thread_start(&thread, "worker", work_and_rest, &p), 0);
    assert_true(stop_wait(p.reached[0], 30 * CLOCK_S));
    int64_t now_us = clock_now_us();
    int64_t busy_us = thread_longest_busy_us(now_us + 5 * CLOCK_S, name);
    assert_in_range(busy_us, 5 * CLOCK_S, 5 * CLOCK_S + (now_us - start_us));
    assert_string_equal(name, "worker");

    stop_request(p.go_on[0]);
    assert_true(stop_wait(p.reached[1], 30 * CLOCK_S));
    assert_true(thread_longest_busy_us(clock_now_us() + CLOCK_S, name) == 0);

    stop_request(p.go_on[1]);
    assert_true(stop_wait(p.reached[2], 30 * CLOCK_S));
    assert_true(thread_longest_busy_us(clock_now_us() + CLOCK_S, name) >= CLOCK_S);

    stop_request(p.go_on[2]); /* it ends while busy: the dead are not */
    thread_join(&thread);
    assert_true(thread_longest_busy_us(clock_now_us() + CLOCK_S, name) == 0);
    probe_finish(&p);
}

static void main_has_no_pulse(void **state)
{
    (void)state;
    char name[16];
    thread_busy();
    assert_true(thread_longest_busy_us(clock_now_us() + CLOCK_S, name) == 0);
    thread_idle();
}

static void the_longest_counts(void **state)
{
    (void)state;
    struct probe p[3];
    struct thread threads[3];
    char name[16];
    static const char *const names[] = { "first", "second", "third" };
    for (int i = 0; i < 3; i++) {
        probe_init(&p[i]);
        int64_t begin_us = clock_now_us();
        while (clock_now_us() == begin_us) { /* no two begin in the same microsecond */
        }
        assert_int_equal(thread_start(&threads[i], names[i], work_and_rest, &p[i]), 0);
        assert_true(stop_wait(p[i].reached[0], 30 * CLOCK_S));
    }
    for (int i = 0; i < 3; i++) {
        assert_true(thread_longest_busy_us(clock_now_us() + CLOCK_S, name) >= CLOCK_S);
        assert_string_equal(name, names[i]);
        for (int k = 0; k < 3; k++) {
            stop_request(p[i].go_on[k]);
        }
        thread_join(&threads[i]);
        probe_finish(&p[i]);
    }
}

static void flicker(void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        thread_busy();
        thread_idle();
    }
    thread_busy();
}

/* Slots change hands while the watchdog looks: names stay whole, and none runs out. */
static void slots_are_used_again(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct thread a, b;
        char name[16] = "";
        assert_int_equal(thread_start(&a, "aaaaaaaa", flicker, NULL), 0);
        assert_int_equal(thread_start(&b, "bbbbbbbb", flicker, NULL), 0);
        (void)thread_longest_busy_us(clock_now_us() + CLOCK_S, name);
        assert_true(!*name || strcmp(name, "aaaaaaaa") == 0 || strcmp(name, "bbbbbbbb") == 0);
        thread_join(&a);
        thread_join(&b);
    }
    the_pulse_tells_who_is_busy(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_is_named_and_hears_no_signals),
        cmocka_unit_test(joining_what_never_started_is_nothing),
        cmocka_unit_test(the_pulse_tells_who_is_busy),
        cmocka_unit_test(main_has_no_pulse),
        cmocka_unit_test(the_longest_counts),
        cmocka_unit_test(slots_are_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
