/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pcs/clock.h"
#include "pcs/log.h"
#include "pcs/thread.h"

/*
 * What a process writes to stderr, write by write: its stderr is a socket that keeps packets apart.
 * A process of its own, because the log looks for the journal once.
 */
enum journal { NO_JOURNAL, JOURNAL, OTHER_JOURNAL, NONSENSE_JOURNAL };

static void become_logger(int fd, enum journal journal)
{
    struct stat st;
    char stream[64];
    dup2(fd, STDERR_FILENO);
    fstat(STDERR_FILENO, &st);
    snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino + (journal == OTHER_JOURNAL));
    if (journal == NO_JOURNAL) {
        unsetenv("JOURNAL_STREAM");
    } else {
        setenv("JOURNAL_STREAM", journal == NONSENSE_JOURNAL ? "journal" : stream, 1);
    }
}

struct capture {
    char line[16][1200];
    int count; /* may be more than line holds */
};

static bool is_one_line(const char *text, size_t size)
{
    return size > 0 && memchr(text, '\n', size) == text + size - 1;
}

static void capture(struct capture *c, enum journal journal, void (*body)(void))
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    pid_t child = fork();
    if (child == 0) {
        become_logger(fds[1], journal);
        body();
        _exit(0);
    }
    close(fds[1]);
    memset(c, 0, sizeof *c);
    for (;;) {
        char buf[1200];
        ssize_t n = recv(fds[0], buf, sizeof buf - 1, 0);
        if (n <= 0) {
            break;
        }
        assert_true(is_one_line(buf, (size_t)n)); /* one write is one whole line */
        buf[n] = '\0';
        if (c->count < 16) {
            strcpy(c->line[c->count], buf);
        }
        c->count++;
    }
    close(fds[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static const char *text_of(const char *line)
{
    const char *colon = strstr(line, ": "); /* the time's have no blank behind them */
    return colon ? colon + 2 : "";
}

/* From a thread of this name. */
static void log_from(const char *name, void (*run)(void *arg))
{
    struct thread thread;
    if (thread_start(&thread, name, run, NULL) != 0) {
        _exit(1);
    }
    thread_join(&thread);
}

static void warn_of_frame(void *arg)
{
    (void)arg;
    log_warn("frame %d is late", 7);
}

static void log_a_warning(void)
{
    log_from("camera", warn_of_frame);
}

static void a_line_has_time_level_thread_text(void **state)
{
    (void)state;
    struct capture c;
    capture(&c, NO_JOURNAL, log_a_warning);
    assert_int_equal(c.count, 1);
    int hour, minute, second, ms, end = 0;
    assert_int_equal(
        sscanf(c.line[0], "%2d:%2d:%2d.%3d warn  camera: %n", &hour, &minute, &second, &ms, &end),
        4);
    assert_true(hour < 24 && minute < 60 && second <= 60);
    assert_string_equal(c.line[0] + end, "frame 7 is late\n");
}

/* The main thread is called after the program, for ps(1); in the log it is "main". */
static void log_all_levels(void)
{
    pthread_setname_np(pthread_self(), "a-program");
    log_set_level(LOG_TRACE);
    log_error("e");
    log_warn("w");
    log_info("i");
    log_debug("d");
    log_trace("t");
}

static void the_journal_gets_its_prefix(void **state)
{
    (void)state;
    static const char *const want[] = { "<3>main: e\n", "<4>main: w\n", "<6>main: i\n",
                                        "<7>main: d\n", "<7>main: t\n" };
    struct capture c;
    capture(&c, JOURNAL, log_all_levels);
    assert_int_equal(c.count, 5);
    for (int i = 0; i < 5; i++) {
        assert_string_equal(c.line[i], want[i]);
    }
}

/* JOURNAL_STREAM is inherited by what a unit starts with another stderr. */
static void somebody_elses_journal_does_not_count(void **state)
{
    (void)state;
    struct capture c;
    capture(&c, OTHER_JOURNAL, log_a_warning);
    assert_non_null(strstr(c.line[0], " warn  camera: "));
    capture(&c, NONSENSE_JOURNAL, log_a_warning);
    assert_non_null(strstr(c.line[0], " warn  camera: "));
}

static void log_at_levels(void)
{
    log_debug("not at the default level");
    log_info("1");
    log_set_level(LOG_ERROR);
    log_warn("not any more");
    log_error("2");
    log_set_level(LOG_DEBUG);
    log_debug("3");
    log_trace("not yet");
}

static void levels_are_heeded(void **state)
{
    (void)state;
    struct capture c;
    capture(&c, NO_JOURNAL, log_at_levels);
    assert_int_equal(c.count, 3);
    assert_string_equal(text_of(c.line[0]), "1\n");
    assert_string_equal(text_of(c.line[1]), "2\n");
    assert_string_equal(text_of(c.line[2]), "3\n");
}

static void warn_of_text(void *arg)
{
    (void)arg;
    log_warn("name '%s'", "a\nb\r\x1b[2J\xc2\x9b\x80\x7f\xc3\xbc");
}

static void log_hostile_text(void)
{
    log_from("cam\n1", warn_of_text);
}

static void control_characters_never_reach_the_terminal(void **state)
{
    (void)state;
    struct capture c;
    capture(&c, NO_JOURNAL, log_hostile_text);
    assert_int_equal(c.count, 1);
    assert_non_null(strstr(c.line[0], "warn  cam?1: name 'a?b??[2J????\xc3\xbc'\n"));
}

static void log_long_text(void)
{
    char text[5000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    log_warn("%s", text);
    struct log_limit limit = { 0 };
    log_limited(&limit, CLOCK_S, LOG_WARN, "%s", text);
}

static void a_long_line_is_cut(void **state)
{
    (void)state;
    struct capture c;
    capture(&c, NO_JOURNAL, log_long_text);
    assert_int_equal(c.count, 2);
    for (int i = 0; i < 2; i++) {
        assert_in_range(strlen(c.line[i]), 1000, 1024);
        assert_string_equal(c.line[i] + strlen(c.line[i]) - 2, "x\n");
    }
}

static void log_often(void)
{
    struct log_limit limit = { 0 };
    for (int i = 0; i < 100; i++) {
        log_limited(&limit, 3600 * CLOCK_S, LOG_WARN, "late %d", i);
    }
    log_limited(&limit, 0, LOG_DEBUG, "below the level: neither seen nor counted");
    atomic_store(&limit.next_us, 0); /* as if an hour had passed */
    log_limited(&limit, 3600 * CLOCK_S, LOG_WARN, "late again");
    atomic_store(&limit.next_us, 0);
    log_limited(&limit, 3600 * CLOCK_S, LOG_WARN, "and again");
}

static void repeats_are_held_back_and_counted(void **state)
{
    (void)state;
    struct capture c;
    capture(&c, NO_JOURNAL, log_often);
    assert_int_equal(c.count, 3);
    assert_string_equal(text_of(c.line[0]), "late 0\n");
    assert_string_equal(text_of(c.line[1]), "late again (and 99 more like this)\n");
    assert_string_equal(text_of(c.line[2]), "and again\n");
}

#define THREADS 4
#define LINES   300

static struct log_limit shared_limit;

static void log_many(void *arg)
{
    for (int i = 0; i < LINES; i++) {
        log_info("line %d of %d of thread %p, and some words more", i, LINES, arg);
        log_limited(&shared_limit, 3600 * CLOCK_S, LOG_WARN, "limited");
    }
}

static void log_from_threads(void)
{
    struct thread threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        if (thread_start(&threads[i], "logger", log_many, &threads[i]) != 0) {
            _exit(1);
        }
    }
    for (int i = 0; i < THREADS; i++) {
        thread_join(&threads[i]);
    }
    /* Those that came while the one line was being made may be counted in it. */
    unsigned rest = atomic_load(&shared_limit.suppressed);
    if (rest < THREADS * LINES - THREADS || rest > THREADS * LINES - 1) {
        _exit(2);
    }
}

static void lines_of_threads_never_mix(void **state)
{
    (void)state;
    struct capture c; /* which looks at each line */
    capture(&c, NO_JOURNAL, log_from_threads);
    assert_int_equal(c.count, THREADS * LINES + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_has_time_level_thread_text),
        cmocka_unit_test(the_journal_gets_its_prefix),
        cmocka_unit_test(somebody_elses_journal_does_not_count),
        cmocka_unit_test(levels_are_heeded),
        cmocka_unit_test(control_characters_never_reach_the_terminal),
        cmocka_unit_test(a_long_line_is_cut),
        cmocka_unit_test(repeats_are_held_back_and_counted),
        cmocka_unit_test(lines_of_threads_never_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
