/*
 * quic/conn_observed.c - see conn_observed.h.
 */
#include "quic/conn_observed.h"

#include "quic/conn_build.h"
#include "quic/frame_extension.h"

uint64_t mr_observed_declaration(const struct mr_endpoint *ep)
{
    bool observes = (ep->config.extensions & MR_EXTENSION_OBSERVES) != 0;
    bool is_observed = (ep->config.extensions & MR_EXTENSION_OBSERVED) != 0;

    if (observes)
        return is_observed ? MR_ADDRESS_BOTH : MR_ADDRESS_PROVIDES;
    return is_observed ? MR_ADDRESS_TAKES : MR_ADDRESS_NEITHER;
}

/* ------------------------------------------------------------------ telling */

void mr_observed_begin(struct mr_endpoint *ep, struct mr_conn *conn, uint64_t declaration)
{
    conn->observes = (ep->config.extensions & MR_EXTENSION_OBSERVES) != 0 &&
                     (declaration == MR_ADDRESS_TAKES || declaration == MR_ADDRESS_BOTH);
    if (conn->observes)
        mr_conn_want(ep, conn, &conn->app, MR_WANT_OBSERVED_ADDRESS);
}

void mr_observed_on_path(struct mr_endpoint *ep, struct mr_conn *conn)
{
    struct mr_conn_extra *extra = mr_conn_extra(ep, conn);

    if (extra != NULL && (extra->uses & MR_EXTRA_OBSERVED) != 0)
        extra->observed.addr.port = 0;
    if (conn->observes)
        mr_conn_want(ep, conn, &conn->app, MR_WANT_OBSERVED_ADDRESS);
}

void mr_produce_observed_address(struct mr_build *b)
{
    struct mr_conn *conn = b->conn;
    struct mr_frame_observed_address frame = {.sequence = conn->observed_next,
                                              .addr = conn->path.addr.remote};

    if (!mr_build_can_record(b) || !mr_frame_write_observed_address(&b->w, &frame)) {
        b->is_full = true;
        return;
    }
    mr_build_record(b, MR_SENT_OBSERVED_ADDRESS, frame.sequence, 0, 0, false);
    conn->observed_next++;
    b->space->wants &= ~(uint32_t)MR_WANT_OBSERVED_ADDRESS;
    mr_count(&b->ep->counters.observed_addresses_sent);
}

/* A newer one is of another path, or says the same. */
bool mr_observed_on_lost(const struct mr_conn *conn, uint64_t sequence)
{
    return sequence + 1 == conn->observed_next;
}

/* ------------------------------------------------------------------ being told */

/* Where it is kept; NULL: nowhere.  At most half of the extras go to addresses, which are kept for
 * long: the others are for paths. */
static struct mr_conn_extra *place(struct mr_endpoint *ep, struct mr_conn *conn)
{
    struct mr_conn_extra *extra = mr_conn_extra(ep, conn);

    if (extra == NULL && mr_pool_free_count(&ep->extras) <= ep->limits.extras_max / 2) {
        mr_count(&ep->counters.limit_extras);
        return NULL;
    }
    return mr_conn_extra_use(ep, conn, MR_EXTRA_OBSERVED);
}

bool mr_on_observed_address(struct mr_rx *rx, struct mr_reader *r, uint64_t type)
{
    struct mr_frame_observed_address frame;

    if ((rx->ep->config.extensions & MR_EXTENSION_OBSERVED) == 0)
        return mr_conn_fail(rx->ep, rx->conn, MR_PROTOCOL_VIOLATION, type,
                            "OBSERVED_ADDRESS that nobody asked for", rx->now);
    if (!mr_frame_decode_observed_address(r, type, &frame))
        return mr_conn_fail(rx->ep, rx->conn, MR_FRAME_ENCODING_ERROR, type,
                            "malformed OBSERVED_ADDRESS", rx->now);
    mr_count(&rx->ep->counters.observed_addresses_received);
    struct mr_conn_extra *extra = place(rx->ep, rx->conn);
    if (extra == NULL || frame.sequence < extra->observed.next_sequence)
        return true;
    extra->observed.next_sequence = frame.sequence + 1;
    extra->observed.addr = frame.addr;
    return true;
}

struct mr_addr mr_observed_address(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    const struct mr_conn_extra *extra = mr_conn_extra(ep, conn);

    return extra == NULL || (extra->uses & MR_EXTRA_OBSERVED) == 0 ? (struct mr_addr){.port = 0}
                                                                   : extra->observed.addr;
}
