/*
 * quic/path_policy.h - which addresses may become a path?  A peer chooses where we send to: by its
 * source address, or as a server's preferred address.  Not to addresses that are nobody's, ours or
 * everybody's, and not to ports of services that answer whoever asks (RFC 9000, Sections 9.3.1,
 * 21.5.3 to 21.5.6).
 *
 * Owner: none.  Threads: any.
 */
#ifndef MR_QUIC_PATH_POLICY_H
#define MR_QUIC_PATH_POLICY_H

#include "quic/types.h"

/* A UDP port of a service that answers whoever asks, and may be made to answer a victim: datagrams
 * that come from there are answers to somebody else's. */
bool mr_port_is_reflector(uint16_t port);

/*
 * May `remote` be sent to in place of current->remote?  Its port must not be a reflector's.  If the
 * IP address is another one, it must be one host's (no multicast, broadcast or unspecified one),
 * not the local one, and loopback only where the path in use is.
 */
bool mr_path_is_permitted(const struct mr_addr *remote, const struct mr_path_addr *current);

#endif /* MR_QUIC_PATH_POLICY_H */
