/* tools/model_coro_none.c - see model.h: in place of model_coro.cpp, where no compiler knows C++20.
 */
#include "tools/model_task.h"

bool mr_model_has_coroutines(void)
{
    return false;
}

int mr_model_coroutines(struct mr_bench_task *task, void *config)
{
    (void)config;
    return mr_model_fail(task, "this program was built without a C++20 compiler");
}
