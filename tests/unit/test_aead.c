/*
 * Tests of quic/aead.h: what one back end seals the other opens, byte for byte, whatever the sizes,
 * ciphers and places that data is copied to.
 */
#include "quic/aead.h"

#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "quic/aead_backend.h"
#include "tests/unit/harness.h"

#define PACKET_MAX  9200
#define PAYLOAD_MAX 9000
#define COPIES_MAX  4
#define SOURCE_SIZE 65536

static const struct {
    enum mr_aead_backend backend;
    const char *name;
} backends[] = {
    {MR_AEAD_OPENSSL, "openssl"},
    {MR_AEAD_IPSEC_MB, "ipsec-mb"},
};

static uint32_t below(struct mr_random *random, uint32_t bound)
{
    return (uint32_t)(mr_random_u64(random) % bound);
}

static void fill(struct mr_random *random, uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)mr_random_u64(random);
}

/* ------------------------------------------------------------------ a pair of ends */

/* Both directions' keys of one cipher in one back end. */
struct rig {
    struct mr_aead *aead;
    struct mr_aead_key seal;
    struct mr_aead_key open;
    struct mr_hp_key hp;
};

/* Keys are a function of `number`.  False where the back end does not exist. */
static bool rig_open(struct rig *rig, enum mr_aead_backend backend, enum mr_cipher cipher,
                     uint64_t number)
{
    uint8_t bytes[76];
    struct mr_random random;

    memset(rig, 0xa5, sizeof(*rig)); /* memory of any content */
    mr_aead_key_init(&rig->seal);
    mr_aead_key_init(&rig->open);
    mr_hp_key_init(&rig->hp);
    rig->aead = mr_aead_open(backend);
    if (rig->aead == NULL)
        return false;
    mr_random_init_number(&random, number);
    fill(&random, bytes, sizeof(bytes));
    CU_ASSERT(mr_aead_key_set(rig->aead, &rig->seal, cipher, bytes, bytes + 32, true));
    CU_ASSERT(mr_aead_key_set(rig->aead, &rig->open, cipher, bytes, bytes + 32, false));
    CU_ASSERT(mr_hp_key_set(rig->aead, &rig->hp, cipher, bytes + 44));
    return true;
}

static void rig_close(struct rig *rig)
{
    mr_aead_key_clear(rig->aead, &rig->seal);
    mr_aead_key_clear(rig->aead, &rig->open);
    mr_hp_key_clear(rig->aead, &rig->hp);
    mr_aead_close(rig->aead);
}

/* ------------------------------------------------------------------ random packets */

/* A packet before protection: `plain` is what opening must give back. */
struct shape {
    struct mr_seal_job job; /* packet, keys and copies are set by shape_seal() */
    struct mr_seal_copy copies[COPIES_MAX];
    uint8_t written[PACKET_MAX]; /* header and frames, holes where copies go */
    uint8_t plain[PACKET_MAX];
};

static uint8_t source[SOURCE_SIZE];

/* Put up to COPIES_MAX copies into the payload, anywhere, not overlapping. */
static void shape_copies(struct shape *shape, struct mr_random *random)
{
    uint32_t at = shape->job.header_size;
    uint32_t end = at + shape->job.payload_size;
    uint32_t wanted = below(random, COPIES_MAX + 1);

    for (uint32_t i = 0; i < wanted && at < end; i++) {
        uint32_t begin = at + below(random, MR_MIN(end - at, 40u));
        uint32_t room = end - begin;
        bool is_last = i + 1 == wanted;
        uint32_t size = is_last && below(random, 2) == 0 ? room : below(random, room + 1);
        uint32_t from = below(random, SOURCE_SIZE - PACKET_MAX);

        shape->copies[shape->job.copy_count++] =
            (struct mr_seal_copy){.source = source + from, .size = size, .at = begin};
        memcpy(shape->plain + begin, source + from, size);
        at = begin + size;
    }
}

static void shape_make(struct shape *shape, struct mr_random *random, uint16_t payload_size)
{
    bool is_long = below(random, 2) == 0;
    uint16_t pn_size = (uint16_t)(1 + below(random, 4));
    uint16_t header_size = (uint16_t)(pn_size + 1 + below(random, 60));

    memset(shape, 0, sizeof(*shape));
    fill(random, shape->written, sizeof(shape->written));
    shape->written[0] = (uint8_t)((is_long ? 0xc0 : 0x40) | (pn_size - 1));
    shape->job.header_size = header_size;
    shape->job.pn_size = pn_size;
    shape->job.pn = mr_random_u64(random) >> (2 + below(random, 62));
    shape->job.path_id = below(random, 3) == 0 ? below(random, UINT32_MAX) : 0;
    shape->job.payload_size = payload_size;
    for (uint32_t i = 0; i < pn_size; i++)
        shape->written[header_size - 1 - i] = (uint8_t)(shape->job.pn >> (8 * i));
    memcpy(shape->plain, shape->written, sizeof(shape->plain));
    shape_copies(shape, random);
}

static size_t shape_size(const struct shape *shape)
{
    return (size_t)shape->job.header_size + shape->job.payload_size + MR_AEAD_TAG;
}

static void shape_seal(const struct shape *shape, struct rig *rig, uint8_t *packet)
{
    struct mr_seal_job job = shape->job;

    memcpy(packet, shape->written, PACKET_MAX);
    job.packet = packet;
    job.key = &rig->seal;
    job.hp = &rig->hp;
    job.copies = shape->copies;
    mr_seal_burst(rig->aead, &job, 1);
}

static struct mr_open_job shape_open_job(const struct shape *shape, struct rig *rig,
                                         uint8_t *packet)
{
    return (struct mr_open_job){
        .key = &rig->open,
        .hp = &rig->hp,
        .packet = packet,
        .expected_pn = shape->job.pn,
        .path_id = shape->job.path_id,
        .pn_offset = (uint16_t)(shape->job.header_size - shape->job.pn_size),
        .size = (uint16_t)shape_size(shape),
    };
}

static void shape_check_open(const struct shape *shape, struct rig *rig, uint8_t *packet)
{
    struct mr_open_job job = shape_open_job(shape, rig, packet);

    mr_unmask_burst(rig->aead, &job, 1);
    CU_ASSERT(job.is_unmasked);
    CU_ASSERT_EQUAL(job.pn, shape->job.pn);
    CU_ASSERT_EQUAL(job.header_size, shape->job.header_size);
    mr_open_burst(rig->aead, &job, 1);
    CU_ASSERT(job.is_open);
    CU_ASSERT_EQUAL(memcmp(packet, shape->plain, shape_size(shape) - MR_AEAD_TAG), 0);
}

/* ------------------------------------------------------------------ tests */

static void check_pair(struct rig *a, struct rig *b, const struct shape *shape)
{
    static uint8_t of_a[PACKET_MAX];
    static uint8_t of_b[PACKET_MAX];

    shape_seal(shape, a, of_a);
    shape_seal(shape, b, of_b);
    CU_ASSERT_EQUAL(memcmp(of_a, of_b, sizeof(of_a)), 0); /* bytes behind the tag are untouched */
    shape_check_open(shape, a, of_b);
    shape_check_open(shape, b, of_a);
}

static void both_back_ends_give_the_same_bytes_at_every_size(void)
{
    static struct shape shape;
    struct mr_random random;

    mr_random_init_number(&random, 1);
    fill(&random, source, sizeof(source));
    for (int cipher = 0; cipher < MR_CIPHERS; cipher++) {
        struct rig a;
        struct rig b;

        CU_ASSERT_FATAL(rig_open(&a, MR_AEAD_OPENSSL, (enum mr_cipher)cipher, 7));
        if (!rig_open(&b, MR_AEAD_IPSEC_MB, (enum mr_cipher)cipher, 7)) {
            mr_test_skip("intel-ipsec-mb is not there");
            CU_ASSERT(rig_open(&b, MR_AEAD_OPENSSL, (enum mr_cipher)cipher, 7));
        }
        for (uint16_t size = 3; size <= PAYLOAD_MAX; size = (uint16_t)(size + 1 + size / 512)) {
            shape_make(&shape, &random, size);
            check_pair(&a, &b, &shape);
        }
        rig_close(&a);
        rig_close(&b);
    }
}

/* The smallest payload a packet number allows: 4 bytes from the packet number on. */
static void the_smallest_packets_are_sealed_and_opened(void)
{
    static struct shape shape;
    static uint8_t packet[PACKET_MAX];

    for (size_t b = 0; b < MR_COUNT_OF(backends); b++)
        for (int cipher = 0; cipher < MR_CIPHERS; cipher++) {
            struct mr_random random;
            struct rig rig;

            if (!rig_open(&rig, backends[b].backend, (enum mr_cipher)cipher, 8))
                continue;
            mr_random_init_number(&random, 2);
            for (int i = 0; i < 50; i++) {
                shape_make(&shape, &random, 3);
                shape.job.payload_size = (uint16_t)(4 - shape.job.pn_size);
                shape.job.copy_count = 0;
                memcpy(shape.plain, shape.written, sizeof(shape.plain));
                shape_seal(&shape, &rig, packet);
                shape_check_open(&shape, &rig, packet);
            }
            rig_close(&rig);
        }
}

static void check_every_flip(struct rig *rig, const struct shape *shape)
{
    static uint8_t sealed[PACKET_MAX];
    static uint8_t packet[PACKET_MAX];

    shape_seal(shape, rig, sealed);
    for (size_t at = 0; at < shape_size(shape); at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            struct mr_open_job job = shape_open_job(shape, rig, packet);

            memcpy(packet, sealed, sizeof(packet));
            packet[at] ^= (uint8_t)(1u << bit);
            mr_unmask_burst(rig->aead, &job, 1);
            mr_open_burst(rig->aead, &job, 1);
            CU_ASSERT_FALSE(job.is_open);
        }
    memcpy(packet, sealed, sizeof(packet));
    shape_check_open(shape, rig, packet);
}

static void a_packet_with_any_bit_flipped_does_not_open(void)
{
    static struct shape shape;
    struct mr_random random;

    mr_random_init_number(&random, 3);
    for (size_t b = 0; b < MR_COUNT_OF(backends); b++)
        for (int cipher = 0; cipher < MR_CIPHERS; cipher++) {
            struct rig rig;

            if (!rig_open(&rig, backends[b].backend, (enum mr_cipher)cipher, 9))
                continue;
            shape_make(&shape, &random, 90);
            check_every_flip(&rig, &shape);
            rig_close(&rig);
        }
}

static void the_path_id_is_part_of_the_nonce(void)
{
    static struct shape shape;
    static uint8_t packet[PACKET_MAX];
    struct mr_random random;

    mr_random_init_number(&random, 4);
    for (size_t b = 0; b < MR_COUNT_OF(backends); b++) {
        struct rig rig;

        if (!rig_open(&rig, backends[b].backend, MR_CIPHER_AES_128_GCM, 10))
            continue;
        shape_make(&shape, &random, 100);
        shape.job.path_id = 5;
        shape_seal(&shape, &rig, packet);

        struct mr_open_job job = shape_open_job(&shape, &rig, packet);
        job.path_id = 0;
        mr_unmask_burst(rig.aead, &job, 1);
        mr_open_burst(rig.aead, &job, 1);
        CU_ASSERT_FALSE(job.is_open);
        rig_close(&rig);
    }
}

/* RFC 9000, Appendix A.3: its example, and both edges of the window. */
static void packet_numbers_are_recovered_next_to_the_expected_one(void)
{
    static const struct {
        uint64_t expected;
        uint64_t pn;
        uint16_t pn_size;
    } cases[] = {
        {0xa82f30eb, 0xa82f9b32, 2},
        {0, 0, 1},
        {1, 0, 1},
        {0, 128, 1},
        {1000, 1000 + 128, 1},
        {1000, 1000 - 127, 1},
        {0x10000, 0x10000 - 0x7fff, 2},
        {0x10000, 0x10000 + 0x8000, 2},
        {(UINT64_C(1) << 62) - 2, (UINT64_C(1) << 62) - 1, 1},
        {(UINT64_C(1) << 62) - 1, (UINT64_C(1) << 62) - 100, 1},
        {UINT64_C(0x123456789a), UINT64_C(0x1234567800), 4},
        {0, 200, 1}, /* the nearer one would be negative, or too large */
        {(UINT64_C(1) << 62) - 1, (UINT64_C(1) << 62) - 256, 1},
    };
    static struct shape shape;
    static uint8_t packet[PACKET_MAX];
    struct mr_random random;
    struct rig rig;

    mr_random_init_number(&random, 5);
    CU_ASSERT_FATAL(rig_open(&rig, MR_AEAD_OPENSSL, MR_CIPHER_AES_128_GCM, 11));
    for (size_t i = 0; i < MR_COUNT_OF(cases); i++) {
        shape_make(&shape, &random, 40);
        shape.job.pn = cases[i].pn;
        shape.job.pn_size = cases[i].pn_size;
        shape.job.header_size = (uint16_t)(9 + cases[i].pn_size);
        shape.job.copy_count = 0;
        shape.written[0] = (uint8_t)(0x40 | (cases[i].pn_size - 1));
        for (uint32_t k = 0; k < cases[i].pn_size; k++)
            shape.written[shape.job.header_size - 1 - k] = (uint8_t)(cases[i].pn >> (8 * k));
        shape_seal(&shape, &rig, packet);

        struct mr_open_job job = shape_open_job(&shape, &rig, packet);
        job.expected_pn = cases[i].expected;
        mr_unmask_burst(rig.aead, &job, 1);
        CU_ASSERT_EQUAL(job.pn, cases[i].pn);
        mr_open_burst(rig.aead, &job, 1);
        CU_ASSERT(job.is_open);
    }
    rig_close(&rig);
}

/* Packets of all ciphers side by side, in a burst longer than the lanes of header protection. */
static void a_long_burst_may_mix_keys_and_ciphers(void)
{
    enum {
        PACKETS = 75
    };
    static struct shape shapes[PACKETS];
    static uint8_t packets[PACKETS][PACKET_MAX];
    struct mr_seal_job seal[PACKETS];
    struct mr_open_job open[PACKETS];

    for (size_t b = 0; b < MR_COUNT_OF(backends); b++) {
        struct mr_aead *aead = mr_aead_open(backends[b].backend);
        struct mr_random random;
        struct rig rigs[MR_CIPHERS];

        if (aead == NULL)
            continue;
        mr_random_init_number(&random, 6);
        for (int i = 0; i < MR_CIPHERS; i++)
            CU_ASSERT(rig_open(&rigs[i], backends[b].backend, (enum mr_cipher)i, 12));
        for (uint32_t i = 0; i < PACKETS; i++) {
            struct rig *rig = &rigs[below(&random, MR_CIPHERS)];

            shape_make(&shapes[i], &random, (uint16_t)(3 + below(&random, 1400)));
            memcpy(packets[i], shapes[i].written, PACKET_MAX);
            seal[i] = shapes[i].job;
            seal[i].packet = packets[i];
            seal[i].copies = shapes[i].copies;
            seal[i].key = &rig->seal;
            seal[i].hp = &rig->hp;
            open[i] = shape_open_job(&shapes[i], rig, packets[i]);
        }
        mr_seal_burst(aead, seal, PACKETS);
        mr_unmask_burst(aead, open, PACKETS);
        open[5].is_unmasked = false; /* what is not unmasked is left alone */
        open[5].is_open = true;
        mr_open_burst(aead, open, PACKETS);
        for (uint32_t i = 0; i < PACKETS; i++) {
            CU_ASSERT_EQUAL(open[i].is_open, i != 5);
            if (i != 5)
                CU_ASSERT_EQUAL(
                    memcmp(packets[i], shapes[i].plain, shape_size(&shapes[i]) - MR_AEAD_TAG), 0);
        }
        for (int i = 0; i < MR_CIPHERS; i++)
            rig_close(&rigs[i]);
        mr_aead_close(aead);
    }
}

/* A key slot is set again and again, with other ciphers and directions, without being cleared. */
static void a_key_slot_can_be_reused(void)
{
    static struct shape shape;
    static uint8_t packet[PACKET_MAX];

    for (size_t b = 0; b < MR_COUNT_OF(backends); b++) {
        struct mr_random random;
        struct rig rig;

        mr_random_init_number(&random, 13);
        if (!rig_open(&rig, backends[b].backend, MR_CIPHER_AES_128_GCM, 13))
            continue;
        for (int i = 0; i < 12; i++) {
            enum mr_cipher cipher = (enum mr_cipher)(i % MR_CIPHERS);
            bool is_swapped = i % 2 == 1;
            uint8_t bytes[76];
            struct mr_aead_key *seal = is_swapped ? &rig.open : &rig.seal;
            struct mr_aead_key *open = is_swapped ? &rig.seal : &rig.open;
            struct rig now;

            fill(&random, bytes, sizeof(bytes));
            CU_ASSERT(mr_aead_key_set(rig.aead, seal, cipher, bytes, bytes + 32, true));
            CU_ASSERT(mr_aead_key_set(rig.aead, open, cipher, bytes, bytes + 32, false));
            CU_ASSERT(mr_hp_key_set(rig.aead, &rig.hp, cipher, bytes + 44));
            now = (struct rig){.aead = rig.aead, .seal = *seal, .open = *open, .hp = rig.hp};
            shape_make(&shape, &random, 500);
            shape_seal(&shape, &now, packet);
            shape_check_open(&shape, &now, packet);
        }
        rig_close(&rig);
    }
}

/* The schedule of quic/hp_aesni.h against OpenSSL's own AES, for both key sizes. */
static void own_header_protection_masks_are_openssls(void)
{
    static const enum mr_cipher ciphers[] = {MR_CIPHER_AES_128_GCM, MR_CIPHER_AES_256_GCM};
    struct mr_aead *aead = mr_aead_open(MR_AEAD_OPENSSL);
    struct mr_random random;

    CU_ASSERT_PTR_NOT_NULL_FATAL(aead);
    mr_random_init_number(&random, 15);
    for (size_t i = 0; i < MR_COUNT_OF(ciphers); i++) {
        struct mr_hp_key own = {{0}};
        struct mr_hp_state evp = {.evp = NULL};
        uint8_t key[32];
        uint8_t packet[24];
        uint8_t mask[16];
        struct mr_open_job job = {.hp = &own, .packet = packet, .pn_offset = 4, .size = 24};

        fill(&random, key, sizeof(key));
        fill(&random, packet, sizeof(packet));
        CU_ASSERT(mr_hp_key_set(aead, &own, ciphers[i], key));
        CU_ASSERT(mr_evp_hp_set(aead, &evp, ciphers[i], key));
        mr_evp_mask(&evp, packet + 8, mask);
        uint8_t first_byte = packet[0];
        uint8_t pn_byte = packet[4];
        mr_unmask_burst(aead, &job, 1);
        CU_ASSERT_EQUAL(packet[0] ^ first_byte, mask[0] & ((first_byte & 0x80) != 0 ? 0x0f : 0x1f));
        CU_ASSERT_EQUAL(packet[4] ^ pn_byte, mask[1]);
        mr_evp_hp_clear(&evp);
        mr_hp_key_clear(aead, &own);
    }
    mr_aead_close(aead);
}

static void the_null_back_end_copies_and_checks_zero_tags(void)
{
    static struct shape shape;
    static uint8_t packet[PACKET_MAX];
    struct mr_random random;
    struct rig rig;

    mr_random_init_number(&random, 14);
    CU_ASSERT_FATAL(rig_open(&rig, MR_AEAD_NULL, MR_CIPHER_AES_128_GCM, 14));
    CU_ASSERT_STRING_EQUAL(mr_aead_name(rig.aead), "null");
    shape_make(&shape, &random, 1000);
    shape_seal(&shape, &rig, packet);
    CU_ASSERT_EQUAL(memcmp(packet, shape.plain, shape_size(&shape) - MR_AEAD_TAG), 0);
    shape_check_open(&shape, &rig, packet);

    struct mr_open_job job = shape_open_job(&shape, &rig, packet);
    packet[shape_size(&shape) - 1] = 1;
    mr_unmask_burst(rig.aead, &job, 1);
    mr_open_burst(rig.aead, &job, 1);
    CU_ASSERT_FALSE(job.is_open);
    rig_close(&rig);
}

static void back_ends_have_names(void)
{
    for (size_t b = 0; b < MR_COUNT_OF(backends); b++) {
        struct mr_aead *aead = mr_aead_open(backends[b].backend);

        if (aead == NULL)
            continue;
        CU_ASSERT_STRING_EQUAL(mr_aead_name(aead), backends[b].name);
        mr_aead_close(aead);
    }
    mr_aead_close(NULL);
}

static CU_TestInfo tests[] = {
    {"both back ends give the same bytes at every size",
     both_back_ends_give_the_same_bytes_at_every_size},
    {"the smallest packets are sealed and opened", the_smallest_packets_are_sealed_and_opened},
    {"a packet with any bit flipped does not open", a_packet_with_any_bit_flipped_does_not_open},
    {"the path ID is part of the nonce", the_path_id_is_part_of_the_nonce},
    {"packet numbers are recovered next to the expected one",
     packet_numbers_are_recovered_next_to_the_expected_one},
    {"a long burst may mix keys and ciphers", a_long_burst_may_mix_keys_and_ciphers},
    {"a key slot can be reused", a_key_slot_can_be_reused},
    {"own header protection masks are OpenSSL's", own_header_protection_masks_are_openssls},
    {"the null back end copies and checks zero tags",
     the_null_back_end_copies_and_checks_zero_tags},
    {"back ends have names", back_ends_have_names},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/aead", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
