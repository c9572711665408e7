/*
 * examples/kv_exec.c - a replicated key-value store in the model "own execution": the thread,
 * and the poll(2) in which it waits, are this program's; millrace is polled, and completes what was
 * started.
 *
 * How to run it, and what nodes say to each other, without I/O: kv/kv_app.h, docs/kv.md.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include <millrace/adapter.h>

#include "examples/kv/kv_main.h"

struct conversation {
    struct kv_talk talk;
    bool is_writing;
    uint32_t started;          /* operations that will complete yet, with it as context */
    struct conversation *next; /* of those that connect */
    uint8_t heard[KV_PIECE];
    uint8_t said[KV_PIECE];
};

static struct kv_app *app;
static struct mr_loop *loop;
static struct mr_sock *listener;
static struct conversation *connecting;
static bool is_draining; /* the datapath, */
static int failure;      /* of what cannot be done without */

/* One that was started has completed, or could not be.  True: start the next. */
static bool goes_on(struct conversation *c, bool is_right)
{
    bool is_there = c->talk.conn != NULL && is_right;

    c->started--;
    if (!is_there)
        kv_talk_end(app, &c->talk, 0);
    if (!is_there && c->started == 0)
        free(c);
    return is_there;
}

static void hear(struct conversation *c);
static void speak(struct conversation *c);
static void speak_all(void);

static void on_heard(void *context, ssize_t size)
{
    struct conversation *c = context;

    if (size > 0 && c->talk.peer != NULL)
        kv_peer_hear(c->talk.peer, c->heard, (size_t)size, kv_now());
    if (goes_on(c, size > 0))
        hear(c);
    speak_all();
}

static void hear(struct conversation *c)
{
    c->started++;
    if (mr_read_then(c->talk.stream, c->heard, KV_PIECE, on_heard, c) != 0)
        (void)goes_on(c, false);
}

static void on_said(void *context, ssize_t result)
{
    struct conversation *c = context;

    c->is_writing = false;
    if (goes_on(c, result >= 0))
        speak(c);
}

/* What is being written must stay as it is until that completes: a copy. */
static void speak(struct conversation *c)
{
    size_t size = c->is_writing ? 0 : kv_talk_words(&c->talk, c->said);

    if (size == 0)
        return;
    c->started++;
    c->is_writing = true;
    if (mr_write_then(c->talk.stream, c->said, size, on_said, c) != 0)
        (void)goes_on(c, false);
}

static void speak_all(void)
{
    struct kv_peer *peer;
    uint64_t code;

    while ((peer = kv_app_next_speaker(app)) != NULL) {
        struct conversation *c = kv_peer_context(peer);
        if (kv_peer_is_ended(peer, &code))
            kv_talk_end(app, &c->talk, code); /* what was started completes with -EBADF */
        else
            speak(c);
    }
}

static void on_stream(void *context, int status, struct mr_sock *stream)
{
    struct conversation *c = context;

    c->talk.stream = status == 0 ? stream : NULL;
    if (goes_on(c, status == 0 && kv_talk_begin(app, &c->talk, c)))
        hear(c);
}

static void on_conn(void *context, int status, struct mr_sock *conn)
{
    struct conversation *c = status == 0 ? calloc(1, sizeof(*c)) : NULL;

    (void)context;
    if (c != NULL) {
        c->talk.conn = conn;
        c->started++;
        if (mr_accept_then(conn, on_stream, c) != 0)
            (void)goes_on(c, false);
    } else if (status == 0) {
        (void)mr_sock_close(conn, 0);
    }
    is_draining = status == -ESHUTDOWN; /* no more come: those that are there go on */
    if (!is_draining)
        failure = status == 0 ? mr_accept_then(listener, on_conn, NULL) : status;
}

static void reach(const struct kv_way *way)
{
    struct conversation *c = calloc(1, sizeof(*c));
    struct mr_sock *conn;
    int error = c == NULL ? -ENOMEM : mr_sock_connect(loop, &way->options, true, &conn);

    if (error != -EINPROGRESS) {
        free(c);
        kv_app_failed(app, way);
        failure = error == -ENOTCONN ? error : failure;
        return;
    }
    c->talk = (struct kv_talk){.conn = conn, .way = *way, .is_ours = true};
    c->next = connecting;
    connecting = c;
}

/* Those that are ready have come about, or have not. */
static void look_at_connecting(void)
{
    for (struct conversation **place = &connecting, *c; (c = *place) != NULL;) {
        if (mr_sock_ready(c->talk.conn) == 0) {
            place = &c->next;
            continue;
        }
        *place = c->next;
        c->started++;
        if (goes_on(c, mr_sock_open(c->talk.conn, MR_OPEN_BIDI, &c->talk.stream) == 0 &&
                           kv_talk_begin(app, &c->talk, c)))
            hear(c);
    }
}

/* ------------------------------------------------------------------ the application's own loop */

/* What else the application waits for would stand beside the loop's descriptor. */
static void turn(void)
{
    struct kv_way way;
    uint64_t due = mr_exec_poll(loop); /* completions happen in here */

    look_at_connecting();
    uint64_t wait = kv_app_tick(app, kv_now());
    while (kv_app_next_way(app, &way))
        reach(&way);
    speak_all();
    wait = kv_app_is_over(app) ? 0 : due < wait ? due : wait;
    struct pollfd fds[] = {{.fd = mr_loop_fd(loop), .events = POLLIN}};
    (void)poll(fds, 1, wait == 0 ? 0 : (int)(wait / 1000000 + 1));
    if (is_draining && !mr_loop_is_attached(loop))
        failure = -ENOTCONN;
}

static int run(struct kv_app *the_app, struct mr_loop *the_loop)
{
    app = the_app;
    loop = the_loop;
    if (kv_app_serves(app))
        failure = mr_sock_listen(loop, kv_app_name(app), 0, &listener);
    if (listener != NULL)
        failure = mr_accept_then(listener, on_conn, NULL);
    while (failure == 0 && !kv_app_is_over(app))
        turn();
    return failure;
}

int main(int argc, char **argv)
{
    return kv_main(argc, argv, run);
}
