/*
 * examples/rings/asking.h - the client of echo_rings.c: one connection, one stream, one text.
 *
 *     CONNECT --> CONNECTED --> OPEN, SEND ... --> DATA ... FIN --> CLOSE --> CLOSED
 */
#ifndef EXAMPLES_RINGS_ASKING_H
#define EXAMPLES_RINGS_ASKING_H

#include "examples/rings/streams.h"

static bool is_answered, is_closed;
static struct echo_loss loss; /* why there is no answer */

/* What to connect to lies in the send area. */
static inline void asking_begin(struct side *s, const struct echo_task *task)
{
    struct mr_ring_connect *wish = mr_ring_alloc(s->ring, sizeof(*wish));
    struct mr_sqe sqe = {0};

    *wish = (struct mr_ring_connect){.port = task->remote.port,
                                     .alpn_size = sizeof(ECHO_ALPN) - 1,
                                     .alpn = ECHO_ALPN,
                                     .server_name = "localhost"};
    memcpy(wish->ip, task->remote.ip, sizeof(wish->ip));
    mr_sqe_connect(&sqe, mr_ring_offset(s->ring, wish));
    submit(s, &sqe);
}

/* The connection is there: a stream for the text. */
static inline void asking_connected(struct side *s, const struct echo_task *task, uint64_t conn)
{
    struct mr_sqe sqe = {.flags = MR_SQE_QUIET};
    struct echo *e = echo_new(s, conn);

    if (e == NULL) {
        mr_sqe_close(&sqe, conn, ECHO_NO_MEMORY);
        submit(s, &sqe);
        return;
    }
    e->flow.text = task->text;
    e->flow.left = task->size;
    e->flow.has_end = true;
    echo_open(e, MR_OPEN_BIDI);
}

/* What the server sends back. */
static inline void asking_print(struct side *s, const struct mr_cqe *cqe)
{
    struct mr_sqe sqe = {.flags = MR_SQE_QUIET};

    echo_print(mr_ring_data(s->ring, cqe), cqe->size);
    release(s, cqe);
    if ((cqe->flags & MR_CQE_FIN) == 0)
        return;
    is_answered = true;
    mr_sqe_close(&sqe, cqe->conn, 0);
    submit(s, &sqe);
}

/* The connection is over, or has not come about. */
static inline void asking_closed(struct side *s, const struct mr_cqe *cqe)
{
    char reason[sizeof(loss.reason)];

    take_reason(s, cqe, reason, sizeof(reason));
    echo_lose(&loss, cqe->value, (cqe->flags & MR_CQE_APPLICATION) != 0, reason);
    is_closed = true;
}

#endif /* EXAMPLES_RINGS_ASKING_H */
