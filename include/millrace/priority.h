/*
 * millrace/priority.h - which streams of a connection send first.
 *
 * Owner: whoever fills it.  Threads: any.
 */
#ifndef MILLRACE_PRIORITY_H
#define MILLRACE_PRIORITY_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Which streams of a connection send first (RFC 9218, Section 4).  Those of the lowest urgency that
 * has something to send are served alone: incremental ones take turns, the others go one after the
 * other, in the order of their IDs; where there are both, every other turn is of either kind.
 * Nothing of it goes over the wire.
 */
struct mr_priority {
    uint8_t urgency; /* < MR_URGENCIES, 0: first */
    bool is_incremental;
};

enum {
    MR_URGENCIES = 8,
    MR_URGENCY_DEFAULT = 3 /* of a stream that was given no priority, which is incremental */
};

#ifdef __cplusplus
}
#endif
#endif /* MILLRACE_PRIORITY_H */
