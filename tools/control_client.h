/*
 * tools/control_client.h - commands to a running datapath, over its control socket.
 *
 * Waits for answers, up to MR_CONTROL_PATIENCE_S each.
 * Owner: the command.  Threads: its own.
 */
#ifndef MR_TOOLS_CONTROL_CLIENT_H
#define MR_TOOLS_CONTROL_CLIENT_H

#include "base/fault.h"

#define MR_CONTROL_PATIENCE_S 10

struct json_object; /* of json-c */

/* The path that is meant: `given`, else $MILLRACE_CONTROL, else /run/millrace.sock. */
const char *mr_control_client_path(const char *given);

/* Connect to the socket at `path`.  The descriptor; -errno with the reason in `fault`. */
int mr_control_client_connect(const char *path, struct mr_fault *fault);

/*
 * Send the line `text` and wait for its result, which becomes the caller's.  0; -errno with the
 * reason in `fault`: refused (-EINVAL: there is no such command, or its arguments are wrong), or
 * the datapath does not answer.
 */
int mr_control_client_run(int fd, const char *text, struct json_object **result_out,
                          struct mr_fault *fault);

#endif /* MR_TOOLS_CONTROL_CLIENT_H */
