/*
 * control/datapath.h - a whole datapath for attached applications: what `millrace host` runs, and
 * what a program starts in itself that wants both in one process.
 *
 *     struct mr_config --mr_datapath_open()--> EAL, TLS, ports, one app host per shard, control
 *                                              socket
 *     mr_datapath_launch()                     shards poll
 *     mr_datapath_poll(), again and again      control socket, certificates, ticket keys
 *     mr_datapath_close()                      applications first, then connections, then memory
 *
 * Shards are numbered through all ports: port 0's first.
 *
 * Owner: the caller; one in a process (EAL is).  Threads: the caller's is the control thread.
 * Nobody's connections wait for it: shards accept by the policy that was published last.
 */
#ifndef MR_CONTROL_DATAPATH_H
#define MR_CONTROL_DATAPATH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "control/config.h"
#include "control/control.h"
#include "control/group.h"
#include "control/tls_context.h"

struct mr_datapath;

/* Check the configuration, and take all that it needs.  `config` is copied.  NULL with `fault` set
 * and nothing held. */
struct mr_datapath *mr_datapath_open(const struct mr_config *config, struct mr_fault *fault);

/* Let the shards poll. */
void mr_datapath_launch(struct mr_datapath *datapath);

/* Do what the control thread has to do, for at most `timeout_ns` if there is nothing.  0, or
 * -EINTR: a signal came.  Once a second at least; with `balance: load` five times. */
int mr_datapath_poll(struct mr_datapath *datapath, uint64_t timeout_ns);

/* Readable when mr_datapath_poll() has something to do. */
int mr_datapath_fd(const struct mr_datapath *datapath);

/* Tell the applications that it ends: MR_EVENT_GO_AWAY. */
void mr_datapath_drain(struct mr_datapath *datapath);

/* True once a drain was asked for, by mr_datapath_drain() or over the control socket. */
bool mr_datapath_is_draining(const struct mr_datapath *datapath);

/* Let go of the applications, close the connections, stop the shards. */
void mr_datapath_stop(struct mr_datapath *datapath);

/* Stop, and free everything, EAL too.  Returns the packet buffers that did not come back.  NULL is
 * allowed. */
uint32_t mr_datapath_close(struct mr_datapath *datapath);

uint32_t mr_datapath_port_count(const struct mr_datapath *datapath);
const struct mr_group *mr_datapath_group(const struct mr_datapath *datapath, uint32_t port);
uint32_t mr_datapath_conn_count(const struct mr_datapath *datapath);

/* SHA-256 of the default certificate, in hexadecimal; whether it was made for this run. */
void mr_datapath_fingerprint(const struct mr_datapath *datapath, char text_out[MR_FINGERPRINT_TEXT],
                             bool *is_self_signed_out);

#endif /* MR_CONTROL_DATAPATH_H */
