/* control/control_internal.h - struct mr_control, for the control*.c files. */
#ifndef MR_CONTROL_CONTROL_INTERNAL_H
#define MR_CONTROL_CONTROL_INTERNAL_H

#include <stdbool.h>

#include "control/attach_wait.h"
#include "control/control.h"

#define MR_CONTROL_TABLES 2 /* of commands: the built-in ones, the program's own */

struct mr_control {
    struct mr_control_config config;
    struct mr_control_socket *socket;
    struct mr_attachments *attachments;
    struct mr_attach_waits waits;
    struct mr_command_table tables[MR_CONTROL_TABLES];
    bool is_draining;
};

/* The built-in commands. */
struct mr_command_table mr_control_commands(struct mr_control *control);

#endif /* MR_CONTROL_CONTROL_INTERNAL_H */
