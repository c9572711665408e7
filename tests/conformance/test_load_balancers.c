/*
 * tests/conformance/test_load_balancers.c - connection IDs that a load balancer can route:
 * draft-ietf-quic-load-balancers, in plain text and encrypted, and configurations that follow each
 * other while connections live; and Katran's three versions.
 */
#include <stdlib.h>

#include "tests/support/peer_cases.h"

#define S MR_SERVER

static const uint8_t key_1[MR_CID_KEY] = {1, 2, 3};
static const uint8_t key_2[MR_CID_KEY] = {4, 5, 6};

static struct peer *pair(const uint8_t *key, enum peer_stage stage)
{
    struct peer_options options = {.under_test = S, .cid_key = key};
    struct peer *p = peer_new(&options);

    peer_run(p, stage);
    return p;
}

/* What a load balancer sees of a connection ID of ours: its server ID; -1: not of that key. */
static int64_t server_id(const uint8_t *cid, const uint8_t *key)
{
    struct mr_cid_cipher cipher = {.encrypt = NULL};
    uint8_t plain[7];

    memcpy(plain, cid + 1, sizeof(plain));
    if (key != NULL) {
        CU_ASSERT_TRUE_FATAL(mr_cid_cipher_open(&cipher, key));
        mr_cid_decrypt(&cipher, plain, sizeof(plain));
        mr_cid_cipher_close(&cipher);
    }
    return (int64_t)plain[0] << 16 | (int64_t)plain[1] << 8 | plain[2];
}

/* Of the pair's server: node 1, shard 1, generation 0. */
#define OURS (1 << 12 | 1 << 2)

/* Those that a connection has issued: how many lead here by `key`, with config rotation `config`.
 */
static uint32_t count_issued(struct peer *p, const uint8_t *key, uint8_t config)
{
    const struct mr_issued_cids *issued = &peer_conn(p)->issued;
    uint32_t count = 0;

    for (uint32_t i = 0; i < MR_CIDS_SLOTS; i++) {
        const uint8_t *cid = (const uint8_t *)&issued->key[i];

        if (issued->key[i] != 0 && cid[0] == (config << 5 | 7))
            count += server_id(cid, key) == OURS;
    }
    return count;
}

/* A datagram for connection ID `cid`; where it goes. */
static uint32_t redirect_of(struct peer *p, const struct mr_cid *cid)
{
    uint8_t bytes[64] = {MR_PACKET_FIXED_BIT};
    struct mr_buf buf = {.references = 1};
    struct mr_datagram d = {.data = bytes, .buf = &buf, .size = sizeof(bytes), .path = p->path};

    memcpy(bytes + 1, cid->bytes, cid->size);
    mr_endpoint_receive_lookup(peer_endpoint(p), &d, 1);
    uint32_t redirect = d.redirect;
    d.redirect = 0; /* nothing else is done with it */
    peer_endpoint(p)->slot_count = 0;
    return redirect;
}

/* A connection ID as another shard of this node would issue it. */
static struct mr_cid of_shard(uint16_t shard, uint8_t config, const uint8_t *key)
{
    struct mr_cid_format format = {.node = 1, .shard = shard, .config = config};
    struct mr_cid cid = mr_cid_encode(&format, 0x12345678);
    struct mr_cid_cipher cipher;

    if (key == NULL)
        return cid;
    CU_ASSERT_TRUE_FATAL(mr_cid_cipher_open(&cipher, key));
    mr_cid_encrypt(&cipher, cid.bytes + 1, cid.size - 1u);
    mr_cid_cipher_close(&cipher);
    return cid;
}

/* "The first octet": config rotation bits, and the length that follows; then the server ID and the
 * nonce, encrypted as one.  "The first three bits of any connection ID MUST encode an identifier
 * for the configuration that the connection ID uses." (Config Rotation)  "In particular, all
 * servers using a configuration MUST consistently add the same length to each connection ID, to
 * preserve the linkability objectives of QUIC-LB." (Server Actions) */
static void connection_ids_are_as_the_draft_has_them(void)
{
    for (int i = 0; i < 2; i++) {
        const uint8_t *key = i == 0 ? NULL : key_1;
        struct peer *p = pair(key, PEER_DONE);

        CU_ASSERT_EQUAL(count_issued(p, key, 0), MR_CIDS_ISSUED_MAX);
        CU_ASSERT_EQUAL(count_issued(p, key_2, 0), 0);
        peer_end(p);
    }
}

/* The server ID is not to be seen: of encrypted ones all bytes but the first differ. */
static void encrypted_ones_do_not_show_their_node(void)
{
    struct peer *p = pair(key_1, PEER_DONE);
    const struct mr_issued_cids *issued = &peer_conn(p)->issued;
    uint32_t same = 0;

    for (uint32_t i = 0; i < MR_CIDS_ISSUED_MAX; i++)
        for (uint32_t k = 0; k < i; k++)
            same += memcmp((const uint8_t *)&issued->key[i] + 1,
                           (const uint8_t *)&issued->key[k] + 1, 3) == 0;
    CU_ASSERT_EQUAL(same, 0);
    peer_end(p);
}

/* Whose is it?  Asked when no table knows it. */
static void datagrams_go_to_the_shard_that_issued(void)
{
    for (int i = 0; i < 2; i++) {
        const uint8_t *key = i == 0 ? NULL : key_1;
        struct peer *p = pair(key, PEER_DONE);

        for (uint16_t shard = 0; shard < 64; shard++) {
            struct mr_cid cid = of_shard(shard, 0, key);

            CU_ASSERT_EQUAL(redirect_of(p, &cid), shard == 1 ? MR_STAY : shard);
        }
        struct mr_cid other = of_shard(3, 1, key); /* a config that we do not have */
        CU_ASSERT_EQUAL(redirect_of(p, &other), MR_STAY);
        other = of_shard(3, 0, key_2); /* another key: one in 4,096 would look like ours */
        CU_ASSERT_EQUAL(redirect_of(p, &other), MR_STAY);
        CU_ASSERT_EQUAL(peer_counters(p)->redirects_out, 63);
        peer_end(p);
    }
}

/* The last NEW_CONNECTION_ID that came. */
static uint64_t newest_prior_to(struct peer *p)
{
    struct mr_frame_new_connection_id frame;
    struct mr_reader r;
    uint64_t prior_to = 0;

    for (uint32_t i = 0; peer_find(p, MR_FRAME_NEW_CONNECTION_ID, i, &r) != NULL; i++)
        if (mr_frame_decode_new_connection_id(&r, MR_FRAME_NEW_CONNECTION_ID, &frame))
            prior_to = MR_MAX(prior_to, frame.retire_prior_to);
    return prior_to;
}

/* "Config Rotation": new connection IDs come from the new configuration, those of the old one are
 * known until their peers have gone over.  "Servers MUST NOT generate new connection IDs using an
 * old configuration after receiving a new one from the configuration agent." (Config Rotation)
 * "Servers MUST use that QUIC version's methods to update the client with CIDs (e.g.,
 * NEW_CONNECTION_ID frames) using the new configuration and retire CIDs using the old
 * configuration." (Config Rotation) */
static void a_new_configuration_follows_while_connections_live(void)
{
    struct peer_options options = {.under_test = S, .cid_key = key_1};
    struct peer *p = peer_new(&options);
    struct mr_endpoint *ep = peer_endpoint(p);

    peer_run(p, PEER_BOTH);
    CU_ASSERT_TRUE(mr_endpoint_set_cid_config(ep, 3, key_2));
    CU_ASSERT_EQUAL(count_issued(p, key_1, 0), MR_CIDS_ISSUED_MAX);
    mr_conn_at(p->side[MR_CLIENT].ep, 0)->app.wants |= MR_WANT_PING;
    mr_conn_wake(p->side[MR_CLIENT].ep, mr_conn_at(p->side[MR_CLIENT].ep, 0));
    peer_clear(p);
    for (int i = 0; i < 8; i++)
        peer_round_trip(p);
    CU_ASSERT_EQUAL(newest_prior_to(p), MR_CIDS_ISSUED_MAX);
    CU_ASSERT_EQUAL(count_issued(p, key_1, 0), 0);
    CU_ASSERT_EQUAL(count_issued(p, key_2, 3), MR_CIDS_ISSUED_MAX);
    CU_ASSERT_EQUAL(peer_counters(p)->cids_renewed, 1);
    const struct mr_cid *used = &mr_cid_current(mr_conn_at(p->side[MR_CLIENT].ep, 0))->cid;
    CU_ASSERT_EQUAL(used->bytes[0], 3 << 5 | 7);
    /* late datagrams of other shards' old connection IDs still find their way */
    struct mr_cid old = of_shard(5, 0, key_1);
    struct mr_cid new = of_shard(6, 3, key_2);
    CU_ASSERT_EQUAL(redirect_of(p, &old), 5);
    CU_ASSERT_EQUAL(redirect_of(p, &new), 6);
    peer_expect_close(p, "rotation", PEER_NO_CLOSE, 0);
    peer_end(p);
}

/* A peer that does not retire what it was asked to is not asked again, and holds no more than the
 * slots there are. */
static void configurations_may_change_faster_than_a_peer_follows(void)
{
    struct peer *p = pair(key_1, PEER_DONE);
    uint32_t held = 0;

    for (uint32_t i = 0; i < 200; i++) {
        CU_ASSERT_TRUE(mr_endpoint_set_cid_config(peer_endpoint(p), (uint8_t)(i % MR_CID_CONFIGS),
                                                  i % 2 == 0 ? key_1 : key_2));
        peer_clear(p);
        PEER_SEND(p, "\1");
    }
    for (uint32_t i = 0; i < MR_CIDS_SLOTS; i++)
        held += peer_conn(p)->issued.key[i] != 0;
    CU_ASSERT_EQUAL(held, 2 * MR_CIDS_ISSUED_MAX);
    CU_ASSERT_EQUAL(peer_counters(p)->cids_renewed, 1);
    peer_expect_close(p, "fast", PEER_NO_CLOSE, 0);
    peer_end(p);
}

static struct mr_cid new_cid(struct mr_endpoint *ep, const struct mr_cid_cipher *cipher)
{
    struct mr_cid cid = mr_endpoint_new_cid(ep);

    if (cipher != NULL)
        mr_cid_decrypt(cipher, cid.bytes + 1, cid.size - 1u);
    return cid;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* "Whether or not it implements the counter method, the server MUST NOT reuse a nonce until it
 * switches to a configuration with new keys." (Connection ID Entropy)  100,000 random ones would
 * have one twice.  "If there is no key in the configuration, the server MUST fill the Nonce field
 * with bytes that have no observable relationship to the field in previously issued connection
 * IDs."  "These bytes MUST NOT provide observers with any information that could link two
 * connection IDs to the same connection, client, or server." (Server Actions) */
static void no_nonce_comes_twice(void)
{
    enum {
        COUNT = 200000
    };
    static uint32_t nonce[2][COUNT];
    struct mr_cid_cipher cipher;

    CU_ASSERT_TRUE_FATAL(mr_cid_cipher_open(&cipher, key_1));
    for (int keyed = 0; keyed < 2; keyed++) {
        struct peer *p = pair(keyed == 0 ? NULL : key_1, PEER_NOTHING);
        struct mr_endpoint *ep = peer_endpoint(p);
        uint32_t near = 0;
        uint32_t ups = 0;
        for (int i = 0; i < COUNT; i++) {
            struct mr_cid cid = new_cid(ep, keyed == 0 ? NULL : &cipher);
            nonce[keyed][i] = mr_load_u32(cid.bytes + 4);
            near += i > 0 && nonce[keyed][i] - nonce[keyed][i - 1] < 1 << 16;
            ups += i > 0 && nonce[keyed][i] > nonce[keyed][i - 1];
        }
        CU_ASSERT(near < 30); /* three may be expected */
        CU_ASSERT(ups > COUNT / 2 - COUNT / 50 && ups < COUNT / 2 + COUNT / 50);
        qsort(nonce[keyed], COUNT, sizeof(uint32_t), by_value);
        for (int i = 1; i < COUNT; i++)
            CU_ASSERT_FATAL(nonce[keyed][i] != nonce[keyed][i - 1]);
        peer_end(p);
    }
    mr_cid_cipher_close(&cipher);
}

/* "A server that has exhausted its nonces MUST either switch to a different configuration, or if
 * none exists, use the 4-tuple routing config rotation codepoint." (Connection ID Entropy)  "These
 * connection IDs MUST self-encode their length" (Configuration Failover) */
static void without_nonces_connection_ids_are_unroutable(void)
{
    struct peer_options options = {.under_test = S, .cid_key = key_1};
    struct peer *p = peer_new(&options);
    struct mr_endpoint *ep = peer_endpoint(p);

    ep->cid_nonces = MR_CID_NONCES - 1;
    CU_ASSERT_EQUAL(mr_endpoint_new_cid(ep).bytes[0], 0 << 5 | 7);
    for (int i = 0; i < 100; i++) {
        struct mr_cid cid = mr_endpoint_new_cid(ep);
        CU_ASSERT_EQUAL(cid.bytes[0], 7 << 5 | 7);
        CU_ASSERT_EQUAL(cid.size, 8);
    }
    CU_ASSERT_EQUAL(peer_counters(p)->limit_cid_nonces, 100);
    peer_run(p, PEER_DONE); /* connections go on all the same */
    struct mr_cid own = mr_endpoint_new_cid(ep);
    CU_ASSERT_EQUAL(redirect_of(p, &own), MR_STAY);
    CU_ASSERT_EQUAL((uint8_t)peer_conn(p)->issued.key[0], 7 << 5 | 7);
    peer_expect_close(p, "unroutable", PEER_NO_CLOSE, 0);
    CU_ASSERT_TRUE(mr_endpoint_set_cid_config(ep, 1, key_2));
    CU_ASSERT_EQUAL(mr_endpoint_new_cid(ep).bytes[0], 1 << 5 | 7);
    peer_end(p);
}

/* Retry, and what a connection that is accepted says of itself. */
static void retries_have_connection_ids_of_the_configuration(void)
{
    struct peer_options options = {
        .under_test = S, .cid_key = key_1, .retry_above = PEER_ALWAYS_RETRY};
    struct peer *p = peer_new(&options);

    peer_run(p, PEER_DONE);
    CU_ASSERT_TRUE(peer_counters(p)->retries_sent > 0);
    CU_ASSERT_EQUAL(count_issued(p, key_1, 0), MR_CIDS_ISSUED_MAX);
    peer_end(p);
}

/* ------------------------------------------------------------------ Katran */

/* What Katran reads: the host ID; -1: not of that version. */
static int64_t host_id(const uint8_t *cid, enum mr_cid_kind kind)
{
    if (cid[0] >> 6 != (int)kind)
        return -1;
    if (kind == MR_CID_KATRAN_1)
        return (cid[0] & 0x3f) << 10 | cid[1] << 2 | cid[2] >> 6;
    if (kind == MR_CID_KATRAN_2)
        return (int64_t)cid[1] << 16 | cid[2] << 8 | cid[3];
    return (int64_t)cid[1] << 24 | cid[2] << 16 | cid[3] << 8 | cid[4];
}

/* What mvfst's servers read: the worker ID. */
static uint32_t worker_id(const uint8_t *cid, enum mr_cid_kind kind)
{
    if (kind == MR_CID_KATRAN_1)
        return (cid[2] & 0x3fu) << 2 | cid[3] >> 6;
    return cid[kind == MR_CID_KATRAN_2 ? 4 : 5];
}

/* Those that the connection has issued and that lead to host 1, worker `role`. */
static uint32_t count_katran(struct peer *p, enum mr_cid_kind kind)
{
    const struct mr_issued_cids *issued = &peer_conn(p)->issued;
    uint32_t count = 0;

    for (uint32_t i = 0; i < MR_CIDS_SLOTS; i++) {
        const uint8_t *cid = (const uint8_t *)&issued->key[i];

        count += issued->key[i] != 0 && host_id(cid, kind) == 1 &&
                 worker_id(cid, kind) == (uint32_t)p->role;
    }
    return count;
}

/* From the first flight to a stream's end: all that the other side sends to after its Initial leads
 * a Katran to us. */
static void run_katran(enum mr_cid_kind kind, enum mr_role role, uint32_t retry_above)
{
    struct peer_options options = {
        .under_test = role, .cid_kind = kind, .retry_above = retry_above};
    struct peer *p = peer_new(&options);

    peer_run(p, PEER_BOTH);
    struct mr_endpoint *partner = p->side[!role].ep;
    struct mr_conn *theirs = mr_conn_at(partner, 0);
    uint64_t before = peer_conn(p)->last_received_ns;

    CU_ASSERT_EQUAL(peer_conn(p)->state, MR_CONN_OPEN);
    CU_ASSERT_EQUAL(count_katran(p, kind), MR_CIDS_ISSUED_MAX);
    CU_ASSERT_EQUAL(theirs->peer_cids[0].sequence, 0);
    for (uint32_t i = 0; i < MR_CIDS_PEER_MAX; i++)
        CU_ASSERT_EQUAL(host_id(theirs->peer_cids[i].cid.bytes, kind), 1);
    theirs->app.wants |= MR_WANT_PING;
    mr_conn_wake(partner, theirs);
    peer_round_trip(p);
    peer_round_trip(p);
    CU_ASSERT_TRUE(peer_conn(p)->last_received_ns > before);
    CU_ASSERT_EQUAL(peer_counters(p)->retries_sent, retry_above == PEER_ALWAYS_RETRY);
    CU_ASSERT_EQUAL(peer_counters(p)->redirects_out, 0);
    peer_expect_close(p, "katran", PEER_NO_CLOSE, 0);
    peer_end(p);
}

static void katran_leads_whole_connections_here(void)
{
    for (int kind = MR_CID_KATRAN_1; kind <= MR_CID_KATRAN_3; kind++) {
        run_katran((enum mr_cid_kind)kind, MR_SERVER, 0);
        run_katran((enum mr_cid_kind)kind, MR_CLIENT, 0);
        run_katran((enum mr_cid_kind)kind, MR_SERVER, PEER_ALWAYS_RETRY);
    }
}

static void katran_datagrams_go_to_the_worker_that_issued(void)
{
    for (int kind = MR_CID_KATRAN_1; kind <= MR_CID_KATRAN_3; kind++) {
        struct peer_options options = {.under_test = S, .cid_kind = (enum mr_cid_kind)kind};
        struct peer *p = peer_new(&options);
        struct mr_cid_format other = {.kind = (uint8_t)kind, .node = 1};

        peer_run(p, PEER_DONE);
        for (uint16_t shard = 0; shard < MR_CID_WORKERS; shard++) {
            other.shard = shard;
            other.generation = shard & 1; /* of a process before this one, too */
            struct mr_cid cid = mr_cid_encode(&other, UINT64_C(0x9e3779b97f4a7c15) * shard);

            CU_ASSERT_EQUAL(redirect_of(p, &cid), shard == 1 ? MR_STAY : shard);
        }
        other = (struct mr_cid_format){.kind = (uint8_t)kind, .node = 2, .shard = 3};
        struct mr_cid cid = mr_cid_encode(&other, 1); /* another host's */
        CU_ASSERT_EQUAL(redirect_of(p, &cid), MR_STAY);
        cid = of_shard(3, 0, NULL); /* of QUIC-LB */
        CU_ASSERT_EQUAL(redirect_of(p, &cid), MR_STAY);
        CU_ASSERT_EQUAL(peer_counters(p)->redirects_out, 255);
        peer_end(p);
    }
}

static CU_TestInfo tests[] = {
    {"connection IDs are as the draft has them", connection_ids_are_as_the_draft_has_them},
    {"encrypted ones do not show their node", encrypted_ones_do_not_show_their_node},
    {"datagrams go to the shard that issued", datagrams_go_to_the_shard_that_issued},
    {"a new configuration follows while connections live",
     a_new_configuration_follows_while_connections_live},
    {"configurations may change faster than a peer follows",
     configurations_may_change_faster_than_a_peer_follows},
    {"no nonce comes twice", no_nonce_comes_twice},
    {"without nonces connection IDs are unroutable", without_nonces_connection_ids_are_unroutable},
    {"retries have connection IDs of the configuration",
     retries_have_connection_ids_of_the_configuration},
    {"Katran leads whole connections here", katran_leads_whole_connections_here},
    {"Katran: datagrams go to the worker that issued",
     katran_datagrams_go_to_the_worker_that_issued},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "load balancers", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
