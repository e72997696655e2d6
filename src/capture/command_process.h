/* SPDX-License-Identifier: MIT */
/*
 * A program of somebody else's, run without a shell: its output and its errors come through pipes, its
 * input is empty; it inherits folder, environment and umask, and no other file of ours. It stands under a
 * supervisor (command_supervisor.h), so that neither it nor a child of it outlives us.
 * Life: start → read from its pipes → stop. Threads: the one that started it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pcs/err.h"

struct command_process;

/* Where `name` is, as a shell finds it: PATH, unless it has a '/'. 0, or -ENOENT, -EACCES (there, but not
 * to be run). */
int command_find(const char *name, char *path, size_t size);

/* `argv` ends with NULL. That the program itself cannot be run shows later (command_process_wait). */
int command_process_start(struct command_process **out, const char *path, char *const *argv,
                          struct err *err);
int command_process_output(const struct command_process *p); /* fds that do not block */
int command_process_errors(const struct command_process *p);

/* Readable when the program has ended, or its supervisor: then ask command_process_lost. -1: it has. */
int command_process_news(const struct command_process *p);
/* True: somebody killed the supervisor. What the program left may still print; stop it. */
bool command_process_lost(struct command_process *p);

struct command_end {
    int exec_errno; /* it never ran: why */
    int status;     /* as of waitpid(2), when exec_errno is 0 */
};
/* True: it has ended, or does within the time. False: it lives, or its supervisor was killed. */
bool command_process_wait(struct command_process *p, int64_t timeout_us, struct command_end *out);
/* "ended with status 3", "was ended by SIGSEGV". */
void command_end_text(const struct command_end *end, char *text, size_t size);

/* SIGTERM, and SIGKILL to what is left after `grace_us` (at most 2.5 s); waits until all are gone, but
 * hardly longer than that: what hangs in the kernel is left to the supervisor. NULL is fine. */
void command_process_stop(struct command_process *p, int64_t grace_us);
