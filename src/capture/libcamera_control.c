/* SPDX-License-Identifier: MIT */
#include "libcamera_control.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcamera_value.h"

/* From libcamera's control_ids of 0.0.3; the numbers have stayed. */
static const struct {
    const char *control;
    const char *choice[8]; /* 0, 1, 2 … */
} known_choices[] = {
    { "AeMeteringMode",
      { "MeteringCentreWeighted", "MeteringSpot", "MeteringMatrix", "MeteringCustom" } },
    { "AeConstraintMode",
      { "ConstraintNormal", "ConstraintHighlight", "ConstraintShadows", "ConstraintCustom" } },
    { "AeExposureMode", { "ExposureNormal", "ExposureShort", "ExposureLong", "ExposureCustom" } },
    { "AwbMode",
      { "AwbAuto", "AwbIncandescent", "AwbTungsten", "AwbFluorescent", "AwbIndoor", "AwbDaylight",
        "AwbCloudy", "AwbCustom" } },
    { "AfMode", { "AfModeManual", "AfModeAuto", "AfModeContinuous" } },
    { "AfRange", { "AfRangeNormal", "AfRangeMacro", "AfRangeFull" } },
    { "AfSpeed", { "AfSpeedNormal", "AfSpeedFast" } },
    { "AfMetering", { "AfMeteringAuto", "AfMeteringWindows" } },
    { "AfTrigger", { "AfTriggerStart", "AfTriggerCancel" } },
    { "AfPause", { "AfPauseImmediate", "AfPauseDeferred", "AfPauseResume" } },
    { "NoiseReductionMode",
      { "NoiseReductionModeOff", "NoiseReductionModeFast", "NoiseReductionModeHighQuality",
        "NoiseReductionModeMinimal", "NoiseReductionModeZSL" } },
};

static const struct {
    const char *control;
    unsigned size; /* 0: any */
} known_arrays[] = {
    { "FrameDurationLimits", 2 },    { "ColourGains", 2 }, { "SensorBlackLevels", 4 },
    { "ColourCorrectionMatrix", 9 }, { "AfWindows", 0 },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
/* ---- what old versions do not tell ---- */

static void add_choices(struct libcamera_control *c, const char *const names[8])
{
    double min = 0, max = 8;
    bool limited = libcamera_value_first(&c->min, &min) && libcamera_value_first(&c->max, &max);
    for (int v = 0; v < 8 && names[v]; v++) {
        if (!limited || (v >= min && v <= max)) {
            c->choice[c->choice_count++] = (struct libcamera_choice){ v, names[v] };
        }
    }
}

static void name_choices(struct libcamera_control *c, const char *const names[8])
{
    for (size_t i = 0; i < c->choice_count; i++) {
        int64_t v = c->choice[i].value;
        if (!c->choice[i].name && v >= 0 && v < 8) {
            c->choice[i].name = names[v];
        }
    }
}

void libcamera_control_complete(struct libcamera_control *control)
{
    for (size_t i = 0; i < COUNT(known_choices); i++) {
        if (strcmp(known_choices[i].control, control->name) == 0 && control->choice_count == 0) {
            add_choices(control, known_choices[i].choice);
        } else if (strcmp(known_choices[i].control, control->name) == 0) {
            name_choices(control, known_choices[i].choice);
        }
    }
    for (size_t i = 0; i < COUNT(known_arrays); i++) {
        if (strcmp(known_arrays[i].control, control->name) == 0) {
            control->array = true;
            control->array_size = known_arrays[i].size;
        }
    }
}

/* ---- to text ---- */

/* Between the numbers i-1 and i of one value. */
static const char *separator(enum libcamera_type type, unsigned i)
{
    bool extent = (type == LIBCAMERA_RECTANGLE && i % 4 == 3) ||
                  (type == LIBCAMERA_SIZE && i % 2 == 1);
    return i == 0 ? "" : extent ? "x" : ",";
}

static void print_value(const struct libcamera_value *v, char out[LIBCAMERA_VALUE_TEXT])
{
    struct libcamera_numbers numbers;
    size_t used = 0;
    out[0] = 0;
    if (v->type == LIBCAMERA_STRING) {
        int size = v->count < LIBCAMERA_VALUE_BYTES ? (int)v->count : LIBCAMERA_VALUE_BYTES;
        (void)snprintf(out, LIBCAMERA_VALUE_TEXT, "%.*s", size, (const char *)v->bytes);
        return;
    }
    libcamera_value_read(v, &numbers);
    for (unsigned i = 0; i < numbers.count && used + 32 < LIBCAMERA_VALUE_TEXT; i++) {
        used += (size_t)snprintf(out + used, LIBCAMERA_VALUE_TEXT - used, "%s%.*g",
                                 separator(v->type, i),
                                 libcamera_type_info(v->type)->whole ? 15 : 6, numbers.n[i]);
    }
}

/* Of "AwbAuto", "AwbIndoor", … "Awb" says nothing: the length of the words that all begin with. */
static size_t common_words(const struct libcamera_control *c)
{
    if (c->choice_count == 1 && c->choice[0].name &&
        strncmp(c->choice[0].name, c->name, strlen(c->name)) == 0) {
        return strlen(c->name);
    }
    const char *first = c->choice_count > 1 ? c->choice[0].name : NULL;
    size_t same = first ? strlen(first) : 0;
    for (size_t i = 1; i < c->choice_count; i++) {
        const char *name = c->choice[i].name;
        size_t k = 0;
        while (name && k < same && name[k] == first[k]) {
            k++;
        }
        same = k;
    }
    while (same > 0 &&
           !(isupper((unsigned char)first[same]) && !isupper((unsigned char)first[same - 1]))) {
        same--;
    }
    return same;
}

static enum control_kind kind_of(const struct libcamera_control *c)
{
    if (c->array) {
        return CONTROL_TEXT;
    }
    if (c->choice_count > 0) {
        return CONTROL_MENU;
    }
    if (c->type == LIBCAMERA_BOOL) {
        return CONTROL_BOOL;
    }
    const struct libcamera_type_info *info = libcamera_type_info(c->type);
    return info->numbers != 1 ? CONTROL_TEXT : info->whole ? CONTROL_INT : CONTROL_FLOAT;
}

static void view_choices(const struct libcamera_control *c, struct libcamera_view *out)
{
    size_t skip = common_words(c);
    for (size_t i = 0; i < c->choice_count; i++) {
        out->choice[i].value = c->choice[i].value;
        out->choice[i].name = out->choice_name[i];
        if (c->choice[i].name) {
            out->choice[i].name = c->choice[i].name + skip;
        } else {
            (void)snprintf(out->choice_name[i], sizeof out->choice_name[i], "%lld",
                           (long long)c->choice[i].value);
        }
    }
    out->control.choices = out->choice;
    out->control.choice_count = c->choice_count;
}

/* The name of a menu's value, as control_print shows and people type it. */
static void view_value(const struct libcamera_view *view, const struct libcamera_value *v,
                       char out[LIBCAMERA_VALUE_TEXT])
{
    double number;
    print_value(v, out);
    if (v->count != 1 || !libcamera_value_first(v, &number)) {
        return;
    }
    for (size_t i = 0; i < view->control.choice_count; i++) {
        if ((double)view->choice[i].value == number) {
            (void)snprintf(out, LIBCAMERA_VALUE_TEXT, "%s", view->choice[i].name);
        }
    }
    if (view->control.kind == CONTROL_BOOL) {
        (void)snprintf(out, LIBCAMERA_VALUE_TEXT, "%s", number != 0 ? "yes" : "no");
    }
}

static void view_range(const struct libcamera_control *c, struct libcamera_view *out)
{
    char min[LIBCAMERA_VALUE_TEXT], max[LIBCAMERA_VALUE_TEXT];
    print_value(&c->min, min);
    print_value(&c->max, max);
    if (*min || *max) {
        (void)snprintf(out->range, sizeof out->range, "%s to %s", min, max);
    }
}

void libcamera_control_view(const struct libcamera_control *control,
                            const struct libcamera_value *now, struct libcamera_view *out)
{
    memset(out, 0, sizeof *out);
    struct control *c = &out->control;
    c->name = control->name;
    c->kind = kind_of(control);
    c->read_only = control->read_only;
    c->initial = out->initial;
    c->value = out->value;
    bool number = c->kind == CONTROL_INT || c->kind == CONTROL_FLOAT;
    if (!number || !libcamera_value_first(&control->min, &c->min) ||
        !libcamera_value_first(&control->max, &c->max)) {
        c->min = c->max = 0;
    }
    if (c->kind == CONTROL_MENU) {
        view_choices(control, out);
    } else if (c->kind == CONTROL_TEXT) {
        view_range(control, out);
    }
    view_value(out, &control->initial, out->initial);
    if (now) {
        view_value(out, now, out->value);
    }
}

/* ---- from text ---- */

static const char *usage_of(const struct libcamera_control *c)
{
    switch (c->type) {
    case LIBCAMERA_RECTANGLE:
        return c->array ? "rectangles X,Y,WIDTHxHEIGHT" : "a rectangle X,Y,WIDTHxHEIGHT";
    case LIBCAMERA_SIZE:
        return c->array ? "sizes WIDTHxHEIGHT" : "a size WIDTHxHEIGHT";
    case LIBCAMERA_FLOAT:
        return "numbers separated by commas";
    default:
        return "whole numbers separated by commas";
    }
}

/* Numbers apart by ',', 'x', '/' or spaces; brackets are allowed, as libcamera prints them. */
static bool split_numbers(const char *text, struct libcamera_numbers *out)
{
    static const char between[] = ",x/()[] ";
    out->count = 0;
    while (*(text += strspn(text, between))) {
        char *end;
        double value = strtod(text, &end);
        if (end == text || !isfinite(value) || out->count == LIBCAMERA_NUMBERS ||
            (*end && !strchr(between, *end))) {
            return false;
        }
        out->n[out->count++] = value;
        text = end;
    }
    return out->count > 0;
}

static bool counts_match(const struct libcamera_control *c, unsigned count)
{
    unsigned each = libcamera_type_info(c->type)->numbers;
    unsigned elements = count / each;
    if (elements * each != count ||
        count * libcamera_type_info(c->type)->size > LIBCAMERA_VALUE_BYTES) {
        return false;
    }
    return c->array ? c->array_size == 0 || elements == c->array_size : elements == 1;
}

/* The limits of number i: one for all elements as a rule; the type's when it says none. */
static void limits_of(const struct libcamera_control *c, unsigned i, double *min, double *max)
{
    struct libcamera_numbers low, high;
    libcamera_value_read(&c->min, &low);
    libcamera_value_read(&c->max, &high);
    *min = libcamera_type_info(c->type)->min;
    *max = libcamera_type_info(c->type)->max;
    if (low.count > 0 && high.count > 0) {
        double a = low.n[i < low.count ? i : 0], b = high.n[i < high.count ? i : 0];
        bool says = a < b || (a == b && libcamera_type_info(c->type)->numbers == 1 && a != 0);
        *min = says ? a : *min;
        *max = says ? b : *max;
    }
}

static int check_numbers(const struct libcamera_control *c, const struct libcamera_numbers *v,
                         struct err *err)
{
    for (unsigned i = 0; i < v->count; i++) {
        double min, max;
        limits_of(c, i, &min, &max);
        if (v->n[i] < min || v->n[i] > max) {
            return err_set(err, -EINVAL, "control %s: %.15g is not within %.15g to %.15g", c->name,
                           v->n[i], min, max);
        }
    }
    return 0;
}

/* Positive extents, no larger than those of the largest rectangle that it says. */
static int check_shapes(const struct libcamera_control *c, const struct libcamera_numbers *v,
                        struct err *err)
{
    unsigned each = libcamera_type_info(c->type)->numbers;
    struct libcamera_numbers most;
    libcamera_value_read(&c->max, &most);
    bool says = most.count >= each && most.n[each - 2] > 0 && most.n[each - 1] > 0;
    double width = says ? most.n[each - 2] : 65535, height = says ? most.n[each - 1] : 65535;
    for (unsigned i = each - 2; i < v->count; i += each) {
        if (v->n[i] < 1 || v->n[i + 1] < 1 || v->n[i] > width || v->n[i + 1] > height) {
            return err_set(err, -EINVAL, "control %s: %.15gx%.15g is not within 1x1 to %.15gx%.15g",
                           c->name, v->n[i], v->n[i + 1], width, height);
        }
    }
    for (unsigned i = 0; i < v->count; i++) {
        if (fabs(v->n[i]) > 65535) {
            return err_set(err, -EINVAL, "control %s: %.15g is not within -65535 to 65535", c->name,
                           v->n[i]);
        }
    }
    return 0;
}

static int refuse_list(const struct libcamera_control *c, const char *text, struct err *err)
{
    if (c->array && c->array_size > 0) {
        return err_set(err, -EINVAL, "control %s: %s: say %s, %u of them", c->name, text,
                       usage_of(c), c->array_size);
    }
    return err_set(err, -EINVAL, "control %s: %s: say %s", c->name, text, usage_of(c));
}

static int parse_list(const struct libcamera_control *c, const char *text,
                      struct libcamera_numbers *out, struct err *err)
{
    if (!split_numbers(text, out) || !counts_match(c, out->count)) {
        return refuse_list(c, text, err);
    }
    for (unsigned i = 0; libcamera_type_info(c->type)->whole && i < out->count; i++) {
        if (out->n[i] != floor(out->n[i])) {
            return refuse_list(c, text, err);
        }
    }
    return libcamera_type_info(c->type)->numbers > 1 ? check_shapes(c, out, err)
                                                     : check_numbers(c, out, err);
}

/* "AfModeContinuous" for "Continuous". */
static const struct libcamera_choice *choice_by_full_name(const struct libcamera_control *c,
                                                          const char *text)
{
    for (size_t i = 0; i < c->choice_count; i++) {
        if (c->choice[i].name && control_same_name(c->choice[i].name, text)) {
            return &c->choice[i];
        }
    }
    return NULL;
}

static int parse_one(const struct libcamera_control *c, const char *text,
                     struct libcamera_numbers *out, struct err *err)
{
    const struct libcamera_choice *choice = choice_by_full_name(c, text);
    out->count = 1;
    if (choice) {
        out->n[0] = (double)choice->value;
        return 0;
    }
    struct libcamera_view view;
    libcamera_control_view(c, NULL, &view);
    int code = control_parse(&view.control, text, &out->n[0], err);
    return code < 0 || c->choice_count > 0 ? code : check_numbers(c, out, err);
}

static int parse_text(const struct libcamera_control *c, const char *text,
                      struct libcamera_value *out, struct err *err)
{
    size_t size = strlen(text);
    if (size == 0 || size > sizeof out->bytes) {
        return err_set(err, -EINVAL, "control %s: a text of 1 to %zu characters", c->name,
                       sizeof out->bytes);
    }
    out->array = true; /* of characters */
    out->count = (unsigned)size;
    memcpy(out->bytes, text, size);
    return 0;
}

int libcamera_control_parse(const struct libcamera_control *control, const char *text,
                            struct libcamera_value *out, struct err *err)
{
    struct libcamera_value v = { .type = control->type, .array = control->array };
    struct libcamera_numbers numbers = { 0 };
    if (control->read_only) {
        return err_set(err, -EINVAL, "control %s: can only be read", control->name);
    }
    if (control->type == LIBCAMERA_NONE) {
        return err_set(err, -EINVAL, "control %s: of a type that this program does not know",
                       control->name);
    }
    if (control->type == LIBCAMERA_STRING) {
        int code = parse_text(control, text, &v, err);
        *out = code == 0 ? v : *out;
        return code;
    }
    bool list = control->array || libcamera_type_info(control->type)->numbers > 1;
    int code = list ? parse_list(control, text, &numbers, err)
                    : parse_one(control, text, &numbers, err);
    if (code == 0) {
        libcamera_value_write(&numbers, &v);
        *out = v;
    }
    return code;
}
