/* Tests of quic/tls.h: handshakes through jobs alone, resumption, 0-RTT. */
#include "quic/tls.h"

#include <malloc.h>

#include "base/random.h"
#include "control/early_data.h"
#include "control/tls_seeded.h"
#include "tests/unit/tls_plan.h"

/* ------------------------------------------------------------------ success */

/* RFC 9001, Section 5.3: "A cipher suite MUST NOT be negotiated unless a header protection scheme
 * is defined for the cipher suite." */
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

/* "The "extension_data" field of the ("application_layer_protocol_negotiation(16)") extension SHALL
 * contain a "ProtocolNameList" value." (RFC 7301, Section 3.1)  "... same as described above for
 * the client "extension_data", except that the "ProtocolNameList" MUST contain exactly one
 * "ProtocolName"." (RFC 7301, Section 3.1)  "The protocol identified in the
 * "application_layer_protocol_negotiation" extension type in the ServerHello SHALL be definitive
 * for the connection, until renegotiated." (RFC 7301, Section 3.2)  "The server SHALL NOT respond
 * with a selected protocol and subsequently use a different protocol for application data
 * exchange." (RFC 7301, Section 3.2)
 * RFC 9001, Section 8.1: "Servers MUST select an application protocol compatible with the QUIC
 * version that the client has selected." */
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

/* msquic CVE-2024-26190: transport parameters come with each ClientHello, and HelloRetryRequest
 * asks for two.  (A sanitizer's leak check sees it, too; its malloc does not tell.) */
static void many_hello_retry_requests_cost_no_memory(void)
{
    const struct plan plan = {.client_groups = "P-256:X25519", .server_groups = "X25519"};
    struct sides sides;
    size_t before = 0;

    sides_open(&sides, &plan);
    for (int i = 0; i < 150; i++) {
        if (i == 50)
            before = mallinfo2().uordblks;
        shake(&sides, &plan);
    }
    check_success(MR_CIPHER_AES_128_GCM);
    CU_ASSERT(mallinfo2().uordblks < before + 16384);
    sides_close(&sides);
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
    plan.ticket_size = ticket.size;
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
    static const char *const others[] = {"www.example.com", "127.0.0.1" /* as long */};
    for (size_t i = 0; i < MR_COUNT_OF(others); i++) {
        plan = (struct plan){.name = others[i], .ticket = ticket.bytes, .ticket_size = ticket.size};
        shake(&sides, &plan);
        check_success(MR_CIPHER_AES_128_GCM);
        CU_ASSERT_FALSE(client.is_resumed);
    }
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

/* A handshake that gives a ticket, with a register as `first` says, then one with it and everything
 * as `change` says. */
static void resume_changed(struct sides *sides, void (*first)(struct sides *, struct plan *),
                           void (*change)(struct sides *, struct plan *))
{
    struct plan plan = {
        .tickets = 1, .has_early_client = true, .has_early_server = true, .version = MR_VERSION_1};
    static struct ticket ticket;

    sides_open(sides, &plan);
    first(sides, &plan);
    shake(sides, &plan);
    take_ticket(&ticket);
    plan.ticket = ticket.bytes;
    plan.ticket_size = ticket.size;
    change(sides, &plan);
    shake(sides, &plan);
    CU_ASSERT_TRUE(client.is_complete && server.is_complete);
    sides_close(sides);
}

static void change_nothing(struct sides *sides, struct plan *plan)
{
    (void)sides;
    (void)plan;
}

static void change_tag(struct sides *sides, struct plan *plan)
{
    (void)sides;
    plan->early_tag = 77;
}

static void change_wish(struct sides *sides, struct plan *plan)
{
    (void)sides;
    plan->refuses_early = true;
}

/* The register's clock.  The time of day stands still meanwhile, or was set back, as it were. */
static uint64_t register_ns;
static uint64_t register_step_ns; /* that each look at it takes */

static uint64_t register_clock(void)
{
    register_ns += register_step_ns;
    return register_ns;
}

static struct mr_replay replay;
static _Alignas(64) _Atomic uint64_t replay_slots[MR_REPLAY_SIZE_LEAST];

static void set_register(struct mr_tls_context *context, uint64_t key)
{
    memset((void *)replay_slots, 0, sizeof(replay_slots));
    mr_replay_init(&replay, (void *)replay_slots, 1, &(struct mr_siphash_key){key, 2});
    context->replay = &replay;
    context->clock = register_clock;
    register_ns = 10 * MR_REPLAY_WINDOW_NS;
    register_step_ns = 0;
}

static void add_register(struct sides *sides, struct plan *plan)
{
    (void)plan;
    set_register(&sides->server, 1);
}

/* The server is another process, with the same ticket keys, that has run for long. */
static void change_instance(struct sides *sides, struct plan *plan)
{
    (void)plan;
    set_register(&sides->server, 3);
}

static void hold_up(struct sides *sides, struct plan *plan)
{
    (void)sides;
    (void)plan;
    register_step_ns = UINT64_C(1000000001);
}

static void change_protocols(struct sides *sides, struct plan *plan)
{
    static const uint8_t two[] = {2, 'h', '3', 4, 'p', 'e', 'r', 'f'};

    (void)sides;
    plan->alpn = two;
    plan->alpn_size = sizeof(two);
}

/* RFC 8446, Section 4.2.10: "A TLS implementation MUST NOT automatically resend early data unless
 * the negotiated connection selects the same ALPN protocol." */
static void a_choice_of_protocols_sends_nothing_early(void)
{
    struct sides sides;

    resume_changed(&sides, change_nothing, change_protocols);
    CU_ASSERT(client.is_resumed);
    CU_ASSERT_EQUAL(client.early, MR_EARLY_NONE);
    CU_ASSERT_EQUAL(client.secrets[MR_LEVEL_EARLY][1].size, 0);
}

/* RFC 9000, Section 7.4.1; RFC 8446, Section 8.  "A server MUST NOT act on early data before the
 * handshake completes if it and any other server instance could make a different decision about how
 * to handle the same data." (RFC 8470, Section 6.2)  "The server MUST derive the storage key only
 * from validated sections of the ClientHello." (RFC 8446, Section 8.2)  "In addition, to avoid
 * accidental misuse, TLS implementations MUST NOT enable 0-RTT (either sending or accepting) unless
 * specifically requested by the application ..." (RFC 8446, Section E.5) */
static void a_server_takes_early_data_only_as_it_may(void)
{
    struct sides sides;

    resume_changed(&sides, change_nothing, change_nothing);
    CU_ASSERT_EQUAL(server.early, MR_EARLY_ACCEPTED);
    resume_changed(&sides, change_nothing, change_tag); /* its limits are others */
    CU_ASSERT_EQUAL(client.early, MR_EARLY_REJECTED);
    CU_ASSERT(client.is_resumed);
    resume_changed(&sides, change_nothing, change_wish);
    CU_ASSERT_EQUAL(client.early, MR_EARLY_NONE);
    CU_ASSERT_EQUAL(client.secrets[MR_LEVEL_EARLY][1].size, 0);
    CU_ASSERT(client.is_resumed);
    resume_changed(&sides, add_register, change_nothing);
    CU_ASSERT_EQUAL(client.early, MR_EARLY_ACCEPTED);
    CU_ASSERT_EQUAL(mr_replay_count(&replay, MR_REPLAY_FIRST), 1);
    resume_changed(&sides, change_nothing, add_register); /* a ticket that names no instance */
    CU_ASSERT_EQUAL(client.early, MR_EARLY_REJECTED);
    CU_ASSERT_EQUAL(mr_replay_count(&replay, MR_REPLAY_FOREIGN), 1);
}

/* Two processes that share ticket keys, however long each has run, or one after a restart.  It
 * costs a client one round trip once: the ticket that it gets meanwhile is as good as the one
 * before was. RFC 8446, Section 8: "The server MUST ensure that any instance of it (be it a
 * machine, a thread, or any other entity within the relevant serving infrastructure) would accept
 * 0-RTT for the same 0-RTT handshake at most once; this limits the number of replays to the number
 * of server instances in the deployment." */
static void a_ticket_of_another_instance_gives_no_early_data(void)
{
    struct plan plan = {.tickets = 1, .has_early_client = true, .has_early_server = true};
    static struct ticket ticket;
    struct sides sides;

    sides_open(&sides, &plan);
    add_register(&sides, &plan);
    shake(&sides, &plan);
    change_instance(&sides, &plan);
    for (uint64_t i = 0; i < 3; i++) {
        take_ticket(&ticket);
        plan.ticket = ticket.bytes;
        plan.ticket_size = ticket.size;
        shake(&sides, &plan);
        CU_ASSERT(client.is_resumed);
        CU_ASSERT_EQUAL(client.early, i == 0 ? MR_EARLY_REJECTED : MR_EARLY_ACCEPTED);
        CU_ASSERT_EQUAL(mr_replay_count(&replay, MR_REPLAY_FOREIGN), 1);
        CU_ASSERT_EQUAL(mr_replay_count(&replay, MR_REPLAY_FIRST), i);
    }
    sides_close(&sides);
}

/* A thread that is held up between both looks takes nothing: what it looks for may be forgotten. */
static void who_is_held_up_takes_no_early_data(void)
{
    struct sides sides;

    resume_changed(&sides, add_register, hold_up);
    CU_ASSERT_EQUAL(client.early, MR_EARLY_REJECTED);
    CU_ASSERT(client.is_resumed);
    CU_ASSERT_EQUAL(mr_replay_count(&replay, MR_REPLAY_FIRST), 0);
}

/* Processes draw their own instances. */
static void each_register_is_an_instance_of_its_own(void)
{
    struct mr_fault fault;
    struct mr_replay *one = mr_early_data_make(1, &fault);
    struct mr_replay *two = mr_early_data_make(1, &fault);

    CU_ASSERT_PTR_NOT_NULL_FATAL(one);
    CU_ASSERT_PTR_NOT_NULL_FATAL(two);
    CU_ASSERT_NOT_EQUAL(mr_replay_instance(one), mr_replay_instance(two));
    CU_ASSERT_NOT_EQUAL(mr_replay_instance(one), 0); /* of tickets that were made without one */
    mr_early_data_free(one);
    mr_early_data_free(two);
}

/* A client's first flight with 0-RTT, by a ticket of the server's instance. */
static void begin_with_a_first_flight(struct sides *sides, struct tls_wire *hello_out)
{
    struct plan plan = {.tickets = 1, .has_early_client = true, .has_early_server = true};
    static struct ticket ticket;

    sides_open(sides, &plan);
    add_register(sides, &plan);
    shake(sides, &plan);
    take_ticket(&ticket);
    plan.ticket = ticket.bytes;
    plan.ticket_size = ticket.size;
    start(sides, &plan);
    tls_end_run(&client, MR_LEVEL_INITIAL, NULL, 0);
    *hello_out = client.out[MR_LEVEL_INITIAL];
    tls_pair_free(&client, &server);
}

/* What a server says of 0-RTT that gets this flight. */
static enum mr_tls_early early_of(struct sides *sides, const struct tls_wire *hello)
{
    memset(&server, 0, sizeof(server));
    CU_ASSERT_FATAL(
        mr_tls_start_server(&server.tls, &sides->server, server_params, sizeof(server_params)));
    tls_end_run(&server, MR_LEVEL_INITIAL, hello->bytes, hello->size);
    CU_ASSERT_EQUAL(server.secrets[MR_LEVEL_EARLY][0].size != 0, server.early == MR_EARLY_ACCEPTED);
    mr_tls_free(&server.tls);
    return server.early;
}

/* A copy of a client's first flight: the second time there is no 0-RTT.  "Servers MAY also
 * implement data stores with false positives, such as Bloom filters, in which case they MUST
 * respond to apparent replay by rejecting 0-RTT but MUST NOT abort the handshake." (RFC 8446,
 * Section 8.2) */
static void a_copied_first_flight_gives_early_data_once(void)
{
    struct sides sides;
    struct tls_wire hello;

    begin_with_a_first_flight(&sides, &hello);
    for (int i = 0; i < 5; i++)
        CU_ASSERT_EQUAL(early_of(&sides, &hello), i == 0 ? MR_EARLY_ACCEPTED : MR_EARLY_REJECTED);
    CU_ASSERT_EQUAL(mr_replay_count(&replay, MR_REPLAY_SEEN), 4);
    sides_close(&sides);
}

/* The time of day is set back by as much as passes: a copy is as old as it is all the same, and
 * is in the register or too old, at any time (RFC 8446, Section 8.3). */
static void a_clock_that_is_set_back_makes_no_copy_fresh(void)
{
    struct sides sides;
    struct tls_wire hello;

    begin_with_a_first_flight(&sides, &hello);
    CU_ASSERT_EQUAL(early_of(&sides, &hello), MR_EARLY_ACCEPTED);
    for (int i = 0; i < 30; i++) {
        register_ns += MR_REPLAY_WINDOW_NS / 9;
        CU_ASSERT_EQUAL(early_of(&sides, &hello), MR_EARLY_REJECTED);
    }
    CU_ASSERT_EQUAL(mr_replay_count(&replay, MR_REPLAY_FIRST), 1);
    CU_ASSERT_TRUE(mr_replay_count(&replay, MR_REPLAY_SEEN) >= 6); /* until it is 10 s old */
    CU_ASSERT_TRUE(mr_replay_count(&replay, MR_REPLAY_SEEN) <= 8);
    sides_close(&sides);
}

/* RFC 9369, Section 5: "Clients MUST NOT use a session ticket or token from a QUIC version 1
 * connection to initiate a QUIC version 2 connection, and vice versa." "Servers MUST validate the
 * originating version of any session ticket". */
static void a_ticket_is_of_one_version(void)
{
    struct plan plan = {.tickets = 1, .version = MR_VERSION_1};
    static struct ticket ticket;
    struct sides sides;

    sides_open(&sides, &plan);
    shake(&sides, &plan);
    take_ticket(&ticket);
    CU_ASSERT_EQUAL(mr_tls_ticket_version(ticket.bytes, ticket.size), MR_VERSION_1);
    plan.ticket = ticket.bytes;
    plan.ticket_size = ticket.size;
    shake(&sides, &plan);
    CU_ASSERT(client.is_resumed);
    plan.version = MR_VERSION_2;
    shake(&sides, &plan);
    CU_ASSERT_FALSE(client.is_resumed);
    plan.version = MR_VERSION_1;
    start(&sides, &plan);
    server.tls.version = MR_VERSION_2;
    tls_pair_talk(&client, &server, WHOLE);
    CU_ASSERT(client.is_complete);
    CU_ASSERT_FALSE(client.is_resumed);
    tls_pair_free(&client, &server);
    sides_close(&sides);
}

/* The second ClientHello goes out as an Initial, although 0-RTT keys are there. */
static void a_hello_retry_request_rejects_early_data(void)
{
    struct plan plan = {.tickets = 1,
                        .client_groups = "X25519:P-256",
                        .has_early_client = true,
                        .has_early_server = true};
    static struct ticket ticket;
    struct sides sides;

    sides_open(&sides, &plan);
    shake(&sides, &plan);
    take_ticket(&ticket);
    sides_close(&sides);
    plan.ticket = ticket.bytes;
    plan.ticket_size = ticket.size;
    plan.server_groups = "P-256"; /* the ticket keys are the same */
    sides_open(&sides, &plan);
    shake(&sides, &plan);
    check_success(MR_CIPHER_AES_128_GCM);
    CU_ASSERT(client.secrets[MR_LEVEL_EARLY][1].size > 0);
    CU_ASSERT_EQUAL(client.out[MR_LEVEL_EARLY].size, 0);
    CU_ASSERT_EQUAL(client.early, MR_EARLY_REJECTED);
    sides_close(&sides);
}

/* ------------------------------------------------------------------ simulations */

/* Bytes that two ends exchange, level by level. */
struct traffic {
    struct tls_wire wires[2][MR_LEVELS];
};

static void shake_seeded(uint64_t seed, struct traffic *traffic)
{
    static struct mr_certificate certificate;
    void *library = mr_tls_seeded_open(seed);
    const struct mr_certificate_options certificate_options = {.now_seconds = 1700000000,
                                                               .ends_in_seconds =
                                                                   INT64_C(86400) * 365 * 50,
                                                               .library = library};
    const struct mr_tls_server_config server_config = {
        .certificate = &certificate, .alpn = h3, .alpn_size = sizeof(h3), .library = library};
    const struct mr_tls_client_config client_config = {.ca_pem = certificate.certificate_pem,
                                                       .library = library};
    const struct plan plan = {.tickets = 0};
    struct mr_fault fault = {{0}};
    struct sides sides;

    CU_ASSERT_PTR_NOT_NULL_FATAL(library);
    CU_ASSERT_EQUAL_FATAL(mr_certificate_make(&certificate, &certificate_options, &fault), 0);
    CU_ASSERT_EQUAL_FATAL(mr_tls_context_server(&sides.server, &server_config, &fault), 0);
    CU_ASSERT_EQUAL_FATAL(mr_tls_context_client(&sides.client, &client_config, &fault), 0);
    shake(&sides, &plan);
    check_success(MR_CIPHER_AES_128_GCM);
    memcpy(traffic->wires[0], client.out, sizeof(client.out));
    memcpy(traffic->wires[1], server.out, sizeof(server.out));
    sides_close(&sides);
    mr_tls_seeded_close(library);
}

static bool is_same_traffic(const struct traffic *a, const struct traffic *b)
{
    for (int end = 0; end < 2; end++)
        for (int level = 0; level < MR_LEVELS; level++) {
            const struct tls_wire *x = &a->wires[end][level];
            const struct tls_wire *y = &b->wires[end][level];

            if (x->size != y->size || memcmp(x->bytes, y->bytes, x->size) != 0)
                return false;
        }
    return true;
}

static void one_seed_gives_one_handshake_to_the_byte(void)
{
    static struct traffic first;
    static struct traffic second;
    static struct traffic other;

    shake_seeded(1, &first);
    shake_seeded(1, &second);
    shake_seeded(2, &other);
    CU_ASSERT(is_same_traffic(&first, &second));
    CU_ASSERT_FALSE(is_same_traffic(&first, &other));
}

/* ------------------------------------------------------------------ life cycle */

/* "Empty strings MUST NOT be included and byte strings MUST NOT be truncated." (RFC 7301,
 * Section 3.1) */
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
    static const uint8_t with_empty[] = {2, 'h', '3', 0};
    options.alpn = with_empty;
    options.alpn_size = sizeof(with_empty);
    CU_ASSERT_FALSE(mr_tls_start_client(&tls, &sides.client, &options));
    options.alpn = h3;
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
    {"many HelloRetryRequests cost no memory", many_hello_retry_requests_cost_no_memory},
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
    {"a choice of protocols sends nothing early", a_choice_of_protocols_sends_nothing_early},
    {"a server takes early data only as it may", a_server_takes_early_data_only_as_it_may},
    {"a ticket of another instance gives no early data",
     a_ticket_of_another_instance_gives_no_early_data},
    {"who is held up takes no early data", who_is_held_up_takes_no_early_data},
    {"each register is an instance of its own", each_register_is_an_instance_of_its_own},
    {"a copied first flight gives early data once", a_copied_first_flight_gives_early_data_once},
    {"a clock that is set back makes no copy fresh", a_clock_that_is_set_back_makes_no_copy_fresh},
    {"a ticket is of one version", a_ticket_is_of_one_version},
    {"a HelloRetryRequest rejects early data", a_hello_retry_request_rejects_early_data},
    {"one seed gives one handshake to the byte", one_seed_gives_one_handshake_to_the_byte},
    {"bad options do not start", bad_options_do_not_start},
    {"a wiped job holds no secrets", a_wiped_job_holds_no_secrets},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/tls", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
