/*
 * What RFC 9000 (Sections 4.6, 7.3, 7.4 and 18), RFC 9221 and RFC 9368 demand of transport
 * parameters. Each test quotes its sentence.  Every verdict but OK (and REDUCED) means
 * TRANSPORT_PARAMETER_ERROR.
 */
#include <stdio.h>

#include "quic/transport_params.h"
#include "tests/hex.h"
#include "tests/unit/harness.h"

static struct mr_transport_params params;
static struct mr_params_error error;

static enum mr_params_verdict decode(const char *hex, enum mr_role sender)
{
    uint8_t bytes[512];

    error = (struct mr_params_error){0};
    return mr_transport_params_decode(bytes, mr_hex(hex, bytes, sizeof(bytes)), sender, &params,
                                      &error);
}

#define TOKEN_16 "000102030405060708090a0b0c0d0e0f"
#define V4_V6                                                                                      \
    "c0000201"                                                                                     \
    "01bb"                                                                                         \
    "20010db8000000000000000000000001"                                                             \
    "01bb"

/*
 * Section 18.2: "A client MUST NOT include any server-only transport parameter:
 * original_destination_connection_id, preferred_address, retry_source_connection_id, or
 * stateless_reset_token.  A server MUST treat receipt of any of these transport parameters as a
 * connection error of type TRANSPORT_PARAMETER_ERROR."
 * RFC 9000, Section 18.2: "This transport parameter MUST NOT be sent by a client but MAY be sent by
 * a server." */
static void a_client_says_nothing_that_only_a_server_may(void)
{
    static const struct {
        const char *hex;
        uint64_t id;
    } rows[] = {
        {"0001aa", 0x00},
        {"0210" TOKEN_16, 0x02},
        {"0d2a" V4_V6 "01aa" TOKEN_16, 0x0d},
        {"1000", 0x10},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        CU_ASSERT_EQUAL(decode(rows[i].hex, MR_SERVER), MR_PARAMS_OK);
        CU_ASSERT_EQUAL(decode(rows[i].hex, MR_CLIENT), MR_PARAMS_SERVER_ONLY);
        CU_ASSERT_EQUAL(error.id, rows[i].id);
        CU_ASSERT_PTR_NOT_NULL(error.reason);
    }
}

/* Section 7.4: "An endpoint SHOULD treat receipt of duplicate transport parameters as a connection
 * error of type TRANSPORT_PARAMETER_ERROR."
 * RFC 9000, Section 7.4: "An endpoint MUST NOT send a parameter more than once in a given transport
 * parameters extension." */
static void a_parameter_comes_once(void)
{
    static const char *const twice[] = {"010105"
                                        "010105",
                                        "0c00"
                                        "0c00",
                                        "0f00"
                                        "0f0101",
                                        "3b00"
                                        "3b00",
                                        "010105"
                                        "040105"
                                        "010106"};

    for (size_t i = 0; i < MR_COUNT_OF(twice); i++)
        CU_ASSERT_EQUAL(decode(twice[i], MR_SERVER), MR_PARAMS_DUPLICATE);
    CU_ASSERT_EQUAL(error.id, 0x01);
    CU_ASSERT_EQUAL(decode("010105"
                           "040105",
                           MR_SERVER),
                    MR_PARAMS_OK);
}

/* Section 7.4: "An endpoint MUST treat receipt of a transport parameter with an invalid value as a
 * connection error of type TRANSPORT_PARAMETER_ERROR.", with the bounds of Section 18.2.
 * RFC 9000, Section 4.6: "If either is received, the connection MUST be closed immediately with a
 * connection error of type TRANSPORT_PARAMETER_ERROR if the offending value was received in a
 * transport parameter or of type FRAME_ENCODING_ERROR if it was received in a frame." RFC 9000,
 * Section 18.2: "The value of the active_connection_id_limit parameter MUST be at least 2." RFC
 * 9000, Section 18.2: "An endpoint that receives a value less than 2 MUST close the connection with
 * an error of type TRANSPORT_PARAMETER_ERROR." */
static void values_are_in_bounds(void)
{
    static const struct {
        const char *valid;
        const char *invalid;
        uint64_t id;
    } rows[] = {
        {"030244b0", "030244af", 0x03},           /* "Values below 1200 are invalid." */
        {"0308ffffffffffffffff", "030100", 0x03}, /* no upper bound but the datagram's */
        {"0a0114", "0a0115", 0x0a},               /* "Values above 20 are invalid." */
        {"0b027fff", "0b0480004000", 0x0b},       /* "Values of 2^14 or greater are invalid." */
        {"0e0102", "0e0101", 0x0e},               /* "MUST be at least 2" */
        {"0808d000000000000000", "0808d000000000000001", 0x08}, /* Section 4.6: at most 2^60 */
        {"0908d000000000000000", "0908d000000000000001", 0x09},
        {"0408ffffffffffffffff", "0402ff", 0x04},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        CU_ASSERT_EQUAL(decode(rows[i].valid, MR_CLIENT), MR_PARAMS_OK);
        CU_ASSERT_NOT_EQUAL(decode(rows[i].invalid, MR_CLIENT), MR_PARAMS_OK);
        CU_ASSERT_EQUAL(error.id, rows[i].id);
    }
}

/* Section 18: "The Transport Parameter Length field contains the length of the Transport Parameter
 * Value field in bytes." */
static void a_value_is_exactly_as_long_as_its_length(void)
{
    static const struct {
        const char *hex;
        enum mr_params_verdict verdict;
    } rows[] = {
        {"0401", MR_PARAMS_TRUNCATED}, /* the value ends beyond the extension */
        {"04", MR_PARAMS_TRUNCATED},   /* so does the length */
        {"40", MR_PARAMS_TRUNCATED},   /* and the id */
        {"0440", MR_PARAMS_TRUNCATED},
        {"0400", MR_PARAMS_TRUNCATED},   /* no integer */
        {"040140", MR_PARAMS_TRUNCATED}, /* half an integer */
        {"0403c00000", MR_PARAMS_TRUNCATED},
        {"04020500", MR_PARAMS_INVALID}, /* an integer and a byte */
        {"04024005", MR_PARAMS_OK},      /* longer than necessary is legal */
        {"04ffffffffffffffff05", MR_PARAMS_TRUNCATED},
        {"0c00", MR_PARAMS_OK},
        {"0c0100", MR_PARAMS_INVALID}, /* "This parameter is a zero-length value." */
        {"6ab200", MR_PARAMS_OK},
        {"6ab20100", MR_PARAMS_INVALID},
        {"0210" TOKEN_16, MR_PARAMS_OK},
        {"020f0102030405060708090a0b0c0d0e0f", MR_PARAMS_TRUNCATED}, /* "a sequence of 16 bytes" */
        {"0211" TOKEN_16 "00", MR_PARAMS_INVALID},
        {"0f14" TOKEN_16 "00010203", MR_PARAMS_OK},
        {"0f15" TOKEN_16 "0001020304", MR_PARAMS_INVALID},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++)
        CU_ASSERT_EQUAL(decode(rows[i].hex, MR_SERVER), rows[i].verdict);
}

/* Section 7.4.2: "An endpoint MUST ignore transport parameters that it does not support."  "For
 * example, QUIC implementations MUST discard transport parameters that they do not understand
 * {{Section 7.4.2 of QUIC-TRANSPORT}}." (draft-ietf-quic-qlog-quic-events: parameters_set) */
static void unknown_parameters_are_ignored(void)
{
    CU_ASSERT_EQUAL(decode("1b03aabbcc"
                           "3a00"
                           "fffffffffffffffe01aa"
                           "040105",
                           MR_CLIENT),
                    MR_PARAMS_OK);
    CU_ASSERT_EQUAL(params.initial_max_data, 5);
    CU_ASSERT_EQUAL(decode("1b03aabb", MR_CLIENT), MR_PARAMS_TRUNCATED);
}

/* Section 18.1: "Transport parameters with an identifier of the form "31 * N + 27" for integer
 * values of N are reserved". */
static void the_parameter_sent_as_grease_is_reserved(void)
{
    uint64_t random = 1;

    for (int i = 0; i < 1000; i++) {
        uint8_t bytes[64];
        struct mr_writer w = mr_writer(bytes, sizeof(bytes));

        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        mr_transport_params_init(&params);
        mr_transport_params_write(&w, &params, MR_CLIENT, random);
        struct mr_reader r = mr_reader(bytes, mr_writer_size(&w));
        CU_ASSERT_EQUAL(mr_read_varint(&r) % 31, 27);
    }
}

/*
 * draft-ietf-quic-ack-frequency: "An endpoint's min_ack_delay MUST NOT be greater than its
 * max_ack_delay.  Endpoints that support this extension MUST treat receipt of a min_ack_delay that
 * is greater than the max_ack_delay as a connection error of type TRANSPORT_PARAMETER_ERROR."  One
 * is in microseconds, the other in milliseconds; it is absent by default (25).
 */
static void min_ack_delay_is_at_most_max_ack_delay(void)
{
    CU_ASSERT_EQUAL(decode("c0000000ff04de1b04800061a8", MR_CLIENT), MR_PARAMS_OK);
    CU_ASSERT_EQUAL(params.min_ack_delay_us, 25000);
    CU_ASSERT_EQUAL(decode("c0000000ff04de1b04800061a9", MR_SERVER), MR_PARAMS_INVALID);
    CU_ASSERT_EQUAL(error.id, MR_PARAM_MIN_ACK_DELAY);
    CU_ASSERT_EQUAL(decode("c0000000ff04de1b0243e90b0101", MR_SERVER), MR_PARAMS_INVALID);
    CU_ASSERT_EQUAL(decode("0b0101c0000000ff04de1b0243e8", MR_SERVER), MR_PARAMS_OK);
    CU_ASSERT_EQUAL(decode("c0000000ff04de1b08ffffffffffffffff", MR_SERVER), MR_PARAMS_INVALID);
    CU_ASSERT_EQUAL(decode("040105", MR_CLIENT), MR_PARAMS_OK);
    CU_ASSERT_EQUAL(params.min_ack_delay_us, MR_PARAM_NO_ACK_DELAY);
}

/* draft-ietf-quic-ack-frequency: "Endpoints MUST NOT remember the value of the min_ack_delay
 * transport parameter they received for use in a subsequent connection."
 * draft-ietf-quic-reliable-stream-reset: "both endpoints MUST remember whether this extension was
 * advertised by the server [...] the server MUST NOT disable this extension on the resumed
 * connection."  draft-ietf-quic-address-discovery: "both endpoints MUST remember the value of this
 * transport parameter.  [...] the server MUST NOT disable this extension or change the value on the
 * resumed connection." */
static void extensions_are_remembered_as_they_say(void)
{
    struct mr_transport_params before;
    struct mr_transport_params after;

    CU_ASSERT_EQUAL(decode("c0000000ff04de1b01011d00c00000009f81a1760102", MR_SERVER),
                    MR_PARAMS_OK);
    before = params;
    mr_transport_params_forget(&before);
    CU_ASSERT_EQUAL(before.min_ack_delay_us, MR_PARAM_NO_ACK_DELAY);
    CU_ASSERT(before.reset_stream_at && before.address_discovery == MR_ADDRESS_BOTH);
    CU_ASSERT_EQUAL(mr_transport_params_compare_early(&before, &before, &error), MR_PARAMS_OK);
    after = before;
    after.reset_stream_at = false;
    CU_ASSERT_EQUAL(mr_transport_params_compare_early(&after, &before, &error), MR_PARAMS_REDUCED);
    CU_ASSERT_EQUAL(error.id, MR_PARAM_RESET_STREAM_AT);
    CU_ASSERT_EQUAL(mr_transport_params_compare_early(&before, &after, &error), MR_PARAMS_OK);
    for (uint64_t value = MR_ADDRESS_PROVIDES; value <= MR_ADDRESS_NEITHER; value++) {
        after = before;
        after.address_discovery = value;
        CU_ASSERT_EQUAL(mr_transport_params_compare_early(&after, &before, &error),
                        value == MR_ADDRESS_BOTH ? MR_PARAMS_OK : MR_PARAMS_REDUCED);
    }
}

/* draft-ietf-quic-reliable-stream-reset: "An implementation that understands this transport
 * parameter MUST treat the receipt of a non-empty value as a connection error of type
 * TRANSPORT_PARAMETER_ERROR."  draft-ietf-quic-address-discovery: "Implementations that understand
 * this transport parameter MUST treat the receipt of any other value than these [0, 1, 2] as a
 * connection error of type TRANSPORT_PARAMETER_ERROR." */
static void values_of_extensions_are_checked(void)
{
    CU_ASSERT_EQUAL(decode("1d00", MR_CLIENT), MR_PARAMS_OK);
    CU_ASSERT(params.reset_stream_at);
    CU_ASSERT_EQUAL(params.address_discovery, MR_ADDRESS_NEITHER);
    CU_ASSERT_EQUAL(decode("1d0101", MR_CLIENT), MR_PARAMS_INVALID);
    for (uint8_t value = 0; value < 64; value++) {
        char hex[64];

        snprintf(hex, sizeof(hex), "c00000009f81a17601%02x", value);
        CU_ASSERT_EQUAL(decode(hex, MR_CLIENT), value < 3 ? MR_PARAMS_OK : MR_PARAMS_INVALID);
    }
    CU_ASSERT_EQUAL(decode("c00000009f81a17600", MR_CLIENT), MR_PARAMS_TRUNCATED);
    CU_ASSERT_EQUAL(decode("c00000009f81a176020101", MR_CLIENT), MR_PARAMS_INVALID);
}

/*
 * Section 18.2: "a server MUST NOT include a zero-length connection ID in this transport parameter
 * [preferred_address].  A client MUST treat a violation of these requirements as a connection error
 * of type TRANSPORT_PARAMETER_ERROR."
 */
static void a_preferred_address_has_a_connection_id(void)
{
    CU_ASSERT_EQUAL(decode("0d2a" V4_V6 "01aa" TOKEN_16, MR_SERVER), MR_PARAMS_OK);
    CU_ASSERT_EQUAL(params.preferred_address.ipv4[0], 192);
    CU_ASSERT_EQUAL(params.preferred_address.ipv4_port, 443);
    CU_ASSERT_EQUAL(params.preferred_address.ipv6_port, 443);
    CU_ASSERT_EQUAL(params.preferred_address.cid.size, 1);
    CU_ASSERT_EQUAL(params.preferred_address.reset_token[15], 15);
    CU_ASSERT_EQUAL(decode("0d29" V4_V6 "00" TOKEN_16, MR_SERVER), MR_PARAMS_INVALID);
    CU_ASSERT_EQUAL(error.id, 0x0d);
    CU_ASSERT_EQUAL(decode("0d2a" V4_V6 "02aa" TOKEN_16, MR_SERVER), MR_PARAMS_TRUNCATED);
    CU_ASSERT_EQUAL(decode("0d2b" V4_V6 "01aa" TOKEN_16 "00", MR_SERVER), MR_PARAMS_INVALID);
    CU_ASSERT_EQUAL(decode("0d403e" V4_V6 "15"
                           "0001020304" TOKEN_16 TOKEN_16,
                           MR_SERVER),
                    MR_PARAMS_INVALID);
}

/*
 * RFC 9368, Section 4: "Both endpoints MUST parse their peer's Version Information during the
 * handshake." A length that is not divisible by four, a version 0 and a client's Chosen Version
 * that is not among its Available Versions are parsing failures.  "... or if its length is not
 * divisible by four), then the endpoint MUST close the connection; if the connection was using QUIC
 * version 1, that connection ..." (RFC 9368, Version Downgrade Prevention)  "If an endpoint
 * receives a Chosen Version equal to zero, or any Available Version equal to zero, it MUST treat it
 * as a parsing failure." (RFC 9368, Version Downgrade Prevention)  "If a server receives Version
 * Information where the Chosen Version is not included in Available Versions, it MUST treat it as a
 * parsing failure." (RFC 9368, Version Downgrade Prevention) */
static void version_information_parses(void)
{
    CU_ASSERT_EQUAL(decode("110800000001"
                           "00000001",
                           MR_CLIENT),
                    MR_PARAMS_OK);
    CU_ASSERT_EQUAL(params.version_information_size, 8);
    CU_ASSERT_EQUAL(decode("110400000001", MR_SERVER), MR_PARAMS_OK);
    CU_ASSERT_EQUAL(decode("110400000001", MR_CLIENT), MR_PARAMS_INVALID);
    CU_ASSERT_EQUAL(decode("11080000000100000002", MR_CLIENT), MR_PARAMS_INVALID);
    CU_ASSERT_EQUAL(decode("11080000000100000002", MR_SERVER), MR_PARAMS_OK);
    CU_ASSERT_EQUAL(decode("110c00000001"
                           "00000000"
                           "00000001",
                           MR_CLIENT),
                    MR_PARAMS_INVALID);
    CU_ASSERT_EQUAL(decode("110400000000", MR_SERVER), MR_PARAMS_INVALID);
    CU_ASSERT_EQUAL(decode("110700000001000000", MR_SERVER), MR_PARAMS_INVALID);
    CU_ASSERT_EQUAL(decode("1100", MR_SERVER), MR_PARAMS_INVALID);
}

/* ---------------------------------------------------------------- Section 7.3 */

static const struct mr_cid s1 = {8, {0x51}};
static const struct mr_cid s2 = {8, {0x52}};
static const struct mr_cid s3 = {8, {0x53}};
static const struct mr_cid empty = {0, {0}};

static enum mr_params_verdict authenticate(enum mr_role sender, const struct mr_cid *retry)
{
    const struct mr_cid_trail trail = {
        .peer_scid = &s3, .original_dcid = sender == MR_SERVER ? &s1 : NULL, .retry_scid = retry};

    return mr_transport_params_authenticate(&params, sender, &trail, &error);
}

static void set_honest(bool with_retry)
{
    mr_transport_params_init(&params);
    params.has_original_dcid = params.has_initial_scid = true;
    params.original_dcid = s1;
    params.initial_scid = s3;
    params.has_retry_scid = with_retry;
    params.retry_scid = s2;
}

/* "The values provided by a peer for these transport parameters MUST match the values that an
 * endpoint used in the Destination and Source Connection ID fields of Initial packets that it sent
 * (and received, for servers)."
 * RFC 9000, Section 7.3: "Endpoints MUST validate that received transport parameters match received
 * connection ID values." RFC 9000, Section 7.3: "An endpoint MUST treat the following as a
 * connection error of type TRANSPORT_PARAMETER_ERROR or PROTOCOL_VIOLATION:" */
static void declared_connection_ids_match_those_of_the_packets(void)
{
    set_honest(false);
    CU_ASSERT_EQUAL(authenticate(MR_SERVER, NULL), MR_PARAMS_OK);
    set_honest(true);
    CU_ASSERT_EQUAL(authenticate(MR_SERVER, &s2), MR_PARAMS_OK);

    set_honest(false);
    params.original_dcid = s2;
    CU_ASSERT_EQUAL(authenticate(MR_SERVER, NULL), MR_PARAMS_CID_MISMATCH);
    CU_ASSERT_EQUAL(error.id, MR_PARAM_ORIGINAL_DCID);
    set_honest(false);
    params.initial_scid = s2;
    CU_ASSERT_EQUAL(authenticate(MR_SERVER, NULL), MR_PARAMS_CID_MISMATCH);
    CU_ASSERT_EQUAL(error.id, MR_PARAM_INITIAL_SCID);
    CU_ASSERT_EQUAL(authenticate(MR_CLIENT, NULL), MR_PARAMS_CID_MISMATCH);
    set_honest(true);
    params.retry_scid = s3;
    CU_ASSERT_EQUAL(authenticate(MR_SERVER, &s2), MR_PARAMS_CID_MISMATCH);
    CU_ASSERT_EQUAL(error.id, MR_PARAM_RETRY_SCID);
}

/* "An endpoint MUST treat the absence of the initial_source_connection_id transport parameter from
 * either endpoint or the absence of the original_destination_connection_id transport parameter from
 * the server as a connection error of type TRANSPORT_PARAMETER_ERROR." */
static void absent_connection_ids_are_errors(void)
{
    set_honest(false);
    params.has_initial_scid = false;
    CU_ASSERT_EQUAL(authenticate(MR_SERVER, NULL), MR_PARAMS_CID_MISMATCH);
    CU_ASSERT_EQUAL(authenticate(MR_CLIENT, NULL), MR_PARAMS_CID_MISMATCH);
    set_honest(false);
    params.has_original_dcid = false;
    CU_ASSERT_EQUAL(authenticate(MR_SERVER, NULL), MR_PARAMS_CID_MISMATCH);
    CU_ASSERT_EQUAL(authenticate(MR_CLIENT, NULL), MR_PARAMS_OK);
}

/* "absence of the retry_source_connection_id transport parameter from the server after receiving a
 * Retry packet, presence of the retry_source_connection_id transport parameter when no Retry packet
 * was received"
 * RFC 9000, Section 7.3: "An endpoint MUST treat the following as a connection error of type
 * TRANSPORT_PARAMETER_ERROR or PROTOCOL_VIOLATION:" */
static void retry_connection_id_is_there_if_and_only_if_there_was_a_retry(void)
{
    set_honest(false);
    CU_ASSERT_EQUAL(authenticate(MR_SERVER, &s2), MR_PARAMS_CID_MISMATCH);
    set_honest(true);
    CU_ASSERT_EQUAL(authenticate(MR_SERVER, NULL), MR_PARAMS_CID_MISMATCH);
}

/* "If a zero-length connection ID is selected, the corresponding transport parameter is included
 * with a zero-length value." */
static void an_empty_connection_id_is_declared_empty(void)
{
    const struct mr_cid_trail trail = {.peer_scid = &empty};

    CU_ASSERT_EQUAL(decode("0f00", MR_CLIENT), MR_PARAMS_OK);
    CU_ASSERT_TRUE(params.has_initial_scid);
    CU_ASSERT_EQUAL(mr_transport_params_authenticate(&params, MR_CLIENT, &trail, &error),
                    MR_PARAMS_OK);
    params.initial_scid = s3;
    CU_ASSERT_EQUAL(mr_transport_params_authenticate(&params, MR_CLIENT, &trail, &error),
                    MR_PARAMS_CID_MISMATCH);
}

/* ---------------------------------------------------------------- Section 7.4.1 */

/* "A client MUST NOT use remembered values for the following parameters: ack_delay_exponent,
 * max_ack_delay, initial_source_connection_id, original_destination_connection_id,
 * preferred_address, retry_source_connection_id, and stateless_reset_token."
 * RFC 9000, Section 7.4.1: "The client MUST use the server's new values in the handshake instead;
 * if the server does not provide new values, the default values are used." RFC 9000, Section 7.4.1:
 * "A client that attempts to send 0-RTT data MUST remember all other transport parameters used by
 * the server that it is able to process." RFC 9000, Section 9.6.2: "A client MUST NOT use these for
 * other connections, including connections that are resumed from the current connection." */
static void some_parameters_are_not_remembered(void)
{
    struct mr_transport_params expected;

    mr_transport_params_init(&params);
    params.max_idle_timeout_ms = 10;
    params.max_udp_payload_size = 1400;
    params.initial_max_data = 77;
    params.initial_max_stream_data_bidi_local = 78;
    params.initial_max_stream_data_bidi_remote = 79;
    params.initial_max_stream_data_uni = 80;
    params.initial_max_streams_bidi = 81;
    params.initial_max_streams_uni = 82;
    params.active_connection_id_limit = 5;
    params.max_datagram_frame_size = 83;
    params.disable_active_migration = true;
    params.grease_quic_bit = true;
    expected = params;

    params.ack_delay_exponent = 20;
    params.max_ack_delay_ms = 1000;
    params.has_initial_scid = params.has_original_dcid = params.has_retry_scid = true;
    params.has_preferred_address = params.has_stateless_reset_token = true;
    mr_transport_params_forget(&params);
    CU_ASSERT_EQUAL(memcmp(&params, &expected, sizeof(params)), 0);
}

/*
 * "a server that accepts 0-RTT data MUST NOT set values for the following parameters (Section 18.2)
 * that are smaller than the remembered values": seven of them; and RFC 9221, Section 3, for
 * max_datagram_frame_size.
 */
static void early_data_keeps_its_limits(void)
{
    static const struct {
        size_t at;
        uint64_t id;
        bool counts;
    } rows[] = {
        {offsetof(struct mr_transport_params, active_connection_id_limit), 0x0e, true},
        {offsetof(struct mr_transport_params, initial_max_data), 0x04, true},
        {offsetof(struct mr_transport_params, initial_max_stream_data_bidi_local), 0x05, true},
        {offsetof(struct mr_transport_params, initial_max_stream_data_bidi_remote), 0x06, true},
        {offsetof(struct mr_transport_params, initial_max_stream_data_uni), 0x07, true},
        {offsetof(struct mr_transport_params, initial_max_streams_bidi), 0x08, true},
        {offsetof(struct mr_transport_params, initial_max_streams_uni), 0x09, true},
        {offsetof(struct mr_transport_params, max_datagram_frame_size), 0x20, true},
        {offsetof(struct mr_transport_params, max_idle_timeout_ms), 0x01, false},
        {offsetof(struct mr_transport_params, max_udp_payload_size), 0x03, false},
        {offsetof(struct mr_transport_params, max_ack_delay_ms), 0x0b, false},
    };

    for (size_t i = 0; i < MR_COUNT_OF(rows); i++) {
        struct mr_transport_params remembered;
        uint64_t *limit = (uint64_t *)(void *)((uint8_t *)&remembered + rows[i].at);

        mr_transport_params_init(&remembered);
        mr_transport_params_init(&params);
        CU_ASSERT_EQUAL(mr_transport_params_compare_early(&params, &remembered, &error),
                        MR_PARAMS_OK);
        *limit += 1;
        CU_ASSERT_EQUAL(mr_transport_params_compare_early(&params, &remembered, &error),
                        rows[i].counts ? MR_PARAMS_REDUCED : MR_PARAMS_OK);
        if (rows[i].counts)
            CU_ASSERT_EQUAL(error.id, rows[i].id);
        CU_ASSERT_EQUAL(mr_transport_params_compare_early(&remembered, &params, &error),
                        MR_PARAMS_OK);
    }
}

static CU_TestInfo tests[] = {
    {"18.2: a client says nothing that only a server may",
     a_client_says_nothing_that_only_a_server_may},
    {"7.4: a parameter comes once", a_parameter_comes_once},
    {"7.4, 18.2: values are in bounds", values_are_in_bounds},
    {"18: a value is exactly as long as its length", a_value_is_exactly_as_long_as_its_length},
    {"7.4.2: unknown parameters are ignored", unknown_parameters_are_ignored},
    {"min_ack_delay is at most max_ack_delay", min_ack_delay_is_at_most_max_ack_delay},
    {"extensions are remembered as they say", extensions_are_remembered_as_they_say},
    {"values of extensions are checked", values_of_extensions_are_checked},
    {"18.1: the parameter sent as grease is reserved", the_parameter_sent_as_grease_is_reserved},
    {"18.2: a preferred address has a connection ID", a_preferred_address_has_a_connection_id},
    {"RFC 9368 4: version information parses", version_information_parses},
    {"7.3: declared connection IDs match those of the packets",
     declared_connection_ids_match_those_of_the_packets},
    {"7.3: absent connection IDs are errors", absent_connection_ids_are_errors},
    {"7.3: retry_source_connection_id is there if and only if there was a Retry",
     retry_connection_id_is_there_if_and_only_if_there_was_a_retry},
    {"7.3: an empty connection ID is declared empty", an_empty_connection_id_is_declared_empty},
    {"7.4.1: some parameters are not remembered", some_parameters_are_not_remembered},
    {"7.4.1: early data keeps its limits", early_data_keeps_its_limits},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "transport parameters", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
