/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <libavutil/log.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "record/avlog.h"

/* What our log makes of a line of the libraries, in a process with a stderr of its own. */
static void logged(const char *line, char *out, size_t size)
{
    int fds[2];
    size_t n = 0;
    ssize_t got;
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(fds[1], STDERR_FILENO);
        avlog_install();
        av_log(NULL, AV_LOG_ERROR, "%s\n", line);
        _exit(0);
    }
    close(fds[1]);
    while (n < size - 1 && (got = read(fds[0], out + n, size - 1 - n)) > 0) {
        n += (size_t)got;
    }
    out[n] = '\0';
    close(fds[0]);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void secrets_of_urls_are_left_out(void **state)
{
    static const char *const cases[][2] = {
        { "Connection to srt://h:9?passphrase=s e'c\"ret failed: x",
          "Connection to srt://h:9?…\n" },
        { "Cannot open connection tcp://u:p@ss@h:1/x.", "connection tcp://h:1/x.\n" },
        { "a rtsp://u:p@h/x b rtmp://v:q@i/y@z c", "a rtsp://h/x b rtmp://i/y@z c\n" },
        { "a://u@h b://v@i?x c://w@j", "a://h b://i?…\n" },
        { "://", "://\n" },
        { "what? no URL, u@h", "what? no URL, u@h\n" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char got[1000];
        logged(cases[i][0], got, sizeof got);
        const char *end =
            strlen(got) > strlen(cases[i][1]) ? got + strlen(got) - strlen(cases[i][1]) : got;
        assert_string_equal(end, cases[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets_of_urls_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
