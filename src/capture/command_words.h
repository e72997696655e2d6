/* SPDX-License-Identifier: MIT */
/*
 * A command line apart into words, quoted as in a shell: 'as it is', "backslash before $ ` " \ and line
 * ends", \x outside. Nothing is expanded.
 * Life: zeroed → add … → finish. Threads: any, pure.
 */
#pragma once

#include <stddef.h>

#include "pcs/err.h"

struct command_words {
    char **item; /* NULL behind the last, as execve(2) takes it; NULL while there is none */
    size_t count;
};

/* The words of `text` behind those there are. 0, -ENOMEM, or -EINVAL when a quote is not closed: nothing
 * is added then. `option` names the text in err. */
int command_words_split(struct command_words *words, const char *text, const char *option,
                        struct err *err);
/* One word as it is. 0 or -ENOMEM. */
int command_words_add(struct command_words *words, const char *word);
void command_words_finish(struct command_words *words);
