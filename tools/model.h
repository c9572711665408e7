/*
 * tools/model.h - one server in each I/O model: it sends back what every stream brings.
 *
 *     rings         entries in, entries out
 *     events        a handler for each object, on a loop's thread
 *     own           the same handlers; the application's own epoll waits (mr_exec_poll())
 *     readiness     non-blocking sockets and an interest set
 *     fibers        a fiber for each connection, blocking calls that switch
 *     coroutines    C++20 tasks
 *     blocking      a thread, and a loop, for each connection
 *
 * They are as an application would write them (examples/ has them for readers), in a process of
 * their own (bench_attached.h), and end when the datapath lets go of them.  The first model, inline
 * on the lcore, is an application of the shard: mr_model_inline.
 *
 * Included by C++ as well; model_task.h is for the models themselves.
 * Owner: the bench.  Threads: the application's.
 */
#ifndef MR_TOOLS_MODEL_H
#define MR_TOOLS_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "millrace/transport.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MR_MODEL_LISTENER "bench"
#define MR_MODEL_THREADS  16 /* most of the blocking model: as many as a shard has rings */

struct mr_bench_task;

/* What a model is told; `config` of all below. */
struct mr_model_config {
    uint32_t connections;
};

/* As mr_bench_task_function: 0, or not with the reason in the task. */
int mr_model_rings(struct mr_bench_task *task, void *config);
int mr_model_events(struct mr_bench_task *task, void *config);
int mr_model_own(struct mr_bench_task *task, void *config);
int mr_model_readiness(struct mr_bench_task *task, void *config);
int mr_model_fibers(struct mr_bench_task *task, void *config);
int mr_model_blocking(struct mr_bench_task *task, void *config);
int mr_model_coroutines(struct mr_bench_task *task, void *config);

/* Was the last one compiled?  It takes a C++20 compiler. */
bool mr_model_has_coroutines(void);

/* A server of the first kind. */
struct mr_model_inline {
    struct mr_application application;
    struct mr_transport *transport;
    uint64_t bytes_copied; /* by the transport, as it was asked to */
};

void mr_model_inline_init(struct mr_model_inline *model);

#ifdef __cplusplus
}
#endif

#endif /* MR_TOOLS_MODEL_H */
