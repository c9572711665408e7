/*
 * control/attach_message.h - what a client of the control socket says: is it well formed, and what
 * is it?
 *
 * Bytes in, a value out; nothing else is looked at.  Nothing of a client is believed before it was
 * here (tests/fuzz/fuzz_attach_message.c).
 *
 * Threads: any.
 */
#ifndef MR_CONTROL_ATTACH_MESSAGE_H
#define MR_CONTROL_ATTACH_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/ring_region.h"
#include "millrace/attach_layout.h"

/* The largest message that a client may send. */
#define MR_CLIENT_MESSAGE_MAX (sizeof(struct mr_message) + MR_ATTACH_TEXT_MAX)

struct mr_client_message {
    enum mr_message_type type;         /* ATTACH, MAPPED or COMMAND */
    struct mr_message_attach attach;   /* ATTACH: the name ends, and is printable */
    char text[MR_ATTACH_TEXT_MAX + 1]; /* COMMAND: printable ASCII, ends with NUL, not empty */
};

/* Read the message of `size` bytes.  0; -EPROTO with the reason in `fault`. */
int mr_client_message_parse(struct mr_client_message *message_out, const void *bytes, size_t size,
                            struct mr_fault *fault);

/* The sizes that an ATTACH asks for, `defaults` where it says 0.  0; -EINVAL with the reason in
 * `fault`. */
int mr_client_message_sizes(const struct mr_message_attach *attach,
                            const struct mr_ring_sizes *defaults, struct mr_ring_sizes *sizes_out,
                            struct mr_fault *fault);

#endif /* MR_CONTROL_ATTACH_MESSAGE_H */
