/*
 * examples/kv_fibers.c - a replicated key-value store in the model "fibers": every conversation has
 * a fiber that listens and, while there is something to say, one that speaks.  Each is written from
 * top to bottom, all run on one thread, and what they share needs no lock.
 *
 * How to run it, and what nodes say to each other, without I/O: kv/kv_app.h, docs/kv.md.
 */
#include <errno.h>
#include <stdlib.h>

#include <millrace/fiber_socket.h>
#include <millrace/fiber_sync.h>

#include "examples/kv/kv_main.h"

enum {
    STACK_SIZE = 128 * 1024,
    PAUSE_NS = 10000000 /* between looks at a datapath that drains */
};

struct conversation {
    struct kv_talk talk;
    bool is_writing;
    struct mr_fiber_condition written; /* is_writing became false */
};

static struct kv_app *app;
static struct mr_loop *loop;
static struct mr_fiber_condition news; /* something was heard: the main fiber looks */
static int error_of_listener;

static bool spawn(mr_fiber_function function, void *argument, const char *name)
{
    struct mr_fiber_options options = {.is_detached = true};

    return mr_fiber_spawn(function, argument, name, &options, NULL) == 0;
}

/* ------------------------------------------------------------------ a conversation */

/* Say what there is to say.  Others may come to say more meanwhile. */
static int64_t speak(void *argument)
{
    struct conversation *c = argument;
    uint8_t bytes[KV_PIECE];
    size_t size;

    while (c->talk.peer != NULL && (size = kv_talk_words(&c->talk, bytes)) > 0) {
        if (mr_sock_write(c->talk.stream, bytes, size) != (ssize_t)size)
            break; /* its listener hears of it, too */
    }
    c->is_writing = false;
    (void)mr_fiber_condition_broadcast(&c->written);
    return 0;
}

static void speak_all(void)
{
    struct kv_peer *peer;
    uint64_t code;

    while ((peer = kv_app_next_speaker(app)) != NULL) {
        struct conversation *c = kv_peer_context(peer);
        if (kv_peer_is_ended(peer, &code))
            kv_talk_end(app, &c->talk, code); /* who waits for its sockets gets -EBADF */
        else if (!c->is_writing)
            c->is_writing = spawn(speak, c, "kv speaks");
    }
}

/* Listen until it is over. */
static void listen_to(struct conversation *c)
{
    uint8_t bytes[KV_PIECE];
    ssize_t size = 0;

    while (c->talk.stream != NULL &&
           (size = mr_sock_read(c->talk.stream, bytes, sizeof(bytes))) > 0) {
        if (c->talk.peer != NULL)
            kv_peer_hear(c->talk.peer, bytes, (size_t)size, kv_now());
        speak_all();
        (void)mr_fiber_condition_signal(&news);
    }
    kv_talk_end(app, &c->talk, 0);
    (void)mr_fiber_condition_signal(&news);
    while (c->is_writing && mr_fiber_condition_wait(&c->written, NULL, MR_FOREVER) == 0)
        continue;
    free(c);
}

/* One that we begin. */
static int64_t reach(void *argument)
{
    struct conversation *c = argument;
    struct kv_talk *talk = &c->talk;

    if (mr_sock_connect(loop, &talk->way.options, false, &talk->conn) != 0)
        kv_app_failed(app, &talk->way);
    else if (mr_sock_open(talk->conn, MR_OPEN_BIDI, &talk->stream) == 0 &&
             kv_talk_begin(app, talk, c))
        speak_all();
    if (talk->peer == NULL)
        kv_talk_end(app, talk, 0);
    listen_to(c);
    return 0;
}

/* One that others have begun. */
static int64_t serve(void *argument)
{
    struct conversation *c = argument;

    if (mr_sock_accept_stream(c->talk.conn, &c->talk.stream) != 0 ||
        !kv_talk_begin(app, &c->talk, c))
        kv_talk_end(app, &c->talk, 0);
    listen_to(c);
    return 0;
}

static int64_t accept_all(void *argument)
{
    struct mr_sock *listener = argument;
    struct mr_sock *conn;
    int error;

    while ((error = mr_sock_accept(listener, &conn)) == 0) {
        struct conversation *c = calloc(1, sizeof(*c));
        if (c != NULL)
            c->talk.conn = conn;
        if (c == NULL || !spawn(serve, c, "kv serves")) {
            free(c);
            (void)mr_sock_close(conn, 0);
        }
    }
    while (error == -ESHUTDOWN && mr_loop_is_attached(loop)) /* those that are there go on */
        (void)mr_fiber_sleep(PAUSE_NS);
    error_of_listener = error;
    (void)mr_fiber_condition_signal(&news);
    return 0;
}

/* ------------------------------------------------------------------ the main fiber */

static void reach_all(void)
{
    struct kv_way way;

    while (kv_app_next_way(app, &way)) {
        struct conversation *c = calloc(1, sizeof(*c));
        if (c != NULL)
            c->talk = (struct kv_talk){.way = way, .is_ours = true};
        if (c == NULL || !spawn(reach, c, "kv reaches")) {
            free(c);
            kv_app_failed(app, &way);
        }
    }
}

static int64_t look_after(void *argument)
{
    struct mr_sock *listener = NULL;

    if (kv_app_serves(app))
        error_of_listener = mr_sock_listen(loop, kv_app_name(app), 0, &listener);
    if (listener != NULL && !spawn(accept_all, listener, "kv accepts"))
        error_of_listener = -ENOMEM;
    while (error_of_listener == 0 && !kv_app_is_over(app)) {
        uint64_t wait = kv_app_tick(app, kv_now());
        reach_all();
        speak_all();
        (void)mr_fiber_condition_wait(&news, NULL, wait);
    }
    mr_hub_stop(argument);
    return 0;
}

static int run(struct kv_app *the_app, struct mr_loop *the_loop)
{
    struct mr_hub_options options = {.stack_size = STACK_SIZE};
    struct mr_hub *hub = mr_hub_new(&options, NULL);

    app = the_app;
    loop = the_loop;
    if (hub == NULL || mr_hub_serve_loop(hub, loop) != 0 || !spawn(look_after, hub, "kv"))
        return -ENOMEM;
    (void)mr_hub_run(hub);
    (void)mr_hub_close_loop(hub, loop, NULL);
    return error_of_listener;
}

int main(int argc, char **argv)
{
    return kv_main(argc, argv, run);
}
