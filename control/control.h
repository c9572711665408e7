/*
 * control/control.h - everything behind the control socket: attached applications and commands.
 *
 *     `millrace ctl` --COMMAND--> command tables --> datapath's callbacks, attachments
 *     application    --ATTACH---> attachments    --> hosts of the shards
 *
 * Nothing here is on a packet's path: shards go on while it is not polled, and accept connections
 * by the policy that was published last.
 *
 * Owner: whoever opens it.  Threads: one, the control thread; mr_control_fd() may be waited for
 * anywhere.  An application with an execution of its own calls mr_control_poll() itself: no thread
 * is started here.
 */
#ifndef MR_CONTROL_CONTROL_H
#define MR_CONTROL_CONTROL_H

#include <stdint.h>

#include "base/fault.h"
#include "control/attach.h"
#include "control/command.h"
#include "control/control_socket.h"

/* Is given each counter in turn. */
typedef void (*mr_counter_visit)(void *to, const char *name, const char *help, uint64_t value);

/* What commands ask about.  A NULL function: the command says that it is not to be had here. */
struct mr_control_datapath {
    void *context;
    const char *version;  /* of the program */
    uint32_t shard_count; /* of all ports, one after the other */
    uint32_t (*conn_count)(void *context, uint32_t shard);
    /* Add members that say where the shard runs. */
    void (*describe_shard)(void *context, uint32_t shard, struct json_object *object);
    /* List a shard's connections.  0 with the result, which becomes the caller's; -errno with the
     * reason in `fault`; so below. */
    int (*list_conns)(void *context, uint32_t shard, struct json_object **result_out,
                      struct mr_fault *fault);
    /* What a shard's connections hold, awake and asleep. */
    int (*weigh)(void *context, uint32_t shard, struct json_object **result_out,
                 struct mr_fault *fault);
    /* Give a connection to another shard. */
    int (*move_conn)(void *context, const char *conn, uint32_t to, struct json_object **result_out,
                     struct mr_fault *fault);
    /* Ask the peer of a connection, or with "all" of each, to go over to new connection IDs. */
    int (*renew_cids)(void *context, const char *conn, struct json_object **result_out,
                      struct mr_fault *fault);
    /* List a connection's paths. */
    int (*list_paths)(void *context, const char *conn, struct json_object **result_out,
                      struct mr_fault *fault);
    /* The command `qlog`: what is traced (control/group_trace.h). */
    int (*trace)(void *context, const struct mr_command_arguments *arguments,
                 struct json_object **result_out, struct mr_fault *fault);
    /* The commands `ports` and `rss` (control/group_ports.h). */
    int (*list_ports)(void *context, const struct mr_command_arguments *arguments,
                      struct json_object **result_out, struct mr_fault *fault);
    int (*spread)(void *context, const struct mr_command_arguments *arguments,
                  struct json_object **result_out, struct mr_fault *fault);
    void (*counters)(void *context, mr_counter_visit visit, void *to);
    void (*drain)(void *context);
};

struct mr_control_config {
    struct mr_control_socket_config socket;
    struct mr_attachments_config attach;
    struct mr_control_datapath datapath;
    struct mr_command_table more; /* commands of the program's own; {0}: none */
};

struct mr_control;

/* Listen.  NULL with `fault` set. */
struct mr_control *mr_control_open(const struct mr_control_config *config, struct mr_fault *fault);

/* Stop listening, close all clients, free all rings.  The shards must not run any more; hosts must
 * still be there.  NULL is allowed. */
void mr_control_close(struct mr_control *control);

/* Do what is there to do; wait for it at most `timeout_ns` (UINT64_MAX: for ever).  Returns how
 * much there was; -EINTR: a signal came. */
int mr_control_poll(struct mr_control *control, uint64_t timeout_ns);

/* For somebody's epoll: readable when mr_control_poll() has something to do. */
int mr_control_fd(const struct mr_control *control);

/* See mr_attachments_set_policy(). */
int mr_control_set_policy(struct mr_control *control, const struct mr_handoff *policy,
                          struct mr_fault *fault);

/* From now on nobody may attach, as after the command `drain`; who is there stays. */
void mr_control_drain(struct mr_control *control);

/*
 * Before the shards are stopped: let go of all applications, and poll until nothing of theirs is
 * left, at most `patience_ns`.
 */
void mr_control_detach_all(struct mr_control *control, uint64_t patience_ns);

/* See mr_attachments_next(). */
bool mr_control_next_attachment(const struct mr_control *control, uint64_t number,
                                struct mr_attachment_info *info_out);

struct mr_attachments_stats mr_control_attachments_stats(const struct mr_control *control);

#endif /* MR_CONTROL_CONTROL_H */
