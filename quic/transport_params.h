/*
 * quic/transport_params.h - the declarations both sides make in the TLS handshake (RFC 9000,
 * Sections 7.3, 7.4 and 18).
 *
 * A value type with an encoder and a decoder over one drawn table (transport_params.c).  Decoding
 * knows who sent them: what only a server may say is an error from a client.
 *
 * Every error is a connection error TRANSPORT_PARAMETER_ERROR and comes with the offending id and a
 * reason for the close frame. Pure functions, no state, no allocation, nothing borrowed.
 */
#ifndef MR_QUIC_TRANSPORT_PARAMS_H
#define MR_QUIC_TRANSPORT_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quic/types.h"
#include "quic/wire_fields.h"

enum mr_param_id {
    MR_PARAM_ORIGINAL_DCID = 0x00,
    MR_PARAM_MAX_IDLE_TIMEOUT = 0x01,
    MR_PARAM_STATELESS_RESET_TOKEN = 0x02,
    MR_PARAM_MAX_UDP_PAYLOAD_SIZE = 0x03,
    MR_PARAM_INITIAL_MAX_DATA = 0x04,
    MR_PARAM_INITIAL_MAX_STREAM_DATA_BIDI_LOCAL = 0x05,
    MR_PARAM_INITIAL_MAX_STREAM_DATA_BIDI_REMOTE = 0x06,
    MR_PARAM_INITIAL_MAX_STREAM_DATA_UNI = 0x07,
    MR_PARAM_INITIAL_MAX_STREAMS_BIDI = 0x08,
    MR_PARAM_INITIAL_MAX_STREAMS_UNI = 0x09,
    MR_PARAM_ACK_DELAY_EXPONENT = 0x0a,
    MR_PARAM_MAX_ACK_DELAY = 0x0b,
    MR_PARAM_DISABLE_ACTIVE_MIGRATION = 0x0c,
    MR_PARAM_PREFERRED_ADDRESS = 0x0d,
    MR_PARAM_ACTIVE_CONNECTION_ID_LIMIT = 0x0e,
    MR_PARAM_INITIAL_SCID = 0x0f,
    MR_PARAM_RETRY_SCID = 0x10,
    MR_PARAM_VERSION_INFORMATION = 0x11,     /* RFC 9368 */
    MR_PARAM_RESET_STREAM_AT = 0x1d,         /* draft-ietf-quic-reliable-stream-reset */
    MR_PARAM_MAX_DATAGRAM_FRAME_SIZE = 0x20, /* RFC 9221 */
    MR_PARAM_INITIAL_MAX_PATH_ID = 0x3e,     /* draft-ietf-quic-multipath */
    MR_PARAM_GREASE_QUIC_BIT = 0x2ab2        /* RFC 9287 */
};

/* Ids that are larger than an enumerator. */
#define MR_PARAM_MIN_ACK_DELAY     UINT64_C(0xff04de1b) /* draft-ietf-quic-ack-frequency */
#define MR_PARAM_ADDRESS_DISCOVERY UINT64_C(0x9f81a176) /* draft-ietf-quic-address-discovery */

#define MR_PARAM_NO_ACK_DELAY      MR_VARINT_MAX
#define MR_PARAM_NO_PATHS          MR_VARINT_MAX
#define MR_VERSION_INFORMATION_MAX 64  /* bytes kept: the chosen version and 15 available ones */
#define MR_TRANSPORT_PARAMS_MAX    512 /* bytes, more than mr_transport_params_write() ever writes */

/* Observations of the peer's address. */
enum mr_address_discovery {
    MR_ADDRESS_PROVIDES, /* gives them */
    MR_ADDRESS_TAKES,    /* wants them */
    MR_ADDRESS_BOTH,
    MR_ADDRESS_NEITHER /* no parameter */
};

struct mr_preferred_address {
    uint8_t ipv4[4]; /* network order; address and port zero: none of this family */
    uint8_t ipv6[16];
    uint16_t ipv4_port; /* host order */
    uint16_t ipv6_port;
    struct mr_cid cid; /* sequence number 1; never empty */
    uint8_t reset_token[MR_RESET_TOKEN];
};

struct mr_transport_params {
    uint64_t max_idle_timeout_ms; /* 0: none */
    uint64_t max_udp_payload_size;
    uint64_t initial_max_data;
    uint64_t initial_max_stream_data_bidi_local;
    uint64_t initial_max_stream_data_bidi_remote;
    uint64_t initial_max_stream_data_uni;
    uint64_t initial_max_streams_bidi; /* <= 2^60, as uni */
    uint64_t initial_max_streams_uni;
    uint64_t ack_delay_exponent; /* <= 20 */
    uint64_t max_ack_delay_ms;   /* < 2^14 */
    uint64_t active_connection_id_limit;
    uint64_t max_datagram_frame_size; /* 0: no DATAGRAM frames */
    uint64_t min_ack_delay_us;        /* MR_PARAM_NO_ACK_DELAY: no ACK_FREQUENCY frames */
    uint64_t address_discovery;       /* enum mr_address_discovery */
    uint64_t initial_max_path_id;     /* < 2^32; MR_PARAM_NO_PATHS: one path, by RFC 9000 */
    bool disable_active_migration;
    bool reset_stream_at; /* takes RESET_STREAM_AT frames */
    bool grease_quic_bit;

    bool has_original_dcid;
    bool has_initial_scid;
    bool has_retry_scid;
    bool has_stateless_reset_token;
    bool has_preferred_address;
    bool has_version_information;
    struct mr_cid original_dcid;
    struct mr_cid initial_scid;
    struct mr_cid retry_scid;
    uint8_t stateless_reset_token[MR_RESET_TOKEN];
    struct mr_preferred_address preferred_address;
    uint8_t version_information[MR_VERSION_INFORMATION_MAX]; /* chosen version, available versions;
                                                                longer lists are cut */
    uint8_t version_information_size;                        /* bytes, a multiple of 4 */
};

enum mr_params_verdict {
    MR_PARAMS_OK,
    MR_PARAMS_TRUNCATED, /* an id, length or value ends beyond the extension, or a value inside its
                            length */
    MR_PARAMS_DUPLICATE,
    MR_PARAMS_SERVER_ONLY,  /* sent by a client */
    MR_PARAMS_INVALID,      /* value out of bounds or of the wrong size */
    MR_PARAMS_CID_MISMATCH, /* absent, unexpected, or another value than the packets had: RFC 9000,
                               Section 7.3 */
    MR_PARAMS_REDUCED,      /* smaller than remembered for 0-RTT: RFC 9000, Section 7.4.1 */
};

/* What was wrong: the parameter, and words for a reason phrase (static storage). */
struct mr_params_error {
    uint64_t id;
    const char *reason;
};

/* The connection IDs of the handshake's packets, to compare with what the peer declares.  Borrowed.
 */
struct mr_cid_trail {
    const struct mr_cid *peer_scid; /* Source Connection ID of the peer's first Initial */
    const struct mr_cid
        *original_dcid; /* Destination Connection ID of our first Initial; NULL in a server */
    const struct mr_cid *retry_scid; /* Source Connection ID of the Retry we followed; NULL: none */
};

/* Set every parameter to what its absence means (RFC 9000, Section 18.2). */
void mr_transport_params_init(struct mr_transport_params *params);

/*
 * Write what differs from the defaults as an endpoint of role `own` may say it (a client's
 * server-only fields are left out), and one reserved parameter whose id and value come from
 * `random` (RFC 9000, Section 18.1).  At most MR_TRANSPORT_PARAMS_MAX bytes; the writer fails if
 * they do not fit.
 */
void mr_transport_params_write(struct mr_writer *w, const struct mr_transport_params *params,
                               enum mr_role own, uint64_t random);

/*
 * Decode `size` bytes at `src`, sent by the side of role `sender`.  Unknown parameters are ignored
 * (of these, duplicates are found among the first 32 only).  On any verdict but OK `*error_out`
 * says what was wrong and `*out` is undefined.
 */
enum mr_params_verdict mr_transport_params_decode(const uint8_t *src, size_t size,
                                                  enum mr_role sender,
                                                  struct mr_transport_params *out,
                                                  struct mr_params_error *error_out);

/*
 * Check the connection IDs that `params`, sent by the side of role `sender`, declare against those
 * of the packets. OK or CID_MISMATCH; INVALID if a preferred address
 * comes from a server without connection IDs.  RFC 9000, Sections 7.3 and 18.2.
 */
enum mr_params_verdict mr_transport_params_authenticate(const struct mr_transport_params *params,
                                                        enum mr_role sender,
                                                        const struct mr_cid_trail *trail,
                                                        struct mr_params_error *error_out);

/* Reset in `params` what a client must not remember for 0-RTT (RFC 9000, Section 7.4.1) to its
 * default. */
void mr_transport_params_forget(struct mr_transport_params *params);

/*
 * Compare the server's parameters `now_offered` with those `remembered` from the ticket's
 * connection: OK, or REDUCED if a limit that 0-RTT data may have used became smaller.  Server: then
 * refuse 0-RTT.  Client: if it was accepted all the same, close with PROTOCOL_VIOLATION.
 */
enum mr_params_verdict
mr_transport_params_compare_early(const struct mr_transport_params *now_offered,
                                  const struct mr_transport_params *remembered,
                                  struct mr_params_error *error_out);

#endif /* MR_QUIC_TRANSPORT_PARAMS_H */
