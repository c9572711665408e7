/*
 * tests/fuzz/fuzz_steer.c - property test of dataplane/steer.h.
 *
 * The first byte chooses how many shards there are and the kind of connection IDs; the rest is a
 * frame, at the very end of its memory.  Properties:
 *   1. nothing outside the frame is read;
 *   2. the shard is one that is there, and the same each time;
 *   3. where a frame's UDP payload carries a connection ID of ours, as dataplane/net_parse.h and
 *      quic/cid.h see it, it is the shard in that.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "dataplane/net_parse.h"
#include "dataplane/steer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mr_cid_format format = {.node = 1};

/* Property 3: of a frame that the network layer takes. */
static void check_owner(uint32_t shards, uint32_t shard, uint8_t *bytes, uint32_t size)
{
    struct mr_net_self self = {.mac = {{2, 0, 0, 0, 0, 2}}, .address_count = 1};
    struct mr_net_frame frame = {.data = bytes, .size = size, .sums = MR_NET_SUMS_GOOD};
    struct mr_net_packet packet;
    struct mr_path_addr path;

    self.address[0] =
        (struct mr_prefix){.ip = mr_ip_from_v4((const uint8_t[]){198, 18, 0, 2}), .bits = 96 + 24};
    if (mr_net_parse(&self, &frame, &packet, &path) != MR_NET_UDP ||
        packet.payload_size <= MR_LOCAL_CID_SIZE || (bytes[packet.payload_offset] & 0x80) != 0)
        return;
    uint32_t owner = mr_cid_owner(bytes + packet.payload_offset + 1, MR_LOCAL_CID_SIZE, &format);
    MR_ASSERT(owner >= shards || owner == shard);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t key[MR_RSS_KEY_SIZE] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    static struct mr_steer steer;

    if (size == 0)
        return 0;
    uint32_t shards = 1 + data[0] % 64;
    if (steer.shard_count != shards || format.kind != data[0] / 64) {
        format.kind = data[0] / 64;
        mr_steer_init(&steer, &format, shards, key);
    }
    uint8_t *frame = malloc(size - 1 + (size == 1)); /* to its last byte */
    MR_ASSERT(frame != NULL);
    memcpy(frame, data + 1, size - 1);
    uint32_t shard = mr_steer_frame(&steer, frame, (uint32_t)size - 1);
    MR_ASSERT(shard < shards);
    MR_ASSERT(mr_steer_frame(&steer, frame, (uint32_t)size - 1) == shard);
    check_owner(shards, shard, frame, (uint32_t)size - 1);
    free(frame);
    return 0;
}
