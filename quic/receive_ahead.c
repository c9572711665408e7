/* quic/receive_ahead.c - see receive_ahead.h. */
#include "quic/receive_ahead.h"

#include "quic/conn_stream.h"
#include "quic/multipath_path.h"

#define LINES_OF(from, to) (((to)-1) / MR_CACHE_LINE - (from) / MR_CACHE_LINE + 1)

/* From its start to the newest received range, from sent packets to the keys that are expanded, and
 * what is looked at once, to the connection ID that it sends to. */
void mr_receive_ask_conn(const struct mr_endpoint *ep, uint32_t index)
{
    enum {
        FIRST_END = offsetof(struct mr_conn, app.received.range) + sizeof(struct mr_ack_range),
        SECOND = offsetof(struct mr_conn, app.sent),
        SECOND_END = offsetof(struct mr_conn, key_state.other),
        THIRD = offsetof(struct mr_conn, key_state.sealed_count),
        THIRD_END = offsetof(struct mr_conn, peer_cids[0].reset_token),
    };

    _Static_assert(LINES_OF(0, FIRST_END) + LINES_OF(SECOND, SECOND_END) +
                           LINES_OF(THIRD, THIRD_END) <=
                       MR_CONN_BURST_LINES,
                   "what quic/conn_internal.h says");

    if (index >= MR_CID_OF_PATH)
        return;
    const uint8_t *conn = (const uint8_t *)mr_conn_at(ep, index);
    for (size_t at = 0; at < FIRST_END; at += MR_CACHE_LINE)
        __builtin_prefetch(conn + at);
    for (size_t at = SECOND; at < SECOND_END; at += MR_CACHE_LINE)
        __builtin_prefetch(conn + at);
    for (size_t at = THIRD; at < THIRD_END; at += MR_CACHE_LINE)
        __builtin_prefetch(conn + at);
}

/* The connections whose packets are in the burst, as far as they follow each other. */
#define FOR_EACH_CONN(ep, slot, conn)                                                              \
    for (const struct mr_slot *slot = (ep)->slots, *end = slot + (ep)->slot_count; slot < end;     \
         slot++)                                                                                   \
        for (const struct mr_conn *conn = conn_of(ep, slot); conn != NULL; conn = NULL)

/* Of a 1-RTT packet; NULL: it is none, or follows another of the same connection. */
static const struct mr_conn *conn_of(const struct mr_endpoint *ep, const struct mr_slot *slot)
{
    if (slot->kind != MR_SLOT_FAST || (slot > ep->slots && slot[-1].conn == slot->conn))
        return NULL;
    return mr_conn_at(ep, slot->conn);
}

/* Of the oldest packet in flight; NULL: there is none, or so many that it takes long to find. */
static const struct mr_sent_packet *oldest(const struct mr_conn *conn)
{
    const struct mr_sent *sent = &conn->app.sent;

    if (sent->in_flight_count == 0 || sent->root != MR_NONE)
        return NULL;
    return mr_sent_record(sent, sent->scan);
}

/* What an acknowledgement of the record will be told first. */
static const struct mr_sent_frame *frame_of(const struct mr_endpoint *ep,
                                            const struct mr_sent_packet *record)
{
    if (record->first.kind != MR_SENT_ACK || record->more == MR_NONE)
        return &record->first;
    return ((const struct mr_sent_block *)mr_pool_at(&ep->frame_blocks, record->more))->frame;
}

void mr_receive_ask_records(const struct mr_endpoint *ep)
{
    FOR_EACH_CONN(ep, slot, conn)
    {
        const struct mr_sent_packet *record = oldest(conn);

        if (record != NULL)
            MR_PREFETCH_WRITE(record);
        mr_wheel_ask(&ep->wheel, conn->number);
    }
}

void mr_receive_ask_streams(const struct mr_endpoint *ep)
{
    const struct mr_sent_packet *records[MR_BURST];
    uint32_t keys[MR_BURST]; /* of streams */
    uint32_t count = 0;
    uint32_t named = 0;

    FOR_EACH_CONN(ep, slot, conn)
    {
        mr_wheel_ask_beside(&ep->wheel, conn->number);
        records[count] = oldest(conn);
        if (records[count] == NULL)
            continue;
        if (records[count]->more != MR_NONE)
            __builtin_prefetch(mr_pool_at(&ep->frame_blocks, records[count]->more));
        count++;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct mr_sent_frame *frame = frame_of(ep, records[i]);

        if (frame->kind != MR_SENT_STREAM)
            continue;
        keys[named++] = frame->object;
        mr_stream_prefetch(mr_stream_place_of_key(ep, frame->object));
    }
    for (uint32_t i = 0; i < named; i++) {
        const struct mr_stream *stream = mr_stream_of_key(ep, keys[i]);

        if (stream != NULL)
            mr_stream_ask_for_end(ep, stream);
    }
}
