/* Tests of dataplane/steer.h. */
#include "dataplane/steer.h"

#include <stdlib.h>

#include "base/assert.h"
#include "tests/unit/harness.h"
#include "tests/unit/net_frames.h"

enum {
    SHARDS = 5,
    LONG = 0xc0,
    SHORT = 0x40
};

static struct mr_cid_format format = {.node = 9};
static struct mr_steer steer;

static void start(uint32_t shards)
{
    uint8_t key[MR_RSS_KEY_SIZE];

    for (uint32_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)(i * i * 37 + 11);
    mr_steer_init(&steer, &format, shards, key);
}

static struct mr_cid cid_of(uint16_t shard)
{
    struct mr_cid_format mine = format;

    mine.shard = shard;
    return mr_cid_encode(&mine, 0x12345678);
}

/* A QUIC packet with this connection ID in a frame. */
static struct test_frame packet(bool is_v4, uint16_t vlan, uint8_t first, const uint8_t *cid,
                                uint8_t cid_size)
{
    struct test_frame f = udp_frame(is_v4, vlan, 100);
    uint8_t *p = f.bytes + f.l4 + 8;

    p[0] = first;
    if ((first & 0x80) != 0) {
        mr_store_be32(p + 1, 1);
        p[5] = cid_size;
        memcpy(p + 6, cid, cid_size);
    } else {
        memcpy(p + 1, cid, cid_size);
    }
    return f;
}

static uint32_t shard_of(const struct test_frame *f)
{
    return mr_steer_frame(&steer, f->bytes, f->size);
}

static void a_connection_id_of_ours_names_the_shard(void)
{
    start(SHARDS);
    for (uint16_t shard = 0; shard < SHARDS; shard++)
        for (int i = 0; i < 8; i++) {
            struct mr_cid cid = cid_of(shard);
            struct test_frame f = packet((i & 1) != 0, (i & 2) != 0 ? 7 : 0,
                                         (i & 4) != 0 ? LONG : SHORT, cid.bytes, cid.size);

            CU_ASSERT_EQUAL(shard_of(&f), shard);
        }
}

static void so_does_one_of_katrans(void)
{
    for (format.kind = MR_CID_KATRAN_1; format.kind <= MR_CID_KATRAN_3; format.kind++) {
        start(SHARDS);
        for (uint16_t shard = 0; shard < SHARDS; shard++) {
            struct mr_cid cid = cid_of(shard);
            struct test_frame f = packet(true, 0, SHORT, cid.bytes, cid.size);

            CU_ASSERT_EQUAL(shard_of(&f), shard);
        }
    }
    format.kind = MR_CID_QUIC_LB;
}

static void others_go_by_addresses_and_ports(void)
{
    uint32_t seen = 0;

    start(SHARDS);
    for (uint16_t port = 1000; port < 1064; port++) {
        static const uint8_t foreign[20] = {0xff, 1, 2, 3, 4, 5, 6, 7, 8};
        struct test_frame f = packet(port % 2 == 0, 0, LONG, foreign, (uint8_t)(8 + port % 13));
        struct test_frame again = packet(port % 2 == 0, 0, SHORT, foreign, 8);

        mr_store_be16(f.bytes + f.l4, port);
        mr_store_be16(again.bytes + again.l4, port);
        uint32_t shard = shard_of(&f);
        CU_ASSERT_FATAL(shard < SHARDS);
        CU_ASSERT_EQUAL(shard_of(&again), shard);
        seen |= 1u << shard;
    }
    CU_ASSERT_EQUAL(seen, (1u << SHARDS) - 1);
}

/* A shard that is none of this port's: of a process that had more of them. */
static void a_shard_that_is_not_there_gets_nothing(void)
{
    struct mr_cid cid = cid_of(SHARDS);
    struct test_frame f = packet(true, 0, SHORT, cid.bytes, cid.size);

    start(SHARDS);
    CU_ASSERT(shard_of(&f) < SHARDS);
}

static void what_is_no_datagram_is_shard_0s(void)
{
    struct test_frame arp = {.size = 42};
    struct test_frame icmp = icmp_frame(true, 8, 0, 1, (const uint8_t *)"ping", 4);
    struct test_frame neighbour =
        icmp_frame(false, 135, 0, 0, (const uint8_t *)"0123456789abcdef", 16);
    struct mr_cid cid = cid_of(3);
    struct test_frame fragment = packet(true, 0, SHORT, cid.bytes, cid.size);
    struct test_frame empty = udp_frame(true, 0, 0);

    start(SHARDS);
    put_ethernet(&arp, 0, 0x0806);
    fragment.bytes[fragment.l3 + 6] = 0x20; /* more follow */
    CU_ASSERT_EQUAL(shard_of(&arp), 0);
    CU_ASSERT_EQUAL(shard_of(&icmp), 0);
    CU_ASSERT_EQUAL(shard_of(&neighbour), 0);
    CU_ASSERT_EQUAL(shard_of(&fragment), 0);
    CU_ASSERT_EQUAL(shard_of(&empty), 0);
}

static void a_frame_that_is_cut_off_goes_somewhere(void)
{
    struct mr_cid cid = cid_of(4);

    start(SHARDS);
    for (int i = 0; i < 4; i++) {
        struct test_frame f =
            packet((i & 1) != 0, 0, (i & 2) != 0 ? LONG : SHORT, cid.bytes, cid.size);

        for (uint32_t size = 0; size < f.l4 + 8 + 14; size++) { /* a connection ID's last byte */
            uint8_t *cut = malloc(size + 1);                    /* its end is the sanitizers' */

            MR_ASSERT(cut != NULL);
            memcpy(cut, f.bytes, size);
            CU_ASSERT(mr_steer_frame(&steer, cut, size) < SHARDS);
            free(cut);
        }
        CU_ASSERT_EQUAL(mr_steer_frame(&steer, f.bytes, f.l4 + 8 + 14), 4);
    }
}

static CU_TestInfo tests[] = {
    {"Q14 a connection ID of ours names the shard", a_connection_id_of_ours_names_the_shard},
    {"so does one of Katran's", so_does_one_of_katrans},
    {"others go by addresses and ports", others_go_by_addresses_and_ports},
    {"a shard that is not there gets nothing", a_shard_that_is_not_there_gets_nothing},
    {"what is no datagram is shard 0's", what_is_no_datagram_is_shard_0s},
    {"a frame that is cut off goes somewhere", a_frame_that_is_cut_off_goes_somewhere},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "dataplane/steer", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
