/* SPDX-License-Identifier: MIT */
/*
 * Sockets that systemd has opened for us (sd_listen_fds(3)): a .socket unit, its FileDescriptorName= says
 * which is which. Threads: main, before it starts others.
 */
#pragma once

#include "pcs/err.h"

/*
 * The listening stream socket of that name; one without a name of its own is "http". It is the caller's, and
 * is not handed out again. Negative with a line that says what is missing.
 */
int activation_take(const char *name, struct err *err);
