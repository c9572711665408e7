/*
 * quic/endpoint_handle.c - what a handle names: a connection, by its number, awake or asleep, or a
 * stream.
 */
#include <errno.h>

#include "quic/conn_sleep.h"

void mr_conn_end_handle(struct mr_endpoint *ep, struct mr_conn *conn)
{
    conn->generation += 2;
    mr_conn_number_at(ep, conn->number)->generation = conn->generation;
}

struct mr_conn *mr_conn_of_number(const struct mr_endpoint *ep, mr_handle handle)
{
    uint32_t number = (uint32_t)handle; /* a stream's is none: its highest bit is set */
    uint32_t generation = (uint32_t)(handle >> 32);

    if (number >= ep->numbers.fresh)
        return NULL;
    const struct mr_number *entry = mr_conn_number_at(ep, number);
    bool is_current = entry->generation == generation && (generation & 1) != 0 &&
                      (entry->place & MR_PLACE_ASLEEP) == 0;
    return is_current ? mr_conn_at(ep, entry->place) : NULL;
}

struct mr_conn *mr_conn_of_handle(struct mr_endpoint *ep, mr_handle handle)
{
    struct mr_conn *conn = mr_conn_of_number(ep, handle);

    if (conn == NULL)
        return mr_conn_is_asleep(ep, handle) ? mr_conn_rouse(ep, (uint32_t)handle, true) : NULL;
    return conn->state != MR_CONN_MOVED ? conn : NULL;
}

int mr_conn_absence(const struct mr_endpoint *ep, mr_handle handle)
{
    return mr_conn_is_asleep(ep, handle) ? -ENOMEM : -ESTALE;
}

mr_handle mr_endpoint_next_conn(const struct mr_endpoint *ep, uint32_t *hand)
{
    while (*hand < ep->numbers.fresh) {
        uint32_t number = (*hand)++;
        mr_handle handle = mr_handle_of(number, mr_conn_number_at(ep, number)->generation, false);

        const struct mr_conn *conn = mr_conn_of_number(ep, handle);
        if (conn != NULL ? conn->state != MR_CONN_MOVED : mr_conn_is_asleep(ep, handle))
            return handle;
    }
    return MR_HANDLE_NONE;
}

void mr_conn_describe(const struct mr_endpoint *ep, mr_handle handle, const char **state_out,
                      uint32_t *streams_out)
{
    static const char *const names[] = {
        [MR_CONN_HANDSHAKE] = "handshake", [MR_CONN_OPEN] = "open", [MR_CONN_CLOSING] = "closing",
        [MR_CONN_DRAINING] = "draining",   [MR_CONN_DEAD] = "over", [MR_CONN_MOVED] = "moved"};
    const struct mr_conn *conn = mr_conn_of_number(ep, handle);

    if (mr_conn_is_asleep(ep, handle)) {
        *state_out = "asleep";
        *streams_out = mr_sleep_streams(ep, (uint32_t)handle);
        return;
    }
    conn = conn != NULL && conn->state == MR_CONN_MOVED ? NULL : conn;
    *state_out = conn == NULL ? "" : names[conn->state];
    *streams_out = conn == NULL ? 0 : conn->streams_open;
}

bool mr_stream_is_asleep(const struct mr_endpoint *ep, mr_handle handle)
{
    uint32_t number = mr_stream_number_of(handle);

    if (number >= ep->stream_numbers.fresh)
        return false;
    const struct mr_number *entry = mr_stream_number_at(ep, number);
    return entry->generation == (uint32_t)(handle >> 32) && (entry->generation & 1) != 0 &&
           (entry->place & MR_PLACE_ASLEEP) != 0;
}

/* Its connection sleeps: wake that. */
MR_COLD static struct mr_stream *wake_stream(struct mr_endpoint *ep, mr_handle handle)
{
    if (!mr_stream_is_asleep(ep, handle))
        return NULL;
    uint32_t conn = mr_stream_number_at(ep, mr_stream_number_of(handle))->place & ~MR_PLACE_ASLEEP;
    return mr_conn_rouse(ep, conn, true) == NULL ? NULL : mr_stream_of_number(ep, handle);
}

struct mr_stream *mr_stream_of_handle(struct mr_endpoint *ep, mr_handle handle)
{
    struct mr_stream *stream = mr_stream_of_number(ep, handle);

    return stream == NULL ? wake_stream(ep, handle) : stream;
}

int mr_stream_absence(const struct mr_endpoint *ep, mr_handle handle)
{
    return mr_stream_is_asleep(ep, handle) ? -ENOMEM : -ESTALE;
}
