/*
 * tests/support/peer_ticket.h - a first connection of two peers, and the ticket for a second one.
 *
 * Owner, threads: the test's.
 */
#ifndef MR_TESTS_SUPPORT_PEER_TICKET_H
#define MR_TESTS_SUPPORT_PEER_TICKET_H

#include "tests/support/peer_cases.h"

struct ticket {
    size_t size;
    uint8_t bytes[MR_TLS_TICKET_MAX];
};

static inline struct mr_endpoint *ep_of(struct peer *p, enum mr_role role)
{
    return p->side[role].ep;
}

static inline struct mr_conn *conn_of(struct peer *p, enum mr_role role)
{
    return mr_conn_at(ep_of(p, role), 0);
}

static inline mr_handle handle_of(struct peer *p, enum mr_role role)
{
    const struct mr_conn *conn = conn_of(p, role);

    return mr_conn_handle(conn);
}

/* A first connection with these options, and its ticket. */
static inline void get_ticket(struct ticket *ticket, const struct peer_options *options)
{
    struct peer_options first = *options;
    first.under_test = MR_CLIENT;
    first.is_early = false;
    struct peer *p = peer_new(&first);
    int64_t size = 0;

    peer_connect(p);
    for (int i = 0; i < 10 && size == 0; i++) {
        peer_round_trip(p);
        size = mr_conn_ticket(ep_of(p, MR_CLIENT), handle_of(p, MR_CLIENT), ticket->bytes,
                              sizeof(ticket->bytes), p->now);
    }
    CU_ASSERT_TRUE_FATAL(size > 0);
    ticket->size = (size_t)size;
    peer_end(p);
}

#endif /* MR_TESTS_SUPPORT_PEER_TICKET_H */
