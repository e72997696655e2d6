/* SPDX-License-Identifier: MIT */
/*
 * Options that name a port to listen on and are off until they are given, so that 0 can mean any free one.
 * Threads: any.
 */
#pragma once

#include "pcs/err.h"

/* 0 … 65535, or -EINVAL with the line for the user; `text` NULL (off) is 0. */
int port_parse(const char *option, const char *text, struct err *err);
