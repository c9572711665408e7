/*
 * quic/tls_message.h - where TLS handshake messages begin and end in a CRYPTO stream (RFC 8446,
 * Section 4).
 *
 *     | type (1) | length (3) | body | type (1) | length (3) | body | ...
 *
 * TLS gets its input cut at these borders, so that no byte that was received at one
 * encryption level can ever be taken for a message of the next.
 *
 * Owner: one per CRYPTO stream that is followed.  Threads: the owner's.
 */
#ifndef MR_QUIC_TLS_MESSAGE_H
#define MR_QUIC_TLS_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MR_TLS_MESSAGE_HEADER 4 /* bytes */

/* Handshake types that QUIC treats specially. */
enum mr_tls_message_type {
    MR_TLS_NEW_SESSION_TICKET = 4,
    MR_TLS_END_OF_EARLY_DATA = 5,
    MR_TLS_CERTIFICATE_REQUEST = 13,
    MR_TLS_KEY_UPDATE = 24
};

/* All zero bytes: at the start of a stream. */
struct mr_tls_message {
    uint32_t body_left;  /* bytes of the current body still to come */
    uint8_t header_size; /* bytes of the current header seen */
    uint8_t header[MR_TLS_MESSAGE_HEADER];
};

/*
 * Follow the stream over its next `size` bytes, but not beyond the end of the current message.
 * Returns how many of them belong to it; 0 only when `size` is 0.
 */
size_t mr_tls_message_next(struct mr_tls_message *message, const uint8_t *bytes, size_t size);

/* Type of the current message, or -1 before its first byte. */
static inline int mr_tls_message_type(const struct mr_tls_message *message)
{
    return message->header_size == 0 ? -1 : message->header[0];
}

/* Bytes of the current message's body in all; 0 until its header is complete. */
uint32_t mr_tls_message_length(const struct mr_tls_message *message);

#endif /* MR_QUIC_TLS_MESSAGE_H */
