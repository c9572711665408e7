/*
 * examples/echo_events.c - echo (echo.h) in the model "callbacks": every listener, connection and
 * stream has a handler, which is told what happens to it.
 *
 * The server has no memory of its own.  A stream's bytes are sent back from where they were
 * received, and given up when they are acknowledged: until then RECEIVE stays pending, nothing
 * further is shown, and the peer's window closes.  One thread serves all connections.
 */
#include <errno.h>

#include <millrace/events.h>

#include "examples/echo_loop.h"

#define LATER_NS UINT64_C(5000000)

static struct mr_loop *loop;
static struct mr_registration *registration;
static bool is_asked, is_answered; /* the client's, */
static struct echo_loss loss;      /* and why it got no answer */

/* ------------------------------------------------------------------ the server */

/* A context is a word.  That of a stream which goes one way is the stream that goes the other. */
static void *word_of(mr_object object)
{
    return (void *)(uintptr_t)object;
}

static mr_object object_of(const void *word)
{
    return (mr_object)(uintptr_t)word;
}

/* Something is short: try again soon. */
static void later(void (*function)(void *context), mr_object stream)
{
    if (mr_loop_timer(loop, LATER_NS, function, word_of(stream)) == 0)
        mr_ev_shutdown(registration, stream, 0, ECHO_NO_MEMORY);
}

static void show_again(void *stream)
{
    mr_ev_receive_complete(registration, object_of(stream), 0);
}

static void send_end(void *stream)
{
    if (mr_ev_send(registration, object_of(stream), NULL, 0, MR_SEND_FIN, NULL) == -ENOMEM)
        later(send_end, object_of(stream));
}

/* Send on `out` what is shown; SEND_COMPLETE brings back how much that is. */
static enum mr_ev_answer on_receive(const struct mr_ev *event, mr_object out)
{
    int error = mr_ev_send(registration, out, event->views, event->view_count,
                           event->is_fin ? MR_SEND_FIN : 0, word_of(event->size));

    if (error == -ENOMEM && event->size == 0)
        later(send_end, out);
    else if (error == -ENOMEM)
        later(show_again, event->object);
    return MR_EV_PENDING;
}

static enum mr_ev_answer on_stream(void *context, struct mr_ev *event)
{
    mr_object other = context != NULL ? object_of(context) : event->object;

    switch (event->type) {
    case MR_EV_RECEIVE:
        return on_receive(event, other);
    case MR_EV_SEND_COMPLETE:
        if (event->status == 0)
            mr_ev_receive_complete(registration, other, object_of(event->send_context));
        break;
    case MR_EV_PEER_SEND_ABORTED:
        mr_ev_shutdown(registration, other, 0, event->error);
        break;
    case MR_EV_PEER_RECEIVE_ABORTED:
        mr_ev_shutdown(registration, other, MR_EV_RECEIVE_ONLY, event->error);
        break;
    case MR_EV_SHUTDOWN_COMPLETE:
        mr_ev_close(registration, event->object);
        break;
    default:
        break;
    }
    return MR_EV_OK;
}

/* The way back of a stream that goes one way.  Nothing of it is shown before that is there. */
static void open_answer(void *stream)
{
    mr_object in = object_of(stream), out;
    mr_object conn = mr_ev_conn_of(registration, in);

    if (conn == 0)
        return; /* it is over */
    int error = mr_ev_open(registration, conn, MR_OPEN_UNI, on_stream, stream, &out);
    if (error == 0)
        mr_ev_set_handler(registration, in, on_stream, word_of(out));
    else
        later(open_answer, in); /* the peer lets us open no more now */
    mr_ev_receive_enable(registration, in, error == 0);
}

/* The listener's handler, and its connections'. */
static enum mr_ev_answer on_server(void *context, struct mr_ev *event)
{
    (void)context;
    if (event->type == MR_EV_NEW_CONNECTION)
        mr_ev_set_handler(registration, event->conn, on_server, NULL);
    if (event->type == MR_EV_PEER_STREAM_STARTED)
        mr_ev_set_handler(registration, event->stream, on_stream, NULL);
    if (event->type == MR_EV_PEER_STREAM_STARTED && event->is_uni)
        open_answer(word_of(event->stream));
    if (event->type == MR_EV_SHUTDOWN_COMPLETE || event->type == MR_EV_STOP_COMPLETE)
        mr_ev_close(registration, event->object);
    return MR_EV_ACCEPT;
}

/* ------------------------------------------------------------------ the client */

static enum mr_ev_answer on_answer(void *context, struct mr_ev *event)
{
    (void)context;
    for (size_t i = 0; event->type == MR_EV_RECEIVE && i < event->view_count; i++)
        echo_print(event->views[i].data, event->views[i].size);
    if (event->type == MR_EV_RECEIVE && event->is_fin) {
        is_answered = true;
        mr_ev_shutdown(registration, mr_ev_conn_of(registration, event->object), 0, 0);
    }
    if (event->type == MR_EV_SHUTDOWN_COMPLETE)
        mr_ev_close(registration, event->object);
    return MR_EV_CONSUMED;
}

static enum mr_ev_answer on_client(void *context, struct mr_ev *event)
{
    const struct mr_view *text = context;
    mr_object stream;

    if ((event->type == MR_EV_CONNECTED || event->type == MR_EV_STREAMS_AVAILABLE) && !is_asked &&
        mr_ev_open(registration, event->object, MR_OPEN_BIDI, on_answer, NULL, &stream) == 0) {
        is_asked = true;
        mr_ev_send(registration, stream, text, text->size > 0, MR_SEND_FIN, NULL);
    }
    if (event->type == MR_EV_SHUTDOWN_BY_PEER || event->type == MR_EV_SHUTDOWN_BY_TRANSPORT)
        echo_lose(&loss, event->error, event->is_application, event->reason);
    if (event->type == MR_EV_SHUTDOWN_COMPLETE) {
        mr_ev_close(registration, event->object);
        mr_loop_stop(loop);
    }
    return MR_EV_OK;
}

/* ------------------------------------------------------------------ both */

static int run(const struct echo_task *what, struct mr_loop *on)
{
    struct mr_connect_options options = echo_connect(what);
    struct mr_view text = {what->text, what->size};
    mr_object object;
    int result = mr_loop_run_once(on, 0); /* from now on calls on this thread answer at once */

    loop = on;
    registration = mr_loop_registration(loop);
    if (what->address != NULL)
        result = mr_ev_connect(registration, &options, on_client, &text, &object);
    else if (mr_ev_listen(registration, "echo", on_server, NULL, &object) != 0)
        return echo_fail_listener();
    else
        echo_say_serving();
    if (result >= 0)
        (void)mr_loop_run(loop);
    return echo_loop_end(what, is_answered, &loss, loop);
}

int main(int argc, char **argv)
{
    return echo_main_with_loop(argc, argv, run);
}
