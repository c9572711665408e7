/* control/datapath.c - see datapath.h. */
#include "control/datapath.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "control/datapath_internal.h"
#include "control/eal.h"
#include "control/early_data.h"
#include "control/group_ports.h"
#include "control/group_trace.h"
#include "control/telemetry.h"
#include "control/telemetry_apps.h"
#include "control/topology.h"
#include "dataplane/clock.h"
#include "drivers/pci.h"
#include "quic/limits.h"

#define RX_MBUFS         4096 /* per shard */
#define TX_MBUFS         4096 /* a loopback holds them while they are on the way */
#define HELPERS          2
#define COMMANDS_AT_ONCE 16
#define CLOSE_PATIENCE   (200 * MR_MS)
#define HANDSHAKES_SHARE 2 /* of a shard's, half are for the applications of one user */
#define DETACH_NS        MR_SECOND
#define LOOPBACK4        "198.18.0.1/15" /* of a loopback that was given no address */
#define LOOPBACK6        "fd00::1/64"

/* ------------------------------------------------------------------ TLS */

/* A certificate for the addresses that we have. */
static bool make_certificate(const struct mr_datapath *dp, struct mr_certificate *made,
                             struct mr_fault *fault)
{
    char text[MR_CONFIG_ADDRESSES][MR_IP_TEXT];
    const char *names[MR_CONFIG_ADDRESSES];
    struct mr_certificate_options options = {.names = names};

    for (uint32_t i = 0; i < dp->config.ports[0].address_count; i++) {
        struct mr_prefix prefix;

        if (mr_prefix_parse(dp->config.ports[0].addresses[i], &prefix))
            names[options.name_count++] = mr_ip_format(&prefix.ip, text[i]);
    }
    return mr_certificate_make(made, &options, fault) == 0;
}

/* Without listeners there is nothing to serve, and no certificate is needed. */
static bool make_tls(struct mr_datapath *dp, struct mr_fault *fault)
{
    struct mr_certificate made = {0};
    struct mr_tls_set_config server = {
        .tls = &dp->config.tls, .handoff = &dp->config.handoff, .has_keylog = dp->keylog.fd >= 0};
    struct mr_tls_client_config client = {.has_keylog = dp->keylog.fd >= 0};

    dp->is_self_signed = dp->config.tls.certificate_count == 0;
    if (dp->is_self_signed) {
        if (!make_certificate(dp, &made, fault))
            return false;
        server.made = &made;
        client.ca_pem = made.certificate_pem; /* applications of ours may meet each other */
    }
    bool has_listeners = dp->config.handoff.listener_count > 0;
    server.has_early_data = dp->config.tls.early_data == 1;
    if (has_listeners && server.has_early_data) {
        dp->replay = mr_early_data_make(dp->config.tls.early_data_entries, fault);
        if (dp->replay == NULL) {
            mr_certificate_wipe(&made);
            return false;
        }
        server.replay = dp->replay;
    }
    if (has_listeners)
        dp->tls = mr_tls_set_make(&server, fault, (int64_t)time(NULL));
    dp->has_client_tls = (dp->tls != NULL || !has_listeners) &&
                         mr_tls_context_client(&dp->client_tls, &client, fault) == 0;
    mr_certificate_wipe(&made);
    return dp->has_client_tls;
}

/* ------------------------------------------------------------------ what the configuration means
 */

/* A loopback needs no address of a network; it gets one all the same. */
static void complete(struct mr_config *config)
{
    for (uint32_t i = 0; i < config->port_count; i++) {
        struct mr_config_port *port = &config->ports[i];

        if (strcmp(port->spec, "loopback") != 0 || port->address_count > 0)
            continue;
        memcpy(port->addresses[0], LOOPBACK4, sizeof(LOOPBACK4));
        memcpy(port->addresses[1], LOOPBACK6, sizeof(LOOPBACK6));
        port->address_count = 2;
    }
}

static void add_udp_port(struct mr_datapath *dp, uint16_t port)
{
    for (uint32_t k = 0; k < dp->udp_port_count; k++) {
        if (dp->udp_ports[k] == port)
            return;
    }
    if (port != 0)
        dp->udp_ports[dp->udp_port_count++] = port;
}

/* The UDP ports that are open: of listeners, 443 if none says, and of preferred addresses. */
static void find_udp_ports(struct mr_datapath *dp)
{
    const struct mr_config *config = &dp->config;

    for (uint32_t i = 0; i < config->handoff.listener_count; i++)
        add_udp_port(dp, config->handoff.listener[i].port);
    if (dp->udp_port_count == 0)
        add_udp_port(dp, 443);
    for (uint32_t p = 0; p < config->port_count; p++) {
        for (uint32_t i = 0; i < config->ports[p].preferred_count; i++) {
            uint16_t port = 0;
            struct mr_ip ip;

            if (mr_ip_port_parse(config->ports[p].preferred[i], &ip, &port))
                add_udp_port(dp, port);
        }
    }
}

static bool fill_preferred(const struct mr_config_port *port, struct mr_shard_setup *setup,
                           struct mr_fault *fault)
{
    for (uint32_t i = 0; i < port->preferred_count; i++) {
        struct mr_ip ip;
        uint16_t number = setup->local_port;

        if (!mr_ip_port_parse(port->preferred[i], &ip, &number)) {
            mr_fault_set(fault, EINVAL, "%s: not an address", port->preferred[i]);
            return false;
        }
        struct mr_addr *to = &setup->preferred[mr_ip_is_v4(&ip)];
        memcpy(to->ip, ip.bytes, sizeof(to->ip));
        to->port = number;
    }
    return true;
}

static bool fill_self(const struct mr_config_port *port, struct mr_shard_setup *setup,
                      struct mr_net_self *self, struct mr_fault *fault)
{
    for (uint32_t i = 0; i < port->address_count; i++) {
        if (!mr_prefix_parse(port->addresses[i], &self->address[i])) {
            mr_fault_set(fault, EINVAL, "%s: not an address with its prefix", port->addresses[i]);
            return false;
        }
    }
    self->address_count = (uint8_t)port->address_count;
    for (uint32_t i = 0; i < port->gateway_count; i++) {
        struct mr_ip ip;

        if (!mr_ip_parse(port->gateways[i], &ip)) {
            mr_fault_set(fault, EINVAL, "%s: not an address", port->gateways[i]);
            return false;
        }
        *(mr_ip_is_v4(&ip) ? &setup->gateway4 : &setup->gateway6) = ip;
    }
    setup->self = self;
    return fill_preferred(port, setup, fault);
}

/* ------------------------------------------------------------------ parts */

/* The network cards among the ports: they must be DPDK's to take. */
struct cards {
    uint32_t count;
    const char *list[MR_CONFIG_PORTS];
    char text[MR_CONFIG_PORTS][MR_PCI_ADDRESS];
};

_Static_assert(MR_CONFIG_PORTS <= MR_EAL_CARDS_MAX, "each port may be a card");

static bool find_cards(const struct mr_config *config, struct cards *cards, struct mr_fault *fault)
{
    cards->count = 0;
    for (uint32_t i = 0; i < config->port_count; i++) {
        char *address = cards->text[cards->count];

        if (!mr_pci_of_spec(config->ports[i].spec, address))
            continue;
        if (!mr_pci_check(MR_PCI_DEVICES, address, fault)) {
            mr_fault_add_context(fault, 0, "port %s", config->ports[i].spec);
            return false;
        }
        cards->list[cards->count++] = address;
    }
    return true;
}

static bool start_eal(struct mr_datapath *dp, struct mr_fault *fault)
{
    const struct mr_config *config = &dp->config;
    struct cards cards;
    uint32_t workers = mr_group_workers(config->shards, config->io_lcores) * config->port_count;
    uint32_t mbufs = workers * (RX_MBUFS + TX_MBUFS);
    struct mr_eal_config eal = {.cores = config->cores[0] != '\0' ? config->cores : NULL,
                                .worker_count = workers,
                                .memory_mb =
                                    MR_SETUP_BASE_MB + mbufs * mr_setup_mbuf_kb(config->mtu) / 1024,
                                .hugepages = (enum mr_hugepages)config->hugepages,
                                .has_telemetry = config->has_telemetry,
                                .is_verbose = config->is_verbose};

    if (!find_cards(config, &cards, fault))
        return false;
    eal.cards = cards.list;
    eal.card_count = cards.count;
    dp->has_eal = mr_eal_start(&eal, fault);
    return dp->has_eal;
}

/* The first worker of a port's group, whose I/O lcores stand behind its shards. */
static uint32_t first_worker(const struct mr_datapath *dp, uint32_t port)
{
    return port * mr_group_workers(dp->config.shards, dp->config.io_lcores);
}

static uint32_t worker_of_shard(const struct mr_datapath *dp, uint32_t shard)
{
    return first_worker(dp, shard / dp->config.shards) + shard % dp->config.shards;
}

static bool make_hosts(struct mr_datapath *dp, struct mr_fault *fault)
{
    struct mr_app_host_config config = mr_app_host_config_default();
    struct mr_config_share share = mr_config_share(&dp->config);
    uint8_t key[16];

    config.objects_max = share.objects;
    config.sends_max = share.sends;
    (void)getrandom(key, sizeof(key), 0);
    config.connects_max = share.connects;
    config.user_connects_max = share.user_connects;
    config.user_handshakes_max =
        MR_MAX(mr_limits_for(share.connections).handshakes_max / HANDSHAKES_SHARE, 1u);
    config.refuse_code = dp->config.codes.refuse;
    config.death_code = dp->config.codes.death;
    for (uint32_t i = 0; i < dp->shard_count; i++) {
        dp->nodes[i] = mr_topology_node_of_cpu(mr_eal_info()->worker_cpu[worker_of_shard(dp, i)]);
        config.numa_node = dp->nodes[i];
        dp->hosts[i] = mr_app_host_new(&config, key);
        if (dp->hosts[i] == NULL) {
            mr_fault_set(fault, ENOMEM, "not enough memory for the rings of shard %u", i);
            return false;
        }
        dp->applications[i] = *mr_app_host_application(dp->hosts[i]);
        dp->move_hooks[i] = *mr_app_host_move_hooks(dp->hosts[i]);
    }
    return true;
}

/* In front of the hosts: those get what is no inline application's. */
static bool start_inline_apps(struct mr_datapath *dp, struct mr_fault *fault)
{
    struct mr_config *config = &dp->config;
    struct mr_config_share share = mr_config_share(config);

    if (config->inline_count == 0)
        return true;
    mr_inline_apps_name(&config->handoff, config->inline_apps, config->inline_count);
    dp->inline_apps =
        mr_inline_apps_start(&(struct mr_inline_apps_config){.apps = config->inline_apps,
                                                             .app_count = config->inline_count,
                                                             .handoff = &config->handoff,
                                                             .shard_count = dp->shard_count,
                                                             .hosts = dp->hosts,
                                                             .nodes = dp->nodes,
                                                             .conns_max = share.connections},
                             fault);
    for (uint32_t i = 0; i < dp->shard_count && dp->inline_apps != NULL; i++) {
        dp->applications[i] = *mr_inline_apps_application(dp->inline_apps, i);
        dp->move_hooks[i] = *mr_inline_apps_move_hooks(dp->inline_apps, i);
    }
    return dp->inline_apps != NULL;
}

static uint32_t extensions(const struct mr_config_transport *transport)
{
    return (transport->spin_bit != 0 ? MR_EXTENSION_SPIN_BIT : 0u) |
           (transport->quic_bit != 0 ? MR_EXTENSION_QUIC_BIT : 0u) |
           (transport->ack_frequency != 0 ? MR_EXTENSION_ACK_FREQUENCY : 0u) |
           (transport->reset_stream_at != 0 ? MR_EXTENSION_RESET_STREAM_AT : 0u) |
           (transport->paths > 1 ? MR_EXTENSION_MULTIPATH : 0u) |
           ((transport->address_discovery & 1) != 0 ? MR_EXTENSION_OBSERVES : 0u) |
           ((transport->address_discovery & 2) != 0 ? MR_EXTENSION_OBSERVED : 0u);
}

static bool make_group(struct mr_datapath *dp, uint32_t index, struct mr_fault *fault)
{
    static const char *const names[MR_CONFIG_PORTS] = {"a", "b", "c", "d"};
    const struct mr_config *config = &dp->config;
    struct mr_net_self self = {0};
    struct mr_shard_setup setup = {
        .server = dp->tls != NULL ? mr_tls_set_context(dp->tls) : NULL,
        .client = &dp->client_tls,
        .crypto = (enum mr_aead_backend[]){MR_AEAD_AUTO, MR_AEAD_OPENSSL,
                                           MR_AEAD_IPSEC_MB}[config->crypto],
        .polling = config->polling == 0 ? MR_POLLING_ADAPTIVE : MR_POLLING_BUSY,
        .local_port = dp->udp_ports[0],
        .connections = mr_config_share(config).connections,
        .awake = mr_config_share(config).awake,
        .sleep_after_ns = config->limits.sleep_after_ns,
        .rx_mbufs = RX_MBUFS,
        .mtu = config->mtu,
        .has_retry = config->retry == 1,
        .congestion = (enum mr_cc_kind)config->congestion,
        .has_ecn = config->ecn == 0,
        .has_resume = config->congestion_resume != 0,
        .idle_timeout_ns = config->limits.idle_timeout_ns,
        .keep_alive_ns = config->transport.keep_alive_ns,
        .stream_window_max = config->limits.stream_window_bytes,
        .conn_window_max = config->limits.conn_window_bytes,
        .streams_bidi_max = config->limits.streams,
        .streams_uni_max = config->limits.streams,
        .extensions = extensions(&config->transport),
        .paths_max = config->transport.paths,
        .work = dp->work,
        .tls_work = dp->tls_work,
        .cid_kind = (enum mr_cid_kind)config->routing.format,
        .node = config->routing.node,
        .cid_config = (uint8_t)config->routing.config,
        .cid_key = config->routing.key_file[0] != '\0' ? dp->cid_key : NULL,
        .cid_renew_ns = config->routing.renew_after_ns,
        .keylog_fd = dp->keylog.fd,
        .tokens = &dp->secrets,
    };

    if (!fill_self(&config->ports[index], &setup, &self, fault))
        return false;
    struct mr_group_config group = {
        .name = names[index],
        .spec = config->ports[index].spec,
        .mtu = (uint16_t)config->mtu,
        .shard_count = config->shards,
        .io_lcores = config->io_lcores,
        .has_cid_rules = config->routing.card_rules != 0,
        .first_worker = first_worker(dp, index),
        .work_first = index * config->shards,
        .shard = mr_shard_setup(&setup),
        .applications = &dp->applications[index * config->shards],
        .move_hooks = &dp->move_hooks[index * config->shards],
        .rx_mbufs = RX_MBUFS,
        .tx_mbufs = TX_MBUFS,
    };
    group.shard.balance =
        (struct mr_shard_balance){.follows = config->balance.kind == MR_BALANCE_RSS,
                                  .moves_max = config->balance.moves,
                                  .stay_ns = config->balance.stay_ns};
    group.shard.more_ports = dp->udp_ports;
    group.shard.more_port_count = dp->udp_port_count;
    return mr_group_make(&dp->groups[index], &group, fault);
}

/* The shards of a port, if they are to be balanced. */
static bool make_balance(struct mr_datapath *dp, uint32_t index, struct mr_fault *fault)
{
    const struct mr_config_balance *balance = &dp->config.balance;
    struct mr_balance_rule rule = {.gap_percent = balance->gap_percent,
                                   .busy_percent = balance->busy_percent};

    if (balance->kind != MR_BALANCE_LOAD || dp->config.shards == 1)
        return true;
    dp->balances[index] = mr_balance_new(&dp->groups[index], &rule);
    if (dp->balances[index] == NULL)
        mr_fault_set(fault, ENOMEM, "not enough memory to balance shards");
    return dp->balances[index] != NULL;
}

static bool make_groups(struct mr_datapath *dp, struct mr_fault *fault)
{
    dp->work = mr_work_pool_start(HELPERS, dp->shard_count, fault);
    if (dp->work == NULL)
        return false;
    if (dp->config.tls.helpers > 0) {
        dp->tls_work = mr_work_pool_start(dp->config.tls.helpers, dp->shard_count, fault);
        if (dp->tls_work == NULL)
            return false;
    }
    for (; dp->group_count < dp->config.port_count; dp->group_count++) {
        if (!make_group(dp, dp->group_count, fault) || !make_balance(dp, dp->group_count, fault))
            return false;
        dp->set.groups[dp->set.count++] = &dp->groups[dp->group_count];
    }
    return true;
}

/* ------------------------------------------------------------------ secrets of tokens */

/* From the file, or random ones that end with this process. */
static bool open_secrets(struct mr_datapath *dp, struct mr_fault *fault)
{
    const char *path = dp->config.tls.token_key_file;

    if (path[0] == '\0') {
        (void)getrandom(dp->secrets.reset, sizeof(dp->secrets.reset), 0);
        return true;
    }
    return mr_token_file_open(&dp->token_file, path, &dp->secrets, fault) == 0 ||
           mr_config_blame(&dp->config, "tls.token_key_file", fault);
}

/* ------------------------------------------------------------------ traces */

static bool open_qlog(struct mr_datapath *dp, struct mr_fault *fault)
{
    const struct mr_config_qlog *config = &dp->config.qlog;

    if (config->folder[0] == '\0')
        return true;
    dp->qlog = mr_qlog_open(&(struct mr_qlog_config){.folder = config->folder,
                                                     .files_max = config->files,
                                                     .file_bytes = config->file_bytes},
                            fault);
    dp->set.qlog = dp->qlog;
    return dp->qlog != NULL || mr_config_blame(&dp->config, "qlog.folder", fault);
}

static bool begin_traces(struct mr_datapath *dp, struct mr_fault *fault)
{
    uint32_t what = dp->config.qlog.connections == 0 ? MR_TRACE_EVENTS : 0;
    bool is_good = true;

    for (uint32_t i = 0; i < dp->group_count && dp->qlog != NULL && is_good; i++)
        is_good = mr_group_trace_begin(&dp->groups[i], dp->qlog, what, fault);
    return is_good;
}

/* ------------------------------------------------------------------ what commands ask */

/* `context` is the set of groups. */
static void command_drain(void *context)
{
    mr_datapath_drain(MR_CONTAINER_OF(context, struct mr_datapath, set));
}

/* Applications attach to all shards unless they say which: then it is too little. */
static void warn_of_region(const struct mr_config *config, uint32_t shard_count)
{
    struct mr_ring_sizes sizes = mr_config_ring_sizes(config);
    unsigned long long all = mr_ring_region_size(&sizes) / 1024 * shard_count;
    unsigned long long most = mr_config_quota(config).region_bytes / 1024;
    char name[MR_CONFIG_NAME];

    mr_config_name(config, "control.region_bytes", name);
    if (all > most)
        mr_log(MR_LOG_WARN,
               "only applications that ask for some shards, or small rings, can attach: the rings "
               "of %u shards take %lluK, an attachment may have %lluK; raise %s",
               shard_count, all, most, name);
}

static bool open_control(struct mr_datapath *dp, struct mr_fault *fault)
{
    const struct mr_config *config = &dp->config;
    struct mr_config_quota quota = mr_config_quota(config);
    struct mr_control_config control = {
        .socket = {.path = config->control.socket,
                   .mode = config->control.mode,
                   .clients_max = quota.attachments + COMMANDS_AT_ONCE,
                   .group = config->control.group[0] != '\0' ? config->control.group : NULL},
        .attach = {.hosts = dp->hosts,
                   .host_count = dp->shard_count,
                   .port_shards = config->shards,
                   .allows_any = true,
                   .sizes = mr_config_ring_sizes(config),
                   .attachments_max = quota.attachments,
                   .user_attachments_max = quota.attachments_per_user,
                   .user_bytes_max = quota.user_bytes,
                   .region_bytes_max = quota.total_bytes,
                   .attachment_bytes_max = quota.region_bytes},
    };

    warn_of_region(config, dp->shard_count);
    dp->set.name_owner = mr_datapath_name_owner;
    dp->set.context = dp;
    control.datapath = mr_group_set_datapath(&dp->set, MILLRACE_VERSION);
    control.datapath.drain = command_drain;
    control.more = mr_datapath_commands(dp);
    dp->control = mr_control_open(&control, fault);
    return dp->control != NULL &&
           mr_control_set_policy(dp->control, &dp->config.handoff, fault) == 0;
}

static bool open_telemetry(struct mr_datapath *dp, struct mr_fault *fault)
{
    return !dp->config.has_telemetry ||
           (mr_telemetry_add_groups(&dp->set, fault) && mr_telemetry_apps_add(fault));
}

/* ------------------------------------------------------------------ life */

struct mr_datapath *mr_datapath_open(const struct mr_config *config, struct mr_fault *fault)
{
    struct mr_datapath *dp = calloc(1, sizeof(*dp));

    if (dp == NULL) {
        mr_fault_set(fault, ENOMEM, "not enough memory");
        return NULL;
    }
    dp->config = *config;
    dp->keylog.fd = -1;
    complete(&dp->config);
    dp->shard_count = dp->config.port_count * dp->config.shards;
    find_udp_ports(dp);
    if (mr_config_check(&dp->config, fault) && mr_tls_library_check(fault) == 0 &&
        mr_routing_key_read(dp->config.routing.key_file, dp->cid_key, fault) &&
        open_secrets(dp, fault) && /* a file of them is made, if it is not there */
        mr_keylog_open(&dp->keylog, dp->config.keylog, "keylog", fault) && open_qlog(dp, fault) &&
        make_tls(dp, fault) && start_eal(dp, fault) && make_hosts(dp, fault) &&
        start_inline_apps(dp, fault) && make_groups(dp, fault) && begin_traces(dp, fault) &&
        open_control(dp, fault) && open_telemetry(dp, fault))
        return dp;
    mr_datapath_close(dp);
    return NULL;
}

void mr_datapath_launch(struct mr_datapath *dp)
{
    struct mr_clock clock = mr_clock_init();

    for (uint32_t i = 0; i < dp->group_count; i++) {
        mr_group_launch(&dp->groups[i]);
        mr_token_rotation_init(&dp->tokens[i], &dp->groups[i], dp->config.tls.token_rotation_ns,
                               mr_clock_now(&clock));
        if (dp->token_file.path != NULL)
            mr_token_rotation_follow(&dp->tokens[i], &dp->token_file, &dp->secrets);
    }
}

/* Each second: certificates that have changed, keys whose time is over.  What fails is as it was,
 * and is said once. */
static void look_at_keys(struct mr_datapath *dp, int64_t now_s)
{
    struct mr_clock clock = mr_clock_init();
    struct mr_fault fault = {0};

    if (dp->tls != NULL)
        (void)mr_tls_set_poll(dp->tls, &fault, now_s);
    for (uint32_t i = 0; i < dp->group_count; i++)
        (void)mr_token_rotation_poll(&dp->tokens[i], &fault, mr_clock_now(&clock));
    if (fault.text[0] != '\0' && strcmp(fault.text, dp->key_fault.text) != 0)
        mr_log(MR_LOG_WARN, "%s", fault.text);
    dp->key_fault = fault;
}

/* Have connections moved; not while they end.  For how long nothing is to be done. */
static uint64_t balance(struct mr_datapath *dp)
{
    uint64_t left = UINT64_MAX;

    for (uint32_t i = 0; i < dp->group_count && !dp->is_draining; i++) {
        if (dp->balances[i] != NULL)
            left = MR_MIN(left, mr_balance_poll(dp->balances[i]));
    }
    return left;
}

int mr_datapath_poll(struct mr_datapath *dp, uint64_t timeout_ns)
{
    int answer = mr_control_poll(dp->control, MR_MIN(timeout_ns, balance(dp)));
    struct mr_clock clock = mr_clock_init();
    int64_t now_s = (int64_t)time(NULL);

    for (uint32_t i = 0; i < dp->group_count; i++)
        (void)mr_group_look_at_port(&dp->groups[i], mr_clock_now(&clock));
    if (now_s != dp->looked_s) {
        look_at_keys(dp, now_s);
        if (dp->inline_apps != NULL)
            mr_inline_apps_look(dp->inline_apps);
    }
    dp->looked_s = now_s;
    if (dp->config.has_telemetry)
        mr_datapath_publish_apps(dp);
    return answer == -EINTR ? answer : 0;
}

int mr_datapath_fd(const struct mr_datapath *dp)
{
    return mr_control_fd(dp->control);
}

void mr_datapath_drain(struct mr_datapath *dp)
{
    if (dp->is_draining)
        return;
    dp->is_draining = true;
    if (dp->control != NULL)
        mr_control_drain(dp->control);
    for (uint32_t i = 0; i < dp->group_count; i++)
        mr_group_drain(&dp->groups[i]);
}

bool mr_datapath_is_draining(const struct mr_datapath *dp)
{
    return dp->is_draining;
}

void mr_datapath_stop(struct mr_datapath *dp)
{
    if (dp->control != NULL)
        mr_control_detach_all(dp->control, DETACH_NS);
    for (uint32_t i = 0; i < dp->group_count; i++)
        mr_group_stop(&dp->groups[i], CLOSE_PATIENCE);
    for (uint32_t i = 0; i < dp->group_count; i++)
        mr_group_join(&dp->groups[i]);
}

uint32_t mr_datapath_close(struct mr_datapath *dp)
{
    uint32_t leaked = 0;

    if (dp == NULL)
        return 0;
    mr_telemetry_stop();
    mr_datapath_stop(dp);
    mr_control_close(dp->control);
    mr_group_set_end(&dp->set);
    for (uint32_t i = 0; i < dp->group_count; i++) {
        uint32_t some = 0;

        mr_token_rotation_wipe(&dp->tokens[i]);
        mr_balance_free(dp->balances[i]);
        mr_group_free(&dp->groups[i], &some);
        leaked += some;
    }
    mr_qlog_close(dp->qlog);
    mr_work_pool_stop(dp->work);
    mr_work_pool_stop(dp->tls_work);
    mr_inline_apps_stop(dp->inline_apps);
    for (uint32_t i = 0; i < dp->shard_count; i++)
        mr_app_host_free(dp->hosts[i]);
    mr_tls_set_free(dp->tls);
    mr_early_data_free(dp->replay);
    if (dp->has_client_tls)
        mr_tls_context_free(&dp->client_tls);
    if (dp->has_eal)
        mr_eal_stop();
    mr_keylog_close(&dp->keylog);
    explicit_bzero(&dp->secrets, sizeof(dp->secrets));
    explicit_bzero(dp->cid_key, sizeof(dp->cid_key));
    free(dp);
    return leaked;
}

/* ------------------------------------------------------------------ figures */

uint32_t mr_datapath_port_count(const struct mr_datapath *dp)
{
    return dp->group_count;
}

const struct mr_group *mr_datapath_group(const struct mr_datapath *dp, uint32_t port)
{
    return &dp->groups[port];
}

uint32_t mr_datapath_conn_count(const struct mr_datapath *dp)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < dp->group_count; i++)
        count += mr_group_conn_count(&dp->groups[i]);
    return count;
}

void mr_datapath_fingerprint(const struct mr_datapath *dp, char text_out[MR_FINGERPRINT_TEXT],
                             bool *is_self_signed_out)
{
    text_out[0] = '\0';
    if (dp->tls != NULL)
        mr_tls_set_fingerprint(dp->tls, 0, text_out);
    *is_self_signed_out = dp->is_self_signed;
}
