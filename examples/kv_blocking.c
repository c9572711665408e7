/*
 * examples/kv_blocking.c - a replicated key-value store in the model "blocking": a thread for each
 * conversation, in which every call waits until it is done.
 *
 * Each thread has a loop, and so rings, of its own: no connection is shared.  What all of them
 * share, the node, is behind one mutex, which nobody holds while waiting.  A thread that waits for
 * words is called to speak by a post to its loop.
 *
 * How to run it, and what nodes say to each other, without I/O: kv/kv_app.h, docs/kv.md.
 */
#include <unistd.h>

#include "examples/blocking/conversation.h"

static int error_of_listener;
static struct kv_ending ending; /* what the listener's threads have seen */

/* With the lock.  `way` NULL: for somebody who comes. */
static bool start(void *(*function)(void *), const struct kv_way *way)
{
    struct conversation *c = calloc(1, sizeof(*c));
    pthread_t thread;

    if (c != NULL && way != NULL)
        c->talk = (struct kv_talk){.way = *way, .is_ours = true};
    if (c == NULL || pthread_create(&thread, NULL, function, c) != 0) {
        free(c);
        return false;
    }
    pthread_detach(thread);
    return true;
}

/* One that we begin. */
static void *reach(void *argument)
{
    struct conversation *c = argument;
    struct kv_talk *talk = &c->talk;
    int error = kv_loop_open(app, &c->loop, NULL);

    if (error == 0)
        error = mr_sock_connect(c->loop, &talk->way.options, false, &talk->conn);
    if (error != 0) {
        pthread_mutex_lock(&lock);
        kv_app_failed(app, &talk->way);
        pthread_mutex_unlock(&lock);
    }
    return run_conversation(c, error == 0 &&
                                   mr_sock_open(talk->conn, MR_OPEN_BIDI, &talk->stream) == 0);
}

/* With the lock: nobody can be waited for any more.  `loop` NULL: it could not attach once more. A
 * datapath that ends in order takes its socket away, one that was killed leaves it there. */
static void end_serving(const struct mr_loop *loop, int error)
{
    error_of_listener = error;
    if (loop != NULL)
        ending.state = mr_loop_state(loop, &ending.why);
    else if (error == -ENOENT)
        ending.state = MR_DATAPATH_DRAINED;
    else if (error == -ECONNREFUSED)
        ending = (struct kv_ending){MR_DATAPATH_GONE, {"the datapath is gone"}};
}

/* Wait for somebody, let the next thread wait for the next, serve. */
static void *serve(void *argument)
{
    struct conversation *c = argument;
    struct mr_sock *listener = NULL;
    int error;

    /* As many are served as there are rings; a datapath that drains, or ends just now, is looked at
     * until it is clear how it ended. */
    while ((error = kv_loop_open(app, &c->loop, NULL)) == -ENOSPC || error == -ESHUTDOWN ||
           error == -ECONNRESET)
        usleep(10000);
    if (error == 0)
        error = mr_sock_listen(c->loop, kv_app_name(app), 0, &listener);
    if (error == 0)
        error = mr_sock_accept(listener, &c->talk.conn);
    if (error == -ESHUTDOWN && c->loop != NULL) /* no more come: those that are there go on */
        error = mr_loop_run(c->loop);
    if (listener != NULL)
        (void)mr_sock_close(listener, KV_CODE_AGAIN);
    pthread_mutex_lock(&lock);
    if (error != 0 || !start(serve, NULL))
        end_serving(c->loop, error != 0 ? error : -ENOMEM);
    pthread_mutex_unlock(&lock);
    return run_conversation(c, error == 0 &&
                                   mr_sock_accept_stream(c->talk.conn, &c->talk.stream) == 0);
}

/* Is there a datapath to attach to, as each thread does later?  0, or -errno with the reason. */
static int try_datapath(struct mr_error *why)
{
    struct mr_loop *loop;
    int error = kv_loop_open(app, &loop, why);

    if (error == 0)
        mr_loop_free(loop);
    return error == -ENOSPC ? 0 : error; /* for that they wait */
}

int main(int argc, char **argv)
{
    struct kv_way way;

    app = kv_app_new(argc, argv);
    if (app == NULL)
        return kv_end(app, 0, &ending);
    int error = try_datapath(&ending.why);
    if (error != 0)
        return kv_end(app, error, &ending);
    pthread_mutex_lock(&lock);
    if (kv_app_serves(app) && !start(serve, NULL))
        error_of_listener = -ENOMEM;
    while (error_of_listener == 0 && !kv_app_is_over(app)) {
        uint64_t wait = kv_app_tick(app, kv_now());
        while (kv_app_next_way(app, &way)) {
            if (!start(reach, &way))
                kv_app_failed(app, &way);
        }
        call_speakers();
        kv_wait(&news, &lock, wait);
    }
    return kv_end(app, error_of_listener, &ending); /* nobody else gets the lock any more */
}
