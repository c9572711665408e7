/*
 * tools/model_loop.h - a loop for the models that stand on one: attached as the task says; tells
 * the bench, ten times a second, what its transport has copied.
 *
 * Owner: the model.  Threads: the loop's.
 */
#ifndef MR_TOOLS_MODEL_LOOP_H
#define MR_TOOLS_MODEL_LOOP_H

#include "millrace/loop.h"
#include "tools/model_task.h"

struct mr_model_loop {
    struct mr_loop *loop;
    struct mr_bench_task *task;
    uint64_t told;    /* bytes copied by the transport that were told */
    uint64_t read;    /* bytes copied by calls that read, not told yet */
    uint64_t written; /* and that write */
};

/* `how` NULL: as the task says; else it is a loop for one connection.  False, with the reason in
 * the task. */
bool mr_model_loop_begin(struct mr_model_loop *m, struct mr_bench_task *task,
                         const struct mr_attach_config *how);
void mr_model_loop_end(struct mr_model_loop *m);

#endif /* MR_TOOLS_MODEL_LOOP_H */
