/* SPDX-License-Identifier: MIT */
#include <stddef.h>
#include <string.h>

#include "api.h"
#include "pcs/clock.h"
#include "page.h"
#include "pipeline.h"
#include "site.h"
#include "web/feed.h"
#include "web/request.h"

#define STALE_US   (3 * CLOCK_S) /* without a frame, and three times what the camera's rate says */
#define STALE_MORE 3

static void get_stream(void *arg, struct web_request *r)
{
    feed_serve(site_mjpeg(arg), r);
}

static void get_snapshot(void *arg, struct web_request *r)
{
    feed_snapshot(site_mjpeg(arg), r);
}

static void get_ws(void *arg, struct web_request *r)
{
    feed_serve(site_h264(arg), r);
}

/* People get the page, programs the stream: a browser is who asks for HTML. */
static void get_root(void *arg, struct web_request *r)
{
    const char *accept = web_header(r, "Accept");
    (void)web_add_header(r, "Vary", "Accept");
    if (accept && strstr(accept, "text/html")) {
        page_get_index(r);
    } else {
        feed_serve(site_mjpeg(arg), r);
    }
}

static int64_t stale_us(const struct format *f)
{
    int64_t frame_us = f->fps_num > 0 ? CLOCK_S * f->fps_den / f->fps_num : 0;
    return frame_us * STALE_MORE > STALE_US ? frame_us * STALE_MORE : STALE_US;
}

static void get_health(void *arg, struct web_request *r)
{
    struct pipeline_totals t;
    pipeline_get_totals(site_env(arg)->pipeline, &t);
    const struct capture_stats *c = &t.capture;
    int64_t since_us = clock_now_us() - c->last_frame_us;
    if (c->state == CAPTURE_FAILED) {
        web_reply_text(r, 503, "no picture: %s", c->why);
    } else if (c->state == CAPTURE_ENDED) {
        web_reply_text(r, 503, "no picture: the source has ended");
    } else if (c->state == CAPTURE_OPENING || c->last_frame_us == 0) {
        web_reply_text(r, 503, "no picture: the source is being opened");
    } else if (since_us > stale_us(&c->format)) {
        web_reply_text(r, 503, "no picture for %lld s", (long long)(since_us / CLOCK_S));
    } else {
        web_reply_text(r, 200, "ok");
    }
}

const struct web_route site_routes[] = {
    { "/", WEB_GET, 0, SITE_HTTP, get_root },
    { "/web/", WEB_GET, WEB_PREFIX | WEB_OPEN, SITE_HTTP, page_get_file },
    { "/stream", WEB_GET, 0, SITE_HTTP, get_stream },
    { "/stream.mjpg", WEB_GET, 0, SITE_HTTP, get_stream },
    { "/snapshot", WEB_GET, 0, SITE_HTTP, get_snapshot },
    { "/healthz", WEB_GET, WEB_OPEN, SITE_HTTP, get_health },
    { "/stats", WEB_GET, 0, SITE_HTTP, api_get_stats },
    { "/metrics", WEB_GET, 0, SITE_HTTP, api_get_metrics },
    { "/api/v1/", WEB_GET | WEB_POST | WEB_PUT | WEB_PATCH | WEB_DELETE, WEB_PREFIX | WEB_SAME_SITE,
      SITE_HTTP, api_handle },
    { "/ws", WEB_GET, WEB_SAME_SITE, SITE_HTTP, get_ws },
    { "/", WEB_GET, WEB_SAME_SITE, SITE_WS, get_ws },
    { NULL, 0, 0, 0, NULL },
};

const char site_endpoints[] =
    "There is nothing here. There is:\n"
    "  /              the live page for a browser, the MJPEG stream for anyone else\n"
    "  /stream        the MJPEG stream, also as /stream.mjpg\n"
    "  /snapshot      one JPEG\n"
    "  /healthz       200 while frames flow\n"
    "  /stats         how it is, as JSON\n"
    "  /metrics       the same for Prometheus\n"
    "  /api/v1/       settings and controls; /api/v1/openapi.json describes them\n"
    "  /ws            H.264 by WebSocket";
