/* control/group_trace.c - see group_trace.h. */
#include "control/group_trace.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "control/group_orders.h"
#include "dataplane/net_addr.h"

bool mr_group_trace_begin(struct mr_group *group, struct mr_qlog *qlog, uint32_t what,
                          struct mr_fault *fault)
{
    const struct mr_trace_rule rule = {.what = what};

    for (uint32_t i = 0; i < group->config.shard_count; i++) {
        struct mr_tracer *tracer = mr_qlog_add(qlog, fault);

        if (tracer == NULL)
            return false;
        mr_shard_set_tracer(group->shards[i], tracer, &rule);
    }
    return true;
}

/* ------------------------------------------------------------------ the words of the command */

/* What a command asks for. */
struct wish {
    struct mr_shard_order order;
    const char *conn; /* of one connection; NULL: of all shards */
};

/* The last word, if there is one behind `used` others, says what is kept. */
static int read_what(const struct mr_command_arguments *arguments, uint32_t used,
                     uint32_t *what_out, struct mr_fault *fault)
{
    const char *word = arguments->count > used ? arguments->word[used] : "";

    *what_out = MR_TRACE_EVENTS;
    if (arguments->count <= used)
        return 0;
    if (strcmp(word, "keys") == 0)
        *what_out = MR_TRACE_KEYS;
    else if (strcmp(word, "both") == 0)
        *what_out = MR_TRACE_EVENTS | MR_TRACE_KEYS;
    else
        return mr_fault_set(fault, EINVAL, "%.40s: what is kept is events, or `keys`, or `both`",
                            word);
    return arguments->count == used + 1
               ? 0
               : mr_fault_set(fault, EINVAL, "%.40s: one word too many", arguments->word[used + 1]);
}

static int read_all(const struct mr_command_arguments *arguments, struct mr_qlog *qlog,
                    struct wish *wish, struct mr_fault *fault)
{
    (void)qlog;
    wish->order.trace.has_rule = true;
    return read_what(arguments, 1, &wish->order.trace.rule.what, fault);
}

static int read_next(const struct mr_command_arguments *arguments, struct mr_qlog *qlog,
                     struct wish *wish, struct mr_fault *fault)
{
    uint64_t count;
    int result = mr_command_number(arguments->word[1], &count, fault);

    if (result != 0)
        return result;
    if (count == 0 || count > UINT32_MAX)
        return mr_fault_set(fault, EINVAL, "%s connections: name a number from 1 on",
                            arguments->word[1]);
    wish->order.trace.has_rule = true;
    wish->order.trace.rule.next = mr_qlog_next(qlog);
    result = read_what(arguments, 2, &wish->order.trace.rule.what, fault);
    if (result == 0) /* relaxed: the order that follows is what shards wait for */
        atomic_store_explicit(wish->order.trace.rule.next, (uint32_t)count, memory_order_relaxed);
    return result;
}

static int read_peer(const struct mr_command_arguments *arguments, struct mr_qlog *qlog,
                     struct wish *wish, struct mr_fault *fault)
{
    struct mr_prefix prefix;

    (void)qlog;
    if (!mr_prefix_parse(arguments->word[1], &prefix))
        return mr_fault_set(fault, EINVAL,
                            "%.60s: not an address, like 198.18.0.1, or 198.18.0.0/24",
                            arguments->word[1]);
    wish->order.trace.has_rule = true;
    wish->order.trace.rule.has_peer = true;
    wish->order.trace.rule.peer_bits = prefix.bits;
    memcpy(wish->order.trace.rule.peer_ip, prefix.ip.bytes, sizeof(wish->order.trace.rule.peer_ip));
    return read_what(arguments, 2, &wish->order.trace.rule.what, fault);
}

static int read_conn(const struct mr_command_arguments *arguments, struct mr_qlog *qlog,
                     struct wish *wish, struct mr_fault *fault)
{
    (void)qlog;
    wish->conn = arguments->word[1];
    return read_what(arguments, 2, &wish->order.trace.what, fault);
}

static int read_off(const struct mr_command_arguments *arguments, struct mr_qlog *qlog,
                    struct wish *wish, struct mr_fault *fault)
{
    (void)qlog;
    if (arguments->count > 2)
        return mr_fault_set(fault, EINVAL, "%.40s: one word too many", arguments->word[2]);
    wish->conn = arguments->count == 2 ? arguments->word[1] : NULL;
    wish->order.trace.stops = wish->conn == NULL;
    return 0;
}

static const struct {
    const char *word;
    uint32_t argument_min; /* the word included */
    int (*read)(const struct mr_command_arguments *arguments, struct mr_qlog *qlog,
                struct wish *wish, struct mr_fault *fault);
} readers[] = {
    {"all", 1, read_all},   {"next", 2, read_next}, {"peer", 2, read_peer},
    {"conn", 2, read_conn}, {"off", 1, read_off},
};

static int read_wish(const struct mr_command_arguments *arguments, struct mr_qlog *qlog,
                     struct wish *wish, struct mr_fault *fault)
{
    const char *word = arguments->word[0];

    *wish = (struct wish){.order = {.kind = MR_ORDER_TRACE}};
    for (size_t i = 0; i < MR_COUNT_OF(readers); i++) {
        if (strcmp(readers[i].word, word) != 0)
            continue;
        return arguments->count >= readers[i].argument_min
                   ? readers[i].read(arguments, qlog, wish, fault)
                   : mr_fault_set(fault, EINVAL, "qlog %s: of what?  `help` shows it", word);
    }
    return mr_fault_set(fault, EINVAL, "qlog %.40s: all, next N, peer IP, conn CONN or off", word);
}

/* ------------------------------------------------------------------ carrying it out */

static int explain(int answer, const char *conn, struct mr_fault *fault)
{
    switch (answer) {
    case 0:
        return 0;
    case -ESTALE:
        return mr_fault_set(fault, ESTALE,
                            "there is no connection %s any more; `conns SHARD` shows those there "
                            "are",
                            conn);
    case -EBUSY:
        return mr_fault_set(fault, EBUSY,
                            "the keys of connection %s cannot be had any more: its handshake is "
                            "over; trace those of new ones",
                            conn);
    default:
        return mr_fault_set(fault, EAGAIN,
                            "connection %s is not traced: %d of its shard are, or the ring to the "
                            "writer is full; try again",
                            conn, MR_TRACED_MAX);
    }
}

static void put(void *to, const char *name, const char *help, uint64_t value)
{
    (void)help;
    json_object_object_add(to, name, json_object_new_uint64(value));
}

int mr_group_trace(struct mr_group_set *set, const struct mr_command_arguments *arguments,
                   struct json_object **result_out, struct mr_fault *fault)
{
    struct wish wish;

    if (set->qlog == NULL)
        return mr_fault_set(fault, EOPNOTSUPP,
                            "there is no folder for qlog files; start with one: --qlog-dir DIR");
    int result = arguments->count == 0 ? 0 : read_wish(arguments, set->qlog, &wish, fault);
    if (result == 0 && arguments->count > 0) {
        if (wish.conn == NULL)
            result = mr_group_orders_all(set->orders, &wish.order, fault);
        else
            result = mr_group_orders_trace_conn(set->orders, wish.conn, &wish.order, fault);
        if (result == 0 && wish.conn != NULL)
            result = explain(wish.order.answer, wish.conn, fault);
    }
    if (result != 0)
        return result;
    *result_out = json_object_new_object();
    mr_group_trace_counters(set->qlog, put, *result_out);
    return 0;
}

void mr_group_trace_counters(const struct mr_qlog *qlog, mr_counter_visit visit, void *to)
{
    struct mr_qlog_stats stats = {0};

    if (qlog != NULL)
        mr_qlog_stats(qlog, &stats);
    visit(to, "qlog_files", "qlog files begun", stats.files);
    visit(to, "qlog_files_open", "of these, whose connections are traced still", stats.open);
    visit(to, "qlog_events", "events written to them", stats.events);
    visit(to, "qlog_bytes", "bytes written to them", stats.bytes);
    visit(to, "qlog_files_refused", "connections whose qlog file could not be begun",
          stats.refused);
    visit(to, "qlog_files_cut", "qlog files that ended at their limit, or could not be written to",
          stats.cut);
}
