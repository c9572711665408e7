/*
 * tests/unit/tls_plan.h - handshakes as test_tls.c and test_tls_refusals.c plan them.
 *
 *     struct plan --sides_open()--> contexts --shake()--> client, server (struct tls_end)
 */
#ifndef MR_TESTS_UNIT_TLS_PLAN_H
#define MR_TESTS_UNIT_TLS_PLAN_H

#include "tests/tls_pair.h"
#include "tests/unit/harness.h"

#define WHOLE MR_TLS_INPUT_MAX /* pieces so large that each flight is one */

static const uint8_t client_params[] = "client transport parameters";
static const uint8_t server_params[] = "server transport parameters";
static const uint8_t h3[] = {2, 'h', '3'};
static const uint8_t h3_and_perf[] = {4, 'p', 'e', 'r', 'f', 2, 'h', '3'};

/* What is particular about one handshake; zero: the plain one. */
struct plan {
    const char *client_groups;
    const char *server_groups;
    const char *client_ciphers;
    const char *server_ciphers;
    const char *name;    /* asked for; NULL: localhost */
    const uint8_t *alpn; /* of the client; NULL: h3 */
    size_t alpn_size;
    const uint8_t *ticket;
    size_t ticket_size;
    size_t piece;   /* 0: WHOLE */
    int64_t begins; /* of the certificate's validity, see struct mr_certificate_options */
    int64_t ends;
    uint8_t tickets;
    bool is_insecure;
    bool is_untrusted;  /* the client trusts another certificate */
    uint32_t version;   /* of QUIC */
    uint64_t early_tag; /* of the server */
    bool refuses_early; /* the client does not want 0-RTT */
    bool has_early_client;
    bool has_early_server;
    bool has_keylog;
};

/* A pair of contexts, made from a plan. */
struct sides {
    struct mr_tls_context client;
    struct mr_tls_context server;
};

static struct tls_end client;
static struct tls_end server;

static inline void make_certificate(const struct plan *plan, struct mr_certificate *certificate)
{
    static const char *const names[] = {"www.example.com", "192.0.2.7", "*.wild.example"};
    const struct mr_certificate_options options = {
        .names = names,
        .name_count = MR_COUNT_OF(names),
        .begins_in_seconds = plan->begins,
        .ends_in_seconds = plan->ends,
    };
    struct mr_fault fault = {{0}};

    CU_ASSERT_EQUAL_FATAL(mr_certificate_make(certificate, &options, &fault), 0);
}

static inline void sides_open(struct sides *sides, const struct plan *plan)
{
    static struct mr_certificate certificate;
    static struct mr_certificate other;
    static const uint8_t ticket_keys[MR_TICKET_KEYS_SIZE] = {1, 2, 3};
    struct mr_fault fault = {{0}};

    make_certificate(plan, &certificate);
    make_certificate(plan, &other);
    const struct mr_tls_server_config server_config = {
        .certificate = &certificate,
        .alpn = h3_and_perf,
        .alpn_size = sizeof(h3_and_perf),
        .groups = plan->server_groups,
        .ciphers = plan->server_ciphers,
        .ticket_keys = ticket_keys,
        .tickets = plan->tickets,
        .allows_expired = true,
        .has_early_data = plan->has_early_server,
        .has_keylog = plan->has_keylog,
    };
    const struct mr_tls_client_config client_config = {
        .ca_pem = plan->is_untrusted ? other.certificate_pem : certificate.certificate_pem,
        .groups = plan->client_groups,
        .ciphers = plan->client_ciphers,
        .has_early_data = plan->has_early_client,
        .has_keylog = plan->has_keylog,
    };
    CU_ASSERT_EQUAL_FATAL(mr_tls_context_server(&sides->server, &server_config, &fault), 0);
    CU_ASSERT_EQUAL_FATAL(mr_tls_context_client(&sides->client, &client_config, &fault), 0);
}

static inline void sides_close(struct sides *sides)
{
    mr_tls_context_free(&sides->client);
    mr_tls_context_free(&sides->server);
}

/* Start both ends. */
static inline void start(struct sides *sides, const struct plan *plan)
{
    const struct mr_tls_client_options options = {
        .server_name = plan->name != NULL ? plan->name : "localhost",
        .alpn = plan->alpn != NULL ? plan->alpn : h3,
        .alpn_size = plan->alpn != NULL ? plan->alpn_size : sizeof(h3),
        .is_insecure = plan->is_insecure,
        .ticket = plan->ticket,
        .version = plan->version,
        .wants_early = plan->has_early_client && !plan->refuses_early,
        .ticket_size = plan->ticket_size,
        .params = client_params,
        .params_size = sizeof(client_params),
    };

    memset(&client, 0, sizeof(client));
    memset(&server, 0, sizeof(server));
    CU_ASSERT_FATAL(mr_tls_start_client(&client.tls, &sides->client, &options));
    CU_ASSERT_FATAL(
        mr_tls_start_server(&server.tls, &sides->server, server_params, sizeof(server_params)));
    server.tls.version = plan->version;
    server.tls.early_tag = plan->early_tag;
}

/* A whole handshake as planned; what came of it is in `client` and `server`. */
static inline void shake(struct sides *sides, const struct plan *plan)
{
    start(sides, plan);
    tls_pair_talk(&client, &server, plan->piece != 0 ? plan->piece : WHOLE);
    tls_pair_free(&client, &server);
}

static inline void shake_alone(const struct plan *plan)
{
    struct sides sides;

    sides_open(&sides, plan);
    shake(&sides, plan);
    sides_close(&sides);
}

/* ------------------------------------------------------------------ what both ends must agree on
 */

static inline void check_secret(enum mr_level level, bool is_client_write, int cipher)
{
    const struct mr_secret *at_client = &client.secrets[level][is_client_write];
    const struct mr_secret *at_server = &server.secrets[level][!is_client_write];

    CU_ASSERT_EQUAL(at_client->size, mr_cipher_hash_size((enum mr_cipher)cipher));
    CU_ASSERT_EQUAL(at_client->size, at_server->size);
    CU_ASSERT_EQUAL(at_client->cipher, cipher);
    CU_ASSERT_EQUAL(at_server->cipher, cipher);
    CU_ASSERT_EQUAL(memcmp(at_client->bytes, at_server->bytes, at_client->size), 0);
}

static inline void check_success(int cipher)
{
    CU_ASSERT(client.is_complete);
    CU_ASSERT(server.is_complete);
    CU_ASSERT_FALSE(client.is_failed);
    CU_ASSERT_FALSE(server.is_failed);
    CU_ASSERT(server.is_done);
    for (int is_write = 0; is_write < 2; is_write++) {
        check_secret(MR_LEVEL_HANDSHAKE, is_write, cipher);
        check_secret(MR_LEVEL_APP, is_write, cipher);
    }
    CU_ASSERT_EQUAL(client.params_size, sizeof(server_params));
    CU_ASSERT_EQUAL(memcmp(client.params, server_params, sizeof(server_params)), 0);
    CU_ASSERT_EQUAL(server.params_size, sizeof(client_params));
    CU_ASSERT_EQUAL(memcmp(server.params, client_params, sizeof(client_params)), 0);
    CU_ASSERT_STRING_EQUAL(client.alpn, "h3");
    CU_ASSERT_STRING_EQUAL(server.alpn, "h3");
}

static inline void check_failure(const struct tls_end *end, uint64_t error, const char *words)
{
    CU_ASSERT(end->is_failed);
    CU_ASSERT_EQUAL(end->error, error);
    if (strstr(end->reason, words) == NULL)
        CU_FAIL(end->reason);
}

#endif /* MR_TESTS_UNIT_TLS_PLAN_H */
