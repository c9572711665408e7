/*
 * tools/scratch.h - a folder for what a run needs, gone when the run ends, by a signal too.
 *
 * Owner: the process, which has one such folder at most.
 * Threads: make and remove from any thread, one at a time.  From mr_scratch_guard() on, a thread of
 * its own waits for signals.
 */
#ifndef MR_TOOLS_SCRATCH_H
#define MR_TOOLS_SCRATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"

#define MR_SCRATCH_MAX 108 /* bytes of its path, with the NUL: a socket in it has room for less */

/*
 * From here on SIGINT, SIGTERM and SIGHUP end the process at once, wherever it is: one line says
 * so, the folder goes, and the exit status is MR_EXIT_FAILED.  Before any other thread is started.
 * False with `fault` set: there is no thread to be had.
 */
bool mr_scratch_guard(const char *command, struct mr_fault *fault);

/* Make the folder, in $TMPDIR or /tmp.  Its path, which stays until it is removed; NULL with
 * `fault` set: it cannot be. */
const char *mr_scratch_make(struct mr_fault *fault);

/* Remove it, if there is one, with the files in it. */
void mr_scratch_remove(void);

#endif /* MR_TOOLS_SCRATCH_H */
