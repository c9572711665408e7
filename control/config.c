#include "control/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "base/ring_region.h"
#include "control/cpu_list.h"
#include "control/early_data.h"
#include "dataplane/work_pool.h"
#include "millrace/path.h"
#include "millrace/ring_layout.h"
#include "millrace/transport.h"
#include "quic/cid.h"
#include "quic/extensions.h"

#define MTU_DEFAULT   1500

#define SECOND        UINT64_C(1000000000)
#define DAY           (86400 * SECOND)
#define KIB           UINT64_C(1024)
#define MIB           (KIB * 1024)
#define GIB           (MIB * 1024)
#define DNS_MAX       253
#define LABEL_MAX     63
#define WINDOW_MAX    (UINT64_C(1) << 40)
#define SHARDS_MAX    64
#define IO_LCORES_MAX 8

/* ------------------------------------------------------------------ checks of texts */

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

static bool check_name(char *text, struct mr_fault *fault)
{
    if (text[strspn(text, letters)] == '\0')
        return true;
    mr_fault_set(fault, EINVAL, "\"%s\" is no name; use letters, digits, '.', '_' and '-'", text);
    return false;
}

static bool check_alpn(char *text, struct mr_fault *fault)
{
    for (const char *at = text; *at != '\0'; at++)
        if (*at <= 0x20 || *at > 0x7e) {
            mr_fault_set(fault, EINVAL, "is no protocol's name (ALPN); write one like h3");
            return false;
        }
    return true;
}

/* Labels of 1 to 63 characters with dots between. */
static bool is_dns_name(const char *text)
{
    size_t label = 0;

    for (; *text != '\0'; text++) {
        if (*text == '.') {
            if (label == 0)
                return false;
            label = 0;
        } else if (strchr(letters, *text) == NULL || ++label > LABEL_MAX) {
            return false;
        }
    }
    return label > 0;
}

static bool check_server_name(char *text, struct mr_fault *fault)
{
    const char *rest = strncmp(text, "*.", 2) == 0 ? text + 2 : text;

    if (strlen(text) > DNS_MAX || !is_dns_name(rest)) {
        mr_fault_set(fault, EINVAL,
                     "\"%.60s\" is no server's name; write one like www.example.com "
                     "or *.example.com",
                     text);
        return false;
    }
    for (char *at = text; *at != '\0'; at++)
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at - 'A' + 'a');
    return true;
}

static bool check_address(char *text, struct mr_fault *fault)
{
    struct mr_prefix prefix;

    if (strchr(text, '/') == NULL || !mr_prefix_parse(text, &prefix))
        mr_fault_set(fault, EINVAL,
                     "\"%s\" is no address with its network's prefix; write one like 198.18.0.2/24 "
                     "or fd00::2/64",
                     text);
    else if (!mr_ip_is_unicast(&prefix.ip) || mr_prefix_is_broadcast(&prefix, &prefix.ip))
        mr_fault_set(fault, EINVAL, "%s is not the address of one host; choose another", text);
    else
        return true;
    return false;
}

static bool check_gateway(char *text, struct mr_fault *fault)
{
    struct mr_ip ip;

    if (mr_ip_parse(text, &ip) && mr_ip_is_unicast(&ip))
        return true;
    mr_fault_set(fault, EINVAL, "\"%s\" is no address; write one like 198.18.0.1", text);
    return false;
}

static bool check_preferred(char *text, struct mr_fault *fault)
{
    struct mr_ip ip;
    uint16_t port = 0;

    if (mr_ip_port_parse(text, &ip, &port))
        return true;
    mr_fault_set(fault, EINVAL,
                 "\"%s\" is no address; write one like 198.18.0.3, 198.18.0.3:4433 or "
                 "[fd00::3]:4433",
                 text);
    return false;
}

static bool check_cores(char *text, struct mr_fault *fault)
{
    struct mr_cpu_list list;

    return mr_cpu_list_parse(text, NULL, &list, fault);
}

/* ------------------------------------------------------------------ the table */

static const char *const hugepages[] = {"auto", "required", "off", NULL};
static const char *const pollings[] = {"adaptive", "busy", NULL};
const char *const mr_config_congestions[] = {"cubic", "newreno", "prague", "bbr",
                                             NULL}; /* enum mr_cc_kind */
const char *const mr_config_ecns[] = {"auto", "off", NULL};
static const char *const cryptos[] = {"auto", "openssl", "ipsec-mb", NULL};
static const char *const discoveries[] = {"off", "observe", "ask", "both", NULL};
static const char *const cid_kinds[] = {[MR_CID_QUIC_LB] = "quic-lb",
                                        [MR_CID_KATRAN_1] = "katran-v1",
                                        [MR_CID_KATRAN_2] = "katran-v2",
                                        [MR_CID_KATRAN_3] = "katran-v3",
                                        NULL};
static const char *const switches[] = {"off", "on", NULL};
static const char *const retries[] = {"auto", "always", NULL};
static const char *const balances[] = {
    [MR_BALANCE_OFF] = "off", [MR_BALANCE_LOAD] = "load", [MR_BALANCE_RSS] = "rss", NULL};
static const char *const qlog_connections[] = {"all", "asked", NULL};
static const char *const unknown_names[] = {"default", "refuse", NULL};
static const char *const policies[] = {[MR_HANDOFF_ROUND_ROBIN] = "round-robin",
                                       [MR_HANDOFF_LEAST_LOADED] = "least-loaded",
                                       [MR_HANDOFF_ACCEPT] = "accept",
                                       NULL};
static const char *const deaths[] = {
    [MR_DEATH_CLOSE] = "close", [MR_DEATH_INHERIT] = "inherit", NULL};

/* Where a member is, and how wide: of struct mr_config, or of an item. */
#define AT(type, member) .offset = offsetof(type, member), .width = sizeof(((type *)0)->member)
#define HERE(member)     AT(struct mr_config, member)
#define LIST(type, member, count, max)                                                             \
    .offset = offsetof(type, member), .width = sizeof(((type *)0)->member[0]),                     \
    .count_offset = offsetof(type, count), .count_max = (max)

/* It gets addresses of its own. */
static bool is_loopback(const void *item)
{
    return strcmp(((const struct mr_config_port *)item)->spec, "loopback") == 0;
}

static const struct mr_setting port_settings[] = {
    {"spec", "port", "SPEC",
     "the port: tap:NAME, af_packet:IFACE, af_xdp:IFACE, pci:ADDRESS or "
     "memif:role=ROLE,socket=PATH",
     MR_SETTING_TEXT, .is_required = true, AT(struct mr_config_port, spec)},
    {"addresses", "addr", "IP/BITS", "our addresses, each with its network's prefix",
     MR_SETTING_TEXT, .is_required = true, .spares = is_loopback, .check = check_address,
     LIST(struct mr_config_port, addresses, address_count, MR_CONFIG_ADDRESSES)},
    {"gateways", "gateway", "IP", "who passes packets on to other networks; one for each family",
     MR_SETTING_TEXT, .check = check_gateway,
     LIST(struct mr_config_port, gateways, gateway_count, MR_CONFIG_GATEWAYS)},
    {"preferred", "preferred", "IP:PORT",
     "of the addresses, one of each family that clients are asked to go to; without port: the "
     "first",
     MR_SETTING_TEXT, .check = check_preferred,
     LIST(struct mr_config_port, preferred, preferred_count, MR_CONFIG_PREFERRED)},
    {.path = NULL},
};

static void init_certificate(void *item)
{
    struct mr_config_certificate *certificate = item;

    certificate->has_early_data = true;
}

static const struct mr_setting certificate_settings[] = {
    {"names", NULL, "NAME",
     "the servers it is for, *.NAME for any label; the first certificate may "
     "have none",
     MR_SETTING_TEXT, .check = check_server_name,
     LIST(struct mr_config_certificate, names, name_count, MR_CONFIG_NAMES)},
    {"certificate", "cert", "PEM", "file of the certificate and its chain", MR_SETTING_PATH,
     .is_required = true, AT(struct mr_config_certificate, certificate)},
    {"key", "key", "PEM", "file of its private key", MR_SETTING_PATH, .is_required = true,
     AT(struct mr_config_certificate, key)},
    {"alpn", NULL, "NAME", "it is for clients that offer one of these protocols; without it: all",
     MR_SETTING_TEXT, .check = check_alpn,
     LIST(struct mr_config_certificate, alpn, alpn_count, MR_CONFIG_ALPN)},
    {"ocsp", "ocsp", "FILE", "OCSP response (DER) to staple; a wrong or old one is not",
     MR_SETTING_PATH, AT(struct mr_config_certificate, ocsp)},
    {"early_data", NULL, NULL, "offer 0-RTT, if tls.early_data is on", MR_SETTING_FLAG,
     AT(struct mr_config_certificate, has_early_data)},
    {.path = NULL},
};

static const struct mr_setting listener_settings[] = {
    {"name", NULL, "NAME", "how applications ask for it", MR_SETTING_TEXT, .is_required = true,
     .check = check_name, AT(struct mr_handoff_listener, name)},
    {"application", NULL, "NAME", "who serves it: rings of that name, or the inline application",
     MR_SETTING_TEXT, .is_required = true, .check = check_name,
     AT(struct mr_handoff_listener, application)},
    {"alpn", NULL, "NAME", "protocol that clients must offer", MR_SETTING_TEXT, .is_required = true,
     .check = check_alpn, AT(struct mr_handoff_listener, alpn)},
    {"port", NULL, "N", "UDP port; 0: any that is open", MR_SETTING_NUMBER, .max = UINT16_MAX,
     AT(struct mr_handoff_listener, port)},
    {"server_name", NULL, "NAME",
     "server that clients must name (SNI), *.NAME for any label; "
     "without it: any",
     MR_SETTING_TEXT, .check = check_server_name, AT(struct mr_handoff_listener, server_name)},
    {"policy", NULL, "HOW", "which of the rings gets a connection", MR_SETTING_CHOICE,
     .choices = policies, AT(struct mr_handoff_listener, policy)},
    {"prefer_node", NULL, "YES", "rings of threads on the shard's NUMA node first", MR_SETTING_FLAG,
     AT(struct mr_handoff_listener, prefers_node)},
    {"on_death", NULL, "WHAT", "what becomes of connections whose application is gone",
     MR_SETTING_CHOICE, .choices = deaths, AT(struct mr_handoff_listener, death)},
    {"refuse_code", NULL, "N", "error code of connections that nobody takes", MR_SETTING_NUMBER,
     .max = MR_ERROR_CODE_MAX, AT(struct mr_handoff_listener, refuse_code)},
    {"death_code", NULL, "N", "error code of connections whose application is gone",
     MR_SETTING_NUMBER, .max = MR_ERROR_CODE_MAX, AT(struct mr_handoff_listener, death_code)},
    {"connections", NULL, "N", "at once, of one ring; 0: as many as its objects", MR_SETTING_NUMBER,
     .max = UINT32_MAX, AT(struct mr_handoff_listener, conns_max)},
    {.path = NULL},
};

static const struct mr_setting inline_settings[] = {
    {"name", NULL, "NAME", "how listeners name it", MR_SETTING_TEXT, .is_required = true,
     .check = check_name, AT(struct mr_config_inline, name)},
    {"object", NULL, "FILE", "the shared object", MR_SETTING_PATH, .is_required = true,
     AT(struct mr_config_inline, object)},
    {"argument", NULL, "TEXT", "what its start() is given", MR_SETTING_TEXT,
     AT(struct mr_config_inline, argument)},
    {.path = NULL},
};

static void init_listener(void *item)
{
    struct mr_handoff_listener *listener = item;

    listener->prefers_node = true;
}

/* The table's columns: in the file, on the command line, its argument, what it is, how it is read.
 */
const struct mr_setting mr_config_settings[] = {
    {"ports", "ports", "spec=SPEC,...", "the ports to serve on", MR_SETTING_ITEMS,
     .items = port_settings, .line_offset = offsetof(struct mr_config, port_line),
     LIST(struct mr_config, ports, port_count, MR_CONFIG_PORTS)},
    {"shards", "shards", "N", "polling threads, each on a core of its own", MR_SETTING_NUMBER,
     .min = 1, .max = SHARDS_MAX, HERE(shards)},
    {"io_lcores", "io-lcores", "N",
     "more of them for each port, which only receive and send; 0: the shards do", MR_SETTING_NUMBER,
     .max = IO_LCORES_MAX, HERE(io_lcores)},
    {"mtu", "mtu", "BYTES",
     "largest IP packet, if the port's is not smaller; above 1500 buffers take more memory",
     MR_SETTING_NUMBER, .min = 1280, .max = MR_CONFIG_MTU_MAX, HERE(mtu)},
    {"cores", "cores", "LIST", "CPUs to poll on, like 2,3 or 2-5; without it: any", MR_SETTING_TEXT,
     .check = check_cores, HERE(cores)},
    {"hugepages", "hugepages", "WHEN", "whether memory comes from huge pages", MR_SETTING_CHOICE,
     .choices = hugepages, HERE(hugepages)},
    {"polling", "polling", "MODE", "adaptive: sleep when idle; busy: never", MR_SETTING_CHOICE,
     .choices = pollings, HERE(polling)},
    {"crypto", "crypto", "LIB", "what seals packets", MR_SETTING_CHOICE, .choices = cryptos,
     HERE(crypto)},
    {"retry", "retry", "WHEN", "when addresses are validated: auto (under load) or always",
     MR_SETTING_CHOICE, .choices = retries, HERE(retry)},
    {"congestion", "congestion", "HOW", "congestion control of all connections", MR_SETTING_CHOICE,
     .choices = mr_config_congestions, HERE(congestion)},
    {"ecn", "ecn", "WHEN", "mark packets for ECN: auto (on paths that bear it) or off",
     MR_SETTING_CHOICE, .choices = mr_config_ecns, HERE(ecn)},
    {"congestion_resume", "congestion-resume", "ON",
     "begin with what a client's last connection had, once its round trip is confirmed",
     MR_SETTING_CHOICE, .choices = switches, HERE(congestion_resume)},
    {"balance", "balance", "HOW",
     "move connections: load, away from busy shards; rss, to where their datagrams arrive",
     MR_SETTING_CHOICE, .choices = balances, HERE(balance.kind)},
    {"balance_moves", "balance-moves", "N", "of these, that a shard begins in a second",
     MR_SETTING_NUMBER, .min = 1, .max = 100000, HERE(balance.moves)},
    {"balance_gap", "balance-gap", "N",
     "load: per cent of the time that a shard is busier than another", MR_SETTING_NUMBER, .min = 1,
     .max = 100, HERE(balance.gap_percent)},
    {"balance_busy", "balance-busy", "N", "load: per cent of the time that it is busy, too",
     MR_SETTING_NUMBER, .min = 1, .max = 100, HERE(balance.busy_percent)},
    {"balance_stay", "balance-stay", "TIME", "a connection that has moved stays so long",
     MR_SETTING_TIME, .max = DAY, HERE(balance.stay_ns)},
    {"telemetry", "telemetry", NULL, "open DPDK's telemetry socket", MR_SETTING_FLAG,
     HERE(has_telemetry)},
    {"verbose", "verbose", NULL, "show DPDK's log", MR_SETTING_FLAG, HERE(is_verbose)},
    {"keylog", "keylog", "FILE", "append TLS secrets, to decrypt captures with", MR_SETTING_PATH,
     HERE(keylog)},
    {"qlog.folder", "qlog-dir", "DIR", "write a qlog file there for each connection",
     MR_SETTING_PATH, HERE(qlog.folder)},
    {"qlog.connections", "qlog", "WHICH",
     "those that are traced: all, or those asked for by `millrace ctl qlog`", MR_SETTING_CHOICE,
     .choices = qlog_connections, HERE(qlog.connections)},
    {"qlog.files", "qlog-files", "N", "begun in all; later connections are not traced",
     MR_SETTING_NUMBER, .min = 1, .max = 10000000, HERE(qlog.files)},
    {"qlog.file_bytes", "qlog-file-bytes", "SIZE", "of one file; there it ends", MR_SETTING_SIZE,
     .min = 64 * KIB, .max = 64 * GIB, HERE(qlog.file_bytes)},

    {"drain", "drain", "TIME", "wait so long for connections at the end", MR_SETTING_TIME,
     .max = DAY, HERE(drain_ns)},

    {"control.socket", "control", "PATH", "Unix socket for applications and commands",
     MR_SETTING_PATH, HERE(control.socket)},
    {"control.mode", "control-mode", "OCTAL", "its permissions", MR_SETTING_MODE,
     HERE(control.mode)},
    {"control.group", "control-group", "NAME", "its group; without it: the process's",
     MR_SETTING_TEXT, .check = check_name, HERE(control.group)},
    {"control.attachments", "attachments", "N", "threads of applications at once",
     MR_SETTING_NUMBER, .min = 1, .max = 4096, HERE(control.attachments)},
    {"control.attachments_per_user", "attachments-per-user", "N", "of these, of one user",
     MR_SETTING_NUMBER, .min = 1, .max = 4096, HERE(control.attachments_per_user)},
    {"control.region_bytes", "region-bytes", "SIZE", "shared memory of one attachment",
     MR_SETTING_SIZE, .min = 64 * KIB, .max = 64 * GIB, HERE(control.region_bytes)},
    {"control.user_bytes", "user-bytes", "SIZE",
     "shared memory of one user's attachments; 0: half of all's", MR_SETTING_SIZE,
     .max = 1024 * GIB, HERE(control.user_bytes)},
    {"control.total_bytes", "total-bytes", "SIZE", "shared memory of all attachments",
     MR_SETTING_SIZE, .min = 64 * KIB, .max = 1024 * GIB, HERE(control.total_bytes)},

    {"limits.connections", "connections", "N", "at once, of all shards", MR_SETTING_NUMBER,
     .min = 1, .max = 10000000, HERE(limits.connections)},
    {"limits.awake", "awake", "N", "of them awake at once; the others sleep; 0: all are awake",
     MR_SETTING_NUMBER, .max = 10000000, HERE(limits.awake)},
    {"limits.sleep_after", "sleep-after", "TIME",
     "a connection at rest may be put to sleep after it", MR_SETTING_TIME, .max = DAY,
     HERE(limits.sleep_after_ns)},
    {"limits.connects", "connects", "N", "that one ring opens; 0: a quarter of its shard's",
     MR_SETTING_NUMBER, .max = 10000000, HERE(limits.connects)},
    {"limits.streams", "streams", "N", "that a peer may have open, of each kind", MR_SETTING_NUMBER,
     .min = 3 /* RFC 9114, Section 6.2 */, .max = 65536, HERE(limits.streams)},
    {"limits.stream_window", "stream-window", "SIZE", "unread data of a stream", MR_SETTING_SIZE,
     .min = 4 * KIB, .max = WINDOW_MAX, HERE(limits.stream_window_bytes)},
    {"limits.connection_window", "connection-window", "SIZE", "unread data of a connection",
     MR_SETTING_SIZE, .min = 4 * KIB, .max = WINDOW_MAX, HERE(limits.conn_window_bytes)},
    {"limits.idle_timeout", "idle-timeout", "TIME", "a silent connection ends after it",
     MR_SETTING_TIME, .min = SECOND, .max = DAY, HERE(limits.idle_timeout_ns)},

    {"transport.spin_bit", "spin-bit", "ON",
     "the spin bit shows observers the round trip, on 15 of 16 paths", MR_SETTING_CHOICE,
     .choices = switches, HERE(transport.spin_bit)},
    {"transport.quic_bit", "quic-bit", "ON",
     "the QUIC bit is random for peers that take it (RFC 9287)", MR_SETTING_CHOICE,
     .choices = switches, HERE(transport.quic_bit)},
    {"transport.ack_frequency", "ack-frequency", "ON",
     "senders say how often they need acknowledgments", MR_SETTING_CHOICE, .choices = switches,
     HERE(transport.ack_frequency)},
    {"transport.reset_stream_at", "reset-stream-at", "ON",
     "resets of streams may leave bytes that are delivered", MR_SETTING_CHOICE, .choices = switches,
     HERE(transport.reset_stream_at)},
    {"transport.address_discovery", "address-discovery", "HOW",
     "tell peers the addresses we see them at (observe), ask for ours (ask), or both",
     MR_SETTING_CHOICE, .choices = discoveries, HERE(transport.address_discovery)},
    {"transport.paths", "paths", "N",
     "that a connection may have at a time (draft-ietf-quic-multipath); 1: not offered",
     MR_SETTING_NUMBER, .min = 1, .max = MR_PATHS_MAX, HERE(transport.paths)},
    {"transport.keep_alive", "keep-alive", "TIME",
     "silence after which a client that awaits an answer sends a PING; 0: none", MR_SETTING_TIME,
     .max = DAY, HERE(transport.keep_alive_ns)},

    {"routing.format", "cid-format", "NAME",
     "the load balancer's: QUIC-LB, or one of three versions of Katran's", MR_SETTING_CHOICE,
     .choices = cid_kinds, HERE(routing.format)},
    {"routing.node", "node", "N",
     "number of this process among those behind a load balancer; QUIC-LB: up to 4095, Katran: a "
     "host ID from 1 on",
     MR_SETTING_NUMBER, .max = UINT32_MAX, HERE(routing.node)},
    {"routing.config", "cid-config", "N", "the load balancer's number of this configuration",
     MR_SETTING_NUMBER, .max = MR_CID_CONFIGS - 1, HERE(routing.config)},
    {"routing.key_file", "cid-key-file", "FILE",
     "key that encrypts connection IDs, 32 hexadecimal digits; without it: plain text",
     MR_SETTING_PATH, HERE(routing.key_file)},
    {"routing.renew_after", "cid-renew-after", "TIME",
     "peers are asked to go over to new connection IDs after it; 0: never", MR_SETTING_TIME,
     .max = DAY, HERE(routing.renew_after_ns)},
    {"routing.card_rules", "card-rules", "ON",
     "network cards choose shards by connection ID, where they can", MR_SETTING_CHOICE,
     .choices = switches, HERE(routing.card_rules)},

    {"rings.submissions", "ring-submissions", "N", "entries of a submission queue, a power of two",
     MR_SETTING_NUMBER, .min = MR_RING_ENTRIES_MIN, .max = MR_RING_ENTRIES_MAX,
     HERE(rings.submit_count)},
    {"rings.completions", "ring-completions", "N", "entries of a completion queue, a power of two",
     MR_SETTING_NUMBER, .min = MR_RING_ENTRIES_MIN, .max = MR_RING_ENTRIES_MAX,
     HERE(rings.complete_count)},
    {"rings.slot_bytes", "ring-slot-bytes", "SIZE", "of one receive slot, a power of two",
     MR_SETTING_SIZE, .min = 256, .max = MR_RING_SLOT_SIZE_MAX, HERE(rings.slot_bytes)},
    {"rings.slots", "ring-slots", "N", "receive slots of a ring, a power of two", MR_SETTING_NUMBER,
     .min = MR_RING_ENTRIES_MIN, .max = MR_RING_ENTRIES_MAX, HERE(rings.slot_count)},
    {"rings.send_bytes", "ring-send-bytes", "SIZE", "memory for data to send", MR_SETTING_SIZE,
     .min = 4 * KIB, .max = 64 * GIB, HERE(rings.send_bytes)},
    {"rings.objects", "ring-objects", "N", "connections and streams of a ring at once",
     MR_SETTING_NUMBER, .min = 2, .max = 1 << 20, HERE(rings.objects_max)},
    {"rings.sends", "ring-sends", "N", "SENDs of a ring that are not acknowledged",
     MR_SETTING_NUMBER, .min = 1, .max = 1 << 20, HERE(rings.sends_max)},

    {"tls.certificates", "certificate", "names=A:B,certificate=PEM,key=PEM",
     "certificates by server name; the first is the default", MR_SETTING_ITEMS,
     .items = certificate_settings, .item_init = init_certificate,
     .line_offset = offsetof(struct mr_config, certificate_line),
     LIST(struct mr_config, tls.certificates, tls.certificate_count, MR_CONFIG_CERTIFICATES)},
    {"tls.unknown_name", "unknown-name", "WHAT",
     "clients that name no server of ours: the default certificate, or refuse", MR_SETTING_CHOICE,
     .choices = unknown_names, HERE(tls.unknown_name)},
    {"tls.early_data", "early-data", "ON",
     "0-RTT with every certificate; a copy of a first flight is not taken (RFC 9001, Section 9.2)",
     MR_SETTING_CHOICE, .choices = switches, HERE(tls.early_data)},
    {"tls.early_data_entries", "early-data-entries", "N",
     "first flights of half a minute that are remembered; more: no 0-RTT", MR_SETTING_NUMBER,
     .min = MR_REPLAY_SIZE_LEAST, .max = UINT32_C(1) << 28, HERE(tls.early_data_entries)},
    {"tls.helpers", "tls-helpers", "N",
     "threads that compute handshakes; 0: the polling threads do, in between", MR_SETTING_NUMBER,
     .max = MR_WORK_HELPERS_MAX, HERE(tls.helpers)},
    {"tls.tickets", "tickets", "N", "for resumption, per handshake", MR_SETTING_NUMBER, .max = 4,
     HERE(tls.tickets)},
    {"tls.ticket_key_file", "ticket-key-file", "FILE",
     "keys of tickets, shared by processes; without it: random", MR_SETTING_PATH,
     HERE(tls.ticket_key_file)},
    {"tls.ticket_rotation", "ticket-rotation", "TIME", "a new key of tickets after it; 0: never",
     MR_SETTING_TIME, .max = 30 * DAY, HERE(tls.ticket_rotation_ns)},
    {"tls.ticket_keys_kept", "ticket-keys-kept", "N", "earlier keys whose tickets still resume",
     MR_SETTING_NUMBER, .max = 7, HERE(tls.ticket_keys_kept)},
    {"tls.token_key_file", "token-key-file", "FILE",
     "secrets of stateless resets and address tokens, kept over a restart; without it: random",
     MR_SETTING_PATH, HERE(tls.token_key_file)},
    {"tls.token_rotation", "token-rotation", "TIME",
     "a new key of address tokens after it, which three more replace; 0: never", MR_SETTING_TIME,
     .max = 30 * DAY, HERE(tls.token_rotation_ns)},
    {"tls.watch", "tls-watch", "TIME", "look for changed certificates and keys; 0: never",
     MR_SETTING_TIME, .max = DAY, HERE(tls.watch_ns)},

    {"codes.refuse", "refuse-code", "N", "error code of connections that no listener matches",
     MR_SETTING_NUMBER, .max = MR_ERROR_CODE_MAX, HERE(codes.refuse)},
    {"codes.death", "death-code", "N",
     "error code of connections that an application opened which is gone", MR_SETTING_NUMBER,
     .max = MR_ERROR_CODE_MAX, HERE(codes.death)},

    {"inline", "inline", "name=NAME,object=FILE,...",
     "applications inside the datapath, on its polling threads", MR_SETTING_ITEMS,
     .items = inline_settings, .line_offset = offsetof(struct mr_config, inline_line),
     LIST(struct mr_config, inline_apps, inline_count, MR_CONFIG_INLINE)},
    {"listeners", "listener", "name=NAME,application=NAME,alpn=NAME,...",
     "who gets which connections; the first that matches counts", MR_SETTING_ITEMS,
     .items = listener_settings, .item_init = init_listener,
     .line_offset = offsetof(struct mr_config, listener_line),
     LIST(struct mr_config, handoff.listener, handoff.listener_count, MR_LISTENERS_MAX)},
    {.path = NULL},
};

/* ------------------------------------------------------------------ defaults */

void mr_config_init(struct mr_config *config)
{
    memset(config, 0, sizeof(*config));
    config->shards = 1;
    config->mtu = MTU_DEFAULT;
    config->drain_ns = 5 * SECOND;
    config->control = (struct mr_config_control){
        .socket = "/run/millrace.sock",
        .mode = 0660,
        .attachments = 64,
        .attachments_per_user = 16,
        .region_bytes = 256 * MIB,
        .total_bytes = GIB,
    };
    config->balance = (struct mr_config_balance){
        .moves = 20, .gap_percent = 20, .busy_percent = 50, .stay_ns = 5 * SECOND};
    config->limits = (struct mr_config_limits){
        .connections = 1000,
        .streams = 128,
        .stream_window_bytes = MIB,
        .conn_window_bytes = 4 * MIB,
        .idle_timeout_ns = 30 * SECOND,
        .sleep_after_ns = 2 * SECOND,
    };
    config->transport = (struct mr_config_transport){
        .spin_bit = 1, .quic_bit = 1, .ack_frequency = 1, .reset_stream_at = 1, .paths = 1};
    config->routing.node = 1;
    config->rings = (struct mr_config_rings){
        .submit_count = 1024,
        .complete_count = 2048,
        .slot_bytes = 4096,
        .slot_count = 1024,
        .send_bytes = 4 * MIB,
        .objects_max = 1024,
        .sends_max = 1024,
    };
    config->qlog = (struct mr_config_qlog){.files = 10000, .file_bytes = 256 * MIB};
    config->tls.tickets = 2;
    config->tls.early_data_entries = MR_EARLY_ENTRIES;
    config->tls.ticket_keys_kept = 2;
    config->tls.ticket_rotation_ns = DAY / 2;
    config->tls.token_rotation_ns = DAY / 2;
    config->tls.watch_ns = 10 * SECOND;
}

/* ------------------------------------------------------------------ finding rows */

const struct mr_setting *mr_config_find_path(const char *path, const struct mr_setting **list_out)
{
    const struct mr_setting *list = NULL;
    const struct mr_setting *found = NULL;

    for (const struct mr_setting *row = mr_config_settings; row->path != NULL; row++) {
        size_t size = strlen(row->path);

        if (strcmp(row->path, path) == 0)
            found = row;
        if (row->items == NULL || strncmp(row->path, path, size) != 0 || path[size] != '.')
            continue;
        for (const struct mr_setting *item = row->items; item->path != NULL; item++)
            if (strcmp(item->path, path + size + 1) == 0)
                found = item, list = row;
    }
    if (list_out != NULL)
        *list_out = list;
    return found;
}

static bool has_option(const struct mr_setting *row, const char *option)
{
    return row->option != NULL && strcmp(row->option, option) == 0;
}

const struct mr_setting *mr_config_find_option(const char *option,
                                               const struct mr_setting **list_out)
{
    const struct mr_setting *list = NULL;
    const struct mr_setting *found = NULL;

    for (const struct mr_setting *row = mr_config_settings; row->path != NULL; row++) {
        if (has_option(row, option))
            found = row;
        for (const struct mr_setting *item = row->items; item != NULL && item->path != NULL; item++)
            if (has_option(item, option))
                found = item, list = row;
    }
    if (list_out != NULL)
        *list_out = list;
    return found;
}

uint32_t mr_config_row_number(const struct mr_setting *wanted)
{
    uint32_t number = 0;

    for (const struct mr_setting *row = mr_config_settings; row->path != NULL; row++, number++) {
        if (row == wanted)
            return number;
        for (const struct mr_setting *item = row->items; item != NULL && item->path != NULL; item++)
            if (++number, item == wanted)
                return number;
    }
    MR_ASSERT(false);
    return 0;
}

static uint32_t line_of(const struct mr_config *config, const struct mr_setting *row)
{
    return row == NULL ? 0 : config->line[mr_config_row_number(row)];
}

void mr_config_name(const struct mr_config *config, const char *path, char name[MR_CONFIG_NAME])
{
    const struct mr_setting *row = mr_config_find_path(path, NULL);
    uint32_t line = line_of(config, row);
    bool is_key = line != MR_CONFIG_OPTION && (line > 0 || config->file[0] != '\0');

    if (row == NULL || row->option == NULL || is_key)
        snprintf(name, MR_CONFIG_NAME, "%s", path);
    else
        snprintf(name, MR_CONFIG_NAME, "--%s", row->option);
}

bool mr_config_blame(const struct mr_config *config, const char *path, struct mr_fault *fault)
{
    uint32_t line = line_of(config, mr_config_find_path(path, NULL));
    char name[MR_CONFIG_NAME];

    mr_config_name(config, path, name);
    if (line > 0 && line != MR_CONFIG_OPTION)
        mr_fault_add_context(fault, 0, "%s:%u: %s", config->file, line, name);
    else
        mr_fault_add_context(fault, 0, "%s", name);
    return false;
}

/* ------------------------------------------------------------------ the command line */

/* The first item of a list, made if there is none. */
static void *first_item(struct mr_config *config, const struct mr_setting *list,
                        struct mr_fault *fault)
{
    uint32_t *lines = (uint32_t *)(void *)((char *)config + list->line_offset);

    if (mr_setting_count(list, config) > 0)
        return (char *)config + list->offset;
    lines[0] = MR_CONFIG_OPTION;
    return mr_setting_add_item(list, config, fault);
}

bool mr_config_set(struct mr_config *config, const char *option, const char *text,
                   struct mr_fault *fault)
{
    const struct mr_setting *list;
    const struct mr_setting *row = mr_config_find_option(option, &list);
    void *object = config;
    bool is_good;

    if (row == NULL) {
        mr_fault_set(fault, EINVAL, "unknown option --%s; see --help", option);
        return false;
    }
    uint32_t *line = &config->line[mr_config_row_number(row)];
    if (list != NULL)
        object = first_item(config, list, fault);
    else if (*line != MR_CONFIG_OPTION)
        mr_setting_clear(row, config);
    if (list != NULL && *line != MR_CONFIG_OPTION)
        mr_setting_clear(row, object);
    *line = MR_CONFIG_OPTION;

    if (row->kind == MR_SETTING_ITEMS) {
        uint32_t count = mr_setting_count(row, config);

        is_good = mr_setting_parse_item(row, config, text, fault);
        if (is_good)
            ((uint32_t *)(void *)((char *)config + row->line_offset))[count] = MR_CONFIG_OPTION;
    } else {
        is_good = mr_setting_parse(row, object, text, fault);
    }
    if (!is_good)
        mr_fault_add_context(fault, 0, "--%s", option);
    return is_good;
}
