/*
 * tests/support/saved_ticket.h - a ticket whose token says of the path what the test wants.
 *
 * Owner, threads: the test's.
 */
#ifndef MR_TESTS_SUPPORT_SAVED_TICKET_H
#define MR_TESTS_SUPPORT_SAVED_TICKET_H

#include "base/assert.h"
#include "quic/conn.h"
#include "quic/tls_ticket.h"

/*
 * Write the ticket of `size` bytes at `from` to `dst` with another token: of `server`, for
 * `client`, issued `age_s` seconds before `now`.  Returns the bytes written; aborts if it is no
 * ticket.
 */
static inline size_t saved_ticket(struct mr_endpoint *server, const struct mr_addr *client,
                                  const struct mr_saved_path *saved, uint64_t age_s,
                                  const uint8_t *from, size_t size, uint8_t *dst, size_t room,
                                  uint64_t now)
{
    struct mr_tls_ticket ticket;
    uint8_t token[MR_TOKEN_NEW_SIZE];

    MR_ASSERT(mr_tls_ticket_read(&ticket, from, size));
    mr_token_write_new(&server->tokens, ticket.version, client, saved, 77, token,
                       mr_endpoint_wall_s(server, now) - age_s);
    ticket.token = token;
    ticket.token_size = sizeof(token);

    size_t head = mr_tls_ticket_write(&ticket, dst, room);
    MR_ASSERT(head > 0);
    memcpy(dst + head, ticket.session, ticket.session_size);
    return head + ticket.session_size;
}

#endif /* MR_TESTS_SUPPORT_SAVED_TICKET_H */
