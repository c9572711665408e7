/*
 * tests/conformance/test_rfc9000_renewal.c - RFC 9000, Section 5.1.2: connection IDs of ours that
 * have come of age are retired, and others take their place.
 */
#include <errno.h>

#include "tests/support/peer_cases.h"

#define AGE (10 * MR_SECOND)

static struct peer *pair(enum mr_role role, uint64_t renew_ns, enum peer_stage stage)
{
    struct peer_options options = {.under_test = role, .cid_renew_ns = renew_ns};
    struct peer *p = peer_new(&options);

    peer_run(p, stage);
    return p;
}

static struct mr_conn *partner(struct peer *p)
{
    return mr_conn_at(p->side[!p->role].ep, 0);
}

/* How many the connection holds, and the bounds that are so at any time. */
static uint32_t held(struct peer *p)
{
    const struct mr_conn *conn = peer_conn(p);
    const struct mr_conn *theirs = partner(p);
    uint32_t all = 0;
    uint32_t active = 0;

    for (uint32_t i = 0; i < MR_CIDS_SLOTS; i++) {
        all += conn->issued.key[i] != 0;
        active += conn->issued.key[i] != 0 && conn->issued.sequence[i] >= conn->issued_prior_to;
    }
    CU_ASSERT_TRUE(active <= MR_CIDS_ISSUED_MAX);
    CU_ASSERT_TRUE(all <= 2 * MR_CIDS_ISSUED_MAX);
    CU_ASSERT_TRUE(theirs->retire_count <= MR_RETIRE_QUEUE_MAX);
    return all;
}

/* The partner says something, and what follows from it happens. */
static void talk(struct peer *p)
{
    partner(p)->app.wants |= MR_WANT_PING;
    mr_conn_wake(p->side[!p->role].ep, partner(p));
    for (int i = 0; i < 40; i++) { /* the last acknowledgment may be delayed */
        peer_round_trip(p);
        (void)held(p);
    }
}

static void expect_renewed(struct peer *p, uint32_t times)
{
    const struct mr_conn *conn = peer_conn(p);

    CU_ASSERT_EQUAL(peer_counters(p)->cids_renewed, times);
    CU_ASSERT_EQUAL(peer_counters(p)->cids_retired, times * MR_CIDS_ISSUED_MAX);
    CU_ASSERT_EQUAL(conn->issued_prior_to, times * MR_CIDS_ISSUED_MAX);
    CU_ASSERT_EQUAL(conn->issued_next_sequence, (times + 1u) * MR_CIDS_ISSUED_MAX);
    CU_ASSERT_EQUAL(held(p), MR_CIDS_ISSUED_MAX);
    for (uint32_t i = 0; i < MR_CIDS_SLOTS; i++)
        CU_ASSERT_TRUE(conn->issued.key[i] == 0 ||
                       conn->issued.sequence[i] >= conn->issued_prior_to);
    CU_ASSERT_TRUE(mr_cid_current(partner(p))->sequence >= conn->issued_prior_to);
    CU_ASSERT_EQUAL(partner(p)->retire_count, 0);
}

/* "Such an endpoint can cause its peer to retire connection IDs by sending a NEW_CONNECTION_ID
 * frame with an increased Retire Prior To field." */
static void peers_go_over_when_connection_ids_are_old(void)
{
    for (int role = 0; role < 2; role++) {
        struct peer *p = pair((enum mr_role)role, AGE, PEER_BOTH);

        talk(p);
        expect_renewed(p, 0);
        for (uint32_t i = 1; i <= 20; i++) { /* longer than any bound that does not hold */
            peer_advance(p, AGE / 2);
            talk(p);
            expect_renewed(p, i - 1);
            peer_advance(p, AGE / 2);
            expect_renewed(p, i - 1); /* nothing is said for it */
            talk(p);
            expect_renewed(p, i);
        }
        peer_expect_close(p, "renewal", PEER_NO_CLOSE, 0);
        peer_end(p);
    }
}

static void they_do_not_age_unless_asked(void)
{
    struct peer *p = pair(MR_SERVER, 0, PEER_BOTH);

    for (uint32_t i = 0; i < 100; i++) {
        peer_advance(p, AGE);
        talk(p);
    }
    expect_renewed(p, 0);
    peer_end(p);
}

/* "The endpoint SHOULD continue to accept the previously issued connection IDs until they are
 * retired by the peer."  "Endpoints SHOULD NOT issue updates of the Retire Prior To field before
 * receiving RETIRE_CONNECTION_ID frames that retire all connection IDs indicated by the previous
 * Retire Prior To value." */
static void a_peer_that_does_not_retire_all_is_asked_once(void)
{
    struct peer *p = pair(MR_SERVER, AGE, PEER_DONE);

    for (uint32_t i = 0; i < 10; i++) {
        uint64_t before = peer_conn(p)->last_received_ns;

        peer_advance(p, AGE);
        PEER_SEND(p, "\1"); /* to the first connection ID */
        CU_ASSERT_TRUE(peer_conn(p)->last_received_ns > before);
        peer_clear(p);
    }
    CU_ASSERT_EQUAL(held(p), 2 * MR_CIDS_ISSUED_MAX);
    CU_ASSERT_EQUAL(peer_counters(p)->cids_renewed, 1);
    CU_ASSERT_EQUAL(peer_conn(p)->issued_next_sequence, 2 * MR_CIDS_ISSUED_MAX);
    /* all but the one that it uses: there is room for others, but not all are retired */
    PEER_SEND(p, "\x19\1\x19\2\x19\3\x19\4\x19\5\x19\6\x19\7");
    peer_advance(p, AGE);
    PEER_SEND(p, "\1");
    CU_ASSERT_EQUAL(held(p), MR_CIDS_ISSUED_MAX + 1);
    CU_ASSERT_EQUAL(peer_counters(p)->cids_renewed, 1);
    peer_expect_close(p, "none retired", PEER_NO_CLOSE, 0);
    peer_end(p);
}

static int renew(struct peer *p)
{
    return mr_conn_renew_cids(peer_endpoint(p), p->conn, p->now);
}

/* Whoever runs the endpoint may want it at any time; no more often than the peer retires. */
static void peers_go_over_when_they_are_asked_to(void)
{
    for (int role = 0; role < 2; role++) {
        struct peer *p = pair((enum mr_role)role, 0, PEER_BOTH);

        talk(p);
        for (uint32_t i = 1; i <= 20; i++) {
            CU_ASSERT_EQUAL(renew(p), 0);
            CU_ASSERT_EQUAL(renew(p), -EBUSY);
            peer_advance(p, MR_MS); /* it is said without any other news */
            for (int k = 0; k < 40; k++)
                peer_round_trip(p);
            expect_renewed(p, i);
        }
        peer_expect_close(p, "renewal", PEER_NO_CLOSE, 0);
        peer_end(p);
    }
}

/* Each NEW_CONNECTION_ID in the inbox comes behind an ACK of what we sent up to `pn`, in its
 * packet. */
static void expect_acks_before_new(struct peer *p, uint64_t pn)
{
    const struct peer_packet *packet;
    struct mr_reader new_cid;
    uint32_t count = 0;

    while ((packet = peer_find(p, MR_FRAME_NEW_CONNECTION_ID, count, &new_cid)) != NULL) {
        const struct peer_packet *of_ack;
        struct mr_frame_ack ack;
        struct mr_reader r;
        bool is_told = false;

        for (uint32_t i = 0; (of_ack = peer_find(p, MR_FRAME_ACK, i, &r)) != NULL; i++)
            is_told |= of_ack == packet && r.at < new_cid.at &&
                       mr_frame_decode_ack(&r, MR_FRAME_ACK, &ack) && ack.largest >= pn;
        CU_ASSERT_TRUE(is_told);
        count++;
    }
    CU_ASSERT_TRUE(count >= MR_CIDS_ISSUED_MAX);
}

/* "An endpoint SHOULD limit the number of connection IDs it has retired locally for which
 * RETIRE_CONNECTION_ID frames have not yet been acknowledged."  A peer may have lost our
 * acknowledgments of the retirements before: whatever packet asks for more brings them again. */
static void who_is_asked_again_is_told_what_was_retired(void)
{
    struct peer *p = pair(MR_SERVER, 0, PEER_DONE);
    struct mr_frame_new_connection_id frame;
    struct mr_reader r;

    CU_ASSERT_EQUAL(renew(p), 0);
    peer_advance(p, MR_MS);
    CU_ASSERT_PTR_NOT_NULL_FATAL(peer_find(p, MR_FRAME_NEW_CONNECTION_ID, 0, &r));
    CU_ASSERT_TRUE(mr_frame_decode_new_connection_id(&r, MR_FRAME_NEW_CONNECTION_ID, &frame));
    p->dcid = frame.cid;
    PEER_SEND(p, "\x19\0\x19\1\x19\2\x19\3");
    peer_ack(p, 0, p->expected_pn[MR_SPACE_APP] - 1);
    uint64_t pn = p->next_pn[MR_SPACE_APP] - 2; /* of the retirements, before our ACK */
    peer_advance(p, MR_SECOND);                 /* theirs is out, and nothing else is owed */
    peer_clear(p);

    CU_ASSERT_EQUAL(renew(p), 0);
    peer_advance(p, MR_MS);
    expect_acks_before_new(p, pn);
    peer_clear(p);
    peer_advance(p, MR_SECOND); /* so do probes */
    expect_acks_before_new(p, pn);
    peer_clear(p);
    peer_expect_close(p, "asked again", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* Before the handshake is confirmed nothing is renewed; nor when others need what there is. */
static void a_renewal_that_cannot_be_is_refused(void)
{
    struct peer *p = pair(MR_CLIENT, 0, PEER_HELLO);

    CU_ASSERT_EQUAL(mr_conn_renew_cids(peer_endpoint(p), mr_handle_of(0, 1, false), p->now),
                    -EBUSY);
    CU_ASSERT_EQUAL(mr_conn_renew_cids(peer_endpoint(p), mr_handle_of(0, 3, false), p->now),
                    -ESTALE);
    peer_end(p);
    p = pair(MR_SERVER, 0, PEER_DONE);
    struct mr_table8 *table = &peer_endpoint(p)->cids;
    uint32_t capacity = table->core.capacity;
    table->core.capacity = table->core.count;
    CU_ASSERT_EQUAL(renew(p), -ENOMEM);
    table->core.capacity = capacity;
    CU_ASSERT_EQUAL(peer_counters(p)->limit_cid_renewals, 1);
    CU_ASSERT_EQUAL(renew(p), 0);
    peer_end(p);
}

/* The frames themselves: four new ones, each of which asks to retire the four before.
 * Section 19.15: "The value in the Retire Prior To field MUST be less than or equal to the value in
 * the Sequence Number field." */
static void what_is_sent_says_retire_prior_to(void)
{
    struct peer *p = pair(MR_SERVER, AGE, PEER_DONE);
    struct mr_frame_new_connection_id frame;
    struct mr_reader r;
    uint32_t sequences = 0;

    peer_advance(p, AGE);
    peer_clear(p);
    PEER_SEND(p, "\1");
    for (uint32_t i = 0; peer_find(p, MR_FRAME_NEW_CONNECTION_ID, i, &r) != NULL; i++) {
        CU_ASSERT_TRUE_FATAL(
            mr_frame_decode_new_connection_id(&r, MR_FRAME_NEW_CONNECTION_ID, &frame));
        CU_ASSERT_EQUAL(frame.retire_prior_to, MR_CIDS_ISSUED_MAX);
        CU_ASSERT_TRUE_FATAL(frame.sequence < 2 * MR_CIDS_ISSUED_MAX);
        sequences |= 1u << frame.sequence;
    }
    CU_ASSERT_EQUAL(sequences, 0xf0);
    peer_end(p);
}

/* Peers that do not retire take none from connections to come: old ones are renewed when the
 * endpoint's table has room for four more than these need. */
static void a_full_table_puts_renewal_off(void)
{
    struct peer *p = pair(MR_SERVER, AGE, PEER_BOTH);
    struct mr_table8 *table = &peer_endpoint(p)->cids;
    uint32_t to_come = mr_pool_free_count(&peer_endpoint(p)->conns);
    uint64_t key = 1;

    while (table->core.count + MR_CIDS_ISSUED_MAX * (to_come + 1) <= table->core.capacity)
        CU_ASSERT_EQUAL_FATAL(mr_table8_insert(table, key++, 0), MR_TABLE_ADDED);
    peer_advance(p, AGE);
    talk(p);
    expect_renewed(p, 0);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_cid_renewals, 1);
    peer_advance(p, MR_SECOND);
    talk(p);
    CU_ASSERT_EQUAL(peer_counters(p)->limit_cid_renewals, 2);
    CU_ASSERT_EQUAL(mr_table8_remove(table, --key), 0);
    peer_advance(p, MR_SECOND);
    talk(p);
    expect_renewed(p, 1);
    while (key > 1)
        CU_ASSERT_EQUAL(mr_table8_remove(table, --key), 0);
    peer_end(p);
}

static CU_TestInfo tests[] = {
    {"5.1.2: peers go over when they are asked to", peers_go_over_when_they_are_asked_to},
    {"5.1.2: who is asked again is told what was retired",
     who_is_asked_again_is_told_what_was_retired},
    {"a renewal that cannot be is refused", a_renewal_that_cannot_be_is_refused},
    {"peers go over when connection IDs are old", peers_go_over_when_connection_ids_are_old},
    {"they do not age unless asked", they_do_not_age_unless_asked},
    {"a peer that does not retire all is asked once",
     a_peer_that_does_not_retire_all_is_asked_once},
    {"a full table puts renewal off", a_full_table_puts_renewal_off},
    {"what is sent says Retire Prior To", what_is_sent_says_retire_prior_to},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9000: renewal of connection IDs", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
