/* SPDX-License-Identifier: MIT */
#include "chain.h"

#include <errno.h>

#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/log.h"

void chain_init(struct chain *c, const struct encode_config *config, enum format_id output,
                struct pool *pool)
{
    *c = (struct chain){ .config = *config, .output = output, .pool = pool };
}

void chain_finish(struct chain *c)
{
    chain_close(c);
}

int chain_check(const struct encode_config *config, enum format_id output, struct err *err)
{
    const struct encoder_backend *b;
    int rc = err_set(err, -ENOENT, "no encoder makes %s", format_info(output)->name);
    for (int i = 0; (b = encoder_find(config->encoder, FORMAT_NONE, output, i)); i++) {
        rc = b->check ? b->check(config, err) : 0;
        if (rc == 0) {
            return 0;
        }
    }
    return rc;
}

/* ---- which ---- */

static bool is_bad(const struct chain *c, const struct encoder_backend *b)
{
    for (int i = 0; i < c->bad_count; i++) {
        if (c->bad[i] == b) {
            return true;
        }
    }
    return false;
}

/* The one behind `after` (NULL: the first) that may be used. */
static const struct encoder_backend *next_backend(const struct chain *c, enum format_id input,
                                                  const struct encoder_backend *after)
{
    const struct encoder_backend *b;
    bool passed = !after;
    for (int i = 0; (b = encoder_find(c->config.encoder, input, c->output, i)); i++) {
        if (passed && !is_bad(c, b)) {
            return b;
        }
        passed |= b == after;
    }
    return NULL;
}

bool chain_has_other(const struct chain *c, const struct format *input)
{
    return next_backend(c, input->id, NULL);
}

/* ---- open and closed ---- */

void chain_close(struct chain *c)
{
    if (c->encoder) {
        c->backend->close(c->encoder);
        c->encoder = NULL;
    }
    c->lost += c->inside;
    c->inside = c->fed = c->made = 0;
}

static int open_one(struct chain *c, const struct encoder_backend *b, const struct format *input,
                    struct err *err)
{
    int rc = b->open(&c->encoder, &c->config, input, c->pool, err);
    if (rc == 0) {
        c->backend = b;
        c->input = *input;
    }
    return rc;
}

int chain_open(struct chain *c, const struct format *input, struct err *err)
{
    const struct encoder_backend *b = next_backend(c, input->id, NULL);
    if (!b) {
        c->bad_count = 0; /* better one that broke once than none */
        b = next_backend(c, input->id, NULL);
    }
    int rc = err_set(err, -ENOTSUP, "no encoder makes %s from %s", format_info(c->output)->name,
                     format_info(input->id)->name);
    while (b) {
        struct err why = { 0 };
        rc = open_one(c, b, input, &why);
        if (rc == 0) {
            return 0;
        }
        (void)err_set(err, rc, "%s", why.text);
        b = next_backend(c, input->id, b);
        if (b && rc != -ENODEV) { /* there is such hardware, but … */
            log_warn("%s; trying another encoder", why.text);
        }
    }
    return rc;
}

const char *chain_reason(int rc)
{
    return rc == -ETIMEDOUT ? "gives no packets"
           : rc == -EPROTO  ? "gives something that is not H.264"
                            : err_text(rc);
}

/* It broke. One that never worked, or breaks again and again, is not opened again while there are others. */
static void fail(struct chain *c, int rc)
{
    const char *name = c->backend->describe(c->encoder);
    bool bad = !c->made || ++c->breaks >= CHAIN_BREAKS;
    if (bad && c->bad_count < CHAIN_MAX) {
        c->bad[c->bad_count++] = c->backend;
        c->breaks = 0;
    }
    if (bad && chain_has_other(c, &c->input)) {
        log_warn("%s: %s; trying another encoder", name, chain_reason(rc));
    } else {
        log_debug("%s: %s", name, chain_reason(rc));
    }
    chain_close(c);
}

/* ---- work ---- */

/* Count a packet. */
static int note(struct chain *c, int rc, struct frame *const *packet)
{
    if (rc == 0 && *packet) {
        c->made++;
        c->breaks = c->made < CHAIN_SOUND ? c->breaks : 0;
        c->inside -= c->inside > 0;
        c->progress_us = clock_now_us();
    }
    return rc;
}

static int encode_here(struct chain *c, const struct frame *picture, bool key, struct frame **out)
{
    if (!c->made && c->fed >= CHAIN_PROOF_PICTURES) {
        return -ETIMEDOUT;
    }
    int rc = c->backend->encode(c->encoder, picture, key, out);
    if (rc == 0) {
        c->progress_us = c->inside++ ? c->progress_us : clock_now_us();
        c->fed++;
    }
    return note(c, rc, out);
}

int chain_encode(struct chain *c, const struct frame *picture, bool key, struct frame **out)
{
    struct err err = { 0 };
    *out = NULL;
    int rc = encode_here(c, picture, key, out);
    while (rc && rc != -EBADMSG) {
        bool proven = c->made;
        fail(c, rc);
        if (proven || !chain_has_other(c, &picture->format) ||
            chain_open(c, &picture->format, &err)) {
            return rc;
        }
        rc = encode_here(c, picture, true, out);
    }
    return rc;
}

int chain_drain(struct chain *c, struct frame **out)
{
    *out = NULL;
    int rc = c->encoder && c->backend->drain ? c->backend->drain(c->encoder, out) : 0;
    return note(c, rc, out);
}

/* ---- beside us ---- */

bool chain_ready(const struct chain *c)
{
    return !c->encoder || !c->backend->ready || c->backend->ready(c->encoder);
}

bool chain_busy(const struct chain *c)
{
    return c->encoder && c->backend->busy && c->backend->busy(c->encoder);
}

int chain_fd(const struct chain *c)
{
    return chain_busy(c) ? c->backend->fd(c->encoder) : -1;
}

int64_t chain_deadline_us(const struct chain *c)
{
    return c->progress_us + (c->made ? CHAIN_SILENT_US : CHAIN_PROOF_US);
}

int chain_collect(struct chain *c, struct frame **out, int64_t now_us)
{
    *out = NULL;
    if (!chain_busy(c)) {
        return 0;
    }
    int rc = note(c, c->backend->collect(c->encoder, out), out);
    if (rc == 0 && !*out && chain_busy(c) && now_us >= chain_deadline_us(c)) {
        rc = -ETIMEDOUT;
    }
    if (rc) {
        fail(c, rc);
    }
    return rc;
}
