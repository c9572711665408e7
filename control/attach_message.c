/* control/attach_message.c - see attach_message.h. */
#include "control/attach_message.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define NODES_MAX   1024 /* NUMA nodes of a machine, and some */
#define FLAGS_KNOWN ((uint32_t)(MR_RING_BY_REFERENCE | MR_RING_MOVES | MR_RING_REASONS))

_Static_assert(sizeof(struct mr_message) == 16, "changes with MR_ATTACH_VERSION only");
_Static_assert(sizeof(struct mr_message_attach) == 88, "changes with MR_ATTACH_VERSION only");
_Static_assert(sizeof(struct mr_message_attached) == 32, "changes with MR_ATTACH_VERSION only");
_Static_assert(sizeof(struct mr_message_ring) == 40, "changes with MR_ATTACH_VERSION only");
_Static_assert(sizeof(struct mr_message_listener) == 88, "changes with MR_ATTACH_VERSION only");
_Static_assert(sizeof(struct mr_message_refused) == 276, "changes with MR_ATTACH_VERSION only");
_Static_assert(sizeof(struct mr_message_attach) <= MR_CLIENT_MESSAGE_MAX, "fits a buffer");

static bool is_printable(char c)
{
    return c >= 0x20 && c < 0x7f;
}

static int parse_attach(struct mr_message_attach *attach, const void *bytes, size_t size,
                        struct mr_fault *fault)
{
    if (size != sizeof(*attach))
        return mr_fault_set(fault, EPROTO, "ATTACH has %zu bytes, not %zu", size, sizeof(*attach));
    memcpy(attach, bytes, sizeof(*attach));
    size_t length = strnlen(attach->name, sizeof(attach->name));
    if (length == 0 || length == sizeof(attach->name))
        return mr_fault_set(fault, EPROTO, "an application's name has 1 to %d characters",
                            MR_ATTACH_NAME - 1);
    for (size_t i = 0; i < length; i++) {
        if (!is_printable(attach->name[i]) || attach->name[i] == ' ')
            return mr_fault_set(fault, EPROTO,
                                "an application's name is made of printable ASCII without spaces");
    }
    if ((attach->flags & ~FLAGS_KNOWN) != 0)
        return mr_fault_set(fault, EPROTO, "ATTACH with flags 0x%x, of which 0x%x are known",
                            attach->flags, FLAGS_KNOWN);
    if (attach->node > NODES_MAX)
        return mr_fault_set(fault, EPROTO, "ATTACH from NUMA node %u", attach->node - 1);
    return 0;
}

static int parse_command(char *text, const uint8_t *bytes, size_t size, struct mr_fault *fault)
{
    if (size == 0 || size > MR_ATTACH_TEXT_MAX)
        return mr_fault_set(fault, EPROTO, "a command has 1 to %d characters", MR_ATTACH_TEXT_MAX);
    memcpy(text, bytes, size);
    text[size] = '\0';
    for (size_t i = 0; i < size; i++) {
        if (!is_printable(text[i]))
            return mr_fault_set(fault, EPROTO, "a command is made of printable ASCII");
    }
    return 0;
}

int mr_client_message_parse(struct mr_client_message *message, const void *bytes, size_t size,
                            struct mr_fault *fault)
{
    struct mr_message head;

    if (size < sizeof(head))
        return mr_fault_set(fault, EPROTO, "a message of %zu bytes is too short", size);
    memcpy(&head, bytes, sizeof(head));
    if (head.magic != MR_ATTACH_MAGIC)
        return mr_fault_set(fault, EPROTO, "the message does not begin like one");
    if (head.version != MR_ATTACH_VERSION)
        return mr_fault_set(fault, EPROTO,
                            "the message has version %u, this datapath knows %d; use the library "
                            "and the program that came with it",
                            head.version, MR_ATTACH_VERSION);
    if (head.size != size)
        return mr_fault_set(fault, EPROTO, "a message of %zu bytes says that it has %u", size,
                            head.size);
    if (head.flags != 0)
        return mr_fault_set(fault, EPROTO, "a message with flags 0x%x, none are known", head.flags);
    message->type = (enum mr_message_type)head.type;
    switch (head.type) {
    case MR_MESSAGE_ATTACH:
        return parse_attach(&message->attach, bytes, size, fault);
    case MR_MESSAGE_MAPPED:
        return size == sizeof(head) ? 0
                                    : mr_fault_set(fault, EPROTO, "MAPPED has %zu bytes, not %zu",
                                                   size, sizeof(head));
    case MR_MESSAGE_COMMAND:
        return parse_command(message->text, (const uint8_t *)bytes + sizeof(head),
                             size - sizeof(head), fault);
    default:
        return mr_fault_set(fault, EPROTO, "a client sends no message of type %u", head.type);
    }
}

int mr_client_message_sizes(const struct mr_message_attach *attach,
                            const struct mr_ring_sizes *defaults, struct mr_ring_sizes *sizes,
                            struct mr_fault *fault)
{
    *sizes = *defaults;
    if (attach->submit_count != 0)
        sizes->submit_count = attach->submit_count;
    if (attach->complete_count != 0)
        sizes->complete_count = attach->complete_count;
    if (attach->slot_size != 0)
        sizes->slot_size = attach->slot_size;
    if (attach->slot_count != 0)
        sizes->slot_count = attach->slot_count;
    if (attach->send_bytes != 0)
        sizes->send_bytes = attach->send_bytes;
    return mr_ring_sizes_check(sizes, fault);
}
