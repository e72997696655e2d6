/* SPDX-License-Identifier: MIT */
#include "command_words.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Between "…" a backslash is for these only (POSIX shell, 2.2.3). */
static bool is_escape_quoted(const char *p)
{
    return p[0] == '\\' && p[1] != '\0' && strchr("$`\"\\\n", p[1]);
}

/* One character of a word, which a backslash may precede; a line end behind it is nothing. */
static void take_escaped(const char **from, char **to)
{
    char c = (*from)[1];
    *from += 2;
    if (c != '\n') {
        *(*to)++ = c;
    }
}

/* What stands in quotes; *from is at the opening one. False: never closed. */
static bool take_quoted(const char **from, char **to)
{
    char quote = *(*from)++;
    while (**from != '\0' && **from != quote) {
        if (quote == '"' && is_escape_quoted(*from)) {
            take_escaped(from, to);
        } else {
            *(*to)++ = *(*from)++;
        }
    }
    if (**from == '\0') {
        return false;
    }
    (*from)++;
    return true;
}

/* The word at *from, to `to`, which has room for all of *from. NULL, or what is wrong. */
static const char *take_word(const char **from, char *to)
{
    while (**from != '\0' && !is_space(**from)) {
        char c = **from;
        if (c == '\\' && (*from)[1] == '\0') {
            return "a backslash at its end";
        }
        if (c == '\\') {
            take_escaped(from, &to);
        } else if (c != '\'' && c != '"') {
            *to++ = *(*from)++;
        } else if (!take_quoted(from, &to)) {
            return c == '"' ? "a \" that is not closed" : "a ' that is not closed";
        }
    }
    *to = '\0';
    return NULL;
}

int command_words_add(struct command_words *words, const char *word)
{
    char *copy = strdup(word);
    char **item = copy ? realloc(words->item, (words->count + 2) * sizeof *item) : NULL;
    if (!item) {
        free(copy);
        return -ENOMEM;
    }
    item[words->count] = copy;
    item[words->count + 1] = NULL;
    words->item = item;
    words->count++;
    return 0;
}

static void cut(struct command_words *words, size_t count)
{
    while (words->count > count) {
        free(words->item[--words->count]);
        words->item[words->count] = NULL;
    }
}

static const char *skip_space(const char *p)
{
    while (is_space(*p)) {
        p++;
    }
    return p;
}

int command_words_split(struct command_words *words, const char *text, const char *option,
                        struct err *err)
{
    size_t before = words->count;
    char *word = malloc(strlen(text) + 1); /* no word is longer */
    int code = word ? 0 : -ENOMEM;
    const char *p = skip_space(text), *wrong = NULL;
    while (code == 0 && !wrong && *p != '\0') {
        wrong = take_word(&p, word);
        code = wrong ? 0 : command_words_add(words, word);
        p = skip_space(p);
    }
    free(word);
    if (!wrong && code == 0) {
        return 0;
    }
    cut(words, before);
    return wrong ? err_set(err, -EINVAL, "%s: there is %s in: %s", option, wrong, text)
                 : err_set(err, code, "%s: out of memory", option);
}

void command_words_finish(struct command_words *words)
{
    cut(words, 0);
    free(words->item);
    *words = (struct command_words){ 0 };
}
