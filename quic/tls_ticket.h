/*
 * quic/tls_ticket.h - what a client keeps in order to resume: a TLS session, the server's name and
 * the transport parameters that RFC 9000, Section 7.4.1 lets it remember, in one string of bytes.
 *
 *     "mrt4" | past (48) | flags (1) | QUIC version (4) | token size, token | name size, name |
 *     parameters size, parameters | session (rest)
 *
 * Sizes are varints.  The bytes come back from a file or an application: they are
 * checked like anything from the wire.  The past is what the connection's path carried
 * (conn_resume.h), not looked at here; it comes first, so that a newer one can be written over it
 * when the rest is not at hand: MR_TICKET_HEAD_SIZE bytes of millrace/transport.h.
 *
 * Owner: the application stores it.  Threads: any.
 */
#ifndef MR_QUIC_TLS_TICKET_H
#define MR_QUIC_TLS_TICKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MR_TICKET_MAGIC_SIZE 4
#define MR_TICKET_PAST_SIZE  48

/* Pieces of a ticket, borrowed from its bytes. */
struct mr_tls_ticket {
    const uint8_t *past;  /* MR_TICKET_PAST_SIZE bytes; to write: NULL for zeros */
    const uint8_t *token; /* of a NEW_TOKEN frame (RFC 9000, Section 8.1.3); none: size 0 */
    const uint8_t *name;  /* the server, as the client called it; no NUL */
    const uint8_t *params;
    const uint8_t *session; /* OpenSSL's encoding */
    size_t token_size;
    size_t name_size;
    size_t params_size;
    size_t session_size;
    uint32_t version; /* of QUIC, of the connection that it came from (RFC 9369, Section 5) */
    bool is_insecure; /* the server's certificate was not checked */
};

/* Read `size` bytes.  False if they are no ticket. */
bool mr_tls_ticket_read(struct mr_tls_ticket *ticket, const uint8_t *bytes, size_t size);

/*
 * Write all but the session's bytes, which are to follow directly: `ticket->session_size` of them.
 * Returns the bytes written, or 0 if `room` is too small for the whole ticket.
 */
size_t mr_tls_ticket_write(const struct mr_tls_ticket *ticket, uint8_t *dst, size_t room);

/* Write magic and past, which a ticket begins with.  0: `room` is too small for them. */
size_t mr_tls_ticket_write_head(const uint8_t past[MR_TICKET_PAST_SIZE], uint8_t *dst, size_t room);

#endif /* MR_QUIC_TLS_TICKET_H */
