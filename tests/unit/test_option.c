/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "pcs/log.h"
#include "pcs/option.h"

struct push {
    int64_t port, count, buffer, bitrate, max_latency;
    int codec;
    bool loop, adaptive;
    const char *host, *device;
    struct option_list publish;
};

struct run {
    const char *name;
    int64_t frames;
};

static const char *const codecs[] = { "auto", "h264", "mjpeg", NULL };

#define AT(field) .offset = offsetof(struct push, field)
static const struct option_def push_defs[] = {
    { .name = "dest-ip",
      .type = OPTION_STRING,
      AT(host),
      .arg = "HOST",
      .flags = OPTION_LIVE,
      .help = "where to" },
    { .name = "port",
      .letter = 'p',
      .type = OPTION_INT,
      AT(port),
      .value = "5000",
      .min = 1,
      .max = 65535,
      .arg = "PORT",
      .help = "its port" },
    { .name = "count", .type = OPTION_INT, AT(count), .arg = "N", .help = "any number" },
    { .name = "buffer",
      .type = OPTION_SIZE,
      AT(buffer),
      .value = "64M",
      .min = 1 << 20,
      .max = 1LL << 40,
      .arg = "SIZE",
      .help = "how much to hold" },
    { .name = "bitrate",
      .type = OPTION_RATE,
      AT(bitrate),
      .value = "4M",
      .flags = OPTION_LIVE,
      .arg = "RATE",
      .help = "bits per second" },
    { .name = "max-latency",
      .type = OPTION_TIME,
      AT(max_latency),
      .value = "0",
      .flags = OPTION_LIVE,
      .arg = "TIME",
      .help = "drop what is older" },
    { .name = "device",
      .type = OPTION_STRING,
      AT(device),
      .value = "/dev/video0",
      .arg = "PATH",
      .help =
          "a long line of help that has to be broken somewhere because it does not fit into the "
          "width of a usual terminal" },
};
static const struct option_def encode_defs[] = {
    { .name = "codec",
      .type = OPTION_CHOICE,
      AT(codec),
      .value = "auto",
      .choices = codecs,
      .help = "what to make" },
    { .name = "loop", .letter = 'l', .type = OPTION_FLAG, AT(loop), .help = "again and again" },
    { .name = "adaptive", .type = OPTION_ONOFF, AT(adaptive), .value = "on", .help = "follow" },
    { .name = "publish",
      .type = OPTION_LIST,
      AT(publish),
      .flags = OPTION_LIVE,
      .arg = "URL",
      .help = "also to" },
};
static const struct option_def run_defs[] = {
    { .name = "name",
      .type = OPTION_STRING,
      .offset = offsetof(struct run, name),
      .arg = "NAME",
      .help = "of this camera" },
    { .name = "frames",
      .type = OPTION_INT,
      .offset = offsetof(struct run, frames),
      .min = -5,
      .max = 1000,
      .arg = "N",
      .help = "stop after so many" },
};

struct fixture {
    struct push push;
    struct run run;
    struct options *o;
    struct err err;
    char output[8192]; /* of the last load */
};

static struct fixture *fixture_new(void)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    memset(&f->push, 0xaa, sizeof(f->push));
    const struct option_part parts[] = {
        { "push", push_defs, OPTION_COUNT(push_defs), &f->push },
        { "encode", encode_defs, OPTION_COUNT(encode_defs), &f->push },
        { "run", run_defs, OPTION_COUNT(run_defs), &f->run },
    };
    f->o = options_new("tester", "1.2.3", "[options]", parts, 3);
    assert_non_null(f->o);
    return f;
}

static void fixture_free(struct fixture *f)
{
    options_free(f->o);
    free(f);
    log_set_level(LOG_INFO);
}

static int setup(void **state)
{
    *state = fixture_new();
    return 0;
}

static int teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

/* options_load with stdout in f->output. */
static int load_checked(struct fixture *f, const char **argv, int (*check)(void *, struct err *))
{
    int argc = 0, file = memfd_create("out", 0), saved = dup(STDOUT_FILENO);
    while (argv[argc])
        argc++;
    fflush(stdout);
    dup2(file, STDOUT_FILENO);
    int ret = options_load(f->o, argc, (char **)argv, check, f, &f->err);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    ssize_t n = pread(file, f->output, sizeof(f->output) - 1, 0);
    f->output[n > 0 ? n : 0] = '\0';
    close(saved);
    close(file);
    return ret;
}

#define load(f, ...) load_checked(f, (const char *[]){ "tester", ##__VA_ARGS__, NULL }, NULL)

/* One line of error, exactly. */
#define refuses(f, line, ...)                                                                      \
    do {                                                                                           \
        assert_int_equal(load(f, __VA_ARGS__), -EINVAL);                                           \
        assert_string_equal((f)->err.text, "tester: " line);                                       \
    } while (0)

static void refuses_ini(struct fixture *f, const char *text, const char *message)
{
    f->err.text[0] = '\0';
    assert_true(options_parse_ini(f->o, text, &f->err) < 0);
    assert_string_equal(f->err.text, message);
}

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

/* ---- the file ---- */

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

static char *write_file(const char *text)
{
    char path[] = "/tmp/pcs-option-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    return strdup(path);
}

static void rewrite_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void remove_file(char *path)
{
    unlink(path);
    free(path);
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

static int check_port(void *arg, struct err *err)
{
    struct fixture *f = arg;
    return f->push.port == 13 || f->push.bitrate == 13 ? err_set(err, -EINVAL, "not thirteen") : 0;
}

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
    assert_int_equal(load_checked(f, argv, check_port), -EINVAL);
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
    assert_int_equal(load_checked(f, argv, check_port), OPTIONS_RUN);
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
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_defaults),
        TEST(test_command_line),
        TEST(test_last_one_counts),
        TEST(test_units),
        TEST(test_bad_numbers),
        TEST(test_messages),
        TEST(test_long_value_in_message),
        TEST(test_log_level),
        TEST(test_ini),
        TEST(test_ini_errors),
        TEST(test_ini_long_line),
        TEST(test_precedence),
        TEST(test_file_errors),
        TEST(test_help),
        TEST(test_version),
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
