/*
 * examples/echo_loop.h - what the echoes on a loop (millrace/loop.h) begin with: an attachment with
 * a loop around it.
 */
#ifndef EXAMPLES_ECHO_LOOP_H
#define EXAMPLES_ECHO_LOOP_H

#include <millrace/loop.h>

#include "examples/echo.h"

/* NULL: it said why. */
static inline struct mr_loop *echo_loop_new(const struct echo_task *task)
{
    struct mr_loop_config config = {.attach = echo_attach(task)};
    struct mr_loop *loop;
    struct mr_error error;

    if (mr_loop_new(&config, &loop, &error) != 0)
        (void)echo_fail(error.text);
    return loop;
}

/* As echo_end(), of a program with one loop. */
static inline int echo_loop_end(const struct echo_task *task, bool is_answered,
                                const struct echo_loss *loss, const struct mr_loop *loop)
{
    struct mr_error why;
    enum mr_datapath_state state = mr_loop_state(loop, &why);

    return echo_end(task, is_answered, loss, state, &why);
}

/* As echo_main(); `run` gets a loop, too. */
static inline int echo_main_with_loop(int argc, char **argv,
                                      int (*run)(const struct echo_task *task,
                                                 struct mr_loop *loop))
{
    struct echo_task task = {0};
    int status = echo_read_task(argc, argv, &task);

    if (status == 0) {
        struct mr_loop *loop = echo_loop_new(&task);
        status = loop == NULL ? 1 : run(&task, loop);
        mr_loop_free(loop);
    }
    echo_free_task(&task);
    return status;
}

#endif /* EXAMPLES_ECHO_LOOP_H */
