/* app/loop_uring.c - waiting for descriptors with io_uring; see loop_uring.h. */
#include "app/loop_uring.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/compiler.h"

enum {
    SUBMIT_COUNT = 256,
    COMPLETE_COUNT = 1024, /* more is kept by the kernel */
};

/* TASKRUN_FLAG: a look at a word of the ring says that there is nothing to enter for. */
#define RING_FLAGS                                                                                 \
    (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |         \
     IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE)

#define NOBODY UINT64_MAX /* user_data of a completion that tells nothing */

/* ------------------------------------------------------------------ whose ring */

static _Thread_local pid_t thread_id; /* 0: not asked for */

static void forget_thread(void)
{
    thread_id = 0;
}

static void watch_forks(void)
{
    (void)pthread_atfork(NULL, NULL, forget_thread);
}

static pid_t this_thread(void)
{
    if (thread_id == 0)
        thread_id = gettid();
    return thread_id;
}

static int open_ring(struct io_uring *ring, uint32_t flags)
{
    struct io_uring_params params = {.flags = RING_FLAGS | flags, .cq_entries = COMPLETE_COUNT};

    return mr_uring_ring_open(ring, SUBMIT_COUNT, &params);
}

static void soil(struct uring *u, uint32_t fd)
{
    if (!u->slots[fd].is_dirty)
        u->dirty[u->dirty_count++] = fd;
    u->slots[fd].is_dirty = true;
}

/* A new ring, which is this thread's; the old one takes its polls along. */
MR_COLD static int renew(struct uring *u)
{
    struct io_uring ring;
    int result = open_ring(&ring, 0);

    if (result < 0)
        return result;
    mr_uring_ring_close(&u->ring);
    u->ring = ring;
    u->owner = this_thread();
    for (uint32_t fd = 0; fd < u->slot_count; fd++) {
        u->slots[fd].is_armed = false;
        if (u->slots[fd].events != 0)
            soil(u, fd);
    }
    return 0;
}

MR_COLD static int take_over(struct uring *u)
{
    if (u->process != getpid())
        return -ECHILD;
    if (u->owner != 0)
        return renew(u);
    int result =
        io_uring_register((unsigned)u->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    if (result == 0)
        u->owner = this_thread();
    return result;
}

/* 0: this thread may enter the ring; -errno. */
static int own(struct uring *u)
{
    return u->owner == this_thread() ? 0 : take_over(u);
}

/* ------------------------------------------------------------------ saying */

static uint64_t name_of(const struct uring *u, uint32_t fd)
{
    return (uint64_t)u->slots[fd].generation << 32 | fd;
}

/* NULL: the kernel takes no more for now. */
static struct io_uring_sqe *next_entry(struct uring *u)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);

    if (sqe == NULL) { /* full */
        (void)io_uring_submit(&u->ring);
        sqe = io_uring_get_sqe(&u->ring);
    }
    return sqe;
}

/* Take the poll back that is out.  What it still tells is of another generation. */
static void disarm(struct uring *u, uint32_t fd)
{
    struct uring_slot *slot = &u->slots[fd];
    struct io_uring_sqe *sqe = next_entry(u);

    if (sqe != NULL) {
        io_uring_prep_poll_remove(sqe, name_of(u, fd));
        io_uring_sqe_set_data64(sqe, NOBODY);
    }
    slot->generation = (slot->generation + 1) & INT32_MAX;
    slot->is_armed = false;
}

/* False: not all of them. */
static bool arm_all(struct uring *u)
{
    uint32_t done = 0;

    for (; done < u->dirty_count; done++) {
        uint32_t fd = u->dirty[done];
        struct uring_slot *slot = &u->slots[fd];
        if (slot->events != 0 && !slot->is_armed) {
            struct io_uring_sqe *sqe = next_entry(u);
            if (sqe == NULL)
                break;
            io_uring_prep_poll_add(sqe, (int)fd, slot->events);
            if (slot->has_unseen) /* any number of events, but only changes */
                sqe->len = IORING_POLL_ADD_MULTI;
            io_uring_sqe_set_data64(sqe, name_of(u, fd));
            slot->is_armed = true;
            slot->armed_in = u->wait_number;
        }
        slot->is_dirty = false;
    }
    u->dirty_count -= done;
    memmove(u->dirty, u->dirty + done, u->dirty_count * sizeof(u->dirty[0]));
    return u->dirty_count == 0;
}

/* Prepare all that is to be said.  False: it may not be followed by sleep. */
static bool prepare(struct mr_loop *loop)
{
    struct uring *u = loop->uring;
    bool is_idle = mr_uring_files_submit(loop);

    if (u->files.out_count > 0)
        soil(u, (uint32_t)u->files.ring.ring_fd);
    return arm_all(u) && is_idle;
}

/* ------------------------------------------------------------------ hearing */

static bool is_stale(const struct uring *u, const struct io_uring_cqe *cqe)
{
    uint32_t fd = (uint32_t)cqe->user_data;

    return fd >= u->slot_count || !u->slots[fd].is_armed || cqe->user_data != name_of(u, fd);
}

/* The poll failed.  True: that is for the handler. */
MR_COLD static bool hear_failure(struct uring *u, uint32_t fd, int32_t result)
{
    switch (result) {
    case -EBADF: /* it was closed: silence, as with epoll */
        return false;
    case -ECANCELED: /* not by us */
    case -EAGAIN:
    case -ENOMEM:
        soil(u, fd);
        return false;
    default:
        return true;
    }
}

/* True: `event_out` is to be told. */
static bool hear(struct uring *u, const struct io_uring_cqe *cqe, struct epoll_event *event_out)
{
    uint32_t fd = (uint32_t)cqe->user_data;

    if (is_stale(u, cqe))
        return false;
    struct uring_slot *slot = &u->slots[fd];
    slot->is_armed = (cqe->flags & IORING_CQE_F_MORE) != 0;
    *event_out = (struct epoll_event){.events = EPOLLERR, .data.u64 = slot->data};
    if (cqe->res < 0)
        return hear_failure(u, fd, cqe->res);
    /* The kernel tells of POLLRDHUP always, and would at once again. */
    event_out->events = (uint32_t)cqe->res & (slot->events | EPOLLERR | EPOLLHUP);
    slot->has_unseen = event_out->events == 0;
    if (slot->is_armed && !slot->has_unseen)
        disarm(u, fd);
    if (!slot->is_armed && fd != (uint32_t)u->files.ring.ring_fd)
        soil(u, fd);
    return !slot->has_unseen;
}

/* Events of polls that are older than this wait may be over, and their descriptors closed: the
 * application ran since.  Returns how many are left. */
static uint32_t keep_true(struct uring *u, struct epoll_event *events, struct pollfd *old,
                          uint32_t count)
{
    uint32_t kept = 0;

    if (poll(old, count, 0) < 0)
        return count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t now = (uint16_t)old[i].revents;
        if (old[i].fd >= 0 && (now & POLLNVAL) != 0) /* silence, as with epoll */
            u->slots[old[i].fd].events = 0;
        if (old[i].fd >= 0)
            events[i].events = now & ~(uint32_t)POLLNVAL;
        if (events[i].events != 0)
            events[kept++] = events[i];
    }
    return kept;
}

static int hear_all(struct mr_loop *loop, struct epoll_event *events)
{
    struct uring *u = loop->uring;
    struct pollfd *old = u->old;
    uint32_t count = 0;
    uint32_t old_count = 0;
    uint32_t taken = 0;
    uint32_t head;
    struct io_uring_cqe *cqe;

    if (io_uring_cq_ready(&u->files.ring) > 0) {
        old[count].fd = -1;
        events[count++] = (struct epoll_event){.events = EPOLLIN, .data.u64 = MR_LOOP_FILES_FD};
    }
    io_uring_for_each_cqe(&u->ring, head, cqe)
    {
        if (count == loop->config.batch)
            break;
        taken++;
        if (!hear(u, cqe, &events[count]))
            continue;
        int fd = (int)(uint32_t)cqe->user_data;
        const struct uring_slot *slot = &u->slots[fd];
        bool is_old = slot->armed_in != u->wait_number && (slot->data & MR_LOOP_OWN_FD) == 0;
        old[count++] = (struct pollfd){.fd = is_old ? fd : -1, .events = (short)slot->events};
        old_count += is_old;
    }
    io_uring_cq_advance(&u->ring, taken);
    return (int)(old_count == 0 ? count : keep_true(u, events, old, count));
}

/* ------------------------------------------------------------------ waiting */

/* The kernel has completions that are not in the ring. */
static bool has_kernel_more(const struct io_uring *ring)
{
    return (IO_URING_READ_ONCE(*ring->sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) !=
           0;
}

static int submit_and_wait(struct io_uring *ring, uint64_t wait_ns)
{
    struct __kernel_timespec wait = {.tv_sec = (int64_t)(wait_ns / 1000000000),
                                     .tv_nsec = (int64_t)(wait_ns % 1000000000)};
    struct io_uring_cqe *cqe;

    if (wait_ns > 0 && io_uring_cq_ready(ring) == 0)
        return wait_ns == MR_FOREVER ? io_uring_submit_and_wait(ring, 1)
                                     : io_uring_submit_and_wait_timeout(ring, &cqe, 1, &wait, NULL);
    if (io_uring_sq_ready(ring) == 0 && !has_kernel_more(ring))
        return 0;
    return io_uring_submit_and_get_events(ring);
}

/* Nothing came.  Where something was submitted, the kernel does not say why it returned. */
static int why_empty(const struct mr_loop *loop, uint64_t wait_ns, int result)
{
    if (wait_ns == 0 || result == -ETIME || result == -EAGAIN || result == -EBUSY ||
        io_uring_sq_ready(&loop->uring->ring) > 0) /* no memory for all of it: once more */
        return 0;
    if (result < 0)
        return result;
    return wait_ns == MR_FOREVER || mr_loop_clock() - loop->run.now < wait_ns ? -EINTR : 0;
}

static int enter(struct mr_loop *loop)
{
    return own(loop->uring);
}

static int wait_uring(struct mr_loop *loop, struct epoll_event *events, uint64_t wait_ns)
{
    struct uring *u = loop->uring;

    u->wait_number++;
    if (!prepare(loop))
        wait_ns = 0;
    int result = submit_and_wait(&u->ring, wait_ns);
    if (result == -EEXIST || result == -EBADR) /* not ours after all; completions were lost */
        return renew(u);
    if (io_uring_cq_ready(&u->ring) == 0 && io_uring_cq_ready(&u->files.ring) == 0)
        return why_empty(loop, wait_ns, result);
    return hear_all(loop, events);
}

/* Whoever waits for poll_fd sees descriptors by themselves: files are left. */
static void settle(struct mr_loop *loop)
{
    if (!mr_uring_files_submit(loop))
        mr_loop_wake(loop);
}

/* ------------------------------------------------------------------ what is watched */

static int reserve(struct uring *u, uint32_t fd)
{
    uint32_t count = MR_MAX(u->slot_count, 64u);

    if (fd < u->slot_count)
        return 0;
    while (count <= fd)
        count *= 2;
    uint32_t *dirty = realloc(u->dirty, sizeof(*dirty) * count);
    if (dirty == NULL)
        return -ENOMEM;
    u->dirty = dirty;
    struct uring_slot *slots = realloc(u->slots, sizeof(*slots) * count);
    if (slots == NULL)
        return -ENOMEM;
    memset(slots + u->slot_count, 0, sizeof(*slots) * (count - u->slot_count));
    u->slots = slots;
    u->slot_count = count;
    return 0;
}

/* The same in the epoll that others wait for.  0; what epoll says: -EPERM, -EBADF. */
static int mirror(const struct mr_loop *loop, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events};

    if (epoll_ctl(loop->poll_fd, EPOLL_CTL_MOD, fd, &event) == 0)
        return 0;
    if (errno == ENOENT && epoll_ctl(loop->poll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
        return 0;
    return -errno;
}

static int set(struct mr_loop *loop, int fd, uint32_t events, uint64_t data)
{
    struct uring *u = loop->uring;
    int result = reserve(u, (uint32_t)fd);

    if (result == 0)
        result = mirror(loop, fd, events);
    if (result == 0 && u->slots[fd].is_armed)
        result = own(u);
    if (result < 0)
        return result;
    if (u->slots[fd].is_armed)
        disarm(u, (uint32_t)fd);
    u->slots[fd].data = data;
    u->slots[fd].events = events;
    u->slots[fd].has_unseen = false;
    soil(u, (uint32_t)fd);
    return 0;
}

/* The kernel lets go of the file before this returns, so that closing it closes it. */
static void remove_fd(struct mr_loop *loop, int fd)
{
    struct uring *u = loop->uring;

    if ((uint32_t)fd >= u->slot_count)
        return;
    u->slots[fd].events = 0;
    (void)epoll_ctl(loop->poll_fd, EPOLL_CTL_DEL, fd, NULL);
    if (u->slots[fd].is_armed && own(u) == 0 && u->slots[fd].is_armed) {
        disarm(u, (uint32_t)fd);
        (void)io_uring_submit_and_get_events(&u->ring);
    }
}

/* ------------------------------------------------------------------ life */

/* Say what to do about it. */
static int fail(struct mr_error *error, int number)
{
    const char *remedy = "it needs Linux 6.1";

    if (number != -ENOSYS && number != -EPERM && number != -EACCES && number != -EINVAL) {
        mr_loop_fail(error, "a loop's io_uring", -number);
        return number;
    }
    if (number != -EINVAL)
        remedy = "see the sysctl kernel.io_uring_disabled, and the seccomp filter of a container";
    if (error != NULL)
        snprintf(error->text, sizeof(error->text),
                 "io_uring is refused by the kernel (%s): %s; or use MR_LOOP_EPOLL",
                 strerror(-number), remedy);
    return -ENOSYS;
}

/* 0: both rings; -errno: none. */
static int open_rings(struct uring *u)
{
    int result = open_ring(&u->ring, IORING_SETUP_R_DISABLED);

    if (result < 0)
        return result;
    result = mr_uring_files_open(&u->files);
    if (result < 0)
        mr_uring_ring_close(&u->ring);
    return result;
}

static int open_fds(struct mr_loop *loop)
{
    struct uring *u = loop->uring;

    loop->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->poll_fd < 0)
        return -errno;
    return set(loop, u->files.ring.ring_fd, EPOLLIN, MR_LOOP_FILES_FD);
}

static void close_uring(struct mr_loop *loop)
{
    struct uring *u = loop->uring;

    mr_uring_files_close(loop, u->process == getpid());
    for (uint32_t fd = 0; fd < u->slot_count && u->owner == this_thread(); fd++) {
        if (u->slots[fd].is_armed)
            disarm(u, fd);
    }
    if (u->owner == this_thread()) /* closing the ring would let go of files later */
        (void)io_uring_submit_and_get_events(&u->ring);
    mr_uring_ring_close(&u->ring);
    free(u->slots);
    free(u->dirty);
    free(u);
    loop->uring = NULL;
}

static int open_uring(struct mr_loop *loop, struct mr_error *error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct uring *u = calloc(1, sizeof(*u));

    if (u == NULL)
        return -ENOMEM;
    (void)pthread_once(&once, watch_forks);
    u->process = getpid();
    int result = open_rings(u);
    if (result < 0) {
        free(u);
        return fail(error, result);
    }
    loop->uring = u;
    result = open_fds(loop);
    if (result < 0) {
        close_uring(loop);
        return fail(error, result);
    }
    return 0;
}

const struct mr_loop_waiter mr_loop_uring = {
    .open = open_uring,
    .close = close_uring,
    .enter = enter,
    .add = set,
    .change = set,
    .remove = remove_fd,
    .wait = wait_uring,
    .settle = settle,
    .file = mr_uring_file,
    .run_files = mr_uring_run_files,
};
