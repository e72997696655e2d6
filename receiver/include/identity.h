/* SPDX-License-Identifier: MIT */
/*
 * Identity: what a sender that serves us recognises us by when we come back, restarted or not: this machine
 * and what it records to.
 * Threads: any.
 */
#pragma once

#include <stdint.h>

void identity_make(uint8_t id[16], const char *output);
