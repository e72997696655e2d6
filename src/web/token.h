/* SPDX-License-Identifier: MIT */
/*
 * The token of a program that nobody gave one: made once, kept in the state folder for the next start.
 * Threads: any.
 */
#pragma once

#include "pcs/err.h"

#define TOKEN_SIZE 33 /* 128 random bits in hexadecimal digits, and a NUL */

/*
 * The kept token, or a new one, which is kept: in the first of $STATE_DIRECTORY (systemd's), or in
 * ${XDG_STATE_HOME:-~/.local/state}/pi-camera-streamer, in the file "token", mode 0600. 0, or 1 with why in
 * err when it could not be kept (then the next start makes another); negative: none could be made.
 */
int token_load(char out[TOKEN_SIZE], struct err *err);
