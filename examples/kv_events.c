/*
 * examples/kv_events.c - a replicated key-value store in the model "events": every connection and
 * stream has a handler, which the loop of this thread calls.
 *
 * How to run it, and what nodes say to each other, without I/O: kv/kv_app.h, docs/kv.md.
 */
#include <stdlib.h>
#include <string.h>

#include <millrace/events.h>

#include "examples/kv/kv_main.h"

/* A connection with its one stream. */
struct conversation {
    mr_object conn;
    mr_object stream;     /* 0: none (any more) */
    struct kv_peer *peer; /* NULL: none (any more) */
    struct kv_way way;
    bool is_ours; /* we have connected */
    uint64_t code;
};

static struct kv_app *app;
static struct mr_registration *registration;

static void end(struct conversation *c, uint64_t code)
{
    (void)mr_ev_shutdown(registration, c->conn, 0, code);
}

/* ------------------------------------------------------------------ writing */

/* Bytes are sent from where they are: a copy, which SEND_COMPLETE gives back. */
static void speak(struct conversation *c)
{
    size_t size;
    const uint8_t *words = kv_peer_words(c->peer, &size);
    void *copy = size == 0 || c->stream == 0 ? NULL : malloc(size);

    if (copy == NULL)
        return;
    memcpy(copy, words, size);
    if (mr_ev_send(registration, c->stream, &(struct mr_view){copy, size}, 1, 0, copy) == 0)
        kv_peer_said(c->peer, size);
    else
        free(copy); /* too much is on its way: MR_EV_WRITABLE follows */
}

static void speak_all(void)
{
    struct kv_peer *peer;
    uint64_t code;

    while ((peer = kv_app_next_speaker(app)) != NULL) {
        struct conversation *c = kv_peer_context(peer);
        if (kv_peer_is_ended(peer, &code))
            end(c, code); /* its last event lets go of the peer */
        else
            speak(c);
    }
}

/* ------------------------------------------------------------------ what happens to a stream */

static enum mr_ev_answer on_stream(void *context, struct mr_ev *event)
{
    struct conversation *c = context;

    switch (event->type) {
    case MR_EV_RECEIVE:
        for (size_t i = 0; i < event->view_count && c->peer != NULL; i++)
            kv_peer_hear(c->peer, event->views[i].data, event->views[i].size, kv_now());
        if (event->is_fin)
            end(c, 0);
        break;
    case MR_EV_WRITABLE:
        if (c->peer != NULL)
            speak(c);
        break;
    case MR_EV_SEND_COMPLETE:
        free(event->send_context);
        break;
    case MR_EV_PEER_SEND_ABORTED:
    case MR_EV_PEER_RECEIVE_ABORTED:
        end(c, 0);
        break;
    case MR_EV_SHUTDOWN_COMPLETE:
        (void)mr_ev_close(registration, c->stream);
        c->stream = 0;
        break;
    default:
        break;
    }
    return MR_EV_OK;
}

/* ------------------------------------------------------------------ ... and to a connection */

static void open_stream(struct conversation *c)
{
    if (mr_ev_open(registration, c->conn, MR_OPEN_BIDI, on_stream, c, &c->stream) == 0)
        c->peer = kv_app_reached(app, &c->way, c);
    if (c->peer == NULL)
        end(c, 0);
}

static enum mr_ev_answer take_stream(struct conversation *c, struct mr_ev *event)
{
    if (c->peer != NULL || (c->peer = kv_app_accepted(app, c)) == NULL)
        return MR_EV_REFUSE; /* one is a conversation */
    c->stream = event->stream;
    (void)mr_ev_set_handler(registration, c->stream, on_stream, c);
    return MR_EV_ACCEPT;
}

static void bury(struct conversation *c)
{
    if (c->peer != NULL)
        kv_peer_leave(c->peer, c->code);
    else if (c->is_ours)
        kv_app_failed(app, &c->way);
    (void)mr_ev_close(registration, c->conn);
    free(c);
}

static enum mr_ev_answer on_conn(void *context, struct mr_ev *event)
{
    struct conversation *c = context;

    switch (event->type) {
    case MR_EV_CONNECTED:
        if (c->is_ours)
            open_stream(c);
        return MR_EV_OK;
    case MR_EV_PEER_STREAM_STARTED:
        return take_stream(c, event);
    case MR_EV_SHUTDOWN_BY_PEER:
        c->code = event->error;
        return MR_EV_OK;
    case MR_EV_SHUTDOWN_COMPLETE:
        bury(c);
        return MR_EV_OK;
    default:
        return MR_EV_OK;
    }
}

static enum mr_ev_answer on_listener(void *context, struct mr_ev *event)
{
    struct conversation *c = event->type == MR_EV_NEW_CONNECTION ? calloc(1, sizeof(*c)) : NULL;

    (void)context;
    if (c == NULL)
        return MR_EV_REFUSE;
    c->conn = event->conn;
    (void)mr_ev_set_handler(registration, c->conn, on_conn, c);
    return MR_EV_ACCEPT;
}

static void reach(const struct kv_way *way)
{
    struct conversation *c = calloc(1, sizeof(*c));

    if (c != NULL) {
        *c = (struct conversation){.way = *way, .is_ours = true};
        if (mr_ev_connect(registration, &way->options, on_conn, c, &c->conn) == 0)
            return;
        free(c);
    }
    kv_app_failed(app, way);
}

/* ------------------------------------------------------------------ the loop */

static int run(struct kv_app *the_app, struct mr_loop *loop)
{
    struct kv_way way;
    mr_object listener;
    int result = 0;

    app = the_app;
    registration = mr_loop_registration(loop);
    if (kv_app_serves(app))
        result = mr_ev_listen(registration, kv_app_name(app), on_listener, NULL, &listener);
    while (result >= 0 && !kv_app_is_over(app)) {
        uint64_t wait = kv_app_tick(app, kv_now());
        while (kv_app_next_way(app, &way))
            reach(&way);
        speak_all();
        result = mr_loop_run_once(loop, wait);
    }
    return result < 0 ? result : 0;
}

int main(int argc, char **argv)
{
    return kv_main(argc, argv, run);
}
