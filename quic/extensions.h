/*
 * quic/extensions.h - what an endpoint offers and uses beyond what RFC 9000 asks of everyone.
 *
 * One bit each, in mr_endpoint_config.extensions; 0: none.  Each side decides for itself; what the
 * peer does not offer is not used towards it.
 */
#ifndef MR_QUIC_EXTENSIONS_H
#define MR_QUIC_EXTENSIONS_H

enum mr_extension {
    MR_EXTENSION_SPIN_BIT = 1 << 0, /* RFC 9000, Section 17.4: the spin bit shows the round trip, on
                                       15 of 16 paths */
    MR_EXTENSION_QUIC_BIT = 1 << 1, /* RFC 9287: the QUIC bit may be 0 in packets for us, and is at
                                       random in packets for a peer that says the same */
    MR_EXTENSION_ACK_FREQUENCY = 1 << 2,   /* draft-ietf-quic-ack-frequency: a sender says how often
                                              it needs acknowledgments */
    MR_EXTENSION_RESET_STREAM_AT = 1 << 3, /* draft-ietf-quic-reliable-stream-reset: a stream's
                                              reset may leave bytes that are delivered */
    MR_EXTENSION_OBSERVES = 1 << 4,  /* draft-ietf-quic-address-discovery: peers that want to know
                                        are told which address they have */
    MR_EXTENSION_OBSERVED = 1 << 5,  /* the same: we want to know ours */
    MR_EXTENSION_MULTIPATH = 1 << 6, /* draft-ietf-quic-multipath: several paths at a time */
};

/* What a program uses that is not told otherwise. */
#define MR_EXTENSIONS_DEFAULT                                                                      \
    (MR_EXTENSION_SPIN_BIT | MR_EXTENSION_QUIC_BIT | MR_EXTENSION_ACK_FREQUENCY |                  \
     MR_EXTENSION_RESET_STREAM_AT)
#define MR_EXTENSIONS_ALL                                                                          \
    (MR_EXTENSIONS_DEFAULT | MR_EXTENSION_OBSERVES | MR_EXTENSION_OBSERVED | MR_EXTENSION_MULTIPATH)

#endif /* MR_QUIC_EXTENSIONS_H */
