/* Tests of quic/transport_params.h.  Rules of RFC 9000 are in
 * tests/conformance/test_transport_parameters.c. */
#include "quic/transport_params.h"

#include "tests/unit/harness.h"

static struct mr_transport_params full_server_params(void)
{
    struct mr_transport_params params;

    mr_transport_params_init(&params);
    params.max_idle_timeout_ms = 30000;
    params.max_udp_payload_size = 1472;
    params.initial_max_data = 1 << 20;
    params.initial_max_stream_data_bidi_local = 1 << 18;
    params.initial_max_stream_data_bidi_remote = 1 << 17;
    params.initial_max_stream_data_uni = 1 << 16;
    params.initial_max_streams_bidi = 100;
    params.initial_max_streams_uni = 3;
    params.ack_delay_exponent = 10;
    params.max_ack_delay_ms = 26;
    params.active_connection_id_limit = 8;
    params.max_datagram_frame_size = 65535;
    params.disable_active_migration = true;
    params.grease_quic_bit = true;
    params.has_original_dcid = true;
    params.original_dcid = (struct mr_cid){3, {1, 2, 3}};
    params.has_initial_scid = true;
    params.initial_scid = (struct mr_cid){0, {0}};
    params.has_retry_scid = true;
    params.retry_scid = (struct mr_cid){20, {9, 9}};
    params.has_stateless_reset_token = true;
    memset(params.stateless_reset_token, 0x77, MR_RESET_TOKEN);
    params.has_preferred_address = true;
    params.preferred_address = (struct mr_preferred_address){.ipv4 = {192, 0, 2, 1},
                                                             .ipv4_port = 443,
                                                             .ipv6 = {0x20, 0x01},
                                                             .ipv6_port = 8443,
                                                             .cid = {8, {8, 7}},
                                                             .reset_token = {5, 5}};
    params.has_version_information = true;
    params.version_information_size = 8;
    memcpy(params.version_information, (uint8_t[]){0, 0, 0, 1, 0, 0, 0, 1}, 8);
    return params;
}

static size_t encode(const struct mr_transport_params *params, enum mr_role own, uint8_t *dst)
{
    struct mr_writer w = mr_writer(dst, MR_TRANSPORT_PARAMS_MAX);

    mr_transport_params_write(&w, params, own, UINT64_C(0x123456789abcdef7));
    CU_ASSERT_FALSE_FATAL(w.failed);
    return mr_writer_size(&w);
}

static void everything_a_server_says_arrives(void)
{
    struct mr_transport_params sent = full_server_params();
    struct mr_transport_params got;
    struct mr_params_error error;
    uint8_t wire[MR_TRANSPORT_PARAMS_MAX];
    size_t size = encode(&sent, MR_SERVER, wire);

    memset(&got, 0xff, sizeof(got));
    CU_ASSERT_EQUAL_FATAL(mr_transport_params_decode(wire, size, MR_SERVER, &got, &error),
                          MR_PARAMS_OK);
    CU_ASSERT_EQUAL(memcmp(&sent, &got, sizeof(sent)), 0);
}

static void a_client_leaves_out_what_only_a_server_may_say(void)
{
    struct mr_transport_params sent = full_server_params();
    struct mr_transport_params got;
    struct mr_params_error error;
    uint8_t wire[MR_TRANSPORT_PARAMS_MAX];
    size_t size = encode(&sent, MR_CLIENT, wire);

    CU_ASSERT_EQUAL_FATAL(mr_transport_params_decode(wire, size, MR_CLIENT, &got, &error),
                          MR_PARAMS_OK);
    sent.has_original_dcid = sent.has_retry_scid = false;
    sent.has_preferred_address = sent.has_stateless_reset_token = false;
    memset(&sent.original_dcid, 0, sizeof(sent.original_dcid));
    memset(&sent.retry_scid, 0, sizeof(sent.retry_scid));
    memset(&sent.preferred_address, 0, sizeof(sent.preferred_address));
    memset(sent.stateless_reset_token, 0, sizeof(sent.stateless_reset_token));
    CU_ASSERT_EQUAL(memcmp(&sent, &got, sizeof(sent)), 0); /* all else arrived */
}

static void defaults_are_not_written(void)
{
    struct mr_transport_params params;
    uint8_t wire[MR_TRANSPORT_PARAMS_MAX];
    struct mr_reader r;

    mr_transport_params_init(&params);
    r = mr_reader(wire, encode(&params, MR_SERVER, wire));
    CU_ASSERT_EQUAL(mr_read_varint(&r) % 31, 27); /* the reserved one, alone */
    mr_read_bytes(&r, mr_read_varint(&r));
    CU_ASSERT_EQUAL(mr_reader_left(&r), 0);
    CU_ASSERT_FALSE(r.failed);
}

static void nothing_decodes_to_the_defaults(void)
{
    struct mr_transport_params got;
    struct mr_params_error error;

    memset(&got, 0xff, sizeof(got));
    CU_ASSERT_EQUAL(mr_transport_params_decode(NULL, 0, MR_CLIENT, &got, &error), MR_PARAMS_OK);
    CU_ASSERT_EQUAL(got.max_udp_payload_size, 65527);
    CU_ASSERT_EQUAL(got.ack_delay_exponent, 3);
    CU_ASSERT_EQUAL(got.max_ack_delay_ms, 25);
    CU_ASSERT_EQUAL(got.active_connection_id_limit, 2);
    CU_ASSERT_EQUAL(got.initial_max_data, 0);
    CU_ASSERT_EQUAL(got.max_idle_timeout_ms, 0);
    CU_ASSERT_EQUAL(got.max_datagram_frame_size, 0);
    CU_ASSERT_FALSE(got.disable_active_migration);
    CU_ASSERT_FALSE(got.has_initial_scid);
}

static void the_largest_parameters_fit_the_stated_size(void)
{
    struct mr_transport_params params = full_server_params();
    uint8_t wire[MR_TRANSPORT_PARAMS_MAX];
    const uint64_t huge = MR_VARINT_MAX;

    params.max_idle_timeout_ms = params.max_udp_payload_size = params.initial_max_data = huge;
    params.initial_max_stream_data_bidi_local = params.initial_max_stream_data_bidi_remote = huge;
    params.initial_max_stream_data_uni = params.active_connection_id_limit = huge;
    params.initial_max_streams_bidi = params.initial_max_streams_uni = UINT64_C(1) << 60;
    params.max_datagram_frame_size = huge;
    params.original_dcid.size = params.initial_scid.size = params.preferred_address.cid.size = 20;
    params.version_information_size = MR_VERSION_INFORMATION_MAX;

    for (uint64_t low = 0; low < 8; low++) {
        struct mr_writer w = mr_writer(wire, sizeof(wire));
        mr_transport_params_write(&w, &params, MR_SERVER, UINT64_MAX - low);
        CU_ASSERT_FALSE(w.failed);
    }
}

static void a_room_too_small_fails_the_writer(void)
{
    struct mr_transport_params params = full_server_params();
    uint8_t wire[MR_TRANSPORT_PARAMS_MAX];
    size_t size = encode(&params, MR_SERVER, wire);

    for (size_t room = 0; room < size; room++) {
        struct mr_writer w = mr_writer(wire, room);
        mr_transport_params_write(&w, &params, MR_SERVER, UINT64_C(0x123456789abcdef7));
        CU_ASSERT_TRUE(w.failed);
    }
}

static void parameters_cut_between_two_decode_and_elsewhere_are_truncated(void)
{
    struct mr_transport_params params = full_server_params();
    struct mr_transport_params got;
    struct mr_params_error error;
    uint8_t wire[MR_TRANSPORT_PARAMS_MAX];
    size_t size = encode(&params, MR_SERVER, wire);
    size_t next = 0;

    for (size_t cut = 0; cut < size; cut++) {
        enum mr_params_verdict verdict =
            mr_transport_params_decode(wire, cut, MR_SERVER, &got, &error);

        CU_ASSERT_EQUAL(verdict, cut == next ? MR_PARAMS_OK : MR_PARAMS_TRUNCATED);
        if (cut == next) {
            struct mr_reader r = mr_reader(wire + cut, size - cut);
            mr_read_varint(&r);
            mr_read_bytes(&r, mr_read_varint(&r));
            next += (size_t)(r.at - (wire + cut));
        } else {
            CU_ASSERT_PTR_NOT_NULL(error.reason);
        }
    }
}

static void a_long_version_list_is_cut_and_checked_to_its_end(void)
{
    uint8_t wire[2 + 2 + 4 * 100] = {0x11, 0x41, 0x90}; /* 400 bytes */
    struct mr_transport_params got;
    struct mr_params_error error;

    for (size_t i = 0; i < 100; i++)
        wire[3 + 4 * i + 3] = (uint8_t)(i + 1);
    wire[3 + 4 * 99 + 3] = 1; /* the chosen one, last */
    CU_ASSERT_EQUAL(mr_transport_params_decode(wire, 403, MR_CLIENT, &got, &error), MR_PARAMS_OK);
    CU_ASSERT_EQUAL(got.version_information_size, MR_VERSION_INFORMATION_MAX);
    CU_ASSERT_EQUAL(got.version_information[3], 1);
    CU_ASSERT_EQUAL(got.version_information[63], 16);

    wire[3 + 4 * 99 + 3] = 0;
    CU_ASSERT_EQUAL(mr_transport_params_decode(wire, 403, MR_CLIENT, &got, &error),
                    MR_PARAMS_INVALID);
    CU_ASSERT_EQUAL(error.id, MR_PARAM_VERSION_INFORMATION);
}

static void repeated_unknown_parameters_are_found(void)
{
    struct mr_transport_params got;
    struct mr_params_error error;
    uint8_t wire[4 * 40];
    size_t size = 0;

    for (uint8_t i = 0; i < 40; i++) { /* 40 different ones: fine */
        wire[size++] = 0x70;
        wire[size++] = i;
        wire[size++] = 0;
    }
    CU_ASSERT_EQUAL(mr_transport_params_decode(wire, size, MR_CLIENT, &got, &error), MR_PARAMS_OK);
    wire[size++] = 0x70;
    wire[size++] = 31; /* the last one remembered */
    wire[size++] = 0;
    CU_ASSERT_EQUAL(mr_transport_params_decode(wire, size, MR_CLIENT, &got, &error),
                    MR_PARAMS_DUPLICATE);
    CU_ASSERT_EQUAL(error.id, 0x3000 + 31);
    wire[size - 2] = 35; /* not remembered: ignored */
    CU_ASSERT_EQUAL(mr_transport_params_decode(wire, size, MR_CLIENT, &got, &error), MR_PARAMS_OK);
}

static CU_TestInfo tests[] = {
    {"everything a server says arrives", everything_a_server_says_arrives},
    {"a client leaves out what only a server may say",
     a_client_leaves_out_what_only_a_server_may_say},
    {"defaults are not written", defaults_are_not_written},
    {"nothing decodes to the defaults", nothing_decodes_to_the_defaults},
    {"the largest parameters fit the stated size", the_largest_parameters_fit_the_stated_size},
    {"a room too small fails the writer", a_room_too_small_fails_the_writer},
    {"parameters cut between two decode, and elsewhere are truncated",
     parameters_cut_between_two_decode_and_elsewhere_are_truncated},
    {"a long version list is cut and checked to its end",
     a_long_version_list_is_cut_and_checked_to_its_end},
    {"repeated unknown parameters are found", repeated_unknown_parameters_are_found},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/transport_params", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
