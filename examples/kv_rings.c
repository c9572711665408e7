/*
 * examples/kv_rings.c - a replicated key-value store in the model "rings": submissions out
 * (kv/kv_ring.c), completions in (here), and nothing between them and the program.
 *
 * How to run it, and what nodes say to each other, without I/O: kv/kv_app.h, docs/kv.md.
 */
#include <errno.h>

#include <millrace/transport.h>

#include "examples/kv/kv_main.h"
#include "examples/kv/kv_ring.h"

enum {
    CONVERSATIONS = 256
};

/* A connection with its one stream.  Its place in the table is its alias of the stream, too. */
static struct conversation {
    struct mr_ring *ring; /* NULL: the place is free */
    uint64_t conn;
    uint64_t stream;      /* 0: not yet */
    struct kv_peer *peer; /* NULL: not yet */
    struct kv_way way;
    bool is_ours; /* we have connected */
} table[CONVERSATIONS];

static struct kv_app *app;
static struct kv_way ways[16]; /* that we connect to, by number */

/* That of a connection; 0: a free place.  NULL: none. */
static struct conversation *find(const struct mr_ring *ring, uint64_t conn)
{
    for (struct conversation *c = table; c < table + CONVERSATIONS; c++) {
        if (conn == 0 ? c->ring == NULL : c->ring == ring && c->conn == conn)
            return c;
    }
    return NULL;
}

static void speak_all(void)
{
    struct kv_peer *peer;
    uint64_t code;

    while ((peer = kv_app_next_speaker(app)) != NULL) {
        const struct conversation *c = kv_peer_context(peer);
        if (kv_peer_is_ended(peer, &code))
            kv_ring_close(c->ring, c->conn, code); /* its last event lets go of the peer */
        else
            kv_ring_say(c->ring, c->stream, peer);
    }
}

/* There is room again for those who had more to say. */
static void speak_on(const struct mr_ring *ring)
{
    for (struct conversation *c = table; c < table + CONVERSATIONS; c++) {
        if (c->ring == ring && c->peer != NULL)
            kv_ring_say(c->ring, c->stream, c->peer);
    }
}

/* ------------------------------------------------------------------ connections */

/* CONNECT is done: there will be a connection, or not. */
static void take_connect(struct mr_ring *ring, const struct mr_cqe *cqe)
{
    const struct kv_way *way = &ways[cqe->user_data];
    struct conversation *c = cqe->result < 0 ? NULL : find(ring, 0);

    if (c != NULL) {
        *c = (struct conversation){.ring = ring, .conn = cqe->conn, .way = *way, .is_ours = true};
        return;
    }
    kv_app_failed(app, way);
    if (cqe->result == 0)
        kv_ring_close(ring, cqe->conn, 0);
}

/* The handshake is complete: open our stream, or wait for theirs. */
static void take_connected(struct mr_ring *ring, uint64_t conn)
{
    struct conversation *c = find(ring, conn);

    if (c != NULL && c->peer == NULL) {
        c->stream = kv_ring_open(ring, conn, (uint32_t)(c - table));
        c->peer = kv_app_reached(app, &c->way, c);
    } else if (c == NULL && (c = find(ring, 0)) != NULL) {
        *c = (struct conversation){.ring = ring, .conn = conn};
    } else if (c == NULL) {
        kv_ring_close(ring, conn, 0);
    }
}

static void take_closed(struct conversation *c, uint64_t code)
{
    if (c->peer != NULL)
        kv_peer_leave(c->peer, code);
    else if (c->is_ours)
        kv_app_failed(app, &c->way);
    *c = (struct conversation){0};
}

/* ------------------------------------------------------------------ completions */

static void take_event(struct mr_ring *ring, const struct mr_cqe *cqe)
{
    if (cqe->stream == 0 && cqe->conn != 0 && (cqe->kinds & MR_EVENT_CONNECTED) != 0)
        take_connected(ring, cqe->conn);
    struct conversation *c = cqe->conn == 0 ? NULL : find(ring, cqe->conn);
    if (c == NULL)
        return;
    if ((cqe->kinds & MR_EVENT_STREAM_OPENED) != 0 && c->peer == NULL) {
        c->stream = cqe->stream;
        c->peer = kv_app_accepted(app, c);
    }
    if (cqe->stream == 0 && (cqe->kinds & MR_EVENT_CLOSED) != 0)
        take_closed(c, cqe->value);
    else if ((cqe->kinds & (MR_EVENT_RESET | MR_EVENT_STOPPED | MR_EVENT_CLOSED)) != 0)
        kv_ring_close(ring, c->conn, 0); /* its stream is over */
}

static void take_data(struct mr_ring *ring, const struct mr_cqe *cqe)
{
    struct conversation *c = find(ring, cqe->conn);

    if (c != NULL && c->peer != NULL)
        kv_peer_hear(c->peer, mr_ring_data(ring, cqe), cqe->size, kv_now());
    if (cqe->size > 0)
        mr_sqe_release(kv_ring_sqe(ring), cqe);
    if (c != NULL && (cqe->flags & MR_CQE_FIN) != 0)
        kv_ring_close(ring, c->conn, 0);
}

/* 0, or -errno: nothing can be done any more. */
static int take(struct mr_ring *ring, const struct mr_cqe *cqe)
{
    if (cqe->type == MR_CQE_GONE)
        return -ENOTCONN;
    if (cqe->type == MR_CQE_EVENT)
        take_event(ring, cqe);
    if (cqe->type == MR_CQE_DATA)
        take_data(ring, cqe);
    if (cqe->type != MR_CQE_DONE)
        return 0;
    kv_ring_done(ring, cqe);
    if (cqe->op == MR_OP_CONNECT)
        take_connect(ring, cqe);
    if (cqe->op == MR_OP_SEND)
        speak_on(ring);
    return cqe->op == MR_OP_LISTEN ? cqe->result : 0;
}

static void reach(struct mr_ring *ring, const struct kv_way *way)
{
    ways[way->number] = *way;
    if (!kv_ring_connect(ring, way, way->number))
        kv_app_failed(app, way);
}

static int run(struct kv_app *the_app, struct mr_attachment *attachment)
{
    uint32_t count = mr_attach_ring_count(attachment);
    struct kv_way way;
    struct mr_cqe cqe;
    int result = 0;

    app = the_app;
    for (uint32_t i = 0; i < count && kv_app_serves(app); i++)
        mr_sqe_listen(kv_ring_sqe(mr_attach_ring(attachment, i)), MR_RING_EVERY, true);
    while (result >= 0 && !kv_app_is_over(app)) {
        uint64_t wait = kv_app_tick(app, kv_now());
        while (kv_app_next_way(app, &way))
            reach(mr_attach_ring(attachment, 0), &way);
        speak_all();
        for (uint32_t i = 0; i < count; i++)
            mr_ring_submit(mr_attach_ring(attachment, i));
        result = mr_attach_wait(attachment, wait);
        for (uint32_t i = 0; i < count && result >= 0; i++) {
            while (result >= 0 && mr_ring_take(mr_attach_ring(attachment, i), &cqe, 1) == 1)
                result = take(mr_attach_ring(attachment, i), &cqe);
        }
    }
    return result < 0 ? result : 0;
}

int main(int argc, char **argv)
{
    return kv_ring_main(argc, argv, run);
}
