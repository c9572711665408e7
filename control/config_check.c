/*
 * What only the whole configuration can show.  A message names the line or the option that what it
 * complains of came from.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/compiler.h"
#include "control/config.h"
#include "dataplane/app_host.h"
#include "quic/cid.h"

#define CONNECTS_SHARE      4 /* one ring opens a quarter of a shard's connections at most, */
#define USER_CONNECTS_SHARE 2 /* all rings of one user half of them */
#define CID_AGE_MIN         UINT64_C(1000000000)
#define CONN_OBJECTS        4 /* of applications, for each connection allowed: itself, streams */

/* ------------------------------------------------------------------ whose fault it is */

static bool is_given(const struct mr_config *config, const char *path)
{
    return config->line[mr_config_row_number(mr_config_find_path(path, NULL))] != 0;
}

/* Put in front where item `number` of a list began, or the option that gave its `member`, NULL:
 * none does; returns false. */
static bool blame_item(const struct mr_config *config, const char *path, const char *member,
                       const uint32_t *lines, uint32_t number, struct mr_fault *fault)
{
    const struct mr_setting *list = mr_config_find_path(path, NULL);
    const struct mr_setting *row = member == NULL ? NULL : mr_config_find_path(member, NULL);
    bool is_option = lines[number] == MR_CONFIG_OPTION;
    bool is_members = is_option && config->line[mr_config_row_number(list)] != MR_CONFIG_OPTION;

    if (row != NULL && number == 0)
        is_members |= config->line[mr_config_row_number(row)] == MR_CONFIG_OPTION;
    if (row != NULL && number == 0 && is_members)
        mr_fault_add_context(fault, 0, "--%s", row->option);
    else if (is_option)
        mr_fault_add_context(fault, 0, "--%s", list->option);
    else
        mr_fault_add_context(fault, 0, "%s:%u: %s", config->file, lines[number], path);
    return false;
}

/* ------------------------------------------------------------------ what follows from it */

/* Ports and shards may both be missing from what is not checked yet. */
static uint32_t shard_count(const struct mr_config *config)
{
    return MR_MAX(config->shards * config->port_count, 1u);
}

struct mr_config_share mr_config_share(const struct mr_config *config)
{
    uint32_t connections = MR_MAX(config->limits.connections / shard_count(config), 1u);
    uint32_t connects = config->limits.connects;

    return (struct mr_config_share){
        .connections = connections,
        .awake = config->limits.awake / shard_count(config),
        .connects = connects != 0 ? connects : MR_MAX(connections / CONNECTS_SHARE, 1u),
        .user_connects = MR_MAX(connections / USER_CONNECTS_SHARE, MR_MAX(connects, 1u)),
        .objects = MR_MAX(MR_APP_OBJECTS, connections * CONN_OBJECTS),
        .sends = MR_MAX(MR_APP_OBJECTS, connections * CONN_OBJECTS),
    };
}

struct mr_config_quota mr_config_quota(const struct mr_config *config)
{
    const struct mr_config_control *control = &config->control;
    struct mr_config_quota quota = {.attachments = control->attachments,
                                    .attachments_per_user = control->attachments_per_user,
                                    .region_bytes = control->region_bytes,
                                    .user_bytes = control->user_bytes,
                                    .total_bytes = control->total_bytes};

    if (!is_given(config, "control.attachments_per_user"))
        quota.attachments_per_user = MR_MIN(quota.attachments_per_user, quota.attachments);
    if (!is_given(config, "control.region_bytes"))
        quota.region_bytes = MR_MIN(quota.region_bytes, quota.total_bytes);
    if (quota.user_bytes == 0)
        quota.user_bytes = MR_MAX(quota.total_bytes / 2, quota.region_bytes);
    else if (!is_given(config, "control.region_bytes"))
        quota.region_bytes = MR_MIN(quota.region_bytes, quota.user_bytes);
    return quota;
}

struct mr_ring_sizes mr_config_ring_sizes(const struct mr_config *config)
{
    const struct mr_config_rings *rings = &config->rings;
    struct mr_ring_sizes sizes = mr_ring_sizes_default();

    sizes.submit_count = rings->submit_count;
    sizes.complete_count = rings->complete_count;
    sizes.slot_size = rings->slot_bytes;
    sizes.slot_count = rings->slot_count;
    sizes.send_bytes = rings->send_bytes;
    sizes.objects_max = sizes.alias_count = rings->objects_max;
    sizes.sends_max = rings->sends_max;
    return sizes;
}

/* ------------------------------------------------------------------ ports */

/* Is the address one of another port, or an earlier one of this? */
static bool is_address_taken(const struct mr_config *config, uint32_t port, uint32_t number)
{
    struct mr_prefix ours;
    struct mr_prefix other;

    (void)mr_prefix_parse(config->ports[port].addresses[number], &ours);
    for (uint32_t p = 0; p <= port; p++)
        for (uint32_t a = 0; a < (p < port ? config->ports[p].address_count : number); a++)
            if (mr_prefix_parse(config->ports[p].addresses[a], &other) &&
                mr_ip_equal(&ours.ip, &other.ip))
                return true;
    return false;
}

static bool is_on_link(const struct mr_config_port *port, const struct mr_ip *ip, bool *is_own_out)
{
    bool is_there = !mr_ip_is_v4(ip) && mr_ip_is_link_local(ip);

    *is_own_out = false;
    for (uint32_t i = 0; i < port->address_count; i++) {
        struct mr_prefix prefix;

        (void)mr_prefix_parse(port->addresses[i], &prefix);
        is_there |= mr_prefix_contains(&prefix, ip);
        *is_own_out |= mr_ip_equal(&prefix.ip, ip);
    }
    return is_there;
}

static bool check_gateways(const struct mr_config_port *port, struct mr_fault *fault)
{
    uint32_t families[2] = {0, 0};

    for (uint32_t i = 0; i < port->gateway_count; i++) {
        const char *text = port->gateways[i];
        bool is_own;
        struct mr_ip ip;

        (void)mr_ip_parse(text, &ip);
        if (!is_on_link(port, &ip, &is_own))
            mr_fault_set(fault, EINVAL, "gateway %s is in no network of its port; check both",
                         text);
        else if (is_own)
            mr_fault_set(fault, EINVAL, "gateway %s is our own address; name the router's", text);
        else if (++families[mr_ip_is_v4(&ip)] > 1)
            mr_fault_set(fault, EINVAL, "gateway %s is a second one of its family; leave one out",
                         text);
        else
            continue;
        return false;
    }
    return true;
}

static bool is_loopback(const struct mr_config_port *port)
{
    return strcmp(port->spec, "loopback") == 0;
}

static bool check_addresses(const struct mr_config *config, uint32_t number, struct mr_fault *fault)
{
    const struct mr_config_port *port = &config->ports[number];

    if (port->address_count == 0 && !is_loopback(port)) { /* which gets its own */
        mr_fault_set(fault, EINVAL,
                     "no address of our own; give one that is free on the port's network, like "
                     "198.18.0.2/24");
        return false;
    }
    for (uint32_t i = 0; i < port->address_count; i++)
        if (is_address_taken(config, number, i)) {
            mr_fault_set(fault, EINVAL, "address %s is there twice; leave one out",
                         port->addresses[i]);
            return false;
        }
    return true;
}

static bool is_own(const struct mr_config_port *port, const struct mr_ip *ip)
{
    struct mr_prefix own;

    for (uint32_t i = 0; i < port->address_count; i++) {
        if (mr_prefix_parse(port->addresses[i], &own) && mr_ip_equal(&own.ip, ip))
            return true;
    }
    return false;
}

/* Clients are sent to addresses that we have, and to one of a family. */
static bool check_preferred(const struct mr_config_port *port, struct mr_fault *fault)
{
    bool is_there[2] = {false, false}; /* [is_v4] */

    for (uint32_t i = 0; i < port->preferred_count; i++) {
        struct mr_ip ip;
        uint16_t number = 0;

        (void)mr_ip_port_parse(port->preferred[i], &ip, &number);
        if (!is_own(port, &ip)) {
            mr_fault_set(fault, EINVAL,
                         "%s is not an address of this port; name one of its addresses",
                         port->preferred[i]);
            return false;
        }
        if (is_there[mr_ip_is_v4(&ip)]) {
            mr_fault_set(fault, EINVAL, "two addresses of IPv%c; leave one out",
                         mr_ip_is_v4(&ip) ? '4' : '6');
            return false;
        }
        is_there[mr_ip_is_v4(&ip)] = true;
    }
    return true;
}

static bool check_port(const struct mr_config *config, uint32_t number, struct mr_fault *fault)
{
    const struct mr_config_port *port = &config->ports[number];
    const char *member = NULL;

    if (port->spec[0] == '\0') {
        mr_fault_set(fault, EINVAL, "no port; give one, like tap:mr0 or af_packet:eth0");
        member = "ports.spec";
    } else if (!check_addresses(config, number, fault)) {
        member = "ports.addresses";
    } else if (!check_gateways(port, fault)) {
        member = "ports.gateways";
    } else if (!check_preferred(port, fault)) {
        member = "ports.preferred";
    }
    return member == NULL || blame_item(config, "ports", member, config->port_line, number, fault);
}

static bool check_ports(const struct mr_config *config, struct mr_fault *fault)
{
    if (config->port_count == 0) {
        mr_fault_set(fault, EINVAL,
                     "no port; give one, like --port tap:mr0 (root) or --port af_packet:eth0");
        return false;
    }
    for (uint32_t i = 0; i < config->port_count; i++)
        if (!check_port(config, i, fault))
            return false;
    return true;
}

/* ------------------------------------------------------------------ certificates */

/* Is the name in an earlier certificate, or earlier in this one? */
static bool is_name_taken(const struct mr_config_tls *tls, uint32_t certificate, uint32_t number)
{
    const char *name = tls->certificates[certificate].names[number];

    for (uint32_t c = 0; c <= certificate; c++) {
        if (c < certificate && tls->certificates[c].alpn_count > 0)
            continue; /* others of that name may come to this one */
        for (uint32_t n = 0; n < (c < certificate ? tls->certificates[c].name_count : number); n++)
            if (strcmp(tls->certificates[c].names[n], name) == 0)
                return true;
    }
    return false;
}

static bool check_certificate(const struct mr_config *config, uint32_t number,
                              struct mr_fault *fault)
{
    const struct mr_config_certificate *c = &config->tls.certificates[number];

    if (c->certificate[0] == '\0' || c->key[0] == '\0') {
        mr_fault_set(fault, EINVAL,
                     "a certificate and its key go together; give both, or none for a "
                     "self-signed certificate");
        return false;
    }
    if (c->name_count == 0 && number > 0) {
        mr_fault_set(fault, EINVAL, "has no names; only the first certificate may do without");
        return false;
    }
    for (uint32_t i = 0; i < c->name_count; i++)
        if (is_name_taken(&config->tls, number, i)) {
            mr_fault_set(fault, EINVAL, "the name %.60s is there twice; leave one out",
                         c->names[i]);
            return false;
        }
    return true;
}

/* The part of a certificate whose option is to be named: the one that is not there. */
static const char *missing_part(const struct mr_config *config, uint32_t number)
{
    return config->tls.certificates[number].certificate[0] == '\0' ? "tls.certificates.certificate"
                                                                   : "tls.certificates.key";
}

static bool check_tls(const struct mr_config *config, struct mr_fault *fault)
{
    for (uint32_t i = 0; i < config->tls.certificate_count; i++)
        if (!check_certificate(config, i, fault))
            return blame_item(config, "tls.certificates", missing_part(config, i),
                              config->certificate_line, i, fault);
    return true;
}

/* ------------------------------------------------------------------ listeners */

static bool check_listener(const struct mr_handoff *handoff, uint32_t number,
                           struct mr_fault *fault)
{
    const struct mr_handoff_listener *listener = &handoff->listener[number];

    for (uint32_t i = 0; i < number; i++) {
        const struct mr_handoff_listener *other = &handoff->listener[i];

        if (strcmp(other->name, listener->name) == 0) {
            mr_fault_set(fault, EINVAL, "a second listener is called %s; rename one",
                         listener->name);
            return false;
        }
        if (other->port == listener->port && strcmp(other->alpn, listener->alpn) == 0 &&
            strcmp(other->server_name, listener->server_name) == 0) {
            mr_fault_set(fault, EINVAL,
                         "%s gets no connection, %s is for the same ones; give them different "
                         "ports, protocols or server names",
                         listener->name, other->name);
            return false;
        }
    }
    return true;
}

static bool check_inline(const struct mr_config *config, struct mr_fault *fault)
{
    for (uint32_t i = 1; i < config->inline_count; i++)
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(config->inline_apps[i].name, config->inline_apps[k].name) == 0) {
                mr_fault_set(fault, EINVAL, "a second inline application is called %s; rename one",
                             config->inline_apps[i].name);
                return blame_item(config, "inline", NULL, config->inline_line, i, fault);
            }
    return true;
}

static bool check_listeners(const struct mr_config *config, struct mr_fault *fault)
{
    if (config->handoff.listener_count == 0 && config->inline_count == 0) {
        mr_fault_set(fault, EINVAL,
                     "no listener; give one, like --listener name=kv,application=kv,alpn=kv");
        return false;
    }
    for (uint32_t i = 0; i < config->handoff.listener_count; i++)
        if (!check_listener(&config->handoff, i, fault))
            return blame_item(config, "listeners", NULL, config->listener_line, i, fault);
    return true;
}

/* ------------------------------------------------------------------ sizes */

/* A value as people write it, and what they call where it is set. */
struct spelled {
    char value[MR_SETTING_TEXT_MAX];
    char name[MR_CONFIG_NAME];
};

static struct spelled spell(const struct mr_config *config, const char *path)
{
    struct spelled spelled;

    mr_setting_format(mr_config_find_path(path, NULL), config, 0, spelled.value);
    mr_config_name(config, path, spelled.name);
    return spelled;
}

static bool check_powers(const struct mr_config *config, struct mr_fault *fault)
{
    const struct {
        const char *path;
        uint32_t value;
    } powers[] = {
        {"rings.submissions", config->rings.submit_count},
        {"rings.completions", config->rings.complete_count},
        {"rings.slot_bytes", config->rings.slot_bytes},
        {"rings.slots", config->rings.slot_count},
    };

    for (size_t i = 0; i < MR_COUNT_OF(powers); i++)
        if ((powers[i].value & (powers[i].value - 1)) != 0) {
            mr_fault_set(fault, EINVAL, "%u is no power of two; give one", powers[i].value);
            return mr_config_blame(config, powers[i].path, fault);
        }
    return true;
}

/* What makes rings large, of what was given; NULL: nothing. */
static const char *given_size(const struct mr_config *config)
{
    static const char *const paths[] = {"rings.send_bytes", "rings.slots", "rings.slot_bytes",
                                        "rings.completions", "rings.submissions"};

    for (size_t i = 0; i < MR_COUNT_OF(paths); i++)
        if (is_given(config, paths[i]))
            return paths[i];
    return NULL;
}

/* One ring is less than an attachment may have. */
static bool check_region(const struct mr_config *config, struct mr_fault *fault)
{
    struct mr_config_quota quota = mr_config_quota(config);
    struct mr_ring_sizes sizes = mr_config_ring_sizes(config);
    unsigned long long need = mr_ring_region_size(&sizes) / 1024; /* whole pages */
    const char *larger = given_size(config);
    const char *limit = quota.region_bytes < config->control.region_bytes ? "control.total_bytes"
                                                                          : "control.region_bytes";
    struct spelled most = spell(config, limit);

    if (need <= quota.region_bytes / 1024)
        return true;
    if (is_given(config, limit) || larger == NULL) {
        mr_fault_set(fault, EINVAL,
                     "%s is less than one ring takes, %lluK; raise it, or make rings smaller",
                     most.value, need);
        return mr_config_blame(config, limit, fault);
    }
    mr_fault_set(fault, EINVAL,
                 "one ring takes %lluK with it, an attachment may have %s; lower it, or raise %s",
                 need, most.value, most.name);
    return mr_config_blame(config, larger, fault);
}

/* Of a ring, `path`, no more than a shard has for all of its rings. */
static bool check_promise(const struct mr_config *config, const char *path, uint32_t value,
                          uint32_t most, struct mr_fault *fault)
{
    struct spelled connections = spell(config, "limits.connections");
    unsigned long long enough =
        ((unsigned long long)value + CONN_OBJECTS - 1) / CONN_OBJECTS * shard_count(config);

    if (value <= most)
        return true;
    mr_fault_set(fault, EINVAL,
                 "%u is more than a shard has for all its rings, %u; lower it, or raise %s to %llu",
                 value, most, connections.name, enough);
    return mr_config_blame(config, path, fault);
}

static bool check_rings(const struct mr_config *config, struct mr_fault *fault)
{
    struct mr_config_share share = mr_config_share(config);

    if (!check_powers(config, fault))
        return false;
    if (config->rings.send_bytes % MR_RING_SEND_UNIT != 0) {
        mr_fault_set(fault, EINVAL, "%llu bytes are no whole pages; give a multiple of 4K",
                     (unsigned long long)config->rings.send_bytes);
        return mr_config_blame(config, "rings.send_bytes", fault);
    }
    return check_promise(config, "rings.objects", config->rings.objects_max, share.objects,
                         fault) &&
           check_promise(config, "rings.sends", config->rings.sends_max, share.sends, fault) &&
           check_region(config, fault);
}

/* `part` is more than `whole`, which is what `owner` may have.  False. */
static bool blame_part(const struct mr_config *config, const char *part, const char *owner,
                       const char *whole, struct mr_fault *fault)
{
    struct spelled one = spell(config, part);
    struct spelled all = spell(config, whole);

    mr_fault_set(fault, EINVAL, "%s is more than %s may have, %s; lower it, or raise %s", one.value,
                 owner, all.value, all.name);
    return mr_config_blame(config, part, fault);
}

/* Who may attach, and with how much. */
static bool check_quota(const struct mr_config *config, struct mr_fault *fault)
{
    struct mr_config_quota quota = mr_config_quota(config);

    if (quota.attachments_per_user > quota.attachments) {
        struct spelled all = spell(config, "control.attachments");

        mr_fault_set(fault, EINVAL, "%u is more than all attachments, %s; lower it, or raise %s",
                     quota.attachments_per_user, all.value, all.name);
        return mr_config_blame(config, "control.attachments_per_user", fault);
    }
    if (quota.region_bytes > quota.total_bytes)
        return blame_part(config, "control.region_bytes", "all attachments", "control.total_bytes",
                          fault);
    if (quota.user_bytes > quota.total_bytes)
        return blame_part(config, "control.user_bytes", "all attachments", "control.total_bytes",
                          fault);
    if (quota.region_bytes > quota.user_bytes)
        return blame_part(config, "control.region_bytes", "one user's attachments",
                          "control.user_bytes", fault);
    if ((config->control.mode & 0222) == 0) {
        mr_fault_set(fault, EINVAL,
                     "%04o lets nobody connect, who needs the right to write; give one like 0660",
                     config->control.mode);
        return mr_config_blame(config, "control.mode", fault);
    }
    return true;
}

static bool check_windows(const struct mr_config *config, struct mr_fault *fault)
{
    struct spelled stream = spell(config, "limits.stream_window");
    struct spelled all = spell(config, "limits.connection_window");

    if (config->limits.conn_window_bytes >= config->limits.stream_window_bytes)
        return true;
    if (is_given(config, "limits.connection_window")) {
        mr_fault_set(fault, EINVAL,
                     "%s is less than one stream may have, %s; raise it, or lower %s", all.value,
                     stream.value, stream.name);
        return mr_config_blame(config, "limits.connection_window", fault);
    }
    mr_fault_set(fault, EINVAL,
                 "%s is more than all streams of a connection may have, %s; lower it, or raise %s",
                 stream.value, all.value, all.name);
    return mr_config_blame(config, "limits.stream_window", fault);
}

static bool has_loopback(const struct mr_config *config)
{
    for (uint32_t i = 0; i < config->port_count; i++)
        if (is_loopback(&config->ports[i]))
            return true;
    return false;
}

#define AWAKE_LEAST 256 /* of a shard: the quarter that is kept free takes two bursts */

/* Every shard has some, and a ring opens no more than there are. */
static bool check_connections(const struct mr_config *config, struct mr_fault *fault)
{
    const struct mr_config_limits *limits = &config->limits;
    uint32_t shards = shard_count(config);
    uint32_t least = has_loopback(config) ? 2 : 1;

    if (limits->connections < least * shards) {
        mr_fault_set(fault, EINVAL, "%u is too few for %u shard%s; give %u or more%s",
                     limits->connections, shards, shards > 1 ? "s" : "", least * shards,
                     least > 1 ? ", both ends of a connection over a loopback are here" : "");
        return mr_config_blame(config, "limits.connections", fault);
    }
    if (limits->awake > 0 && limits->awake < AWAKE_LEAST * shards) {
        mr_fault_set(fault, EINVAL, "%u is too few for %u shard%s; give %u or more, or 0: all",
                     limits->awake, shards, shards > 1 ? "s" : "", AWAKE_LEAST * shards);
        return mr_config_blame(config, "limits.awake", fault);
    }
    if (limits->connects > limits->connections / shards) {
        struct spelled all = spell(config, "limits.connections");

        mr_fault_set(fault, EINVAL,
                     "%u is more than a shard may have, %u; lower it, or raise %s to %llu",
                     limits->connects, limits->connections / shards, all.name,
                     (unsigned long long)limits->connects * shards);
        return mr_config_blame(config, "limits.connects", fault);
    }
    return true;
}

/* Attachments name shards by bits. */
static bool check_shards(const struct mr_config *config, struct mr_fault *fault)
{
    if (shard_count(config) <= MR_ATTACH_RINGS_MAX)
        return true;
    mr_fault_set(fault, EINVAL, "%u for each of %u ports are more than %d; lower it",
                 config->shards, config->port_count, MR_ATTACH_RINGS_MAX);
    return mr_config_blame(config, "shards", fault);
}

static bool check_sizes(const struct mr_config *config, struct mr_fault *fault)
{
    return check_shards(config, fault) && check_quota(config, fault) &&
           check_windows(config, fault) && check_connections(config, fault) &&
           check_rings(config, fault);
}

/* Two connections that talk over a loopback would each follow the other for ever. */
static bool check_balance(const struct mr_config *config, struct mr_fault *fault)
{
    if (config->balance.kind != MR_BALANCE_RSS || !has_loopback(config))
        return true;
    mr_fault_set(fault, EINVAL,
                 "rss is of no use on a loopback, where datagrams arrive at the shard that "
                 "sends them; choose load");
    return mr_config_blame(config, "balance", fault);
}

/* ------------------------------------------------------------------ connection IDs */

_Static_assert(MR_ATTACH_RINGS_MAX <= MR_CID_WORKERS, "each format has room for all shards");

/* What only QUIC-LB has: the setting that asks for it, NULL: none. */
static const char *asks_for_quic_lb(const struct mr_config *config)
{
    if (config->routing.key_file[0] != '\0')
        return "routing.key_file";
    return config->routing.config != 0 ? "routing.config" : NULL;
}

static bool check_katran(const struct mr_config *config, struct mr_fault *fault)
{
    const char *extra = asks_for_quic_lb(config);
    struct spelled format = spell(config, "routing.format");

    if (extra == NULL)
        return true;
    mr_fault_set(fault, EINVAL, "%s has none; leave it out, or choose %s quic-lb", format.value,
                 format.name);
    return mr_config_blame(config, extra, fault);
}

/* A card can compare what it can read, and gives it to a queue. */
static bool check_card_rules(const struct mr_config *config, struct mr_fault *fault)
{
    bool is_encrypted = config->routing.key_file[0] != '\0';
    struct spelled other = spell(config, is_encrypted ? "routing.key_file" : "io_lcores");

    if (config->routing.card_rules == 0 || (!is_encrypted && config->io_lcores == 0))
        return true;
    mr_fault_set(fault, EINVAL,
                 is_encrypted
                     ? "cards cannot read encrypted connection IDs; choose one of the two, "
                       "or leave %s out"
                     : "queues are not shards' then; choose one of the two, or leave %s out",
                 other.name);
    return mr_config_blame(config, "routing.card_rules", fault);
}

static bool check_routing(const struct mr_config *config, struct mr_fault *fault)
{
    const struct mr_config_routing *routing = &config->routing;
    struct spelled format = spell(config, "routing.format");
    uint32_t min = mr_cid_node_min(routing->format);
    uint32_t max = mr_cid_node_max(routing->format);

    if (routing->node < min || routing->node > max) {
        mr_fault_set(fault, EINVAL, "%u does not fit %s %s; give %u to %u", routing->node,
                     format.name, format.value, min, max);
        return mr_config_blame(config, "routing.node", fault);
    }
    if (routing->renew_after_ns != 0 && routing->renew_after_ns < CID_AGE_MIN) {
        mr_fault_set(fault, EINVAL, "less than a second is too often; give 1s or more, or 0");
        return mr_config_blame(config, "routing.renew_after", fault);
    }
    return check_card_rules(config, fault) &&
           (routing->format == MR_CID_QUIC_LB || check_katran(config, fault));
}

bool mr_config_check(const struct mr_config *config, struct mr_fault *fault)
{
    return check_ports(config, fault) && check_tls(config, fault) && check_inline(config, fault) &&
           check_listeners(config, fault) && check_sizes(config, fault) &&
           check_balance(config, fault) && check_routing(config, fault);
}
