/*
 * tests/fuzz/fuzz_aead.c - property test of quic/aead.h on packets from the wire.
 *
 * The input is a list of packets: header form, place of the packet number, size, and the bytes
 * themselves, each put into a heap block of exactly its size.  Every third is a packet that was
 * really sealed, and then spoiled in at most one byte.  Properties, in each back end:
 *   1. nothing outside a packet is read or written (sanitizers watch the blocks);
 *   2. a packet is unmasked exactly when a sample fits;
 *   3. only what was sealed opens: no random packet does, no spoiled one does;
 *   4. an unspoiled packet opens to its plaintext;
 *   5. both back ends agree.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "quic/aead.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    PACKETS_MAX = 8,
    HEAD = 6, /* kind, cipher, packet number's place, size (2), spoiling */
    PN_OFFSET_MAX = 60,
    SIZE_MAX_HERE = 400
};

/* Keys of one back end. */
struct rig {
    struct mr_aead *aead;
    struct mr_aead_key seal[MR_CIPHERS];
    struct mr_aead_key open[MR_CIPHERS];
    struct mr_hp_key hp[MR_CIPHERS];
};

/* A packet as one back end sees it. */
struct packet {
    uint8_t *bytes;
    struct mr_open_job job;
    uint8_t plain[SIZE_MAX_HERE];
    bool is_sealed;
    bool is_spoiled;
};

static struct rig rigs[2];
static int rig_count;

static void rig_open(enum mr_aead_backend backend)
{
    static const uint8_t secret[MR_AEAD_KEY_MAX] = {1, 2, 3};
    struct rig *rig = &rigs[rig_count];

    rig->aead = mr_aead_open(backend);
    if (rig->aead == NULL)
        return;
    rig_count++;
    for (int i = 0; i < MR_CIPHERS; i++) {
        enum mr_cipher cipher = (enum mr_cipher)i;

        MR_ASSERT(mr_aead_key_set(rig->aead, &rig->seal[i], cipher, secret, secret, true));
        MR_ASSERT(mr_aead_key_set(rig->aead, &rig->open[i], cipher, secret, secret, false));
        MR_ASSERT(mr_hp_key_set(rig->aead, &rig->hp[i], cipher, secret));
    }
}

/* ------------------------------------------------------------------ packets from the input */

/* Make a really sealed packet of the bytes that are there, if they are enough for one. */
static void seal(struct rig *rig, struct packet *packet, const uint8_t *head)
{
    uint16_t pn_size = (uint16_t)(1 + (head[5] & 3));
    uint16_t header_size = (uint16_t)(packet->job.pn_offset + pn_size);
    int cipher = head[1] % MR_CIPHERS;

    if (packet->job.size < packet->job.pn_offset + 4 + MR_AEAD_TAG)
        return;
    packet->bytes[0] = (uint8_t)((packet->bytes[0] & 0xe0) | (pn_size - 1));
    for (uint16_t i = 0; i < pn_size; i++)
        packet->bytes[header_size - 1 - i] = (uint8_t)(packet->job.expected_pn >> (8 * i));
    memcpy(packet->plain, packet->bytes, packet->job.size);

    struct mr_seal_job job = {
        .key = &rig->seal[cipher],
        .hp = &rig->hp[cipher],
        .packet = packet->bytes,
        .pn = packet->job.expected_pn,
        .path_id = packet->job.path_id,
        .header_size = header_size,
        .payload_size = (uint16_t)(packet->job.size - header_size - MR_AEAD_TAG),
        .pn_size = pn_size,
    };
    mr_seal_burst(rig->aead, &job, 1);
    packet->is_sealed = true;
    if ((head[0] & 0x80) != 0) {
        packet->bytes[(head[5] * 7u) % packet->job.size] ^= (uint8_t)(1u << (head[2] & 7));
        packet->is_spoiled = true;
    }
}

/* Read one packet; returns the input it took, 0 at the end. */
static size_t read_packet(struct rig *rig, struct packet *packet, const uint8_t *data, size_t size)
{
    if (size < HEAD)
        return 0;

    size_t wanted = 1 + ((size_t)data[3] << 8 | data[4]) % (SIZE_MAX_HERE - 1);
    size_t there = wanted < size - HEAD ? wanted : size - HEAD;
    int cipher = data[1] % MR_CIPHERS;

    if (there == 0)
        return 0;
    memset(packet, 0, sizeof(*packet));
    packet->bytes = malloc(there);
    MR_ASSERT(packet->bytes != NULL);
    memcpy(packet->bytes, data + HEAD, there);
    packet->job = (struct mr_open_job){
        .key = &rig->open[cipher],
        .hp = &rig->hp[cipher],
        .packet = packet->bytes,
        .expected_pn = (uint64_t)data[5] << (data[2] & 31),
        .path_id = data[0] & 1,
        .pn_offset = (uint16_t)(1 + data[2] % PN_OFFSET_MAX),
        .size = (uint16_t)there,
    };
    if (data[0] % 3 == 0)
        seal(rig, packet, data);
    return HEAD + there;
}

static void check_packet(const struct packet *packet)
{
    const struct mr_open_job *job = &packet->job;

    MR_ASSERT(job->is_unmasked == (job->size >= job->pn_offset + 4 + MR_HP_SAMPLE));
    MR_ASSERT(job->is_open == (packet->is_sealed && !packet->is_spoiled));
    if (job->is_open) {
        MR_ASSERT(job->pn == job->expected_pn);
        MR_ASSERT(memcmp(packet->bytes, packet->plain, (size_t)job->size - MR_AEAD_TAG) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct packet packets[PACKETS_MAX];
    struct mr_open_job jobs[PACKETS_MAX];

    if (rig_count == 0) {
        rig_open(MR_AEAD_OPENSSL);
        rig_open(MR_AEAD_IPSEC_MB);
    }
    for (int r = 0; r < rig_count; r++) {
        uint32_t count = 0;
        size_t used;

        for (size_t at = 0; count < PACKETS_MAX; at += used) {
            used = read_packet(&rigs[r], &packets[count], data + at, size - at);
            if (used == 0)
                break;
            jobs[count] = packets[count].job;
            count++;
        }
        mr_unmask_burst(rigs[r].aead, jobs, count);
        mr_open_burst(rigs[r].aead, jobs, count);
        for (uint32_t i = 0; i < count; i++) {
            packets[i].job = jobs[i];
            check_packet(&packets[i]); /* the same for all back ends: property 5 */
            free(packets[i].bytes);
        }
    }
    return 0;
}
