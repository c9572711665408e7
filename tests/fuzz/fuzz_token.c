/*
 * fuzz/fuzz_token.c - property test of quic/token.h.
 *
 * The input is an address, connection IDs, two times, and damage to be done to a token, or a token
 * as it is.  Properties:
 *   1. no read leaves the token, of whatever size;
 *   2. bytes that we did not make are never VALID;
 *   3. an undamaged token is VALID for its address and connection ID within its lifetime, and gives
 *      back its claims; outside of it EXPIRED;
 *   4. a token with any changed byte is MALFORMED or WRONG_KIND, whatever else may be wrong with
 * it;
 *   5. what a NEW_TOKEN token says of the path comes back for an hour, then nothing;
 *   6. a damaged Retry packet does not verify.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "quic/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mr_token_keys keys;

static void take_cid(struct mr_reader *input, struct mr_cid *cid)
{
    memset(cid, 0, sizeof(*cid));
    cid->size = mr_read_u8(input) % (MR_CID_MAX + 1);
    for (uint8_t i = 0; i < cid->size; i++)
        cid->bytes[i] = mr_read_u8(input);
}

static void take_addr(struct mr_reader *input, struct mr_addr *addr)
{
    memset(addr, 0, sizeof(*addr));
    for (size_t i = 0; i < sizeof(addr->ip); i++)
        addr->ip[i] = mr_read_u8(input);
    addr->port = mr_read_u16(input);
}

/* Properties 1 and 2. */
static void check_foreign(const uint8_t *data, size_t size)
{
    static const struct mr_addr nobody;
    struct mr_retry_claims claims;
    uint8_t *exact = malloc(size + 1);

    MR_ASSERT(exact != NULL);
    memcpy(exact + 1, data, size);
    for (int round = 0; round < 2; round++) {
        MR_ASSERT(mr_token_validate_retry(&keys, MR_VERSION_1, exact + 1, size, &nobody,
                                          (struct mr_cid_view){0}, &claims, 0) != MR_TOKEN_VALID);
        MR_ASSERT(mr_token_validate_new(&keys, MR_VERSION_1, exact + 1, size, &nobody, NULL, 0) !=
                  MR_TOKEN_VALID);
        if (size > 0) /* the second round gets beyond the check of the kind */
            exact[1] = size == MR_TOKEN_NEW_SIZE ? MR_TOKEN_NEW : MR_TOKEN_RETRY;
    }
    free(exact);
}

/* What the times alone say of a token. */
static enum mr_token_verdict by_time(uint64_t issued_s, uint64_t now_s, uint64_t lifetime_s)
{
    if (now_s >= issued_s)
        return now_s - issued_s <= lifetime_s ? MR_TOKEN_VALID : MR_TOKEN_EXPIRED;
    return issued_s - now_s <= MR_TOKEN_SKEW_S ? MR_TOKEN_VALID : MR_TOKEN_EXPIRED;
}

static bool is_refused(enum mr_token_verdict verdict)
{
    return verdict == MR_TOKEN_MALFORMED || verdict == MR_TOKEN_WRONG_KIND;
}

/* A NEW_TOKEN token, made at `fresh`: what it says of the path is good for an hour. */
static void check_saved(const struct mr_addr *client, uint64_t issued_s, uint64_t later_s,
                        uint8_t *fresh)
{
    struct mr_saved_path saved = {.window = (uint32_t)(issued_s ^ issued_s >> 32),
                                  .rtt_us = (uint32_t)(later_s * 77)};
    struct mr_saved_path got = {1, 1};

    mr_token_write_new(&keys, MR_VERSION_1, client, &saved, later_s, fresh, issued_s);
    enum mr_token_verdict verdict =
        mr_token_validate_new(&keys, MR_VERSION_1, fresh, MR_TOKEN_NEW_SIZE, client, &got, later_s);
    MR_ASSERT(verdict == by_time(issued_s, later_s, MR_TOKEN_NEW_LIFETIME_S));
    if (verdict != MR_TOKEN_VALID)
        return;
    bool is_good = by_time(issued_s, later_s, MR_RESUME_LIFETIME_S) == MR_TOKEN_VALID;
    MR_ASSERT(got.window == (is_good ? saved.window : 0));
    MR_ASSERT(got.rtt_us == (is_good ? saved.rtt_us : 0));
}

static void check_ours(struct mr_reader *input)
{
    uint8_t retry[MR_TOKEN_RETRY_SIZE];
    uint8_t fresh[MR_TOKEN_NEW_SIZE];
    struct mr_addr client;
    struct mr_retry_claims claims;
    struct mr_retry_claims got;
    uint64_t issued_s = mr_read_u32(input);
    uint64_t now_s =
        issued_s + (mr_read_u16(input) >> 11) - 5; /* around the Retry lifetime, or wrapped */
    uint64_t later_s = issued_s + 2 * (uint64_t)mr_read_u16(input); /* around the other lifetime */
    uint64_t damage_at = mr_read_u8(input);
    uint8_t damage = mr_read_u8(input);

    take_addr(input, &client);
    take_cid(input, &claims.original_dcid);
    take_cid(input, &claims.retry_scid);

    struct mr_cid_view dcid = mr_cid_view(&claims.retry_scid);

    mr_token_write_retry(&keys, MR_VERSION_1, &client, &claims, later_s, retry, issued_s);
    enum mr_token_verdict verdict = mr_token_validate_retry(
        &keys, MR_VERSION_1, retry, sizeof(retry), &client, dcid, &got, now_s);
    MR_ASSERT(verdict == by_time(issued_s, now_s, MR_TOKEN_RETRY_LIFETIME_S));
    if (verdict == MR_TOKEN_VALID) {
        MR_ASSERT(mr_cid_equal(&got.original_dcid, &claims.original_dcid));
        MR_ASSERT(mr_cid_equal(&got.retry_scid, &claims.retry_scid));
    }

    check_saved(&client, issued_s, later_s, fresh);

    if (damage == 0)
        return;
    retry[damage_at % sizeof(retry)] ^= damage;
    fresh[damage_at % sizeof(fresh)] ^= damage;
    MR_ASSERT(is_refused(mr_token_validate_retry(&keys, MR_VERSION_1, retry, sizeof(retry), &client,
                                                 dcid, &got, now_s)));
    MR_ASSERT(is_refused(
        mr_token_validate_new(&keys, MR_VERSION_1, fresh, sizeof(fresh), &client, NULL, later_s)));
}

static void check_retry_packet(struct mr_reader *input)
{
    uint8_t packet[256];
    struct mr_cid odcid;
    size_t damage_at = mr_read_u8(input);
    uint8_t damage = mr_read_u8(input);

    take_cid(input, &odcid);
    if (input->failed)
        return;

    size_t size = MR_MIN(mr_reader_left(input), sizeof(packet) - MR_RETRY_TAG);

    memcpy(packet, mr_read_bytes(input, size), size);
    mr_retry_tag(&keys, mr_cid_view(&odcid), packet, size, packet + size);
    size += MR_RETRY_TAG;
    MR_ASSERT(mr_retry_tag_verify(&keys, mr_cid_view(&odcid), packet, size));
    packet[damage_at % size] ^= damage;
    MR_ASSERT(mr_retry_tag_verify(&keys, mr_cid_view(&odcid), packet, size) == (damage == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t static_key[MR_STATIC_KEY] = "a key that only this fuzzer has";
    struct mr_reader input = mr_reader(data, MR_MIN(size, (size_t)300));

    if (keys.retry_tag[0] == NULL)
        MR_ASSERT(mr_token_keys_init(&keys, static_key));

    check_foreign(data, size % 300);
    check_ours(&input);
    check_retry_packet(&input);
    return 0;
}
