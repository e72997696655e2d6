/* SPDX-License-Identifier: MIT */
/*
 * The encoders that could do the work, the preferred one first, used as if they were one: the first that
 * opens is used, and one that does not prove itself (hardware that gives no packet, or nonsense) makes
 * room for the next, with the same picture where there is one in hand.
 * Life: init/finish. Threads: one at a time; chain_set_… from the same.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "encoder.h"

#define CHAIN_MAX 4 /* encoders of one codec */

/* Until it has given its first packet an encoder must give one within so many pictures and this time. */
#define CHAIN_PROOF_PICTURES 12
#define CHAIN_PROOF_US       1000000
#define CHAIN_SILENT_US      2000000 /* later on */
#define CHAIN_BREAKS         3       /* so often may it break when there is another one */
#define CHAIN_SOUND          10000   /* packets without a break: those before are forgotten */

struct chain {
    struct encode_config config; /* bitrate and quality: for the next opening */
    enum format_id output;
    struct pool *pool;
    struct format input; /* what is open is open for */
    const struct encoder_backend *backend;
    struct encoder *encoder; /* NULL = closed */
    const struct encoder_backend *bad[CHAIN_MAX];
    int bad_count, breaks;
    uint64_t fed, made; /* pictures and packets since it was opened */
    uint64_t inside;    /* pictures that no packet has come of */
    uint64_t lost;      /* pictures that were inside when an encoder was closed */
    int64_t progress_us;
};

void chain_init(struct chain *c, const struct encode_config *config, enum format_id output,
                struct pool *pool);
void chain_finish(struct chain *c);

/* Can any of them work, as configured? 0, or negative with err. */
int chain_check(const struct encode_config *config, enum format_id output, struct err *err);

/* Open the first that opens. 0, or negative with err of the last one tried. */
int chain_open(struct chain *c, const struct format *input, struct err *err);
void chain_close(struct chain *c);

/* As encoder_backend's encode. When it fails (other than -EBADMSG), the encoder is closed. */
int chain_encode(struct chain *c, const struct frame *picture, bool key, struct frame **out);
/* As encoder_backend's drain. */
int chain_drain(struct chain *c, struct frame **out);

/*
 * For encoders that work beside us; at other ones ready is true and busy false. collect: as the
 * backend's, but negative also when nothing has come for too long; the encoder is closed then.
 */
bool chain_ready(const struct chain *c);
bool chain_busy(const struct chain *c);
int chain_fd(const struct chain *c);
int chain_collect(struct chain *c, struct frame **out, int64_t now_us);
int64_t chain_deadline_us(const struct chain *c); /* collect then at the latest, when busy */

/* After a failure: is there another encoder to open at once? */
bool chain_has_other(const struct chain *c, const struct format *input);
const char *chain_reason(int rc); /* why it failed */
