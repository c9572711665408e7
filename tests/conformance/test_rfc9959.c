/*
 * tests/conformance/test_rfc9959.c - Careful Resume: a server begins with half of what the path of
 * the client's last connection carried.  The phases themselves: tests/unit/test_resume.c.
 */
#include <stdlib.h>

#include "quic/conn_resume.h"
#include "tests/support/peer_cases.h"
#include "tests/support/peer_internal.h"
#include "tests/support/saved_ticket.h"

#define C MR_CLIENT
#define S MR_SERVER

enum {
    SAVED = 160000, /* bytes */
    BYTES = 400000  /* that the server sends */
};

static const uint8_t data[BYTES];

struct ticket {
    size_t size;
    uint8_t bytes[MR_TLS_TICKET_MAX + MR_TOKEN_NEW_SIZE];
};

/* What the second connection begins with. */
struct past {
    struct mr_saved_path saved;
    uint64_t age_s;
    bool is_elsewhere; /* it was another address */
    bool is_off;
};

/* A first connection, for its ticket; `past` is put into its token. */
static void get_ticket(struct ticket *out, const struct past *past)
{
    struct peer *p = peer_new(&(struct peer_options){.under_test = C});
    struct ticket *plain = calloc(1, sizeof(*plain));
    int64_t size = 0;

    CU_ASSERT_PTR_NOT_NULL_FATAL(plain);
    peer_connect(p);
    for (int i = 0; i < 10 && size == 0; i++) {
        peer_round_trip(p);
        size = mr_conn_ticket(p->side[C].ep, p->conn, plain->bytes, sizeof(plain->bytes));
    }
    CU_ASSERT_TRUE_FATAL(size > 0);
    struct mr_addr client = peer_conn(p)->path.addr.local;
    if (past->is_elsewhere)
        client.ip[15]++;
    out->size = saved_ticket(p->side[S].ep, &client, &past->saved, past->age_s, plain->bytes,
                             (size_t)size, out->bytes, sizeof(out->bytes), p->now);
    free(plain);
    peer_end(p);
}

/* A millisecond in which the server may send; every other what is on the way arrives. */
static void tick(struct peer *p, int i)
{
    mr_endpoint_expire(peer_endpoint(p), p->now);
    peer_drain(p);
    p->now += MR_MS;
    if (i % 2 == 1)
        peer_round_trip(p);
}

static void send_all(struct peer *p)
{
    struct mr_view view = {.data = data, .size = sizeof(data)};
    mr_handle stream;

    for (int i = 0; i < 20 && p->conn == MR_HANDLE_NONE; i++)
        peer_round_trip(p);
    CU_ASSERT_EQUAL_FATAL(mr_stream_open(peer_endpoint(p), p->conn, MR_OPEN_UNI, 0, &stream), 0);
    CU_ASSERT_EQUAL_FATAL(mr_stream_send(peer_endpoint(p), stream, &view, 1, MR_SEND_FIN), 0);
}

/* The second connection, whose server has all to send. */
static struct peer *resume(const struct past *past)
{
    static struct ticket ticket;

    get_ticket(&ticket, past);
    struct peer *p = peer_new(&(struct peer_options){.under_test = S,
                                                     .has_new_token = true,
                                                     .has_resume = !past->is_off,
                                                     .ticket = ticket.bytes,
                                                     .ticket_size = ticket.size});
    peer_connect(p);
    send_all(p);
    return p;
}

/* Until the server jumps. */
static void run_to_jump(struct peer *p)
{
    for (int i = 0; i < 200 && peer_counters(p)->resumes_begun == 0; i++)
        tick(p, i);
}

static void run(struct peer *p)
{
    for (int i = 0; i < 300; i++)
        tick(p, i);
}

static const struct past usual = {.saved = {.window = SAVED, .rtt_us = 10000}};

/* Section 3.3: "jump_cwnd MUST be no more than half of the saved_cwnd". */
static void a_server_jumps_to_half_of_what_the_token_says(void)
{
    struct peer *p = resume(&usual);

    run_to_jump(p);
    CU_ASSERT_EQUAL(peer_counters(p)->tokens_valid, 1);
    CU_ASSERT_EQUAL(peer_counters(p)->resumes_begun, 1);
    CU_ASSERT_EQUAL(mr_cc_window(&peer_conn(p)->path.cc), SAVED / 2);
    CU_ASSERT_TRUE(peer_conn(p)->path.cc.is_jumping);
    run(p);
    CU_ASSERT_EQUAL(peer_counters(p)->resumes_validated, 1);
    CU_ASSERT_EQUAL(peer_counters(p)->resumes_retreated, 0);
    CU_ASSERT_FALSE(peer_conn(p)->path.cc.is_jumping);
    CU_ASSERT_EQUAL(peer_conn(p)->extra, MR_NONE);
    peer_end(p);
}

static void what_does_not_fit_is_not_used(void)
{
    static const struct past pasts[] = {
        {.saved = {SAVED, 10000}, .is_elsewhere = true},
        {.saved = {SAVED, 10000}, .age_s = MR_RESUME_LIFETIME_S + 2},
        {.saved = {SAVED, 10000}, .is_off = true},
        {.saved = {SAVED, 100000}}, /* the round trip is far less */
        {.saved = {SAVED, 100}},    /* and far more */
        {.saved = {MR_RESUME_WINDOW_MIN - 1, 10000}},
        {.saved = {0, 0}},
    };

    for (size_t i = 0; i < MR_COUNT_OF(pasts); i++) {
        struct peer *p = resume(&pasts[i]);

        run(p);
        CU_ASSERT_EQUAL(peer_counters(p)->tokens_valid, !pasts[i].is_elsewhere);
        CU_ASSERT_EQUAL(peer_counters(p)->resumes_begun, 0);
        CU_ASSERT_EQUAL(peer_conn(p)->extra, MR_NONE);
        peer_end(p);
    }
}

static void an_hour_is_not_too_long(void)
{
    struct past past = usual;

    past.age_s = MR_RESUME_LIFETIME_S - 1;
    struct peer *p = resume(&past);
    run_to_jump(p);
    CU_ASSERT_EQUAL(peer_counters(p)->resumes_begun, 1);
    peer_end(p);
}

/* Section 3.5. */
static void a_loss_ends_it(void)
{
    struct peer *p = resume(&usual);

    run_to_jump(p);
    for (int i = 0; i < 3; i++) { /* of it, five packets are lost */
        peer_drain(p);
        p->now += MR_MS;
    }
    uint32_t count = p->wire_count[C];
    CU_ASSERT_TRUE_FATAL(count > 10);
    memmove(&p->wire[C][count - 10], &p->wire[C][count - 5], 5 * sizeof(p->wire[C][0]));
    p->wire_count[C] -= 5;
    for (int i = 0; i < 100 && peer_counters(p)->resumes_retreated == 0; i++)
        tick(p, i);
    uint64_t most = mr_cc_window(&peer_conn(p)->path.cc);
    CU_ASSERT_EQUAL(peer_counters(p)->resumes_retreated, 1);
    CU_ASSERT_TRUE(most < SAVED / 4);
    run(p);
    CU_ASSERT_EQUAL(peer_counters(p)->resumes_validated, 0);
    CU_ASSERT_EQUAL(peer_conn(p)->extra, MR_NONE);
    peer_end(p);
}

/* What the client holds for its next connection. */
static struct mr_saved_path last_token(struct peer *p)
{
    struct mr_conn *conn = mr_conn_at(p->side[C].ep, 0);
    const struct mr_handshake *hs = mr_conn_handshake(p->side[C].ep, conn);
    struct mr_endpoint *server = p->side[S].ep;
    struct mr_saved_path saved = {0};

    CU_ASSERT_PTR_NOT_NULL_FATAL(hs);
    CU_ASSERT_EQUAL(mr_token_validate_new(&server->tokens, conn->version, hs->new_token,
                                          hs->new_token_size, &conn->path.addr.local, &saved,
                                          mr_endpoint_wall_s(server, p->now)),
                    MR_TOKEN_VALID);
    return saved;
}

static void a_client_is_told_what_its_path_carries(void)
{
    for (int is_on = 0; is_on < 2; is_on++) {
        struct peer *p = peer_new(&(struct peer_options){
            .under_test = S, .has_new_token = true, .has_resume = is_on != 0});

        peer_connect(p);
        send_all(p);
        tick(p, 1);
        tick(p, 1);
        CU_ASSERT_EQUAL(last_token(p).window, 0);
        uint64_t most = 0;
        for (int i = 0; i < 300; i++) {
            tick(p, i);
            most = MR_MAX(most, mr_cc_window(&peer_conn(p)->path.cc));
        }
        struct mr_saved_path saved = last_token(p);
        if (is_on == 0) {
            CU_ASSERT_EQUAL(saved.window, 0);
            CU_ASSERT_EQUAL(peer_counters(p)->tokens_sent, 1);
        } else {
            CU_ASSERT_TRUE(saved.window >= MR_RESUME_WINDOW_MIN);
            CU_ASSERT_TRUE(saved.window <= most);
            CU_ASSERT_EQUAL(saved.rtt_us, peer_conn(p)->path.rtt.min_ns / MR_US);
            CU_ASSERT_TRUE(peer_counters(p)->tokens_sent > 1);
            CU_ASSERT_TRUE(peer_counters(p)->tokens_sent < 6);
        }
        peer_end(p);
    }
}

/* What the path does not carry any more is said again. */
static void a_client_is_told_of_congestion(void)
{
    struct peer *p = peer_new(
        &(struct peer_options){.under_test = S, .has_new_token = true, .has_resume = true});

    peer_connect(p);
    send_all(p);
    run(p);
    uint32_t before = last_token(p).window;
    struct mr_conn *conn = peer_conn(p);
    CU_ASSERT_TRUE_FATAL(before >= MR_RESUME_WINDOW_MIN);
    mr_cc_set_window(&conn->path.cc, before / 2 - 1);
    mr_conn_resume_on_congestion(peer_endpoint(p), conn, p->now);
    uint64_t sent = peer_counters(p)->tokens_sent;
    for (int i = 0; i < 100 && peer_counters(p)->tokens_sent == sent; i++)
        tick(p, i);
    for (int i = 0; i < 4; i++)
        peer_round_trip(p);
    CU_ASSERT_TRUE(last_token(p).window < before);
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"3.3: a server jumps to half of what the token says",
     a_server_jumps_to_half_of_what_the_token_says},
    {"what does not fit is not used", what_does_not_fit_is_not_used},
    {"an hour is not too long", an_hour_is_not_too_long},
    {"3.5: a loss ends it", a_loss_ends_it},
    {"a client is told what its path carries", a_client_is_told_what_its_path_carries},
    {"a client is told of congestion", a_client_is_told_of_congestion},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "Careful Resume", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
