/*
 * tools/model_task.h - what the models of model.h share: how they attach, and what they tell the
 * bench.
 *
 * Apart from model.h, because millrace/error.h and quic/error.h cannot be in one file.
 * Included by C++ as well.
 * Owner: the model.  Threads: any of its own.
 */
#ifndef MR_TOOLS_MODEL_TASK_H
#define MR_TOOLS_MODEL_TASK_H

#include "millrace/ring.h"
#include "tools/model.h"

#ifdef __cplusplus
extern "C" {
#endif

struct mr_attach_config mr_model_attach_config(const struct mr_bench_task *task);

/* It is attached, and listens. */
void mr_model_ready(struct mr_bench_task *task);

/* So many bytes more were copied on their way to the application, and on their way from it.  Any
 * thread of the application. */
void mr_model_note(struct mr_bench_task *task, uint64_t copied_in, uint64_t copied_out);

/* Why it cannot go on.  Returns -1. */
int mr_model_fail(struct mr_bench_task *task, const char *why);

#ifdef __cplusplus
}
#endif

#endif /* MR_TOOLS_MODEL_TASK_H */
