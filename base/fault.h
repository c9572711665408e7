/*
 * base/fault.h - why a start-up step, a command or a tool failed, in words for the user.
 *
 * A function of the slow path that can fail takes a `struct mr_fault *` as its last
 * parameter and returns -errno; the fault says what went wrong, in one line of the form
 *
 *     what: cause; remedy
 *     port tap:mr0: cannot open /dev/net/tun: Operation not permitted; run as root
 *
 * The function that finds the cause sets it, callers put their context in front:
 *
 *     if (fd < 0)
 *         return mr_fault_set(fault, errno, "cannot open %s: %s; run as root", path,
 * strerror(errno));
 *     ...
 *     if (result != 0)
 *         return mr_fault_add_context(fault, result, "port %s", name);
 *
 * Owner: the caller, on its stack.  Threads: the owner's.  Never on an lcore.
 * Limit: MR_FAULT_SIZE bytes; of longer text, "..." replaces the middle, so that the remedy stays.
 */
#ifndef MR_BASE_FAULT_H
#define MR_BASE_FAULT_H

#include "base/compiler.h"

#define MR_FAULT_SIZE 256

/* Initialise with {0}: "" means that nothing has failed. */
struct mr_fault {
    char text[MR_FAULT_SIZE];
};

/*
 * Write the message (printf-style).  Control characters become '?', so that text of
 * a peer or a file name cannot forge a second line.  `fault` may be NULL.
 *
 * Returns -`error`; `error` is a positive errno value, and 0 is turned into -EINVAL,
 * so that the result can always be returned as a failure.
 */
int mr_fault_set(struct mr_fault *fault, int error, const char *fmt, ...) MR_PRINTF(3, 4);

/*
 * Put "context: " in front of the message that is there.  `fault` may be NULL.
 *
 * Returns `result` as it is, the negative errno value that the failing call returned.
 */
int mr_fault_add_context(struct mr_fault *fault, int result, const char *fmt, ...) MR_PRINTF(3, 4);

#endif /* MR_BASE_FAULT_H */
