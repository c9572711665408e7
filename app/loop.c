/*
 * app/loop.c - a round of a loop, waiting, and its life; see loop_internal.h.
 *
 * mr_loop_run_once():
 *
 *     what is there --> nothing? spin, arm the source, wait --> descriptors --> what is there
 *
 * The order in which things are told within a round: calls of other threads, the source, timers,
 * descriptors; at most a batch of each.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "app/loop_internal.h"
#include "app/work.h"
#include "base/compiler.h"

enum {
    OBJECTS_DEFAULT = 65536,
    TIMERS_DEFAULT = 65536,
    BATCH_DEFAULT = 64,
};

#define STALL_DEFAULT_NS UINT64_C(20000000)
#define FREE_NS          UINT64_C(1000000000)

/* ------------------------------------------------------------------ whose thread */

static const void *this_thread(void)
{
    static _Thread_local char marker;

    return &marker;
}

bool mr_loop_is_inside(const struct mr_loop *loop)
{
    /* relaxed: a thread compares with what only itself writes */
    return atomic_load_explicit(&loop->runner, memory_order_relaxed) == this_thread();
}

/* False: it runs already. */
static bool enter(struct mr_loop *loop)
{
    const void *nobody = NULL;

    /* acquire: pairs with the release in leave; what the last runner did is seen */
    if (!atomic_compare_exchange_strong_explicit(&loop->runner, &nobody, this_thread(),
                                                 memory_order_acquire, memory_order_relaxed))
        return false;
    mr_loop_set_ideal_cpu(loop, this_thread());
    loop->run.handlers = 0;
    return true;
}

static void leave(struct mr_loop *loop)
{
    atomic_store_explicit(&loop->runner, NULL, memory_order_release);
}

/* ------------------------------------------------------------------ a round */

/* The datapath is gone: every object has its last event, or gets it now. */
static void unplug(struct mr_loop *loop)
{
    if (!loop->has_source)
        return;
    if (loop->source.fd >= 0)
        loop->waiter->remove(loop, loop->source.fd);
    loop->last_state = loop->source.state(loop->source.context, &loop->last_why);
    loop->has_source = false;
    loop->is_armed = false;
    loop->source.close(loop->source.context);
}

static void run_source(struct mr_loop *loop)
{
    if (!loop->has_source)
        return;
    loop->run.is_stirred = false;
    if (loop->is_armed) {
        loop->source.disarm(loop->source.context);
        loop->is_armed = false;
    }
    uint32_t work = loop->source.poll(loop->source.context);
    if (work == 0 && !loop->source.is_alive(loop->source.context)) {
        unplug(loop);
        loop->is_gone_due = true;
    }
    loop->run.has_more |= work > 0 || mr_registration_has_work(loop->registration);
}

/* Everything but descriptors. */
static void run_what_is_there(struct mr_loop *loop)
{
    loop->run.now = mr_loop_clock();
    loop->run.lap = loop->run.now;
    loop->run.has_more = false;
    mr_loop_run_queue(loop);
    run_source(loop);
    mr_loop_run_timers(loop);
}

/* How long nothing is due; 0: something is there. */
static uint64_t idle_ns(const struct mr_loop *loop)
{
    uint64_t deadline = mr_loop_deadline(loop);

    if (loop->run.has_more || loop->run.is_stirred || loop->is_gone_due)
        return 0;
    if (loop->has_source && loop->source.fd < 0)
        return 0; /* nobody wakes us */
    if (deadline == UINT64_MAX)
        return MR_FOREVER;
    return deadline > loop->run.now ? deadline - loop->run.now : 0;
}

/* True: nothing is there, and whatever comes makes the descriptor readable. */
static bool may_sleep(struct mr_loop *loop)
{
    if (loop->has_source && !loop->is_armed)
        loop->is_armed = loop->source.arm(loop->source.context);
    return !loop->has_source || loop->is_armed;
}

static int wait_for_fds(struct mr_loop *loop, struct epoll_event *events, uint64_t wait_ns)
{
    loop->stats.sleeps += wait_ns > 0;
    return loop->waiter->wait(loop, events, wait_ns);
}

/* Returns how many there were, but for files whose calls go on. */
static int run_fds(struct mr_loop *loop, const struct epoll_event *events, int count)
{
    int silent = 0;
    uint64_t ignored;

    loop->run.lap = mr_loop_clock();
    for (int i = 0; i < count; i++) {
        uint64_t data = events[i].data.u64;
        ssize_t size = 0;

        if ((data & MR_LOOP_OWN_FD) == 0)
            mr_loop_run_watch(loop, data, events[i].events);
        else if (data == MR_LOOP_WAKE_FD) /* the queue is looked at behind this */
            size = read(loop->wake_fd, &ignored, sizeof(ignored));
        else if (data == MR_LOOP_FILES_FD)
            silent += loop->waiter->run_files(loop) == 0;
        else if (data == MR_LOOP_TIMER_FD)
            size = read(loop->timer_fd, &ignored, sizeof(ignored));
        if (data == MR_LOOP_TIMER_FD)
            loop->timer_fd_at = UINT64_MAX; /* it is not set any more */
        (void)size;
    }
    return count - silent;
}

/* Look again for a while, before sleeping.  Returns how long to sleep then; 0: something is there.
 */
static uint64_t spin(struct mr_loop *loop, uint64_t timeout_ns)
{
    uint64_t begin = loop->run.now;
    uint64_t end = begin + MR_MIN(loop->config.spin_ns, timeout_ns);

    while (mr_loop_clock() < end) {
        run_what_is_there(loop);
        if (loop->run.handlers > 0)
            return 0;
    }
    if (timeout_ns != MR_FOREVER)
        timeout_ns -= MR_MIN(timeout_ns, loop->run.now - begin);
    return MR_MIN(timeout_ns, idle_ns(loop));
}

/* One round.  Returns how many descriptors had something; -errno: it cannot wait; -EINTR. */
static int run_round(struct mr_loop *loop, uint64_t timeout_ns)
{
    struct epoll_event events[MR_LOOP_BATCH_MAX];
    int error = loop->waiter->enter(loop);

    if (error < 0)
        return error;
    loop->stats.rounds++;
    run_what_is_there(loop);
    uint64_t wait_ns = loop->run.handlers > 0 ? 0 : MR_MIN(timeout_ns, idle_ns(loop));
    if (wait_ns > 0 && loop->config.spin_ns > 0)
        wait_ns = spin(loop, timeout_ns);
    if (wait_ns > 0 && !may_sleep(loop))
        wait_ns = 0;
    int count = wait_for_fds(loop, events, wait_ns);
    int told = count > 0 ? run_fds(loop, events, count) : count;
    if (wait_ns > 0 || count > 0)
        run_what_is_there(loop);
    loop->run.has_more |= count == (int)loop->config.batch;
    if (loop->run.is_stirred) /* what timers and descriptors caused goes out now */
        run_source(loop);
    return told;
}

/* Before returning to whoever waits for the descriptor: it must tell all that comes. */
static void prepare_fd(struct mr_loop *loop)
{
    if (!loop->is_fd_used)
        return;
    mr_loop_set_timer_fd(loop);
    if (idle_ns(loop) == 0 || !may_sleep(loop))
        mr_loop_wake(loop);
    loop->waiter->settle(loop);
}

int mr_loop_run_once(struct mr_loop *loop, uint64_t timeout_ns)
{
    if (!enter(loop))
        return -EBUSY;
    uint64_t begin = mr_loop_clock();
    uint64_t left = timeout_ns;
    int result = run_round(loop, left);
    /* A wheel's deadline may be a timer's moving down only: wait on. */
    while (result == 0 && loop->run.handlers == 0 && left > 0 && !loop->is_gone_due) {
        uint64_t gone = mr_loop_clock() - begin;
        left = timeout_ns == MR_FOREVER ? MR_FOREVER : timeout_ns - MR_MIN(timeout_ns, gone);
        result = run_round(loop, left);
    }
    result = loop->run.handlers > 0 ? (int)loop->run.handlers : MR_MIN(result, 0);
    if (loop->run.handlers == 0 && loop->is_gone_due) {
        loop->is_gone_due = false;
        result = -ENOTCONN;
    }
    prepare_fd(loop);
    leave(loop);
    return result;
}

int mr_loop_run(struct mr_loop *loop)
{
    int result = 0;

    /* acquire: pairs with the release in mr_loop_stop */
    while (!atomic_load_explicit(&loop->is_stopping, memory_order_acquire) &&
           (result >= 0 || result == -EINTR))
        result = mr_loop_run_once(loop, MR_FOREVER);
    if (result < 0 && result != -EINTR)
        return result;
    atomic_store_explicit(&loop->is_stopping, false, memory_order_relaxed);
    return 0;
}

void mr_loop_stop(struct mr_loop *loop)
{
    atomic_store_explicit(&loop->is_stopping, true, memory_order_release);
    mr_loop_wake(loop);
}

uint64_t mr_exec_poll(struct mr_loop *loop)
{
    if (!enter(loop))
        return 0;
    (void)run_round(loop, 0);
    bool is_idle = loop->run.handlers == 0 && !loop->is_gone_due;
    loop->is_gone_due = false; /* here mr_loop_is_attached() says it: the caller looks once more */
    uint64_t wait_ns = is_idle ? idle_ns(loop) : 0;
    if (is_idle && wait_ns > 0 && !may_sleep(loop))
        wait_ns = 0;
    prepare_fd(loop);
    leave(loop);
    return wait_ns;
}

int mr_loop_fd(struct mr_loop *loop)
{
    if (!loop->is_fd_used) {
        loop->is_fd_used = true;
        mr_loop_set_timer_fd(loop);
        mr_loop_wake(loop); /* the first call looks */
        loop->waiter->settle(loop);
    }
    return loop->poll_fd;
}

bool mr_loop_is_attached(const struct mr_loop *loop)
{
    return loop->has_source && loop->source.is_alive(loop->source.context);
}

enum mr_datapath_state mr_loop_state(const struct mr_loop *loop, struct mr_error *why_out)
{
    if (loop->has_source)
        return loop->source.state(loop->source.context, why_out);
    if (why_out != NULL)
        *why_out = loop->last_why;
    return loop->last_state;
}

uint64_t mr_loop_now(const struct mr_loop *loop)
{
    return mr_loop_is_inside(loop) ? loop->run.now : mr_loop_clock();
}

struct mr_registration *mr_loop_registration(struct mr_loop *loop)
{
    return loop->registration;
}

void mr_loop_stats_get(const struct mr_loop *loop, struct mr_loop_stats *stats_out)
{
    *stats_out = loop->stats;
}

/* ------------------------------------------------------------------ life */

void mr_loop_fail(struct mr_error *error, const char *what, int number)
{
    if (error != NULL)
        snprintf(error->text, sizeof(error->text), "%s: %s", what, strerror(number));
}

void mr_loop_plug(struct mr_loop *loop, const struct mr_loop_source *source)
{
    loop->source = *source;
    loop->has_source = true;
    loop->is_gone_due = false;
    if (source->fd >= 0)
        (void)loop->waiter->add(loop, source->fd, EPOLLIN, MR_LOOP_SOURCE_FD);
}

int mr_loop_reattach(struct mr_loop *loop, uint64_t patience_ns, struct mr_error *error)
{
    if (loop->config.is_detached)
        return -EINVAL;
    if (!enter(loop))
        return -EBUSY;
    struct mr_attach_config config = loop->config.attach;
    config.patience_ns = patience_ns;
    unplug(loop);
    int result = mr_loop_attach(loop, &config, error);
    leave(loop);
    return result;
}

static void set_defaults(struct mr_loop *loop, const struct mr_loop_config *config)
{
    struct mr_loop_config *c = &loop->config;

    if (config != NULL)
        *c = *config;
    c->objects_max = c->objects_max == 0 ? OBJECTS_DEFAULT : c->objects_max;
    c->timers_max = c->timers_max == 0 ? TIMERS_DEFAULT : c->timers_max;
    c->batch = c->batch == 0 ? BATCH_DEFAULT : MR_MIN(c->batch, MR_LOOP_BATCH_MAX);
    c->work_threads = MR_MIN(c->work_threads, (uint32_t)MR_OFFLOAD_THREADS_MAX);
    c->stall_ns = c->stall_ns == 0 ? STALL_DEFAULT_NS : c->stall_ns;
    loop->poll_fd = -1;
    loop->wake_fd = -1;
    loop->timer_fd = -1;
    loop->timer_fd_at = UINT64_MAX;
    pthread_mutex_init(&loop->work_mutex, NULL);
    mr_loop_queue_new(loop);
}

static int open_fds(struct mr_loop *loop, struct mr_error *error)
{
    static const struct mr_loop_waiter *const waiters[] = {
        [MR_LOOP_EPOLL] = &mr_loop_epoll, [MR_LOOP_URING] = &mr_loop_uring};
    uint32_t backend = (uint32_t)loop->config.backend;

    if (backend >= MR_COUNT_OF(waiters)) {
        mr_loop_fail(error, "a loop's backend", EINVAL);
        return -EINVAL;
    }
    const struct mr_loop_waiter *waiter = waiters[backend];
    int result = waiter->open(loop, error);
    if (result < 0)
        return result;
    loop->waiter = waiter;
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    result = loop->wake_fd < 0 || loop->timer_fd < 0 ? -errno : 0;
    if (result == 0)
        result = waiter->add(loop, loop->wake_fd, EPOLLIN, MR_LOOP_WAKE_FD);
    if (result == 0)
        result = waiter->add(loop, loop->timer_fd, EPOLLIN, MR_LOOP_TIMER_FD);
    if (result < 0)
        mr_loop_fail(error, "a loop's descriptors", -result);
    return result;
}

int mr_loop_open_registration(struct mr_loop *loop)
{
    struct mr_registration_limits limits = {.objects_max = loop->config.objects_max};

    if (loop->registration != NULL)
        return 0;
    loop->registration = mr_registration_new(&limits);
    if (loop->registration == NULL)
        return -ENOMEM;
    mr_registration_set_host(loop->registration,
                             &(struct mr_events_host){.context = loop,
                                                      .wake = mr_loop_stir,
                                                      .listen = mr_loop_listen,
                                                      .clock = mr_loop_event_clock,
                                                      .took = mr_loop_event_took});
    return 0;
}

static void free_parts(struct mr_loop *loop)
{
    unplug(loop);
    if (loop->sockets != NULL)
        loop->sockets_gone(loop->sockets);
    mr_registration_free(loop->registration);
    mr_loop_timers_free(loop);
    mr_loop_watches_free(loop);
    mr_loop_queue_free(loop);
    pthread_mutex_destroy(&loop->work_mutex);
    if (loop->waiter != NULL)
        loop->waiter->close(loop);
    int fds[] = {loop->poll_fd, loop->wake_fd, loop->timer_fd};
    for (size_t i = 0; i < MR_COUNT_OF(fds); i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    free(loop);
}

int mr_loop_new(const struct mr_loop_config *config, struct mr_loop **loop_out,
                struct mr_error *error)
{
    struct mr_loop *loop = calloc(1, sizeof(*loop));

    *loop_out = NULL;
    if (loop == NULL)
        return -ENOMEM;
    set_defaults(loop, config);
    loop->last_state = MR_DATAPATH_GONE;
    int result = open_fds(loop, error);
    if (result == 0 && !loop->config.is_detached)
        result = mr_loop_attach(loop, &loop->config.attach, error);
    if (result < 0) {
        free_parts(loop);
        return result;
    }
    *loop_out = loop;
    return 0;
}

/* Nothing is open, and no work is out. */
static bool is_quiet(struct mr_loop *loop)
{
    bool has_objects = loop->registration != NULL && loop->has_source &&
                       mr_registration_objects(loop->registration) > 0;

    /* acquire: pairs with the release in end_work */
    return !has_objects && !mr_loop_has_queue(loop) &&
           atomic_load_explicit(&loop->work_out, memory_order_acquire) == 0;
}

void mr_loop_free(struct mr_loop *loop)
{
    if (loop == NULL)
        return;
    MR_ASSERT(!mr_loop_is_inside(loop)); /* its round goes on behind the handler */
    uint64_t end = mr_loop_clock() + FREE_NS;
    int result = mr_loop_run_once(loop, 0); /* from now on the registration is this thread's */
    if (loop->registration != NULL && loop->has_source)
        mr_registration_shut_down(loop->registration);
    for (uint64_t now; result != -ECHILD && !is_quiet(loop) && (now = mr_loop_clock()) < end;)
        result = mr_loop_run_once(loop, MR_MIN(end - now, UINT64_C(10000000)));
    mr_loop_work_end(loop);
    free_parts(loop);
}
