/*
 * What OpenSSL calls while a job runs.  Everything here reads from and writes into the job.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/ssl.h>

#include "quic/tls_internal.h"
#include "quic/tls_ticket.h"
#include "quic/version.h"

#define EXT_ALPN             16u /* extension types, RFC 7301 and RFC 9001, Section 8.2 */
#define EXT_TRANSPORT_PARAMS 57u
#define RETRY_RANDOM         6 /* its offset in a ServerHello: header (4), version (2) */
#define DIRECTION_WRITE      1 /* of a secret: 0 read, 1 write */

_Static_assert(MR_LEVEL_INITIAL == OSSL_RECORD_PROTECTION_LEVEL_NONE, "levels are OpenSSL's");
_Static_assert(MR_LEVEL_EARLY == OSSL_RECORD_PROTECTION_LEVEL_EARLY, "levels are OpenSSL's");
_Static_assert(MR_LEVEL_HANDSHAKE == OSSL_RECORD_PROTECTION_LEVEL_HANDSHAKE,
               "levels are OpenSSL's");
_Static_assert(MR_LEVEL_APP == OSSL_RECORD_PROTECTION_LEVEL_APPLICATION, "levels are OpenSSL's");

/* ------------------------------------------------------------------ failing */

/* Text from the peer must not forge lines of a log. */
static void clean(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

void mr_tls_explain(struct mr_tls *tls, const char *fmt, ...)
{
    struct mr_tls_job *job = tls->job;
    va_list args;

    if (job == NULL || job->reason[0] != '\0')
        return;
    va_start(args, fmt);
    vsnprintf(job->reason, sizeof(job->reason), fmt, args);
    va_end(args);
    clean(job->reason);
}

void mr_tls_fail(struct mr_tls *tls, uint64_t error, const char *reason)
{
    struct mr_tls_job *job = tls->job;

    mr_tls_explain(tls, "%s", reason);
    tls->is_failed = true;
    if (job->is_failed)
        return;
    job->is_failed = true;
    job->error = error;
}

/* ------------------------------------------------------------------ input: OpenSSL asks for CRYPTO
 * bytes */

/* What RFC 9001 forbids of messages that TLS itself would allow, or take at any length. */
static bool is_message_legal(struct mr_tls *tls)
{
    bool is_server = tls->context->role == MR_SERVER;

    switch (mr_tls_message_type(&tls->message)) {
    case MR_TLS_KEY_UPDATE: /* Section 6 */
        mr_tls_fail_alert(tls, MR_ALERT_UNEXPECTED_MESSAGE, "the peer sent a TLS KeyUpdate");
        return false;
    case MR_TLS_END_OF_EARLY_DATA: /* Section 8.3 */
        mr_tls_fail(tls, MR_PROTOCOL_VIOLATION, "the peer sent EndOfEarlyData");
        return false;
    case MR_TLS_CERTIFICATE_REQUEST: /* Section 4.4 */
        if (tls->read_level != MR_LEVEL_APP)
            break;
        mr_tls_fail(tls, MR_PROTOCOL_VIOLATION,
                    "the peer sent a CertificateRequest after the handshake");
        return false;
    }
    if (is_server && mr_tls_message_length(&tls->message) > MR_TLS_HELLO_MAX) {
        mr_tls_fail(tls, MR_CRYPTO_BUFFER_EXCEEDED, "the client's TLS message is too large");
        return false;
    }
    return true;
}

/* Hand out the rest of the current message, as far as it is there; nothing of another level. */
static int on_crypto_receive(SSL *ssl, const unsigned char **bytes, size_t *size, void *argument)
{
    struct mr_tls *tls = argument;
    struct mr_tls_job *job = tls->job;

    (void)ssl;
    *bytes = job->input_bytes + job->input_taken;
    *size = 0;
    if (job->input_level != (enum mr_level)tls->read_level || job->input_taken == job->input_size)
        return 1;

    *size = mr_tls_message_next(&tls->message, *bytes, job->input_size - job->input_taken);
    if (!is_message_legal(tls))
        return 0;
    job->input_taken += (uint32_t)*size;
    return 1;
}

/* OpenSSL has copied what it was given. */
static int on_crypto_release(SSL *ssl, size_t size, void *argument)
{
    (void)ssl;
    (void)size;
    (void)argument;
    return 1;
}

/* ------------------------------------------------------------------ output: OpenSSL hands things
 * over */

static int on_crypto_send(SSL *ssl, const unsigned char *bytes, size_t size, size_t *taken,
                          void *argument)
{
    struct mr_tls *tls = argument;
    struct mr_tls_job *job = tls->job;
    struct mr_tls_output *output = &job->output[tls->write_level];

    (void)ssl;
    if (size > MR_TLS_OUTPUT_MAX - job->output_size) {
        mr_tls_fail_alert(tls, MR_ALERT_INTERNAL_ERROR, "TLS wants to send too much at once");
        return 0;
    }
    if (output->size == 0)
        output->begin = job->output_size;
    memcpy(job->output_bytes + job->output_size, bytes, size);
    output->size += (uint32_t)size;
    job->output_size += (uint32_t)size;
    *taken = size;
    return 1;
}

/* The cipher of the secret that is being yielded.  False: one that we never offered. */
static bool current_cipher(const SSL *ssl, uint8_t *cipher_out)
{
    const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);

    switch (cipher == NULL ? 0 : SSL_CIPHER_get_protocol_id(cipher)) {
    case 0x1301:
        *cipher_out = MR_CIPHER_AES_128_GCM;
        return true;
    case 0x1302:
        *cipher_out = MR_CIPHER_AES_256_GCM;
        return true;
    case 0x1303:
        *cipher_out = MR_CIPHER_CHACHA20_POLY1305;
        return true;
    }
    return false;
}

/* The 0-RTT secret moves no level: CRYPTO bytes never travel in 0-RTT packets. */
static void move_level(struct mr_tls *tls, enum mr_level level, bool is_write)
{
    if (level == MR_LEVEL_EARLY)
        return;
    if (is_write)
        tls->write_level = (uint8_t)level;
    else
        tls->read_level = (uint8_t)level;
}

static int on_secret(SSL *ssl, uint32_t level, int direction, const unsigned char *bytes,
                     size_t size, void *argument)
{
    struct mr_tls *tls = argument;
    struct mr_tls_job *job = tls->job;
    struct mr_tls_secret *secret = &job->secrets[job->secret_count];
    uint8_t cipher;

    if (job->secret_count == MR_TLS_SECRETS_MAX || level >= MR_LEVELS ||
        !current_cipher(ssl, &cipher) || size != mr_cipher_hash_size((enum mr_cipher)cipher)) {
        mr_tls_fail_alert(tls, MR_ALERT_INTERNAL_ERROR, "TLS yielded an unusable secret");
        return 0;
    }
    *secret = (struct mr_tls_secret){
        .secret = {.size = (uint8_t)size, .cipher = cipher},
        .level = (uint8_t)level,
        .is_write = direction == DIRECTION_WRITE,
    };
    memcpy(secret->secret.bytes, bytes, size);
    job->secret_count++;
    move_level(tls, (enum mr_level)level, secret->is_write);
    return 1;
}

static int on_transport_params(SSL *ssl, const unsigned char *bytes, size_t size, void *argument)
{
    struct mr_tls *tls = argument;
    struct mr_tls_job *job = tls->job;

    (void)ssl;
    if (size > MR_TLS_PARAMS_MAX) {
        mr_tls_fail(tls, MR_TRANSPORT_PARAMETER_ERROR,
                    "the peer's transport parameters are too long");
        return 0;
    }
    memcpy(job->params, bytes, size);
    job->params_size = (uint32_t)size;
    job->has_params = true;
    tls->has_params = true;
    return 1;
}

/* TLS is about to fail; what it says to the peer goes into CONNECTION_CLOSE. */
static int on_alert(SSL *ssl, unsigned char alert, void *argument)
{
    struct mr_tls *tls = argument;

    (void)ssl;
    if (tls->job != NULL && tls->job->error == 0)
        tls->job->error = MR_CRYPTO_ERROR + (uint64_t)alert;
    return 1;
}

const OSSL_DISPATCH mr_tls_callbacks[] = {
    {OSSL_FUNC_SSL_QUIC_TLS_CRYPTO_SEND, (void (*)(void))on_crypto_send},
    {OSSL_FUNC_SSL_QUIC_TLS_CRYPTO_RECV_RCD, (void (*)(void))on_crypto_receive},
    {OSSL_FUNC_SSL_QUIC_TLS_CRYPTO_RELEASE_RCD, (void (*)(void))on_crypto_release},
    {OSSL_FUNC_SSL_QUIC_TLS_YIELD_SECRET, (void (*)(void))on_secret},
    {OSSL_FUNC_SSL_QUIC_TLS_GOT_TRANSPORT_PARAMS, (void (*)(void))on_transport_params},
    {OSSL_FUNC_SSL_QUIC_TLS_ALERT, (void (*)(void))on_alert},
    {0, NULL},
};

/* ------------------------------------------------------------------ callbacks of the context */

static bool has_extension(SSL *ssl, unsigned type)
{
    const unsigned char *bytes;
    size_t size;

    return SSL_client_hello_get0_ext(ssl, type, &bytes, &size) == 1;
}

/* The version that the connection goes on in is known as soon as the ClientHello is read: our
 * parameters, which OpenSSL reads later, say it (RFC 9368, Section 2.3). */
static void negotiate_version(SSL *ssl, struct mr_tls *tls)
{
    const unsigned char *params;
    size_t size;

    if (tls->versions == 0 ||
        SSL_client_hello_get0_ext(ssl, EXT_TRANSPORT_PARAMS, &params, &size) != 1)
        return;
    tls->version = mr_version_negotiate(params, size, tls->version, tls->versions);
    tls->versions = 0; /* once: a second ClientHello changes nothing */
    mr_version_set_chosen(tls->params, tls->params_size, tls->version);
}

int mr_tls_on_client_hello(SSL *ssl, int *alert, void *argument)
{
    struct mr_tls *tls = SSL_get_app_data(ssl);
    const unsigned char *session_id;

    (void)argument;
    if (tls->original_version == 0) /* a second ClientHello is of the same first flight */
        tls->original_version = tls->version;
    if (SSL_client_hello_get0_session_id(ssl, &session_id) != 0) /* RFC 9001, Section 8.4 */
        mr_tls_fail(tls, MR_PROTOCOL_VIOLATION,
                    "the ClientHello asks for TLS 1.2's compatibility mode");
    else if (!has_extension(ssl, EXT_TRANSPORT_PARAMS)) /* Section 8.2 */
        mr_tls_fail_alert(tls, MR_ALERT_MISSING_EXTENSION,
                          "the client sent no transport parameters");
    else if (!has_extension(ssl, EXT_ALPN)) /* Section 8.1 */
        mr_tls_fail_alert(tls, MR_ALERT_NO_APPLICATION_PROTOCOL,
                          "the client named no protocol (ALPN)");
    else {
        negotiate_version(ssl, tls);
        return SSL_CLIENT_HELLO_SUCCESS;
    }

    *alert = MR_ALERT_INTERNAL_ERROR; /* mr_tls_fail() has said what is sent instead */
    return SSL_CLIENT_HELLO_ERROR;
}

/* Take the first of ours that the client offers. */
static int on_alpn(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_size,
                   const unsigned char *offers, unsigned offers_size, void *argument)
{
    struct mr_tls *tls = SSL_get_app_data(ssl);
    const struct mr_tls_context *context = tls->context;

    (void)argument;
    for (size_t ours = 0; ours < context->alpn_size; ours += 1u + context->alpn[ours])
        for (unsigned theirs = 0; theirs < offers_size; theirs += 1u + offers[theirs]) {
            size_t size = offers[theirs];

            if (size != context->alpn[ours] || theirs + 1 + size > offers_size ||
                memcmp(offers + theirs + 1, context->alpn + ours + 1, size) != 0)
                continue;
            *chosen = offers + theirs + 1;
            *chosen_size = (unsigned char)size;
            return SSL_TLSEXT_ERR_OK;
        }
    mr_tls_explain(tls, "the client offers no protocol that this server speaks (ALPN)");
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void on_keylog(const SSL *ssl, const char *line)
{
    struct mr_tls *tls = SSL_get_app_data(ssl);
    struct mr_tls_job *job = tls->job;
    size_t size = strlen(line);

    if (job == NULL || !(job->wants_keylog || tls->context->has_keylog) ||
        size + 1 > MR_TLS_KEYLOG_MAX - job->keylog_size)
        return;
    memcpy(job->keylog + job->keylog_size, line, size);
    job->keylog[job->keylog_size + size] = '\n';
    job->keylog_size += (uint32_t)size + 1;
}

/*
 * OpenSSL 3.5 offers 0-RTT again in the ClientHello that answers a HelloRetryRequest, which RFC
 * 8446, Section 4.1.2 forbids: let the session forget that it allows 0-RTT in between.
 */
void mr_tls_on_message(int is_write, int version, int type, const void *bytes, size_t size,
                       SSL *ssl, void *argument)
{
    /* The Random of a HelloRetryRequest, RFC 8446, Section 4.1.3. */
    static const uint8_t retry[32] = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11,
                                      0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
                                      0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e,
                                      0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};
    const uint8_t *message = bytes;

    (void)version;
    (void)argument;
    if (is_write || type != SSL3_RT_HANDSHAKE || size < RETRY_RANDOM + sizeof(retry))
        return;
    if (message[0] == SSL3_MT_SERVER_HELLO &&
        memcmp(message + RETRY_RANDOM, retry, sizeof(retry)) == 0)
        SSL_SESSION_set_max_early_data(SSL_get0_session(ssl), 0);
}

/* A client's new ticket: encode it behind what it depends on. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct mr_tls *tls = SSL_get_app_data(ssl);
    struct mr_tls_job *job = tls->job;
    int session_size = i2d_SSL_SESSION(session, NULL);
    const struct mr_tls_ticket ticket = {
        .name = (const uint8_t *)tls->name,
        .name_size = strlen(tls->name),
        .params = job->remember,
        .params_size = job->remember_size,
        .session_size = (size_t)session_size,
        .version = tls->version,
        .is_insecure = tls->is_insecure,
    };
    size_t head =
        session_size <= 0 ? 0 : mr_tls_ticket_write(&ticket, job->ticket, MR_TLS_TICKET_MAX);

    tls->has_ticket = true;
    job->is_ticket_dropped = head == 0;
    if (head != 0) {
        unsigned char *dst = job->ticket + head;

        job->ticket_size = (uint32_t)head + (uint32_t)i2d_SSL_SESSION(session, &dst);
    }
    return 0; /* the session stays OpenSSL's */
}

void mr_tls_context_attach(struct mr_tls_context *context)
{
    SSL_CTX *ctx = context->ssl_ctx;

    SSL_CTX_set_keylog_callback(ctx, on_keylog); /* a job may want it at any time */
    if (context->role == MR_SERVER) {
        SSL_CTX_set_client_hello_cb(ctx, mr_tls_on_client_hello, NULL);
        SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
        mr_tls_early_attach(context);
        return;
    }
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_session);
}
