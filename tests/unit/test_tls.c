/* Tests of quic/tls.h: handshakes through jobs alone, and every way of refusing one. */
#include "quic/tls.h"

#include <stdlib.h>

#include "base/random.h"
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
    bool is_untrusted; /* the client trusts another certificate */
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

static void make_certificate(const struct plan *plan, struct mr_certificate *certificate)
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

static void sides_open(struct sides *sides, const struct plan *plan)
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

static void sides_close(struct sides *sides)
{
    mr_tls_context_free(&sides->client);
    mr_tls_context_free(&sides->server);
}

/* Start both ends. */
static void start(struct sides *sides, const struct plan *plan)
{
    const struct mr_tls_client_options options = {
        .server_name = plan->name != NULL ? plan->name : "localhost",
        .alpn = plan->alpn != NULL ? plan->alpn : h3,
        .alpn_size = plan->alpn != NULL ? plan->alpn_size : sizeof(h3),
        .is_insecure = plan->is_insecure,
        .ticket = plan->ticket,
        .ticket_size = plan->ticket_size,
        .params = client_params,
        .params_size = sizeof(client_params),
    };

    memset(&client, 0, sizeof(client));
    memset(&server, 0, sizeof(server));
    CU_ASSERT_FATAL(mr_tls_start_client(&client.tls, &sides->client, &options));
    CU_ASSERT_FATAL(
        mr_tls_start_server(&server.tls, &sides->server, server_params, sizeof(server_params)));
}

/* A whole handshake as planned; what came of it is in `client` and `server`. */
static void shake(struct sides *sides, const struct plan *plan)
{
    start(sides, plan);
    tls_pair_talk(&client, &server, plan->piece != 0 ? plan->piece : WHOLE);
    tls_pair_free(&client, &server);
}

static void shake_alone(const struct plan *plan)
{
    struct sides sides;

    sides_open(&sides, plan);
    shake(&sides, plan);
    sides_close(&sides);
}

/* ------------------------------------------------------------------ what both ends must agree on
 */

static void check_secret(enum mr_level level, bool is_client_write, int cipher)
{
    const struct mr_secret *at_client = &client.secrets[level][is_client_write];
    const struct mr_secret *at_server = &server.secrets[level][!is_client_write];

    CU_ASSERT_EQUAL(at_client->size, mr_cipher_hash_size((enum mr_cipher)cipher));
    CU_ASSERT_EQUAL(at_client->size, at_server->size);
    CU_ASSERT_EQUAL(at_client->cipher, cipher);
    CU_ASSERT_EQUAL(at_server->cipher, cipher);
    CU_ASSERT_EQUAL(memcmp(at_client->bytes, at_server->bytes, at_client->size), 0);
}

static void check_success(int cipher)
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

static void check_failure(const struct tls_end *end, uint64_t error, const char *words)
{
    CU_ASSERT(end->is_failed);
    CU_ASSERT_EQUAL(end->error, error);
    if (strstr(end->reason, words) == NULL)
        CU_FAIL(end->reason);
}

/* ------------------------------------------------------------------ success */

static void both_ends_agree_with_every_cipher(void)
{
    static const char *const ciphers[MR_CIPHERS] = {
        "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"};

    for (int cipher = 0; cipher < MR_CIPHERS; cipher++) {
        shake_alone(&(struct plan){.client_ciphers = ciphers[cipher]});
        check_success(cipher);
        shake_alone(&(struct plan){.server_ciphers = ciphers[cipher]});
        check_success(cipher);
        CU_ASSERT_STRING_EQUAL(server.server_name, "localhost");
    }
}

/* 1 client flight, server flight, Finished: each TLS side needs two jobs with whole flights per
 * level. */
static void pieces_of_any_size_give_the_same_handshake(void)
{
    static const size_t pieces[] = {1, 2, 3, 4, 5, 7, 64, 1000};

    for (size_t i = 0; i < MR_COUNT_OF(pieces); i++) {
        shake_alone(&(struct plan){.piece = pieces[i], .tickets = 2});
        check_success(MR_CIPHER_AES_128_GCM);
        CU_ASSERT(client.ticket_size > 0);
        CU_ASSERT(client.is_done);
    }
}

static void a_client_without_ticket_is_not_done(void)
{
    shake_alone(&(struct plan){.tickets = 0});
    check_success(MR_CIPHER_AES_128_GCM);
    CU_ASSERT_FALSE(client.is_done);
    CU_ASSERT_EQUAL(client.ticket_size, 0);
}

static void the_server_chooses_the_protocol_it_likes_best(void)
{
    static const uint8_t both[] = {2, 'h', '3', 1, 'x', 4, 'p', 'e', 'r', 'f'};

    shake_alone(&(struct plan){.alpn = both, .alpn_size = sizeof(both)});
    CU_ASSERT(client.is_complete);
    CU_ASSERT_STRING_EQUAL(client.alpn, "perf");
    CU_ASSERT_STRING_EQUAL(server.alpn, "perf");
}

static void a_post_quantum_client_hello_spans_packets_and_completes(void)
{
    const struct plan plan = {.client_groups = "X25519MLKEM768", .piece = 1100};

    shake_alone(&plan);
    check_success(MR_CIPHER_AES_128_GCM);
    CU_ASSERT(client.out[MR_LEVEL_INITIAL].size > 1200);
    CU_ASSERT(server.out[MR_LEVEL_INITIAL].size > 1100);
}

static void a_hello_retry_request_leads_to_success(void)
{
    shake_alone(&(struct plan){.client_groups = "P-256:X25519", .server_groups = "X25519"});
    check_success(MR_CIPHER_AES_128_GCM);
    CU_ASSERT_EQUAL(client.out[MR_LEVEL_INITIAL].bytes[0], 1); /* two ClientHellos */
    CU_ASSERT(client.out[MR_LEVEL_INITIAL].size > 450);
}

static void key_logs_of_both_ends_have_the_same_lines(void)
{
    shake_alone(&(struct plan){.has_keylog = true});
    check_success(MR_CIPHER_AES_128_GCM);
    CU_ASSERT(client.keylog_size > 4 * 100);
    CU_ASSERT_EQUAL(client.keylog[client.keylog_size - 1], '\n');
    for (char *line = strtok(client.keylog, "\n"); line != NULL; line = strtok(NULL, "\n"))
        CU_ASSERT_PTR_NOT_NULL(strstr(server.keylog, line));
    shake_alone(&(struct plan){.has_keylog = false});
    CU_ASSERT_EQUAL(client.keylog_size, 0);
}

/* ------------------------------------------------------------------ resumption and 0-RTT */

struct ticket {
    uint8_t bytes[MR_TLS_TICKET_MAX];
    size_t size;
};

static void take_ticket(struct ticket *ticket)
{
    CU_ASSERT_FATAL(client.ticket_size > 0);
    memcpy(ticket->bytes, client.ticket, client.ticket_size);
    ticket->size = client.ticket_size;
}

static void a_ticket_resumes_and_resumes_again(void)
{
    struct plan plan = {.tickets = 1};
    static struct ticket ticket;
    struct sides sides;

    sides_open(&sides, &plan);
    shake(&sides, &plan);
    CU_ASSERT_FALSE(client.is_resumed);
    take_ticket(&ticket);
    plan.ticket = ticket.bytes;
    plan.ticket_size = ticket.size;
    for (int i = 0; i < 3; i++) {
        shake(&sides, &plan);
        check_success(MR_CIPHER_AES_128_GCM);
        CU_ASSERT(client.is_resumed);
        CU_ASSERT(server.is_resumed);
        CU_ASSERT_EQUAL(client.early, MR_EARLY_NONE);
    }
    take_ticket(&ticket); /* a ticket from a resumed handshake is as good */
    shake(&sides, &plan);
    CU_ASSERT(client.is_resumed);
    sides_close(&sides);
}

static void a_ticket_remembers_transport_parameters(void)
{
    const uint8_t *params;
    size_t params_size;

    shake_alone(&(struct plan){.tickets = 1});
    CU_ASSERT_FATAL(mr_tls_ticket_params(client.ticket, client.ticket_size, &params, &params_size));
    CU_ASSERT_EQUAL(params_size, 6);
    CU_ASSERT_EQUAL(memcmp(params, "params", 6), 0);
    CU_ASSERT_FALSE(mr_tls_ticket_params(client.ticket, 3, &params, &params_size));
    client.ticket[0] ^= 1;
    CU_ASSERT_FALSE(mr_tls_ticket_params(client.ticket, client.ticket_size, &params, &params_size));
}

static void a_ticket_is_for_one_name_only(void)
{
    struct plan plan = {.tickets = 1};
    static struct ticket ticket;
    struct sides sides;

    sides_open(&sides, &plan);
    shake(&sides, &plan);
    take_ticket(&ticket);
    plan = (struct plan){
        .name = "www.example.com", .ticket = ticket.bytes, .ticket_size = ticket.size};
    shake(&sides, &plan);
    check_success(MR_CIPHER_AES_128_GCM);
    CU_ASSERT_FALSE(client.is_resumed);
    sides_close(&sides);
}

/* Else a connection made with --insecure once would disable the check for good. */
static void a_ticket_from_an_unchecked_server_is_not_used_for_a_checked_one(void)
{
    struct plan plan = {.tickets = 1, .is_insecure = true, .is_untrusted = true};
    static struct ticket ticket;
    struct sides sides;

    sides_open(&sides, &plan);
    shake(&sides, &plan);
    take_ticket(&ticket);
    plan.ticket = ticket.bytes;
    plan.ticket_size = ticket.size;
    shake(&sides, &plan);
    CU_ASSERT(client.is_resumed);
    plan.is_insecure = false;
    shake(&sides, &plan);
    check_failure(&client, 0x100 + 48, "certificate verify failed");
    sides_close(&sides);
}

static void a_damaged_ticket_is_ignored(void)
{
    struct plan plan = {.tickets = 1};
    static struct ticket ticket;
    static struct ticket damaged;
    struct mr_random random;
    struct sides sides;

    sides_open(&sides, &plan);
    shake(&sides, &plan);
    take_ticket(&ticket);
    mr_random_init_number(&random, 1);
    for (int i = 0; i < 100; i++) {
        damaged = ticket;
        damaged.bytes[mr_random_u64(&random) % damaged.size] ^= (uint8_t)(1 + i);
        plan.ticket = damaged.bytes;
        plan.ticket_size = i % 10 == 0 ? mr_random_u64(&random) % damaged.size : damaged.size;
        shake(&sides, &plan);
        CU_ASSERT(client.is_complete || client.is_failed || server.is_failed);
    }
    sides_close(&sides);
}

static void early_data_is_accepted_and_its_secret_shared(void)
{
    struct plan plan = {.tickets = 1, .has_early_client = true, .has_early_server = true};
    static struct ticket ticket;
    struct sides sides;

    sides_open(&sides, &plan);
    shake(&sides, &plan);
    CU_ASSERT_EQUAL(client.early, MR_EARLY_NONE);
    take_ticket(&ticket);
    plan.ticket = ticket.bytes;
    plan.ticket_size = ticket.size;
    for (int i = 0; i < 2; i++) {
        plan.piece = i == 0 ? WHOLE : 1;
        shake(&sides, &plan);
        check_success(MR_CIPHER_AES_128_GCM);
        check_secret(MR_LEVEL_EARLY, true, MR_CIPHER_AES_128_GCM);
        CU_ASSERT_EQUAL(client.early, MR_EARLY_ACCEPTED);
        CU_ASSERT_EQUAL(server.early, MR_EARLY_ACCEPTED);
    }
    sides_close(&sides);
}

/* The cipher of the 0-RTT secret is that of the ticket's session. */
static void early_data_uses_the_cipher_of_the_ticket(void)
{
    struct plan plan = {.tickets = 1,
                        .client_ciphers = "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256",
                        .server_ciphers = "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256",
                        .has_early_client = true,
                        .has_early_server = true};
    static struct ticket ticket;
    struct sides sides;

    sides_open(&sides, &plan);
    shake(&sides, &plan);
    take_ticket(&ticket);
    plan.ticket = ticket.bytes;
    plan.ticket_size = ticket.size;
    shake(&sides, &plan);
    check_success(MR_CIPHER_AES_256_GCM);
    check_secret(MR_LEVEL_EARLY, true, MR_CIPHER_AES_256_GCM);
    sides_close(&sides);
}

static void a_server_may_reject_early_data(void)
{
    struct plan plan = {.tickets = 1, .has_early_client = true, .has_early_server = true};
    static struct ticket ticket;
    struct sides sides;

    sides_open(&sides, &plan);
    shake(&sides, &plan);
    take_ticket(&ticket);
    plan.ticket = ticket.bytes;
    plan.ticket_size = ticket.size;
    sides.server.has_early_data = false;
    shake(&sides, &plan);
    check_success(MR_CIPHER_AES_128_GCM);
    CU_ASSERT(client.is_resumed);
    CU_ASSERT_EQUAL(client.early, MR_EARLY_REJECTED);
    CU_ASSERT_NOT_EQUAL(server.early, MR_EARLY_ACCEPTED);
    sides_close(&sides);
}

/* ------------------------------------------------------------------ certificates */

static void names_of_the_certificate_are_accepted(void)
{
    static const char *const names[] = {"www.example.com", "192.0.2.7", "127.0.0.1", "::1",
                                        "a.wild.example"};

    for (size_t i = 0; i < MR_COUNT_OF(names); i++) {
        shake_alone(&(struct plan){.name = names[i]});
        check_success(MR_CIPHER_AES_128_GCM);
    }
    CU_ASSERT_STRING_EQUAL(server.server_name, "a.wild.example");
}

static void other_names_are_refused_in_clear_words(void)
{
    static const char *const names[] = {"other.example", "192.0.2.8", "wild.example",
                                        "a.b.wild.example"};

    for (size_t i = 0; i < MR_COUNT_OF(names); i++) {
        shake_alone(&(struct plan){.name = names[i]});
        CU_ASSERT_FALSE(client.is_complete);
        check_failure(&client, 0x100 + 42,
                      "certificate verify failed: it is for localhost, "
                      "www.example.com, *.wild.example, not for ");
        CU_ASSERT_PTR_NOT_NULL(strstr(client.reason, names[i]));
        CU_ASSERT_FALSE(server.is_complete);
    }
}

static void certificates_out_of_date_are_refused_in_clear_words(void)
{
    shake_alone(&(struct plan){.begins = -7200, .ends = -3600});
    check_failure(&client, 0x100 + 45, "certificate verify failed: it expired on 20");
    shake_alone(&(struct plan){.begins = 3600, .ends = 7200});
    check_failure(&client, 0x100 + 42, "certificate verify failed: it is not valid before 20");
}

static void an_unknown_issuer_is_refused_unless_insecure(void)
{
    shake_alone(&(struct plan){.is_untrusted = true});
    check_failure(&client, 0x100 + 48, "certificate verify failed: self-signed certificate");
    shake_alone(&(struct plan){.is_untrusted = true, .is_insecure = true});
    check_success(MR_CIPHER_AES_128_GCM);
}

/* ------------------------------------------------------------------ refusals */

static void no_common_protocol_is_answered_with_its_alert(void)
{
    static const uint8_t other[] = {5, 'o', 't', 'h', 'e', 'r'};

    shake_alone(&(struct plan){.alpn = other, .alpn_size = sizeof(other)});
    check_failure(&server, 0x178, "ALPN");
    CU_ASSERT_FALSE(client.is_complete);
}

static void no_common_group_or_cipher_is_a_handshake_failure(void)
{
    shake_alone(&(struct plan){.client_groups = "P-256", .server_groups = "X25519"});
    check_failure(&server, 0x100 + 40, "");
    shake_alone(&(struct plan){.client_ciphers = "TLS_AES_128_GCM_SHA256",
                               .server_ciphers = "TLS_AES_256_GCM_SHA384"});
    check_failure(&server, 0x100 + 40, "no shared cipher");
}

/* Start a pair and make the ClientHello, which the caller may spoil. */
static struct tls_wire *begin_hello(struct sides *sides)
{
    const struct plan plan = {.tickets = 1};

    sides_open(sides, &plan);
    start(sides, &plan);
    tls_end_run(&client, MR_LEVEL_INITIAL, NULL, 0);
    return &client.out[MR_LEVEL_INITIAL];
}

static void end_hello(struct sides *sides)
{
    tls_pair_free(&client, &server);
    sides_close(sides);
}

/* Overwrite the first occurrence of `size` bytes `find` in the wire by `put`. */
static void replace(struct tls_wire *wire, const uint8_t *find, const uint8_t *put, size_t size)
{
    uint8_t *at = memmem(wire->bytes, wire->size, find, size);

    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    memcpy(at, put, size);
}

static void a_client_hello_without_transport_parameters_is_refused(void)
{
    static const uint8_t find[] = {0x00, 57, 0x00, sizeof(client_params), 'c', 'l'};
    static const uint8_t put[] = {0x7a, 57, 0x00, sizeof(client_params), 'c', 'l'};
    struct sides sides;

    replace(begin_hello(&sides), find, put, sizeof(find));
    tls_deliver(&client, &server, WHOLE);
    check_failure(&server, 0x16d, "transport parameters");
    end_hello(&sides);
}

static void a_client_hello_without_alpn_is_refused(void)
{
    static const uint8_t find[] = {0x00, 16, 0x00, 5, 0x00, 3, 2, 'h', '3'};
    static const uint8_t put[] = {0x7a, 16, 0x00, 5, 0x00, 3, 2, 'h', '3'};
    struct sides sides;

    replace(begin_hello(&sides), find, put, sizeof(find));
    tls_deliver(&client, &server, WHOLE);
    check_failure(&server, 0x178, "ALPN");
    end_hello(&sides);
}

static void a_client_hello_in_compatibility_mode_is_refused(void)
{
    enum {
        AT = 4 + 2 + 32 /* length of legacy_session_id */
    };
    struct sides sides;
    struct tls_wire *wire = begin_hello(&sides);

    memmove(wire->bytes + AT + 33, wire->bytes + AT + 1, wire->size - AT - 1);
    memset(wire->bytes + AT + 1, 7, 32);
    CU_ASSERT_EQUAL(wire->bytes[AT], 0);
    wire->bytes[AT] = 32;
    wire->size += 32;
    wire->bytes[2] = (uint8_t)((wire->size - 4) >> 8);
    wire->bytes[3] = (uint8_t)(wire->size - 4);
    tls_deliver(&client, &server, WHOLE);
    check_failure(&server, MR_PROTOCOL_VIOLATION, "compatibility");
    end_hello(&sides);
}

static void garbage_is_refused_and_the_handshake_stays_failed(void)
{
    static const uint8_t garbage[] = {1, 0, 0, 4, 9, 9, 9, 9};
    struct sides sides;

    begin_hello(&sides);
    tls_end_run(&server, MR_LEVEL_INITIAL, garbage, sizeof(garbage));
    CU_ASSERT(server.is_failed);
    CU_ASSERT(server.error >= 0x100);
    CU_ASSERT(server.error < 0x200);
    server.is_failed = false;
    tls_end_run(&server, MR_LEVEL_INITIAL, garbage, sizeof(garbage));
    CU_ASSERT(server.is_failed);
    end_hello(&sides);
}

static void a_huge_client_hello_is_refused_by_its_header(void)
{
    static const uint8_t header[] = {1, 0, 0x40, 0x01};
    struct sides sides;

    begin_hello(&sides);
    tls_end_run(&server, MR_LEVEL_INITIAL, header, 3);
    CU_ASSERT_FALSE(server.is_failed);
    tls_end_run(&server, MR_LEVEL_INITIAL, header + 3, 1);
    check_failure(&server, MR_CRYPTO_BUFFER_EXCEEDED, "too large");
    end_hello(&sides);
}

/* ------------------------------------------------------------------ levels, RFC 9001,
 * Section 4.1.3 */

static void bytes_behind_the_client_hello_are_a_protocol_violation(void)
{
    static const uint8_t next[] = {1, 0};

    for (size_t extra = 1; extra <= sizeof(next); extra++) {
        struct sides sides;
        struct tls_wire *wire = begin_hello(&sides);

        memcpy(wire->bytes + wire->size, next, extra);
        wire->size += extra;
        tls_deliver(&client, &server, WHOLE);
        check_failure(&server, MR_PROTOCOL_VIOLATION, "level");
        end_hello(&sides);
    }
}

static void bytes_of_a_level_that_is_over_are_a_protocol_violation(void)
{
    static const uint8_t more[] = {1, 0, 0, 0};
    struct sides sides;

    begin_hello(&sides);
    tls_deliver(&client, &server, WHOLE);
    CU_ASSERT_FALSE(server.is_failed);
    tls_end_run(&server, MR_LEVEL_INITIAL, more, sizeof(more));
    check_failure(&server, MR_PROTOCOL_VIOLATION, "level");
    end_hello(&sides);
}

/* Messages of the handshake level that arrive unprotected must not be taken for the real ones. */
static void a_server_flight_at_one_level_is_a_protocol_violation(void)
{
    struct sides sides;

    begin_hello(&sides);
    tls_deliver(&client, &server, WHOLE);
    struct tls_wire *initial = &server.out[MR_LEVEL_INITIAL];
    struct tls_wire *handshake = &server.out[MR_LEVEL_HANDSHAKE];

    memcpy(initial->bytes + initial->size, handshake->bytes, handshake->size);
    initial->size += handshake->size;
    handshake->size = 0;
    tls_deliver(&server, &client, WHOLE);
    check_failure(&client, MR_PROTOCOL_VIOLATION, "level");
    CU_ASSERT_FALSE(client.is_complete);
    end_hello(&sides);
}

static void bytes_of_a_level_to_come_are_a_protocol_violation(void)
{
    static const enum mr_level levels[] = {MR_LEVEL_EARLY, MR_LEVEL_HANDSHAKE, MR_LEVEL_APP};

    for (size_t i = 0; i < MR_COUNT_OF(levels); i++) {
        struct sides sides;
        struct tls_wire *wire = begin_hello(&sides);

        tls_end_run(&server, levels[i], wire->bytes, wire->size);
        check_failure(&server, MR_PROTOCOL_VIOLATION, "level");
        end_hello(&sides);
    }
}

static void a_job_takes_bytes_of_one_level_up_to_its_size(void)
{
    static uint8_t bytes[MR_TLS_INPUT_MAX + 1];
    struct mr_tls_job *job = &tls_pair_job;
    struct mr_tls tls = {.ssl = NULL};

    mr_tls_job_prepare(job, &tls);
    CU_ASSERT_EQUAL(mr_tls_job_input(job, MR_LEVEL_INITIAL, bytes, 100), 100);
    CU_ASSERT_EQUAL(mr_tls_job_input(job, MR_LEVEL_HANDSHAKE, bytes, 100), 0);
    CU_ASSERT_EQUAL(mr_tls_job_input(job, MR_LEVEL_INITIAL, bytes, sizeof(bytes)),
                    MR_TLS_INPUT_MAX - 100);
    CU_ASSERT_EQUAL(mr_tls_job_input(job, MR_LEVEL_INITIAL, bytes, 1), 0);
}

/* ------------------------------------------------------------------ forbidden messages */

static void key_update_and_end_of_early_data_are_errors_at_any_time(void)
{
    static const uint8_t key_update[] = {24, 0, 0, 1, 0};
    static const uint8_t end_of_early_data[] = {5, 0, 0, 0};
    struct sides sides;

    begin_hello(&sides);
    tls_deliver(&client, &server, WHOLE);
    tls_end_run(&server, MR_LEVEL_HANDSHAKE, key_update, sizeof(key_update));
    check_failure(&server, 0x10a, "KeyUpdate");
    end_hello(&sides);

    begin_hello(&sides);
    tls_deliver(&client, &server, WHOLE);
    tls_end_run(&server, MR_LEVEL_HANDSHAKE, end_of_early_data, sizeof(end_of_early_data));
    check_failure(&server, MR_PROTOCOL_VIOLATION, "EndOfEarlyData");
    end_hello(&sides);
}

/* Talk to the end, but keep both alive. */
static void talk(struct sides *sides, const struct plan *plan)
{
    sides_open(sides, plan);
    start(sides, plan);
    tls_pair_talk(&client, &server, WHOLE);
    CU_ASSERT(client.is_complete);
    CU_ASSERT(server.is_complete);
}

static void after_the_handshake_only_tickets_are_taken(void)
{
    static const struct {
        uint8_t message[6];
        size_t size;
        uint64_t error;
    } cases[] = {
        {{24, 0, 0, 1, 0}, 5, 0x10a},
        {{13, 0, 0, 2, 0, 0}, 6, MR_PROTOCOL_VIOLATION},
        {{20, 0, 0, 0}, 4, 0x10a},
        {{1, 0, 0, 0}, 4, 0x10a},
    };

    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        struct mr_tls_late late = {.message = {0}};
        struct sides sides;

        talk(&sides, &(struct plan){.tickets = 0});
        tls_end_run(&client, MR_LEVEL_APP, cases[i].message, cases[i].size);
        check_failure(&client, cases[i].error, "");
        end_hello(&sides);
        CU_ASSERT_EQUAL(mr_tls_late_error(&late, MR_CLIENT, cases[i].message, 1), cases[i].error);
    }
}

static void a_server_takes_nothing_after_the_handshake(void)
{
    static const uint8_t ticket[] = {4, 0, 0, 0};
    struct mr_tls_late late = {.message = {0}};
    struct sides sides;

    talk(&sides, &(struct plan){.tickets = 1});
    tls_end_run(&server, MR_LEVEL_APP, ticket, sizeof(ticket));
    check_failure(&server, 0x10a, "after its last");
    end_hello(&sides);
    CU_ASSERT_EQUAL(mr_tls_late_error(&late, MR_SERVER, ticket, 1), 0x10a);
    CU_ASSERT_EQUAL(mr_tls_late_error(&late, MR_SERVER, ticket, 0), 0);
}

static void tickets_may_be_cut_anywhere_when_nobody_listens_any_more(void)
{
    static const uint8_t stream[] = {4, 0, 0, 3, 24, 24, 24, 4, 0, 0, 0, 4, 0, 1, 0};

    for (size_t piece = 1; piece <= sizeof(stream); piece++) {
        struct mr_tls_late late = {.message = {0}};
        static const uint8_t update = 24;

        for (size_t at = 0; at < sizeof(stream); at += piece)
            CU_ASSERT_EQUAL(mr_tls_late_error(&late, MR_CLIENT, stream + at,
                                              MR_MIN(piece, sizeof(stream) - at)),
                            0);
        CU_ASSERT_EQUAL(late.message.body_left, 256);
        for (int i = 0; i < 256; i++)
            CU_ASSERT_EQUAL(mr_tls_late_error(&late, MR_CLIENT, &update, 1), 0);
        CU_ASSERT_EQUAL(mr_tls_late_error(&late, MR_CLIENT, &update, 1), 0x10a);
    }
}

/* ------------------------------------------------------------------ life cycle */

static void bad_options_do_not_start(void)
{
    const struct plan plan = {.tickets = 0};
    struct sides sides;
    struct mr_tls tls;
    static char long_name[400];
    struct mr_tls_client_options options = {
        .server_name = "localhost",
        .alpn = h3,
        .alpn_size = sizeof(h3),
        .params = client_params,
        .params_size = sizeof(client_params),
    };

    sides_open(&sides, &plan);
    options.alpn_size = 0;
    CU_ASSERT_FALSE(mr_tls_start_client(&tls, &sides.client, &options));
    options.alpn_size = 2; /* a name longer than the list */
    CU_ASSERT_FALSE(mr_tls_start_client(&tls, &sides.client, &options));
    options.alpn_size = sizeof(h3);
    memset(long_name, 'a', sizeof(long_name) - 1);
    options.server_name = long_name;
    CU_ASSERT_FALSE(mr_tls_start_client(&tls, &sides.client, &options));
    CU_ASSERT_PTR_NULL(tls.ssl);
    mr_tls_free(&tls);
    mr_tls_free(&tls);
    sides_close(&sides);
}

static void a_wiped_job_holds_no_secrets(void)
{
    static const struct mr_tls_secret no_secrets[MR_TLS_SECRETS_MAX];

    shake_alone(&(struct plan){.has_keylog = true});
    CU_ASSERT_EQUAL(memcmp(tls_pair_job.secrets, no_secrets, sizeof(no_secrets)), 0);
    CU_ASSERT_EQUAL(tls_pair_job.keylog[0], 0);
}

static CU_TestInfo tests[] = {
    {"both ends agree with every cipher", both_ends_agree_with_every_cipher},
    {"pieces of any size give the same handshake", pieces_of_any_size_give_the_same_handshake},
    {"a client without ticket is not done", a_client_without_ticket_is_not_done},
    {"the server chooses the protocol it likes best",
     the_server_chooses_the_protocol_it_likes_best},
    {"a post-quantum ClientHello spans packets and completes",
     a_post_quantum_client_hello_spans_packets_and_completes},
    {"a HelloRetryRequest leads to success", a_hello_retry_request_leads_to_success},
    {"key logs of both ends have the same lines", key_logs_of_both_ends_have_the_same_lines},
    {"a ticket resumes and resumes again", a_ticket_resumes_and_resumes_again},
    {"a ticket remembers transport parameters", a_ticket_remembers_transport_parameters},
    {"a ticket is for one name only", a_ticket_is_for_one_name_only},
    {"a ticket from an unchecked server is not used for a checked one",
     a_ticket_from_an_unchecked_server_is_not_used_for_a_checked_one},
    {"a damaged ticket is ignored", a_damaged_ticket_is_ignored},
    {"early data is accepted and its secret shared", early_data_is_accepted_and_its_secret_shared},
    {"early data uses the cipher of the ticket", early_data_uses_the_cipher_of_the_ticket},
    {"a server may reject early data", a_server_may_reject_early_data},
    {"names of the certificate are accepted", names_of_the_certificate_are_accepted},
    {"other names are refused in clear words", other_names_are_refused_in_clear_words},
    {"certificates out of date are refused in clear words",
     certificates_out_of_date_are_refused_in_clear_words},
    {"an unknown issuer is refused unless insecure", an_unknown_issuer_is_refused_unless_insecure},
    {"no common protocol is answered with its alert",
     no_common_protocol_is_answered_with_its_alert},
    {"no common group or cipher is a handshake failure",
     no_common_group_or_cipher_is_a_handshake_failure},
    {"a ClientHello without transport parameters is refused",
     a_client_hello_without_transport_parameters_is_refused},
    {"a ClientHello without ALPN is refused", a_client_hello_without_alpn_is_refused},
    {"a ClientHello in compatibility mode is refused",
     a_client_hello_in_compatibility_mode_is_refused},
    {"garbage is refused and the handshake stays failed",
     garbage_is_refused_and_the_handshake_stays_failed},
    {"a huge ClientHello is refused by its header", a_huge_client_hello_is_refused_by_its_header},
    {"bytes behind the ClientHello are a protocol violation",
     bytes_behind_the_client_hello_are_a_protocol_violation},
    {"bytes of a level that is over are a protocol violation",
     bytes_of_a_level_that_is_over_are_a_protocol_violation},
    {"a server flight at one level is a protocol violation",
     a_server_flight_at_one_level_is_a_protocol_violation},
    {"bytes of a level to come are a protocol violation",
     bytes_of_a_level_to_come_are_a_protocol_violation},
    {"a job takes bytes of one level up to its size",
     a_job_takes_bytes_of_one_level_up_to_its_size},
    {"KeyUpdate and EndOfEarlyData are errors at any time",
     key_update_and_end_of_early_data_are_errors_at_any_time},
    {"after the handshake only tickets are taken", after_the_handshake_only_tickets_are_taken},
    {"a server takes nothing after the handshake", a_server_takes_nothing_after_the_handshake},
    {"tickets may be cut anywhere when nobody listens any more",
     tickets_may_be_cut_anywhere_when_nobody_listens_any_more},
    {"bad options do not start", bad_options_do_not_start},
    {"a wiped job holds no secrets", a_wiped_job_holds_no_secrets},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/tls", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
