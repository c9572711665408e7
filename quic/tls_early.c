/*
 * quic/tls_early.c - what a server's tickets say beside the session, and when one gives 0-RTT.
 *
 *     ticket = OpenSSL's, with | QUIC version (4) | tag (8) | instance (8) | made, ns (8) | inside,
 *              encrypted and authenticated
 *
 * A ticket of another version of QUIC is no ticket (RFC 9369, Section 5).  One with another tag
 * resumes without 0-RTT: the limits that a client remembers from it may be wrong (RFC 9000, Section
 * 7.4.1).  So does one of another instance: its register knows what was seen.  OpenSSL looks after
 * protocol and age; it has the age of our own tickets from here, by the register's clock: by the
 * time of day, which may be set back, a copy would be fresh again that is forgotten already.
 */
#include <openssl/ssl.h>

#include "quic/tls_internal.h"
#include "quic/wire_fields.h"

#define TAG_AT      4
#define INSTANCE_AT 12
#define MADE_AT     20
#define DATA_SIZE   28

/* From the look at a ticket's age to the look into the register at most; longer: no 0-RTT. */
#define JUDGING_MAX_NS UINT64_C(1000000000)

/* RFC 8446, Section 8.3: OpenSSL takes a ClientHello for fresh if its ticket's age, in whole
 * seconds, is up to 1 s below what the client says, or up to 9 s above; ours may be a second less,
 * when the time of day comes to the next between the two readings. */
_Static_assert(MR_REPLAY_WINDOW_NS >= UINT64_C(12000000000) + JUDGING_MAX_NS,
               "a first flight is remembered for as long as it is fresh");

static int on_ticket_made(SSL *ssl, void *argument)
{
    const struct mr_tls *tls = SSL_get_app_data(ssl);
    const struct mr_replay *replay = tls->context->replay;
    uint8_t data[DATA_SIZE];

    (void)argument;
    mr_store_be(data, tls->version, 4);
    mr_store_be(data + TAG_AT, tls->early_tag, 8);
    mr_store_be(data + INSTANCE_AT, replay == NULL ? 0 : mr_replay_instance(replay), 8);
    mr_store_be(data + MADE_AT, replay == NULL ? 0 : tls->context->clock(), 8);
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), data, sizeof(data));
}

/* What was written into the session's ticket; NULL: nothing of ours. */
static const uint8_t *ticket_data(SSL_SESSION *session)
{
    void *data = NULL;
    size_t size = 0;

    if (session == NULL || SSL_SESSION_get0_ticket_appdata(session, &data, &size) != 1 ||
        size != DATA_SIZE)
        return NULL;
    return data;
}

/* The time of day that OpenSSL ages tickets by: new sessions are of now.  Seconds; 0: no memory. */
static int64_t time_of_sessions(void)
{
    SSL_SESSION *session = SSL_SESSION_new();
    int64_t now_s = session == NULL ? 0 : (int64_t)SSL_SESSION_get_time_ex(session);

    SSL_SESSION_free(session);
    return now_s;
}

/* Of a ticket of this instance: its age by the register's clock is what OpenSSL finds. */
static void set_age(struct mr_tls *tls, SSL_SESSION *session, const uint8_t *data)
{
    const struct mr_replay *replay = tls->context->replay;

    if (replay == NULL)
        return;
    tls->ticket_read_ns = tls->context->clock();
    if (mr_load_u64(data + INSTANCE_AT) != mr_replay_instance(replay))
        return;
    uint64_t age_ns = tls->ticket_read_ns - mr_load_u64(data + MADE_AT);
    SSL_SESSION_set_time_ex(session, time_of_sessions() - (int64_t)(age_ns / UINT64_C(1000000000)));
}

static SSL_TICKET_RETURN on_ticket_read(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                        size_t name_size, SSL_TICKET_STATUS status, void *argument)
{
    struct mr_tls *tls = SSL_get_app_data(ssl);
    const uint8_t *data = ticket_data(session);

    (void)name;
    (void)name_size;
    (void)argument;
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (data == NULL || mr_load_u32(data) != tls->original_version)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    set_age(tls, session, data);
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

/* OpenSSL would take 0-RTT: may it? */
static int on_early_data(SSL *ssl, void *argument)
{
    const struct mr_tls *tls = SSL_get_app_data(ssl);
    const uint8_t *data = ticket_data(SSL_get_session(ssl));
    struct mr_replay *replay = tls->context->replay;
    uint8_t random[MR_REPLAY_RANDOM];

    (void)argument;
    if (data == NULL || mr_load_u64(data + TAG_AT) != tls->early_tag)
        return 0;
    if (replay == NULL)
        return 1;
    if (SSL_get_client_random(ssl, random, sizeof(random)) != sizeof(random))
        return 0;
    uint64_t now = tls->context->clock();
    if (now - tls->ticket_read_ns > JUDGING_MAX_NS)
        return 0;
    return mr_replay_check(replay, random, mr_load_u64(data + INSTANCE_AT), now) == MR_REPLAY_FIRST;
}

void mr_tls_early_attach(struct mr_tls_context *context)
{
    SSL_CTX_set_session_ticket_cb(context->ssl_ctx, on_ticket_made, on_ticket_read, NULL);
    SSL_CTX_set_allow_early_data_cb(context->ssl_ctx, on_early_data, NULL);
}
