/*
 * tests/dpdk/inline_mover.c - an inline echo whose connections may move to other shards: written
 * against millrace/transport.h, without anything to remember of a stream.
 *
 *     --inline name=mover,object=inline_mover.so
 *
 * It copies, and what cannot be sent now stays where it arrived, unread, until it can.
 */
#include <errno.h>
#include <stdlib.h>

#include "millrace/inline.h"

enum {
    PIECE = 1024, /* that a send may copy */
    STREAMS = 64  /* of a connection */
};

struct mover {
    struct mr_application application;
    struct mr_transport *transport;
};

/* Send the first piece that has arrived back.  False: there is none, or it does not go now. */
static bool echo_piece(const struct mover *m, mr_handle stream)
{
    const struct mr_transport_ops *ops = m->transport->ops;
    struct mr_view view = {.size = 0};
    bool is_end = false;
    int64_t count = ops->receive(m->transport, stream, &view, 1, &is_end);

    if (count < 0)
        return false;
    if (view.size > PIECE) {
        view.size = PIECE;
        is_end = false;
    }
    if (view.size == 0 && !is_end)
        return false;
    return ops->send(m->transport, stream, &view, (size_t)count,
                     MR_SEND_COPY | (is_end ? MR_SEND_FIN : 0)) == 0 &&
           ops->release(m->transport, stream, view.size) == 0 && !is_end;
}

static void echo(const struct mover *m, mr_handle stream)
{
    while (echo_piece(m, stream)) {
    }
}

static void arrive(const struct mover *m, mr_handle conn)
{
    struct mr_moved_stream streams[STREAMS];
    int64_t count = m->transport->ops->moved_streams(m->transport, conn, streams, STREAMS);

    for (int64_t i = 0; i < count; i++)
        echo(m, streams[i].stream);
}

static void on_events(void *context, const struct mr_event *events, size_t count)
{
    const struct mover *m = context;

    for (size_t i = 0; i < count; i++) {
        if ((events[i].kinds & MR_EVENT_MOVED_IN) != 0)
            arrive(m, events[i].conn);
        else if (events[i].stream != MR_HANDLE_NONE && (events[i].kinds & MR_EVENT_CLOSED) == 0)
            echo(m, events[i].stream);
    }
}

static bool on_move(void *context, mr_handle conn, uint32_t shard)
{
    (void)context;
    (void)conn;
    (void)shard;
    return true;
}

static void on_start(void *context, struct mr_transport *transport)
{
    ((struct mover *)context)->transport = transport;
}

static void on_stop(void *context)
{
    (void)context;
}

static int start(struct mr_inline *instance, const char *argument, struct mr_error *error)
{
    struct mover *m = calloc(1, sizeof(*m));

    (void)argument;
    (void)error;
    if (m == NULL)
        return -ENOMEM;
    m->application = (struct mr_application){.name = instance->name,
                                             .context = m,
                                             .on_start = on_start,
                                             .on_events = on_events,
                                             .on_stop = on_stop,
                                             .on_move = on_move};
    instance->context = m;
    instance->application = &m->application;
    return 0;
}

static void stop(struct mr_inline *instance)
{
    free(instance->context);
}

const struct mr_inline_application mr_inline = {
    .version = MR_INLINE_VERSION, .name = "an echo that moves", .start = start, .stop = stop};
