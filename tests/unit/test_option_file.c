/* SPDX-License-Identifier: MIT */
/* The option table and its file: reading, precedence, --check-config and back, reloading. */
#include "option_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "pcs/log.h"

static void refuses_ini(struct fixture *f, const char *text, const char *message)
{
    f->err.text[0] = '\0';
    assert_true(options_parse_ini(f->o, text, &f->err) < 0);
    assert_string_equal(f->err.text, message);
}

/* ---- reading ---- */

static void test_ini(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(options_parse_ini(f->o,
                                       "\xef\xbb\xbf; first\r\n"
                                       "port = 81 ; and a comment\n"
                                       "[push]\n"
                                       "  # indented\n"
                                       "    dest-ip: pi.local\n"
                                       "\tdevice = /dev/v4l/by-id/usb;1\n"
                                       "[whatever]\n"
                                       "publish=a\npublish = \"b \\x3b \\\"c\\\"\\n\"\n"
                                       "loop = yes\nname =\n",
                                       &f->err),
                     0);
    assert_int_equal(f->push.port, 81);
    assert_string_equal(f->push.host, "pi.local");
    assert_string_equal(f->push.device, "/dev/v4l/by-id/usb;1");
    assert_int_equal(f->push.publish.count, 2);
    assert_string_equal(f->push.publish.item[1], "b ; \"c\"\n");
    assert_true(f->push.loop);
    assert_string_equal(f->run.name, "");
}

static void test_ini_errors(void **state)
{
    struct fixture *f = *state;
    refuses_ini(f, "\n[push]\nport = 70000\nport = 0\n",
                "config:3: port: '70000' is not allowed: 1 to 65535");
    refuses_ini(f, "prot = 5", "config:1: 'prot': unknown option, did you mean port?");
    refuses_ini(f, "zzzzzz = 5", "config:1: 'zzzzzz': unknown option");
    refuses_ini(f, "port = 1\nhelp = yes", "config:2: help: only for the command line");
    refuses_ini(f, "port = 5\nnonsense\nport = 0\n",
                "config:2: neither [section], key = value nor ; comment");
    refuses_ini(f, "[push\n", "config:1: neither [section], key = value nor ; comment");
    refuses_ini(f, "name = \"a ; b\"",
                "config:1: name: the quotes do not end the value as they began it (in quotes write "
                "\\\" for \", \\\\ for \\, \\x3b for ;)");
    static const char *const bad[] = { "name = \"a\" b",  "name = \"",      "name = \"\\x0",
                                       "name = \"\\",     "name = \"\\q\"", "name = \"\\x00\"",
                                       "name = \"\\xg1\"" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(options_parse_ini(f->o, bad[i], &f->err), -EINVAL);
    assert_int_equal(f->push.port, 5000); /* nothing of all that was taken */
}

static void test_ini_long_line(void **state)
{
    struct fixture *f = *state;
    char text[4000], url[1500];
    memset(url, 'u', sizeof(url));
    url[1000] = ' ';
    url[sizeof(url) - 1] = '\0';
    snprintf(text, sizeof(text), "; %s\nname =  %s  ; comment\nport = 7\n", url, url);
    assert_int_equal(options_parse_ini(f->o, text, &f->err), 0);
    assert_string_equal(f->run.name, url);
    assert_int_equal(f->push.port, 7);
}

static void test_precedence(void **state)
{
    struct fixture *f = *state;
    char *path = write_file("port = 81\nbuffer = 2M\npublish = x\n");
    assert_int_equal(load(f, "--port", "82", "--publish", "y", "--config", path), OPTIONS_RUN);
    assert_int_equal(f->push.port, 82);
    assert_int_equal(f->push.buffer, 2 << 20);
    assert_int_equal(f->push.bitrate, 4000000);
    assert_int_equal(f->push.publish.count, 1);
    assert_string_equal(f->push.publish.item[0], "y");
    assert_true(options_given(f->o, "buffer"));
    remove_file(path);
}

static void test_file_errors(void **state)
{
    struct fixture *f = *state;
    char message[200], *path = write_file("port = 1\nport = x\n");
    snprintf(message, sizeof(message), "tester: %s:2: port: 'x' is not allowed: 1 to 65535", path);
    assert_int_equal(load(f, "--config", path), -EINVAL);
    assert_string_equal(f->err.text, message);
    assert_int_equal(load(f, "--config", "/nowhere/x.ini"), -ENOENT);
    assert_string_equal(f->err.text,
                        "tester: --config: cannot read /nowhere/x.ini: No such file or directory");
    assert_int_equal(load(f, "--config", "/"), -EISDIR);
    assert_int_equal(load(f, "--config", "/proc/self/exe"), -EBADMSG);
    assert_int_equal(load(f, "--config", "/dev/zero"), -EFBIG);
    remove_file(path);
}

/* ---- printing ---- */

static void test_check_config(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load(f, "--check-config", "--port=9", "-v", "--max-latency=1.5s", "--loop"),
                     OPTIONS_DONE);
    assert_string_equal(f->output, "# tester 1.2.3: effective settings\n"
                                   "\n[push]\n"
                                   "; dest-ip =\n"
                                   "port = 9\n"
                                   "count = 0\n"
                                   "buffer = 64M\n"
                                   "bitrate = 4M\n"
                                   "max-latency = 1500ms\n"
                                   "device = /dev/video0\n"
                                   "\n[encode]\n"
                                   "codec = auto\n"
                                   "loop = yes\n"
                                   "adaptive = on\n"
                                   "; publish =\n"
                                   "\n[run]\n"
                                   "; name =\n"
                                   "frames = 0\n"
                                   "log-level = debug\n");
    const char *argv[] = { "tester", "--check-config", "--port", "13", NULL };
    assert_int_equal(load_checked(f, argv, check_unlucky), -EINVAL);
    assert_string_equal(f->err.text, "tester: not thirteen");
    assert_string_equal(f->output, "");
}

/* Print f's settings, read them into a second one, print again: the same, and the texts equal. */
static void expect_round_trip(const char *text)
{
    struct fixture *f = fixture_new(), *g = fixture_new();
    assert_int_equal(load(f, "--check-config", "--name", text, "--publish", text, "--publish=2"),
                     OPTIONS_DONE);
    if (options_parse_ini(g->o, f->output, &g->err) < 0)
        fail_msg("%s\nof\n%s", g->err.text, f->output);
    assert_string_equal(g->run.name, text);
    assert_int_equal(g->push.publish.count, 2);
    assert_string_equal(g->push.publish.item[0], text);
    assert_int_equal(load(g, "--check-config"), OPTIONS_DONE);
    assert_string_equal(f->output, g->output);
    fixture_free(f);
    fixture_free(g);
}

static void test_round_trip(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        "plain",
        " a",
        "a ",
        "a;b",
        "a ;b",
        ";",
        "# a",
        "a # b",
        "\"",
        "\"a\"",
        "a\"b",
        "\\",
        "a\\",
        "\"\\x41",
        "[a]",
        "a=b",
        "=",
        ":",
        "a: b",
        "tab\there",
        "\ttab",
        "line\nbreak",
        "\r",
        "\x7f",
        "äöü €",
        "\xff\xfe",
        "%Y-%m-%d %H:%M:%S",
        "rtsp://u:p@h/x?a=1&b=2;c",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        expect_round_trip(texts[i]);
    (void)state;
}

/* Any bytes at all, around inih's line length too. Seeded, so that a failure can be repeated. */
static void test_round_trip_random(void **state)
{
    static const char alphabet[] = " ;#\"\\=:[]\n\r\tax0\x01\xef\xbb\xbf";
    unsigned seed = 1;
    char text[700];
    for (int i = 0; i < 400; i++) {
        size_t len = (size_t)rand_r(&seed) % (i % 2 ? 40 : sizeof(text));
        for (size_t j = 0; j < len; j++)
            text[j] = alphabet[(size_t)rand_r(&seed) % (sizeof(alphabet) - 1)];
        text[len] = '\0';
        expect_round_trip(text);
    }
    (void)state;
}

/* ---- reload ---- */

struct heard {
    char text[200];
};

static void hear(void *arg, const char *name, bool live)
{
    struct heard *h = arg;
    size_t used = strlen(h->text);
    snprintf(h->text + used, sizeof(h->text) - used, "%s%s ", name, live ? "" : "!");
}

static void test_reload(void **state)
{
    struct fixture *f = *state;
    struct heard heard = { "" };
    char *path = write_file("port = 81\nbitrate = 1M\ndest-ip = a\npublish = x\nmax-latency = 1\n");
    assert_int_equal(load(f, "--config", path, "--max-latency", "2s"), OPTIONS_RUN);
    const char *old_host = f->push.host;

    rewrite_file(path, "port = 82\nbitrate = 2M\ndest-ip = b\npublish = x\npublish = y\n"
                       "max-latency = 3\nlog-level = error\n");
    assert_int_equal(options_reload(f->o, hear, &heard, &f->err), 0);
    assert_string_equal(heard.text, "dest-ip port! bitrate publish log-level ");
    assert_int_equal(f->push.port, 81); /* needs a restart */
    assert_int_equal(f->push.bitrate, 2000000);
    assert_string_equal(f->push.host, "b");
    assert_string_equal(old_host, "a"); /* a thread may still hold it */
    assert_int_equal(f->push.publish.count, 2);
    assert_int_equal(f->push.max_latency, 2000000); /* the command line wins */
    assert_false(log_enabled(LOG_WARN));

    rewrite_file(path, "port = 81\n"); /* what is gone returns to its default */
    heard.text[0] = '\0';
    assert_int_equal(options_reload(f->o, hear, &heard, &f->err), 0);
    assert_string_equal(heard.text, "dest-ip bitrate publish log-level ");
    assert_int_equal(f->push.bitrate, 4000000);
    assert_null(f->push.host);
    assert_int_equal(f->push.publish.count, 0);
    assert_false(options_given(f->o, "bitrate"));
    assert_true(log_enabled(LOG_INFO));
    remove_file(path);
}

static void expect_no_change(struct fixture *f, int error)
{
    struct heard heard = { "" };
    assert_int_equal(options_reload(f->o, hear, &heard, &f->err), error);
    assert_string_equal(heard.text, "");
    assert_int_equal(f->push.bitrate, 1000000);
    assert_int_equal(f->push.publish.count, 1);
    assert_true(options_given(f->o, "bitrate"));
    assert_false(options_given(f->o, "dest-ip"));
}

static void test_reload_error(void **state)
{
    struct fixture *f = *state;
    char *path = write_file("bitrate = 1M\npublish = x\n");
    const char *argv[] = { "tester", "--config", path, NULL };
    assert_int_equal(load_checked(f, argv, check_unlucky), OPTIONS_RUN);
    rewrite_file(path, "bitrate = 2M\ndest-ip = b\nport = 0\n");
    expect_no_change(f, -EINVAL);
    rewrite_file(path, "bitrate = 13\ndest-ip = b\n"); /* only the whole is wrong */
    expect_no_change(f, -EINVAL);
    assert_string_equal(f->err.text, "not thirteen");
    unlink(path);
    expect_no_change(f, -ENOENT);
    free(path);
}

/* A program may make something of a value (a name from nothing); that is not a change of the file. */
static void test_reload_ignores_derived_values(void **state)
{
    struct fixture *f = *state;
    struct heard heard = { "" };
    char *path = write_file("port = 81\n");
    assert_int_equal(load(f, "--config", path), OPTIONS_RUN);
    f->run.name = "derived";
    f->push.bitrate = 5;
    assert_int_equal(options_reload(f->o, hear, &heard, &f->err), 0);
    assert_string_equal(heard.text, "");
    assert_string_equal(f->run.name, "derived");
    assert_int_equal(f->push.bitrate, 5);
    remove_file(path);
}

static void test_reload_without_file(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load(f), OPTIONS_RUN);
    assert_int_equal(options_reload(f->o, hear, NULL, &f->err), -ENOENT);
    assert_string_equal(f->err.text, "there is no --config file to read again");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_ini),
        TEST(test_ini_errors),
        TEST(test_ini_long_line),
        TEST(test_precedence),
        TEST(test_file_errors),
        TEST(test_check_config),
        TEST(test_round_trip),
        TEST(test_round_trip_random),
        TEST(test_reload),
        TEST(test_reload_error),
        TEST(test_reload_ignores_derived_values),
        TEST(test_reload_without_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
