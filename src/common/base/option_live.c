/* SPDX-License-Identifier: MIT */
/*
 * Live options set by the program itself, for somebody who steers it from outside. All changes of one call are
 * tried as one: each exchanged with what its slot has, and exchanged back when the whole is refused.
 *
 * Who steers may do so for years, so texts are not kept for ever as those of the file are. What readers may
 * still look at is kept until the next call; lists, which are read later than that, for good, but not without
 * end.
 */
#include "option_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pcs/log.h"
#include "pcs/option_live.h"

#define KEPT_MAX ((size_t)1 << 20)

/* What one change gave, in one piece of memory. */
struct live_texts {
    struct live_texts *next;
    size_t count, size;
    const char *item[];
};

static void free_all(struct live_texts **list)
{
    for (struct live_texts *next, *t = *list; t; t = next) {
        next = t->next;
        free(t);
    }
    *list = NULL;
}

void option_live_free(struct options *o)
{
    for (size_t i = 0; o->slots && i < o->count; i++)
        free(o->slots[i].live);
    free_all(&o->kept_live);
    free_all(&o->replaced_live);
}

static void keep(struct options *o, struct live_texts *t)
{
    o->kept_live_size += t->size;
    t->next = o->kept_live;
    o->kept_live = t;
}

/* ---- beside the file ---- */

static bool same_texts(const struct option_list *a, const struct option_list *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++)
        same = strcmp(a->item[i], b->item[i]) == 0;
    return same;
}

static bool is_outdated(const struct options *o, const struct option_list *file, size_t slot)
{
    return file != o->file && o->cli[slot].count == 0 && !same_texts(&o->file[slot], &file[slot]);
}

bool option_live_counts(const struct options *o, const struct option_list *file, size_t slot,
                        struct option_list *out)
{
    struct live_texts *t = o->slots[slot].live;
    if (!t || is_outdated(o, file, slot))
        return false;
    *out = (struct option_list){ t->item, t->count };
    return true;
}

void option_live_reloaded(struct options *o, const struct option_list *file)
{
    for (size_t i = 0; i < o->count; i++) {
        struct option_slot *slot = &o->slots[i];
        if (slot->live && is_outdated(o, file, i)) {
            keep(o, slot->live); /* when the file says the same, the value still points there */
            slot->live = NULL;
        }
    }
}

/* ---- looking ---- */

void options_each_live(const struct options *o,
                       void (*each)(void *arg, const struct option_view *view), void *arg)
{
    for (size_t i = 0; i < o->count; i++) {
        const struct option_slot *slot = &o->slots[i];
        struct option_view view = { .def = slot->def,
                                    .section = slot->section,
                                    .value = &slot->running,
                                    .set = slot->live != NULL };
        if (slot->def->flags & OPTION_LIVE) {
            (void)option_value_allowed(slot->def, view.allowed, sizeof(view.allowed));
            each(arg, &view);
        }
    }
}

/* ---- setting ---- */

/* Before: what is to come. After: what was there. */
struct trial {
    size_t slot;
    struct live_texts *live;
    union option_field field, running;
};

static int find_slot(const struct options *o, const char *name, size_t *slot, struct err *err)
{
    size_t found = option_find(o, name, strlen(name));
    if (found == OPTION_NONE || o->slots[found].def->flags & OPTION_CLI) {
        char quoted[OPTION_QUOTE_SIZE];
        return err_set(err, -ENOENT, "there is no option %s", option_quote(name, quoted));
    }
    *slot = found;
    if (!(o->slots[found].def->flags & OPTION_LIVE))
        return err_set(err, -EPERM, "%s needs a restart: say it in the file", name);
    return 0;
}

static struct live_texts *copy_texts(const struct option_change *change)
{
    size_t size = sizeof(struct live_texts) + change->count * sizeof(const char *), used = size;
    for (size_t i = 0; i < change->count; i++)
        size += strlen(change->text[i]) + 1;
    struct live_texts *t = malloc(size);
    if (!t)
        return NULL;
    t->size = size;
    t->count = change->count;
    for (size_t i = 0; i < t->count; i++) {
        size_t n = strlen(change->text[i]) + 1;
        t->item[i] = memcpy((char *)t + used, change->text[i], n);
        used += n;
    }
    return t;
}

static int read_change(const struct options *o, const struct option_change *change, struct trial *t,
                       struct err *err)
{
    int code = find_slot(o, change->name, &t->slot, err);
    for (size_t i = 0; code == 0 && change->text && i < change->count; i++)
        code = option_check_text(o->slots[t->slot].def, change->text[i], change->name, err);
    if (code == 0 && change->text && !(t->live = copy_texts(change)))
        code = err_set(err, -ENOMEM, "out of memory");
    return code;
}

/* Twice is as never. */
static void exchange(struct option_slot *slot, struct trial *t)
{
    struct trial was = { .slot = t->slot, .live = slot->live, .running = slot->running };
    option_value_copy(slot->def, &was.field, slot->field);
    slot->live = t->live;
    slot->running = t->running;
    option_value_copy(slot->def, slot->field, &t->field);
    *t = was;
}

static void put_in_place(struct options *o, struct trial *t)
{
    struct option_slot *slot = &o->slots[t->slot];
    exchange(slot, t);
    option_effective(o, o->file, t->slot, &slot->running);
    option_value_copy(slot->def, slot->field, &slot->running);
}

static int try_all(struct options *o, struct trial *trials, size_t count, struct err *err)
{
    for (size_t i = 0; i < count; i++)
        put_in_place(o, &trials[i]);
    int code = option_judge(o, err);
    for (size_t i = count; code < 0 && i-- > 0;)
        exchange(&o->slots[trials[i].slot], &trials[i]);
    return code;
}

/* What was replaced, or was not taken. */
static void put_away(struct options *o, struct trial *trials, size_t count, bool replaced)
{
    for (size_t i = 0; i < count; i++) {
        struct live_texts *t = trials[i].live;
        if (!t || !replaced) {
            free(t);
        } else if (o->slots[trials[i].slot].def->type == OPTION_LIST) {
            keep(o, t);
        } else {
            t->next = o->replaced_live;
            o->replaced_live = t;
        }
    }
}

int options_set_live(struct options *o, const struct option_change *changes, size_t count,
                     size_t *failed, struct err *err)
{
    struct trial *trials = calloc(count + 1, sizeof(*trials));
    size_t read = 0;
    int code = trials ? 0 : err_set(err, -ENOMEM, "out of memory");
    *failed = count;
    if (o->kept_live_size > KEPT_MAX)
        code = err_set(err, -ENOSPC, "lists were set too often: restart");
    free_all(&o->replaced_live);
    while (code == 0 && read < count) {
        code = read_change(o, &changes[read], &trials[read], err);
        *failed = code < 0 ? read : count;
        read++;
    }
    if (code == 0)
        code = try_all(o, trials, count, err);
    if (trials)
        put_away(o, trials, read, code == 0);
    if (code == 0)
        log_set_level((enum log_level)o->common.log_level);
    free(trials);
    return code < 0 ? code : 0;
}
