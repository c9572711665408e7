#include "quic/tls.h"

#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/assert.h"
#include "quic/tls_internal.h"
#include "quic/tls_ticket.h"

/* ------------------------------------------------------------------ start and free */

/* Keep our transport parameters, and a client's server name behind them. */
static bool keep_params(struct mr_tls *tls, const uint8_t *params, size_t params_size,
                        const char *name)
{
    size_t name_size = strlen(name) + 1;

    tls->params = OPENSSL_malloc(params_size + name_size);
    if (tls->params == NULL)
        return false;
    tls->params_size = (uint32_t)params_size;
    memcpy(tls->params, params, params_size);
    memcpy(tls->params + params_size, name, name_size);
    tls->name = (const char *)tls->params + params_size;
    return true;
}

/* The role must be set before the callbacks: OpenSSL notes it there. */
static bool start(struct mr_tls *tls, const struct mr_tls_context *context, size_t params_size)
{
    SSL *ssl = SSL_new(context->ssl_ctx);

    tls->ssl = ssl;
    if (ssl == NULL || tls->params == NULL)
        return false;
    if (context->role == MR_SERVER)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    SSL_set_app_data(ssl, tls);
    return SSL_set_quic_tls_cbs(ssl, mr_tls_callbacks, tls) == 1 &&
           SSL_set_quic_tls_transport_params(ssl, tls->params, params_size) == 1;
}

bool mr_tls_start_server(struct mr_tls *tls, const struct mr_tls_context *context,
                         const uint8_t *params, size_t params_size)
{
    *tls = (struct mr_tls){.context = context};
    return keep_params(tls, params, params_size, "");
}

/* A server's first job: OpenSSL's code and what it makes are used right away, not when a burst of
 * other clients has put them out of the caches. */
static bool begin_server(struct mr_tls *tls)
{
    return start(tls, tls->context, tls->params_size) &&
           (!tls->context->has_early_data || SSL_set_quic_tls_early_data_enabled(tls->ssl, 1) == 1);
}

/* Say whom we want to reach, and check that we did. */
static bool set_server_name(struct mr_tls *tls)
{
    SSL *ssl = tls->ssl;
    bool is_ip = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), tls->name) == 1;

    if (!is_ip && (SSL_set_tlsext_host_name(ssl, tls->name) != 1 ||
                   X509_VERIFY_PARAM_set1_host(SSL_get0_param(ssl), tls->name, 0) != 1))
        return false;
    X509_VERIFY_PARAM_set_hostflags(SSL_get0_param(ssl), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (tls->is_insecure)
        SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
    else
        SSL_set_verify(ssl, SSL_VERIFY_PEER, mr_tls_verify);
    return true;
}

/* RFC 8446, Section 4.2.10: what a server rejects may be sent again to the same protocol only, so
 * that a client with a choice of them sends nothing early. */
static bool has_one_protocol(const struct mr_tls_client_options *options)
{
    return options->alpn_size == options->alpn[0] + 1u;
}

/* Resume with a ticket that is ours, of this server, and no less checked than asked for now. */
static void set_ticket(struct mr_tls *tls, const uint8_t *bytes, size_t size, bool wants_early)
{
    struct mr_tls_ticket ticket;

    if (bytes == NULL || !mr_tls_ticket_read(&ticket, bytes, size))
        return;
    if (ticket.name_size != strlen(tls->name) ||
        memcmp(ticket.name, tls->name, ticket.name_size) != 0)
        return;
    if (ticket.version != tls->version || (ticket.is_insecure && !tls->is_insecure))
        return;

    const unsigned char *at = ticket.session;
    SSL_SESSION *session = d2i_SSL_SESSION(NULL, &at, (long)ticket.session_size);
    if (session == NULL)
        return;
    bool is_set = SSL_set_session(tls->ssl, session) == 1;
    if (is_set && wants_early && tls->context->has_early_data &&
        SSL_set_quic_tls_early_data_enabled(tls->ssl, 1) == 1) /* refused if the ticket has none */
        SSL_set_msg_callback(tls->ssl, mr_tls_on_message);
    SSL_SESSION_free(session);
}

bool mr_tls_start_client(struct mr_tls *tls, const struct mr_tls_context *context,
                         const struct mr_tls_client_options *options)
{
    *tls = (struct mr_tls){
        .context = context, .version = options->version, .is_insecure = options->is_insecure};
    bool is_started =
        options->alpn_size >= 2 && options->alpn_size <= MR_TLS_ALPN_MAX &&
        strlen(options->server_name) <= MR_TLS_NAME_MAX &&
        keep_params(tls, options->params, options->params_size, options->server_name) &&
        start(tls, context, options->params_size) && set_server_name(tls) &&
        SSL_set_alpn_protos(tls->ssl, options->alpn, (unsigned)options->alpn_size) == 0;

    if (is_started)
        set_ticket(tls, options->ticket, options->ticket_size,
                   options->wants_early && has_one_protocol(options));
    else
        mr_tls_free(tls);
    ERR_clear_error();
    return is_started;
}

/* A session that ends without a shutdown counts as broken and cannot be resumed: pretend. */
void mr_tls_free(struct mr_tls *tls)
{
    MR_ASSERT(tls->job == NULL);
    if (tls->ssl != NULL && tls->is_complete && !tls->is_failed)
        SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(tls->ssl);
    OPENSSL_free(tls->params);
    *tls = (struct mr_tls){.ssl = NULL};
}

bool mr_tls_ticket_params(const uint8_t *ticket, size_t size, const uint8_t **params_out,
                          size_t *params_size_out)
{
    struct mr_tls_ticket read;

    if (!mr_tls_ticket_read(&read, ticket, size))
        return false;
    *params_out = read.params;
    *params_size_out = read.params_size;
    return true;
}

static bool is_of_name(const struct mr_tls_ticket *ticket, const char *name)
{
    return ticket->name_size == strlen(name) && memcmp(ticket->name, name, ticket->name_size) == 0;
}

size_t mr_tls_ticket_token(const uint8_t *ticket, size_t size, const char *name, uint32_t version,
                           const uint8_t **token_out)
{
    struct mr_tls_ticket read;

    if (ticket == NULL || !mr_tls_ticket_read(&read, ticket, size) || read.version != version ||
        name == NULL || !is_of_name(&read, name))
        return 0;
    *token_out = read.token;
    return read.token_size;
}

const uint8_t *mr_tls_ticket_past(const uint8_t *ticket, size_t size, const char *name)
{
    struct mr_tls_ticket read;
    bool is_ours = ticket != NULL && mr_tls_ticket_read(&read, ticket, size) && name != NULL &&
                   is_of_name(&read, name);

    return is_ours ? read.past : NULL;
}

size_t mr_tls_ticket_with(const uint8_t *ticket, size_t size, const struct mr_tls_ticket_with *with,
                          uint8_t *dst, size_t room)
{
    struct mr_tls_ticket read;

    if (!mr_tls_ticket_read(&read, ticket, size))
        return 0;
    read.past = with->past;
    read.token = with->token;
    read.token_size = with->token_size;
    size_t head = mr_tls_ticket_write(&read, dst, room);
    if (head == 0)
        return 0;
    memcpy(dst + head, read.session, read.session_size);
    return head + read.session_size;
}

uint32_t mr_tls_ticket_version(const uint8_t *ticket, size_t size)
{
    struct mr_tls_ticket read;

    return mr_tls_ticket_read(&read, ticket, size) ? read.version : 0;
}

/* ------------------------------------------------------------------ jobs */

void mr_tls_job_prepare(struct mr_tls_job *job, struct mr_tls *tls)
{
    memset(job, 0, offsetof(struct mr_tls_job, remember));
    job->tls = tls;
    job->version = tls->version;
}

size_t mr_tls_job_input(struct mr_tls_job *job, enum mr_level level, const uint8_t *bytes,
                        size_t size)
{
    size_t room = MR_TLS_INPUT_MAX - job->input_size;
    size_t taken = MR_MIN(size, room);

    if (job->input_size > 0 && job->input_level != level)
        return 0;
    if (taken > 0)
        memcpy(job->input_bytes + job->input_size, bytes, taken);
    job->input_level = level;
    job->input_size += (uint32_t)taken;
    return taken;
}

/* The error for OpenSSL's: that of its alert, or none, but where QUIC wants another. */
static uint64_t error_of(uint64_t alert)
{
    const char *function = NULL;
    unsigned long error = ERR_peek_error_all(NULL, NULL, &function, NULL, NULL);

    if (ERR_GET_REASON(error) == SSL_R_INVALID_MAX_EARLY_DATA) /* RFC 9001, Section 4.6.1 */
        return MR_PROTOCOL_VIOLATION;
    if (function != NULL && strcmp(function, "tls_parse_stoc_alpn") == 0) /* Section 8.1 */
        return MR_CRYPTO_ERROR + MR_ALERT_NO_APPLICATION_PROTOCOL;
    return alert != 0 ? alert : MR_CRYPTO_ERROR + MR_ALERT_INTERNAL_ERROR;
}

static void fail_from_openssl(struct mr_tls *tls)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());

    mr_tls_fail(tls, error_of(tls->job->error),
                reason != NULL ? reason : "TLS failed without a reason");
}

/* True if the last call only ran out of input. */
static bool wants_more(struct mr_tls *tls, int result)
{
    return SSL_get_error(tls->ssl, result) == SSL_ERROR_WANT_READ;
}

/* A server that takes 0-RTT succeeds a first time when its own flight is out. */
static void run_handshake(struct mr_tls *tls)
{
    int result = SSL_do_handshake(tls->ssl);

    if (result == 1)
        tls->is_complete = SSL_is_init_finished(tls->ssl) == 1;
    else if (!wants_more(tls, result))
        fail_from_openssl(tls);
}

/* Tickets: TLS eats a message per turn, through a read that yields nothing. */
static void run_late(struct mr_tls *tls)
{
    struct mr_tls_job *job = tls->job;
    uint32_t before;

    do {
        before = job->input_taken;
        int result = SSL_read(tls->ssl, NULL, 0);
        if (result <= 0 && !wants_more(tls, result)) {
            fail_from_openssl(tls);
            return;
        }
    } while (job->input_taken > before);
}

/* RFC 9001, Section 4.1.3: no bytes may be left behind when keys of the next level are there. */
static void check_leftover(struct mr_tls *tls)
{
    struct mr_tls_job *job = tls->job;

    if (job->input_taken == job->input_size)
        return;
    if (tls->is_complete && tls->context->role == MR_SERVER)
        mr_tls_fail_alert(tls, MR_ALERT_UNEXPECTED_MESSAGE,
                          "the client sent TLS messages after its last");
    else
        mr_tls_fail(tls, MR_PROTOCOL_VIOLATION, "CRYPTO data of an encryption level that is over");
}

/* RFC 9001, Sections 8.1 and 8.2, for what only a finished handshake can tell. */
static void check_complete(struct mr_tls *tls)
{
    const unsigned char *alpn;
    unsigned alpn_size;

    SSL_get0_alpn_selected(tls->ssl, &alpn, &alpn_size);
    if (alpn_size == 0)
        mr_tls_fail_alert(tls, MR_ALERT_NO_APPLICATION_PROTOCOL,
                          "the server chose no protocol (ALPN)");
    else if (!tls->has_params)
        mr_tls_fail_alert(tls, MR_ALERT_MISSING_EXTENSION,
                          "the server sent no transport parameters");
}

/* ------------------------------------------------------------------ results */

static enum mr_tls_early early_state(const struct mr_tls *tls)
{
    bool is_known = tls->context->role == MR_SERVER || tls->is_complete;

    switch (is_known ? SSL_get_early_data_status(tls->ssl) : SSL_EARLY_DATA_NOT_SENT) {
    case SSL_EARLY_DATA_ACCEPTED:
        return MR_EARLY_ACCEPTED;
    case SSL_EARLY_DATA_REJECTED:
        return MR_EARLY_REJECTED;
    default:
        return MR_EARLY_NONE;
    }
}

static void report_names(const struct mr_tls *tls, struct mr_tls_job *job)
{
    const unsigned char *alpn;
    unsigned alpn_size;

    SSL_get0_alpn_selected(tls->ssl, &alpn, &alpn_size);
    if (alpn_size == 0 || alpn_size > MR_TLS_ALPN_MAX)
        return;
    job->has_alpn = true;
    job->alpn_size = (uint8_t)alpn_size;
    memcpy(job->alpn, alpn, alpn_size);
    job->alpn[alpn_size] = '\0';
    const char *name = SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name);
    snprintf(job->server_name, sizeof(job->server_name), "%s", name != NULL ? name : "");
}

static void report(struct mr_tls *tls, struct mr_tls_job *job)
{
    bool is_client = tls->context->role == MR_CLIENT;

    job->version = tls->version;
    job->error = 0; /* an alert that did not end in failure was none */
    job->is_complete = tls->is_complete;
    job->is_resumed = tls->is_complete && SSL_session_reused(tls->ssl) == 1;
    job->is_done = tls->is_complete && (!is_client || tls->has_ticket);
    job->early = early_state(tls);
    report_names(tls, job);
}

/* Nothing of a failed job must be used. */
static void report_failure(struct mr_tls_job *job)
{
    OPENSSL_cleanse(job->secrets, sizeof(job->secrets));
    memset(job->output, 0, sizeof(job->output));
    job->secret_count = 0;
    job->output_size = 0;
    job->ticket_size = 0;
    job->has_params = false;
}

static void run(struct mr_tls *tls)
{
    bool was_complete = tls->is_complete;

    if (!tls->is_complete)
        run_handshake(tls);
    if (tls->is_complete && !tls->is_failed && tls->context->role == MR_CLIENT)
        run_late(tls);
    if (!tls->is_failed)
        check_leftover(tls);
    if (tls->is_complete && !was_complete && !tls->is_failed)
        check_complete(tls);
}

void mr_tls_job_run(struct mr_tls_job *job)
{
    struct mr_tls *tls = job->tls;

    bool is_over = tls->is_failed || tls->params == NULL;

    tls->job = job;
    ERR_clear_error();
    if (is_over)
        mr_tls_fail_alert(tls, MR_ALERT_INTERNAL_ERROR, "the handshake is over");
    else if (tls->ssl == NULL && !begin_server(tls))
        mr_tls_fail_alert(tls, MR_ALERT_INTERNAL_ERROR, "no memory for the handshake");
    else
        run(tls);
    ERR_clear_error();
    if (job->is_failed)
        report_failure(job);
    else
        report(tls, job);
    tls->job = NULL;
}

void mr_tls_job_wipe(struct mr_tls_job *job)
{
    OPENSSL_cleanse(job->secrets, job->secret_count * sizeof(job->secrets[0]));
    OPENSSL_cleanse(job->keylog, job->keylog_size);
    job->secret_count = 0;
    job->keylog_size = 0;
}

/* ------------------------------------------------------------------ after the handshake */

uint64_t mr_tls_late_error(struct mr_tls_late *late, enum mr_role role, const uint8_t *bytes,
                           size_t size)
{
    while (size > 0) {
        size_t used = mr_tls_message_next(&late->message, bytes, size);
        int type = mr_tls_message_type(&late->message);

        if (role == MR_CLIENT && type == MR_TLS_CERTIFICATE_REQUEST)
            return MR_PROTOCOL_VIOLATION;
        if (role == MR_SERVER || type != MR_TLS_NEW_SESSION_TICKET)
            return MR_CRYPTO_ERROR + MR_ALERT_UNEXPECTED_MESSAGE;
        bytes += used;
        size -= used;
    }
    return 0;
}
