/* SPDX-License-Identifier: MIT */
/* WebSocket frames of hostile clients; the first byte tells in what pieces they come, and whether all at once. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "web/part.h"
#include "web/ws.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t size, step;
    bool pauses, pause;
};

static ssize_t give(void *arg, void *to, size_t size)
{
    struct input *in = arg;
    size_t n = in->step < in->size ? in->step : in->size;
    n = n < size ? n : size;
    in->pause = in->pauses && !in->pause;
    if (in->pause || n == 0) {
        return in->size > 0 ? -EAGAIN : -EPIPE;
    }
    memcpy(to, in->data, n);
    in->data += n;
    in->size -= n;
    return (ssize_t)n;
}

/* Only whole control frames are ever answered, and none is masked: else the stream would be in their middle. */
static void check_answer(const struct part *answer)
{
    const uint8_t *p = (const uint8_t *)answer->bytes;
    for (size_t left = part_size(answer), n; left > 0; left -= n, p += n) {
        assert(left >= 2 && p[0] & 0x80 && (p[0] & 15) >= 8 && p[1] <= 125);
        n = 2 + (size_t)p[1];
        assert(n <= left);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct input in = { data + 1, size - 1, 1 + data[0] % 64, data[0] < 128, false };
    struct ws *ws = ws_new(give, &in);
    assert(ws);
    enum ws_state state = WS_OPEN;
    while (state == WS_OPEN || state == WS_MORE) {
        state = ws_read(ws);
        struct part *answer = state == WS_GONE ? NULL : ws_take_answer(ws);
        if (answer) {
            check_answer(answer);
            part_unref(answer);
        }
    }
    ws_free(ws);
    return 0;
}
