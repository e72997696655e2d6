/* SPDX-License-Identifier: MIT */
/* Words of a command line: their bytes are all of the text, and quoting them again gives the same words. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "capture/command_words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* 'word', with each ' in it as '\''. */
static char *quote(char *to, const char *word)
{
    *to++ = '\'';
    for (; *word; word++) {
        if (*word == '\'') {
            memcpy(to, "'\\'", 3);
            to += 3;
        }
        *to++ = *word;
    }
    *to++ = '\'';
    *to++ = ' ';
    return to;
}

static void check_again(const struct command_words *words, size_t size)
{
    struct command_words again = { 0 };
    char *text = malloc(4 * size + 3 * words->count + 1), *p = text;
    assert(text);
    for (size_t i = 0; i < words->count; i++) {
        p = quote(p, words->item[i]);
    }
    *p = '\0';
    assert(command_words_split(&again, text, "again", NULL) == 0 && again.count == words->count);
    for (size_t i = 0; i < words->count; i++) {
        assert(strcmp(again.item[i], words->item[i]) == 0);
    }
    command_words_finish(&again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct command_words words = { 0 };
    struct err err = { 0 };
    char *text = malloc(size + 1);
    assert(text);
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    int code = command_words_split(&words, text, "--camera-cmd", &err);
    size_t total = 0;
    for (size_t i = 0; i < words.count; i++) {
        total += strlen(words.item[i]);
    }
    assert(total <= size && (code == 0 || words.count == 0) && (code == 0) == (err.code == 0));
    if (words.count > 0) {
        assert(words.item[words.count] == NULL);
        check_again(&words, size);
    }
    command_words_finish(&words);
    free(text);
    return 0;
}
