/* SPDX-License-Identifier: MIT */
/*
 * The UDP service's thread: hears what clients say, and puts the newest picture on its way to each of
 * them. A client whose picture is still on its way gets the newest one when that is done; what came
 * between is dropped for it alone. Pictures are subscribed to only while there are clients.
 */
#include "udp.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "near.h"
#include "pcs/backoff.h"
#include "pcs/clock.h"
#include "pcs/frame.h"
#include "pcs/hub.h"
#include "pcs/log.h"
#include "pcs/queue.h"
#include "pcs/serve.h"
#include "pcs/sock.h"
#include "pcs/stop.h"
#include "pcs/thread.h"
#include "port.h"
#include "udp_clients.h"
#include "udp_socket.h"

#define DATAGRAMS     64 /* heard in a row, before pictures have their turn */
#define DATAGRAM_MAX  64 /* all we understand are shorter */
#define COOKIE_US     (30 * CLOCK_S)
#define LOG_PERIOD_US (5 * CLOCK_S)
#define FRAME_US      33333 /* when the rate is not known */
#define LINE_FULL_US  (4 * CLOCK_MS)

struct udp_config {
    const char *port; /* NULL: off */
};

static const struct option_def udp_options[] = {
    { .name = "udp-port",
      .type = OPTION_STRING,
      .offset = offsetof(struct udp_config, port),
      .arg = "PORT",
      .help = "JPEG pictures as UDP datagrams to who registers here (9999 is usual; 0 = any free "
              "one)" },
};

struct sink {
    const struct sink_env *env;
    char target[SOCK_NAME_MAX + 8];
    int fd;
    struct queue *queue;
    struct stop *stop, *done; /* done: the thread has ended by itself */
    struct thread thread;

    /* the thread's own */
    struct udp_clients clients;
    struct near near;
    uint8_t key[16]; /* of the cookies */
    bool subscribed, ended, full;
    size_t first_served;
    const struct frame *newest;
    uint64_t begun_seq;                        /* of the newest that went to anybody */
    uint64_t begun, delivered, skipped, bytes; /* begun: frames; the next two: frames × clients */
    struct log_limit came_limit, gone_limit, full_limit, prove_limit, send_limit;

    pthread_mutex_t lock; /* guards the copies for other threads */
    struct sink_totals totals;
    uint64_t registered, refused, delivered_total, skipped_total;
    size_t active;
};

static bool udp_wanted(const void *config)
{
    return ((const struct udp_config *)config)->port != NULL;
}

static void udp_serve(void *config)
{
    struct udp_config *c = config;
    c->port = c->port ? c->port : "9999";
}

static int udp_check(const void *config, struct err *err)
{
    int port = port_parse("udp-port", ((const struct udp_config *)config)->port, err);
    return port < 0 ? port : 0;
}

/* ---- what clients say ---- */

static uint32_t cookie(const struct sink *s, const struct udp_where *where, bool raw, uint64_t slot)
{
    return udp_cookie(s->key, where, sizeof *where, slot << 1 | raw);
}

/* A cookie says what was registered for, so that nothing need be remembered. */
static void check_cookie(const struct sink *s, struct udp_heard *h, uint32_t given, int64_t now_us)
{
    uint64_t slot = (uint64_t)(now_us / COOKIE_US);
    for (int i = 0; i < 4 && !h->proven; i++) {
        h->raw = i & 1;
        h->proven = given == cookie(s, &h->where, h->raw, slot - (uint64_t)(i / 2));
    }
}

static void answer(struct sink *s, const struct udp_heard *h, enum udp_answer what, int64_t now_us)
{
    char text[UDP_SAY_MAX + 1] = "REGISTERED";
    char name[SOCK_NAME_MAX];
    size_t size = strlen(text);
    if (what == UDP_SAY_NOTHING) {
        return;
    }
    sock_name((const struct sockaddr *)&h->route.to, name);
    if (what == UDP_SAY_PROVE) {
        size = udp_put_prove(text, cookie(s, &h->where, h->raw, (uint64_t)(now_us / COOKIE_US)));
        log_limited(&s->prove_limit, LOG_PERIOD_US, LOG_INFO,
                    "%s is not of this network: it has to answer before it gets pictures", name);
    } else if (what == UDP_SAY_FULL) {
        size = (size_t)snprintf(text, sizeof text, "SERVER_FULL");
        log_limited(&s->full_limit, LOG_PERIOD_US, LOG_WARN,
                    "%s refused: %zu clients of %zu, %d of one address at most", name,
                    s->clients.count, s->clients.max, UDP_PER_HOST);
    } else {
        log_limited(&s->came_limit, CLOCK_S, LOG_INFO, "%s registered, %zu clients", name,
                    s->clients.count);
    }
    udp_socket_say(s->fd, &h->route, text, size);
}

static void hear(struct sink *s, int64_t now_us)
{
    uint8_t data[DATAGRAM_MAX];
    for (int i = 0; i < DATAGRAMS; i++) {
        struct udp_heard h = { 0 };
        uint32_t given = 0;
        ssize_t n = udp_socket_hear(s->fd, &h.route, data, sizeof data);
        if (n < 0) {
            return;
        }
        h.where = udp_where((const struct sockaddr *)&h.route.to);
        h.request = udp_parse(data, (size_t)n, &given);
        h.raw = h.request == UDP_REGISTER_RAW;
        if (h.request == UDP_NOTHING || h.where.port == 0) {
            continue;
        }
        if (h.request == UDP_PROVE) {
            check_cookie(s, &h, given, now_us);
        }
        h.near = near_has(&s->near, h.where.ip, now_us);
        answer(s, &h, udp_clients_hear(&s->clients, &h, now_us), now_us);
    }
}

/* Nobody is there any more: no need to wait for 30 s, nor to go on for a stranger who never asked. */
static void hear_errors(struct sink *s)
{
    struct sockaddr_storage to;
    int code;
    while ((code = udp_socket_error(s->fd, &to)) != 0) {
        struct udp_where where = udp_where((const struct sockaddr *)&to);
        struct udp_client *client = udp_clients_find(&s->clients, &where);
        if (client && (code == -ECONNREFUSED || code == -EHOSTUNREACH)) {
            log_limited(&s->gone_limit, CLOCK_S, LOG_INFO, "a client is gone: %s", err_text(code));
            udp_clients_remove(&s->clients, client);
        }
    }
}

/* ---- pictures ---- */

/* Encoders work only while somebody looks. */
static void follow_demand(struct sink *s)
{
    bool wanted = s->clients.count > 0 && !s->ended;
    if (wanted && !s->subscribed) {
        s->subscribed = hub_subscribe(s->env->jpeg, s->queue) == 0;
    } else if (!wanted && s->subscribed) {
        hub_unsubscribe(s->env->jpeg, s->queue);
        queue_clear(s->queue);
        s->subscribed = false;
    }
    if (!wanted) {
        frame_unref(s->newest);
        s->newest = NULL;
    }
}

static void take_newest(struct sink *s)
{
    bool closed = queue_closed(s->queue); /* asked first: what came before it is still taken */
    const struct frame *frame;
    while ((frame = queue_take(s->queue)) != NULL) {
        for (size_t i = 0; s->newest && i < s->clients.count; i++) {
            s->skipped += s->clients.list[i].begun_seq < s->newest->seq;
        }
        frame_unref(s->newest);
        s->newest = frame;
    }
    s->ended = closed;
}

static int64_t frame_time_us(const struct format *f)
{
    return f->fps_num > 0 ? CLOCK_S * f->fps_den / f->fps_num : FRAME_US;
}

static bool begin_train(struct sink *s, struct udp_client *c, int64_t now_us)
{
    if (!c->train.frame && s->newest && c->begun_seq < s->newest->seq) {
        c->begun_seq = s->newest->seq;
        s->begun += s->begun_seq < s->newest->seq;
        s->begun_seq = s->newest->seq;
        udp_train_begin(&c->train, s->newest, c->raw, c->next_id++,
                        frame_time_us(&s->newest->format), now_us);
    }
    return c->train.frame != NULL;
}

static bool is_about_cutting(int code)
{
    return code == -EINVAL || code == -EMSGSIZE || code == -EIO || code == -EOPNOTSUPP;
}

/* As udp_train_send. A socket tells what happened to an earlier datagram, whoever that was for, where the
 * next one is to be sent: so once more. */
static int send_due(struct sink *s, struct udp_client *c, int64_t now_us)
{
    int code = udp_train_send(&c->train, s->fd, &c->route, now_us);
    if (code >= 0 || code == -EAGAIN) {
        return code;
    }
    if (code == -ENOBUFS) { /* the line's queue is full; nothing tells when it has room again */
        c->train.due_us = now_us + LINE_FULL_US;
        return 1;
    }
    c->route.plain |= is_about_cutting(code);
    return udp_train_send(&c->train, s->fd, &c->route, now_us);
}

/* Send what is due to one client. False: the socket takes no more. */
static bool serve_client(struct sink *s, struct udp_client *c, int64_t now_us)
{
    if (!begin_train(s, c, now_us)) {
        return true;
    }
    size_t size = udp_payload_size(&c->train.payload);
    int code = send_due(s, c, now_us);
    if (code == -EAGAIN || code == 1) {
        return code == 1;
    }
    udp_train_end(&c->train);
    if (code == 0) {
        s->delivered++;
        s->bytes += size;
    } else {
        s->skipped++;
        log_limited(&s->send_limit, LOG_PERIOD_US, LOG_WARN, "cannot send a picture: %s",
                    err_text(code));
    }
    return true;
}

/* Who was served first is served last the next time, should the socket be full. */
static void serve_clients(struct sink *s, int64_t now_us)
{
    s->full = false;
    for (size_t i = 0; i < s->clients.count && !s->full; i++) {
        size_t at = (s->first_served + i) % s->clients.count;
        s->full = !serve_client(s, &s->clients.list[at], now_us);
        s->first_served = s->full ? at : s->first_served;
    }
}

/* ---- the thread ---- */

static size_t count_trains(const struct sink *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->clients.count; i++) {
        n += s->clients.list[i].train.frame != NULL;
    }
    return n;
}

static void publish_totals(struct sink *s)
{
    pthread_mutex_lock(&s->lock);
    s->totals.sent = s->begun; /* acked: nobody confirms anything */
    s->totals.queued = s->newest && s->begun_seq < s->newest->seq;
    s->totals.bytes = s->bytes;
    s->totals.connected = s->clients.count > 0;
    s->delivered_total = s->delivered;
    s->skipped_total = s->skipped + s->clients.cut;
    s->registered = s->clients.registered;
    s->refused = s->clients.refused;
    s->active = s->clients.count;
    pthread_mutex_unlock(&s->lock);
}

/* When the next burst is due, or a client's time is up. */
static int64_t next_deadline_us(const struct sink *s, int64_t expiry_us)
{
    int64_t at_us = expiry_us;
    for (size_t i = 0; !s->full && i < s->clients.count; i++) {
        const struct udp_client *c = &s->clients.list[i];
        if (c->train.frame && c->train.due_us < at_us) {
            at_us = c->train.due_us;
        }
    }
    return at_us;
}

/* Bursts are less than a millisecond apart: finer than poll(2). */
static void wait_for_work(struct sink *s, struct pollfd fds[3], int64_t deadline_us)
{
    int64_t left_us = deadline_us - clock_now_us();
    left_us = left_us > 0 ? left_us : 0;
    const struct timespec timeout = { left_us / CLOCK_S, left_us % CLOCK_S * 1000 };
    fds[0] = (struct pollfd){ .fd = stop_fd(s->stop), .events = POLLIN };
    fds[1] = (struct pollfd){ .fd = s->ended ? -1 : queue_fd(s->queue), .events = POLLIN };
    fds[2] = (struct pollfd){ .fd = s->fd, .events = POLLIN | (s->full ? POLLOUT : 0) };
    thread_idle();
    (void)ppoll(fds, 3, deadline_us == INT64_MAX ? NULL : &timeout, NULL); /* EINTR: look again */
    thread_busy();
}

static void udp_run(void *arg)
{
    struct sink *s = arg;
    struct pollfd fds[3];
    int64_t expiry_us = INT64_MAX;
    while (!stop_requested(s->stop) && !(s->ended && count_trains(s) == 0)) {
        wait_for_work(s, fds, next_deadline_us(s, expiry_us));
        int64_t now_us = clock_now_us();
        if (fds[2].revents & POLLERR) {
            hear_errors(s);
        }
        if (fds[2].revents & POLLIN) {
            hear(s, now_us);
        }
        expiry_us = udp_clients_expire(&s->clients, now_us);
        take_newest(s);
        follow_demand(s);
        serve_clients(s, now_us);
        publish_totals(s);
    }
    udp_clients_finish(&s->clients);
    publish_totals(s);
    stop_request(s->done);
}

/* ---- the sink ---- */

static void udp_free(struct sink *s)
{
    if (!s) {
        return;
    }
    if (s->queue) {
        hub_unsubscribe(s->env->jpeg, s->queue);
        queue_unref(s->queue);
    }
    frame_unref(s->newest);
    near_finish(&s->near);
    udp_clients_finish(&s->clients);
    stop_free(s->stop);
    stop_free(s->done);
    if (s->fd >= 0) {
        close(s->fd);
    }
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static struct sink *udp_new(const struct sink_env *env)
{
    struct sink *s = calloc(1, sizeof *s);
    if (!s) {
        return NULL;
    }
    const struct queue_limits limits = { .policy = QUEUE_NEWEST, .max_frames = 1 };
    pthread_mutex_init(&s->lock, NULL);
    s->env = env;
    s->fd = -1;
    s->stop = stop_new();
    s->done = stop_new();
    s->queue = queue_new(&limits);
    near_init(&s->near);
    udp_clients_init(&s->clients, (size_t)env->serve->max_clients);
    random_bytes(s->key, sizeof s->key);
    return s;
}

static int udp_open(struct sink **out, const void *config, const struct sink_env *env,
                    struct err *err)
{
    const struct udp_config *c = config;
    struct sink *s = udp_new(env);
    int code = s && s->stop && s->done && s->queue ? 0 : err_set(err, -ENOMEM, "out of memory");
    if (code == 0) {
        code = udp_socket_open(env->serve->address, port_parse("udp-port", c->port, err), &s->fd,
                               s->target, sizeof s->target, err);
    }
    if (code == 0) {
        code = thread_start(&s->thread, "udp", udp_run, s);
        code = code < 0 ? err_set(err, code, "cannot start: %s", err_text(code)) : 0;
    }
    if (code < 0) {
        udp_free(s);
        return code;
    }
    port_tell("UDP", s->fd, s->target);
    *out = s;
    return 0;
}

static void udp_finish(struct sink *s, int64_t deadline_us)
{
    queue_close(s->queue);
    int64_t left_us = deadline_us - clock_now_us();
    if (!stop_wait(s->done, left_us > 0 ? left_us : 0)) {
        stop_request(s->stop);
    }
    thread_join(&s->thread);
    s->totals.queued = 0;
}

static void udp_totals(struct sink *s, struct sink_totals *out)
{
    pthread_mutex_lock(&s->lock);
    *out = s->totals;
    pthread_mutex_unlock(&s->lock);
    out->done = !out->connected || stop_requested(s->done);
}

static struct cJSON *udp_report(struct sink *s)
{
    struct sink_totals t;
    udp_totals(s, &t);
    struct cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "kind", "udp");
    cJSON_AddStringToObject(o, "target", s->target);
    cJSON_AddNumberToObject(o, "sent", (double)t.sent);
    cJSON_AddNumberToObject(o, "dropped", (double)t.dropped);
    cJSON_AddNumberToObject(o, "bytes", (double)t.bytes);
    pthread_mutex_lock(&s->lock);
    cJSON_AddNumberToObject(o, "delivered", (double)s->delivered_total);
    cJSON_AddNumberToObject(o, "skipped", (double)s->skipped_total);
    cJSON_AddNumberToObject(o, "clients", (double)s->active);
    cJSON_AddNumberToObject(o, "registered", (double)s->registered);
    cJSON_AddNumberToObject(o, "refused", (double)s->refused);
    pthread_mutex_unlock(&s->lock);
    return o;
}

const struct sink_backend sink_udp = {
    .kind = "udp",
    .section = "serve",
    .options = udp_options,
    .option_count = OPTION_COUNT(udp_options),
    .config_size = sizeof(struct udp_config),
    .wanted = udp_wanted,
    .serve = udp_serve,
    .check = udp_check,
    .open = udp_open,
    .finish = udp_finish,
    .free = udp_free,
    .totals = udp_totals,
    .report = udp_report,
};
