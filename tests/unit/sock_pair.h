/* tests/unit/sock_pair.h - both ends of one stream over sock_world, for tests of millrace/socket.h:
 * one thread, virtual time. */
#ifndef MR_TESTS_UNIT_SOCK_PAIR_H
#define MR_TESTS_UNIT_SOCK_PAIR_H

#include "tests/support/sock_world.h"

static struct mr_sock *ours, *theirs;

static inline void open_pair(void)
{
    world_connect(1);
    world_stream(&ours, &theirs);
}

static inline void drop(struct mr_sock **sock)
{
    if (*sock != NULL)
        mr_sock_close(*sock, 0);
    *sock = NULL;
}

static inline void close_pair(void)
{
    drop(&ours);
    drop(&theirs);
    world_end();
}

#endif /* MR_TESTS_UNIT_SOCK_PAIR_H */
