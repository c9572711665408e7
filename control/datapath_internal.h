/* control/datapath_internal.h - struct mr_datapath, shared by the datapath*.c files. */
#ifndef MR_CONTROL_DATAPATH_INTERNAL_H
#define MR_CONTROL_DATAPATH_INTERNAL_H

#include "control/balance.h"
#include "control/datapath.h"
#include "control/group_datapath.h"
#include "control/inline_apps.h"
#include "control/routing.h"
#include "control/shard_setup.h"
#include "control/tls_set.h"
#include "control/token_file.h"
#include "control/token_rotation.h"
#include "dataplane/app_host.h"

struct mr_datapath {
    struct mr_config config;
    struct mr_token_file token_file; /* without a path: the secrets are this process's */
    struct mr_token_secrets secrets;
    struct mr_keylog keylog;
    uint8_t cid_key[MR_ROUTING_KEY]; /* with routing.key_file */
    struct mr_qlog *qlog;            /* NULL: nothing is traced */
    bool has_eal;
    bool is_draining;
    bool has_client_tls;
    bool is_self_signed;
    struct mr_tls_set *tls;   /* NULL: no listeners */
    struct mr_replay *replay; /* first flights with 0-RTT; NULL: none is taken */
    struct mr_tls_context client_tls;
    int64_t looked_s;          /* at keys; seconds since 1970 */
    struct mr_fault key_fault; /* that was said last */
    struct mr_work_pool *work;
    struct mr_work_pool *tls_work; /* NULL: TLS jobs run on polling threads */
    uint32_t group_count;
    struct mr_group groups[MR_CONFIG_PORTS];
    uint32_t shard_count;         /* of all ports */
    int32_t nodes[MR_SHARDS_MAX]; /* NUMA */
    struct mr_app_host *hosts[MR_SHARDS_MAX];
    struct mr_inline_apps *inline_apps; /* NULL: none */
    struct mr_application applications[MR_SHARDS_MAX];
    struct mr_move_hooks move_hooks[MR_SHARDS_MAX];
    uint32_t udp_port_count;
    uint16_t udp_ports[MR_LISTENERS_MAX + MR_CONFIG_PORTS * MR_CONFIG_PREFERRED];
    struct mr_token_rotation tokens[MR_CONFIG_PORTS];
    struct mr_balance *balances[MR_CONFIG_PORTS]; /* NULL: connections stay */
    struct mr_group_set set;                      /* for commands */
    struct mr_control *control;
};

/* ---- datapath_commands.c ---- */

/* Commands of the datapath's own, beside those of the control socket; `dp` is their context. */
struct mr_command_table mr_datapath_commands(struct mr_datapath *dp);

/* What people call the owner of a connection: for struct mr_group_set; `context`: the datapath. */
void mr_datapath_name_owner(void *context, uint64_t owner, char *text, size_t room);

/* Show applications on DPDK's telemetry socket as they are now. */
void mr_datapath_publish_apps(const struct mr_datapath *dp);

#endif /* MR_CONTROL_DATAPATH_INTERNAL_H */
