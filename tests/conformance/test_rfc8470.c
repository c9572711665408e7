/*
 * RFC 8470: requests in early data (0-RTT): what the server does with those that may be copies, and
 * that the client asks again.  Over a transport in memory, whose connections are told to be early;
 * then over two real endpoints and a ticket.  The sentences quoted are the RFC's.
 */
#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "http3/client_internal.h"
#include "http3/server_internal.h"
#include "tests/support/engine_world.h"
#include "tests/support/h3_cases.h"
#include "tests/support/h3_pair.h"
#include "tests/unit/harness.h"

/* ------------------------------------------------------------------ the server */

/* The status of a request with this method, and an Early-Data field if `early` is not NULL. */
static unsigned ask(struct raw_server_test *test, const char *method, const char *early)
{
    h3_begin_bytes();
    raw_put_field(&h3_section, ":method", method);
    raw_put_field(&h3_section, ":scheme", "https");
    raw_put_field(&h3_section, ":authority", "localhost");
    raw_put_field(&h3_section, ":path", "/a.txt");
    if (early != NULL)
        raw_put_field(&h3_section, "early-data", early);
    raw_put_headers(&h3_bytes, &h3_section);
    return raw_status(&test->raw.streams[h3_send_new(test, false, true)]);
}

static void set_early(struct raw_server_test *test, bool is_early)
{
    test->server->h3.all->is_early = is_early; /* as MR_EVENT_EARLY does */
}

/* Section 5.2: "A 425 (Too Early) status code indicates that the server is unwilling to risk
 * processing a request that might be replayed."  "A server SHOULD NOT emit the 425 status code
 * unless" it came in early data or has the field.  "The anti-replay mitigations in [HTTP-REPLAY]
 * MUST be applied when using HTTP/3 with 0-RTT." (RFC 9114, Section 10.9)  "Absent such explicit
 * information, origin servers MUST either reject early data or implement the techniques described
 * in this document for ensuring that requests are not processed prior to TLS handshake completion."
 * (Section 3)  "Once a server has decided to accept early data, it MUST process all requests in
 * early data, even if the server rejects the request by sending a 425 (Too Early) response."
 * (Section 3)  "The second class of attack cannot be prevented at the TLS layer and MUST be dealt
 * with by any application." (RFC 8446, Section 8) */
static void what_is_not_safe_is_refused_while_it_is_early(void)
{
    struct raw_server_test *test = h3_new_server();

    CU_ASSERT_EQUAL(ask(test, "POST", NULL), 405);
    set_early(test, true);
    CU_ASSERT_EQUAL(ask(test, "GET", NULL), 200);
    CU_ASSERT_EQUAL(ask(test, "HEAD", NULL), 200);
    CU_ASSERT_EQUAL(ask(test, "POST", NULL), 425);
    CU_ASSERT_EQUAL(ask(test, "DELETE", NULL), 425);
    set_early(test, false);
    CU_ASSERT_EQUAL(ask(test, "POST", NULL), 405);
    CU_ASSERT_EQUAL(mr_h3_server_counters(test->server)->requests_early, 4);
    raw_server_test_free(test);
}

/* Section 5.1: "A server cannot make a request that contains the Early-Data header field safe for
 * processing by waiting for the handshake to complete. ... Requests that contain the Early-Data
 * header field and cannot be safely processed MUST be rejected using the 425 (Too Early) status
 * code."  "Multiple or invalid instances of the header field MUST be treated as equivalent to a
 * single instance with a value of 1 by a server." */
static void the_field_says_that_another_hop_got_it_early(void)
{
    struct raw_server_test *test = h3_new_server();

    CU_ASSERT_EQUAL(ask(test, "POST", "1"), 425);
    CU_ASSERT_EQUAL(ask(test, "POST", "0"), 425);
    CU_ASSERT_EQUAL(ask(test, "POST", "nonsense"), 425);
    CU_ASSERT_EQUAL(ask(test, "GET", "1"), 200);
    h3_begin_bytes(); /* several of them */
    raw_put_field(&h3_section, ":method", "POST");
    raw_put_field(&h3_section, ":scheme", "https");
    raw_put_field(&h3_section, ":authority", "localhost");
    raw_put_field(&h3_section, ":path", "/a.txt");
    raw_put_field(&h3_section, "early-data", "0");
    raw_put_field(&h3_section, "early-data", "1");
    raw_put_headers(&h3_bytes, &h3_section);
    h3_expect_status(425);
    raw_server_test_free(test);
}

static uint32_t tunnels_asked;

static uint32_t on_tunnel(void *context, struct mr_http3_tunnel *tunnel,
                          const struct mr_http3_tunnel_request *request)
{
    (void)context;
    (void)tunnel;
    (void)request;
    tunnels_asked++;
    return 200;
}

static const struct mr_http3_tunnel_handlers tunnels = {.on_request = on_tunnel};

/* The status of an extended CONNECT. */
static unsigned ask_for_a_tunnel(struct raw_server_test *test)
{
    h3_begin_bytes();
    raw_put_field(&h3_section, ":method", "CONNECT");
    raw_put_field(&h3_section, ":protocol", "test");
    raw_put_field(&h3_section, ":scheme", "https");
    raw_put_field(&h3_section, ":authority", "localhost");
    raw_put_field(&h3_section, ":path", "/");
    raw_put_headers(&h3_bytes, &h3_section);
    return raw_status(&test->raw.streams[h3_send_new(test, false, false)]);
}

/* Section 3: "Absent such explicit information, origin servers MUST either reject early data or
 * implement the techniques described in this document for ensuring that requests are not processed
 * prior to TLS handshake completion." */
static void a_server_may_refuse_all_of_it(void)
{
    struct mr_h3_server_config config = mr_h3_server_config_default(4);

    tunnels_asked = 0;
    config.refuses_early = true;
    config.tunnels = &tunnels;
    config.tunnels_max = 4;
    struct raw_server_test *test = raw_server_test_new(&config, NULL);
    CU_ASSERT_EQUAL(ask(test, "GET", NULL), 200);
    set_early(test, true);
    CU_ASSERT_EQUAL(ask(test, "GET", NULL), 425);
    CU_ASSERT_EQUAL(ask(test, "HEAD", NULL), 425);
    CU_ASSERT_EQUAL(ask_for_a_tunnel(test), 425);
    CU_ASSERT_EQUAL(tunnels_asked, 0); /* the application heard nothing of it */
    set_early(test, false);
    CU_ASSERT_EQUAL(ask_for_a_tunnel(test), 200);
    CU_ASSERT_EQUAL(tunnels_asked, 1);
    CU_ASSERT_EQUAL(ask(test, "GET", NULL), 200);
    raw_server_test_free(test);
}

/* ------------------------------------------------------------------ both, over the engine */

struct world {
    struct h3_pair *pair;
    struct engine_world *engine;
    uint8_t ticket[4096];
    size_t ticket_size;
};

static void begin(struct world *w, bool refuses_early)
{
    const struct engine_options options = {.has_early_data = true};

    *w = (struct world){.pair = h3_pair_new()};
    struct mr_h3_server_config config = h3_pair_server_config(w->pair);
    config.refuses_early = refuses_early;
    h3_pair_write_text(w->pair, "file", "content");
    h3_pair_make(w->pair, &config);
    w->engine = engine_world_new(&options, mr_h3_client_application(w->pair->client),
                                 mr_h3_server_application(w->pair->server));
}

static void connect_them(struct world *w)
{
    struct mr_connect_options options = {.remote = engine_world_server(),
                                         .server_name = "localhost",
                                         .is_early = w->ticket_size > 0,
                                         .ticket = w->ticket_size > 0 ? w->ticket : NULL,
                                         .ticket_size = w->ticket_size};

    CU_ASSERT_EQUAL_FATAL(mr_h3_client_connect(w->pair->client, &options, 0, &w->pair->conn), 0);
}

static struct h3_fetch *fetch(struct world *w)
{
    const struct mr_h3_request_options options = {.authority = "localhost", .path = "/file"};

    return h3_pair_begin(w->pair, &options);
}

/* A first connection, for its ticket. */
static void get_ticket(struct world *w)
{
    connect_them(w);
    struct h3_fetch *first = fetch(w);
    engine_world_run(w->engine, MR_SECOND);
    CU_ASSERT_EQUAL(first->result.status, 200);
    int64_t size =
        mr_h3_client_ticket(w->pair->client, w->pair->conn, w->ticket, sizeof(w->ticket));
    CU_ASSERT_FATAL(size > 0);
    w->ticket_size = (size_t)size;
    CU_ASSERT_EQUAL(mr_h3_client_close(w->pair->client, w->pair->conn), 0);
    engine_world_run(w->engine, MR_SECOND);
}

static void end(struct world *w)
{
    engine_world_free(w->engine);
    h3_pair_free(w->pair);
}

/* Section 4: "clients MAY send requests with safe HTTP methods ... in early data when it is
 * available"  "A client MUST comply with stored settings -- or default values if no values are
 * stored -- when attempting 0-RTT." (RFC 9114, Section 7.2.4.2)  "Absent other information, clients
 * MAY send requests with safe HTTP methods ([RFC7231], Section 4.2.1) in early data when it is
 * available and MUST NOT send unsafe methods (or methods whose safety is not known) in early data."
 * (Section 4)  "Therefore, in normal operation, clients will not know which, if any, of these
 * mechanisms servers actually implement and hence MUST only send early data which they deem safe to
 * be replayed." (RFC 8446, Section 8)  "Because clients do not know the exact details of server
 * behavior, they MUST NOT send messages in early data which are not safe to have replayed and which
 * they would not be willing to retry across multiple 1-RTT connections." (RFC 8446, Section E.5) */
static void a_get_goes_in_early_data_and_is_answered(void)
{
    struct world w;

    begin(&w, false);
    get_ticket(&w);
    CU_ASSERT_EQUAL(h3_pair_counter(w.pair, requests_early), 0);
    connect_them(&w);
    struct h3_fetch *early = fetch(&w);
    engine_world_run(w.engine, MR_SECOND);
    CU_ASSERT_EQUAL(early->result.outcome, MR_H3_DONE);
    CU_ASSERT_EQUAL(early->result.status, 200);
    CU_ASSERT_EQUAL(early->body_size, 7);
    CU_ASSERT_EQUAL(h3_pair_counter(w.pair, requests_early), 1);
    struct h3_fetch *late = fetch(&w); /* the same connection, confirmed by now */
    engine_world_run(w.engine, MR_SECOND);
    CU_ASSERT_EQUAL(late->result.status, 200);
    CU_ASSERT_EQUAL(h3_pair_counter(w.pair, requests_early), 1);
    end(&w);
}

/* Section 4: "Clients that use early data MUST retry requests upon receipt of a 425 (Too Early)
 * status code"; Section 5.2: "any retries MUST NOT be sent in early data." */
static void what_is_too_early_is_asked_again_after_the_handshake(void)
{
    struct world w;

    begin(&w, true);
    get_ticket(&w);
    connect_them(&w);
    struct h3_fetch *fetches[3];
    for (int i = 0; i < 3; i++)
        fetches[i] = fetch(&w);
    engine_world_run(w.engine, MR_SECOND);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(fetches[i]->result.outcome, MR_H3_DONE);
        CU_ASSERT_EQUAL(fetches[i]->result.status, 200);
        CU_ASSERT_EQUAL(fetches[i]->headers, 1); /* of 425 nothing is told */
        CU_ASSERT_EQUAL(fetches[i]->body_size, 7);
    }
    CU_ASSERT_EQUAL(h3_pair_counter(w.pair, requests_early), 3);
    CU_ASSERT_EQUAL(h3_pair_counter(w.pair, responses_200), 4);
    CU_ASSERT_EQUAL(mr_h3_client_counters(w.pair->client)->requests_retried, 3);
    end(&w);
}

/* RFC 9114, Section 7.2.4.2: "If the server cannot determine that the settings remembered by a
 * client are compatible with its current settings, it MUST NOT accept 0-RTT data."  RFC 9204,
 * Section 3.2.3: "If the remembered value is non-zero, the server MUST send the same non-zero value
 * in its SETTINGS frame."  RFC 9297, Section 2.1.1: "When servers decide to accept 0-RTT data, they
 * MUST send a SETTINGS_H3_DATAGRAM setting greater than or equal to the value they sent to the
 * client in the connection where they sent them the NewSessionTicket message."  "If 0-RTT data is
 * accepted by the server, its SETTINGS frame MUST NOT reduce any limits or alter any values that
 * might be violated by the client with its 0-RTT data." (RFC 9114, Section 7.2.4.2) */
static void other_settings_than_the_tickets_take_no_early_data(void)
{
    static const struct mr_h3_limits limits[] = {
        {.field_section_max = 16384, .qpack_capacity = 4096},
        {.field_section_max = 16383, .qpack_capacity = 4096},
        {.field_section_max = 16384, .qpack_capacity = 4095},
        {.field_section_max = 16384, .qpack_capacity = 4096, .qpack_blocked_max = 1},
        {.field_section_max = 16384, .qpack_capacity = 4096, .has_tunnels = true},
    };
    struct world w;

    for (size_t i = 0; i < MR_COUNT_OF(limits); i++) {
        for (size_t j = 0; j < MR_COUNT_OF(limits); j++)
            CU_ASSERT_EQUAL(mr_h3_remembered(&limits[i]) == mr_h3_remembered(&limits[j]), i == j);
    }
    begin(&w, false);
    const struct mr_application *server = mr_h3_server_application(w.pair->server);
    CU_ASSERT_NOT_EQUAL(server->remembered, 0);
    get_ticket(&w);
    for (int other = 1; other >= 0; other--) { /* other settings, and those of the ticket again */
        engine_world_remember(w.engine, server->remembered + (uint64_t)other);
        connect_them(&w);
        struct h3_fetch *page = fetch(&w);
        engine_world_run(w.engine, MR_SECOND);
        CU_ASSERT_EQUAL(page->result.status, 200);
        CU_ASSERT_EQUAL(h3_pair_counter(w.pair, requests_early), 1 - (uint64_t)other);
        CU_ASSERT_EQUAL(mr_h3_client_close(w.pair->client, w.pair->conn), 0);
        engine_world_run(w.engine, MR_SECOND);
    }
    end(&w);
}

static CU_TestInfo tests[] = {
    {"what is not safe is refused while it is early",
     what_is_not_safe_is_refused_while_it_is_early},
    {"the field says that another hop got it early", the_field_says_that_another_hop_got_it_early},
    {"a server may refuse all of it", a_server_may_refuse_all_of_it},
    {"a GET goes in early data and is answered", a_get_goes_in_early_data_and_is_answered},
    {"other settings than the ticket's take no early data",
     other_settings_than_the_tickets_take_no_early_data},
    {"what is too early is asked again after the handshake",
     what_is_too_early_is_asked_again_after_the_handshake},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 8470", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
