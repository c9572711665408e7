/*
 * tests/conformance/test_rfc9959.c - Careful Resume: a connection begins with half of what the path
 * of the last one carried, as the client's token says to the server, or its ticket to itself.  The
 * phases themselves: tests/unit/test_resume.c.
 */
#include <errno.h>
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
    bool is_elsewhere; /* it was another address of the client's */
    bool is_off;
    bool is_remote_elsewhere; /* or of the server's; in a ticket only */
    bool is_future;           /* in a ticket only: it is of the next minute */
    enum mr_role sender;      /* who begins so */
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
        size = mr_conn_ticket(p->side[C].ep, p->conn, plain->bytes, sizeof(plain->bytes), p->now);
    }
    CU_ASSERT_TRUE_FATAL(size > 0);
    struct mr_addr client = peer_conn(p)->path.addr.local;
    if (past->is_elsewhere)
        client.ip[15]++;
    struct mr_addr server = peer_conn(p)->path.addr.remote;
    server.ip[15] += past->is_remote_elsewhere;
    uint64_t written_s = mr_endpoint_wall_s(p->side[C].ep, p->now) - past->age_s;
    if (past->sender == C)
        out->size = past_ticket(&client, &server, &past->saved, written_s + 60 * past->is_future,
                                plain->bytes, (size_t)size, out->bytes, sizeof(out->bytes));
    else
        out->size = saved_ticket(p->side[S].ep, &client, &past->saved, past->age_s, plain->bytes,
                                 (size_t)size, out->bytes, sizeof(out->bytes), p->now);
    free(plain);
    peer_end(p);
}

/* What a ticket says to its client. */
static struct mr_saved_path past_of(struct peer *p, const uint8_t *ticket, size_t size)
{
    return mr_conn_past_read(p->side[C].ep, peer_conn(p),
                             mr_tls_ticket_past(ticket, size, "localhost"), p->now);
}

/* A millisecond in which the sender may send; every other what is on the way arrives. */
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
    int answer = -EAGAIN;

    for (int i = 0; i < 20 && answer == -EAGAIN; i++) {
        peer_round_trip(p);
        if (p->conn != MR_HANDLE_NONE)
            answer = mr_stream_open(peer_endpoint(p), p->conn, MR_OPEN_UNI, 0, &stream);
    }
    CU_ASSERT_EQUAL_FATAL(answer, 0);
    CU_ASSERT_EQUAL_FATAL(mr_stream_send(peer_endpoint(p), stream, &view, 1, MR_SEND_FIN), 0);
}

/* The second connection, of which one side has all to send. */
static struct peer *resume(const struct past *past)
{
    static struct ticket ticket;

    get_ticket(&ticket, past);
    struct peer *p = peer_new(&(struct peer_options){.under_test = past->sender,
                                                     .has_new_token = true,
                                                     .has_resume = !past->is_off,
                                                     .ticket = ticket.bytes,
                                                     .ticket_size = ticket.size});
    peer_connect(p);
    send_all(p);
    return p;
}

/* Until the sender jumps. */
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

static const struct past usual[] = {
    {.saved = {.window = SAVED, .rtt_us = 10000}, .sender = S},
    {.saved = {.window = SAVED, .rtt_us = 10000}, .sender = C},
};

/* Section 3.3: "jump_cwnd MUST be no more than half of the saved_cwnd". */
static void a_sender_jumps_to_half_of_what_was_saved(void)
{
    for (int i = 0; i < 2; i++) {
        struct peer *p = resume(&usual[i]);

        run_to_jump(p);
        CU_ASSERT_EQUAL(mr_endpoint_counters(p->side[S].ep)->tokens_valid, usual[i].sender == S);
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
        {.saved = {SAVED, 10000}, .is_remote_elsewhere = true},
        {.saved = {SAVED, 10000}, .is_future = true},
    };

    for (size_t i = 0; i < 2 * MR_COUNT_OF(pasts); i++) {
        struct past past = pasts[i / 2];

        past.sender = i % 2 == 0 ? S : C;
        if (past.sender == S && (past.is_remote_elsewhere || past.is_future))
            continue;
        struct peer *p = resume(&past);

        run(p);
        if (past.sender == S)
            CU_ASSERT_EQUAL(peer_counters(p)->tokens_valid, !past.is_elsewhere);
        CU_ASSERT_EQUAL(peer_counters(p)->resumes_begun, 0);
        CU_ASSERT_EQUAL(peer_conn(p)->extra, MR_NONE);
        peer_end(p);
    }
}

static void an_hour_is_not_too_long(void)
{
    for (int i = 0; i < 2; i++) {
        struct past past = usual[i];

        past.age_s = MR_RESUME_LIFETIME_S - 1;
        struct peer *p = resume(&past);
        run_to_jump(p);
        CU_ASSERT_EQUAL(peer_counters(p)->resumes_begun, 1);
        peer_end(p);
    }
}

/* Section 3.5. */
static void lose_of(const struct past *past)
{
    struct peer *p = resume(past);
    unsigned other = 1u - (unsigned)past->sender;

    run_to_jump(p);
    for (int i = 0; i < 3; i++) { /* of it, five packets are lost */
        peer_drain(p);
        p->now += MR_MS;
    }
    uint32_t count = p->wire_count[other];
    CU_ASSERT_TRUE_FATAL(count > 10);
    memmove(&p->wire[other][count - 10], &p->wire[other][count - 5], 5 * sizeof(p->wire[other][0]));
    p->wire_count[other] -= 5;
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

static void a_loss_ends_it(void)
{
    lose_of(&usual[0]);
    lose_of(&usual[1]);
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

/* What was learned of a path says nothing of the next one. */
static void another_address_begins_anew(void)
{
    struct peer *p = resume(&usual[0]);

    run_to_jump(p);
    struct mr_conn *server = peer_conn(p);
    struct mr_conn_extra *extra = mr_conn_extra(peer_endpoint(p), server);
    struct mr_conn *client = mr_conn_at(p->side[C].ep, 0);
    struct mr_addr local = client->path.addr.local;
    CU_ASSERT_PTR_NOT_NULL_FATAL(extra);
    server->tell_window = 1 << 20;
    local.ip[15]++;
    CU_ASSERT_EQUAL_FATAL(mr_conn_migrate(p->side[C].ep, mr_conn_handle(client), &local, p->now),
                          0);
    for (int i = 0; i < 200 && peer_counters(p)->migrations == 0; i++) {
        extra->uses |= MR_EXTRA_RESUME; /* it is in the midst of it still */
        extra->resume = (struct mr_resume){.phase = MR_RESUME_UNVALIDATED, .begin_ns = MR_NEVER};
        server->path.cc.is_jumping = true;
        tick(p, i);
    }
    CU_ASSERT_EQUAL(peer_counters(p)->migrations, 1);
    CU_ASSERT_EQUAL(extra->uses & MR_EXTRA_RESUME, 0);
    CU_ASSERT_FALSE(extra->kept.cc.is_jumping);
    CU_ASSERT_FALSE(server->path.cc.is_jumping);
    CU_ASSERT_EQUAL(server->tell_window, MR_RESUME_WINDOW_MIN);
    peer_end(p);
}

/* While the session is at hand all of the ticket is, and then its head. */
static void a_client_remembers_what_its_path_carried(void)
{
    for (int is_on = 0; is_on < 2; is_on++) {
        struct peer *p =
            peer_new(&(struct peer_options){.under_test = C, .has_resume = is_on != 0});
        static struct ticket ticket;
        uint8_t head[MR_TICKET_HEAD_SIZE];

        peer_connect(p);
        int64_t size = 0;
        for (int i = 0; i < 10 && size == 0; i++) {
            peer_round_trip(p);
            size =
                mr_conn_ticket(p->side[C].ep, p->conn, ticket.bytes, sizeof(ticket.bytes), p->now);
        }
        CU_ASSERT_TRUE_FATAL(size > 0);
        CU_ASSERT_EQUAL(past_of(p, ticket.bytes, (size_t)size).window, 0);
        send_all(p);
        struct mr_saved_path saved = {0};
        for (int i = 0; i < 100 && saved.window == 0; i++) {
            tick(p, i);
            saved = mr_conn_saved_path(p->side[C].ep, peer_conn(p));
        }
        size = mr_conn_ticket(p->side[C].ep, p->conn, ticket.bytes, sizeof(ticket.bytes), p->now);
        CU_ASSERT_EQUAL(past_of(p, ticket.bytes, (size_t)size).window, saved.window);
        CU_ASSERT_EQUAL(saved.window >= MR_RESUME_WINDOW_MIN, is_on != 0);
        CU_ASSERT_TRUE(saved.window <= mr_cc_window(&peer_conn(p)->path.cc));

        p->now += MR_CLIENT_TICKET_WAIT;
        mr_endpoint_expire(p->side[C].ep, p->now);
        CU_ASSERT_PTR_NULL(mr_conn_handshake(p->side[C].ep, peer_conn(p)));
        size = mr_conn_ticket(p->side[C].ep, p->conn, head, sizeof(head), p->now);
        CU_ASSERT_EQUAL(size, is_on != 0 ? MR_TICKET_HEAD_SIZE : 0);
        if (is_on != 0) {
            CU_ASSERT_EQUAL(mr_conn_ticket(p->side[C].ep, p->conn, head, sizeof(head) - 1, p->now),
                            -ENOBUFS);
            CU_ASSERT_EQUAL(memcmp(head, ticket.bytes, 12), 0); /* all but the time */
        }
        peer_end(p);
    }
}

/* Somebody else's bytes are no reason to do more than half of the largest window. */
static void a_ticket_that_boasts_is_bounded(void)
{
    struct past past = usual[1];

    past.saved.window = UINT32_MAX;
    struct peer *p = resume(&past);
    run_to_jump(p);
    CU_ASSERT_EQUAL(mr_cc_window(&peer_conn(p)->path.cc), MR_RESUME_WINDOW_MAX / MR_RESUME_SHARE);
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"a client remembers what its path carried", a_client_remembers_what_its_path_carried},
    {"a ticket that boasts is bounded", a_ticket_that_boasts_is_bounded},
    {"another address begins anew", another_address_begins_anew},
    {"3.3: a sender jumps to half of what was saved", a_sender_jumps_to_half_of_what_was_saved},
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
