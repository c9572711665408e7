/*
 * examples/kv_sockets.c - a replicated key-value store in the model "readiness": one thread waits
 * for sockets that are ready, as with epoll, and no call on them blocks.
 *
 * How to run it, and what nodes say to each other, without I/O: kv/kv_app.h, docs/kv.md.
 */
#include <errno.h>
#include <stdlib.h>

#include "examples/kv/kv_main.h"

enum {
    READ_SIZE = 16384
};

static struct kv_app *app;
static struct mr_loop *loop;
static struct mr_pollset *set; /* events of a talk's sockets come with it as context */

static void end(struct kv_talk *talk, uint64_t code)
{
    kv_talk_end(app, talk, code);
    free(talk);
}

/* ------------------------------------------------------------------ reading, writing */

/* False: it is over. */
static bool hear(struct kv_talk *talk)
{
    static uint8_t bytes[READ_SIZE];
    ssize_t size;

    while ((size = mr_sock_read(talk->stream, bytes, sizeof(bytes))) > 0)
        kv_peer_hear(talk->peer, bytes, (size_t)size, kv_now());
    if (size == -EAGAIN)
        return true;
    end(talk, 0);
    return false;
}

/* What there is no room for now is written when there is. */
static void speak(struct kv_talk *talk)
{
    size_t size;
    const uint8_t *words;

    while ((words = kv_peer_words(talk->peer, &size)) != NULL) {
        ssize_t written = mr_sock_write(talk->stream, words, size);
        if (written < 0)
            break;
        kv_peer_said(talk->peer, (size_t)written);
    }
    (void)mr_pollset_mod(set, talk->stream, words == NULL ? POLLIN : POLLIN | POLLOUT, talk);
}

static void speak_all(void)
{
    struct kv_peer *peer;
    uint64_t code;

    while ((peer = kv_app_next_speaker(app)) != NULL) {
        if (kv_peer_is_ended(peer, &code))
            end(kv_peer_context(peer), code);
        else
            speak(kv_peer_context(peer));
    }
}

/* ------------------------------------------------------------------ connections */

/* From now on its stream's events count; its own only when it is over. */
static void begin(struct kv_talk *talk)
{
    (void)mr_pollset_mod(set, talk->conn, 0, talk);
    if (!kv_talk_begin(app, talk, talk) || mr_pollset_add(set, talk->stream, POLLIN, talk) != 0)
        end(talk, 0);
}

static void handle_conn(struct kv_talk *talk, uint32_t events)
{
    if (talk->stream != NULL)
        (void)hear(talk); /* the last words, and the end */
    else if ((events & (POLLERR | POLLHUP)) != 0)
        end(talk, 0);
    else if (talk->is_ours ? mr_sock_open(talk->conn, MR_OPEN_BIDI, &talk->stream) == 0
                           : mr_sock_accept_stream(talk->conn, &talk->stream) == 0)
        begin(talk);
}

static void handle(const struct mr_pollset_event *event)
{
    struct kv_talk *talk = event->context;
    bool has_words = (event->events & ~(uint32_t)POLLOUT) != 0;

    if (event->sock == talk->conn)
        handle_conn(talk, event->events);
    else if ((!has_words || hear(talk)) && (event->events & POLLOUT) != 0)
        speak(talk);
}

/* Wait for a stream that is opened, or for the connection that is to be. */
static void watch(struct kv_talk talk)
{
    struct kv_talk *kept = malloc(sizeof(*kept));

    if (kept != NULL)
        *kept = talk;
    if (kept == NULL ||
        mr_pollset_add(set, talk.conn, talk.is_ours ? POLLOUT : POLLIN, kept) != 0) {
        kv_talk_end(app, &talk, 0);
        free(kept);
    }
}

static void reach_all(void)
{
    struct kv_talk talk = {.is_ours = true};

    while (kv_app_next_way(app, &talk.way)) {
        if (mr_sock_connect(loop, &talk.way.options, true, &talk.conn) == -EINPROGRESS)
            watch(talk);
        else
            kv_app_failed(app, &talk.way);
    }
}

/* 0, or -errno: nobody can be accepted any more. */
static int accept_all(struct mr_sock *listener)
{
    struct mr_sock *conn;
    int error;

    while ((error = mr_sock_accept(listener, &conn)) == 0)
        watch((struct kv_talk){.conn = conn});
    if (error == -ESHUTDOWN) /* no more come, and those that are there go on */
        return mr_pollset_del(set, listener);
    return error == -EAGAIN ? 0 : error;
}

/* ------------------------------------------------------------------ the loop */

static int run(struct kv_app *the_app, struct mr_loop *the_loop)
{
    struct mr_pollset_event event; /* one at a time: none is about what was closed meanwhile */
    struct mr_sock *listener = NULL;

    app = the_app;
    loop = the_loop;
    int result = mr_pollset_new(loop, &set);
    if (result == 0 && kv_app_serves(app))
        result = mr_sock_listen(loop, kv_app_name(app), 0, &listener);
    if (listener != NULL) {
        (void)mr_sock_set(listener, MR_SOCK_NONBLOCK, 1);
        result = mr_pollset_add(set, listener, POLLIN, NULL);
    }
    while (result >= 0) {
        uint64_t wait = kv_app_tick(app, kv_now());
        reach_all();
        speak_all();
        if (kv_app_is_over(app))
            break;
        result = mr_pollset_wait(set, &event, 1, (int)(wait / 1000000 + 1));
        if (result > 0 && event.sock == listener)
            result = accept_all(listener);
        else if (result > 0)
            handle(&event);
    }
    mr_pollset_free(set);
    return result < 0 ? result : 0;
}

int main(int argc, char **argv)
{
    return kv_main(argc, argv, run);
}
