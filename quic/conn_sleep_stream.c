/* quic/conn_sleep_stream.c - the streams of connections that sleep; see conn_sleep.h. */
#include "quic/conn_sleep.h"
#include "quic/stream_rest.h"

bool mr_sleep_streams_rest(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    if (conn->streams_open > MR_SLEEP_STREAMS_MAX)
        return false;
    for (uint32_t i = conn->stream_head; i != MR_NONE; i = mr_stream_at(ep, i)->conn_next) {
        if (!mr_stream_rests(mr_stream_at(ep, i)))
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------ to sleep, and up */

/* The youngest is the first in its connection's list: they are packed, and come back, so that the
 * list is as it was. */
static uint32_t oldest(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    uint32_t last = MR_NONE;

    for (uint32_t i = conn->stream_head; i != MR_NONE; i = mr_stream_at(ep, i)->conn_next)
        last = i;
    return last;
}

size_t mr_sleep_pack_streams(const struct mr_endpoint *ep, const struct mr_conn *conn, uint8_t *out,
                             size_t room)
{
    size_t used = 0;

    for (uint32_t i = oldest(ep, conn); i != MR_NONE;) {
        const struct mr_stream *stream = mr_stream_at(ep, i);
        struct mr_stream fresh;

        mr_stream_init(ep, conn, stream->id, &fresh);
        size_t size = mr_stream_rest_pack(stream, &fresh, out + used, room - used);
        if (size == 0)
            return SIZE_MAX;
        used += size;
        i = stream->conn_previous;
    }
    return used;
}

void mr_sleep_put_streams(struct mr_endpoint *ep, struct mr_conn *conn)
{
    while (conn->stream_head != MR_NONE) {
        struct mr_stream *stream = mr_stream_at(ep, conn->stream_head);

        mr_stream_number_at(ep, mr_stream_number_of(stream->handle))->place =
            MR_PLACE_ASLEEP | conn->number;
        mr_stream_unplace(ep, conn, stream);
    }
}

void mr_sleep_take_streams(struct mr_endpoint *ep, struct mr_conn *conn, const uint8_t *bytes,
                           size_t size)
{
    for (size_t at = 0; at < size;) {
        uint64_t id;
        size_t head = mr_stream_rest_id(bytes + at, size - at, &id);

        MR_ASSERT(head > 0);
        struct mr_stream *stream = mr_stream_place(ep, conn, id);
        MR_ASSERT(stream != NULL); /* there are as many places, and keys of the table, as streams */
        const struct mr_stream fresh = *stream;
        size_t taken = mr_stream_rest_unpack(stream, &fresh, bytes + at, size - at);
        MR_ASSERT(taken > 0);
        mr_stream_number_at(ep, mr_stream_number_of(stream->handle))->place = stream->index;
        at += taken;
    }
}

/* ------------------------------------------------------------------ to look at */

bool mr_sleep_walk_next(const struct mr_endpoint *ep, struct mr_sleep_walk *walk,
                        struct mr_stream *stream_out)
{
    struct mr_stream fresh;
    uint64_t id;

    if (walk->at == walk->size)
        return false;
    size_t head = mr_stream_rest_id(walk->bytes + walk->at, walk->size - walk->at, &id);
    MR_ASSERT(head > 0);
    mr_stream_init(ep, &walk->conn, id, &fresh);
    size_t taken =
        mr_stream_rest_unpack(stream_out, &fresh, walk->bytes + walk->at, walk->size - walk->at);
    MR_ASSERT(taken > 0);
    walk->at += taken;
    return true;
}

const struct mr_stream *mr_stream_look(const struct mr_endpoint *ep, mr_handle handle,
                                       struct mr_stream *copy)
{
    const struct mr_stream *stream = mr_stream_of_number(ep, handle);
    struct mr_sleep_walk walk;

    if (stream != NULL)
        return stream;
    if (!mr_stream_is_asleep(ep, handle))
        return NULL;
    uint32_t conn = mr_stream_number_at(ep, mr_stream_number_of(handle))->place & ~MR_PLACE_ASLEEP;
    mr_sleep_walk_begin(ep, conn, &walk);
    do {
        bool is_there = mr_sleep_walk_next(ep, &walk, copy);
        MR_ASSERT(is_there);
    } while (copy->handle != handle);
    mr_sleep_walk_end(&walk);
    return copy;
}
