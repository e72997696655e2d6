/* SPDX-License-Identifier: MIT */
#include "command_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command_supervisor.h"
#include "pcs/clock.h"
#include "pcs/log.h"
#include "pcs/stop.h"

#define PIPE_BYTES   (1 << 20) /* a whole picture, so that the program need not wait for us */
#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"
#define LAST_WAIT_US (400 * CLOCK_MS) /* for SIGKILL to do its work */
#define MAX_GRACE_US (2500 * CLOCK_MS)

struct command_process {
    pid_t supervisor;
    pid_t program; /* 0 until it has told */
    int output, errors, life, report;
    bool ended; /* `end` is valid */
    struct command_end end;
};

/* ---- finding it ---- */

static int check_program(const char *path)
{
    struct stat file;
    if (stat(path, &file) < 0) {
        return errno == EACCES ? -EACCES : -ENOENT;
    }
    return S_ISREG(file.st_mode) && access(path, X_OK) == 0 ? 0 : -EACCES;
}

int command_find(const char *name, char *path, size_t size)
{
    const char *folder = getenv("PATH");
    int result = -ENOENT;
    if (*name == '\0') {
        return -ENOENT;
    }
    if (strchr(name, '/')) {
        return (size_t)snprintf(path, size, "%s", name) < size ? check_program(path) : -ENOENT;
    }
    for (folder = folder ? folder : DEFAULT_PATH; folder; folder = strchr(folder, ':')) {
        folder += *folder == ':';
        size_t length = strcspn(folder, ":");
        const char *here = length == 0 ? "." : "";
        int n = snprintf(path, size, "%.*s%s/%s", (int)length, folder, here, name);
        int code = n >= 0 && (size_t)n < size ? check_program(path) : -ENOENT;
        if (code == 0) {
            return 0;
        }
        result = code == -EACCES ? code : result;
    }
    return result;
}

/* ---- starting it ---- */

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

/* A pipe of which `ours` is one end, which does not block, and `theirs` the other. */
static int make_pipe(int *ours, int *theirs, bool we_read)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0) {
        return -errno;
    }
    *ours = fds[we_read ? 0 : 1];
    *theirs = fds[we_read ? 1 : 0];
    return fcntl(*ours, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int open_files(struct command_process *p, struct command_birth *b)
{
    b->input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int code = b->input < 0 ? -errno : make_pipe(&p->output, &b->output, true);
    if (code == 0) {
        (void)fcntl(p->output, F_SETPIPE_SZ, PIPE_BYTES); /* what it is will do */
        code = make_pipe(&p->errors, &b->error, true);
    }
    if (code == 0) {
        code = make_pipe(&p->life, &b->life, false);
    }
    if (code == 0) {
        code = fcntl(b->life, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
    }
    return code < 0 ? code : make_pipe(&p->report, &b->report, true);
}

/* With all signals blocked, so that none of our handlers runs in the child. */
static int fork_supervisor(struct command_process *p, const struct command_birth *b)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    p->supervisor = fork();
    if (p->supervisor == 0) {
        command_supervise(b);
    }
    int code = p->supervisor < 0 ? -errno : 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

static void release(struct command_process *p)
{
    close_fd(&p->output);
    close_fd(&p->errors);
    close_fd(&p->life);
    close_fd(&p->report);
    free(p);
}

int command_process_start(struct command_process **out, const char *path, char *const *argv,
                          struct err *err)
{
    struct command_process *p = calloc(1, sizeof *p);
    struct command_birth b = {
        .path = path, .argv = argv, .input = -1, .output = -1, .error = -1, .life = -1, .report = -1
    };
    if (!p) {
        return err_set(err, -ENOMEM, "%s: out of memory", argv[0]);
    }
    p->output = p->errors = p->life = p->report = -1;
    int code = open_files(p, &b);
    if (code == 0) {
        code = fork_supervisor(p, &b);
    }
    close_fd(&b.input);
    close_fd(&b.output);
    close_fd(&b.error);
    close_fd(&b.life);
    close_fd(&b.report);
    if (code < 0) {
        release(p);
        return err_set(err, code, "%s: cannot start it: %s", argv[0], err_text(code));
    }
    *out = p;
    return 0;
}

int command_process_output(const struct command_process *p)
{
    return p->output;
}

int command_process_errors(const struct command_process *p)
{
    return p->errors;
}

/* ---- how it goes ---- */

/* What the supervisor has said up to now. False: it is gone. */
static bool read_reports(struct command_process *p)
{
    struct command_report r;
    ssize_t n;
    while ((n = read(p->report, &r, sizeof r)) == (ssize_t)sizeof r) {
        if (r.event == COMMAND_STARTED) {
            p->program = r.value;
        } else if (!p->ended ||
                   p->end.exec_errno == 0) { /* what never ran ends with a status, too */
            p->ended = true;
            p->end.exec_errno = r.event == COMMAND_NO_EXEC ? r.value : 0;
            p->end.status = r.event == COMMAND_ENDED ? r.value : 0;
        }
    }
    return n != 0;
}

int command_process_news(const struct command_process *p)
{
    return p->ended ? -1 : p->report;
}

bool command_process_lost(struct command_process *p)
{
    return !read_reports(p) && !p->ended;
}

bool command_process_wait(struct command_process *p, int64_t timeout_us, struct command_end *out)
{
    int64_t deadline_us = clock_deadline_us(timeout_us);
    while (read_reports(p) && !p->ended) {
        int64_t left_us = deadline_us - clock_now_us();
        if (left_us <= 0 || stop_poll(NULL, p->report, POLLIN, left_us) < 0) {
            break;
        }
    }
    if (p->ended) {
        *out = p->end;
    }
    return p->ended;
}

void command_end_text(const struct command_end *end, char *text, size_t size)
{
    if (end->exec_errno) {
        (void)snprintf(text, size, "cannot be run: %s", err_text(end->exec_errno));
    } else if (WIFSIGNALED(end->status)) {
        const char *name = sigabbrev_np(WTERMSIG(end->status));
        (void)snprintf(text, size, "was ended by SIG%s", name ? name : "?");
    } else {
        (void)snprintf(text, size, "ended with status %d", WEXITSTATUS(end->status));
    }
}

/* ---- ending it ---- */

static void ask_to_end(struct command_process *p, int64_t grace_us)
{
    int64_t units = grace_us / (COMMAND_GRACE_UNIT_MS * CLOCK_MS);
    uint8_t grace = (uint8_t)(units > 250 ? 250 : units);
    if (write(p->life, &grace, 1) < 0) {
        /* It has ended already: then nobody minds. */
    }
    close_fd(&p->life);
}

/* True: the supervisor, and so all else, is gone. */
static bool wait_for_supervisor(struct command_process *p, int64_t timeout_us)
{
    int64_t deadline_us = clock_deadline_us(timeout_us);
    while (read_reports(p)) {
        int64_t left_us = deadline_us - clock_now_us();
        if (left_us <= 0 || stop_poll(NULL, p->report, POLLIN, left_us) < 0) {
            return false;
        }
    }
    return true;
}

void command_process_stop(struct command_process *p, int64_t grace_us)
{
    if (!p) {
        return;
    }
    ask_to_end(p, grace_us < MAX_GRACE_US ? grace_us : MAX_GRACE_US);
    close_fd(&p->output); /* it may hang in a write */
    close_fd(&p->errors);
    if (!wait_for_supervisor(p, grace_us + LAST_WAIT_US)) {
        log_warn("a camera program (process %d) cannot be ended; it is left alone",
                 (int)p->program);
    } else {
        int status;
        (void)waitpid(p->supervisor, &status, 0); /* its last file was closed by its end */
        if (!p->ended && p->program > 0) {
            (void)kill(-p->program, SIGKILL); /* somebody killed the supervisor */
        }
    }
    release(p);
}
