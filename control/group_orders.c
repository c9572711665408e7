/* control/group_orders.c - see group_orders.h. */
#include "control/group_orders.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/eal.h"
#include "control/topology.h"
#include "dataplane/clock.h"
#include "dataplane/shard_order.h"

#define ORDER_CONNS    1000
#define ORDER_PATIENCE (2 * MR_SECOND) /* for a shard's answer */
#define MOVE_PATIENCE  (2 * MR_SECOND) /* for the end of a move */
#define LOOK_NS        (100 * MR_US)

struct mr_group_orders {
    struct mr_group_set *set;
    struct mr_shard *busy; /* the last order's, if it may be out; NULL: it is not */
    struct mr_shard_order order;
    struct mr_shard_conn conns[ORDER_CONNS];
};

/* A connection by its name, and its shard. */
struct target {
    uint32_t shard; /* of all */
    struct mr_shard *at;
    struct mr_group *group;
    uint32_t index; /* of the shard in its group */
    mr_handle conn;
};

static void put_number(struct json_object *object, const char *key, uint64_t value)
{
    json_object_object_add(object, key, json_object_new_uint64(value));
}

static void put_text(struct json_object *object, const char *key, const char *text)
{
    json_object_object_add(object, key, json_object_new_string(text));
}

/* ------------------------------------------------------------------ orders */

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * MR_SECOND + (uint64_t)now.tv_nsec;
}

static void sleep_a_moment(void)
{
    nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
}

/* Until the shard has carried out its order.  0; -ETIMEDOUT. */
static int wait_done(const struct mr_shard *shard, uint32_t number, struct mr_fault *fault)
{
    for (uint64_t until = now_ns() + ORDER_PATIENCE; !mr_shard_order_is_done(shard);) {
        if (now_ns() >= until)
            return mr_fault_set(fault, ETIMEDOUT,
                                "shard %u does not answer: it hangs, or is about to end", number);
        sleep_a_moment();
    }
    return 0;
}

/* Have the order carried out; what came of it is in o->order.  0; -EBUSY, -ETIMEDOUT. */
static int give(struct mr_group_orders *o, struct mr_shard *shard, uint32_t number,
                const struct mr_shard_order *order, struct mr_fault *fault)
{
    if (o->busy != NULL && !mr_shard_order_is_done(o->busy))
        return mr_fault_set(fault, EBUSY, "an earlier command waits for a shard that hangs");
    int result = wait_done(shard, number, fault); /* one of the balance's may be out */
    if (result != 0)
        return result;
    o->order = *order;
    o->busy = shard;
    mr_shard_give_order(shard, &o->order);
    result = wait_done(shard, number, fault);
    if (result == 0)
        o->busy = NULL;
    return result;
}

static int find_shard(const struct mr_group_orders *o, uint32_t number, struct target *target,
                      struct mr_fault *fault)
{
    target->shard = number;
    target->at = mr_group_set_shard(o->set, number, &target->group, &target->index);
    if (target->at != NULL)
        return 0;
    return mr_fault_set(fault, ENOENT, "there is no shard %u; `conns` shows the %u there are",
                        number, mr_group_set_shard_count(o->set));
}

/* ------------------------------------------------------------------ lists */

static void put_address(struct json_object *object, const char *key,
                        const struct mr_address *address)
{
    char ip[MR_IP_TEXT];
    char text[MR_IP_TEXT + 16];
    struct mr_ip value;

    memcpy(value.bytes, address->ip, sizeof(value.bytes));
    mr_ip_format(&value, ip);
    snprintf(text, sizeof(text), mr_ip_is_v4(&value) ? "%s:%u" : "[%s]:%u", ip, address->port);
    put_text(object, key, text);
}

static void put_owner(const struct mr_group_orders *o, struct json_object *object, uint64_t owner)
{
    char text[64] = "";

    if (owner >= MR_OWNER_MEMBER)
        snprintf(text, sizeof(text), "inline %" PRIu64, owner - MR_OWNER_MEMBER);
    else if (owner > 0)
        snprintf(text, sizeof(text), "attachment %" PRIu64, owner);
    if (owner > 0 && o->set->name_owner != NULL)
        o->set->name_owner(o->set->context, owner, text, sizeof(text));
    put_text(object, "application", text);
}

static const char *ecn_text(const struct mr_conn_info *info)
{
    static const char *const texts[] = {[MR_CONN_ECN_OFF] = "off",
                                        [MR_CONN_ECN_TESTING] = "testing",
                                        [MR_CONN_ECN_UNKNOWN] = "unknown",
                                        [MR_CONN_ECN_CAPABLE] = "capable",
                                        [MR_CONN_ECN_FAILED] = "failed"};

    return info->ecn < MR_COUNT_OF(texts) ? texts[info->ecn] : "";
}

static struct json_object *conn_object(const struct mr_group_orders *o, uint32_t shard,
                                       const struct mr_shard_conn *conn)
{
    struct json_object *object = json_object_new_object();
    char name[40];

    snprintf(name, sizeof(name), "%u.%" PRIx64, shard, conn->conn);
    put_text(object, "conn", name);
    put_owner(o, object, conn->owner);
    put_text(object, "role", conn->info.is_client ? "client" : "server");
    put_text(object, "state", conn->state);
    put_address(object, "local", &conn->info.local);
    put_address(object, "remote", &conn->info.remote);
    put_text(object, "alpn", conn->info.alpn);
    put_number(object, "streams", conn->streams);
    put_number(object, "paths", conn->paths);
    put_number(object, "rtt_us", conn->info.rtt_ns / 1000);
    put_number(object, "cwnd_bytes", conn->info.cwnd_bytes);
    put_number(object, "packets_sent", conn->info.packets_sent);
    put_number(object, "packets_lost", conn->info.packets_lost);
    put_number(object, "bytes_received", conn->info.bytes_received);
    put_text(object, "limited_by", conn->info.limited_by);
    put_text(object, "ecn", ecn_text(&conn->info));
    json_object_object_add(object, "can_move", json_object_new_boolean(conn->can_move));
    return object;
}

int mr_group_orders_list(struct mr_group_orders *o, uint32_t shard, struct json_object **result_out,
                         struct mr_fault *fault)
{
    struct target target;
    int result = find_shard(o, shard, &target, fault);

    if (result != 0)
        return result;
    struct mr_shard_order order = {.kind = MR_ORDER_LIST, .conns = o->conns, .room = ORDER_CONNS};
    result = give(o, target.at, shard, &order, fault);
    if (result != 0)
        return result;
    struct json_object *list = json_object_new_array();
    for (uint32_t i = 0; i < o->order.count; i++)
        json_object_array_add(list, conn_object(o, shard, &o->conns[i]));
    *result_out = json_object_new_object();
    put_number(*result_out, "shard", shard);
    put_number(*result_out, "connections", o->order.total);
    put_number(*result_out, "shown", o->order.count);
    json_object_object_add(*result_out, "conns", list);
    return 0;
}

int mr_group_orders_memory(struct mr_group_orders *o, uint32_t shard,
                           struct json_object **result_out, struct mr_fault *fault)
{
    struct target target;
    int result = find_shard(o, shard, &target, fault);

    if (result != 0)
        return result;
    struct mr_shard_order order = {.kind = MR_ORDER_MEMORY};
    result = give(o, target.at, shard, &order, fault);
    if (result != 0)
        return result;
    const struct mr_endpoint_memory *m = &o->order.memory;
    struct json_object *object = json_object_new_object();
    put_number(object, "shard", shard);
    put_number(object, "awake", m->conns);
    put_number(object, "asleep", m->asleep);
    put_number(object, "awake_bytes", m->conn_bytes);
    put_number(object, "asleep_bytes", m->sleeper_bytes);
    put_number(object, "streams_awake", m->streams);
    put_number(object, "streams_asleep", m->streams_asleep);
    put_number(object, "stream_bytes", m->stream_bytes);
    put_number(object, "handshakes", m->handshakes);
    put_number(object, "handshake_bytes", m->handshake_bytes);
    put_number(object, "key_bytes", m->key_bytes);
    put_number(object, "other_bytes", m->name_bytes + m->other_bytes);
    put_number(object, "table_entries", m->table_entries);
    *result_out = object;
    return 0;
}

void mr_group_orders_describe(const struct mr_group_orders *o, uint32_t shard,
                              struct json_object *object)
{
    struct mr_group *group;
    uint32_t index;

    if (mr_group_set_shard(o->set, shard, &group, &index) == NULL)
        return;
    struct mr_clock clock = mr_clock_init();
    struct mr_shard_stats stats;
    mr_shard_read_stats(group->shards[index], &stats);
    uint32_t worker = group->config.first_worker + index;
    uint32_t cpu = mr_eal_info()->worker_cpu[worker];
    int32_t node = mr_topology_node_of_cpu(cpu);
    put_text(object, "port", group->port->spec);
    put_number(object, "thread", (uint64_t)mr_eal_info()->worker_thread[worker]);
    put_number(object, "cpu", cpu);
    if (node >= 0)
        put_number(object, "node", (uint64_t)node);
    put_number(object, "busy_ms", mr_clock_ns(&clock, stats.busy_cycles) / MR_MS);
}

/* ------------------------------------------------------------------ moves */

static int parse_conn(const struct mr_group_orders *o, const char *name, struct target *target,
                      struct mr_fault *fault)
{
    unsigned shard;
    int end = 0;

    if (sscanf(name, "%5u.%16" SCNx64 "%n", &shard, &target->conn, &end) != 2 || name[end] != '\0')
        return mr_fault_set(fault, EINVAL,
                            "%.40s is no connection's name; `conns SHARD` shows them, like "
                            "0.100000005",
                            name);
    return find_shard(o, shard, target, fault);
}

/* It could not even be asked for. */
static int refuse(int answer, const char *conn, uint32_t to, struct mr_fault *fault)
{
    switch (answer) {
    case -ESTALE:
        return mr_fault_set(fault, ESTALE,
                            "there is no connection %s any more; `conns SHARD` shows those there "
                            "are",
                            conn);
    case -EBUSY:
        return mr_fault_set(fault, EBUSY,
                            "connection %s cannot move now: its handshake is not over (a client "
                            "waits for tickets, too), or it has moved a moment ago; try again",
                            conn);
    case -EMLINK:
        return mr_fault_set(fault, EMLINK,
                            "connection %s stays: it may have several paths, which only its shard "
                            "knows",
                            conn);
    case -EAGAIN:
        return mr_fault_set(fault, EAGAIN, "too many connections are on their way; try again");
    case -ENOMEM:
    case -ENOBUFS:
        return mr_fault_set(fault, ENOBUFS, "connection %s has too much unread data to move", conn);
    case -EINVAL:
        return mr_fault_set(fault, EINVAL,
                            "shard %u is where connection %s is, or another port's; name another "
                            "shard of its port",
                            to, conn);
    default:
        return mr_fault_set(fault, ECANCELED,
                            "connection %s stays: its application is none that moves, or has no "
                            "ring to shard %u",
                            conn, to);
    }
}

/* It was asked for, and nothing came of it. */
static int stay(int answer, const char *conn, uint32_t to, struct mr_fault *fault)
{
    switch (answer) {
    case -ETIMEDOUT:
        return mr_fault_set(fault, ETIMEDOUT,
                            "connection %s stays: its application does not answer in time, or "
                            "holds bytes of it by reference",
                            conn);
    case -ENOMEM:
        return mr_fault_set(fault, ENOMEM,
                            "connection %s stays: shard %u, or its application's ring there, has "
                            "no room for it",
                            conn, to);
    case -EBUSY:
        return mr_fault_set(fault, EBUSY,
                            "connection %s stays: it cannot go at the moment; try again", conn);
    default:
        return mr_fault_set(fault, ECANCELED,
                            "connection %s stays: it ends, its application does, or shard %u does",
                            conn, to);
    }
}

/* Until the move is over.  0: it is gone from its shard; -errno: it stays. */
static int wait_over(struct mr_group_orders *o, const struct target *from, uint32_t to,
                     const char *conn, struct mr_fault *fault)
{
    for (uint64_t until = now_ns() + MOVE_PATIENCE; now_ns() < until; sleep_a_moment()) {
        struct mr_shard_order order = {.kind = MR_ORDER_FIND, .conn = from->conn};
        int result = give(o, from->at, from->shard, &order, fault);

        if (result != 0)
            return result;
        if (o->order.answer == -ESTALE)
            return 0;
        if (o->order.answer != 1)
            return stay(o->order.answer, conn, to, fault);
    }
    return stay(-ETIMEDOUT, conn, to, fault);
}

int mr_group_orders_move(struct mr_group_orders *o, const char *conn, uint32_t to,
                         struct json_object **result_out, struct mr_fault *fault)
{
    struct target from;
    struct target dest;
    int result = parse_conn(o, conn, &from, fault);

    if (result == 0)
        result = find_shard(o, to, &dest, fault);
    if (result != 0)
        return result;
    struct mr_shard_order order = {.kind = MR_ORDER_MOVE,
                                   .conn = from.conn,
                                   .to = from.group == dest.group ? dest.index : UINT32_MAX};
    result = give(o, from.at, from.shard, &order, fault);
    if (result != 0)
        return result;
    if (o->order.answer < 0)
        return refuse(o->order.answer, conn, to, fault);
    result = wait_over(o, &from, to, conn, fault);
    if (result != 0)
        return result;
    *result_out = json_object_new_object();
    put_text(*result_out, "conn", conn);
    put_number(*result_out, "shard", to);
    return 0;
}

/* ------------------------------------------------------------------ connection IDs */

static int renew_all(struct mr_group_orders *o, struct json_object **result_out,
                     struct mr_fault *fault)
{
    uint64_t renewed = 0;
    uint64_t total = 0;

    for (uint32_t i = 0; i < mr_group_set_shard_count(o->set); i++) {
        struct mr_shard_order order = {.kind = MR_ORDER_RENEW, .conn = MR_HANDLE_NONE};
        struct target target;
        int result = find_shard(o, i, &target, fault);

        if (result == 0)
            result = give(o, target.at, i, &order, fault);
        if (result != 0)
            return result;
        renewed += o->order.count;
        total += o->order.total;
    }
    *result_out = json_object_new_object();
    put_number(*result_out, "connections", total);
    put_number(*result_out, "renewed", renewed);
    return 0;
}

static int renew_one(struct mr_group_orders *o, const char *conn, struct json_object **result_out,
                     struct mr_fault *fault)
{
    struct target target;
    int result = parse_conn(o, conn, &target, fault);

    if (result != 0)
        return result;
    struct mr_shard_order order = {.kind = MR_ORDER_RENEW, .conn = target.conn};
    result = give(o, target.at, target.shard, &order, fault);
    if (result != 0)
        return result;
    if (o->order.answer == -ESTALE)
        return refuse(-ESTALE, conn, 0, fault);
    if (o->order.answer == -EBUSY)
        return mr_fault_set(fault, EBUSY,
                            "connection %s keeps its connection IDs: its handshake is not over, or "
                            "its peer has not retired those of the last time; try again",
                            conn);
    if (o->order.answer != 0)
        return mr_fault_set(fault, ENOMEM,
                            "connection %s keeps its connection IDs: the shard has none to spare",
                            conn);
    *result_out = json_object_new_object();
    put_text(*result_out, "conn", conn);
    put_number(*result_out, "renewed", 1);
    return 0;
}

int mr_group_orders_renew(struct mr_group_orders *o, const char *conn,
                          struct json_object **result_out, struct mr_fault *fault)
{
    return strcmp(conn, "all") == 0 ? renew_all(o, result_out, fault)
                                    : renew_one(o, conn, result_out, fault);
}

/* ------------------------------------------------------------------ paths */

static struct json_object *path_object(const struct mr_path_info *path)
{
    static const char *const states[] = {[MR_PATH_INFO_CHECKING] = "checking",
                                         [MR_PATH_INFO_OPEN] = "open",
                                         [MR_PATH_INFO_ABANDONED] = "abandoned"};
    struct json_object *object = json_object_new_object();

    put_number(object, "path", path->path);
    put_text(object, "state", path->state < MR_COUNT_OF(states) ? states[path->state] : "");
    put_address(object, "local", &path->local);
    put_address(object, "remote", &path->remote);
    json_object_object_add(object, "backup", json_object_new_boolean(path->is_backup));
    json_object_object_add(object, "peer_backup", json_object_new_boolean(path->is_peer_backup));
    put_number(object, "rtt_us", path->rtt_ns / 1000);
    put_number(object, "cwnd_bytes", path->cwnd_bytes);
    put_number(object, "bytes_in_flight", path->bytes_in_flight);
    put_number(object, "bytes_sent", path->bytes_sent);
    if (path->path != 0) /* of which it is not counted */
        put_number(object, "bytes_received", path->bytes_received);
    put_number(object, "mtu", path->mtu);
    return object;
}

int mr_group_orders_paths(struct mr_group_orders *o, const char *conn,
                          struct json_object **result_out, struct mr_fault *fault)
{
    struct mr_shard_order order = {.kind = MR_ORDER_PATHS};
    struct target target;
    int result = parse_conn(o, conn, &target, fault);

    if (result == 0) {
        order.conn = target.conn;
        result = give(o, target.at, target.shard, &order, fault);
    }
    if (result == 0 && o->order.answer != 0)
        result = refuse(o->order.answer, conn, 0, fault);
    if (result != 0)
        return result;
    *result_out = json_object_new_array();
    for (uint32_t i = 0; i < o->order.count; i++)
        json_object_array_add(*result_out, path_object(&o->order.paths[i]));
    return 0;
}

/* ------------------------------------------------------------------ traces */

int mr_group_orders_trace_conn(struct mr_group_orders *o, const char *conn,
                               struct mr_shard_order *order, struct mr_fault *fault)
{
    struct target target;
    int result = parse_conn(o, conn, &target, fault);

    if (result != 0)
        return result;
    order->trace.conn = target.conn;
    result = give(o, target.at, target.shard, order, fault);
    if (result == 0)
        *order = o->order;
    return result;
}

int mr_group_orders_all(struct mr_group_orders *o, const struct mr_shard_order *order,
                        struct mr_fault *fault)
{
    int result = 0;

    for (uint32_t i = 0; i < mr_group_set_shard_count(o->set) && result == 0; i++) {
        struct target target;

        result = find_shard(o, i, &target, fault);
        if (result == 0)
            result = give(o, target.at, i, order, fault);
    }
    return result;
}

/* ------------------------------------------------------------------ life */

struct mr_group_orders *mr_group_orders_new(struct mr_group_set *set)
{
    struct mr_group_orders *o = calloc(1, sizeof(*o));

    if (o != NULL)
        o->set = set;
    return o;
}

void mr_group_orders_free(struct mr_group_orders *o)
{
    free(o);
}
