/* SPDX-License-Identifier: MIT */
/*
 * Who may: tokens, origins and host names, as pure functions of what a request says.
 * Threads: any.
 */
#pragma once

#include <stdbool.h>

struct option_list;

/* Does a request know `token`? `query` is its ?token=, `authorization` that header's value (Bearer, or Basic
 * with the token as password); either may be NULL. Takes as long for every wrong answer. */
bool access_granted(const char *token, const char *query, const char *authorization);

/* May a page of `origin` (the header's value) ask for things here, where it was sent to `host`? Yes from our
 * own pages, and from those that are named in `allowed` ("*" = all). */
bool access_origin(const char *origin, const char *host, const struct option_list *allowed);
/* … of another site than `host`? */
bool access_foreign(const char *origin, const char *host);

/*
 * Can `host` (the header's value) be our name in the local network? Not when anyone may own it: a page of
 * his whose name he lets point here would pass as one of ours (DNS rebinding). Addresses, names without a
 * dot, names under domains that are for local use, `own`, and the hosts of `allowed`.
 */
bool access_host(const char *host, const char *own, const struct option_list *allowed);
