/*
 * millrace/loop.h - an execution context: one thread's event loop over rings, timers, kernel
 * descriptors, work and calls from other threads.
 *
 *     rings of an attachment ---+
 *     kernel descriptors -------+--> mr_loop_run_once() --> handlers, on the caller's thread
 *     timers -------------------+
 *     calls of other threads ---+
 *     work that is done --------+
 *
 * No thread of millrace exists unless the application asks for one: a loop runs where
 * mr_loop_run_once() is called, and its work pool has the threads it was given, 0 allowed.  The
 * event queue that waits is the loop's own, an epoll or an io_uring, or the application's:
 * mr_loop_fd() can be put into any poll, select or epoll, and mr_exec_poll() says how long that may
 * wait.
 *
 * Descriptors that epoll refuses, regular files among them, are always ready for the kernel and
 * cannot be watched (-EPERM): what they may make wait for is a disk, and goes to the work pool or
 * to io_uring (mr_loop_pread(), ...).
 *
 * After fork() a loop is the parent's: the child makes its own.
 *
 * Owner: the application.  Threads: one at a time runs a loop; timers, descriptors and the rest are
 * called on it, or while none runs it; functions that say so may be called from any thread.
 * Handlers return soon: while one runs, nothing else does, the protocol's acknowledgements of an
 * inline registration included.  One that takes longer than `stall_ns` is counted and reported by
 * its name: that of mr_ev_set_name() or mr_loop_name_handler(), else its function's, or
 * "timer program+0x12f" for addr2line(1).
 */
#ifndef MILLRACE_LOOP_H
#define MILLRACE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "millrace/error.h"
#include "millrace/ring.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mr_loop;
struct mr_registration; /* millrace/events.h */

#define MR_FOREVER   UINT64_MAX

#define MR_LOOP_NAME 48 /* bytes of a handler's name in reports, NUL included */

/* How a loop waits for descriptors, and who does the calls for files: docs/loop.md compares. */
enum mr_loop_backend {
    MR_LOOP_EPOLL, /* epoll; files on the work pool */
    MR_LOOP_URING  /* io_uring for both: Linux 6.1, where the library was built with liburing */
};

/* {0}: defaults. */
struct mr_loop_config {
    struct mr_attach_config attach;
    bool is_detached;      /* no datapath: only descriptors, timers, posts and work */
    uint32_t objects_max;  /* connections, streams and listeners; 0: 65,536 */
    uint32_t timers_max;   /* 0: 65,536 */
    uint32_t work_threads; /* 0: 2, when the first work is given; at most 64 */
    uint32_t batch;        /* completions per round; 0: 64 */
    uint64_t stall_ns;     /* a handler that takes longer is reported; 0: 20 ms */
    uint64_t spin_ns;      /* polling idle timeout: look again so long before sleeping */
    int cpu;               /* ideal processor + 1: a thread that begins to run the loop is moved
                              there; 0: none */
    enum mr_loop_backend backend;
    /* Who is told of a stall; NULL: a line on standard error, once a second at most. */
    void (*on_stall)(void *context, const char *name, uint64_t took_ns);
    void *stall_context;
};

/* Make a loop, attached as `config` (NULL: {0}) says.  0; -ENOMEM, -EMFILE, ...; as mr_attach();
 * -ENOSYS, -ENOTSUP: the kernel, this library has no io_uring, `error` says what to do. */
int mr_loop_new(const struct mr_loop_config *config, struct mr_loop **loop_out,
                struct mr_error *error);

/*
 * Close what is open, run what that causes for at most a second, wait for work that has begun,
 * free. No handler is called afterwards: not that of work or posts that are left.  Not inside of
 * the loop's own handlers.  NULL: no effect.
 */
void mr_loop_free(struct mr_loop *loop);

/* ------------------------------------------------------------------ running */

/* Dispatch what is there; when nothing is, wait at most `timeout_ns`, and dispatch.  Returns how
 * many handlers were called; -EINTR; -ENOTCONN once, when the datapath is gone; -EBUSY: it runs
 * already, here or on another thread; with MR_LOOP_URING -ECHILD: it is the parent process's,
 * -ENOMEM, -EMFILE: this thread cannot take it over from another. */
int mr_loop_run_once(struct mr_loop *loop, uint64_t timeout_ns);

/* Run until mr_loop_stop().  0; -ENOTCONN: the datapath is gone; -EBUSY, ... */
int mr_loop_run(struct mr_loop *loop);

/* Let mr_loop_run() return after its round; called before it, the next one.  Any thread. */
void mr_loop_stop(struct mr_loop *loop);

/*
 * Run what is there, at most a batch, without waiting; for applications with an event queue of
 * their own.  Returns ns until the next call is due at the latest: 0: at once, more is there;
 * MR_FOREVER: only when mr_loop_fd() is readable.  Between two calls the descriptor becomes
 * readable as soon as there is something, timers included, once mr_loop_fd() was called.  That the
 * datapath is gone objects are told, and mr_loop_is_attached() tells.
 */
uint64_t mr_exec_poll(struct mr_loop *loop);

/* Readable when mr_loop_run_once() has something to do; for poll, select, epoll.  It is only to be
 * waited for; from the first call on the loop keeps a timer in it, a system call per new deadline.
 */
int mr_loop_fd(struct mr_loop *loop);

/* False once the datapath is gone, until mr_loop_reattach(); also of a loop that is detached. */
bool mr_loop_is_attached(const struct mr_loop *loop);

/* How the loop stands with its datapath, or stood at the end, and why in words (NULL: not wanted).
 * A loop that is detached: MR_DATAPATH_GONE.  Costs system calls. */
enum mr_datapath_state mr_loop_state(const struct mr_loop *loop, struct mr_error *why_out);

/* True on the thread that runs the loop now. */
bool mr_loop_is_inside(const struct mr_loop *loop);

/* Time of this round: ns, monotonic. */
uint64_t mr_loop_now(const struct mr_loop *loop);

/* Attach again after -ENOTCONN, with `patience_ns` to wait for a new datapath.  Objects of the old
 * one are gone by then: their last event was told. */
int mr_loop_reattach(struct mr_loop *loop, uint64_t patience_ns, struct mr_error *error);

/* ------------------------------------------------------------------ calls, timers, descriptors */

/* Call function(argument) in the loop, behind what was posted before: never inside this call.  Any
 * thread.  0; -ENOMEM. */
int mr_loop_post(struct mr_loop *loop, void (*function)(void *argument), void *argument);

/* An entry of the application's own in the loop's queue: posted by address, no allocation; the
 * application's again when its handler is called.  It has one place in one queue: posting it again
 * before is an error. */
struct mr_loop_entry {
    void (*handler)(struct mr_loop_entry *entry);
    struct mr_loop_entry *next; /* the loop's while it is queued */
};

/* Call entry->handler(entry) in the loop, behind what was posted before.  Any thread. */
void mr_loop_post_entry(struct mr_loop *loop, struct mr_loop_entry *entry);

/* A timer: 0 is none. */
typedef uint64_t mr_timer;

/* Call handler(context) once, `delay_ns` from now or a little later: 65.5 us, when the loop keeps
 * up. 0: none is free. */
mr_timer mr_loop_timer(struct mr_loop *loop, uint64_t delay_ns, void (*handler)(void *context),
                       void *context);

/* Take a timer back.  True: it will not be called any more; false: it was called already. */
bool mr_loop_cancel(struct mr_loop *loop, mr_timer timer);

/* Watch a kernel descriptor: handler(context, events) with POLLIN, POLLOUT, ... as of poll(2),
 * level triggered.  Again for the same descriptor: changes it; events 0: ends it.  End it before
 * you close the descriptor: with MR_LOOP_URING the file stays open until then.  0; -errno of
 * epoll_ctl; -EPERM: what cannot be watched, a regular file. */
int mr_loop_watch(struct mr_loop *loop, int fd, uint32_t events,
                  void (*handler)(void *context, uint32_t events), void *context);

/* ------------------------------------------------------------------ work */

/* Run function(argument) on a thread of the pool, then done(argument, result) in the loop.  Any
 * thread.  0; -EAGAIN: 4,096 wait for a thread; -ENOMEM: no memory, or no threads; -EINVAL:
 * `function` or `done` is NULL. */
int mr_loop_work(struct mr_loop *loop, int64_t (*function)(void *argument),
                 void (*done)(void *argument, int64_t result), void *argument);

/* Files, which cannot be polled: the same calls as work, or by io_uring.  `result` as of the system
 * call, or -errno. */
int mr_loop_open(struct mr_loop *loop, const char *path, int flags, int mode,
                 void (*done)(void *context, int64_t result), void *context);
int mr_loop_pread(struct mr_loop *loop, int fd, void *buffer, size_t size, uint64_t offset,
                  void (*done)(void *context, int64_t result), void *context);
int mr_loop_pwrite(struct mr_loop *loop, int fd, const void *buffer, size_t size, uint64_t offset,
                   void (*done)(void *context, int64_t result), void *context);
int mr_loop_fsync(struct mr_loop *loop, int fd, void (*done)(void *context, int64_t result),
                  void *context);

/* ------------------------------------------------------------------ objects and figures */

/* The connections and streams of this loop (millrace/events.h); NULL: it is detached. */
struct mr_registration *mr_loop_registration(struct mr_loop *loop);

struct mr_loop_stats {
    uint64_t rounds;
    uint64_t sleeps;
    uint64_t handlers;
    uint64_t stalls;
    uint64_t longest_stall_ns;
    char longest_stall_name[MR_LOOP_NAME];
};

/* Copy the loop's counters.  On the loop's thread. */
void mr_loop_stats_get(const struct mr_loop *loop, struct mr_loop_stats *stats_out);

/* Name the handler that calls, should it be reported; `name` is copied. */
void mr_loop_name_handler(struct mr_loop *loop, const char *name);

#ifdef __cplusplus
}
#endif

#endif /* MILLRACE_LOOP_H */
