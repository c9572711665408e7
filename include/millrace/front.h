/*
 * millrace/front.h - many threads on one attachment: a completion port.
 *
 *     thread --mr_front_wait()--+              +-- ring
 *     thread --mr_front_wait()--+--> front ----+-- ring
 *     thread --mr_front_submit()+   (a mutex)  +-- ring
 *
 * Rings are for one thread at a time; a front lets any number take their completions, one each, and
 * submit.  One waiter at most sleeps on the attachment's descriptor, for all; each completion wakes
 * at most one thread for itself and one that waits in its place.
 *
 * What comes about a connection comes in order and to one thread at a time: a completion belongs to
 * the seat that took it until the seat waits again or leaves, and others about the same connection
 * are held back until then.  So a handler needs no lock for a connection's state; what several
 * connections share does.
 *
 * Owner: the application, for fronts until mr_front_free(), and for seats, one per thread that
 * waits.  The attachment and its rings are the front's meanwhile: of millrace/ring.h only
 * mr_ring_data(), mr_ring_offset(), mr_ring_shard() and mr_attach_listener() may be called beside.
 * Threads: any, for everything but mr_front_new() and mr_front_free().
 * Limits: MR_FRONT_SEATS threads that hold a completion; MR_FRONT_QUEUE completions taken and not
 * handed out: more stay in their rings.
 */
#ifndef MILLRACE_FRONT_H
#define MILLRACE_FRONT_H

#include <stdint.h>

#include "millrace/ring.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MR_FRONT_SEATS 64
#define MR_FRONT_QUEUE 1024

struct mr_front;

/* A thread's place, {0} at first; the fields are the front's. */
struct mr_front_seat {
    struct mr_ring *ring; /* of `conn` */
    uint64_t conn;        /* what it holds; 0: nothing */
    uint32_t place;       /* + 1 among those who hold; 0: none */
};

/* Make a front of an attachment.  0; -ENOMEM; -errno of a descriptor: -EMFILE. */
int mr_front_new(struct mr_attachment *attachment, struct mr_front **front_out,
                 struct mr_error *error);

/* End it: nobody waits or holds a completion any more.  What was taken and not handed out is lost;
 * the attachment is the caller's again.  NULL is allowed. */
void mr_front_free(struct mr_front *front);

/*
 * Give back what the seat holds, then take a completion; wait at most `timeout_ns` (UINT64_MAX: for
 * ever).  `ring_out`: whose it is; NULL: it was posted.  1; 0: none until then; -ENOTCONN: the
 * datapath is gone, and nothing is left; -ECANCELED: mr_front_stop(); -EINTR: a signal;
 * -EAGAIN: MR_FRONT_SEATS hold one.
 */
int mr_front_wait(struct mr_front *front, struct mr_front_seat *seat, struct mr_cqe *cqe_out,
                  struct mr_ring **ring_out, uint64_t timeout_ns);

/* Give back what the seat holds, and take nothing. */
void mr_front_leave(struct mr_front *front, struct mr_front_seat *seat);

/* Hand `count` submissions to a ring, none between them.  All or none: 0; -EAGAIN: the queue has no
 * room for them now. */
int mr_front_submit(struct mr_front *front, struct mr_ring *ring, const struct mr_sqe *sqes,
                    uint32_t count);

/* As mr_ring_alloc() and mr_ring_free(). */
void *mr_front_alloc(struct mr_front *front, struct mr_ring *ring, size_t size);
void mr_front_give(struct mr_front *front, struct mr_ring *ring, void *memory);

/* Put a completion of the application's own behind the others: MR_CQE_DONE of MR_OP_NOP with this
 * user_data.  0; -EAGAIN: MR_FRONT_QUEUE are there. */
int mr_front_post(struct mr_front *front, uint64_t user_data);

/* Let every wait, from now on, return -ECANCELED. */
void mr_front_stop(struct mr_front *front);

struct mr_front_stats {
    uint64_t taken;  /* completions handed out */
    uint64_t sleeps; /* times that a thread slept */
    uint64_t vain;   /* of these, woken and found nothing, nor a sleeper's place to take */
};

/* Copy the counters. */
void mr_front_stats_get(struct mr_front *front, struct mr_front_stats *stats_out);

#ifdef __cplusplus
}
#endif

#endif /* MILLRACE_FRONT_H */
