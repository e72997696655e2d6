/* SPDX-License-Identifier: MIT */
/* WebSocket frames of hostile clients; the first byte tells in what pieces they come. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "web/part.h"
#include "web/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t size, step;
    bool pause;
};

static ssize_t give(void *arg, void *to, size_t size)
{
    struct input *in = arg;
    size_t n = in->step < in->size ? in->step : in->size;
    n = n < size ? n : size;
    in->pause = !in->pause;
    if (in->pause || n == 0) {
        return in->size > 0 ? -EAGAIN : -EPIPE;
    }
    memcpy(to, in->data, n);
    in->data += n;
    in->size -= n;
    return (ssize_t)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct input in = { data + 1, size - 1, 1 + data[0] % 64, false };
    struct ws *ws = ws_new(give, &in);
    assert(ws);
    enum ws_state state = WS_OPEN;
    while (state == WS_OPEN || state == WS_MORE) {
        state = ws_read(ws);
        struct part *answer = state == WS_GONE ? NULL : ws_take_answer(ws);
        if (answer) {
            /* Only whole control frames are ever answered, and none is masked. */
            size_t n = part_size(answer);
            const uint8_t *p = (const uint8_t *)answer->bytes;
            assert(n == 0 || (p[0] & 0x80 && (p[0] & 15) >= 8));
            part_unref(answer);
        }
    }
    ws_free(ws);
    return 0;
}
