/*
 * app/front.c - see millrace/front.h.
 *
 * Everything is done under the mutex but sleeping.  Whoever finds nothing sleeps: the first as the
 * lookout, on the attachment's descriptors and an eventfd; the others on the condition.  The
 * lookout that gets a completion wakes one of them, who takes its place or a completion; a wait
 * that leaves something takeable behind wakes one more.  So wake-ups are a chain, one thread each.
 */
#include "millrace/front.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "app/attach_internal.h"
#include "base/compiler.h"

#define NS_PER_S UINT64_C(1000000000)

/* A completion that nobody has. */
struct waiting {
    struct mr_cqe cqe;
    struct mr_ring *ring; /* NULL: posted */
};

/* What a seat holds. */
struct held {
    const struct mr_ring *ring;
    uint64_t conn; /* 0: the place is free */
};

struct mr_front {
    struct mr_attachment *attachment;
    pthread_mutex_t mutex;
    pthread_cond_t condition; /* of CLOCK_MONOTONIC */
    int event_fd;             /* wakes the lookout */
    bool is_stopping;
    bool has_lookout;  /* somebody sleeps on the descriptors */
    uint32_t sleepers; /* on the condition, and not told to wake */
    uint32_t told;     /* to wake, and have not yet */
    uint32_t next_ring;
    uint32_t count; /* of `queue`, oldest first */
    struct waiting queue[MR_FRONT_QUEUE];
    uint32_t held_count; /* places below are looked at */
    struct held held[MR_FRONT_SEATS];
    struct mr_front_stats stats;
};

static uint64_t clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static struct timespec time_of(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
}

static void lock(struct mr_front *f)
{
    pthread_mutex_lock(&f->mutex);
}

static void unlock(struct mr_front *f)
{
    pthread_mutex_unlock(&f->mutex);
}

/* ------------------------------------------------------------------ life */

int mr_front_new(struct mr_attachment *attachment, struct mr_front **front_out,
                 struct mr_error *error)
{
    struct mr_front *f = calloc(1, sizeof(*f));
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int result = f == NULL ? -ENOMEM : fd < 0 ? -errno : 0;
    pthread_condattr_t attributes;

    *front_out = NULL;
    if (result < 0) {
        if (error != NULL)
            snprintf(error->text, sizeof(error->text), "a front: %s", strerror(-result));
        if (fd >= 0)
            close(fd);
        free(f);
        return result;
    }
    f->attachment = attachment;
    f->event_fd = fd;
    pthread_mutex_init(&f->mutex, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&f->condition, &attributes);
    pthread_condattr_destroy(&attributes);
    *front_out = f;
    return 0;
}

void mr_front_free(struct mr_front *f)
{
    if (f == NULL)
        return;
    close(f->event_fd);
    pthread_cond_destroy(&f->condition);
    pthread_mutex_destroy(&f->mutex);
    free(f);
}

/* ------------------------------------------------------------------ who holds what */

static bool is_held(const struct mr_front *f, const struct waiting *w)
{
    for (uint32_t i = 0; w->cqe.conn != 0 && i < f->held_count; i++)
        if (f->held[i].conn == w->cqe.conn && f->held[i].ring == w->ring)
            return true;
    return false;
}

/* Find the seat a place.  False: all are taken. */
static bool take_place(struct mr_front *f, struct mr_front_seat *seat)
{
    for (uint32_t i = 0; i < MR_FRONT_SEATS; i++) {
        if (f->held[i].conn != 0)
            continue;
        seat->place = i + 1;
        f->held_count = MR_MAX(f->held_count, i + 1);
        return true;
    }
    return false;
}

static void give_back(struct mr_front *f, struct mr_front_seat *seat)
{
    if (seat->place > 0)
        f->held[seat->place - 1].conn = 0;
    while (f->held_count > 0 && f->held[f->held_count - 1].conn == 0)
        f->held_count--;
    *seat = (struct mr_front_seat){0};
}

/* The oldest that nobody's seat keeps others from; f->count: none. */
static uint32_t find(const struct mr_front *f)
{
    uint32_t i = 0;

    while (i < f->count && is_held(f, &f->queue[i]))
        i++;
    return i;
}

static void refill(struct mr_front *f)
{
    uint32_t rings = mr_attach_ring_count(f->attachment);

    for (uint32_t i = 0; i < rings && f->count < MR_FRONT_QUEUE; i++) {
        struct mr_ring *ring = mr_attach_ring(f->attachment, (f->next_ring + i) % rings);

        while (f->count < MR_FRONT_QUEUE && mr_ring_take(ring, &f->queue[f->count].cqe, 1) == 1)
            f->queue[f->count++].ring = ring;
    }
    f->next_ring = (f->next_ring + 1) % rings; /* none is served last for ever */
}

/* ------------------------------------------------------------------ waking */

/* Wake one who sleeps, if anyone does: on the condition rather than the lookout. */
static void wake_one(struct mr_front *f)
{
    const uint64_t one = 1;

    if (f->sleepers > 0) {
        f->sleepers--;
        f->told++;
        pthread_cond_signal(&f->condition);
    } else if (f->has_lookout && write(f->event_fd, &one, sizeof(one)) < 0) {
        return; /* the count is at its end: it is readable */
    }
}

/* Whoever leaves looks whether another has something to do: to take what is there, or to look out.
 */
static void pass_on(struct mr_front *f)
{
    if (find(f) < f->count || (f->sleepers > 0 && !f->has_lookout))
        wake_one(f);
}

/* Sleep until somebody says that there is something, or the deadline. */
static void sleep_on(struct mr_front *f, uint64_t deadline)
{
    struct timespec end = time_of(deadline);

    f->sleepers++;
    f->stats.sleeps++;
    if (deadline == UINT64_MAX)
        pthread_cond_wait(&f->condition, &f->mutex);
    else
        pthread_cond_timedwait(&f->condition, &f->mutex, &end);
    if (f->told == 0) { /* nobody told us: the deadline, or another took our word */
        f->sleepers--;
        return;
    }
    f->told--;
    if (!f->is_stopping && f->has_lookout && find(f) == f->count)
        f->stats.vain++;
}

/* Sleep on the descriptors, for all.  -EINTR, else 0. */
static int look_out(struct mr_front *f, uint64_t deadline)
{
    struct pollfd fds[3] = {{.fd = f->attachment->wake_fd, .events = POLLIN},
                            {.fd = f->attachment->control_fd},
                            {.fd = f->event_fd, .events = POLLIN}};
    uint64_t now = clock_ns();
    struct timespec left = time_of(deadline > now ? deadline - now : 0);
    uint64_t ignored;

    if (!mr_attach_arm(f->attachment)) { /* something came, or it is gone */
        if (f->count == MR_FRONT_QUEUE || (f->count > 0 && !mr_attach_is_alive(f->attachment)))
            sleep_on(f, deadline); /* only a seat that gives back what it holds helps */
        return 0;
    }
    f->has_lookout = true;
    f->stats.sleeps++;
    unlock(f);
    int ready = ppoll(fds, 3, deadline == UINT64_MAX ? NULL : &left, NULL);
    int error = ready < 0 ? -errno : 0;
    lock(f);
    f->has_lookout = false;
    mr_attach_disarm(f->attachment);
    if ((fds[2].revents & POLLIN) != 0 && read(f->event_fd, &ignored, sizeof(ignored)) < 0)
        return error;
    return error;
}

/* ------------------------------------------------------------------ taking */

/* Take what find() found. */
static void take(struct mr_front *f, uint32_t index, struct mr_front_seat *seat,
                 struct mr_cqe *cqe_out, struct mr_ring **ring_out)
{
    const struct waiting *w = &f->queue[index];

    *cqe_out = w->cqe;
    *ring_out = w->ring;
    if (w->cqe.conn != 0) {
        seat->ring = w->ring;
        seat->conn = w->cqe.conn;
        f->held[seat->place - 1] = (struct held){.ring = w->ring, .conn = w->cqe.conn};
    } else {
        seat->place = 0;
    }
    f->count--;
    memmove(&f->queue[index], &f->queue[index + 1], sizeof(*w) * (f->count - index));
    f->stats.taken++;
}

/* Once: 1; 0: nothing yet; -errno. */
static int try_take(struct mr_front *f, struct mr_front_seat *seat, struct mr_cqe *cqe_out,
                    struct mr_ring **ring_out)
{
    refill(f);
    uint32_t index = find(f);
    if (f->is_stopping)
        return -ECANCELED;
    if (index == f->count)
        return f->count == 0 && !mr_attach_is_alive(f->attachment) ? -ENOTCONN : 0;
    if (seat->place == 0 && !take_place(f, seat))
        return -EAGAIN;
    take(f, index, seat, cqe_out, ring_out);
    return 1;
}

int mr_front_wait(struct mr_front *f, struct mr_front_seat *seat, struct mr_cqe *cqe_out,
                  struct mr_ring **ring_out, uint64_t timeout_ns)
{
    uint64_t now = timeout_ns == UINT64_MAX ? 0 : clock_ns();
    uint64_t deadline = timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + timeout_ns;
    int error = 0;
    int result;

    lock(f);
    give_back(f, seat);
    while ((result = try_take(f, seat, cqe_out, ring_out)) == 0 && error == 0) {
        if (deadline != UINT64_MAX && clock_ns() >= deadline)
            break;
        if (f->has_lookout || f->told > 0) /* who was told comes to look out */
            sleep_on(f, deadline);
        else
            error = look_out(f, deadline);
    }
    if (result < 0)
        wake_one(f); /* it is the same for all */
    else
        pass_on(f);
    unlock(f);
    return result == 0 ? error : result;
}

void mr_front_leave(struct mr_front *f, struct mr_front_seat *seat)
{
    lock(f);
    give_back(f, seat);
    pass_on(f);
    unlock(f);
}

/* ------------------------------------------------------------------ giving */

int mr_front_submit(struct mr_front *f, struct mr_ring *ring, const struct mr_sqe *sqes,
                    uint32_t count)
{
    int result = 0;

    lock(f);
    if (mr_outbox_room(&ring->submissions, count) < count)
        result = -EAGAIN;
    for (uint32_t i = 0; result == 0 && i < count; i++)
        *mr_ring_sqe(ring) = sqes[i];
    mr_ring_submit(ring);
    unlock(f);
    return result;
}

void *mr_front_alloc(struct mr_front *f, struct mr_ring *ring, size_t size)
{
    lock(f);
    void *memory = mr_ring_alloc(ring, size);
    unlock(f);
    return memory;
}

void mr_front_give(struct mr_front *f, struct mr_ring *ring, void *memory)
{
    lock(f);
    mr_ring_free(ring, memory);
    unlock(f);
}

int mr_front_post(struct mr_front *f, uint64_t user_data)
{
    int result = -EAGAIN;

    lock(f);
    if (f->count < MR_FRONT_QUEUE) {
        f->queue[f->count++] =
            (struct waiting){.cqe = {.type = MR_CQE_DONE, .op = MR_OP_NOP, .user_data = user_data}};
        wake_one(f);
        result = 0;
    }
    unlock(f);
    return result;
}

void mr_front_stop(struct mr_front *f)
{
    lock(f);
    f->is_stopping = true;
    wake_one(f); /* who wakes the next */
    unlock(f);
}

void mr_front_stats_get(struct mr_front *f, struct mr_front_stats *stats_out)
{
    lock(f);
    *stats_out = f->stats;
    unlock(f);
}
