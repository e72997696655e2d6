/* SPDX-License-Identifier: MIT */
/*
 * Signals end processes, so each scenario runs in a child whose exit status and stderr tell.
 * systemd is a datagram socket of ours in NOTIFY_SOCKET.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "pcs/clock.h"
#include "pcs/service.h"
#include "pcs/stop.h"
#include "pcs/thread.h"

#define DEADLINE_MS 20000

/* ---- scenarios: the child's part; `say` is read by the test ---- */

struct child {
    struct stop *stop;
    struct service *service;
    int say, hear; /* pipes to and from the test */
};

static void say(struct child *c, char what)
{
    if (write(c->say, &what, 1) != 1)
        _exit(99);
}

/* Blocks until the test says go on, whatever signals come. (In poll, because TSan holds signals back
 * in a read that restarts.) */
static void wait_for_test(struct child *c)
{
    struct pollfd go = { .fd = c->hear, .events = POLLIN };
    while (poll(&go, 1, -1) < 0 && errno == EINTR)
        ;
}

static int until_stopped(struct child *c)
{
    say(c, 'r');
    while (service_wait(c->service, INT64_MAX) != SERVICE_STOP)
        say(c, 'h');
    return service_interrupted(c->service) ? 10 : 11;
}

static int stop_and_block(struct child *c)
{
    (void)until_stopped(c);
    service_stopping(c->service);
    say(c, 's');
    wait_for_test(c);
    return 12;
}

static int stop_by_itself_and_block(struct child *c)
{
    stop_request(c->stop);
    service_stopping(c->service);
    say(c, 's');
    wait_for_test(c);
    return service_interrupted(c->service) ? 10 : 11;
}

static int wait_again(struct child *c)
{
    (void)until_stopped(c);
    say(c, 's');
    while (service_wait(c->service, INT64_MAX) == SERVICE_STOP)
        ; /* and the second SIGINT ends us */
    return 15;
}

static int64_t tick_every_us = CLOCK_MS;

static void on_tick(void *arg, int64_t now_us)
{
    (void)now_us;
    say(arg, 't');
    tick_every_us = 0; /* one is enough */
}

static void on_reload(void *arg)
{
    say(arg, 'h');
}

static void on_usr1(void *arg)
{
    say(arg, 'u');
}

static int run_until_stopped(struct child *c)
{
    const struct service_work work = { .interval_us = &tick_every_us,
                                       .tick = on_tick,
                                       .reload = on_reload,
                                       .usr1 = on_usr1,
                                       .arg = c };
    service_run(c->service, &work);
    return service_interrupted(c->service) ? 10 : 11;
}

/* The test calls by what it lets us hear. */
static void on_called(void *arg)
{
    struct child *c = arg;
    char what = 0;
    say(c, read(c->hear, &what, 1) == 1 ? what : '!');
}

static int run_and_be_called(struct child *c)
{
    static int64_t never = 0;
    const struct service_work work = { .interval_us = &never,
                                       .tick = on_tick,
                                       .reload = on_reload,
                                       .called = on_called,
                                       .call_fd = c->hear,
                                       .arg = c };
    say(c, 'r');
    service_run(c->service, &work);
    return service_interrupted(c->service) ? 10 : 11;
}

static int run_for_a_while(struct child *c)
{
    const struct service_work work = { .duration_us = 50 * CLOCK_MS,
                                       .interval_us = &tick_every_us,
                                       .tick = on_tick,
                                       .reload = on_reload,
                                       .arg = c };
    service_run(c->service, &work);
    return service_interrupted(c->service) ? 10 : 11;
}

static int write_to_nobody(struct child *c)
{
    int fds[2];
    (void)c;
    if (pipe(fds) < 0)
        return 1;
    close(fds[0]);
    return write(fds[1], "x", 1) < 0 && errno == EPIPE ? 13 : 14;
}

/* ---- the test's part ---- */

struct probe {
    pid_t pid;
    int hear, say, log; /* log: the child's stderr */
};

static void run_child(struct probe *p, int (*scenario)(struct child *c))
{
    int to[2], from[2], log[2];
    assert_int_equal(pipe(to) | pipe(from) | pipe(log), 0);
    fflush(NULL);
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        struct child c = { .stop = stop_new(), .say = from[1], .hear = to[0] };
        struct err err;
        dup2(log[1], STDERR_FILENO);
        close(to[1]);
        close(from[0]);
        if (service_start(&c.service, c.stop, &err) < 0)
            _exit(98);
        int status = scenario(&c);
        service_finish(c.service);
        stop_free(c.stop);
        exit(status);
    }
    close(to[0]);
    close(from[1]);
    close(log[1]);
    p->hear = from[0];
    p->say = to[1];
    p->log = log[0];
}

static bool readable(int fd, int ms)
{
    struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
    return poll(&poll_fd, 1, ms) == 1;
}

static void expect_said(struct probe *p, char what)
{
    char byte = '?';
    assert_true(readable(p->hear, DEADLINE_MS));
    assert_int_equal(read(p->hear, &byte, 1), 1);
    assert_int_equal(byte, what);
}

static void go_on(struct probe *p)
{
    assert_int_equal(write(p->say, "g", 1), 1);
}

/* The child ends with this status; its stderr goes to `log`. */
static void expect_exit(struct probe *p, int status, char *log, size_t size)
{
    int got = -1;
    size_t used = 0;
    ssize_t n = 1;
    while (n > 0 && used < size - 1) {
        assert_true(readable(p->log, DEADLINE_MS));
        n = read(p->log, log + used, size - 1 - used);
        used += n > 0 ? (size_t)n : 0;
    }
    log[used] = '\0';
    assert_int_equal(waitpid(p->pid, &got, 0), p->pid);
    close(p->hear);
    close(p->say);
    close(p->log);
    if (!WIFEXITED(got) || WEXITSTATUS(got) != status)
        fail_msg("exit status %x, not %d: %s", (unsigned)got, status, log);
}

/* A second wish, later than an echo of the first could be: until it is heeded. */
static void interrupt_again(struct probe *p)
{
    siginfo_t info = { 0 };
    for (int ms = 0; ms < DEADLINE_MS && info.si_pid == 0; ms += 20) {
        kill(p->pid, SIGINT);
        (void)poll(NULL, 0, 20);
        assert_int_equal(waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
    }
}

static void test_stop_signals(void **state)
{
    static const int signals[] = { SIGINT, SIGTERM };
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct probe p;
        char log[1000];
        run_child(&p, until_stopped);
        expect_said(&p, 'r');
        kill(p.pid, signals[i]);
        expect_exit(&p, 10, log, sizeof(log));
        assert_non_null(
            strstr(log, signals[i] == SIGINT ? "interrupted: stop" : "terminated: stop"));
    }
}

static void test_called_by_a_descriptor(void **state)
{
    struct probe p;
    char log[1000];
    (void)state;
    run_child(&p, run_and_be_called);
    expect_said(&p, 'r');
    for (int i = 0; i < 3; i++) {
        go_on(&p);
        expect_said(&p, 'g');
    }
    kill(p.pid, SIGHUP);
    expect_said(&p, 'h');
    go_on(&p);
    expect_said(&p, 'g');
    kill(p.pid, SIGTERM);
    expect_exit(&p, 10, log, sizeof(log));
}

static void test_reload_then_stop(void **state)
{
    struct probe p;
    char log[1000];
    (void)state;
    run_child(&p, until_stopped);
    expect_said(&p, 'r');
    kill(p.pid, SIGHUP);
    expect_said(&p, 'h');
    kill(p.pid, SIGHUP);
    expect_said(&p, 'h');
    kill(p.pid, SIGTERM);
    expect_exit(&p, 10, log, sizeof(log));
}

static void test_run_ticks_reloads_and_stops(void **state)
{
    struct probe p;
    char log[1000];
    (void)state;
    run_child(&p, run_until_stopped);
    expect_said(&p, 't');
    kill(p.pid, SIGHUP);
    expect_said(&p, 'h');
    kill(p.pid, SIGUSR1);
    expect_said(&p, 'u');
    kill(p.pid, SIGTERM);
    expect_exit(&p, 10, log, sizeof(log));
    run_child(&p, run_for_a_while);
    expect_said(&p, 't');
    kill(p.pid, SIGUSR1); /* nobody wants it: nothing happens */
    expect_exit(&p, 11, log, sizeof(log));
}

static void test_second_interrupt_while_blocked(void **state)
{
    struct probe p;
    char log[1000];
    (void)state;
    run_child(&p, stop_and_block);
    expect_said(&p, 'r');
    kill(p.pid, SIGINT);
    expect_said(&p, 's');
    interrupt_again(&p);
    expect_exit(&p, 1, log, sizeof(log));
    assert_non_null(strstr(log, "interrupted again: quitting at once"));
}

static void test_second_interrupt_while_waiting(void **state)
{
    struct probe p;
    char log[1000];
    (void)state;
    run_child(&p, wait_again);
    expect_said(&p, 'r');
    kill(p.pid, SIGINT);
    expect_said(&p, 's');
    interrupt_again(&p);
    expect_exit(&p, 1, log, sizeof(log));
}

/* timeout(1) interrupts a program and then its group: one wish, two signals. */
static void test_an_echo_is_no_second_interrupt(void **state)
{
    struct probe p;
    char log[1000];
    (void)state;
    run_child(&p, stop_and_block);
    expect_said(&p, 'r');
    kill(p.pid, SIGINT);
    kill(p.pid, SIGINT);
    expect_said(&p, 's');
    go_on(&p);
    expect_exit(&p, 12, log, sizeof(log));
}

/* After SIGTERM or a natural end one SIGINT changes nothing; the second is the second. */
static void test_first_interrupt_while_stopping(void **state)
{
    struct probe p;
    char log[1000];
    (void)state;
    run_child(&p, stop_by_itself_and_block);
    expect_said(&p, 's');
    kill(p.pid, SIGINT);
    go_on(&p);
    expect_exit(&p, 11, log, sizeof(log));
}

static void test_broken_pipe_is_an_error_only(void **state)
{
    struct probe p;
    char log[1000];
    (void)state;
    run_child(&p, write_to_nobody);
    expect_exit(&p, 13, log, sizeof(log));
}

static void test_tick(void **state)
{
    struct stop *stop = stop_new();
    struct service *s;
    struct err err;
    (void)state;
    assert_int_equal(service_start(&s, stop, &err), 0);
    assert_int_equal(service_wait(s, 0), SERVICE_TICK);
    int64_t deadline_us = clock_now_us() + 20 * CLOCK_MS;
    assert_int_equal(service_wait(s, deadline_us), SERVICE_TICK);
    assert_true(clock_now_us() >= deadline_us);
    stop_request(stop);
    assert_int_equal(service_wait(s, INT64_MAX), SERVICE_STOP);
    assert_false(service_interrupted(s));
    service_finish(s);
    stop_free(stop);
}

#ifdef PCS_HAVE_SYSTEMD

static int supervised(struct child *c)
{
    service_ready(c->service, "two\nlines");
    service_status(c->service, "later");
    (void)service_wait(c->service, INT64_MAX);
    service_stopping(c->service);
    wait_for_test(c);
    return 0;
}

struct hang {
    struct stop *stop;
    struct child *child;
};

static void run_hang(void *arg)
{
    struct hang *h = arg;
    thread_busy();
    say(h->child, 'b');
    (void)stop_wait(h->stop, -1);
    thread_idle();
}

static int with_hung_thread(struct child *c)
{
    struct thread thread;
    struct hang hang = { stop_new(), c };
    if (thread_start(&thread, "hanger", run_hang, &hang) < 0)
        return 1;
    (void)service_wait(c->service, INT64_MAX);
    stop_request(hang.stop);
    thread_join(&thread);
    stop_free(hang.stop);
    return 0;
}

/* A stand-in for systemd's notify socket; the child inherits its name. */
static int systemd_start(const char *watchdog_us)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    char name[100];
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int n = snprintf(name, sizeof(name), "@pcs-test-service-%d", (int)getpid());
    assert_true(fd >= 0);
    memcpy(address.sun_path + 1, name + 1, (size_t)n - 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n)),
                     0);
    setenv("NOTIFY_SOCKET", name, 1);
    unsetenv("WATCHDOG_PID");
    if (watchdog_us)
        setenv("WATCHDOG_USEC", watchdog_us, 1);
    return fd;
}

static void systemd_stop(int fd)
{
    close(fd);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
}

static void next_state(int fd, char *state, size_t size)
{
    assert_true(readable(fd, DEADLINE_MS));
    ssize_t n = recv(fd, state, size - 1, 0);
    assert_true(n >= 0);
    state[n] = '\0';
}

/* Skip watchdog pulses. */
static void expect_state(int fd, const char *wanted)
{
    char state[500];
    do {
        next_state(fd, state, sizeof(state));
    } while (strcmp(state, "WATCHDOG=1") == 0);
    assert_string_equal(state, wanted);
}

static void expect_pulse(int fd)
{
    char state[500];
    next_state(fd, state, sizeof(state));
    assert_string_equal(state, "WATCHDOG=1");
}

static void test_systemd_hears(void **state)
{
    struct probe p;
    char log[1000];
    int systemd = systemd_start("100000");
    (void)state;
    run_child(&p, supervised);
    expect_state(systemd, "READY=1\nSTATUS=two lines");
    expect_state(systemd, "STATUS=later");
    for (int i = 0; i < 3; i++)
        expect_pulse(systemd); /* from main's wait */
    kill(p.pid, SIGTERM);
    expect_state(systemd, "STOPPING=1");
    for (int i = 0; i < 3; i++)
        expect_pulse(systemd); /* while main is blocked */
    go_on(&p);
    expect_exit(&p, 0, log, sizeof(log));
    systemd_stop(systemd);
}

static void test_no_watchdog_no_pulse(void **state)
{
    struct probe p;
    char log[1000];
    int systemd = systemd_start(NULL);
    (void)state;
    run_child(&p, supervised);
    expect_state(systemd, "READY=1\nSTATUS=two lines");
    expect_state(systemd, "STATUS=later");
    kill(p.pid, SIGTERM);
    go_on(&p);
    char next[100];
    next_state(systemd, next, sizeof(next));
    assert_string_equal(next, "STOPPING=1");
    expect_exit(&p, 0, log, sizeof(log));
    assert_false(readable(systemd, 0));
    systemd_stop(systemd);
}

/* A thread hangs: the log names it, and the pulse ends. */
static void test_hung_thread_starves_watchdog(void **state)
{
    struct probe p;
    char log[2000] = "", states[500];
    int systemd = systemd_start("200000");
    (void)state;
    run_child(&p, with_hung_thread);
    expect_said(&p, 'b');
    assert_true(readable(p.log, DEADLINE_MS)); /* the complaint */
    while (readable(systemd, 0))
        next_state(systemd, states, sizeof(states)); /* pulses from before */
    assert_false(readable(systemd, 500));            /* two and a half intervals */
    kill(p.pid, SIGTERM);
    expect_exit(&p, 0, log, sizeof(log));
    assert_non_null(strstr(log, "thread hanger hangs"));
    systemd_stop(systemd);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tick),
        cmocka_unit_test(test_stop_signals),
        cmocka_unit_test(test_called_by_a_descriptor),
        cmocka_unit_test(test_reload_then_stop),
        cmocka_unit_test(test_run_ticks_reloads_and_stops),
        cmocka_unit_test(test_second_interrupt_while_blocked),
        cmocka_unit_test(test_second_interrupt_while_waiting),
        cmocka_unit_test(test_an_echo_is_no_second_interrupt),
        cmocka_unit_test(test_first_interrupt_while_stopping),
        cmocka_unit_test(test_broken_pipe_is_an_error_only),
#ifdef PCS_HAVE_SYSTEMD
        cmocka_unit_test(test_systemd_hears),
        cmocka_unit_test(test_no_watchdog_no_pulse),
        cmocka_unit_test(test_hung_thread_starves_watchdog),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
