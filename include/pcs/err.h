/* SPDX-License-Identifier: MIT */
/*
 * Errors. A function that can fail returns 0 or a negative errno. Where the number alone would
 * not tell a user what to do, it also takes a `struct err *` (NULL is fine) and writes one line
 * that names the thing and what is allowed.
 * Threads: any; a struct err belongs to its caller.
 */
#pragma once

struct err {
    int code; /* negative errno, 0 = none */
    char text[400];
};

/* Fill *err (when not NULL) and return `code`, so that failing is one statement. */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Text of a negative (or positive) errno; never NULL, constant storage, thread-safe. */
const char *err_text(int code);
