/*
 * examples/parting.h - what the programs say when their datapath lets go of them, and how they end.
 *
 *     the datapath ...                         a server says                status
 *     drains, and everything was finished      NAME: drained                0
 *     goes on, an operator has detached it     NAME: detached by ...        1
 *     is gone                                  NAME: the datapath is gone   1
 *
 * A client says the same when it has not got its answer by then, and that is never well.
 *
 * For C and C++.
 */
#ifndef EXAMPLES_PARTING_H
#define EXAMPLES_PARTING_H

#include <stdbool.h>
#include <stdio.h>

#include <millrace/ring.h>

/* `state` and `why`: of mr_attach_state() or mr_loop_state().  The status. */
static inline int part(const char *name, bool is_server, enum mr_datapath_state state,
                       const struct mr_error *why)
{
    bool is_drained = state == MR_DATAPATH_DRAINING || state == MR_DATAPATH_DRAINED;

    if (is_server && is_drained) {
        printf("%s: drained\n", name);
        return fflush(stdout) == 0 ? 0 : 1;
    }
    fprintf(stderr, "%s: %s\n", name, why->text);
    return 1;
}

#endif /* EXAMPLES_PARTING_H */
