/* SPDX-License-Identifier: MIT */
#include "option_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "pcs/log.h"

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

struct fixture *fixture_new(void)
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

void fixture_free(struct fixture *f)
{
    options_free(f->o);
    free(f);
    log_set_level(LOG_INFO);
}

int fixture_setup(void **state)
{
    *state = fixture_new();
    return 0;
}

int fixture_teardown(void **state)
{
    fixture_free(*state);
    return 0;
}

int load_checked(struct fixture *f, const char **argv, int (*check)(void *, struct err *))
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

int check_unlucky(void *arg, struct err *err)
{
    struct fixture *f = arg;
    return f->push.port == 13 || f->push.bitrate == 13 ? err_set(err, -EINVAL, "not thirteen") : 0;
}

char *write_file(const char *text)
{
    char path[] = "/tmp/pcs-option-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    return strdup(path);
}

void rewrite_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

void remove_file(char *path)
{
    unlink(path);
    free(path);
}
