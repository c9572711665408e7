/*
 * tests/conformance/test_rfc9001_keys.c - RFC 9001, Sections 5.5, 6: key updates, and packets that
 * cannot be opened.
 */
#include "tests/support/peer_cases.h"

#define C MR_CLIENT
#define S MR_SERVER

static bool is_answered(struct peer *p)
{
    struct mr_reader r;
    bool is_acked;

    peer_clear(p);
    PEER_SEND(p, "\x01");
    PEER_SEND(p, "\x01");
    is_acked = peer_find(p, MR_FRAME_ACK, 0, &r) != NULL;
    return is_acked;
}

static void ack_last(struct peer *p)
{
    uint64_t last = p->expected_pn[MR_SPACE_APP] - 1;

    peer_ack(p, last, last);
}

/* Section 6.2: "The endpoint MUST update its send keys to the corresponding key phase in response".
 * Section 6.2: "Sending keys MUST be updated before sending an acknowledgment for the packet that
 * was received with updated keys." Section 6.4: "Packets with higher packet numbers MUST be
 * protected with either the same or newer packet protection keys than packets with lower packet
 * numbers." */
static void a_peers_key_update_is_followed(void)
{
    for (int role = 0; role < 2; role++) {
        struct peer *p = peer_at((enum mr_role)role, PEER_DONE);

        for (int i = 1; i <= 4; i++) {
            peer_update_keys(p);
            CU_ASSERT_TRUE(is_answered(p)); /* with the next keys, or it could not be opened */
            CU_ASSERT_EQUAL((p->inbox[0].first_byte & MR_PACKET_KEY_PHASE) != 0, i % 2);
            ack_last(p);
            peer_advance(p, 2 * MR_SECOND); /* the old keys are dropped */
            CU_ASSERT_TRUE(is_answered(p));
        }
        CU_ASSERT_EQUAL(peer_counters(p)->key_updates_received, 4);
        peer_expect_close(p, "updates", PEER_NO_CLOSE, 0);
        peer_end(p);
    }
}

/* Section 6.2: "If an endpoint detects a second update before it has sent any packets with updated
 * keys containing an acknowledgment for the packet that initiated the key update, it indicates that
 * its peer has updated keys twice without awaiting confirmation.  An endpoint MAY treat such
 * consecutive key updates as a connection error of type KEY_UPDATE_ERROR."  Each would cost the
 * derivation of keys. */
static void updates_in_a_row_end_the_connection(void)
{
    struct peer *p = peer_at(S, PEER_DONE);

    peer_update_keys(p);
    PEER_SEND(p, "\0\0\0\0"); /* PADDING is not answered */
    CU_ASSERT_TRUE(mr_conn_is_alive(peer_conn(p)));
    CU_ASSERT_EQUAL(peer_counters(p)->key_updates_received, 1);
    peer_update_keys(p);
    PEER_SEND(p, "\0\0\0\0");
    CU_ASSERT_FALSE(mr_conn_is_alive(peer_conn(p)));
    CU_ASSERT_EQUAL(peer_conn(p)->close.error, MR_KEY_UPDATE_ERROR);
    CU_ASSERT_EQUAL(peer_counters(p)->key_updates_received, 1);
    peer_end(p);
}

/* Section 6.1: "An endpoint SHOULD retain old keys for some time after unprotecting a packet sent
 * using the new keys."
 * Section 6.3: "For this reason, endpoints MUST be able to retain two sets of packet protection
 * keys for receiving packets: the current and the next." */
static void overtaken_packets_of_the_old_phase_are_opened(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    uint8_t bytes[PEER_DATAGRAM];
    struct peer_out old = {
        .type = MR_PACKET_ONE_RTT, .frames = "\x08\x00hello", .size = 7, .pn = PEER_NEXT_PN};
    size_t size = peer_build(p, &old, bytes, sizeof(bytes)); /* on its way */

    peer_update_keys(p);
    CU_ASSERT_TRUE(is_answered(p));
    peer_deliver(p, bytes, size);
    CU_ASSERT_EQUAL(peer_counters(p)->streams_opened, 1);
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_undecryptable, 0);
    CU_ASSERT_TRUE(is_answered(p));
    peer_expect_close(p, "overtaken", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* Section 6.1: "An endpoint MUST NOT initiate a subsequent key update unless it has received an
 * acknowledgment for a packet that was sent protected with keys from the current key phase."
 * Section 6.1: "An endpoint MUST retain old keys until it has successfully unprotected a packet
 * sent using the new keys." */
static void we_update_only_when_the_phase_is_acknowledged(void)
{
    struct peer *p = peer_at(S, PEER_DONE);

    CU_ASSERT_EQUAL(mr_conn_update_keys(peer_endpoint(p), p->conn, p->now), 0);
    uint64_t received = peer_counters(p)->packets_received;
    peer_advance(p, 3 * MR_SECOND); /* the peer goes on with the old keys as long as it likes */
    PEER_SEND(p, "\x02\x00\x00\x00\x00");
    CU_ASSERT_EQUAL(peer_counters(p)->packets_received, received + 1);
    peer_update_keys(p);
    CU_ASSERT_NOT_EQUAL(mr_conn_update_keys(peer_endpoint(p), p->conn, p->now), 0);
    CU_ASSERT_TRUE(is_answered(p));
    CU_ASSERT_NOT_EQUAL(mr_conn_update_keys(peer_endpoint(p), p->conn, p->now), 0);
    ack_last(p);
    /* Section 6.5: "An endpoint SHOULD retain old read keys for no more than three times the PTO"
     */
    peer_advance(p, 3 * MR_SECOND);
    ack_last(p);
    CU_ASSERT_EQUAL(mr_conn_update_keys(peer_endpoint(p), p->conn, p->now), 0);
    peer_end(p);
}

/* Section 6: "An endpoint MUST NOT initiate a key update prior to having confirmed the handshake".
 */
static void nobody_updates_before_the_handshake_is_confirmed(void)
{
    struct peer *p = peer_at(C, PEER_FLIGHT);

    CU_ASSERT_NOT_EQUAL(mr_conn_update_keys(peer_endpoint(p), p->conn, p->now), 0);
    peer_update_keys(p);
    PEER_SEND(p, "\x01\x1e");
    CU_ASSERT_FALSE(peer_conn(p)->is_confirmed);
    CU_ASSERT_EQUAL(peer_counters(p)->key_updates_received, 0);
    peer_end(p);
}

/* Forged packets with either key phase cost nothing but a count, and no key is lost by them.
 * Section 5.5: "Once an endpoint successfully receives a packet with a given packet number, it MUST
 * discard all packets in the same packet number space with higher packet numbers if they cannot be
 * successfully unprotected with either the same key, or -- if there is a key update -- a subsequent
 * packet protection key." Section 5.5: "Similarly, a packet that appears to trigger a key update
 * but cannot be unprotected successfully MUST be discarded." */
static void forged_key_phases_change_nothing(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    uint8_t bytes[60];

    for (int i = 0; i < 500; i++) {
        for (size_t at = 0; at < sizeof(bytes); at++)
            bytes[at] = (uint8_t)((size_t)i * 37 + at * 11);
        bytes[0] = (uint8_t)(0x40 | (i & 0x3f));
        memcpy(bytes + 1, p->dcid.bytes, PEER_CID_SIZE);
        peer_deliver(p, bytes, sizeof(bytes));
    }
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_undecryptable, 500);
    CU_ASSERT_EQUAL(peer_conn(p)->key_state.updates, 0);
    CU_ASSERT_TRUE(is_answered(p));
    peer_update_keys(p);
    CU_ASSERT_TRUE(is_answered(p));
    peer_end(p);
}

/* Forged packets between an update and the packets it overtook: the old keys stay. */
static void forged_packets_do_not_cost_the_old_keys(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    uint8_t bytes[PEER_DATAGRAM];
    uint8_t forged[60] = {0};
    struct peer_out old = {
        .type = MR_PACKET_ONE_RTT, .frames = "\x08\x00hello", .size = 7, .pn = PEER_NEXT_PN};
    size_t size = peer_build(p, &old, bytes, sizeof(bytes));

    peer_update_keys(p);
    CU_ASSERT_TRUE(is_answered(p));
    for (int i = 0; i < 64; i++) {
        memset(forged, i * 5, sizeof(forged));
        forged[0] = (uint8_t)(0x40 | i);
        memcpy(forged + 1, p->dcid.bytes, PEER_CID_SIZE);
        peer_deliver(p, forged, sizeof(forged));
    }
    peer_deliver(p, bytes, size);
    CU_ASSERT_EQUAL(peer_counters(p)->streams_opened, 1);
    peer_end(p);
}

/* Section 6.5: "Endpoints SHOULD wait three times the PTO before initiating a key update after
 * receiving an acknowledgment that confirms that the previous key update was received."  Until then
 * forged packets of the other phase cost a key each, but only so many; the update comes later. */
static void forged_packets_cost_few_keys(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    uint8_t bytes[60];

    peer_update_keys(p);
    CU_ASSERT_TRUE(is_answered(p));
    ack_last(p);
    for (int i = 0; i < 200; i++) {
        for (size_t at = 0; at < sizeof(bytes); at++)
            bytes[at] = (uint8_t)((size_t)i * 37 + at * 11);
        bytes[0] = (uint8_t)(0x40 | (i & 0x3f));
        memcpy(bytes + 1, p->dcid.bytes, PEER_CID_SIZE);
        peer_deliver(p, bytes, sizeof(bytes));
    }
    CU_ASSERT_EQUAL(peer_counters(p)->dropped_undecryptable, 200);
    peer_update_keys(p);
    PEER_SEND(p, "\x01");
    CU_ASSERT_EQUAL(peer_counters(p)->key_updates_received, 1);
    peer_advance(p, 2 * MR_SECOND); /* the previous keys are dropped */
    CU_ASSERT_TRUE(is_answered(p));
    CU_ASSERT_EQUAL(peer_counters(p)->key_updates_received, 2);
    peer_end(p);
}

/* Section 6.6: "If the total number of received packets that fail authentication within the
 * connection, across all keys, exceeds the integrity limit for the selected AEAD, the endpoint MUST
 * immediately close the connection with a connection error of type AEAD_LIMIT_REACHED".
 * Section 6.6: "In addition to counting packets sent, endpoints MUST count the number of received
 * packets that fail authentication during the lifetime of a connection." */
static void the_integrity_limit_ends_the_connection(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    uint8_t bytes[60] = {0x40};
    struct mr_key_state *s = &peer_conn(p)->key_state;

    memcpy(bytes + 1, p->dcid.bytes, PEER_CID_SIZE);
    peer_deliver(p, bytes, sizeof(bytes));
    CU_ASSERT_EQUAL(s->open_failed_count, 1);
    CU_ASSERT_EQUAL(mr_cipher_open_limit(MR_CIPHER_AES_128_GCM), UINT64_C(1) << 52);
    s->open_failed_count = mr_cipher_open_limit(MR_CIPHER_AES_128_GCM) - 2;
    peer_deliver(p, bytes, sizeof(bytes));
    peer_expect_close(p, "below the limit", PEER_NO_CLOSE, 0);
    peer_deliver(p, bytes, sizeof(bytes));
    peer_deliver(p, bytes, sizeof(bytes));
    peer_expect_close(p, "at the limit", MR_AEAD_LIMIT_REACHED, PEER_ANY_FRAME);
    peer_end(p);
}

/* Section 6.6: "Endpoints MUST initiate a key update before sending more protected packets than the
 * confidentiality limit for the selected AEAD permits."
 * Section 5.3: "An endpoint MUST initiate a key update (Section 6) prior to exceeding any limit set
 * for the AEAD that is in use." Section 6: "Endpoints MUST NOT send a TLS KeyUpdate message."
 * Section 6.6: "Endpoints MUST count the number of encrypted packets for each set of keys." */
static void keys_are_updated_before_the_confidentiality_limit(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_key_state *s = &peer_conn(p)->key_state;

    CU_ASSERT_TRUE(s->update_at_count < mr_cipher_seal_limit(MR_CIPHER_AES_128_GCM));
    s->sealed_count = s->update_at_count;
    PEER_SEND(p, "\x01");
    PEER_SEND(p, "\x01");
    CU_ASSERT_EQUAL(peer_counters(p)->key_updates_started, 1);
    CU_ASSERT_EQUAL(peer_count(p, MR_FRAME_CRYPTO), 0); /* TLS is not asked */
    peer_update_keys(p);
    CU_ASSERT_TRUE(is_answered(p));
    peer_end(p);
}

/* A limit that cannot be met because the peer never acknowledges: the end.
 * Section 6.6: "If the total number of encrypted packets with the same key exceeds the
 * confidentiality limit for the selected AEAD, the endpoint MUST stop using those keys."
 * Section 6.6: "If a key update is not possible or integrity limits are reached, the endpoint MUST
 * stop using the connection and only send stateless resets in response to receiving packets." */
static void no_packet_is_sealed_beyond_the_confidentiality_limit(void)
{
    struct peer *p = peer_at(S, PEER_DONE);
    struct mr_key_state *s = &peer_conn(p)->key_state;

    s->is_confirmed = false;
    s->phase_first_pn = UINT64_MAX;
    s->sealed_count = mr_cipher_seal_limit(MR_CIPHER_AES_128_GCM);
    PEER_SEND(p, "\x01");
    PEER_SEND(p, "\x01");
    CU_ASSERT_FALSE(mr_conn_is_alive(peer_conn(p)));
    CU_ASSERT_EQUAL(peer_counters(p)->aead_limit_closes, 1);
    peer_end(p);
}

/* 0-RTT packets to a client, whatever is in them.
 * Section 5.6: "A client MUST NOT attempt to decrypt 0-RTT packets it receives and instead MUST
 * discard them." */
static void a_client_reads_no_early_packet(void)
{
    static const enum peer_stage stages[] = {PEER_HELLO, PEER_FLIGHT, PEER_DONE};

    for (size_t i = 0; i < MR_COUNT_OF(stages); i++) {
        struct peer *p = peer_at(C, stages[i]);
        uint8_t bytes[60] = {0xd0, 0, 0, 0, 1, 8};

        memcpy(bytes + 6, p->dcid.bytes, PEER_CID_SIZE);
        bytes[15] = 44;
        uint64_t received = peer_counters(p)->packets_received;
        peer_clear(p);
        peer_deliver(p, bytes, sizeof(bytes));
        CU_ASSERT_EQUAL(peer_counters(p)->packets_received, received);
        CU_ASSERT_EQUAL(peer_counters(p)->dropped_undecryptable, 0);
        CU_ASSERT_EQUAL(p->inbox_count, 0);
        CU_ASSERT_EQUAL(p->side[C].buffers_out, 0);
        peer_end(p);
    }
}

static CU_TestInfo tests[] = {
    {"a client reads no early packet", a_client_reads_no_early_packet},
    {"a peer's key update is followed", a_peers_key_update_is_followed},
    {"updates in a row end the connection", updates_in_a_row_end_the_connection},
    {"overtaken packets of the old phase are opened",
     overtaken_packets_of_the_old_phase_are_opened},
    {"we update only when the phase is acknowledged",
     we_update_only_when_the_phase_is_acknowledged},
    {"nobody updates before the handshake is confirmed",
     nobody_updates_before_the_handshake_is_confirmed},
    {"forged key phases change nothing", forged_key_phases_change_nothing},
    {"forged packets do not cost the old keys", forged_packets_do_not_cost_the_old_keys},
    {"forged packets cost few keys", forged_packets_cost_few_keys},
    {"the integrity limit ends the connection", the_integrity_limit_ends_the_connection},
    {"keys are updated before the confidentiality limit",
     keys_are_updated_before_the_confidentiality_limit},
    {"no packet is sealed beyond the confidentiality limit",
     no_packet_is_sealed_beyond_the_confidentiality_limit},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "RFC 9001 keys", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
