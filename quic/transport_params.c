#include "quic/transport_params.h"

#include "base/assert.h"
#include "base/compiler.h"

/*
 * The table.  A parameter is an integer, a flag (present: true), or a value with its own reader and
 * writer; `at` and `has` are offsets in struct mr_transport_params.
 */
struct param {
    uint64_t id;
    enum {
        INTEGER,
        FLAG,
        CID,
        RESET_TOKEN,
        ADDRESS,
        VERSIONS
    } kind;
    bool is_server_only;
    bool is_forgotten; /* by a client that remembers the others for 0-RTT */
    enum {
        FREE,     /* when 0-RTT is accepted */
        AT_LEAST, /* must not shrink then; a flag: not vanish */
        SAME      /* must not change then */
    } early;
    size_t at;           /* of the value */
    size_t has;          /* of its presence flag; integers and flags have none */
    uint64_t absent;     /* integers: the value of an absent parameter */
    uint64_t min, max;   /* integers: bounds, both included */
    const char *invalid; /* why a value is refused */
};

#define AT(field)  offsetof(struct mr_transport_params, field)
#define UNBOUNDED  MR_VARINT_MAX
#define STREAMS_HI (UINT64_C(1) << 60)

/* clang-format off */
static const struct param table[] = {
    /* id                                  kind         server forget early  at                        has                            absent min   max        refused because */
    {MR_PARAM_ORIGINAL_DCID,               CID,         true,  true,  FREE, AT(original_dcid),        AT(has_original_dcid),         0,     0,    0,         "original_destination_connection_id over 20 bytes"},
    {MR_PARAM_MAX_IDLE_TIMEOUT,            INTEGER,     false, false, FREE, AT(max_idle_timeout_ms),  0,                             0,     0,    UNBOUNDED, "max_idle_timeout is not one integer"},
    {MR_PARAM_STATELESS_RESET_TOKEN,       RESET_TOKEN, true,  true,  FREE, AT(stateless_reset_token), AT(has_stateless_reset_token), 0,    0,    0,         "stateless_reset_token is not 16 bytes"},
    {MR_PARAM_MAX_UDP_PAYLOAD_SIZE,        INTEGER,     false, false, FREE, AT(max_udp_payload_size), 0,                             65527, 1200, UNBOUNDED, "max_udp_payload_size below 1200"},
    {MR_PARAM_INITIAL_MAX_DATA,            INTEGER,     false, false, AT_LEAST,  AT(initial_max_data),     0,                             0,     0,    UNBOUNDED, "initial_max_data is not one integer"},
    {MR_PARAM_INITIAL_MAX_STREAM_DATA_BIDI_LOCAL,  INTEGER, false, false, AT_LEAST, AT(initial_max_stream_data_bidi_local),  0,           0,     0,    UNBOUNDED, "initial_max_stream_data_bidi_local is not one integer"},
    {MR_PARAM_INITIAL_MAX_STREAM_DATA_BIDI_REMOTE, INTEGER, false, false, AT_LEAST, AT(initial_max_stream_data_bidi_remote), 0,           0,     0,    UNBOUNDED, "initial_max_stream_data_bidi_remote is not one integer"},
    {MR_PARAM_INITIAL_MAX_STREAM_DATA_UNI, INTEGER,     false, false, AT_LEAST,  AT(initial_max_stream_data_uni), 0,                      0,     0,    UNBOUNDED, "initial_max_stream_data_uni is not one integer"},
    {MR_PARAM_INITIAL_MAX_STREAMS_BIDI,    INTEGER,     false, false, AT_LEAST,  AT(initial_max_streams_bidi), 0,                         0,     0,    STREAMS_HI, "initial_max_streams_bidi over 2^60"},
    {MR_PARAM_INITIAL_MAX_STREAMS_UNI,     INTEGER,     false, false, AT_LEAST,  AT(initial_max_streams_uni), 0,                          0,     0,    STREAMS_HI, "initial_max_streams_uni over 2^60"},
    {MR_PARAM_ACK_DELAY_EXPONENT,          INTEGER,     false, true,  FREE, AT(ack_delay_exponent),   0,                             3,     0,    20,        "ack_delay_exponent over 20"},
    {MR_PARAM_MAX_ACK_DELAY,               INTEGER,     false, true,  FREE, AT(max_ack_delay_ms),     0,                             25,    0,    (1 << 14) - 1, "max_ack_delay of 2^14 or more"},
    {MR_PARAM_DISABLE_ACTIVE_MIGRATION,    FLAG,        false, false, FREE, AT(disable_active_migration), 0,                         0,     0,    0,         "disable_active_migration is not empty"},
    {MR_PARAM_PREFERRED_ADDRESS,           ADDRESS,     true,  true,  FREE, AT(preferred_address),    AT(has_preferred_address),     0,     0,    0,         "preferred_address of a wrong size, or its connection ID"},
    {MR_PARAM_ACTIVE_CONNECTION_ID_LIMIT,  INTEGER,     false, false, AT_LEAST,  AT(active_connection_id_limit), 0,                       2,     2,    UNBOUNDED, "active_connection_id_limit below 2"},
    {MR_PARAM_INITIAL_SCID,                CID,         false, true,  FREE, AT(initial_scid),         AT(has_initial_scid),          0,     0,    0,         "initial_source_connection_id over 20 bytes"},
    {MR_PARAM_RETRY_SCID,                  CID,         true,  true,  FREE, AT(retry_scid),           AT(has_retry_scid),            0,     0,    0,         "retry_source_connection_id over 20 bytes"},
    {MR_PARAM_VERSION_INFORMATION,         VERSIONS,    false, true,  FREE, AT(version_information),  AT(has_version_information),   0,     0,    0,         "version_information of a wrong size, with version 0, or without the chosen one"},
    {MR_PARAM_MAX_DATAGRAM_FRAME_SIZE,     INTEGER,     false, false, AT_LEAST,  AT(max_datagram_frame_size), 0,                          0,     0,    UNBOUNDED, "max_datagram_frame_size is not one integer"},
    {MR_PARAM_INITIAL_MAX_PATH_ID,         INTEGER,     false, true,  FREE, AT(initial_max_path_id),  0,                             MR_PARAM_NO_PATHS, 0, UINT32_MAX, "initial_max_path_id is not one integer, or over 2^32 - 1"},
    {MR_PARAM_RESET_STREAM_AT,             FLAG,        false, false, AT_LEAST, AT(reset_stream_at),   0,                             0,     0,    0,         "reset_stream_at is not empty"},
    {MR_PARAM_ADDRESS_DISCOVERY,           INTEGER,     false, false, SAME,  AT(address_discovery),    0,                             MR_ADDRESS_NEITHER, 0, MR_ADDRESS_BOTH, "address_discovery is not 0, 1 or 2"},
    {MR_PARAM_GREASE_QUIC_BIT,             FLAG,        false, false, FREE, AT(grease_quic_bit),      0,                             0,     0,    0,         "grease_quic_bit is not empty"},
    {MR_PARAM_MIN_ACK_DELAY,               INTEGER,     false, true,  FREE, AT(min_ack_delay_us),     0,                             MR_PARAM_NO_ACK_DELAY, 0, MR_PARAM_NO_ACK_DELAY - 1, "min_ack_delay is not one integer, or over max_ack_delay"},
};
/* clang-format on */

_Static_assert(MR_COUNT_OF(table) <= 32, "one bit each in a 32-bit set of those seen");

enum {
    UNKNOWN_REMEMBERED = 32
};

static uint64_t *integer_at(struct mr_transport_params *params, const struct param *param)
{
    return (uint64_t *)(void *)((uint8_t *)params + param->at);
}

static uint64_t integer_of(const struct mr_transport_params *params, const struct param *param)
{
    return *(const uint64_t *)(const void *)((const uint8_t *)params + param->at);
}

/* The bool of a flag, or the presence flag of a value. */
static bool *flag_at(struct mr_transport_params *params, const struct param *param)
{
    return (bool *)params + (param->kind == FLAG ? param->at : param->has);
}

static bool flag_of(const struct mr_transport_params *params, const struct param *param)
{
    return ((const bool *)params)[param->kind == FLAG ? param->at : param->has];
}

static void set_absent(struct mr_transport_params *params, const struct param *param)
{
    if (param->kind == INTEGER)
        *integer_at(params, param) = param->absent;
    else
        *flag_at(params, param) = false;
}

void mr_transport_params_init(struct mr_transport_params *params)
{
    memset(params, 0, sizeof(*params));
    for (size_t i = 0; i < MR_COUNT_OF(table); i++)
        set_absent(params, &table[i]);
}

void mr_transport_params_forget(struct mr_transport_params *params)
{
    for (size_t i = 0; i < MR_COUNT_OF(table); i++)
        if (table[i].is_forgotten)
            set_absent(params, &table[i]);
}

/* ---------------------------------------------------------------- values */

static void read_bytes(struct mr_reader *r, uint8_t *dst, size_t size)
{
    const uint8_t *src = mr_read_bytes(r, size);

    if (src != NULL)
        memcpy(dst, src, size);
}

static bool read_integer(struct mr_reader *value, const struct param *param, uint64_t *out)
{
    *out = mr_read_varint(value);
    return *out >= param->min && *out <= param->max;
}

static bool read_cid(struct mr_reader *value, struct mr_cid *out)
{
    size_t size = mr_reader_left(value);

    if (size > MR_CID_MAX)
        return false;
    out->size = (uint8_t)size;
    read_bytes(value, out->bytes, size);
    return true;
}

static bool read_address(struct mr_reader *value, struct mr_preferred_address *out)
{
    read_bytes(value, out->ipv4, sizeof(out->ipv4));
    out->ipv4_port = mr_read_u16(value);
    read_bytes(value, out->ipv6, sizeof(out->ipv6));
    out->ipv6_port = mr_read_u16(value);
    out->cid.size = mr_read_u8(value);
    if (out->cid.size < 1 || out->cid.size > MR_CID_MAX)
        return false;
    read_bytes(value, out->cid.bytes, out->cid.size);
    read_bytes(value, out->reset_token, MR_RESET_TOKEN);
    return true;
}

/* RFC 9368, Section 4: a chosen version, then available ones; a client lists the chosen one again.
 */
static bool read_versions(struct mr_reader *value, enum mr_role sender,
                          struct mr_transport_params *out)
{
    size_t size = mr_reader_left(value);
    const uint8_t *versions = mr_read_bytes(value, size);
    bool is_listed = sender == MR_SERVER;

    if (size < 4 || size % 4 != 0)
        return false;

    for (size_t at = 0; at < size; at += 4) {
        uint32_t version = mr_load_u32(versions + at);

        if (version == 0)
            return false;
        if (at > 0 && version == mr_load_u32(versions))
            is_listed = true;
    }

    out->version_information_size = (uint8_t)MR_MIN(size, (size_t)MR_VERSION_INFORMATION_MAX);
    memcpy(out->version_information, versions, out->version_information_size);
    return is_listed;
}

/* Read one value, which must be all of `value`. */
static bool read_value(struct mr_reader *value, const struct param *param, enum mr_role sender,
                       struct mr_transport_params *out)
{
    uint8_t *field = (uint8_t *)out + param->at;
    bool is_valid = true;

    switch (param->kind) {
    case INTEGER:
        is_valid = read_integer(value, param, integer_at(out, param));
        break;
    case FLAG:
        break;
    case CID:
        is_valid = read_cid(value, (struct mr_cid *)field);
        break;
    case RESET_TOKEN:
        read_bytes(value, field, MR_RESET_TOKEN);
        break;
    case ADDRESS:
        is_valid = read_address(value, &out->preferred_address);
        break;
    case VERSIONS:
        is_valid = read_versions(value, sender, out);
        break;
    }
    if (param->kind != INTEGER)
        *flag_at(out, param) = true;
    return is_valid && !value->failed && mr_reader_left(value) == 0;
}

/* ---------------------------------------------------------------- decoding */

/* What has been seen in one extension. */
struct seen {
    uint32_t known;         /* a bit per row of the table */
    uint32_t unknown_count; /* ids in `unknown` */
    uint64_t unknown[UNKNOWN_REMEMBERED];
};

static enum mr_params_verdict fail(enum mr_params_verdict verdict, uint64_t id, const char *reason,
                                   struct mr_params_error *error_out)
{
    error_out->id = id;
    error_out->reason = reason;
    return verdict;
}

static const struct param *find(uint64_t id)
{
    for (size_t i = 0; i < MR_COUNT_OF(table); i++)
        if (table[i].id == id)
            return &table[i];
    return NULL;
}

/* Note an id; true if it was noted before. */
static bool note(struct seen *seen, const struct param *param, uint64_t id)
{
    if (param != NULL) {
        uint32_t bit = UINT32_C(1) << (param - table);
        bool was_seen = (seen->known & bit) != 0;

        seen->known |= bit;
        return was_seen;
    }

    for (uint32_t i = 0; i < seen->unknown_count; i++)
        if (seen->unknown[i] == id)
            return true;
    if (seen->unknown_count < UNKNOWN_REMEMBERED)
        seen->unknown[seen->unknown_count++] = id;
    return false;
}

static enum mr_params_verdict decode_one(struct mr_reader *r, enum mr_role sender,
                                         struct seen *seen, struct mr_transport_params *out,
                                         struct mr_params_error *error_out)
{
    uint64_t id = mr_read_varint(r);
    uint64_t size = mr_read_varint(r);
    const uint8_t *bytes = mr_read_bytes(r, size);

    if (r->failed)
        return fail(MR_PARAMS_TRUNCATED, id, "transport parameter is truncated", error_out);

    const struct param *param = find(id);

    if (note(seen, param, id))
        return fail(MR_PARAMS_DUPLICATE, id, "transport parameter is repeated", error_out);
    if (param == NULL)
        return MR_PARAMS_OK;
    if (param->is_server_only && sender == MR_CLIENT)
        return fail(MR_PARAMS_SERVER_ONLY, id, "client sent a server's transport parameter",
                    error_out);

    struct mr_reader value = mr_reader(bytes, (size_t)size);

    if (read_value(&value, param, sender, out))
        return MR_PARAMS_OK;
    if (value.failed)
        return fail(MR_PARAMS_TRUNCATED, id, "transport parameter's value is truncated", error_out);
    return fail(MR_PARAMS_INVALID, id, param->invalid, error_out);
}

enum mr_params_verdict mr_transport_params_decode(const uint8_t *src, size_t size,
                                                  enum mr_role sender,
                                                  struct mr_transport_params *out,
                                                  struct mr_params_error *error_out)
{
    struct mr_reader r = mr_reader(src, size);
    struct seen seen = {.known = 0};

    mr_transport_params_init(out);
    while (mr_reader_left(&r) > 0) {
        enum mr_params_verdict verdict = decode_one(&r, sender, &seen, out, error_out);

        if (verdict != MR_PARAMS_OK)
            return verdict;
    }
    if (out->min_ack_delay_us != MR_PARAM_NO_ACK_DELAY &&
        out->min_ack_delay_us > out->max_ack_delay_ms * 1000)
        return fail(MR_PARAMS_INVALID, MR_PARAM_MIN_ACK_DELAY, "min_ack_delay over max_ack_delay",
                    error_out);
    return MR_PARAMS_OK;
}

/* ---------------------------------------------------------------- encoding */

static void write_address(struct mr_writer *w, const struct mr_preferred_address *address)
{
    mr_write_bytes(w, address->ipv4, sizeof(address->ipv4));
    mr_write_be(w, address->ipv4_port, 2);
    mr_write_bytes(w, address->ipv6, sizeof(address->ipv6));
    mr_write_be(w, address->ipv6_port, 2);
    mr_write_u8(w, address->cid.size);
    mr_write_bytes(w, address->cid.bytes, address->cid.size);
    mr_write_bytes(w, address->reset_token, MR_RESET_TOKEN);
}

static void write_value(struct mr_writer *w, const struct mr_transport_params *params,
                        const struct param *param)
{
    const uint8_t *field = (const uint8_t *)params + param->at;
    const struct mr_cid *cid = (const struct mr_cid *)field;

    switch (param->kind) {
    case INTEGER:
        mr_write_varint(w, integer_of(params, param));
        break;
    case FLAG:
        break;
    case CID:
        mr_write_bytes(w, cid->bytes, cid->size);
        break;
    case RESET_TOKEN:
        mr_write_bytes(w, field, MR_RESET_TOKEN);
        break;
    case ADDRESS:
        write_address(w, &params->preferred_address);
        break;
    case VERSIONS:
        mr_write_bytes(w, field, params->version_information_size);
        break;
    }
}

/* Values are under 64 bytes but for version_information: two bytes of length serve all. */
static void write_one(struct mr_writer *w, const struct mr_transport_params *params,
                      const struct param *param)
{
    uint8_t value[MR_VERSION_INFORMATION_MAX];
    struct mr_writer v = mr_writer(value, sizeof(value));

    write_value(&v, params, param);
    MR_DASSERT(!v.failed);
    mr_write_varint(w, param->id);
    mr_write_varint(w, mr_writer_size(&v));
    mr_write_bytes(w, value, mr_writer_size(&v));
}

/* A reserved parameter, 31 * N + 27, with up to 7 bytes of value. */
static void write_reserved(struct mr_writer *w, uint64_t random)
{
    size_t size = (size_t)(random & 7);

    mr_write_varint(w, 31 * (random >> 40) + 27);
    mr_write_varint(w, size);
    mr_write_be(w, random >> 3, size);
}

static bool is_absent(const struct mr_transport_params *params, const struct param *param)
{
    return param->kind == INTEGER ? integer_of(params, param) == param->absent
                                  : !flag_of(params, param);
}

void mr_transport_params_write(struct mr_writer *w, const struct mr_transport_params *params,
                               enum mr_role own, uint64_t random)
{
    for (size_t i = 0; i < MR_COUNT_OF(table); i++) {
        const struct param *param = &table[i];

        if (!is_absent(params, param) && !(param->is_server_only && own == MR_CLIENT))
            write_one(w, params, param);
    }
    write_reserved(w, random);
}

/* ---------------------------------------------------------------- comparing */

/* A declared connection ID against that of the packets; NULL: there must be none. */
static bool declares(bool has, const struct mr_cid *declared, const struct mr_cid *used)
{
    return used == NULL ? !has : has && mr_cid_equal(declared, used);
}

enum mr_params_verdict mr_transport_params_authenticate(const struct mr_transport_params *params,
                                                        enum mr_role sender,
                                                        const struct mr_cid_trail *trail,
                                                        struct mr_params_error *error_out)
{
    MR_DASSERT(trail->peer_scid != NULL);
    MR_DASSERT(sender == MR_CLIENT || trail->original_dcid != NULL);

    if (!declares(params->has_initial_scid, &params->initial_scid, trail->peer_scid))
        return fail(MR_PARAMS_CID_MISMATCH, MR_PARAM_INITIAL_SCID,
                    "initial_source_connection_id is not the packets'", error_out);
    if (sender == MR_CLIENT)
        return MR_PARAMS_OK;
    if (!declares(params->has_original_dcid, &params->original_dcid, trail->original_dcid))
        return fail(MR_PARAMS_CID_MISMATCH, MR_PARAM_ORIGINAL_DCID,
                    "original_destination_connection_id is not the packets'", error_out);
    if (params->has_preferred_address && trail->peer_scid->size == 0)
        return fail(MR_PARAMS_INVALID, MR_PARAM_PREFERRED_ADDRESS,
                    "preferred_address of a server without connection IDs", error_out);
    if (!declares(params->has_retry_scid, &params->retry_scid, trail->retry_scid))
        return fail(MR_PARAMS_CID_MISMATCH, MR_PARAM_RETRY_SCID,
                    "retry_source_connection_id is not the Retry's", error_out);
    return MR_PARAMS_OK;
}

static bool is_reduced(const struct mr_transport_params *now_offered,
                       const struct mr_transport_params *remembered, const struct param *param)
{
    if (param->early == FREE)
        return false;
    if (param->kind == FLAG)
        return flag_of(remembered, param) && !flag_of(now_offered, param);
    if (param->early == SAME)
        return integer_of(now_offered, param) != integer_of(remembered, param);
    return integer_of(now_offered, param) < integer_of(remembered, param);
}

enum mr_params_verdict
mr_transport_params_compare_early(const struct mr_transport_params *now_offered,
                                  const struct mr_transport_params *remembered,
                                  struct mr_params_error *error_out)
{
    for (size_t i = 0; i < MR_COUNT_OF(table); i++) {
        const struct param *param = &table[i];

        if (is_reduced(now_offered, remembered, param))
            return fail(MR_PARAMS_REDUCED, param->id, "limit is lower than remembered for 0-RTT",
                        error_out);
    }
    return MR_PARAMS_OK;
}
