/* SPDX-License-Identifier: MIT */
/* The option table on the command line: values, messages, --help. The file: test_option_file.c. */
#include "option_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "pcs/log.h"

/* One line of error, exactly. */
#define refuses(f, line, ...)                                                                      \
    do {                                                                                           \
        assert_int_equal(load(f, __VA_ARGS__), -EINVAL);                                           \
        assert_string_equal((f)->err.text, "tester: " line);                                       \
    } while (0)

/* ---- values ---- */

static void test_defaults(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load(f), OPTIONS_RUN);
    assert_int_equal(f->push.port, 5000);
    assert_int_equal(f->push.buffer, 64 << 20);
    assert_int_equal(f->push.bitrate, 4000000);
    assert_int_equal(f->push.max_latency, 0);
    assert_int_equal(f->push.codec, 0);
    assert_false(f->push.loop);
    assert_true(f->push.adaptive);
    assert_null(f->push.host);
    assert_string_equal(f->push.device, "/dev/video0");
    assert_int_equal(f->push.publish.count, 0);
    assert_false(options_given(f->o, "port"));
    assert_string_equal(f->output, "");
}

static void test_command_line(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load(f, "--port", "80", "--dest-ip=host", "-l", "--codec", "mjpeg",
                          "--adaptive", "off", "--publish=a", "--publish", "b", "--frames", "-5",
                          "--"),
                     OPTIONS_RUN);
    assert_int_equal(f->push.port, 80);
    assert_string_equal(f->push.host, "host");
    assert_true(f->push.loop);
    assert_int_equal(f->push.codec, 2);
    assert_false(f->push.adaptive);
    assert_int_equal(f->push.publish.count, 2);
    assert_string_equal(f->push.publish.item[1], "b");
    assert_int_equal(f->run.frames, -5);
    assert_true(options_given(f->o, "port"));
    assert_false(options_given(f->o, "device"));
    assert_false(options_given(f->o, "no-such-thing"));
}

static void test_last_one_counts(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load(f, "--port=1", "-p2", "--loop", "--loop=no", "-p", "3"), OPTIONS_RUN);
    assert_int_equal(f->push.port, 3);
    assert_false(f->push.loop);
}

static void test_units(void **state)
{
    static const struct {
        const char *option;
        int64_t value;
    } cases[] = {
        { "--buffer=1M", 1 << 20 },
        { "--buffer=64m", 64 << 20 },
        { "--buffer=1.5G", 1536LL << 20 },
        { "--buffer=1T", 1LL << 40 },
        { "--buffer=2097152", 2 << 20 },
        { "--bitrate=250k", 250000 },
        { "--bitrate=2.5M", 2500000 },
        { "--bitrate=0010", 10 },
        { "--max-latency=200ms", 200000 },
        { "--max-latency=1.5s", 1500000 },
        { "--max-latency=30", 30000000 },
        { "--max-latency=0.25", 250000 },
        { "--max-latency=2m", 120000000 },
        { "--max-latency=2h", 7200000000 },
        { "--max-latency=7us", 7 },
        { "--count=9223372036854775807", INT64_MAX },
        { "--count=010", 10 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture *f = fixture_new();
        assert_int_equal(load(f, cases[i].option), OPTIONS_RUN);
        const int64_t *field = strstr(cases[i].option, "buffer")    ? &f->push.buffer
                               : strstr(cases[i].option, "bitrate") ? &f->push.bitrate
                               : strstr(cases[i].option, "count")   ? &f->push.count
                                                                    : &f->push.max_latency;
        assert_int_equal(*field, cases[i].value);
        fixture_free(f);
    }
    (void)state;
}

static void test_bad_numbers(void **state)
{
    static const char *const bad[] = {
        "--port=0",
        "--port=65536",
        "--port=-1",
        "--port=",
        "--port=0x50",
        "--port=5 ",
        "--port= 5",
        "--port=5k",
        "--port=5.0",
        "--port=+5",
        "--count=-1",
        "--count=1e3",
        "--port=99999999999999999999",
        "--count=9223372036854775808",
        "--bitrate=9223372036854775807k",
        "--buffer=1k",
        "--buffer=2T",
        "--buffer=1.M",
        "--buffer=.5G",
        "--buffer=1MM",
        "--buffer=-1M",
        "--bitrate=1x",
        "--max-latency=1S",
        "--max-latency=5M",
        "--max-latency=1 s",
        "--max-latency=--1",
        "--frames=-6",
        "--frames=-",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct fixture *f = fixture_new();
        if (load(f, bad[i]) != -EINVAL)
            fail_msg("%s was taken", bad[i]);
        assert_non_null(strstr(f->err.text, "is not allowed: "));
        assert_null(strchr(f->err.text, '\n'));
        fixture_free(f);
    }
    (void)state;
}

static void test_messages(void **state)
{
    struct fixture *f = *state;
    refuses(f, "--port: '70000' is not allowed: 1 to 65535", "--port", "70000");
    refuses(f, "--count: 'x' is not allowed: 0 or more", "--count=x");
    refuses(f, "--buffer: '3' is not allowed: 1M to 1T (a size like 64M)", "--buffer", "3");
    refuses(f, "--bitrate: '' is not allowed: 0 or more (a rate like 4M)", "--bitrate=");
    refuses(f, "--max-latency: 'x' is not allowed: 0 or more (a time like 500ms, 30s, 5m)",
            "--max-latency=x");
    refuses(f, "--codec: 'H264' is not allowed: auto, h264 or mjpeg", "--codec=H264");
    refuses(f, "--loop: 'maybe' is not allowed: yes or no", "--loop=maybe");
    refuses(f, "--adaptive: '1' is not allowed: on or off", "--adaptive=1");
    refuses(f, "--port: needs a value: 1 to 65535", "--port");
    refuses(f, "'--prot': unknown option, did you mean --port?", "--prot", "5");
    refuses(f, "'--por=5': unknown option, did you mean --port?", "--por=5");
    refuses(f, "'--frobnicate': unknown option, --help lists all there are", "--frobnicate");
    refuses(f, "'-x': unknown option, --help lists all there are", "-x");
    refuses(f, "'file': unexpected argument, every option begins with --", "file");
    refuses(f, "'--port': unexpected argument, every option begins with --", "--", "--port");
    refuses(f, "'-': unexpected argument, every option begins with --", "-");
    refuses(f, "'a?b': unexpected argument, every option begins with --", "a\nb");
}

static void test_long_value_in_message(void **state)
{
    struct fixture *f = *state;
    char value[500];
    memset(value, 'x', sizeof(value));
    for (size_t i = 0; i + 1 < sizeof(value); i += 2)
        memcpy(value + i, "ü", 2);
    value[498] = '\0';
    assert_int_equal(load(f, "--port", value), -EINVAL);
    assert_non_null(strstr(f->err.text, "ü…' is not allowed: 1 to 65535"));
}

static void test_log_level(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load(f, "-v"), OPTIONS_RUN);
    assert_true(log_enabled(LOG_DEBUG));
    assert_false(log_enabled(LOG_TRACE));
    struct fixture *g = fixture_new();
    assert_int_equal(load(g, "-v", "--log-level", "error"), OPTIONS_RUN);
    assert_false(log_enabled(LOG_WARN));
    fixture_free(g);
}

/* ---- printing ---- */

static void test_help(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load(f, "--help", "--nonsense"), OPTIONS_DONE);
    assert_non_null(strstr(f->output, "Usage: tester [options]\n"));
    assert_non_null(strstr(f->output, "\npush:\n"));
    assert_non_null(
        strstr(f->output, "\n  -p, --port PORT             its port (1 to 65535; default 5000)\n"));
    assert_non_null(strstr(f->output, "\n      --codec auto|h264|mjpeg\n                           "
                                      "   what to make (default auto)\n"));
    assert_non_null(strstr(f->output, "--publish URL           also to (repeatable)\n"));
    assert_non_null(strstr(f->output, "-h, --help "));
    /* The program's own [run] and the common options are one group. */
    char *run = strstr(f->output, "\nrun:\n");
    assert_non_null(run);
    assert_null(strstr(run + 1, "\nrun:\n"));
    assert_non_null(strstr(run, "--name NAME"));
    assert_non_null(strstr(run, "--check-config"));
    for (char *save, *line = strtok_r(f->output, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save))
        assert_true(strlen(line) <= 100);
}

static void test_version(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load(f, "-V"), OPTIONS_DONE);
    assert_string_equal(f->output, "tester 1.2.3\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_defaults),
        TEST(test_command_line),
        TEST(test_last_one_counts),
        TEST(test_units),
        TEST(test_bad_numbers),
        TEST(test_messages),
        TEST(test_long_value_in_message),
        TEST(test_log_level),
        TEST(test_help),
        TEST(test_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
