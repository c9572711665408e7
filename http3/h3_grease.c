/* http3/h3_grease.c - a connection's reserved frames and stream; see grease.h. */
#include "http3/grease.h"
#include "http3/h3_internal.h"

/* Which of them: each is made of another number. */
enum use {
    SETTING,
    FRAME,
    HEAD,
    STREAM
};

static struct mr_random random_of(const struct mr_h3_conn *conn, enum use use)
{
    struct mr_random random;

    mr_random_init_number(&random, conn->grease + (uint64_t)use);
    return random;
}

void mr_h3_grease_begin(struct mr_h3 *h3, struct mr_h3_conn *conn)
{
    struct mr_random random;

    if (conn->grease != 0)
        return;
    mr_random_init_number(&random, h3->transport->ops->now(h3->transport) ^ conn->handle);
    conn->grease = mr_random_u64(&random) | 1;
    conn->owes_grease_head = conn->owes_grease_stream =
        mr_random_below(&random, MR_H3_GREASE_EVERY) == 0;
}

void mr_h3_grease_connected(const struct mr_h3 *h3, struct mr_h3_conn *conn)
{
    struct mr_transport *t = h3->transport;
    struct mr_conn_info info;

    if (!conn->owes_grease_stream || (t->ops->conn_info(t, conn->handle, &info) == 0 &&
                                      info.streams_uni_limit > MR_H3_UNI_LEAST))
        return;
    conn->owes_grease_head = conn->owes_grease_stream = false;
}

void mr_h3_grease_settings(const struct mr_h3_conn *conn, struct mr_h3_settings *settings)
{
    struct mr_random random = random_of(conn, SETTING);

    settings->reserved = mr_h3_reserved_draw(&random);
    settings->reserved_value = mr_random_below(&random, MR_H3_GREASE_VALUES);
}

size_t mr_h3_grease_control(const struct mr_h3_conn *conn, uint8_t *dst)
{
    struct mr_random random = random_of(conn, FRAME);

    return conn->owes_grease_stream ? mr_h3_grease_put_frame(&random, dst) : 0;
}

size_t mr_h3_grease_head(struct mr_h3_conn *conn, uint8_t *dst)
{
    struct mr_random random = random_of(conn, HEAD);

    if (!conn->owes_grease_head)
        return 0;
    conn->owes_grease_head = false;
    return mr_h3_grease_put_frame(&random, dst);
}

/* QPACK's come first. */
static bool has_all_streams(const struct mr_h3 *h3, const struct mr_h3_conn *conn)
{
    return conn->has_settings &&
           (conn->our_encoder != NULL || h3->limits.qpack_encoder_capacity == 0 ||
            conn->peer.qpack_capacity == 0);
}

void mr_h3_grease_stream(struct mr_h3 *h3, struct mr_h3_conn *conn)
{
    struct mr_transport *t = h3->transport;
    struct mr_random random = random_of(conn, STREAM);
    uint8_t bytes[MR_H3_GREASE_STREAM_MAX];
    struct mr_h3_stream *stream = NULL;
    uint64_t type;
    size_t at = 0;

    if (!conn->owes_grease_stream || !conn->is_connected || conn->is_closing ||
        !has_all_streams(h3, conn))
        return;
    conn->owes_grease_stream = false;
    size_t size = mr_h3_grease_put_stream(&random, bytes);
    (void)mr_h3_frame_get_varint(bytes, size, &at, &type);
    if (mr_h3_open_own(h3, conn, MR_H3_KIND_OUR_RESERVED, type, &stream) != 0)
        return; /* the peer allows no more: nothing is missing */
    if (mr_h3_send_copy(h3, stream, bytes, size, true) == 0)
        mr_count(&h3->counters->greased);
    else
        (void)t->ops->reset(t, stream->handle, MR_H3_NO_ERROR);
}
