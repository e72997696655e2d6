/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <unistd.h>

#include "pcs/clock.h"
#include "pcs/stop.h"
#include "pcs/thread.h"

static void a_new_token_is_not_set(void **state)
{
    (void)state;
    struct stop *stop = stop_new();
    assert_non_null(stop);
    assert_false(stop_requested(stop));
    assert_false(stop_wait(stop, 0));
    struct pollfd fd = { .fd = stop_fd(stop), .events = POLLIN };
    assert_int_equal(poll(&fd, 1, 0), 0);
    stop_free(stop);
    stop_free(NULL);
}

static void a_set_token_stays_set(void **state)
{
    (void)state;
    struct stop *stop = stop_new();
    for (int i = 0; i < 3; i++) {
        stop_request(stop);
        assert_true(stop_requested(stop));
        assert_true(stop_wait(stop, 0));
        assert_true(stop_wait(stop, -1));
        assert_true(stop_wait(stop, INT64_MAX)); /* no sum that overflows */
        struct pollfd fd = { .fd = stop_fd(stop), .events = POLLIN };
        assert_int_equal(poll(&fd, 1, 0), 1);
    }
    stop_free(stop);
}

static void wait_lasts_its_time(void **state)
{
    (void)state;
    struct stop *stop = stop_new();
    int64_t before_us = clock_now_us();
    assert_false(stop_wait(stop, 2500));
    assert_true(clock_now_us() - before_us >= 2500); /* rounded up, not down */
    stop_free(stop);
}

static void poll_tells_what_happened(void **state)
{
    (void)state;
    struct stop *stop = stop_new();
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(stop_poll(stop, fds[0], POLLIN, 0), 0);
    assert_int_equal(stop_poll(stop, fds[1], POLLOUT, -1), POLLOUT);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(stop_poll(stop, fds[0], POLLIN, -1), POLLIN);
    close(fds[1]);
    assert_int_equal(stop_poll(stop, fds[0], POLLIN, -1), POLLIN | POLLHUP);
    stop_request(stop); /* wins over what can be read */
    assert_int_equal(stop_poll(stop, fds[0], POLLIN, -1), -ECANCELED);
    assert_int_equal(stop_poll(stop, fds[0], POLLIN, 0), -ECANCELED);
    close(fds[0]);
    stop_free(stop);
}

static void request_after_reading(void *arg)
{
    stop_request(arg);
}

static void a_request_wakes_whoever_waits(void **state)
{
    (void)state;
    struct stop *stop = stop_new();
    struct thread thread;
    assert_int_equal(thread_start(&thread, "stopper", request_after_reading, stop), 0);
    assert_true(stop_wait(stop, 30 * CLOCK_S));
    thread_join(&thread);
    stop_free(stop);
}

static atomic_int alarms;
static struct stop *stop_at_alarm;

static void on_alarm(int signal)
{
    (void)signal;
    atomic_fetch_add(&alarms, 1);
    if (stop_at_alarm) {
        stop_request(stop_at_alarm);
    }
}

static void set_alarm(int first_us, int every_us)
{
    const struct sigaction action = { .sa_handler = on_alarm }; /* no SA_RESTART */
    const struct itimerval timer = { .it_value.tv_usec = first_us,
                                     .it_interval.tv_usec = every_us };
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void signals_do_not_shorten_a_wait(void **state)
{
    (void)state;
    struct stop *stop = stop_new();
    atomic_store(&alarms, 0);
    int64_t before_us = clock_now_us();
    set_alarm(1000, 1000);
    assert_int_equal(stop_poll(stop, -1, 0, 50 * CLOCK_MS), 0);
    set_alarm(0, 0);
    int64_t took_us = clock_now_us() - before_us;
    assert_true(took_us >= 50 * CLOCK_MS);
    assert_true(took_us < 5 * CLOCK_S); /* … nor begin it anew each time */
    assert_true(atomic_load(&alarms) > 0);
    stop_free(stop);
}

static void a_signal_handler_may_request(void **state)
{
    (void)state;
    struct stop *stop = stop_new();
    stop_at_alarm = stop;
    set_alarm(2000, 0);
    assert_true(stop_wait(stop, -1));
    stop_at_alarm = NULL;
    stop_free(stop);
}

static void deadlines_do_not_overflow(void **state)
{
    (void)state;
    int64_t now_us = clock_now_us();
    assert_in_range(clock_deadline_us(CLOCK_S), now_us + CLOCK_S, now_us + 60 * CLOCK_S);
    assert_true(clock_deadline_us(-1) == INT64_MAX);
    assert_true(clock_deadline_us(INT64_MAX) == INT64_MAX);
    assert_true(clock_deadline_us(INT64_MAX - 1) == INT64_MAX);

    assert_int_equal(clock_poll_ms(INT64_MAX, 0), -1);
    assert_int_equal(clock_poll_ms(INT64_MAX - 1, 1), INT_MAX);
    assert_int_equal(clock_poll_ms(1000, 1000), 0);
    assert_int_equal(clock_poll_ms(999, 1000), 0);
    assert_int_equal(clock_poll_ms(1001, 1000), 1);
    assert_int_equal(clock_poll_ms(2000, 1000), 1);
    assert_int_equal(clock_poll_ms(2001, 1000), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_token_is_not_set),
        cmocka_unit_test(a_set_token_stays_set),
        cmocka_unit_test(wait_lasts_its_time),
        cmocka_unit_test(poll_tells_what_happened),
        cmocka_unit_test(a_request_wakes_whoever_waits),
        cmocka_unit_test(signals_do_not_shorten_a_wait),
        cmocka_unit_test(a_signal_handler_may_request),
        cmocka_unit_test(deadlines_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
