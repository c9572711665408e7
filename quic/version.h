/*
 * quic/version.h - which versions of QUIC two sides speak with each other (RFC 9368, RFC 9369).
 *
 * Versions 1 and 2 are compatible: a server may answer a first flight of either in the other one,
 * if the client's version_information lists it.  Ours follows the client's preference.
 *
 *     client's first flight in its original version, version_information {chosen, available ...}
 *        | mr_version_negotiate(), while TLS reads the ClientHello
 *        v
 *     negotiated version: what the server answers in, and says in its own version_information
 *
 * Pure functions over encoded transport parameters, no state.  Threads: any.
 */
#ifndef MR_QUIC_VERSION_H
#define MR_QUIC_VERSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quic/transport_params.h"
#include "quic/types.h"

/* A set of versions: one bit each. */
enum mr_version_set {
    MR_VERSIONS_1 = 1 << 0,
    MR_VERSIONS_2 = 1 << 1,
    MR_VERSIONS_ALL = MR_VERSIONS_1 | MR_VERSIONS_2
};

/* The version's bit, 0 if we do not speak it. */
static inline uint8_t mr_version_bit(uint32_t version)
{
    return version == MR_VERSION_1 ? MR_VERSIONS_1 : version == MR_VERSION_2 ? MR_VERSIONS_2 : 0;
}

static inline bool mr_version_is_in(uint32_t version, uint8_t set)
{
    return (mr_version_bit(version) & set) != 0;
}

/* A version that nobody speaks (RFC 9000, Section 15: 0x?a?a?a?a), made of `random`. */
static inline uint32_t mr_version_reserved(uint32_t random)
{
    return (random & 0xf0f0f0f0) | 0x0a0a0a0a;
}

/*
 * Server: the version to go on in, of a client whose first flight came in `original`, and whose
 * transport parameters are the `size` bytes at `params`: the first of its available versions that
 * is in `accepted`; `original` if there is none, or the parameters cannot be read (whoever decodes
 * them says so).  RFC 9368, Section 2.3.
 */
uint32_t mr_version_negotiate(const uint8_t *params, size_t size, uint32_t original,
                              uint8_t accepted);

/* Write `version` as the chosen one into encoded parameters, which have a version_information.
 * False: they have none. */
bool mr_version_set_chosen(uint8_t *params, size_t size, uint32_t version);

/* Fill in version_information: `chosen`, then the `count` versions of `available`, then a reserved
 * one made of `random` (RFC 9368, Section 3). */
void mr_version_write_information(struct mr_transport_params *params, uint32_t chosen,
                                  const uint32_t *available, size_t count, uint32_t random);

/* The chosen version in `params`, which has a version_information. */
uint32_t mr_version_chosen(const struct mr_transport_params *params);

/* True if `version` is among the available ones in `params`, which has a version_information. */
/* Does version_information list any available version at all? */
static inline bool mr_version_lists_any(const struct mr_transport_params *params)
{
    return params->version_information_size > 4;
}

bool mr_version_is_available(const struct mr_transport_params *params, uint32_t version);

#endif /* MR_QUIC_VERSION_H */
