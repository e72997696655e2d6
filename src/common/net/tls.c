/* SPDX-License-Identifier: MIT */
#include "pcs/tls.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "conn_internal.h"

/* What fits into one record. Small pieces are gathered into one, else each becomes a record of its own. */
#define RECORD_BYTES ((size_t)16384)

struct tls_server {
    SSL_CTX *context;
};

static int load_failed(struct err *err, const char *option, const char *file)
{
    char why[160];
    ERR_error_string_n(ERR_peek_last_error(), why, sizeof why);
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    ERR_clear_error();
    return err_set(err, -EINVAL, "%s: %s: %s", option, file, reason ? reason : why);
}

static int load(SSL_CTX *context, const char *cert, const char *key, struct err *err)
{
    if (SSL_CTX_use_certificate_chain_file(context, cert) != 1) {
        return load_failed(err, "--tls-cert", cert);
    }
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(context) != 1) {
        return load_failed(err, "--tls-key", key);
    }
    return 0;
}

int tls_server_new(struct tls_server **out, const char *cert, const char *key, struct err *err)
{
    struct tls_server *s = OPENSSL_zalloc(sizeof *s);
    int code = s && (s->context = SSL_CTX_new(TLS_server_method())) ? 0 : -ENOMEM;
    if (code == 0) {
        SSL_CTX_set_min_proto_version(s->context, TLS1_3_VERSION);
        SSL_CTX_set_options(s->context, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
        SSL_CTX_set_mode(s->context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                         SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                         SSL_MODE_RELEASE_BUFFERS);
        SSL_CTX_set_session_cache_mode(s->context, SSL_SESS_CACHE_OFF);
        code = load(s->context, cert, key, err);
    } else {
        (void)err_set(err, code, "TLS: out of memory");
    }
    if (code < 0) {
        tls_server_free(s);
        return code;
    }
    *out = s;
    return 0;
}

void tls_server_free(struct tls_server *s)
{
    if (s) {
        SSL_CTX_free(s->context);
        OPENSSL_free(s);
    }
}

/* The library's queue of errors is the thread's, not the connection's: it must not outlive a call. */
static ssize_t failed(SSL *ssl, int result)
{
    int why = SSL_get_error(ssl, result);
    ERR_clear_error();
    switch (why) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
    case SSL_ERROR_SYSCALL:
        return -EPIPE;
    default:
        SSL_set_quiet_shutdown(ssl, 1); /* after an error nothing may be sent any more */
        return -EPROTO;
    }
}

/* The first bytes of `iov` as one piece: where they are, or gathered into `record`. */
static const void *first_piece(const struct iovec *iov, int count, char *record, size_t *size)
{
    if (count == 1 || iov[0].iov_len >= RECORD_BYTES) {
        *size = iov[0].iov_len < INT_MAX ? iov[0].iov_len : INT_MAX;
        return iov[0].iov_base;
    }
    *size = 0;
    for (int i = 0; i < count && *size < RECORD_BYTES; i++) {
        size_t room = RECORD_BYTES - *size, n = iov[i].iov_len < room ? iov[i].iov_len : room;
        if (n > 0) {
            memcpy(record + *size, iov[i].iov_base, n);
        }
        *size += n;
    }
    return record;
}

#define PIECES_MAX 8

/* `iov` without its first `skip` bytes; how many pieces are left. */
static int rest_of(struct iovec *to, const struct iovec *iov, int count, size_t skip)
{
    int n = 0;
    for (int i = 0; i < count && n < PIECES_MAX; i++) {
        size_t gone = skip < iov[i].iov_len ? skip : iov[i].iov_len;
        skip -= gone;
        if (gone < iov[i].iov_len) {
            to[n++] = (struct iovec){ (char *)iov[i].iov_base + gone, iov[i].iov_len - gone };
        }
    }
    return n;
}

static ssize_t tls_sendv(struct conn *c, const struct iovec *iov, int count)
{
    SSL *ssl = c->state;
    char record[RECORD_BYTES];
    size_t sent = 0;
    for (;;) {
        struct iovec left[PIECES_MAX];
        int n = rest_of(left, iov, count, sent);
        if (n == 0) {
            return (ssize_t)sent;
        }
        size_t size;
        const void *piece = first_piece(left, n, record, &size);
        int result = SSL_write(ssl, piece, (int)size);
        if (result <= 0) {
            ssize_t code = failed(ssl, result);
            return sent > 0 && code == -EAGAIN ? (ssize_t)sent : code;
        }
        sent += (size_t)result;
    }
}

/* A handshake has some 45 KB of buffers, from its first call on: not for who has said nothing yet. */
static bool is_silent(const struct conn *c)
{
    char byte;
    return SSL_in_before(c->state) && recv(c->fd, &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN;
}

static ssize_t tls_recvv(struct conn *c, const struct iovec *iov, int count)
{
    SSL *ssl = c->state;
    if (is_silent(c)) {
        return -EAGAIN;
    }
    for (int i = 0; i < count; i++) {
        if (iov[i].iov_len > 0) {
            int size = iov[i].iov_len < INT_MAX ? (int)iov[i].iov_len : INT_MAX;
            int result = SSL_read(ssl, iov[i].iov_base, size);
            return result > 0 ? result : failed(ssl, result);
        }
    }
    return -EINVAL;
}

static void tls_shutdown(struct conn *c)
{
    if (SSL_is_init_finished(c->state)) {
        (void)SSL_shutdown(c->state); /* what cannot be sent now, is not */
        ERR_clear_error();
    }
}

static void tls_finish(struct conn *c)
{
    tls_shutdown(c);
    SSL_free(c->state);
}

static const struct conn_transport tls = { tls_sendv, tls_recvv, tls_shutdown, tls_finish };

struct conn *tls_server_conn(struct tls_server *s, int fd)
{
    SSL *ssl = SSL_new(s->context);
    struct conn *c = ssl && SSL_set_fd(ssl, fd) == 1 ? conn_with(fd, &tls, ssl) : NULL;
    if (!c) {
        SSL_free(ssl);
        ERR_clear_error();
        return NULL;
    }
    SSL_set_accept_state(ssl);
    return c;
}
