/* SPDX-License-Identifier: MIT */
#include "record/dump.h"

#include <errno.h>
#include <stdatomic.h>

#include "finisher.h"
#include "mp4.h"
#include "recording.h"
#include "pcs/clock.h"

static void on_opened(void *arg, const char *path)
{
    const struct dump *d = arg;
    if (d->opened) {
        d->opened(d->arg, path);
    }
}

static void on_closed(void *arg, struct mp4_closed *file)
{
    const struct dump *d = arg;
    finisher_do(file, d->deadline_us);
}

static int flush(const struct dump *d, struct recording *r, struct err *err)
{
    if (clock_now_us() >= atomic_load(d->deadline_us)) {
        return err_set(err, -ECANCELED, "no time to write all of it");
    }
    return recording_flush(r, err);
}

static int add_all(const struct dump *d, struct recording *r, struct err *err)
{
    for (size_t i = 0; i < d->count; i++) {
        while (recording_add(r, d->frames[i]) == -EAGAIN) {
            int ret = flush(d, r, err);
            if (ret < 0) {
                return ret;
            }
        }
    }
    return flush(d, r, err);
}

int dump_write(const struct dump *d, struct err *err)
{
    const struct recording_config config = {
        .naming = { .pattern = d->pattern, .name = d->name, .number = 1 },
        .opened = on_opened,
        .closed = on_closed,
        .arg = (void *)d,
    };
    struct recording *r = recording_new(&config);
    if (!r) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    int ret = add_all(d, r, err);
    recording_end(r);
    if (ret == 0 && recording_totals(r)->discarded > 0) {
        ret = err_set(err, -EBADMSG, "%llu frames could not be kept",
                      (unsigned long long)recording_totals(r)->discarded);
    }
    recording_free(r);
    return ret;
}
