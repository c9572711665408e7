/*
 * fuzz/fuzz_transport_params.c - property test of quic/transport_params.h.
 *
 * The first byte's lowest bit is the sender's role, its next bit picks the input's form: bytes as
 * they are, or a list of likely parameters (id from the known ones, length and value as drawn), of
 * which uniform bytes would make few.  Properties:
 *   1. no read leaves the input;
 *   2. a verdict other than OK comes with a reason; OK with values inside their bounds;
 *   3. decode -> encode (as the same role) -> decode gives the same parameters, and fits the
 *      stated size;
 *   4. what a client may send, a server may send, too, to the same effect;
 *   5. compared with themselves parameters are not reduced; forgetting twice is forgetting once.
 */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "quic/transport_params.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_bounds(const struct mr_transport_params *p)
{
    MR_ASSERT(p->max_udp_payload_size >= 1200);
    MR_ASSERT(p->ack_delay_exponent <= 20);
    MR_ASSERT(p->max_ack_delay_ms < 1 << 14);
    MR_ASSERT(p->active_connection_id_limit >= 2);
    MR_ASSERT(p->address_discovery <= MR_ADDRESS_NEITHER);
    MR_ASSERT(p->min_ack_delay_us == MR_PARAM_NO_ACK_DELAY ||
              p->min_ack_delay_us <= 1000 * p->max_ack_delay_ms);
    MR_ASSERT(p->initial_max_streams_bidi <= UINT64_C(1) << 60);
    MR_ASSERT(p->initial_max_streams_uni <= UINT64_C(1) << 60);
    MR_ASSERT(p->initial_max_data <= MR_VARINT_MAX);
    MR_ASSERT(p->original_dcid.size <= MR_CID_MAX);
    MR_ASSERT(p->initial_scid.size <= MR_CID_MAX);
    MR_ASSERT(p->retry_scid.size <= MR_CID_MAX);
    MR_ASSERT(!p->has_preferred_address || p->preferred_address.cid.size >= 1);
    MR_ASSERT(p->preferred_address.cid.size <= MR_CID_MAX);
    MR_ASSERT(p->version_information_size % 4 == 0);
    MR_ASSERT(p->version_information_size <= MR_VERSION_INFORMATION_MAX);
}

static void check_role(const struct mr_transport_params *p, enum mr_role sender)
{
    if (sender == MR_SERVER)
        return;
    MR_ASSERT(!p->has_original_dcid && !p->has_retry_scid);
    MR_ASSERT(!p->has_preferred_address && !p->has_stateless_reset_token);
}

static void check_again(struct mr_transport_params *p, enum mr_role role, uint64_t random)
{
    uint8_t wire[MR_TRANSPORT_PARAMS_MAX];
    struct mr_transport_params again;
    struct mr_params_error error;
    struct mr_writer w = mr_writer(wire, sizeof(wire));

    if (p->version_information_size == MR_VERSION_INFORMATION_MAX)
        p->has_version_information = false; /* it was cut, maybe before a client's chosen version */
    mr_transport_params_write(&w, p, role, random);
    MR_ASSERT(!w.failed);
    MR_ASSERT(mr_transport_params_decode(wire, mr_writer_size(&w), role, &again, &error) ==
              MR_PARAMS_OK);
    if (!p->has_version_information) {
        memset(p->version_information, 0, sizeof(p->version_information));
        p->version_information_size = 0;
    }
    MR_ASSERT(memcmp(p, &again, sizeof(again)) == 0);
}

static void check_comparisons(const struct mr_transport_params *p)
{
    struct mr_params_error error;
    struct mr_transport_params once = *p;
    struct mr_transport_params twice;

    MR_ASSERT(mr_transport_params_compare_early(p, p, &error) == MR_PARAMS_OK);
    mr_transport_params_forget(&once);
    MR_ASSERT(mr_transport_params_compare_early(&once, p, &error) == MR_PARAMS_OK);
    twice = once;
    mr_transport_params_forget(&twice);
    MR_ASSERT(memcmp(&once, &twice, sizeof(once)) == 0);
}

static void check(const uint8_t *bytes, size_t size, enum mr_role sender)
{
    struct mr_transport_params params;
    struct mr_transport_params as_server;
    struct mr_params_error error = {0};
    enum mr_params_verdict verdict =
        mr_transport_params_decode(bytes, size, sender, &params, &error);

    if (verdict != MR_PARAMS_OK) {
        MR_ASSERT(error.reason != NULL);
        return;
    }
    check_bounds(&params);
    check_role(&params, sender);
    MR_ASSERT(mr_transport_params_decode(bytes, size, MR_SERVER, &as_server, &error) ==
              MR_PARAMS_OK);
    MR_ASSERT(memcmp(&params, &as_server, sizeof(params)) == 0);
    check_comparisons(&params);
    check_again(&params, sender, size * UINT64_C(0x9e3779b97f4a7c15));
}

/* Parameters that look right more often than not. */
static size_t write_likely(struct mr_reader *input, uint8_t *dst, size_t room)
{
    static const uint64_t ids[] = {0x00,
                                   0x01,
                                   0x02,
                                   0x03,
                                   0x04,
                                   0x05,
                                   0x06,
                                   0x07,
                                   0x08,
                                   0x09,
                                   0x0a,
                                   0x0b,
                                   0x0c,
                                   0x0d,
                                   0x0e,
                                   0x0f,
                                   0x10,
                                   0x11,
                                   0x20,
                                   0x2ab2,
                                   0x3b,
                                   0x1d,
                                   MR_PARAM_MIN_ACK_DELAY,
                                   MR_PARAM_ADDRESS_DISCOVERY};
    static const uint8_t zeros[128];
    struct mr_writer w = mr_writer(dst, room);

    while (!input->failed && mr_reader_left(input) > 0) {
        struct mr_writer before = w;
        uint64_t id = ids[mr_read_u8(input) % MR_COUNT_OF(ids)];
        uint8_t form = mr_read_u8(input);
        uint64_t integer = (uint64_t)mr_read_u16(input) << (form & 15);

        if (id == MR_PARAM_ADDRESS_DISCOVERY)
            integer &= 3;

        mr_write_varint(&w, id);
        if (id == 0x0c || id == 0x1d || id == 0x2ab2) {
            mr_write_varint(&w, form == 255);
            mr_write_be(&w, 0, form == 255);
        } else if (id <= 0x02
                       ? id == 0x01
                       : id < 0x0d || id == 0x0e || id == 0x20 || id == MR_PARAM_MIN_ACK_DELAY ||
                             id == MR_PARAM_ADDRESS_DISCOVERY) {
            mr_write_varint(&w, mr_varint_size(integer));
            mr_write_varint(&w, integer);
        } else {
            size_t size = id == 0x02   ? 16
                          : id == 0x0d ? 41 + form % 22u
                          : id == 0x11 ? form % 80u
                                       : form % 23u;
            const uint8_t *value = mr_read_bytes(input, size);

            mr_write_varint(&w, size);
            mr_write_bytes(&w, value != NULL ? value : zeros, size);
            if (id == 0x0d && !w.failed && form < 200)
                w.at[-(ptrdiff_t)size + 24] = (uint8_t)(size - 41); /* the connection ID's size */
        }
        if (!mr_write_whole(&w, before))
            break;
    }
    return mr_writer_size(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;

    enum mr_role sender = (data[0] & 1) != 0 ? MR_SERVER : MR_CLIENT;

    if ((data[0] & 2) != 0) {
        static uint8_t likely[2048];
        size_t budget =
            MR_MIN(size - 1, (size_t)(data[0] >> 2) * 4); /* few parameters: seldom a duplicate */
        struct mr_reader input = mr_reader(data + 1, budget);

        memset(likely, 0, sizeof(likely));
        check(likely, write_likely(&input, likely, sizeof(likely)), sender);
        return 0;
    }

    uint8_t *exact = malloc(size);

    MR_ASSERT(exact != NULL);
    memcpy(exact, data, size);
    check(exact + 1, size - 1, sender);
    free(exact);
    return 0;
}
