/* SPDX-License-Identifier: MIT */
/*
 * Text from outside (peers, files, cameras) on its way to a log, a terminal or a JSON document.
 * Threads: any.
 */
#pragma once

#include <stddef.h>

/* Put '?' in place of every byte that is not part of a printable character of well-formed UTF-8
 * (RFC 3629): control characters (C0, DEL, C1), overlong forms, surrogates, broken sequences. */
void text_clean(char *text, size_t size);

/* Bytes of "user:password@" in front of a URL's host. `size`: of its authority, the part up to the path. */
size_t text_login_size(const char *authority, size_t size);

/* A URL as it may be shown: without user and password, and without its query, which may hold a key. Cut to
 * `size`. What is no URL stays as it is. */
void text_show_url(const char *url, char *out, size_t size);
