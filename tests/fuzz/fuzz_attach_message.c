/*
 * fuzz/fuzz_attach_message.c - property test of control/attach_message.h.
 *
 * The input is used twice: as a message as it is, and as what stands behind a head that is right.
 * Properties of a message that is accepted:
 *   1. it is an ATTACH or a COMMAND, and its head says its size;
 *   2. an ATTACH's name ends inside its field, is not empty and printable; its flags are known;
 *   3. the sizes taken from it, if they are, can be laid out: the region's parts follow each other,
 *      and it is at least as large as they are together;
 *   4. a COMMAND's text ends where the message does, and is printable.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "control/attach_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_sizes(const struct mr_message_attach *attach)
{
    const struct mr_ring_sizes defaults = mr_ring_sizes_default();
    struct mr_ring_sizes sizes;
    struct mr_fault fault = {0};

    if (mr_client_message_sizes(attach, &defaults, &sizes, &fault) != 0) {
        MR_ASSERT(fault.text[0] != '\0');
        return;
    }
    MR_ASSERT(mr_ring_sizes_check(&sizes, NULL) == 0);
    uint64_t bytes = mr_ring_region_size(&sizes);
    MR_ASSERT(bytes % 4096 == 0);
    MR_ASSERT(bytes > sizes.send_bytes);
    MR_ASSERT(bytes >= MR_RING_HEADER + sizes.send_bytes +
                           (uint64_t)sizes.slot_size * sizes.slot_count +
                           (uint64_t)(sizes.submit_count + sizes.complete_count) * MR_RING_ENTRY);
}

static void check_attach(const struct mr_message_attach *attach, size_t size)
{
    MR_ASSERT(size == sizeof(*attach));
    size_t length = strnlen(attach->name, sizeof(attach->name));
    MR_ASSERT(length > 0);
    MR_ASSERT(length < sizeof(attach->name));
    for (size_t i = 0; i < length; i++)
        MR_ASSERT(attach->name[i] > ' ' && attach->name[i] < 0x7f);
    MR_ASSERT(
        (attach->flags & ~(uint32_t)(MR_RING_BY_REFERENCE | MR_RING_MOVES | MR_RING_REASONS)) == 0);
    check_sizes(attach);
}

/* In memory of exactly that size, so that a read past its end is seen. */
static void parse(const uint8_t *bytes, size_t size)
{
    static struct mr_client_message message;
    struct mr_message head;
    struct mr_fault fault = {0};
    uint8_t *exact = malloc(size + (size == 0));

    MR_ASSERT(exact != NULL);
    if (size > 0)
        memcpy(exact, bytes, size);
    int result = mr_client_message_parse(&message, exact, size, &fault);
    MR_ASSERT((result == 0) == (fault.text[0] == '\0'));
    free(exact);
    if (result != 0)
        return;
    MR_ASSERT(size >= sizeof(head));
    memcpy(&head, bytes, sizeof(head));
    MR_ASSERT(head.magic == MR_ATTACH_MAGIC);
    MR_ASSERT(head.size == size);
    if (message.type == MR_MESSAGE_ATTACH) {
        check_attach(&message.attach, size);
        return;
    }
    MR_ASSERT(message.type == MR_MESSAGE_COMMAND);
    MR_ASSERT(strlen(message.text) == size - sizeof(head));
    MR_ASSERT(strlen(message.text) > 0);
    for (const char *c = message.text; *c != '\0'; c++)
        MR_ASSERT(*c >= ' ' && *c < 0x7f);
}

/* A right head, then the input; bit by bit of its first byte something is made valid or wrong. */
static void parse_shaped(uint16_t type, const uint8_t *data, size_t size)
{
    static union {
        struct mr_message_attach attach;
        uint8_t bytes[MR_CLIENT_MESSAGE_MAX + 64];
    } m;
    uint8_t what = data[0];
    size_t room = sizeof(m.bytes) - sizeof(struct mr_message);
    size_t rest = MR_MIN(size - 1, room);

    memset(&m, 0, sizeof(m));
    memcpy(m.bytes + sizeof(struct mr_message), data + 1, rest);
    if ((what & 1) != 0 && type == MR_MESSAGE_ATTACH)
        rest = sizeof(m.attach) - sizeof(struct mr_message);
    if ((what & 2) != 0)
        for (size_t i = 0; i < rest; i++)
            m.bytes[sizeof(struct mr_message) + i] |= 0x40; /* mostly printable */
    if ((what & 4) != 0 && type == MR_MESSAGE_ATTACH) {
        memset(m.attach.name + data[0] % sizeof(m.attach.name), 0,
               sizeof(m.attach.name) - data[0] % sizeof(m.attach.name));
        m.attach.flags &= 1;
        m.attach.node &= 0x7ff;
        m.attach.submit_count = 1u << (m.attach.submit_count % 20);
        m.attach.complete_count = 1u << (m.attach.complete_count % 20);
        m.attach.slot_size &= ~63u & ((1u << 18) - 1);
        m.attach.slot_count &= (1u << 18) - 1;
        m.attach.send_bytes &= ~UINT64_C(4095) & ((UINT64_C(1) << 38) - 1);
    }
    m.attach.head = (struct mr_message){.magic = MR_ATTACH_MAGIC,
                                        .version = MR_ATTACH_VERSION,
                                        .type = type,
                                        .size = (uint32_t)(sizeof(struct mr_message) + rest),
                                        .flags = (what & 0xf0) == 0xf0};
    parse(m.bytes, sizeof(struct mr_message) + rest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    parse(data, size);
    if (size == 0)
        return 0;
    parse_shaped(MR_MESSAGE_ATTACH, data, size);
    parse_shaped(MR_MESSAGE_COMMAND, data, size);
    parse_shaped(MR_MESSAGE_COMMAND, data, 1 + data[0] % 64 % size);
    return 0;
}
