/* SPDX-License-Identifier: MIT */
/*
 * What FFmpeg's libraries have to say goes to our log, in our form: errors as warnings (what it means
 * for the user, the caller says), the rest for developers. Repeats are held back. URLs lose their user and
 * password, and the line ends where a query begins: it may be a key.
 * Threads: call once, before the first of those libraries is used.
 */
#pragma once

void avlog_install(void);
