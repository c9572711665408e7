/* tools/model_events.c - see model.h: callbacks, on a loop's thread and in the application's own
 * execution. */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/compiler.h"
#include "millrace/events.h"
#include "millrace/loop.h"
#include "tools/model_loop.h"

#define PIECE 1024 /* bytes that one send copies */

struct echo {
    struct mr_model_loop loop;
    struct mr_registration *registration;
    bool is_over;
};

/* ------------------------------------------------------------------ handlers */

static void echo_views(const struct echo *e, const struct mr_ev *event)
{
    for (size_t i = 0; i < event->view_count; i++) {
        const struct mr_view *view = &event->views[i];

        for (size_t at = 0; at < view->size; at += PIECE) {
            struct mr_view piece = {view->data + at, MR_MIN(view->size - at, (size_t)PIECE)};

            if (mr_ev_send(e->registration, event->object, &piece, 1, MR_SEND_COPY, NULL) != 0) {
                mr_ev_shutdown(e->registration, event->object, 0, 1); /* the client counts it */
                return;
            }
        }
    }
}

static enum mr_ev_answer on_stream(void *context, struct mr_ev *event)
{
    const struct echo *e = context;

    if (event->type == MR_EV_RECEIVE)
        echo_views(e, event);
    else if (event->type == MR_EV_SHUTDOWN_COMPLETE)
        mr_ev_close(e->registration, event->object);
    return MR_EV_OK;
}

static enum mr_ev_answer on_conn(void *context, struct mr_ev *event)
{
    const struct echo *e = context;

    if (event->type == MR_EV_PEER_STREAM_STARTED)
        mr_ev_set_handler(e->registration, event->stream, on_stream, context);
    else if (event->type == MR_EV_SHUTDOWN_COMPLETE)
        mr_ev_close(e->registration, event->object);
    return MR_EV_OK;
}

static enum mr_ev_answer on_listener(void *context, struct mr_ev *event)
{
    struct echo *e = context;

    if (event->type == MR_EV_NEW_CONNECTION)
        mr_ev_set_handler(e->registration, event->conn, on_conn, context);
    else if (event->type == MR_EV_STOP_COMPLETE)
        e->is_over = true;
    return MR_EV_ACCEPT;
}

/* ------------------------------------------------------------------ who waits */

static bool begin(struct echo *e, struct mr_bench_task *task)
{
    mr_object listener;

    if (!mr_model_loop_begin(&e->loop, task, NULL))
        return false;
    e->registration = mr_loop_registration(e->loop.loop);
    if (mr_ev_listen(e->registration, MR_MODEL_LISTENER, on_listener, e, &listener) == 0) {
        mr_model_ready(task);
        return true;
    }
    mr_model_fail(task, "cannot listen");
    mr_model_loop_end(&e->loop);
    return false;
}

int mr_model_events(struct mr_bench_task *task, void *config)
{
    struct echo echo = {0};

    (void)config;
    if (!begin(&echo, task))
        return -1;
    while (!echo.is_over && mr_loop_run(echo.loop.loop) == 0) {
    }
    mr_model_loop_end(&echo.loop);
    return 0;
}

/* Milliseconds to wait, rounded up; -1: as long as it takes. */
static int timeout_of(uint64_t ns)
{
    return ns == MR_FOREVER ? -1 : (int)MR_MIN((ns + 999999) / 1000000, (uint64_t)1000);
}

int mr_model_own(struct mr_bench_task *task, void *config)
{
    struct epoll_event event = {.events = EPOLLIN};
    int queue = epoll_create1(EPOLL_CLOEXEC);
    struct echo echo = {0};

    (void)config;
    if (queue < 0 || !begin(&echo, task))
        return -1;
    if (epoll_ctl(queue, EPOLL_CTL_ADD, mr_loop_fd(echo.loop.loop), &event) != 0)
        return mr_model_fail(task, "cannot wait for the loop's descriptor");
    while (!echo.is_over) {
        uint64_t wait_ns = mr_exec_poll(echo.loop.loop);

        if (wait_ns > 0)
            (void)epoll_wait(queue, &event, 1, timeout_of(wait_ns));
    }
    close(queue);
    mr_model_loop_end(&echo.loop);
    return 0;
}
