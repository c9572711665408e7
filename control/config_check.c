/*
 * What only the whole configuration can show.  A message names the line or the option that what it
 * complains of came from.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/compiler.h"
#include "base/ring_region.h"
#include "control/config.h"

/* Put in front where item `number` of a list began; returns false. */
static bool blame_item(const struct mr_config *config, const char *path, const uint32_t *lines,
                       uint32_t number, struct mr_fault *fault)
{
    const struct mr_setting *row = mr_config_find_path(path, NULL);

    if (lines[number] == MR_CONFIG_OPTION)
        mr_fault_add_context(fault, 0, "--%s", row->option);
    else
        mr_fault_add_context(fault, 0, "%s:%u: %s", config->file, lines[number], path);
    return false;
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

static bool check_port(const struct mr_config *config, uint32_t number, struct mr_fault *fault)
{
    const struct mr_config_port *port = &config->ports[number];

    if (strcmp(port->spec, "loopback") == 0 && port->address_count == 0)
        return true; /* it gets its own */
    if (port->spec[0] == '\0' || port->address_count == 0) {
        mr_fault_set(fault, EINVAL,
                     port->spec[0] == '\0' ? "no port; give one, like tap:mr0 or af_packet:eth0"
                                           : "no address of our own; give one that is free on the "
                                             "port's network, like 198.18.0.2/24");
        return false;
    }
    for (uint32_t i = 0; i < port->address_count; i++)
        if (is_address_taken(config, number, i)) {
            mr_fault_set(fault, EINVAL, "address %s is there twice; leave one out",
                         port->addresses[i]);
            return false;
        }
    return check_gateways(port, fault);
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
            return blame_item(config, "ports", config->port_line, i, fault);
    return true;
}

/* ------------------------------------------------------------------ certificates */

/* Is the name in an earlier certificate, or earlier in this one? */
static bool is_name_taken(const struct mr_config_tls *tls, uint32_t certificate, uint32_t number)
{
    const char *name = tls->certificates[certificate].names[number];

    for (uint32_t c = 0; c <= certificate; c++)
        for (uint32_t n = 0; n < (c < certificate ? tls->certificates[c].name_count : number); n++)
            if (strcmp(tls->certificates[c].names[n], name) == 0)
                return true;
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

static bool check_tls(const struct mr_config *config, struct mr_fault *fault)
{
    for (uint32_t i = 0; i < config->tls.certificate_count; i++)
        if (!check_certificate(config, i, fault))
            return blame_item(config, "tls.certificates", config->certificate_line, i, fault);
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
                return blame_item(config, "inline", config->inline_line, i, fault);
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
            return blame_item(config, "listeners", config->listener_line, i, fault);
    return true;
}

/* ------------------------------------------------------------------ sizes */

static bool check_rings(const struct mr_config *config, struct mr_fault *fault)
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
    if (config->rings.send_bytes % MR_RING_SEND_UNIT != 0) {
        mr_fault_set(fault, EINVAL, "%llu bytes are no whole pages; give a multiple of 4K",
                     (unsigned long long)config->rings.send_bytes);
        return mr_config_blame(config, "rings.send_bytes", fault);
    }
    uint64_t need =
        config->rings.send_bytes + (uint64_t)config->rings.slot_bytes * config->rings.slot_count;
    if (need > config->control.region_bytes) {
        mr_fault_set(fault, EINVAL,
                     "less than one ring's data of %llu bytes; raise it, or make rings smaller",
                     (unsigned long long)need);
        return mr_config_blame(config, "control.region_bytes", fault);
    }
    return true;
}

static bool check_sizes(const struct mr_config *config, struct mr_fault *fault)
{
    const struct mr_config_control *control = &config->control;

    if (control->attachments_per_user > control->attachments) {
        mr_fault_set(fault, EINVAL, "%u is more than all attachments, %u; lower it",
                     control->attachments_per_user, control->attachments);
        return mr_config_blame(config, "control.attachments_per_user", fault);
    }
    if (control->total_bytes < control->region_bytes) {
        mr_fault_set(fault, EINVAL, "less than one attachment may have; raise it");
        return mr_config_blame(config, "control.total_bytes", fault);
    }
    if (config->limits.conn_window_bytes < config->limits.stream_window_bytes) {
        mr_fault_set(fault, EINVAL, "less than one stream may have; raise it");
        return mr_config_blame(config, "limits.connection_window", fault);
    }
    return check_rings(config, fault);
}

/* Two connections that talk over a loopback would each follow the other for ever. */
static bool check_balance(const struct mr_config *config, struct mr_fault *fault)
{
    for (uint32_t i = 0; i < config->port_count && config->balance.kind == MR_BALANCE_RSS; i++) {
        if (strcmp(config->ports[i].spec, "loopback") != 0)
            continue;
        mr_fault_set(fault, EINVAL,
                     "rss is of no use on a loopback, where datagrams arrive at the shard that "
                     "sends them; choose load");
        return mr_config_blame(config, "balance", fault);
    }
    return true;
}

bool mr_config_check(const struct mr_config *config, struct mr_fault *fault)
{
    return check_ports(config, fault) && check_tls(config, fault) && check_inline(config, fault) &&
           check_listeners(config, fault) && check_sizes(config, fault) &&
           check_balance(config, fault);
}
