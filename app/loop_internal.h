/*
 * app/loop_internal.h - what the parts of a loop share; see millrace/loop.h.
 *
 *     loop.c         a round: what is dispatched, in which order; waiting; life
 *     loop_queue.c   calls of other threads
 *     loop_timer.c   timers on base/wheel.h
 *     loop_watch.c   kernel descriptors
 *     loop_epoll.c   waiting for them, with epoll
 *     loop_uring.c   the same with io_uring, and files (loop_uring_none.c: without it)
 *     loop_work.c    the work pool
 *     loop_file.c    files, on the work pool or by the waiter
 *     loop_report.c  who took how long
 *     loop_attach.c  rings as a source (loop_attach_none.c: without them)
 *
 * What makes a round necessary is one of: an entry in the queue, completions of the source, a timer
 * or a deadline, a descriptor, a registration with work.  Each of them either is looked at in every
 * round, or ends the wait for descriptors.
 */
#ifndef MR_APP_LOOP_INTERNAL_H
#define MR_APP_LOOP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>

#include "app/events.h"
#include "app/work.h"
#include "base/pool.h"
#include "base/wheel.h"
#include "millrace/loop.h"

/* What a registration is driven by: the rings of an attachment, or a test's transport. */
struct mr_loop_source {
    void *context;
    uint32_t (*poll)(void *context);     /* drive; how much was done, 0: nothing is there */
    uint64_t (*deadline)(void *context); /* ns, poll then at the latest; UINT64_MAX: none */
    bool (*arm)(void *context);          /* true: `fd` becomes readable when there is something;
                                            false: something is there */
    void (*disarm)(void *context);
    bool (*is_alive)(void *context);
    enum mr_datapath_state (*state)(void *context, struct mr_error *why_out);
    void (*close)(void *context); /* on_stop of the registration, free */
    int fd;                       /* -1: none, it has to be polled */
};

#define MR_LOOP_BATCH_MAX 1024u

struct mr_loop_file;

/*
 * How a loop waits for descriptors: loop_epoll.c, loop_uring.c.  Called by the
 * thread that runs the loop, or while none does.  Level triggered; `data` comes back with the
 * events.
 */
struct mr_loop_waiter {
    /* Make what it takes, loop->poll_fd among it, which the loop closes.  0; -errno: not open. */
    int (*open)(struct mr_loop *loop, struct mr_error *error);
    void (*close)(struct mr_loop *loop);
    /* This thread is going to run the loop.  0; -errno: it cannot. */
    int (*enter)(struct mr_loop *loop);
    /* 0; -errno of epoll_ctl(2). */
    int (*add)(struct mr_loop *loop, int fd, uint32_t events, uint64_t data);
    /* The same of one that was added: it may be another file by now. */
    int (*change)(struct mr_loop *loop, int fd, uint32_t events, uint64_t data);
    void (*remove)(struct mr_loop *loop, int fd);
    /* Wait for `wait_ns` (0: look; MR_FOREVER).  How many, at most a batch; -errno. */
    int (*wait)(struct mr_loop *loop, struct epoll_event *events, uint64_t wait_ns);
    /* Someone else will wait for poll_fd: from now on it is readable when there is something. */
    void (*settle)(struct mr_loop *loop);
    /* Take a call for a file over.  Any thread.  0; -EAGAIN.  NULL: files go to the work pool. */
    int (*file)(struct mr_loop *loop, struct mr_loop_file *file);
    /* MR_LOOP_FILES_FD is ready.  How many calls were over. */
    uint32_t (*run_files)(struct mr_loop *loop);
};

struct mr_ring_transport_stats; /* app/transport_ring.h */

/* A round's place in time and in reports: struct mr_loop.run. */
struct run {
    uint64_t now;
    uint64_t lap;            /* end of the last handler */
    uint32_t handlers;       /* of this call */
    bool has_more;           /* a batch was full */
    bool is_stirred;         /* the registration was called: drive the source before sleeping */
    const void *function;    /* whose time it is, if not the handler's own; NULL */
    char name[MR_LOOP_NAME]; /* mr_loop_name_handler() */
};

struct timer {
    void (*handler)(void *context);
    void *context;
    uint32_t generation;
    bool is_set; /* not called or cancelled */
};

struct watch {
    void (*handler)(void *context, uint32_t events);
    void *context;
    uint32_t events; /* 0: not watched */
    uint32_t generation;
};

/* Calls of other threads, in order. */
struct queue {
    pthread_mutex_t mutex;
    struct mr_loop_entry *first;
    struct mr_loop_entry *last;
    struct post *spare; /* posts to be used again */
    uint32_t spare_count;
};

struct timers {
    struct mr_wheel wheel;
    struct mr_wheel_node *nodes;
    struct mr_pool pool;
    void *pool_mem;
};

struct watches {
    struct watch *watch; /* index: descriptor */
    uint32_t count;
};

struct mr_loop {
    struct mr_loop_config config;
    struct mr_registration *registration;
    struct mr_loop_source source;
    bool has_source;
    bool is_armed;                     /* the source is */
    bool is_fd_used;                   /* mr_loop_fd() was called: something else waits for it */
    bool is_gone_due;                  /* -ENOTCONN is to be returned */
    enum mr_datapath_state last_state; /* of the source that there was, */
    struct mr_error last_why;
    bool is_freeing;
    const struct mr_loop_waiter *waiter;
    struct uring *uring;
    int poll_fd; /* what others wait for; the waiter's */
    int wake_fd;
    int timer_fd;
    uint64_t timer_fd_at;         /* what timer_fd is set to; UINT64_MAX: not set */
    _Atomic bool is_woken;        /* wake_fd is readable, or will be */
    _Atomic bool is_stopping;     /* mr_loop_stop() */
    _Atomic(const void *) runner; /* the thread that runs it now */
    const void *told_thread;      /* that was moved to the ideal processor */
    struct run run;
    struct queue queue;
    struct timers timers;
    struct watches watches;
    pthread_mutex_t work_mutex; /* of `offload` being made */
    struct mr_offload *offload;
    _Atomic uint32_t work_out;
    struct mr_loop_stats stats;
    void *sockets;                       /* those of millrace/socket.h; NULL: none yet */
    void (*sockets_gone)(void *sockets); /* every object has its last event */
    uint64_t stall_line_at;              /* the last line on standard error */
};

/* Round a source's or a timer's work off: `function`'s name is made only if it stalled. */
void mr_loop_called(struct mr_loop *loop, const char *kind, const void *function);
uint64_t mr_loop_clock(void);

/* ---- loop.c ---- */

/* Drive the registration by `source`, which is copied, from now on. */
void mr_loop_plug(struct mr_loop *loop, const struct mr_loop_source *source);
/* Make a registration, if there is none. */
int mr_loop_open_registration(struct mr_loop *loop);
void mr_loop_fail(struct mr_error *error, const char *what, int number);

/* ---- loop_queue.c ---- */

void mr_loop_queue_new(struct mr_loop *loop);
void mr_loop_queue_free(struct mr_loop *loop);
void mr_loop_wake(void *loop); /* any thread */
/* struct mr_events_host.wake: the same, without a system call inside a round. */
void mr_loop_stir(void *loop);
/* Call what is there, at most a batch. */
void mr_loop_run_queue(struct mr_loop *loop);
bool mr_loop_has_queue(struct mr_loop *loop);

/* ---- loop_timer.c ---- */

int mr_loop_timers_new(struct mr_loop *loop);
void mr_loop_timers_free(struct mr_loop *loop);
void mr_loop_run_timers(struct mr_loop *loop);
/* Make the descriptor readable when the next deadline comes, if anyone waits for it. */
void mr_loop_set_timer_fd(struct mr_loop *loop);
/* ns; UINT64_MAX: none. */
uint64_t mr_loop_deadline(const struct mr_loop *loop);

/* ---- loop_watch.c ---- */

/* `data` of descriptors that are ours. */
#define MR_LOOP_OWN_FD    (UINT64_C(1) << 63)
#define MR_LOOP_WAKE_FD   (MR_LOOP_OWN_FD + 1)
#define MR_LOOP_TIMER_FD  (MR_LOOP_OWN_FD + 2)
#define MR_LOOP_SOURCE_FD (MR_LOOP_OWN_FD + 3)
#define MR_LOOP_FILES_FD  (MR_LOOP_OWN_FD + 4)

void mr_loop_watches_free(struct mr_loop *loop);
/* A descriptor of the application's has events. */
void mr_loop_run_watch(struct mr_loop *loop, uint64_t data, uint32_t events);

/* ---- loop_epoll.c ---- */

extern const struct mr_loop_waiter mr_loop_epoll;

/* ---- loop_uring.c ---- */

extern const struct mr_loop_waiter mr_loop_uring;

/* ---- loop_work.c ---- */

/* mr_loop_work(); `drop` is called instead of `done` when the loop is freed; NULL: nothing is. */
int mr_loop_work_or_drop(struct mr_loop *loop, int64_t (*function)(void *argument),
                         void (*done)(void *argument, int64_t result), void (*drop)(void *argument),
                         void *argument);
/* Wait for work that runs.  From now on what is done is not told. */
void mr_loop_work_end(struct mr_loop *loop);
/* The loop is freed, and this was still queued.  False: it is not work. */
bool mr_loop_drop_work(struct mr_loop_entry *entry);

/* ---- loop_file.c ---- */

enum mr_loop_file_kind {
    MR_LOOP_FILE_OPEN,
    MR_LOOP_FILE_PREAD,
    MR_LOOP_FILE_PWRITE,
    MR_LOOP_FILE_FSYNC
};

/* A call of mr_loop_open(), ... that is out. */
struct mr_loop_file {
    struct mr_loop *loop;
    enum mr_loop_file_kind kind;
    int fd;
    char *path; /* ours */
    int flags;
    int mode;
    void *buffer;      /* of PREAD */
    const void *bytes; /* of PWRITE */
    size_t size;
    uint64_t offset;
    void (*done)(void *context, int64_t result);
    void *context;
    int64_t result;

    /* loop_uring_file.c */
    struct mr_loop_file *next;
    size_t had;     /* bytes that were read at once */
    bool must_wait; /* the rest is to come from the disk */
};

/* Free it and tell its result, in the loop. */
void mr_loop_file_tell(struct mr_loop_file *file);
/* Free it and tell nobody: the loop is being freed.  A file that was opened is closed. */
void mr_loop_file_drop(void *file);

/* ---- loop_report.c ---- */

void mr_loop_set_ideal_cpu(struct mr_loop *loop, const void *thread);
/* struct mr_events_host.took and .clock */
void mr_loop_event_took(void *loop, const char *name, uint64_t ns);
uint64_t mr_loop_event_clock(void *loop);

/* ---- loop_attach.c ---- */

/* Attach, and drive the loop's registration by that. */
int mr_loop_attach(struct mr_loop *loop, const struct mr_attach_config *config,
                   struct mr_error *error);
/* The same with an attachment that is there, which becomes the loop's; detached, if it fails. */
int mr_loop_adopt(struct mr_loop *loop, struct mr_attachment *attachment);
/* What its transport has counted; NULL: it is not attached any more. */
const struct mr_ring_transport_stats *mr_loop_transport_stats(const struct mr_loop *loop);
/* struct mr_events_host.listen */
int mr_loop_listen(void *loop, const char *name, bool is_on);

#endif /* MR_APP_LOOP_INTERNAL_H */
