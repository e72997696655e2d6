/* SPDX-License-Identifier: MIT */
/* Programs found, started, heard and ended; that nothing of them stays is tests/e2e/test_command.py's. */
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "capture/command_line.h"
#include "capture/command_log.h"
#include "capture/command_process.h"
#include "capture/source.h"
#include "pcs/clock.h"

static void test_find(void **state)
{
    (void)state;
    char path[4096], folder[] = "/tmp/pcs-find-XXXXXX", name[64], old[4096];
    (void)snprintf(old, sizeof old, "%s", getenv("PATH"));
    assert_int_equal(command_find("sh", path, sizeof path), 0);
    assert_true(path[0] == '/');
    assert_int_equal(command_find("/bin/sh", path, sizeof path), 0);
    assert_string_equal(path, "/bin/sh");
    assert_int_equal(command_find("no such program", path, sizeof path), -ENOENT);
    assert_int_equal(command_find("", path, sizeof path), -ENOENT);
    assert_int_equal(command_find("/etc", path, sizeof path), -EACCES);
    assert_int_equal(command_find("/bin/sh", path, 4), -ENOENT);

    assert_non_null(mkdtemp(folder));
    (void)snprintf(name, sizeof name, "%s/cam", folder);
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    (void)fclose(f);
    char both[128];
    (void)snprintf(both, sizeof both, "/nowhere::%s", folder);
    assert_int_equal(setenv("PATH", both, 1), 0);
    assert_int_equal(command_find("cam", path, sizeof path), -EACCES);
    assert_int_equal(chmod(name, 0755), 0);
    assert_int_equal(command_find("cam", path, sizeof path), 0);
    assert_string_equal(path, name);
    assert_int_equal(command_find("sh", path, sizeof path), -ENOENT);
    assert_int_equal(setenv("PATH", old, 1), 0);
    (void)unlink(name);
    (void)rmdir(folder);
}

static struct command_process *start(const char *script)
{
    struct command_process *p = NULL;
    char *argv[] = { (char *)"sh", (char *)"-c", (char *)script, NULL };
    assert_int_equal(command_process_start(&p, "/bin/sh", argv, NULL), 0);
    return p;
}

static size_t read_all(int fd, char *text, size_t size)
{
    size_t used = 0;
    ssize_t n = 1;
    while (n != 0) {
        struct pollfd file = { .fd = fd, .events = POLLIN };
        assert_int_equal(poll(&file, 1, 5000), 1);
        n = read(fd, text + used, size - used);
        assert_true(n >= 0);
        used += (size_t)n;
    }
    return used;
}

static void check_end(const char *script, const char *expected)
{
    struct command_end end;
    char text[80], out[100];
    struct command_process *p = start(script);
    assert_int_equal(read_all(command_process_output(p), out, sizeof out), 5);
    assert_memory_equal(out, "hello", 5);
    assert_true(command_process_wait(p, 5 * CLOCK_S, &end));
    command_end_text(&end, text, sizeof text);
    assert_string_equal(text, expected);
    assert_int_equal(command_process_news(p), -1);
    assert_false(command_process_lost(p));
    command_process_stop(p, 0);
}

static void test_ends(void **state)
{
    (void)state;
    check_end("printf hello", "ended with status 0");
    check_end("printf hello; exit 7", "ended with status 7");
    check_end("printf hello; kill -9 $$", "was ended by SIGKILL");
    check_end("printf hello; sleep 100 & exit 3", "ended with status 3"); /* and the rest with it */
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void test_errors_come_apart(void **state)
{
    (void)state;
    char text[100];
    struct command_process *p = start("echo out; echo err >&2");
    assert_int_equal(read_all(command_process_errors(p), text, sizeof text), 4);
    assert_memory_equal(text, "err\n", 4);
    command_process_stop(p, CLOCK_S);
}

static void test_cannot_run(void **state)
{
    (void)state;
    struct command_process *p = NULL;
    struct command_end end;
    char *argv[] = { (char *)"passwd", NULL }, text[80];
    assert_int_equal(command_process_start(&p, "/etc/passwd", argv, NULL), 0);
    assert_true(command_process_wait(p, 5 * CLOCK_S, &end));
    assert_int_equal(end.exec_errno, EACCES);
    command_end_text(&end, text, sizeof text);
    assert_string_equal(text, "cannot be run: Permission denied");
    command_process_stop(p, 0);
}

/* `ready` has been printed: traps are set. */
static int64_t time_to_stop(const char *script, int64_t grace_us)
{
    char c;
    struct command_process *p = start(script);
    struct pollfd file = { .fd = command_process_output(p), .events = POLLIN };
    assert_int_equal(poll(&file, 1, 5000), 1);
    assert_int_equal(read(file.fd, &c, 1), 1);
    int64_t began_us = clock_now_us();
    command_process_stop(p, grace_us);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    return clock_now_us() - began_us;
}

static void test_stop(void **state)
{
    (void)state;
    assert_true(time_to_stop("echo r; exec sleep 100", 2 * CLOCK_S) < CLOCK_S);
    assert_true(time_to_stop("echo r; sleep 100 & wait", 2 * CLOCK_S) < CLOCK_S);
    int64_t deaf_us =
        time_to_stop("trap '' TERM; echo r; while :; do sleep 1; done", 300 * CLOCK_MS);
    assert_in_range(deaf_us, 250 * CLOCK_MS, CLOCK_S);
    command_process_stop(NULL, 0);
}

/* ---- its log ---- */

static void test_log(void **state)
{
    (void)state;
    struct command_log log = { .name = "cam" };
    command_log_feed(&log, "one\ntw", 6);
    assert_string_equal(log.last, "one");
    command_log_feed(&log, "o\r\r\n\n   \n", 9);
    assert_string_equal(log.last, "two");
    assert_int_equal(log.lines, 2);
    command_log_feed(&log, "a\tb\x1b[0m\x80", 8);
    command_log_end(&log);
    assert_string_equal(log.last, "a b?[0m?");
    for (int i = 0; i < 100000; i++) {
        command_log_feed(&log, "xyz ", 4);
    }
    command_log_end(&log);
    assert_int_equal(strlen(log.last), COMMAND_LINE - 1); /* the space at its end is none of it */
    log_set_level(LOG_ERROR);
    for (int i = 0; i < 100; i++) {
        command_log_feed(&log, "frame\n", 6);
    }
    log_set_level(LOG_INFO);
    assert_int_equal(log.lines, 20);
}

/* ---- its words ---- */

static void check_line(const struct command_config *config, const struct source_wish *wish,
                       const char *words, unsigned transform)
{
    struct command_line line = { 0 };
    char text[300];
    assert_int_equal(command_line_make(&line, config, wish, NULL), 0);
    command_line_describe(&line, text, sizeof text);
    assert_string_equal(text, words);
    assert_int_equal(line.transform, transform);
    command_line_describe(&line, text, 5);
    assert_true(strlen(text) < 5);
    command_line_finish(&line);
}

static void test_line(void **state)
{
    (void)state;
    const struct source_wish none = { 0 };
    const struct source_wish size = {
        .width = 640, .height = 480, .fps = 25, .transform = TRANSFORM_VFLIP
    };
    check_line(&(struct command_config){ "cat", "a 'b c'" }, &size, "cat a b c", 0);
    check_line(&(struct command_config){ "cat -u a", NULL }, &size, "cat -u a", 0);
    check_line(&(struct command_config){ "/bin/cat -u", "b" }, &none, "/bin/cat -u b", 0);
    check_line(&(struct command_config){ "cat", NULL }, &none,
               "cat -t 0 --nopreview --codec mjpeg -o -", 0);
    check_line(&(struct command_config){ "cat", "" }, &none, "cat", 0);

    struct err err = { 0 };
    struct command_line line = { 0 };
    assert_int_equal(
        command_line_make(&line, &(struct command_config){ "no-such", NULL }, &none, &err),
        -EINVAL);
    assert_non_null(strstr(err.text, "no-such"));
    command_line_finish(&line);
    assert_int_equal(command_line_check(&(struct command_config){ "a 'b", NULL }, &err), -EINVAL);
    assert_int_equal(command_line_check(&(struct command_config){ " ", NULL }, &err), -EINVAL);
    assert_int_equal(command_line_check(&(struct command_config){ NULL, "a \"" }, &err), -EINVAL);
    assert_int_equal(command_line_check(&(struct command_config){ NULL, NULL }, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_errors_come_apart),
        cmocka_unit_test(test_cannot_run),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_line),
    };
    (void)signal(SIGPIPE, SIG_IGN); /* our threads block it */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
