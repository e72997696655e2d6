/* SPDX-License-Identifier: MIT */
/*
 * The small process between us and a camera program: our fork, which starts the program and outlives
 * us just long enough to end it. It notices our death, even by SIGKILL, by the end of a pipe; it adopts
 * what the program leaves behind (PR_SET_CHILD_SUBREAPER), so that nothing the program ever started
 * stays. Being a fork it shares our memory as that was: pages that we have changed since are there twice
 * as long as it lives, which is the price of not needing a program of its own.
 * Life: from fork(2) until the program and all its children are gone. Threads: it has one. As we may
 * have had more when it was forked, it only makes async-signal-safe calls (signal-safety(7), and
 * plain system calls besides).
 */
#pragma once

#include <sys/types.h>

struct command_birth {
    const char *path; /* of the program */
    char *const *argv;
    int input, output, error; /* the program's standard files */
    int life;                 /* reading end: the grace, then its end, ends everything */
    int report;               /* writing end of struct command_report */
};

enum command_event {
    COMMAND_STARTED, /* value: its process id */
    COMMAND_NO_EXEC, /* value: errno */
    COMMAND_ENDED,   /* value: as of waitpid(2) */
};

struct command_report { /* shorter than PIPE_BUF: never torn */
    int event, value;
};

/* A byte through `life`: how long programs have between SIGTERM and SIGKILL. Without one: a second. */
#define COMMAND_GRACE_UNIT_MS 10
#define COMMAND_GRACE         100

_Noreturn void command_supervise(const struct command_birth *birth);
