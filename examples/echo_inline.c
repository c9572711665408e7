/*
 * examples/echo_inline.c - echo (echo.h) in the model "inline": handlers on the datapath's own
 * cores.
 *
 *     millrace host --port loopback --control /tmp/mr.sock --inline
 * name=echo,object=./echo_inline.so \
 *                   --listener name=echo,alpn=echo,port=4433,application=echo &
 *     echo_rings /tmp/mr.sock client 198.18.0.1 4433 hello
 *
 * A shared object, which the datapath loads: one instance for each of its polling threads. Handlers
 * are those of millrace/events.h, as in a program of one's own; but while one runs, its core does
 * nothing else, so it returns at once, and neither waits nor allocates nor calls the system.
 *
 * What a stream brings lies in the datapath's own packet buffers.  It is sent back out of them:
 * they are given back when the peer has acknowledged it.  So nothing is copied, and nobody who
 * sends without reading gets more than the stream's window.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <millrace/events.h>
#include <millrace/inline.h>

/* What is echoed: mostly one stream, that goes both ways; one that goes one way (RFC 9000, Section
 * 2.1) is answered on another. */
struct stream {
    struct echo *echo;
    struct stream *next;     /* free, or waiting */
    mr_object conn, in, out; /* out 0: the peer lets us open no more now */
    size_t held; /* bytes that were shown, and are given back when their echo is acknowledged */
    int parts;   /* streams whose end was not told */
};

#define STREAMS_MAX 1024 /* at once, of all connections of a polling thread; more are refused */

/* An instance: everything that one polling thread has. */
struct echo {
    struct mr_registration *registration;
    struct stream *free_streams, *waiting;
    struct stream streams[STREAMS_MAX];
};

/* ------------------------------------------------------------------ streams */

/* Send back what has come, in place.  MR_EV_PENDING: it stays ours until receive_complete(). */
static enum mr_ev_answer send_back(struct stream *s, struct mr_ev *event)
{
    struct echo *echo = s->echo;
    uint32_t flags = event->is_fin ? MR_SEND_FIN : 0;
    int error = mr_ev_send(echo->registration, s->out, event->views, event->view_count, flags, s);

    if (error != 0) { /* the peer has stopped or reset it: nobody wants an echo */
        mr_ev_shutdown(echo->registration, s->in, 0, 0);
        return MR_EV_CONSUMED;
    }
    s->held = event->size;
    return MR_EV_PENDING;
}

/* The last event of one of its streams: after that of both the memory is free for the next one. */
static void end_part(struct stream *s, mr_object object)
{
    struct echo *echo = s->echo;
    struct stream **at = &echo->waiting;

    mr_ev_close(echo->registration, object);
    if (--s->parts > 0)
        return;
    while (s->out == 0 && *at != s)
        at = &(*at)->next;
    if (s->out == 0)
        *at = s->next;
    s->next = echo->free_streams;
    echo->free_streams = s;
}

static enum mr_ev_answer on_stream(void *context, struct mr_ev *event)
{
    struct stream *s = context;
    struct mr_registration *registration = s->echo->registration;

    if (event->type == MR_EV_RECEIVE)
        return send_back(s, event);
    if (event->type == MR_EV_SEND_COMPLETE && event->status == 0) /* acknowledged: show the next */
        mr_ev_receive_complete(registration, s->in, s->held);
    if (event->type == MR_EV_PEER_SEND_ABORTED) /* it resets, so do we */
        mr_ev_shutdown(registration, s->out != 0 ? s->out : s->in, 0, event->error);
    if (event->type == MR_EV_PEER_RECEIVE_ABORTED) /* it stops us, so do we stop it */
        mr_ev_shutdown(registration, s->in, MR_EV_RECEIVE_ONLY, event->error);
    if (event->type == MR_EV_SHUTDOWN_COMPLETE)
        end_part(s, event->object);
    return MR_EV_OK;
}

/* ------------------------------------------------------------------ connections */

/* The way back of a stream that goes one way, which shows nothing before that is there.  False: it
 * waits. */
static bool open_answer(struct stream *s)
{
    struct mr_registration *registration = s->echo->registration;
    bool is_open = mr_ev_open(registration, s->conn, MR_OPEN_UNI, on_stream, s, &s->out) == 0;

    s->parts += is_open;
    s->out = is_open ? s->out : 0;
    mr_ev_receive_enable(registration, s->in, is_open);
    return is_open;
}

static enum mr_ev_answer take_stream(struct echo *echo, const struct mr_ev *event)
{
    struct stream *s = echo->free_streams;

    if (s == NULL)
        return MR_EV_REFUSE;
    echo->free_streams = s->next;
    *s = (struct stream){.echo = echo,
                         .conn = event->object,
                         .in = event->stream,
                         .out = event->is_uni ? 0 : event->stream,
                         .parts = 1};
    mr_ev_set_handler(echo->registration, s->in, on_stream, s);
    mr_ev_set_name(echo->registration, s->in, "echo's stream"); /* in reports of slow ones */
    if (s->out == 0 && !open_answer(s)) {
        s->next = echo->waiting;
        echo->waiting = s;
    }
    return MR_EV_ACCEPT;
}

/* The peer allows more streams. */
static void open_answers(struct echo *echo, mr_object conn)
{
    for (struct stream **at = &echo->waiting, *s; (s = *at) != NULL;) {
        if (s->conn == conn && open_answer(s))
            *at = s->next;
        else
            at = &s->next;
    }
}

/* The listener's handler, and its connections'. */
static enum mr_ev_answer on_server(void *context, struct mr_ev *event)
{
    struct echo *echo = context;

    if (event->type == MR_EV_NEW_CONNECTION)
        mr_ev_set_handler(echo->registration, event->conn, on_server, echo);
    if (event->type == MR_EV_PEER_STREAM_STARTED)
        return take_stream(echo, event);
    if (event->type == MR_EV_STREAMS_AVAILABLE)
        open_answers(echo, event->object);
    if (event->type == MR_EV_SHUTDOWN_COMPLETE || event->type == MR_EV_STOP_COMPLETE)
        mr_ev_close(echo->registration, event->object);
    return MR_EV_ACCEPT;
}

/* ------------------------------------------------------------------ what the datapath calls */

static void stop(struct mr_inline *instance)
{
    struct echo *echo = instance->context;

    mr_registration_free(echo->registration);
    free(echo);
}

/* On the control thread: here, and only here, memory is taken. */
static int start(struct mr_inline *instance, const char *argument, struct mr_error *error)
{
    const struct mr_registration_limits limits = {
        .objects_max = 4 * STREAMS_MAX, .sends_max = STREAMS_MAX, .calls_max = 16};
    struct echo *echo = calloc(1, sizeof(*echo));
    mr_object listener;

    if (echo != NULL && argument[0] == '\0')
        echo->registration = mr_registration_new(&limits);
    if (echo == NULL || echo->registration == NULL) {
        snprintf(error->text, sizeof(error->text), "%s",
                 argument[0] != '\0' ? "echo takes no argument" : "not enough memory");
        free(echo);
        return argument[0] != '\0' ? -EINVAL : -ENOMEM;
    }
    for (size_t i = 0; i < STREAMS_MAX; i++) {
        echo->streams[i].next = echo->free_streams;
        echo->free_streams = &echo->streams[i];
    }
    instance->context = echo;
    mr_inline_serve(instance, echo->registration);
    /* NULL: every listener that the configuration gives to this application */
    return mr_ev_listen(echo->registration, NULL, on_server, echo, &listener);
}

const struct mr_inline_application mr_inline = {
    .version = MR_INLINE_VERSION, .name = "echo", .start = start, .stop = stop};
