/*
 * Packet protection against the RFCs' own packets, in every back end that this machine has.
 * Vectors: RFC 9001, Appendix A; RFC 9369, Appendix A.
 */
#include <string.h>

#include "quic/aead.h"
#include "quic/keys.h"
#include "tests/conformance/vectors_protection.h"
#include "tests/hex.h"
#include "tests/unit/harness.h"

#define PACKET_MAX 1500

/* A packet of the appendices, and how its unprotected form looks. */
struct sample {
    uint32_t version;
    enum mr_role sender;
    const char *header;
    const char *payload; /* followed by PADDING up to the packet's size */
    const char *packet;
    uint16_t pn_offset;
    uint16_t pn_size;
    uint64_t pn;
};

static const struct sample samples[] = {
    {MR_VERSION_1, MR_CLIENT, "c300000001088394c8f03e5157080000449e00000002", v1_client_frame,
     v1_client_packet, 18, 4, 2},
    {MR_VERSION_1, MR_SERVER, "c1000000010008f067a5502a4262b50040750001", v1_server_payload,
     v1_server_packet, 18, 2, 1},
    {MR_VERSION_2, MR_CLIENT, "d36b3343cf088394c8f03e5157080000449e00000002", v1_client_frame,
     v2_client_packet, 18, 4, 2},
    {MR_VERSION_2, MR_SERVER, "d16b3343cf0008f067a5502a4262b50040750001", v1_server_payload,
     v2_server_packet, 18, 2, 1},
};

static const struct mr_cid client_dcid = {
    .size = 8, .bytes = {0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08}};

static const char chacha_secret[] =
    "9ac312a7f877468ebe69422748ad00a15443f18203a07d6060f688f30f21632b";

/* One back end with the keys of one direction, both ends of it. */
struct rig {
    struct mr_aead *aead;
    struct mr_aead_key seal;
    struct mr_aead_key open;
    struct mr_hp_key hp;
};

static const enum mr_aead_backend backends[] = {MR_AEAD_OPENSSL, MR_AEAD_IPSEC_MB};

/* False where the back end does not exist. */
static bool rig_open(struct rig *rig, enum mr_aead_backend backend,
                     const struct mr_key_material *keys)
{
    enum mr_cipher cipher = (enum mr_cipher)keys->cipher;

    memset(rig, 0, sizeof(*rig));
    rig->aead = mr_aead_open(backend);
    if (rig->aead == NULL)
        return false;
    CU_ASSERT(mr_aead_key_set(rig->aead, &rig->seal, cipher, keys->key, keys->iv, true));
    CU_ASSERT(mr_aead_key_set(rig->aead, &rig->open, cipher, keys->key, keys->iv, false));
    CU_ASSERT(mr_hp_key_set(rig->aead, &rig->hp, cipher, keys->hp));
    return true;
}

static void rig_close(struct rig *rig)
{
    mr_aead_key_clear(rig->aead, &rig->seal);
    mr_aead_key_clear(rig->aead, &rig->open);
    mr_hp_key_clear(rig->aead, &rig->hp);
    mr_aead_close(rig->aead);
}

static void keys_of(const struct sample *sample, struct mr_key_material *keys)
{
    struct mr_initial_secrets secrets;

    mr_keys_initial(sample->version, &client_dcid, &secrets);
    mr_keys_derive(sample->version, &secrets.of[sample->sender], keys);
}

/* The unprotected packet without its tag; returns the size of a protected one. */
static size_t lay_out(const struct sample *sample, uint8_t *packet, struct mr_seal_job *job)
{
    uint8_t protected[PACKET_MAX];
    size_t size = mr_hex(sample->packet, protected, sizeof(protected));

    memset(packet, 0, PACKET_MAX);
    *job =
        (struct mr_seal_job){.packet = packet,
                             .pn = sample->pn,
                             .pn_size = sample->pn_size,
                             .header_size = (uint16_t)mr_hex(sample->header, packet, PACKET_MAX)};
    mr_hex(sample->payload, packet + job->header_size, (size_t)(PACKET_MAX - job->header_size));
    job->payload_size = (uint16_t)(size - job->header_size - MR_AEAD_TAG);
    return size;
}

static void check_seal(struct rig *rig, const struct sample *sample)
{
    uint8_t packet[PACKET_MAX];
    uint8_t expected[PACKET_MAX];
    struct mr_seal_job job;
    size_t size = lay_out(sample, packet, &job);

    job.key = &rig->seal;
    job.hp = &rig->hp;
    mr_seal_burst(rig->aead, &job, 1);
    mr_hex(sample->packet, expected, sizeof(expected));
    CU_ASSERT_EQUAL(memcmp(packet, expected, size), 0);
}

static void check_open(struct rig *rig, const struct sample *sample)
{
    uint8_t packet[PACKET_MAX];
    uint8_t expected[PACKET_MAX];
    struct mr_seal_job plain;
    size_t size = lay_out(sample, expected, &plain);
    struct mr_open_job job = {.key = &rig->open,
                              .hp = &rig->hp,
                              .packet = packet,
                              .pn_offset = sample->pn_offset,
                              .size = (uint16_t)size};

    mr_hex(sample->packet, packet, sizeof(packet));
    mr_unmask_burst(rig->aead, &job, 1);
    CU_ASSERT(job.is_unmasked);
    CU_ASSERT_EQUAL(job.pn, sample->pn);
    CU_ASSERT_EQUAL(job.header_size, sample->pn_offset + sample->pn_size);
    mr_open_burst(rig->aead, &job, 1);
    CU_ASSERT(job.is_open);
    CU_ASSERT_EQUAL(memcmp(packet, expected, size - MR_AEAD_TAG), 0);
}

/* RFC 9001, Section 5.2: "The HKDF-Expand-Label function defined in TLS 1.3 MUST be used for
 * Initial packets even where the TLS versions offered do not include TLS 1.3." */
static void the_sample_initials_come_out_and_go_back_in(void)
{
    for (size_t i = 0; i < MR_COUNT_OF(samples); i++) {
        struct mr_key_material keys;

        keys_of(&samples[i], &keys);
        for (size_t b = 0; b < MR_COUNT_OF(backends); b++) {
            struct rig rig;

            if (!rig_open(&rig, backends[b], &keys))
                continue;
            check_seal(&rig, &samples[i]);
            check_open(&rig, &samples[i]);
            rig_close(&rig);
        }
    }
}

/* RFC 9001, Appendix A.5; RFC 9369, Appendix A.5. */
static const struct {
    uint32_t version;
    const char *packet;
} chacha_samples[] = {
    {MR_VERSION_1, "4cfe4189655e5cd55c41f69080575d7999c25a5bfb"},
    {MR_VERSION_2, "5558b1c60ae7b6b932bc27d786f4bc2bb20f2162ba"},
};

static void check_chacha(struct rig *rig, const char *text)
{
    uint8_t packet[32] = {0x42, 0x00, 0xbf, 0xf4, 0x01};
    uint8_t expected[32];
    size_t size = mr_hex(text, expected, sizeof(expected));
    struct mr_seal_job seal = {.key = &rig->seal,
                               .hp = &rig->hp,
                               .packet = packet,
                               .pn = 654360564,
                               .header_size = 4,
                               .payload_size = 1,
                               .pn_size = 3};
    struct mr_open_job open = {.key = &rig->open,
                               .hp = &rig->hp,
                               .packet = packet,
                               .expected_pn = 654360000,
                               .pn_offset = 1,
                               .size = (uint16_t)size};

    mr_seal_burst(rig->aead, &seal, 1);
    CU_ASSERT_EQUAL(memcmp(packet, expected, size), 0);
    mr_unmask_burst(rig->aead, &open, 1);
    CU_ASSERT_EQUAL(open.pn, 654360564);
    mr_open_burst(rig->aead, &open, 1);
    CU_ASSERT(open.is_open);
    CU_ASSERT_EQUAL(packet[4], 0x01);
}

static void the_chacha20_short_header_packet_comes_out_and_goes_back_in(void)
{
    for (size_t i = 0; i < MR_COUNT_OF(chacha_samples); i++) {
        struct mr_secret secret = {.size = 32, .cipher = MR_CIPHER_CHACHA20_POLY1305};
        struct mr_key_material keys;

        mr_hex(chacha_secret, secret.bytes, sizeof(secret.bytes));
        mr_keys_derive(chacha_samples[i].version, &secret, &keys);
        for (size_t b = 0; b < MR_COUNT_OF(backends); b++) {
            struct rig rig;

            if (!rig_open(&rig, backends[b], &keys))
                continue;
            check_chacha(&rig, chacha_samples[i].packet);
            rig_close(&rig);
        }
    }
}

/*
 * RFC 9001, Section 5.4.2: "An endpoint MUST discard packets that are not long enough to contain a
 * complete sample."
 */
static void packets_too_short_for_a_sample_are_not_unmasked(void)
{
    struct mr_key_material keys;
    struct rig rig;

    keys_of(&samples[0], &keys);
    if (!rig_open(&rig, MR_AEAD_AUTO, &keys))
        return;
    for (uint16_t size = 1; size < 60; size++) {
        uint8_t packet[64];
        uint8_t before[64];
        struct mr_open_job job = {
            .key = &rig.open, .hp = &rig.hp, .packet = packet, .pn_offset = 9, .size = size};

        memset(packet, 0x43, sizeof(packet));
        memcpy(before, packet, sizeof(packet));
        mr_unmask_burst(rig.aead, &job, 1);
        CU_ASSERT_EQUAL(job.is_unmasked, size >= 9 + 4 + 16);
        mr_open_burst(rig.aead, &job, 1);
        CU_ASSERT_FALSE(job.is_open);
        if (!job.is_unmasked)
            CU_ASSERT_EQUAL(memcmp(packet, before, sizeof(packet)), 0);
    }
    rig_close(&rig);
}

/*
 * RFC 9001, Section 6.6: "For AEAD_AES_128_GCM and AEAD_AES_256_GCM, the confidentiality limit is
 * 2^23 encrypted packets", "the integrity limit is 2^52 invalid packets"; "For
 * AEAD_CHACHA20_POLY1305, the integrity limit is 2^36 invalid packets".
 */
static void the_limits_of_a_key_are_the_rfcs(void)
{
    CU_ASSERT_EQUAL(mr_cipher_seal_limit(MR_CIPHER_AES_128_GCM), 8388608);
    CU_ASSERT_EQUAL(mr_cipher_seal_limit(MR_CIPHER_AES_256_GCM), 8388608);
    CU_ASSERT(mr_cipher_seal_limit(MR_CIPHER_CHACHA20_POLY1305) >= UINT64_C(1) << 62);
    CU_ASSERT_EQUAL(mr_cipher_open_limit(MR_CIPHER_AES_128_GCM), UINT64_C(1) << 52);
    CU_ASSERT_EQUAL(mr_cipher_open_limit(MR_CIPHER_AES_256_GCM), UINT64_C(1) << 52);
    CU_ASSERT_EQUAL(mr_cipher_open_limit(MR_CIPHER_CHACHA20_POLY1305), UINT64_C(1) << 36);
}

static CU_TestInfo tests[] = {
    {"the sample Initials come out and go back in", the_sample_initials_come_out_and_go_back_in},
    {"the ChaCha20 short header packet comes out and goes back in",
     the_chacha20_short_header_packet_comes_out_and_goes_back_in},
    {"packets too short for a sample are not unmasked",
     packets_too_short_for_a_sample_are_not_unmasked},
    {"the limits of a key are the RFC's", the_limits_of_a_key_are_the_rfcs},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "packet protection", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
