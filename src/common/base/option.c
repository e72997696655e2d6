/* SPDX-License-Identifier: MIT */
#include "option_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pcs/log.h"

struct kept_text {
    struct kept_text *next;
    char text[];
};

struct kept_items {
    struct kept_items *next;
    const char *item[];
};

static const struct option_def common_defs[] = {
    { .name = "config",
      .type = OPTION_STRING,
      .offset = offsetof(struct option_common, config),
      .flags = OPTION_CLI,
      .arg = "FILE",
      .help = "read options from this INI file" },
    { .name = "check-config",
      .type = OPTION_FLAG,
      .offset = offsetof(struct option_common, check_config),
      .flags = OPTION_CLI,
      .help = "print the effective settings as an INI file and exit" },
    { .name = "log-level",
      .type = OPTION_CHOICE,
      .offset = offsetof(struct option_common, log_level),
      .value = "info",
      .choices = log_level_names,
      .flags = OPTION_LIVE,
      .help = "how much to log on stderr" },
    { .name = "verbose",
      .letter = 'v',
      .type = OPTION_FLAG,
      .offset = offsetof(struct option_common, verbose),
      .flags = OPTION_CLI,
      .help = "same as --log-level debug" },
    { .name = "version",
      .letter = 'V',
      .type = OPTION_FLAG,
      .offset = offsetof(struct option_common, version),
      .flags = OPTION_CLI,
      .help = "print the version and exit" },
    { .name = "help",
      .letter = 'h',
      .type = OPTION_FLAG,
      .offset = offsetof(struct option_common, help),
      .flags = OPTION_CLI,
      .help = "print this and exit" },
};

/* ---- the table ---- */

static void add_part(struct options *o, const struct option_part *part)
{
    for (size_t i = 0; i < part->count; i++) {
        const struct option_def *def = &part->defs[i];
        assert(option_find(o, def->name, strlen(def->name)) == OPTION_NONE);
        struct option_slot *slot = &o->slots[o->count++];
        slot->def = def;
        slot->section = part->section;
        slot->field = (char *)part->config + def->offset;
    }
}

static int add_parts(struct options *o, const struct option_part *parts, size_t count)
{
    const struct option_part common = { "run", common_defs, OPTION_COUNT(common_defs), &o->common };
    size_t total = common.count;
    for (size_t i = 0; i < count; i++)
        total += parts[i].count;
    o->slots = calloc(total, sizeof(*o->slots));
    o->cli = calloc(total, sizeof(*o->cli));
    o->file = calloc(total, sizeof(*o->file));
    if (!o->slots || !o->cli || !o->file)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        add_part(o, &parts[i]);
    add_part(o, &common);
    return 0;
}

size_t option_find(const struct options *o, const char *name, size_t len)
{
    for (size_t i = 0; i < o->count; i++) {
        const char *known = o->slots[i].def->name;
        if (strncmp(known, name, len) == 0 && !known[len])
            return i;
    }
    return OPTION_NONE;
}

/* Levenshtein's distance; names longer than a row count as infinitely far. */
static size_t distance(const char *a, const char *b)
{
    enum { ROW = 40 };
    size_t row[ROW + 1], len = strlen(b);
    if (len > ROW)
        return SIZE_MAX;
    for (size_t j = 0; j <= len; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= len; j++) {
            size_t replace = diagonal + (a[i - 1] != b[j - 1]);
            size_t other = 1 + (row[j] < row[j - 1] ? row[j] : row[j - 1]);
            diagonal = row[j];
            row[j] = replace < other ? replace : other;
        }
    }
    return row[len];
}

const char *option_nearest(const struct options *o, const char *name)
{
    const char *best = NULL;
    size_t best_distance = strlen(name) < 4 ? 2 : 3; /* and more is no typing error */
    for (size_t i = 0; i < o->count; i++) {
        const char *known = o->slots[i].def->name;
        size_t d = distance(known, name);
        if (d < best_distance) {
            best = known;
            best_distance = d;
        }
    }
    return best;
}

/* ---- what was given ---- */

static const char *keep_text(struct options *o, const char *text)
{
    for (struct kept_text *t = o->texts; t; t = t->next) {
        if (strcmp(t->text, text) == 0)
            return t->text;
    }
    size_t size = strlen(text) + 1;
    struct kept_text *t = malloc(sizeof(*t) + size);
    if (!t)
        return NULL;
    memcpy(t->text, text, size);
    t->next = o->texts;
    o->texts = t;
    return t->text;
}

static int keep_list(struct options *o, struct option_list *list)
{
    struct kept_items *k = malloc(sizeof(*k) + list->count * sizeof(k->item[0]));
    if (!k)
        return -ENOMEM;
    for (size_t i = 0; i < list->count; i++)
        k->item[i] = list->item[i];
    k->next = o->items;
    o->items = k;
    list->item = k->item;
    return 0;
}

static int give_text(struct options *o, struct option_list *given, bool list, const char *text)
{
    const char *kept = keep_text(o, text);
    if (!kept)
        return -ENOMEM;
    if (list || given->count == 0) {
        const char **item = realloc(given->item, (given->count + 1) * sizeof(*item));
        if (!item)
            return -ENOMEM;
        given->item = item;
        given->count++;
    }
    given->item[given->count - 1] = kept;
    return 0;
}

int option_check_text(const struct option_def *def, const char *text, const char *where,
                      struct err *err)
{
    union option_field field;
    if (option_value_parse(def, text, &field) < 0) {
        char quoted[OPTION_QUOTE_SIZE], allowed[256];
        return err_set(err, -EINVAL, "%s: %s is not allowed: %s", where, option_quote(text, quoted),
                       option_value_allowed(def, allowed, sizeof(allowed)));
    }
    return 0;
}

int option_give(struct options *o, struct option_list *source, size_t slot, const char *text,
                const char *where, struct err *err)
{
    const struct option_def *def = o->slots[slot].def;
    int code = option_check_text(def, text, where, err);
    if (code < 0)
        return code;
    if (give_text(o, &source[slot], def->type == OPTION_LIST, text) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    return 0;
}

static void source_free(struct option_list *source, size_t count)
{
    for (size_t i = 0; source && i < count; i++)
        free(source[i].item);
    free(source);
}

/* ---- what it comes to ---- */

void option_effective(const struct options *o, const struct option_list *file, size_t slot,
                      union option_field *out)
{
    const struct option_def *def = o->slots[slot].def;
    struct option_list given = o->cli[slot].count ? o->cli[slot] : file[slot];
    (void)option_live_counts(o, file, slot, &given);
    const char *text = given.count ? given.item[given.count - 1] : def->value;
    memset(out, 0, sizeof(*out));
    if (def->type == OPTION_LIST)
        out->list = given;
    else if (text && option_value_parse(def, text, out) < 0)
        assert(!"a default that its own option does not allow");
}

static void write_value(struct option_slot *slot, const union option_field *value)
{
    option_value_copy(slot->def, slot->field, value);
    slot->running = *value;
}

/* Write every value that is news into the configs. 0 or -ENOMEM. */
static int apply_all(struct options *o)
{
    for (size_t i = 0; i < o->count; i++) {
        struct option_slot *slot = &o->slots[i];
        union option_field value;
        option_effective(o, o->file, i, &value);
        if (option_value_same(slot->def, &slot->running, &value))
            continue;
        if (slot->def->type == OPTION_LIST && keep_list(o, &value.list) < 0)
            return -ENOMEM;
        write_value(slot, &value);
    }
    return 0;
}

/* Zero first, because apply_all compares with that, and a caller's config may hold anything. */
static int set_defaults(struct options *o)
{
    static const union option_field zero;
    for (size_t i = 0; i < o->count; i++)
        write_value(&o->slots[i], &zero);
    return apply_all(o);
}

struct options *options_new(const char *program, const char *version, const char *usage,
                            const struct option_part *parts, size_t count)
{
    struct options *o = calloc(1, sizeof(*o));
    if (!o)
        return NULL;
    o->program = program;
    o->version = version;
    o->usage = usage;
    if (add_parts(o, parts, count) < 0 || set_defaults(o) < 0) {
        options_free(o);
        return NULL;
    }
    return o;
}

void options_free(struct options *o)
{
    if (!o)
        return;
    for (struct kept_text *next, *t = o->texts; t; t = next) {
        next = t->next;
        free(t);
    }
    for (struct kept_items *next, *k = o->items; k; k = next) {
        next = k->next;
        free(k);
    }
    source_free(o->cli, o->count);
    source_free(o->file, o->count);
    option_live_free(o);
    free(o->slots);
    free(o);
}

/* ---- loading ---- */

static int print_done(const struct options *o, struct err *err,
                      void (*print)(const struct options *o, FILE *out))
{
    print(o, stdout);
    if (fflush(stdout) != 0)
        return err_set(err, -errno, "standard output: %s", err_text(errno));
    return OPTIONS_DONE;
}

static void print_version(const struct options *o, FILE *out)
{
    fprintf(out, "%s %s\n", o->program, o->version);
}

static int apply_loaded(struct options *o, struct err *err)
{
    return apply_all(o) < 0 ? err_set(err, -ENOMEM, "out of memory") : 0;
}

/* -v is a way to type --log-level debug; one that was typed out wins. */
static int give_verbose(struct options *o, struct err *err)
{
    size_t slot = option_find(o, "log-level", strlen("log-level"));
    if (!o->common.verbose || o->cli[slot].count)
        return 0;
    return option_give(o, o->cli, slot, log_level_names[LOG_DEBUG], "--verbose", err);
}

static int load_file(struct options *o, struct err *err)
{
    int ret = give_verbose(o, err);
    if (ret >= 0 && o->common.config)
        ret = option_file_read(o, o->file, o->common.config, err);
    return ret < 0 ? ret : apply_loaded(o, err);
}

int option_judge(struct options *o, struct err *err)
{
    return o->check ? o->check(o->check_arg, err) : 0;
}

static int load(struct options *o, int argc, char **argv, struct err *err)
{
    int ret = option_cli_parse(o, argc, argv, err);
    if (ret >= 0)
        ret = apply_loaded(o, err);
    if (ret < 0)
        return ret;
    if (o->common.help)
        return print_done(o, err, option_print_help);
    if (o->common.version)
        return print_done(o, err, print_version);
    ret = load_file(o, err);
    if (ret >= 0)
        ret = option_judge(o, err);
    if (ret < 0)
        return ret;
    if (o->common.check_config)
        return print_done(o, err, option_print_config);
    log_set_level((enum log_level)o->common.log_level);
    return OPTIONS_RUN;
}

int options_load(struct options *o, int argc, char **argv, int (*check)(void *arg, struct err *err),
                 void *arg, struct err *err)
{
    struct err why = { 0 };
    o->check = check;
    o->check_arg = arg;
    int ret = load(o, argc, argv, &why);
    return ret < 0 ? err_set(err, ret, "%s: %s", o->program, why.text) : ret;
}

int options_parse_ini(struct options *o, const char *text, struct err *err)
{
    struct option_list *fresh = calloc(o->count, sizeof(*fresh));
    if (!fresh)
        return err_set(err, -ENOMEM, "out of memory");
    int ret = option_file_parse(o, fresh, "config", text, err);
    if (ret < 0) {
        source_free(fresh, o->count);
        return ret;
    }
    source_free(o->file, o->count);
    o->file = fresh;
    return apply_loaded(o, err);
}

/* ---- reloading ---- */

/* What a reload would change, per slot. */
struct change {
    bool differs, live;
    union option_field value, old_field;
};

/* Compared with what we wrote: what the program made of it is no news. */
static int find_changes(struct options *o, const struct option_list *fresh, struct change *changes)
{
    for (size_t i = 0; i < o->count; i++) {
        const struct option_slot *slot = &o->slots[i];
        struct change *c = &changes[i];
        option_effective(o, fresh, i, &c->value);
        option_value_copy(slot->def, &c->old_field, slot->field);
        c->differs = !option_value_same(slot->def, &slot->running, &c->value);
        c->live = c->differs && slot->def->flags & OPTION_LIVE;
        if (c->live && slot->def->type == OPTION_LIST && keep_list(o, &c->value.list) < 0)
            return -ENOMEM;
    }
    return 0;
}

/* The whole is judged as it would be, with the live options' new values in place. */
static int try_changes(struct options *o, const struct option_list *fresh, struct change *changes,
                       struct err *err)
{
    if (find_changes(o, fresh, changes) < 0)
        return err_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < o->count; i++) {
        if (changes[i].live)
            option_value_copy(o->slots[i].def, o->slots[i].field, &changes[i].value);
    }
    int ret = option_judge(o, err);
    for (size_t i = 0; i < o->count; i++) {
        if (changes[i].live && ret < 0)
            option_value_copy(o->slots[i].def, o->slots[i].field, &changes[i].old_field);
        else if (changes[i].live)
            o->slots[i].running = changes[i].value;
    }
    return ret;
}

static void report_changes(struct options *o, const struct change *changes,
                           void (*changed)(void *arg, const char *name, bool live), void *arg)
{
    log_set_level((enum log_level)o->common.log_level);
    for (size_t i = 0; changed && i < o->count; i++) {
        if (changes[i].differs)
            changed(arg, o->slots[i].def->name, changes[i].live);
    }
}

int options_reload(struct options *o, void (*changed)(void *arg, const char *name, bool live),
                   void *arg, struct err *err)
{
    if (!o->common.config)
        return err_set(err, -ENOENT, "there is no --config file to read again");
    struct option_list *fresh = calloc(o->count, sizeof(*fresh));
    struct change *changes = calloc(o->count, sizeof(*changes));
    int ret = fresh && changes ? option_file_read(o, fresh, o->common.config, err)
                               : err_set(err, -ENOMEM, "out of memory");
    if (ret >= 0)
        ret = try_changes(o, fresh, changes, err);
    if (ret >= 0) {
        struct option_list *old = o->file;
        option_live_reloaded(o, fresh);
        o->file = fresh;
        fresh = old;
        report_changes(o, changes, changed, arg);
    }
    source_free(fresh, o->count);
    free(changes);
    return ret < 0 ? ret : 0;
}

static void log_change(void *arg, const char *name, bool live)
{
    (void)arg;
    if (live)
        log_info("%s has a new value", name);
    else
        log_warn("%s has a new value in the file, which needs a restart", name);
}

bool options_reload_logged(struct options *o)
{
    struct err err = { 0 };
    if (options_reload(o, log_change, NULL, &err) < 0) {
        log_error("configuration not reloaded: %s", err.text);
        return false;
    }
    log_info("configuration reloaded");
    return true;
}

bool options_given(const struct options *o, const char *name)
{
    size_t slot = option_find(o, name, strlen(name));
    return slot != OPTION_NONE && (o->cli[slot].count > 0 || o->file[slot].count > 0);
}
