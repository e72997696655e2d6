/* SPDX-License-Identifier: MIT */
#include "command_supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Where the supervisor has its files; the first three are the program's standard ones. */
enum { INPUT, OUTPUT, ERROR, LIFE, REPORT, FILES };

#define HIGH         16 /* above them */
#define MAX_FILES    65536
#define KILL_EVERY   100 /* ms, until all are gone */
#define UNSEEN_KILLS 10  /* where the kernel does not tell what is left: tries */

struct watch {
    pid_t program; /* and its process group */
    bool running;  /* not reaped: the number is certainly its own */
    bool unseen;   /* the kernel does not list children */
    int signals;
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void tell(enum command_event event, int value)
{
    const struct command_report report = { event, value };
    if (write(REPORT, &report, sizeof report) < 0) {
        /* Nobody is left to be told. */
    }
}

/* The five files to their places and everything else closed, sockets and locks of ours above all. */
static bool arrange_files(const struct command_birth *b)
{
    int from[FILES] = { b->input, b->output, b->error, b->life, b->report };
    for (int i = 0; i < FILES; i++) {
        from[i] = fcntl(from[i], F_DUPFD, HIGH); /* none stands in another's place */
        if (from[i] < 0) {
            return false;
        }
    }
    for (int i = 0; i < FILES; i++) {
        if (dup3(from[i], i, 0) < 0) {
            return false;
        }
    }
    (void)fcntl(LIFE, F_SETFD, FD_CLOEXEC); /* cannot fail: both have just been made */
    (void)fcntl(REPORT, F_SETFD, FD_CLOEXEC);
    if (close_range(FILES, ~0U, 0) < 0) {
        for (int fd = FILES; fd < MAX_FILES; fd++) {
            close(fd);
        }
    }
    return true;
}

static void default_signals(void)
{
    const struct sigaction action = { .sa_handler = SIG_DFL };
    for (int i = 1; i < NSIG; i++) {
        (void)sigaction(i, &action, NULL); /* SIGKILL, SIGSTOP and libc's own refuse */
    }
}

/* In the program's process, up to its first instruction. */
static _Noreturn void become(const struct command_birth *b, pid_t supervisor)
{
    sigset_t none;
    (void)setpgid(0, 0);                    /* the supervisor does it, too */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* should the supervisor be killed */
    if (getppid() != supervisor) {
        _exit(1);
    }
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    execv(b->path, b->argv);
    tell(COMMAND_NO_EXEC, errno);
    _exit(127);
}

static bool start(struct watch *w, const struct command_birth *b)
{
    pid_t self = getpid();
    w->program = _Fork();
    if (w->program == 0) {
        become(b, self);
    }
    if (w->program < 0) {
        tell(COMMAND_NO_EXEC, errno);
        return false;
    }
    w->running = true;
    (void)setpgid(w->program, w->program); /* fails when it was faster */
    tell(COMMAND_STARTED, w->program);
    /* So that its pipes end with it. */
    (void)dup3(INPUT, OUTPUT, 0);
    (void)dup3(INPUT, ERROR, 0);
    return true;
}

/* All that have ended. False: no children are left. */
static bool reap(struct watch *w)
{
    siginfo_t info = { .si_pid = 0 };
    int status;
    for (;;) {
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD) {
            return false;
        }
        if (info.si_pid == 0) {
            return true;
        }
        if (w->running && info.si_pid == w->program) {
            (void)kill(-w->program, SIGTERM); /* while nobody else can have its number */
        }
        if (waitpid(info.si_pid, &status, WNOHANG) == w->program && w->running) {
            w->running = false;
            tell(COMMAND_ENDED, status);
        }
        info.si_pid = 0;
    }
}

/* `number` to one child, unless it has had it as one of the group. */
static void signal_child(const struct watch *w, pid_t child, int number)
{
    if (!w->running || getpgid(child) != w->program) {
        (void)kill(child, number);
    }
}

/* To our own children, which all that lose their parents become. The file is a list of numbers, each with
 * a space behind it (proc_pid_task_children(5)). */
static void signal_children(struct watch *w, int number)
{
    char text[512];
    pid_t child = 0;
    ssize_t n;
    int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    w->unseen = fd < 0;
    while (fd >= 0 && (n = read(fd, text, sizeof text)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (text[i] >= '0' && text[i] <= '9') {
                child = child * 10 + (text[i] - '0');
            } else if (child > 0) {
                signal_child(w, child, number);
                child = 0;
            }
        }
    }
    if (fd >= 0) {
        close(fd);
    }
}

static void signal_all(struct watch *w, int number)
{
    if (w->running) {
        (void)kill(-w->program, number);
    }
    signal_children(w, number);
    if (w->unseen && !w->running) {
        (void)kill(-w->program, number);
    }
}

/* Until a child ends, our owner does (or says so), or the time is over. */
static void wait_for_any(const struct watch *w, bool alone, int64_t timeout_ms)
{
    struct signalfd_siginfo info;
    struct pollfd files[] = { { .fd = w->signals, .events = POLLIN },
                              { .fd = alone ? -1 : LIFE, .events = POLLIN } };
    (void)poll(files, 2, (int)timeout_ms); /* whatever it says, the callers look again */
    while (read(w->signals, &info, sizeof info) > 0) {
    }
}

/* Has our owner ended, or had enough? Then with this grace. */
static bool is_over(int64_t *grace_ms)
{
    uint8_t grace = COMMAND_GRACE;
    ssize_t n = read(LIFE, &grace, 1);
    *grace_ms = (int64_t)grace * COMMAND_GRACE_UNIT_MS;
    return n >= 0 || (errno != EAGAIN && errno != EINTR);
}

/* SIGTERM lets a camera program put its sensor to rest. */
static void end_all(struct watch *w, int64_t grace_ms)
{
    int64_t deadline_ms = now_ms() + grace_ms;
    int kills = 0;
    signal_all(w, SIGTERM);
    while (reap(w) && now_ms() < deadline_ms) {
        wait_for_any(w, true, deadline_ms - now_ms());
    }
    while (reap(w) && (!w->unseen || kills++ < UNSEEN_KILLS)) {
        signal_all(w, SIGKILL);
        wait_for_any(w, true, KILL_EVERY);
    }
}

_Noreturn void command_supervise(const struct command_birth *birth)
{
    struct watch w = { .program = -1 };
    sigset_t all, child;
    int64_t grace_ms = (int64_t)COMMAND_GRACE * COMMAND_GRACE_UNIT_MS;
    sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    default_signals(); /* SIGCHLD might be ignored, and nobody waited for */
    (void)setsid();    /* a terminal's Ctrl-C is for us alone */
    (void)prctl(PR_SET_NAME, "camera-command");
    if (!arrange_files(birth)) {
        _exit(1);
    }
    w.signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (w.signals < 0 || !start(&w, birth)) {
        _exit(1);
    }
    while (reap(&w) && w.running && !is_over(&grace_ms)) {
        wait_for_any(&w, false, -1);
    }
    end_all(&w, grace_ms);
    _exit(0);
}
