/* SPDX-License-Identifier: MIT */
/*
 * --help and --check-config. Both go by section: parts that share one are printed together, where
 * the first of them stands.
 */
#include "option_internal.h"

#include <string.h>

#define HELP_COLUMN 30
#define HELP_WIDTH  98

/* Call `print` for every slot, section by section; `begin` where a new one starts. */
static void each_by_section(const struct options *o, FILE *out,
                            void (*begin)(const char *section, FILE *out),
                            void (*print)(const struct option_slot *slot, FILE *out))
{
    for (size_t i = 0; i < o->count; i++) {
        const char *section = o->slots[i].section;
        bool seen = false;
        for (size_t j = 0; j < i && !seen; j++)
            seen = strcmp(o->slots[j].section, section) == 0;
        if (seen)
            continue;
        begin(section, out);
        for (size_t j = i; j < o->count; j++) {
            if (strcmp(o->slots[j].section, section) == 0)
                print(&o->slots[j], out);
        }
    }
}

/* ---- --help ---- */

static void add(char *buf, size_t size, const char *text)
{
    size_t used = strlen(buf);
    snprintf(buf + used, size - used, "%s", text);
}

/* "  -v, --verbose", "      --port PORT" */
static void describe_option(const struct option_def *def, char *buf, size_t size)
{
    snprintf(buf, size, def->letter ? "  -%c, --" : "      --", def->letter);
    add(buf, size, def->name);
    if (def->type == OPTION_FLAG)
        return;
    add(buf, size, " ");
    if (def->arg || !def->choices) {
        add(buf, size, def->arg ? def->arg : def->type == OPTION_ONOFF ? "on|off" : "VALUE");
        return;
    }
    for (int i = 0; def->choices[i]; i++) {
        add(buf, size, i ? "|" : "");
        add(buf, size, def->choices[i]);
    }
}

/* "help text (1 to 65535; default 5000)" */
static void describe_help(const struct option_def *def, char *buf, size_t size)
{
    char text[64];
    bool limited = def->max != 0 && def->type == OPTION_INT;
    snprintf(buf, size, "%s", def->help);
    if (!limited && !def->value && def->type != OPTION_LIST)
        return;
    add(buf, size, " (");
    if (limited)
        add(buf, size, option_value_allowed(def, text, sizeof(text)));
    if (limited && def->value)
        add(buf, size, "; ");
    if (def->value)
        add(buf, size, "default ");
    add(buf, size, def->value ? def->value : "");
    add(buf, size, def->type == OPTION_LIST ? "repeatable)" : ")");
}

/* Words of `text` from column `column` on, indented to HELP_COLUMN. */
static void print_wrapped(const char *text, size_t column, FILE *out)
{
    while (*text) {
        size_t word = strcspn(text, " ");
        if (column > HELP_COLUMN && column + 1 + word > HELP_WIDTH) {
            fputc('\n', out);
            column = 0;
        }
        int pad = column < HELP_COLUMN ? (int)(HELP_COLUMN - column) : column > HELP_COLUMN;
        fprintf(out, "%*s%.*s", pad, "", (int)word, text);
        column += (size_t)pad + word;
        text += word + strspn(text + word, " ");
    }
    fputc('\n', out);
}

static void print_option(const struct option_slot *slot, FILE *out)
{
    char left[160], right[400];
    describe_option(slot->def, left, sizeof(left));
    describe_help(slot->def, right, sizeof(right));
    size_t column = strlen(left);
    fputs(left, out);
    if (column + 2 > HELP_COLUMN) {
        fputc('\n', out);
        column = 0;
    }
    print_wrapped(right, column, out);
}

static void begin_group(const char *section, FILE *out)
{
    fprintf(out, "\n%s:\n", section);
}

void option_print_help(const struct options *o, FILE *out)
{
    fprintf(out, "Usage: %s %s\n", o->program, o->usage);
    each_by_section(o, out, begin_group, print_option);
    fputs("\nEvery option is also a key of the --config file; the command line wins.\n"
          "Sizes and rates take k, M, G; times us, ms, s, m, h.\n",
          out);
}

/* ---- --check-config ---- */

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

/* Would inih or the reading of quotes make something else of it? */
static bool needs_quotes(const char *text)
{
    size_t len = strlen(text);
    if (len == 0 || text[0] == '"' || text[0] == ' ' || text[len - 1] == ' ')
        return true;
    for (const char *p = text; *p; p++) {
        if (is_control(*p) || *p == ';')
            return true;
    }
    return false;
}

static void print_text(const char *text, FILE *out)
{
    if (!needs_quotes(text)) {
        fputs(text, out);
        return;
    }
    fputc('"', out);
    for (const char *p = text; *p; p++) {
        if (is_control(*p) || *p == ';')
            fprintf(out, "\\x%02x", (unsigned char)*p);
        else
            fprintf(out, *p == '"' || *p == '\\' ? "\\%c" : "%c", *p);
    }
    fputc('"', out);
}

static void print_key(const char *name, const char *text, FILE *out)
{
    fprintf(out, text ? "%s = " : "; %s =", name);
    if (text)
        print_text(text, out);
    fputc('\n', out);
}

/* A number that has no default and was not given: its 0 stands for none, and may not be written. */
static bool is_unset(const struct option_slot *slot)
{
    const struct option_def *def = slot->def;
    bool number = def->type == OPTION_INT || def->type == OPTION_SIZE || def->type == OPTION_RATE ||
                  def->type == OPTION_TIME;
    return number && !def->value && def->min > 0 && *(const int64_t *)slot->field == 0;
}

static void print_setting(const struct option_slot *slot, FILE *out)
{
    const struct option_def *def = slot->def;
    const struct option_list *list = slot->field;
    char number[64];
    if (def->flags & OPTION_CLI)
        return;
    if (def->type != OPTION_LIST) {
        const char *text = option_value_text(def, slot->field, number, sizeof(number));
        print_key(def->name, is_unset(slot) ? NULL : text, out);
        return;
    }
    for (size_t i = 0; i < list->count; i++)
        print_key(def->name, list->item[i], out);
    if (list->count == 0)
        print_key(def->name, NULL, out);
}

static void begin_section(const char *section, FILE *out)
{
    fprintf(out, "\n[%s]\n", section);
}

void option_print_config(const struct options *o, FILE *out)
{
    fprintf(out, "# %s %s: effective settings\n", o->program, o->version);
    each_by_section(o, out, begin_section, print_setting);
}
