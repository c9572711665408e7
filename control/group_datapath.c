/* control/group_datapath.c - see group_datapath.h. */
#include "control/group_datapath.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "control/group_orders.h"
#include "control/group_ports.h"
#include "control/group_trace.h"

/* Of struct mr_shard_stats; the stages' times are the bench's. */
static const struct {
    const char *name;
    const char *help;
    size_t offset;
} shard_counters[] = {
#define ROW(field, help)                                                                           \
    {                                                                                              \
        "shard_" #field, help, offsetof(struct mr_shard_stats, field)                              \
    }
    ROW(loops, "iterations of the polling loop"),
    ROW(busy_loops, "iterations that did work"),
    ROW(busy_cycles, "TSC cycles of those"),
    ROW(bursts_sent, "bursts that datagrams were built and sealed in"),
    ROW(tx_refused, "bursts that the port did not take whole"),
    ROW(chains_withdrawn, "shards whose port does not cut up what it is given (drivers.md)"),
    ROW(send_pool_empty, "times no buffer to send from was free"),
    ROW(redirect_dropped, "datagrams for another shard dropped: its queue was full"),
    ROW(redirected_in, "datagrams that another shard passed on"),
    ROW(updates_dropped, "neighbours that another shard could not be told of"),
    ROW(sleeps, "times an idle shard slept"),
    ROW(stalls, "handlers that took longer than allowed"),
    ROW(late_loops, "iterations that began late"),
    ROW(tls_jobs, "TLS jobs done, on polling threads or by helpers"),
    ROW(tls_cycles, "TSC cycles of those"),
    ROW(balance_rounds, "times that a shard was to give connections away"),
    ROW(balance_vain, "of these, in which none went"),
    ROW(balance_moves, "moves begun to balance shards, or applications asked for them"),
    ROW(balance_refused,
        "not begun: its application does not let it go, or has enough on their way"),
    ROW(balance_unready, "not begun: its handshake is not over, or it came a moment ago"),
    ROW(balance_large, "not begun: it has too much unread data"),
    ROW(balance_limited, "not begun: as many as are allowed in a second were"),
    ROW(moves_refused_paths,
        "moves, for balance or not, of connections with several paths: they stay"),
#undef ROW
};

/* Of struct mr_io_stats, in its order. */
static const struct {
    const char *name;
    const char *help;
} io_counters[] = {
    {"io_loops", "iterations of I/O lcores"},
    {"io_busy_loops", "iterations that moved frames"},
    {"io_busy_cycles", "TSC cycles of those"},
    {"io_frames_in", "frames that I/O lcores passed on to shards"},
    {"io_frames_out", "frames that they gave to the port"},
    {"io_dropped", "frames they dropped: a shard's queue was full"},
    {"io_tx_refused", "bursts that the port did not take whole from them"},
    {"io_sleeps", "times an idle I/O lcore slept"},
};

_Static_assert(sizeof(struct mr_io_stats) == MR_COUNT_OF(io_counters) * sizeof(uint64_t),
               "one name each");

static const struct {
    const char *name;
    const char *help;
} net_counters[] = {
#define X(name, help) {#name, help},
    MR_NET_COUNTERS(X)
#undef X
};

_Static_assert(sizeof(struct mr_net_counters) == MR_COUNT_OF(net_counters) * sizeof(uint64_t),
               "one name each");

uint32_t mr_group_set_shard_count(const struct mr_group_set *set)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < set->count; i++)
        count += set->groups[i]->config.shard_count;
    return count;
}

struct mr_shard *mr_group_set_shard(const struct mr_group_set *set, uint32_t number,
                                    struct mr_group **group_out, uint32_t *index_out)
{
    for (uint32_t i = 0; i < set->count; i++) {
        uint32_t count = set->groups[i]->config.shard_count;

        if (number < count) {
            *group_out = set->groups[i];
            *index_out = number;
            return set->groups[i]->shards[number];
        }
        number -= count;
    }
    return NULL;
}

static uint32_t conn_count(void *context, uint32_t number)
{
    struct mr_group *group;
    uint32_t index;
    const struct mr_shard *shard = mr_group_set_shard(context, number, &group, &index);

    return shard == NULL ? 0 : mr_shard_conn_count(shard);
}

void mr_group_set_sums(const struct mr_group_set *set, struct mr_group_sums *out)
{
    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < set->count; i++) {
        struct mr_group_sums one;

        mr_group_stats(set->groups[i], &one.stats);
        mr_group_counters(set->groups[i], &one.quic);
        mr_group_net_counters(set->groups[i], &one.net);
        mr_group_io_stats(set->groups[i], &one.io);
        mr_words_add(out, &one, sizeof(one));
    }
}

static uint64_t downs(const struct mr_group_set *set)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < set->count; i++)
        sum += set->groups[i]->link.downs;
    return sum;
}

static void counters(void *context, mr_counter_visit visit, void *to)
{
    const struct mr_group_set *set = context;
    struct mr_group_sums sums;

    mr_group_set_sums(set, &sums);
    for (size_t i = 0; i < MR_COUNTERS; i++)
        visit(to, mr_counter_name(i), mr_counter_help(i), mr_counter_value(&sums.quic, i));
    for (size_t i = 0; i < MR_COUNT_OF(net_counters); i++)
        visit(to, net_counters[i].name, net_counters[i].help,
              ((const uint64_t *)(const void *)&sums.net)[i]);
    for (size_t i = 0; i < MR_COUNT_OF(shard_counters); i++) {
        uint64_t value;

        memcpy(&value, (const uint8_t *)&sums.stats + shard_counters[i].offset, sizeof(value));
        visit(to, shard_counters[i].name, shard_counters[i].help, value);
    }
    for (size_t i = 0; i < MR_COUNT_OF(io_counters); i++)
        visit(to, io_counters[i].name, io_counters[i].help,
              ((const uint64_t *)(const void *)&sums.io)[i]);
    visit(to, "port_downs", "times a port's link went down", downs(set));
    mr_group_trace_counters(set->qlog, visit, to);
    if (set->more != NULL)
        set->more(set->context, visit, to);
}

static void drain(void *context)
{
    const struct mr_group_set *set = context;

    for (uint32_t i = 0; i < set->count; i++)
        mr_group_drain(set->groups[i]);
}

/* ------------------------------------------------------------------ one shard at a time */

/* False: no memory. */
static bool need_orders(struct mr_group_set *set, struct mr_fault *fault)
{
    if (set->orders == NULL)
        set->orders = mr_group_orders_new(set);
    if (set->orders == NULL)
        mr_fault_set(fault, ENOMEM, "no memory to ask shards with");
    return set->orders != NULL;
}

static void describe_shard(void *context, uint32_t shard, struct json_object *object)
{
    struct mr_group_set *set = context;
    struct mr_fault fault;

    if (need_orders(set, &fault))
        mr_group_orders_describe(set->orders, shard, object);
}

static int list_conns(void *context, uint32_t shard, struct json_object **result_out,
                      struct mr_fault *fault)
{
    struct mr_group_set *set = context;

    return need_orders(set, fault) ? mr_group_orders_list(set->orders, shard, result_out, fault)
                                   : -ENOMEM;
}

static int weigh(void *context, uint32_t shard, struct json_object **result_out,
                 struct mr_fault *fault)
{
    struct mr_group_set *set = context;

    return need_orders(set, fault) ? mr_group_orders_memory(set->orders, shard, result_out, fault)
                                   : -ENOMEM;
}

static int move_conn(void *context, const char *conn, uint32_t to, struct json_object **result_out,
                     struct mr_fault *fault)
{
    struct mr_group_set *set = context;

    return need_orders(set, fault) ? mr_group_orders_move(set->orders, conn, to, result_out, fault)
                                   : -ENOMEM;
}

static int renew_cids(void *context, const char *conn, struct json_object **result_out,
                      struct mr_fault *fault)
{
    struct mr_group_set *set = context;

    return need_orders(set, fault) ? mr_group_orders_renew(set->orders, conn, result_out, fault)
                                   : -ENOMEM;
}

static int list_paths(void *context, const char *conn, struct json_object **result_out,
                      struct mr_fault *fault)
{
    struct mr_group_set *set = context;

    return need_orders(set, fault) ? mr_group_orders_paths(set->orders, conn, result_out, fault)
                                   : -ENOMEM;
}

static int trace(void *context, const struct mr_command_arguments *arguments,
                 struct json_object **result_out, struct mr_fault *fault)
{
    struct mr_group_set *set = context;

    return need_orders(set, fault) ? mr_group_trace(set, arguments, result_out, fault) : -ENOMEM;
}

static int list_ports(void *context, const struct mr_command_arguments *arguments,
                      struct json_object **result_out, struct mr_fault *fault)
{
    (void)arguments;
    return mr_group_ports_list(context, result_out, fault);
}

static int spread(void *context, const struct mr_command_arguments *arguments,
                  struct json_object **result_out, struct mr_fault *fault)
{
    return mr_group_ports_rss(context, arguments, result_out, fault);
}

void mr_group_set_end(struct mr_group_set *set)
{
    mr_group_orders_free(set->orders);
    set->orders = NULL;
}

struct mr_control_datapath mr_group_set_datapath(struct mr_group_set *set, const char *version)
{
    return (struct mr_control_datapath){.context = set,
                                        .version = version,
                                        .shard_count = mr_group_set_shard_count(set),
                                        .conn_count = conn_count,
                                        .describe_shard = describe_shard,
                                        .list_conns = list_conns,
                                        .weigh = weigh,
                                        .move_conn = move_conn,
                                        .renew_cids = renew_cids,
                                        .list_paths = list_paths,
                                        .trace = trace,
                                        .list_ports = list_ports,
                                        .spread = spread,
                                        .counters = counters,
                                        .drain = drain};
}
