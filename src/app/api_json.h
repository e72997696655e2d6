/* SPDX-License-Identifier: MIT */
/* JSON from outside (RFC 8259), with limits. Threads: any, pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "pcs/err.h"

struct cJSON;

#define API_JSON_DEPTH   8
#define API_JSON_MEMBERS 64

/*
 * One object of at most API_JSON_MEMBERS members, each once, without escaped NULs (which C strings could not
 * carry) and of well-formed UTF-8. `text` has a NUL behind its `size` bytes. 0, or -EINVAL with a line; the
 * result is the caller's to delete.
 */
int api_json_parse(const char *text, size_t size, struct cJSON **out, struct err *err);

/*
 * A value as a user would type it on the command line, for options and controls: text as it is, numbers in
 * decimals, true and false as yes and no. NULL: it is none of these. Borrows from `value` or writes to `buf`.
 */
const char *api_json_text(const struct cJSON *value, char buf[40]);
