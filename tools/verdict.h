/*
 * tools/verdict.h - whether what was measured is a result: if not, one line says why.
 *
 * Threads: none of its own.
 */
#ifndef MR_TOOLS_VERDICT_H
#define MR_TOOLS_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

struct mr_verdict {
    const char *command; /* "bench" */
    bool was_told;       /* that it is none has been said already */
    const char *missing; /* what has not happened once, like "request"; NULL: nothing is missing */
    double seconds;      /* that were measured */
    uint64_t failed;     /* connections or requests */
    const char *failure; /* in words, why the last did; "": not known */
    uint64_t bad_bytes;  /* that arrived changed */
    uint64_t lost_mbufs; /* that did not come back */
};

/* Say the first reason for which it is no result, on standard error.  The exit status. */
int mr_verdict_give(const struct mr_verdict *v);

#endif /* MR_TOOLS_VERDICT_H */
