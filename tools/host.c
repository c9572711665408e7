/* tools/host.c - see host.h. */
#include "tools/host.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "control/config.h"
#include "control/eal.h"
#include "control/group_trace.h"
#include "control/token_file.h"
#include "dataplane/client_ports.h"
#include "dataplane/clock.h"
#include "drivers/pci.h"
#include "drivers/port_kind.h"
#include "drivers/port_watch.h"
#include "http3/frame.h"

#define SLEEP_AFTER  (2 * MR_SECOND)
#define STREAMS_UNI  16           /* of HTTP/3, with room to spare */
#define PORT_FIRST   49152u       /* ephemeral ports, RFC 6335, Section 6 */
#define PORT_POLL_NS (10 * MR_MS) /* between looks at a port that is down */

const char *const mr_crypto_choices[] = {"auto", "openssl", "ipsec-mb", NULL};
const char *const mr_polling_choices[] = {"adaptive", "busy", NULL};
static const char *const hugepage_choices[] = {"auto", "required", "off", NULL};

enum mr_aead_backend mr_crypto_of(int choice)
{
    static const enum mr_aead_backend backends[] = {MR_AEAD_AUTO, MR_AEAD_OPENSSL,
                                                    MR_AEAD_IPSEC_MB};

    return backends[choice];
}

static const char *const qlog_choices[] = {"all", "asked", NULL};

struct mr_host_options mr_host_options_default(void)
{
    return (struct mr_host_options){.shards = 1};
}

void mr_host_option_rows(struct mr_host_options *o, struct mr_option rows_out[MR_HOST_ROWS])
{
    const struct mr_option rows[MR_HOST_ROWS] = {
        {.name = "port",
         .kind = MR_OPTION_TEXT,
         .to = &o->port,
         .argument = "SPEC",
         .help = "tap:NAME, af_packet:IFACE, af_xdp:IFACE, pci:ADDRESS or "
                 "memif:role=server|client,socket=PATH"},
        {.name = "addr",
         .kind = MR_OPTION_LIST,
         .to = &o->addresses,
         .argument = "IP/BITS",
         .help = "our address and its network's prefix; again for each further one, IPv4 or IPv6"},
        {.name = "gateway",
         .kind = MR_OPTION_LIST,
         .to = &o->gateways,
         .argument = "IP",
         .help = "who passes packets on to other networks; once for IPv4, once for IPv6"},
        {.name = "cores",
         .kind = MR_OPTION_TEXT,
         .to = &o->cores,
         .argument = "LIST",
         .help = "CPUs to poll on, like 2,3 or 2-5 (any)"},
        {.name = "hugepages",
         .kind = MR_OPTION_CHOICE,
         .to = &o->hugepages,
         .argument = "WHEN",
         .help = "auto, required or off (auto)",
         .choices = hugepage_choices},
        {.name = "mtu",
         .kind = MR_OPTION_U32,
         .to = &o->mtu,
         .argument = "BYTES",
         .help = "largest IP packet, if the port's is not smaller (1500)",
         .min = 1280,
         .max = MR_CONFIG_MTU_MAX},
        {.name = "congestion",
         .kind = MR_OPTION_CHOICE,
         .to = &o->congestion,
         .argument = "HOW",
         .help = "congestion control: cubic, newreno, prague or bbr (cubic)",
         .choices = mr_config_congestions},
        {.name = "ecn",
         .kind = MR_OPTION_CHOICE,
         .to = &o->ecn,
         .argument = "WHEN",
         .help = "mark packets for ECN: auto (on paths that bear it) or off (auto)",
         .choices = mr_config_ecns},
        {.name = "keylog",
         .kind = MR_OPTION_TEXT,
         .to = &o->keylog,
         .argument = "FILE",
         .help = "append TLS secrets, to decrypt captures with"},
        {.name = "qlog-dir",
         .kind = MR_OPTION_TEXT,
         .to = &o->qlog_folder,
         .argument = "DIR",
         .help = "write a qlog file there for each connection ($QLOGDIR)"},
        {.name = "qlog",
         .kind = MR_OPTION_CHOICE,
         .to = &o->qlog,
         .argument = "WHICH",
         .help = "connections: all, or those asked for by `millrace ctl qlog` (all)",
         .choices = qlog_choices},
        {.name = "verbose",
         .kind = MR_OPTION_FLAG,
         .to = &o->is_verbose,
         .help = "show DPDK's log"},
        {.name = NULL},
    };

    memcpy(rows_out, rows, sizeof(rows));
}

static uint64_t clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * MR_SECOND + (uint64_t)t.tv_nsec;
}

/* ------------------------------------------------------------------ addresses */

static bool add_address(struct mr_host *host, const char *text, struct mr_fault *fault)
{
    struct mr_prefix prefix;

    if (strchr(text, '/') == NULL || !mr_prefix_parse(text, &prefix)) {
        mr_fault_set(fault, EINVAL,
                     "--addr %s: not an address with its prefix, like 198.18.0.2/24 or fd00::2/64",
                     text);
        return false;
    }
    if (!mr_ip_is_unicast(&prefix.ip) || mr_prefix_is_broadcast(&prefix, &prefix.ip)) {
        mr_fault_set(fault, EINVAL, "--addr %s: not the address of one host; choose another", text);
        return false;
    }
    if (mr_net_self_has(&host->self, &prefix.ip)) {
        mr_fault_set(fault, EINVAL, "--addr %s: given twice; leave one out", text);
        return false;
    }
    if (host->self.address_count == MR_NET_ADDRESSES_MAX) {
        mr_fault_set(fault, E2BIG, "--addr: more than %d addresses", MR_NET_ADDRESSES_MAX);
        return false;
    }
    host->self.address[host->self.address_count++] = prefix;
    return true;
}

static bool is_on_link(const struct mr_host *host, const struct mr_ip *ip)
{
    for (uint32_t i = 0; i < host->self.address_count; i++) {
        if (mr_prefix_contains(&host->self.address[i], ip))
            return true;
    }
    return mr_ip_is_link_local(ip) && !mr_ip_is_v4(ip);
}

static bool add_gateway(struct mr_host *host, const char *text, struct mr_fault *fault)
{
    struct mr_ip ip;

    if (!mr_ip_parse(text, &ip) || !mr_ip_is_unicast(&ip)) {
        mr_fault_set(fault, EINVAL, "--gateway %s: not an address, like 198.18.0.1", text);
        return false;
    }
    if (mr_net_self_has(&host->self, &ip)) {
        mr_fault_set(fault, EINVAL, "--gateway %s: that is our own address; name the router's",
                     text);
        return false;
    }
    if (!is_on_link(host, &ip)) {
        mr_fault_set(fault, EINVAL, "--gateway %s: in no network of --addr; check both", text);
        return false;
    }
    struct mr_ip *to = mr_ip_is_v4(&ip) ? &host->gateway4 : &host->gateway6;
    if (!mr_ip_is_unspecified(to)) {
        mr_fault_set(fault, EINVAL, "--gateway %s: there is one for this family already", text);
        return false;
    }
    *to = ip;
    return true;
}

static bool plan_addresses(struct mr_host *host, struct mr_fault *fault)
{
    const struct mr_host_options *o = &host->options;

    if (o->addresses.count == 0) {
        mr_fault_set(fault, EINVAL,
                     "no address of our own; give one that is free on the port's network, like "
                     "--addr 198.18.0.2/24");
        return false;
    }
    for (uint32_t i = 0; i < o->addresses.count; i++) {
        if (!add_address(host, o->addresses.text[i], fault))
            return false;
    }
    for (uint32_t i = 0; i < o->gateways.count; i++) {
        if (!add_gateway(host, o->gateways.text[i], fault))
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------ servers of others */

bool mr_host_has_family(const struct mr_host *host, bool is_v4)
{
    for (uint32_t i = 0; i < host->self.address_count; i++) {
        if (mr_ip_is_v4(&host->self.address[i].ip) == is_v4)
            return true;
    }
    return false;
}

bool mr_host_check_route(const struct mr_host *host, const struct mr_ip *server,
                         struct mr_fault *fault)
{
    bool is_v4 = mr_ip_is_v4(server);
    char text[MR_IP_TEXT];

    mr_ip_format(server, text);
    if (!mr_host_has_family(host, is_v4)) {
        mr_fault_set(fault, EAFNOSUPPORT,
                     "%s is an IPv%c address and --addr has none; add one of that family", text,
                     is_v4 ? '4' : '6');
        return false;
    }
    for (uint32_t i = 0; i < host->self.address_count; i++) {
        if (mr_ip_equal(&host->self.address[i].ip, server)) {
            mr_fault_set(fault, EINVAL,
                         "%s is the address that --addr gives this command itself; give it another "
                         "that is free on that network",
                         text);
            return false;
        }
    }
    for (uint32_t i = 0; i < host->self.address_count; i++) {
        if (mr_prefix_contains(&host->self.address[i], server))
            return true;
    }
    if (!mr_ip_is_unspecified(is_v4 ? &host->gateway4 : &host->gateway6))
        return true;
    mr_fault_set(fault, ENETUNREACH,
                 "no route to %s: it is in no network of --addr; name the router with --gateway IP",
                 text);
    return false;
}

uint16_t mr_host_client_port(const struct mr_host *host)
{
    uint16_t random = 0;
    uint32_t ports = mr_client_ports_first_max(host->options.shards) - PORT_FIRST + 1;

    (void)getrandom(&random, sizeof(random), 0);
    return (uint16_t)(PORT_FIRST + random % ports);
}

size_t mr_host_names(const struct mr_host *host, char text[][MR_IP_TEXT], const char *names_out[])
{
    const struct mr_net_self *self = &host->self;

    for (size_t i = 0; i < self->address_count; i++)
        names_out[i] = mr_ip_format(&self->address[i].ip, text[i]);
    return self->address_count;
}

/* ------------------------------------------------------------------ plan */

static bool plan_port(const struct mr_host *host, struct mr_fault *fault)
{
    const char *rest;

    if (host->options.port == NULL) {
        mr_fault_set(fault, EINVAL,
                     "no port; give one, like --port tap:mr0 (root) or --port af_packet:eth0");
        return false;
    }
    const struct mr_port_kind *kind = mr_port_kind_find(host->options.port, &rest, fault);
    if (kind != NULL && kind->check(rest, fault))
        return true;
    mr_fault_add_context(fault, 0, "port %s", host->options.port);
    return false;
}

bool mr_host_plan(struct mr_host *host, const struct mr_host_options *options,
                  struct mr_fault *fault)
{
    memset(host, 0, sizeof(*host));
    host->options = *options;
    host->keylog.fd = -1;
    if (options->port != NULL && strcmp(options->port, "loopback") == 0) {
        mr_fault_set(fault, EINVAL,
                     "--port loopback: it joins the two ends of one process (`millrace host`), and "
                     "this command is one end; give another kind, such as memif:, to both");
        return false;
    }
    return plan_port(host, fault) && plan_addresses(host, fault) &&
           (options->cores == NULL || mr_eal_check_cores(options->cores, fault));
}

/* ------------------------------------------------------------------ addresses of others */

static struct mr_ip ip_of(const struct sockaddr *address)
{
    struct mr_ip ip = {0};

    if (address->sa_family == AF_INET)
        ip = mr_ip_from_v4(
            (const uint8_t *)&((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr);
    else if (address->sa_family == AF_INET6)
        memcpy(ip.bytes, &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr, 16);
    return ip;
}

/* Not an address of ours. */
static bool check_interface(const struct mr_host *host, const struct ifaddrs *interface,
                            struct mr_fault *fault)
{
    char text[MR_IP_TEXT];
    struct mr_ip ip;

    if (interface->ifa_addr == NULL)
        return true;
    ip = ip_of(interface->ifa_addr);
    if (!mr_net_self_has(&host->self, &ip))
        return true;
    mr_fault_set(fault, EADDRINUSE,
                 "--addr %s: this machine's kernel has that address, on %s; choose one that is "
                 "free, or take it away with `ip addr del`",
                 mr_ip_format(&ip, text), interface->ifa_name);
    return false;
}

bool mr_host_check_addresses(const struct mr_host *host, struct mr_fault *fault)
{
    struct ifaddrs *interfaces = NULL;
    bool is_good = true;

    if (!mr_port_is_kernels(host->options.port) || getifaddrs(&interfaces) != 0)
        return true;
    for (const struct ifaddrs *i = interfaces; i != NULL && is_good; i = i->ifa_next)
        is_good = check_interface(host, i, fault);
    freeifaddrs(interfaces);
    return is_good;
}

bool mr_host_check_network(const struct mr_host *host, struct mr_fault *fault)
{
    struct mr_net_counters counters;
    char list[MR_NET_ADDRESSES_MAX * (MR_IP_TEXT + 4)] = "";
    size_t used = 0;

    mr_group_net_counters(&host->group, &counters);
    if (counters.net_dad_conflict == 0)
        return true;
    for (uint32_t i = 0; i < host->self.address_count; i++) {
        char text[MR_IP_TEXT];

        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i > 0 ? " or " : "",
                                 mr_ip_format(&host->self.address[i].ip, text));
    }
    mr_fault_set(fault, EADDRINUSE,
                 "another host on the network of %s has %s, too; choose an --addr that is free",
                 host->options.port, list);
    return false;
}

/* ------------------------------------------------------------------ open */

static bool start_eal(struct mr_host *host, const struct mr_host_config *config,
                      struct mr_fault *fault)
{
    const struct mr_host_options *o = &host->options;
    uint32_t workers = mr_group_workers(o->shards, o->io_lcores);
    uint32_t mbufs = workers * (config->rx_mbufs + MR_SHARD_POOL_MBUFS);
    struct mr_eal_config eal = {.cores = o->cores,
                                .worker_count = workers,
                                .memory_mb =
                                    MR_SETUP_BASE_MB + mbufs * mr_setup_mbuf_kb(o->mtu) / 1024,
                                .hugepages = (enum mr_hugepages)o->hugepages,
                                .is_verbose = o->is_verbose};
    char card[MR_PCI_ADDRESS];
    const char *const cards[] = {card};

    if (mr_pci_of_spec(o->port, card)) {
        eal.cards = cards;
        eal.card_count = 1;
        if (!mr_pci_check(MR_PCI_DEVICES, card, fault)) {
            mr_fault_add_context(fault, 0, "port %s", o->port);
            return false;
        }
    }
    host->has_eal = mr_eal_start(&eal, fault);
    return host->has_eal;
}

static struct mr_shard_config shard_config(const struct mr_host *host,
                                           const struct mr_host_config *config)
{
    struct mr_shard_config shard = mr_shard_setup(&(struct mr_shard_setup){
        .server = config->server,
        .client = config->client,
        .crypto = mr_crypto_of(host->options.crypto),
        .polling = host->options.polling == 0 ? MR_POLLING_ADAPTIVE : MR_POLLING_BUSY,
        .local_port = config->local_port,
        .connections = config->connections,
        .awake = config->awake,
        .sleep_after_ns = SLEEP_AFTER,
        .rx_mbufs = config->rx_mbufs,
        .has_retry = config->has_retry,
        .mtu = host->options.mtu,
        .congestion = (enum mr_cc_kind)host->options.congestion,
        .has_ecn = host->options.ecn == 0,
        .key_update_after = config->key_update_after,
        .idle_timeout_ns = config->idle_timeout_ns,
        .keep_alive_ns = config->keep_alive_ns,
        .stream_window_max = config->stream_window_max,
        .conn_window_max = config->conn_window_max,
        .streams_bidi_max = config->streams_bidi_max,
        .streams_uni_max = config->streams_uni_max > 0 ? config->streams_uni_max : STREAMS_UNI,
        .extensions =
            MR_EXTENSIONS_DEFAULT | (config->paths_max > 1 ? (uint32_t)MR_EXTENSION_MULTIPATH : 0),
        .paths_max = config->paths_max,
        .node = 1,
        .self = &host->self,
        .gateway4 = host->gateway4,
        .gateway6 = host->gateway6,
        .work = host->work,
        .tls_work = host->tls_work,
        .keylog_fd = host->keylog.fd,
        .tokens = &host->secrets,
        .preferred = {config->preferred[0], config->preferred[1]},
    });

    shard.close_code = MR_H3_NO_ERROR;
    if (config->payload_max > 0)
        shard.endpoint.payload_max = config->payload_max;
    return shard;
}

static bool make_group(struct mr_host *host, const struct mr_host_config *config,
                       struct mr_fault *fault)
{
    struct mr_group_config group = {
        .name = config->name,
        .spec = host->options.port,
        .shard_count = host->options.shards,
        .io_lcores = host->options.io_lcores,
        .shard = shard_config(host, config),
        .applications = config->applications,
        .rx_mbufs = config->rx_mbufs,
        .mtu = (uint16_t)host->options.mtu,
    };

    uint16_t ports[2];

    group.shard.more_ports = ports;
    for (int i = 0; i < 2; i++) {
        if (config->preferred[i].port != 0)
            ports[group.shard.more_port_count++] = config->preferred[i].port;
    }
    return mr_group_make(&host->group, &group, fault);
}

static bool open_secrets(struct mr_host *host, const char *path, struct mr_fault *fault)
{
    struct mr_token_file file;

    if (path == NULL) {
        (void)getrandom(host->secrets.reset, sizeof(host->secrets.reset), 0);
        return true;
    }
    if (mr_token_file_open(&file, path, &host->secrets, fault) == 0)
        return true;
    mr_fault_add_context(fault, 0, "--token-key-file");
    return false;
}

/* The folder for qlog files; NULL: none.  The environment variable is what
 * draft-ietf-quic-qlog-main-schema calls it. */
static const char *qlog_folder(const struct mr_host *host)
{
    const char *folder =
        host->options.qlog_folder != NULL ? host->options.qlog_folder : getenv("QLOGDIR");

    return folder != NULL && folder[0] != '\0' ? folder : NULL;
}

static bool open_qlog(struct mr_host *host, struct mr_fault *fault)
{
    const char *folder = qlog_folder(host);

    if (folder == NULL)
        return true;
    host->qlog = mr_qlog_open(&(struct mr_qlog_config){.folder = folder}, fault);
    if (host->qlog == NULL)
        mr_fault_add_context(fault, 0, "--qlog-dir");
    return host->qlog != NULL;
}

static bool begin_traces(struct mr_host *host, struct mr_fault *fault)
{
    uint32_t what = host->options.qlog == 0 ? MR_TRACE_EVENTS : 0;

    return host->qlog == NULL || mr_group_trace_begin(&host->group, host->qlog, what, fault);
}

static bool start_helpers(struct mr_host *host, const struct mr_host_config *config,
                          struct mr_fault *fault)
{
    host->work = mr_work_pool_start(config->helpers, host->options.shards, fault);
    if (host->work == NULL || config->tls_helpers == 0)
        return host->work != NULL;
    host->tls_work = mr_work_pool_start(config->tls_helpers, host->options.shards, fault);
    return host->tls_work != NULL;
}

bool mr_host_open(struct mr_host *host, const struct mr_host_config *config, struct mr_fault *fault)
{
    if (!open_secrets(host, config->token_key_file, fault) ||
        !mr_host_check_addresses(host, fault) ||
        !mr_keylog_open(&host->keylog, host->options.keylog, "--keylog", fault) ||
        !open_qlog(host, fault) || !start_eal(host, config, fault))
        return false;
    return start_helpers(host, config, fault) && make_group(host, config, fault) &&
           begin_traces(host, fault);
}

void mr_host_launch(struct mr_host *host)
{
    mr_group_launch(&host->group);
}

void mr_host_stop(struct mr_host *host, uint64_t patience_ns)
{
    mr_group_stop(&host->group, patience_ns);
    mr_group_join(&host->group);
}

uint32_t mr_host_close(struct mr_host *host)
{
    uint32_t leaked = 0;

    if (host->has_eal)
        mr_group_free(&host->group, &leaked);
    mr_work_pool_stop(host->work);
    mr_work_pool_stop(host->tls_work);
    host->work = host->tls_work = NULL;
    mr_qlog_close(host->qlog);
    host->qlog = NULL;
    mr_keylog_close(&host->keylog);
    return leaked;
}

bool mr_host_wait_for_port(const struct mr_host *host, double seconds, struct mr_fault *fault)
{
    uint64_t until = clock_ns() + (uint64_t)(seconds * 1e9);

    while (!mr_port_is_up(host->group.port)) {
        if (mr_signal_wait(PORT_POLL_NS)) {
            mr_fault_set(fault, EINTR, "interrupted");
            return false;
        }
        if (clock_ns() < until)
            continue;
        mr_fault_set(fault, ENETDOWN,
                     "port %s is down for %g s; set the other side up: the interface, or memif's "
                     "peer",
                     host->options.port, seconds);
        return false;
    }
    return true;
}

void mr_tool_complain(const char *command, const struct mr_fault *fault)
{
    fprintf(stderr, "millrace %s: %s\n", command, fault->text);
}

/* ------------------------------------------------------------------ signals */

static bool ignores_hangup; /* as nohup(1) wants it */

static void fill_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    if (!ignores_hangup)
        sigaddset(set, SIGHUP);
}

void mr_signal_block(void)
{
    struct sigaction hangup;
    sigset_t set;

    ignores_hangup = sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler == SIG_IGN;
    fill_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

bool mr_signal_wait(uint64_t ns)
{
    uint64_t until = clock_ns() + ns;
    sigset_t set;

    fill_signals(&set);
    for (;;) { /* a port's driver may interrupt us with signals of its own */
        uint64_t now = clock_ns();
        uint64_t left = now < until ? until - now : 0;
        struct timespec span = {.tv_sec = (time_t)(left / MR_SECOND),
                                .tv_nsec = (long)(left % MR_SECOND)};

        if (sigtimedwait(&set, NULL, &span) > 0)
            return true;
        if (errno != EINTR)
            return false;
    }
}

bool mr_signal_wait_beside(int fd, uint64_t ns)
{
    struct signalfd_siginfo info;
    sigset_t set;

    fill_signals(&set);
    int signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (signal_fd < 0) /* no descriptor is left: then by turns */
        return mr_signal_wait(MR_MIN(ns, 10 * MR_MS));
    struct pollfd fds[2] = {{.fd = signal_fd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    (void)poll(fds, 2, (int)MR_MIN((ns + MR_MS - 1) / MR_MS, UINT64_C(1000000)));
    bool has_signal = read(signal_fd, &info, sizeof(info)) > 0;
    close(signal_fd);
    return has_signal;
}
