/*
 * quic/conn_observed.h - OBSERVED_ADDRESS (draft-ietf-quic-address-discovery): each side may tell
 * the other from which address its packets come.
 *
 *     MR_EXTENSION_OBSERVES   we tell: on the handshake's path, and whenever the path in use
 * changes MR_EXTENSION_OBSERVED   we want to be told: conn_info shows the newest, of the path in
 * use
 *
 * What was told is kept in the connection's extra, for which there may be no room: then nothing is
 * shown (limit_extras counts).  It is the peer's word, and may be wrong.
 *
 * Threads: the shard's only.
 */
#ifndef MR_QUIC_CONN_OBSERVED_H
#define MR_QUIC_CONN_OBSERVED_H

#include "quic/conn.h"
#include "quic/transport_params.h"

/* What we declare; enum mr_address_discovery. */
uint64_t mr_observed_declaration(const struct mr_endpoint *ep);

/* The peer's declaration is known. */
void mr_observed_begin(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t declaration);

/* The path in use is another one: its address is told, and what we were told is past. */
void mr_observed_on_path(struct mr_endpoint *ep, struct mr_conn *conn);

/* The frame with `sequence` was lost: true if it is to be sent again. */
bool mr_observed_on_lost(const struct mr_conn *conn, uint64_t sequence);

bool mr_on_observed_address(struct mr_rx *rx, struct mr_reader *r, uint64_t type);

/* Our address as the peer says; port 0: it did not. */
struct mr_addr mr_observed_address(const struct mr_endpoint *ep, const struct mr_conn *conn);

#endif /* MR_QUIC_CONN_OBSERVED_H */
