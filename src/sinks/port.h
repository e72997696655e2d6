/* SPDX-License-Identifier: MIT */
/*
 * Options that name a port to listen on and are off until they are given, so that 0 can mean any free one; and
 * what is said of it.
 * Threads: any.
 */
#pragma once

#include "pcs/err.h"

/* Say where `service` ("TCP") listens; and who that lets in, for it asks nobody for a token. */
void port_tell(const char *service, int fd, const char *target);

/* 0 … 65535, or -EINVAL with the line for the user; `text` NULL (off) is 0. */
int port_parse(const char *option, const char *text, struct err *err);
