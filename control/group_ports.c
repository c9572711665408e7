/* control/group_ports.c - see group_ports.h. */
#include "control/group_ports.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "control/group_datapath.h"
#include "drivers/port_facts.h"
#include "drivers/port_rss.h"

#define ROW_SLOTS         16u                  /* of the table in a line */
#define SLOTS_TEXT        16                   /* bytes of "0-63", more than are needed */
#define COUNTERS          128                  /* of a port, in a table */
#define ADDRESSES_LOOK_NS UINT64_C(1000000000) /* between looks at the kernel's addresses */

static void put_number(struct json_object *object, const char *key, uint64_t value)
{
    json_object_object_add(object, key, json_object_new_uint64(value));
}

static void put_text(struct json_object *object, const char *key, const char *text)
{
    json_object_object_add(object, key, json_object_new_string(text));
}

/* ------------------------------------------------------------------ links */

static const char *const health_names[] = {[MR_PORT_UP] = "up",
                                           [MR_PORT_DOWN] = "down",
                                           [MR_PORT_NO_CARRIER] = "no carrier",
                                           [MR_PORT_GONE] = "gone"};

/* What people are told to do about it. */
static const char *const health_texts[] = {
    [MR_PORT_UP] = "is up again",
    [MR_PORT_DOWN] = "is down: nobody can be reached until `ip link set IFACE up`",
    [MR_PORT_NO_CARRIER] = "has no carrier: nobody can be reached until its other end is up",
    [MR_PORT_GONE] = "is gone: make it again, and start again"};

static void judge_rules(struct mr_group *g)
{
    struct mr_shard_stats stats;

    if (g->cid_rules.state != MR_CID_RULES_TRIAL_RUN)
        return;
    mr_group_stats(g, &stats);
    mr_cid_rules_judge(&g->cid_rules, g->device, stats.datagrams_received, stats.redirected_in);
}

/* The port's clock and ours drift apart. */
static void follow_clock(struct mr_group *g)
{
    struct mr_clock clock = mr_clock_init();
    struct mr_launch_moment moment;

    if (g->device->traits.launch_flag != 0 && mr_launch_read(g->device, &clock, &moment) == 0)
        mr_launch_clock_follow(&g->launch, &moment);
}

/* Does every shard's queue receive?  Said once, when one does not. */
static void judge_spread(struct mr_group *g)
{
    struct mr_spread *spread = &g->link.spread;
    enum mr_spread_state before = spread->state;
    uint64_t received[MR_SHARDS_MAX] = {0};
    struct mr_counters counters;

    if (g->io_port != NULL || g->config.shard_count == 1 || before == MR_SPREAD_GOOD)
        return;
    for (uint32_t i = 0; i < g->config.shard_count; i++) {
        struct mr_shard_stats stats;

        mr_shard_read_stats(g->shards[i], &stats);
        received[i] =
            stats.datagrams_received - MR_MIN(stats.redirected_in, stats.datagrams_received);
    }
    mr_group_counters(g, &counters);
    *spread = mr_spread_judge(received, g->config.shard_count, counters.connections_accepted);
    if (spread->state == MR_SPREAD_BAD && before != MR_SPREAD_BAD)
        mr_log(MR_LOG_WARN,
               "port %s: of %llu connections none arrived at queue %u of %u: shard %u idles; "
               "`millrace ctl rss` (a card) or `ethtool -x IFACE` shows what goes where",
               g->device->spec, (unsigned long long)counters.connections_accepted, spread->queue,
               g->config.shard_count, spread->queue);
}

/* What the kernel has given up is ours alone from now on. */
static void look_at_addresses(struct mr_group *g, uint64_t now)
{
    struct mr_fault fault = {0};
    char text[MR_IP_TEXT];
    struct mr_ip ip;

    if (!g->device->traits.takes_admitted || now < g->link.addresses_ns)
        return;
    g->link.addresses_ns = now + ADDRESSES_LOOK_NS;
    switch (mr_admission_look(&g->admission, &ip)) {
    case MR_ADMISSION_FREED:
        if (mr_port_admit(g->device, &g->admission, &fault) == 0)
            mr_log(MR_LOG_INFO, "port %s: %s is no longer the kernel's: we answer ARP and ping",
                   g->device->spec, mr_ip_format(&ip, text));
        else
            mr_log(MR_LOG_WARN, "%s", fault.text);
        break;
    case MR_ADMISSION_TAKEN:
        if (!g->link.has_conflict)
            mr_log(MR_LOG_WARN,
                   "port %s: %s is now the kernel's as well, and gets no answers there: take it "
                   "away with `ip addr del`, or start again to share it",
                   g->device->spec, mr_ip_format(&ip, text));
        g->link.has_conflict = true;
        break;
    case MR_ADMISSION_SAME:
        g->link.has_conflict = false;
        break;
    }
}

enum mr_port_health mr_group_look_at_port(struct mr_group *g, uint64_t now)
{
    struct mr_group_link *link = &g->link;

    if (now >= link->clock_ns) {
        link->clock_ns = now + MR_PORT_LOOK_NS;
        follow_clock(g);
    }
    if (now < link->look_ns)
        return link->health;
    link->look_ns = now + MR_PORT_LOOK_NS;
    judge_rules(g);
    judge_spread(g);
    look_at_addresses(g, now);
    enum mr_port_health health = mr_port_watch_look(&link->watch);
    if (health == link->health)
        return health;
    mr_log(health == MR_PORT_UP ? MR_LOG_INFO : MR_LOG_WARN, "port %s %s", g->device->spec,
           health_texts[health]);
    link->downs += link->health == MR_PORT_UP;
    link->health = health;
    return health;
}

/* ------------------------------------------------------------------ ports */

/* Does it cut chains up? */
static const char *chains_of(const struct mr_group *g)
{
    struct mr_shard_stats stats;

    mr_group_stats(g, &stats);
    if (g->device->traits.segments_max < 2)
        return "off";
    return stats.chains_withdrawn > 0 ? "withdrawn" : "on";
}

/* What the kernel does with an interface's frames, where we share it; of other ports the drivers'
 * counters are too many for a table. */
static void put_counters(struct json_object *object, const struct mr_group *g)
{
    struct mr_port_counter counters[COUNTERS];
    struct json_object *rows = json_object_new_array();
    uint32_t count = mr_port_counters(g->device, counters, COUNTERS);

    for (uint32_t i = 0; i < count; i++) {
        struct json_object *row = json_object_new_object();

        put_text(row, "counter", counters[i].name);
        put_number(row, "frames", counters[i].value);
        json_object_array_add(rows, row);
    }
    json_object_object_add(object, "counters", rows);
}

static struct json_object *port_object(const struct mr_group *g, uint32_t number)
{
    struct json_object *object = json_object_new_object();
    const struct mr_port_traits *traits = &g->device->traits;
    struct mr_port_facts facts;
    struct mr_port_rss rss;
    char mac[18];
    char text[160];

    mr_port_facts(g->device, &facts);
    snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", traits->mac[0], traits->mac[1],
             traits->mac[2], traits->mac[3], traits->mac[4], traits->mac[5]);
    put_number(object, "port", number);
    put_text(object, "spec", g->device->spec);
    put_text(object, "driver", facts.driver);
    put_text(object, "mac", mac);
    put_number(object, "mtu", traits->mtu);
    put_number(object, "queues", traits->queue_count);
    put_text(object, "link", health_names[mr_port_watch_look(&g->link.watch)]);
    put_number(object, "mbps", facts.link_mbps);
    put_number(object, "downs", g->link.downs);
    put_text(object, "rss", mr_port_rss_read(g->device, &rss) == 0 ? "card" : "none");
    mr_cid_rules_describe(&g->cid_rules, text, sizeof(text));
    put_text(object, "cid_rules", text);
    put_text(object, "tso", chains_of(g));
    put_text(object, "launch", traits->launch_flag != 0 ? "on" : "off");
    if (g->io_port == NULL && g->config.shard_count > 1) {
        mr_spread_describe(&g->link.spread, g->config.shard_count, text, sizeof(text));
        put_text(object, "receiving", text);
    }
    if (facts.note[0] != '\0')
        put_text(object, "with", facts.note);
    if (traits->takes_admitted)
        put_counters(object, g);
    return object;
}

int mr_group_ports_list(const struct mr_group_set *set, struct json_object **result_out,
                        struct mr_fault *fault)
{
    (void)fault;
    *result_out = json_object_new_array();
    for (uint32_t i = 0; i < set->count; i++)
        json_object_array_add(*result_out, port_object(set->groups[i], i));
    return 0;
}

/* ------------------------------------------------------------------ RSS */

static struct json_object *table_of(const struct mr_port_rss *rss)
{
    struct json_object *rows = json_object_new_array();

    for (uint32_t first = 0; first < rss->slot_count; first += ROW_SLOTS) {
        struct json_object *row = json_object_new_object();
        char text[ROW_SLOTS * 6 + 1];
        size_t used = 0;

        for (uint32_t i = first; i < MR_MIN(first + ROW_SLOTS, rss->slot_count); i++)
            used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%u", used > 0 ? " " : "",
                                     rss->queue[i]);
        put_number(row, "slot", first);
        put_text(row, "queues", text);
        json_object_array_add(rows, row);
    }
    return rows;
}

static struct json_object *rss_object(const struct mr_port_rss *rss, uint32_t port)
{
    struct json_object *object = json_object_new_object();
    char key[2 * MR_PORT_RSS_KEY + 1] = "";

    for (uint32_t i = 0; i < rss->key_size; i++)
        snprintf(key + 2 * (size_t)i, sizeof(key) - 2 * (size_t)i, "%02x", rss->key[i]);
    put_number(object, "port", port);
    put_text(object, "key", key);
    put_text(object, "over_ipv4", rss->hashes_ports4 ? "addresses, UDP ports" : "addresses");
    put_text(object, "over_ipv6", rss->hashes_ports6 ? "addresses, UDP ports" : "addresses");
    put_text(object, "symmetric", rss->is_symmetric ? "yes" : "no");
    put_number(object, "slots", rss->slot_count);
    json_object_object_add(object, "table", table_of(rss));
    return object;
}

/* "5", or "0-63". */
static int parse_slots(const char *word, struct mr_port_rss_change *change, struct mr_fault *fault)
{
    unsigned lo = 0;
    unsigned hi = 0;
    char end;
    int parts = strspn(word, "0123456789-") == strlen(word) && strlen(word) < SLOTS_TEXT
                    ? sscanf(word, "%u-%u%c", &lo, &hi, &end)
                    : 0;

    if (parts != 2 && (parts != 1 || strchr(word, '-') != NULL))
        return mr_fault_set(fault, EINVAL,
                            "%.40s are no slots; give one, like 5, or some, like 0-63", word);
    change->lo = lo;
    change->hi = parts == 1 ? lo : hi;
    return 0;
}

static int parse_small(const char *word, uint32_t max, uint32_t *value_out, struct mr_fault *fault)
{
    uint64_t number;
    int result = mr_command_number(word, &number, fault);

    if (result == 0 && number > max)
        result = mr_fault_set(fault, EINVAL, "%.40s is more than %u", word, max);
    *value_out = result == 0 ? (uint32_t)number : 0;
    return result;
}

static int change_table(const struct mr_group_set *set, const struct mr_command_arguments *words,
                        uint32_t *port_out, struct mr_fault *fault)
{
    struct mr_port_rss_change change = {0};
    uint32_t queue = 0;
    int result = parse_slots(words->word[0], &change, fault);

    *port_out = 0;
    if (result == 0)
        result = parse_small(words->word[1], UINT16_MAX, &queue, fault);
    if (result == 0 && words->count > 2)
        result = parse_small(words->word[2], UINT16_MAX, port_out, fault);
    if (result == 0 && *port_out >= set->count)
        result = mr_fault_set(fault, ENOENT, "there is no port %u; `ports` shows those there are",
                              *port_out);
    change.queue = (uint16_t)queue;
    return result == 0 ? mr_port_rss_change(set->groups[*port_out]->device, &change, fault)
                       : result;
}

int mr_group_ports_rss(const struct mr_group_set *set, const struct mr_command_arguments *arguments,
                       struct json_object **result_out, struct mr_fault *fault)
{
    uint32_t first = 0;
    uint32_t count = set->count;
    struct mr_port_rss rss;

    if (arguments->count == 1)
        return mr_fault_set(fault, EINVAL,
                            "slots and their new queue belong together: rss SLOTS QUEUE");
    if (arguments->count > 0) {
        int result = change_table(set, arguments, &first, fault);

        if (result != 0)
            return result;
        count = first + 1;
    }
    *result_out = json_object_new_array();
    for (uint32_t i = first; i < count; i++) {
        if (mr_port_rss_read(set->groups[i]->device, &rss) == 0)
            json_object_array_add(*result_out, rss_object(&rss, i));
    }
    return 0;
}
