/* dataplane/dispatch.c - see dispatch.h. */
#include "dataplane/dispatch.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/dispatch_internal.h"
#include "quic/counters.h"

#define STALL_DEFAULT_NS 20000
#define HOST             MR_NONE /* an owner that is no member */

/* ------------------------------------------------------------------ whose it is */

static struct mr_dispatch_conn *conn_at(const struct mr_dispatcher *d, uint32_t index)
{
    return mr_pool_at(&d->conns, index);
}

static bool is_accepted(const struct mr_dispatch_conn *conn)
{
    return conn->listener != MR_DISPATCH_OPENED;
}

bool mr_dispatch_note(struct mr_dispatcher *d, mr_handle handle, uint32_t member, uint32_t listener)
{
    uint32_t index = mr_pool_get(&d->conns);

    if (index == MR_NONE)
        return false;
    if (mr_table8_insert(&d->by_handle, handle, index) != MR_TABLE_ADDED) {
        mr_pool_put(&d->conns, index);
        return false;
    }
    *conn_at(d, index) = (struct mr_dispatch_conn){.member = member, .listener = listener};
    if (listener != MR_DISPATCH_OPENED)
        d->listener_conns[listener]++;
    mr_count_add(&d->members[member].conns, 1);
    return true;
}

static void forget(struct mr_dispatcher *d, mr_handle handle)
{
    uint32_t index = mr_table8_remove(&d->by_handle, handle);

    MR_ASSERT(index != MR_NONE);
    const struct mr_dispatch_conn *conn = conn_at(d, index);
    if (is_accepted(conn))
        d->listener_conns[conn->listener]--;
    mr_count_add(&d->members[conn->member].conns, (uint64_t)-1);
    mr_pool_put(&d->conns, index);
}

uint32_t mr_dispatch_owner(const struct mr_dispatcher *d, mr_handle handle, uint32_t *listener_out)
{
    uint32_t index = mr_table8_find(&d->by_handle, handle);

    if (index == MR_NONE)
        return HOST;
    *listener_out = conn_at(d, index)->listener;
    return conn_at(d, index)->member;
}

static uint32_t owner_of(const struct mr_dispatcher *d, mr_handle handle)
{
    uint32_t listener;

    return mr_dispatch_owner(d, handle, &listener);
}

/* An event with which a connection may be new here. */
static bool may_be_new(const struct mr_event *event)
{
    return event->stream == MR_HANDLE_NONE &&
           (event->kinds & (MR_EVENT_CONNECTED | MR_EVENT_CLOSED)) == MR_EVENT_CONNECTED;
}

/* The listener that the connection matches, if it is a member's; NULL: it is not for a member. */
static const struct mr_handoff_listener *find_listener(struct mr_dispatcher *d, mr_handle conn,
                                                       uint32_t *number_out)
{
    const struct mr_handoff *policy = mr_app_host_policy(d->config.host);
    struct mr_conn_info info;

    if (policy == NULL || d->transport->ops->conn_info(d->transport, conn, &info) != 0 ||
        info.is_client)
        return NULL;
    *number_out = mr_handoff_find(policy, info.local.port, info.alpn, info.server_name);
    if (*number_out == MR_LISTENERS_MAX)
        return NULL;
    const struct mr_handoff_listener *listener = &policy->listener[*number_out];
    return listener->member == 0 || listener->member > d->config.member_count ? NULL : listener;
}

static bool has_place(const struct mr_dispatcher *d, const struct mr_handoff_listener *listener,
                      uint32_t number)
{
    return listener->conns_max == 0 || d->listener_conns[number] < listener->conns_max;
}

static void note_name(struct mr_dispatch_member *member, const char *name)
{
    uint64_t words[MR_DISPATCH_NAME / sizeof(uint64_t)] = {0};

    memcpy(words, name, strnlen(name, MR_DISPATCH_NAME - 1));
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        __atomic_store_n(&member->longest_stall_name[i], words[i], __ATOMIC_RELAXED);
}

/* A handler has returned: did it keep the contract? */
static void judge(struct mr_dispatch_member *member, const char *name, uint64_t ns)
{
    if (ns <= member->dispatcher->config.stall_ns)
        return;
    mr_count_add(&member->stalls, 1);
    if (ns <= member->longest_stall_ns)
        return;
    mr_count_add(&member->longest_stall_ns, ns - member->longest_stall_ns);
    note_name(member, name == NULL ? "" : name);
}

void mr_dispatcher_took(struct mr_dispatcher *d, uint32_t member, const char *name, uint64_t ns)
{
    d->members[member].measures_itself = true;
    judge(&d->members[member], name, ns);
}

static void call(struct mr_dispatch_member *member, const struct mr_event *events, size_t count)
{
    const struct mr_dispatch_config *config = &member->dispatcher->config;
    uint64_t begin = config->clock == NULL ? 0 : config->clock(config->clock_context);

    member->application->on_events(member->application->context, events, count);
    mr_count_add(&member->events, count);
    if (config->clock != NULL && !member->measures_itself)
        judge(member, member->application->name, config->clock(config->clock_context) - begin);
}

/* A connection that nobody has yet.  False: it is not for a member. */
static bool accept(struct mr_dispatcher *d, const struct mr_event *event)
{
    uint32_t number;
    const struct mr_handoff_listener *listener = find_listener(d, event->conn, &number);
    struct mr_event told = *event;

    if (listener == NULL)
        return false;
    struct mr_dispatch_member *member = &d->members[listener->member - 1];
    if (!has_place(d, listener, number) ||
        !mr_dispatch_note(d, event->conn, listener->member - 1u, number)) {
        mr_count_add(&member->conns_refused, 1);
        d->transport->ops->close(d->transport, event->conn, listener->refuse_code, "no room");
        return true;
    }
    mr_count_add(&member->conns_accepted, 1);
    told.listener = number;
    call(member, &told, 1);
    return true;
}

/* ------------------------------------------------------------------ events */

/* A timer or work of a member. */
static void finish_call(struct mr_dispatcher *d, const struct mr_event *event)
{
    struct mr_event own = *event;

    if (event->user_data >= d->calls.fresh)
        return;
    uint32_t index = (uint32_t)event->user_data;
    struct mr_dispatch_call noted = *(const struct mr_dispatch_call *)mr_pool_at(&d->calls, index);
    mr_pool_put(&d->calls, index);
    own.user_data = noted.user_data;
    call(&d->members[noted.member], &own, 1);
}

static void tell_host(struct mr_dispatcher *d, const struct mr_event *events, size_t count)
{
    const struct mr_application *host = mr_app_host_application(d->config.host);

    host->on_events(host->context, events, count);
}

static void tell_all(struct mr_dispatcher *d, const struct mr_event *event)
{
    for (uint32_t i = 0; i < d->config.member_count; i++)
        call(&d->members[i], event, 1);
    tell_host(d, event, 1);
}

/* The connection's last event: it is over, or another shard's. */
static bool is_last(const struct mr_event *event)
{
    return event->stream == MR_HANDLE_NONE &&
           ((event->kinds & MR_EVENT_CLOSED) != 0 ||
            ((event->kinds & MR_EVENT_MOVED) != 0 && event->result == 0));
}

/* How many of the events, the first included, one owner is told at once. */
static size_t run_of(const struct mr_dispatcher *d, uint32_t owner, const struct mr_event *events,
                     size_t count)
{
    size_t run = 1;

    while (run < count && events[run].conn != MR_HANDLE_NONE && !may_be_new(&events[run]) &&
           (owner == HOST || !is_last(&events[run - 1])) &&
           (events[run].conn == events[run - 1].conn || owner_of(d, events[run].conn) == owner))
        run++;
    return run;
}

/* The first event, or more of the same owner's.  Returns how many. */
static size_t dispatch(struct mr_dispatcher *d, const struct mr_event *events, size_t count)
{
    if ((events->kinds & (MR_EVENT_TIMER | MR_EVENT_WORK_DONE)) != 0) {
        finish_call(d, events);
        return 1;
    }
    if (events->conn == MR_HANDLE_NONE) {
        tell_all(d, events);
        return 1;
    }
    uint32_t owner = owner_of(d, events->conn);
    if (owner == HOST && may_be_new(events) && accept(d, events))
        return 1;
    size_t run = run_of(d, owner, events, count);
    if (owner == HOST) {
        tell_host(d, events, run);
        return run;
    }
    call(&d->members[owner], events, run);
    if (is_last(&events[run - 1]))
        forget(d, events[run - 1].conn);
    return run;
}

/* ------------------------------------------------------------------ the shard's application */

static void on_start(void *context, struct mr_transport *transport)
{
    struct mr_dispatcher *d = context;
    const struct mr_application *host = mr_app_host_application(d->config.host);

    d->transport = transport;
    host->on_start(host->context, transport);
    for (uint32_t i = 0; i < d->config.member_count; i++) {
        const struct mr_application *member = d->members[i].application;

        if (member->on_start != NULL)
            member->on_start(member->context, &d->members[i].transport);
    }
}

static void on_events(void *context, const struct mr_event *events, size_t count)
{
    for (size_t i = 0; i < count;)
        i += dispatch(context, &events[i], count - i);
}

static uint32_t on_poll(void *context)
{
    struct mr_dispatcher *d = context;
    const struct mr_application *host = mr_app_host_application(d->config.host);
    uint32_t work = host->on_poll(host->context);

    for (uint32_t i = 0; i < d->config.member_count; i++) {
        const struct mr_application *member = d->members[i].application;

        if (member->on_poll != NULL)
            work += member->on_poll(member->context);
    }
    return work;
}

static void on_stop(void *context)
{
    struct mr_dispatcher *d = context;
    const struct mr_application *host = mr_app_host_application(d->config.host);

    for (uint32_t i = 0; i < d->config.member_count; i++) {
        const struct mr_application *member = d->members[i].application;

        if (member->on_stop != NULL)
            member->on_stop(member->context);
    }
    host->on_stop(host->context);
}

/* ------------------------------------------------------------------ life */

static void *make_pool(struct mr_pool *pool, uint32_t count, size_t size)
{
    void *memory = malloc(mr_pool_footprint(count, size, sizeof(uint64_t)));

    if (memory != NULL)
        mr_pool_init(pool, memory, count, size, sizeof(uint64_t));
    return memory;
}

static bool make_memory(struct mr_dispatcher *d, const uint8_t hash_key[16])
{
    struct mr_siphash_key key = mr_siphash_key(hash_key);

    d->table = malloc(mr_table8_footprint(d->config.conns_max));
    d->conns_memory = make_pool(&d->conns, d->config.conns_max, sizeof(struct mr_dispatch_conn));
    d->calls_memory = make_pool(&d->calls, d->config.calls_max, sizeof(struct mr_dispatch_call));
    if (d->table == NULL || d->conns_memory == NULL || d->calls_memory == NULL)
        return false;
    mr_table8_init(&d->by_handle, d->table, d->config.conns_max, &key);
    return true;
}

struct mr_dispatcher *mr_dispatcher_new(const struct mr_dispatch_config *config,
                                        const uint8_t hash_key[16])
{
    struct mr_dispatcher *d = calloc(1, sizeof(*d));

    MR_ASSERT(config->member_count <= MR_DISPATCH_MEMBERS);
    if (d == NULL)
        return NULL;
    d->config = *config;
    if (d->config.stall_ns == 0)
        d->config.stall_ns = STALL_DEFAULT_NS;
    d->application = (struct mr_application){.name = "applications",
                                             .context = d,
                                             .on_start = on_start,
                                             .on_events = on_events,
                                             .on_poll = on_poll,
                                             .on_stop = on_stop};
    mr_dispatch_init_hooks(d);
    for (uint32_t i = 0; i < config->member_count; i++) {
        d->members[i] = (struct mr_dispatch_member){
            .transport = {&mr_dispatch_ops}, .dispatcher = d, .application = config->members[i]};
        d->application.remembered = 31 * d->application.remembered + config->members[i]->remembered;
    }
    if (!make_memory(d, hash_key)) {
        mr_dispatcher_free(d);
        return NULL;
    }
    return d;
}

void mr_dispatcher_free(struct mr_dispatcher *d)
{
    if (d == NULL)
        return;
    free(d->table);
    free(d->conns_memory);
    free(d->calls_memory);
    free(d);
}

const struct mr_application *mr_dispatcher_application(struct mr_dispatcher *d)
{
    return &d->application;
}

/* ------------------------------------------------------------------ figures */

static uint64_t load(const uint64_t *field)
{
    return __atomic_load_n(field, __ATOMIC_RELAXED); /* a figure, it orders nothing */
}

void mr_dispatcher_stats(const struct mr_dispatcher *d, uint32_t number,
                         struct mr_dispatch_stats *out)
{
    const struct mr_dispatch_member *member = &d->members[number];
    uint64_t words[MR_DISPATCH_NAME / sizeof(uint64_t)];

    *out = (struct mr_dispatch_stats){.events = load(&member->events),
                                      .conns_accepted = load(&member->conns_accepted),
                                      .conns_opened = load(&member->conns_opened),
                                      .conns_refused = load(&member->conns_refused),
                                      .stalls = load(&member->stalls),
                                      .longest_stall_ns = load(&member->longest_stall_ns),
                                      .conns = load(&member->conns)};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        words[i] = load(&member->longest_stall_name[i]);
    memcpy(out->longest_stall_name, words, sizeof(words));
}

void mr_dispatcher_check(const struct mr_dispatcher *d)
{
    uint64_t conns = 0;

    for (uint32_t i = 0; i < d->config.member_count; i++)
        conns += d->members[i].conns;
    MR_ASSERT(conns == d->conns.used);
    MR_ASSERT(d->by_handle.core.count == d->conns.used);
    mr_pool_check(&d->conns);
    mr_pool_check(&d->calls);
    mr_table8_check(&d->by_handle);
}
