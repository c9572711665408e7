/*
 * tests/support/saved_ticket.h - a ticket that says of the path what the test wants: in its token,
 * or to its client.
 *
 * Owner, threads: the test's.
 */
#ifndef MR_TESTS_SUPPORT_SAVED_TICKET_H
#define MR_TESTS_SUPPORT_SAVED_TICKET_H

#include "base/assert.h"
#include "quic/conn.h"
#include "quic/tls_ticket.h"
#include "quic/wire_fields.h"

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

/* The same with another past: of the path from `client` to `server`, at `written_s`. */
static inline size_t past_ticket(const struct mr_addr *client, const struct mr_addr *server,
                                 const struct mr_saved_path *saved, uint64_t written_s,
                                 const uint8_t *from, size_t size, uint8_t *dst, size_t room)
{
    uint8_t past[MR_TICKET_PAST_SIZE];

    mr_store_be(past, saved->window, 4);
    mr_store_be(past + 4, saved->rtt_us, 4);
    mr_store_be(past + 8, written_s, 8);
    memcpy(past + 16, client->ip, 16);
    memcpy(past + 32, server->ip, 16);
    MR_ASSERT(size <= room);
    memcpy(dst, from, size);
    MR_ASSERT(mr_tls_ticket_write_head(past, dst, room) > 0);
    return size;
}

#endif /* MR_TESTS_SUPPORT_SAVED_TICKET_H */
