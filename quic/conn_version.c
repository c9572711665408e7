/*
 * quic/conn_version.c - which version of QUIC a connection speaks (RFC 9000, Section 6; RFC 9368;
 * RFC 9369).
 *
 *     compatible     the server answers a first flight in another version that the client offers;
 *                    both change the keys of their Initials
 *     incompatible   Version Negotiation: the client begins once more, in a version that both speak
 *
 * What either side wanted is authenticated by version_information in the handshake.
 */
#include "quic/conn_early.h"

static const uint32_t by_number[] = {0, MR_VERSION_1, MR_VERSION_2};

/* ------------------------------------------------------------------ what we speak */

uint8_t mr_endpoint_version_set(const struct mr_endpoint *ep)
{
    return ep->config.versions == 0 ? MR_VERSIONS_ALL : ep->config.versions;
}

bool mr_endpoint_accepts(const struct mr_endpoint *ep, uint32_t version)
{
    return version == 0 || mr_version_is_in(version, mr_endpoint_version_set(ep));
}

size_t mr_endpoint_versions(const struct mr_endpoint *ep, uint32_t *versions_out)
{
    size_t count = 0;

    for (size_t i = 1; i < MR_COUNT_OF(by_number); i++) {
        if (mr_endpoint_accepts(ep, by_number[i]))
            versions_out[count++] = by_number[i];
    }
    return count;
}

/* ------------------------------------------------------------------ what a client offers */

/* Its versions, most wanted first. */
static size_t offered_versions(const struct mr_handshake *hs, uint32_t *out)
{
    size_t count = 0;

    for (size_t i = 0; i < MR_COUNT_OF(hs->offered) && hs->offered[i] != 0; i++)
        out[count++] = by_number[hs->offered[i]];
    return count;
}

static bool is_offered(const struct mr_handshake *hs, uint32_t version)
{
    uint32_t offered[MR_COUNT_OF(hs->offered)];
    size_t count = offered_versions(hs, offered);

    for (size_t i = 0; i < count; i++) {
        if (offered[i] == version)
            return true;
    }
    return false;
}

bool mr_conn_offer_versions(struct mr_conn *conn, struct mr_handshake *hs,
                            const struct mr_connect_options *options)
{
    uint32_t of_ticket =
        options->ticket == NULL ? 0 : mr_tls_ticket_version(options->ticket, options->ticket_size);
    const uint8_t *wanted = options->versions;

    for (size_t i = 0; i < MR_COUNT_OF(hs->offered); i++) {
        if (wanted[i] >= MR_COUNT_OF(by_number))
            return false;
        hs->offered[i] = wanted[i];
    }
    if (hs->offered[0] == 0)
        hs->offered[0] = 1;
    if (is_offered(hs, of_ticket))
        conn->version = of_ticket;
    else
        conn->version = is_offered(hs, MR_VERSION_1) ? MR_VERSION_1 : by_number[hs->offered[0]];
    hs->original_version = conn->version;
    return true;
}

void mr_conn_fill_versions(struct mr_endpoint *ep, const struct mr_conn *conn,
                           const struct mr_handshake *hs, struct mr_transport_params *params)
{
    uint32_t available[2];
    size_t count = conn->role == MR_CLIENT ? offered_versions(hs, available)
                                           : mr_endpoint_versions(ep, available);

    mr_version_write_information(params, conn->version, available, count,
                                 (uint32_t)mr_random_u64(&ep->random));
}

/* ------------------------------------------------------------------ compatible negotiation */

bool mr_conn_may_negotiate(const struct mr_conn *conn, const struct mr_handshake *hs,
                           uint32_t version)
{
    return conn->role == MR_CLIENT && hs != NULL && !hs->is_version_settled &&
           conn->state == MR_CONN_HANDSHAKE && is_offered(hs, version);
}

/* RFC 9369, Section 4.1: "The server MUST NOT discard its original version Initial receive keys
 * until it successfully processes a Handshake packet with the negotiated version." */
bool mr_conn_change_version(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t version)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);

    if (conn->role == MR_SERVER) {
        hs->open_original = hs->open[MR_SPACE_INITIAL];
        memset(&hs->open[MR_SPACE_INITIAL], 0, sizeof(hs->open[MR_SPACE_INITIAL]));
    }
    uint32_t before = conn->version;
    conn->version = version;
    if (mr_conn_is_traced(conn))
        mr_trace_version(ep, conn, before);
    hs->is_version_settled = true;
    mr_count(&ep->counters.versions_changed);
    return mr_conn_set_initial_keys(ep, conn, &hs->initial_dcid);
}

/* A client that reacted to Version Negotiation would have taken the same version, had it known
 * what the server says now: its available versions, of which there is one at least, and the one it
 * chose (RFC 9368, Section 4). */
static bool is_as_chosen(const struct mr_handshake *hs, const struct mr_transport_params *params)
{
    uint32_t offered[MR_COUNT_OF(hs->offered)];
    size_t count = offered_versions(hs, offered);

    if (!mr_version_lists_any(params))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (mr_version_is_available(params, offered[i]) || offered[i] == mr_version_chosen(params))
            return offered[i] == hs->original_version;
    }
    return false;
}

const char *mr_conn_check_versions(const struct mr_conn *conn, const struct mr_handshake *hs,
                                   const struct mr_transport_params *params)
{
    if (!params->has_version_information) {
        bool is_version_1_only = conn->version == MR_VERSION_1; /* RFC 9368, Section 8 */
        if ((hs->has_version_negotiation && !is_version_1_only) ||
            conn->version != hs->original_version)
            return "version_information is missing after the version was negotiated";
        return NULL;
    }
    if (conn->role == MR_SERVER)
        return mr_version_chosen(params) == hs->original_version
                   ? NULL
                   : "the client's chosen version is not that of its packets";
    if (mr_version_chosen(params) != conn->version)
        return "the server's chosen version is not that of its packets";
    if (hs->has_version_negotiation && !is_as_chosen(hs, params))
        return "version negotiation was tampered with";
    return NULL;
}

/* ------------------------------------------------------------------ incompatible negotiation */

/* The most wanted of our versions that the server lists; 0: none. */
static uint32_t listed_version(const struct mr_handshake *hs, const struct mr_packet_header *header)
{
    uint32_t offered[MR_COUNT_OF(hs->offered)];
    size_t count = offered_versions(hs, offered);

    for (size_t i = 0; i < count; i++) {
        if (mr_packet_lists_version(header, offered[i]))
            return offered[i];
    }
    return 0;
}

/* Once more from the start: everything but the options is new (RFC 9368, Section 2.1). */
static bool begin_again(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t version,
                        uint64_t now)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);

    uint32_t before = conn->version;
    conn->version = hs->original_version = version;
    if (mr_conn_is_traced(conn))
        mr_trace_version(ep, conn, before);
    hs->has_version_negotiation = true;
    hs->token_size = 0; /* it is of the version before */
    if (!mr_conn_early_drop(ep, conn, now))
        return false;
    return mr_conn_tls_again(ep, conn) && mr_conn_set_initial_keys(ep, conn, &hs->original_dcid);
}

void mr_conn_on_version_negotiation(struct mr_endpoint *ep, struct mr_conn *conn,
                                    const struct mr_packet_header *header, uint64_t now)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);

    /* RFC 9000, Section 6.2: ignored once anything else came, or when it lists the version we use;
     * RFC 9368, Section 4: and a second one. */
    if (conn->role != MR_CLIENT || hs == NULL || hs->has_peer_scid || hs->has_retry ||
        hs->has_version_negotiation || hs->job != NULL || !mr_conn_is_alive(conn) ||
        !mr_cid_view_equal(header->scid, &hs->original_dcid) ||
        mr_packet_lists_version(header, conn->version)) {
        mr_count(&ep->counters.dropped_vn_invalid);
        return;
    }
    mr_count(&ep->counters.version_negotiations_received);
    uint32_t version = listed_version(hs, header);
    if (version == 0)
        mr_conn_die(ep, conn, MR_INTERNAL_ERROR, true,
                    "the server speaks no version of QUIC that we do");
    else if (!begin_again(ep, conn, version, now))
        mr_conn_fail(ep, conn, MR_INTERNAL_ERROR, 0, "no memory to begin again", now);
}
