/* dataplane/neighbour.c - see neighbour.h. */
#include "dataplane/neighbour.h"

#include "base/assert.h"
#include "base/compiler.h"
#include "base/pool.h"
#include "base/siphash.h"

#define NEVER     UINT64_MAX
#define SECOND_NS UINT64_C(1000000000)

struct entry {
    struct mr_ip ip;
    struct mr_mac mac;
    uint8_t
        state; /* enum mr_neighbour_state; NONE in a gateway: nothing is known yet, else: free */
    uint8_t probes;
    uint8_t waiting_count;
    bool is_static;
    bool is_gateway;
    bool is_doubted; /* PROBE: another address was claimed, everybody is asked */
    bool is_queued;  /* its index is in the solicit ring */
    uint64_t used_ns;
    uint64_t reachable_until_ns; /* FAILED: failed until */
    void *waiting[MR_NEIGHBOUR_WAITING_MAX];
};

struct mr_neighbours {
    struct mr_neighbour_limits limits;
    struct mr_siphash_key key;
    struct mr_net_counters *counters;
    struct entry *entries; /* ways of a set lie side by side */
    uint64_t *due_ns;      /* of each entry: when its solicitation is overdue; NEVER: none is out */
    uint64_t next_due_ns;  /* no later than the smallest of them */
    uint32_t set_mask;
    uint32_t used;
    uint32_t generation;

    uint32_t *solicits; /* a ring of entry indexes, each in it once at most; counts run freely */
    uint32_t solicits_begin;
    uint32_t solicits_end;

    struct mr_neighbour_released *released; /* a ring of waiting_max */
    uint32_t released_begin;
    uint32_t released_end;
    uint32_t waiting; /* packets in entries */

    struct mr_neighbour_update updates[MR_NEIGHBOUR_UPDATES_MAX];
    uint32_t updates_begin;
    uint32_t updates_end;

    uint64_t allowance; /* resolutions that may begin now, in 1 / SECOND_NS */
    uint64_t allowance_ns;
};

static size_t align(size_t size)
{
    return (size + MR_CACHE_LINE - 1) & ~(size_t)(MR_CACHE_LINE - 1);
}

size_t mr_neighbours_footprint(const struct mr_neighbour_limits *limits)
{
    return align(sizeof(struct mr_neighbours)) + align(limits->entries_max * sizeof(struct entry)) +
           align(limits->entries_max * sizeof(uint64_t)) +
           align(limits->entries_max * sizeof(uint32_t)) +
           align(limits->waiting_max * sizeof(struct mr_neighbour_released));
}

struct mr_neighbours *mr_neighbours_init(void *mem, const struct mr_neighbour_limits *limits,
                                         const uint8_t key[16], struct mr_net_counters *counters)
{
    uint8_t *at = mem;
    struct mr_neighbours *table = mem;

    MR_ASSERT(limits->entries_max >= MR_NEIGHBOUR_WAYS);
    MR_ASSERT((limits->entries_max & (limits->entries_max - 1)) == 0);
    MR_ASSERT(limits->waiting_max > 0);
    MR_ASSERT((limits->waiting_max & (limits->waiting_max - 1)) ==
              0); /* rings' counts run freely */
    memset(mem, 0, mr_neighbours_footprint(limits));
    table->limits = *limits;
    table->key = mr_siphash_key(key);
    table->counters = counters;
    table->set_mask = limits->entries_max / MR_NEIGHBOUR_WAYS - 1;
    table->next_due_ns = NEVER;
    table->allowance = limits->new_per_second * SECOND_NS;

    at += align(sizeof(*table));
    table->entries = (struct entry *)at;
    at += align(limits->entries_max * sizeof(struct entry));
    table->due_ns = (uint64_t *)at;
    at += align(limits->entries_max * sizeof(uint64_t));
    table->solicits = (uint32_t *)at;
    at += align(limits->entries_max * sizeof(uint32_t));
    table->released = (struct mr_neighbour_released *)at;
    for (uint32_t i = 0; i < limits->entries_max; i++)
        table->due_ns[i] = NEVER;
    return table;
}

/* ---- entries ---- */

static bool is_free(const struct entry *entry)
{
    return entry->state == MR_NEIGHBOUR_NONE && !entry->is_gateway;
}

static uint32_t index_of(const struct mr_neighbours *table, const struct entry *entry)
{
    return (uint32_t)(entry - table->entries);
}

/* The first of the entries in which `ip` may lie. */
static struct entry *set_of(const struct mr_neighbours *table, const struct mr_ip *ip)
{
    uint32_t set =
        (uint32_t)mr_siphash13(&table->key, ip->bytes, sizeof(ip->bytes)) & table->set_mask;

    return &table->entries[(size_t)set * MR_NEIGHBOUR_WAYS];
}

static struct entry *find(const struct mr_neighbours *table, const struct mr_ip *ip)
{
    struct entry *set = set_of(table, ip);

    for (uint32_t way = 0; way < MR_NEIGHBOUR_WAYS; way++)
        if (!is_free(&set[way]) && mr_ip_equal(&set[way].ip, ip))
            return &set[way];
    return NULL;
}

/* A solicitation is out until `due_ns`, or none is (NEVER). */
static void set_due(struct mr_neighbours *table, const struct entry *entry, uint64_t due_ns)
{
    table->due_ns[index_of(table, entry)] = due_ns;
    table->next_due_ns = MR_MIN(table->next_due_ns, due_ns);
}

/* Forget what an entry knows.  A gateway stays a gateway; its place in the solicit ring stays
 * taken. */
static void forget(struct mr_neighbours *table, struct entry *entry)
{
    bool is_queued = entry->is_queued;
    bool is_gateway = entry->is_gateway;
    struct mr_ip ip = entry->ip;

    MR_DASSERT(entry->waiting_count == 0);
    set_due(table, entry, NEVER);
    *entry = (struct entry){.ip = ip, .is_queued = is_queued, .is_gateway = is_gateway};
    if (!is_gateway)
        table->used--;
}

/* Is `a` less worth keeping than `b`? */
static bool is_worse(const struct entry *a, const struct entry *b)
{
    bool a_failed = a->state == MR_NEIGHBOUR_FAILED;
    bool b_failed = b->state == MR_NEIGHBOUR_FAILED;

    return a_failed != b_failed ? a_failed : a->used_ns < b->used_ns;
}

/* A free entry of `ip`'s set, made free if need be; NULL: all are in use. */
static struct entry *make_room(struct mr_neighbours *table, const struct mr_ip *ip)
{
    struct entry *set = set_of(table, ip);
    struct entry *worst = NULL;

    for (uint32_t way = 0; way < MR_NEIGHBOUR_WAYS; way++) {
        struct entry *entry = &set[way];

        if (is_free(entry))
            return entry;
        if (entry->is_static || entry->is_gateway || entry->waiting_count > 0)
            continue;
        if (worst == NULL || is_worse(entry, worst))
            worst = entry;
    }
    if (worst != NULL) {
        mr_net_count(&table->counters->net_neighbour_evicted, 1);
        forget(table, worst);
    }
    return worst;
}

/* Take an entry for `ip`, in state NONE, which the caller changes; NULL with a count: none. */
static struct entry *enter(struct mr_neighbours *table, const struct mr_ip *ip)
{
    struct entry *entry = make_room(table, ip);

    if (entry == NULL) {
        mr_net_count(&table->counters->net_neighbour_full, 1);
        return NULL;
    }
    entry->ip = *ip;
    table->used++;
    return entry;
}

/* May another entry begin?  new_per_second in the long run, as many at once. */
static bool is_allowed(struct mr_neighbours *table, uint64_t now)
{
    uint64_t rate = table->limits.new_per_second;
    uint64_t passed = MR_MIN(now - table->allowance_ns, SECOND_NS);

    table->allowance = MR_MIN(table->allowance + passed * rate, rate * SECOND_NS);
    table->allowance_ns = now;
    if (table->allowance < SECOND_NS) {
        mr_net_count(&table->counters->net_neighbour_full, 1);
        return false;
    }
    table->allowance -= SECOND_NS;
    return true;
}

/* ---- asking ---- */

static void queue_solicit(struct mr_neighbours *table, struct entry *entry)
{
    if (entry->is_queued)
        return;
    entry->is_queued = true;
    table->solicits[table->solicits_end++ & (table->limits.entries_max - 1)] =
        index_of(table, entry);
}

/* Send the next solicitation and wait for its answer. */
static void ask(struct mr_neighbours *table, struct entry *entry, uint64_t now)
{
    entry->probes++;
    set_due(table, entry, now + MR_NEIGHBOUR_RETRANS_NS);
    queue_solicit(table, entry);
}

static void begin(struct mr_neighbours *table, struct entry *entry, enum mr_neighbour_state state,
                  uint64_t now)
{
    entry->state = (uint8_t)state;
    entry->is_doubted = false;
    entry->probes = 0;
    ask(table, entry, now);
}

/* What was confirmed long ago is STALE. */
static void age(struct entry *entry, uint64_t now)
{
    if (entry->state == MR_NEIGHBOUR_REACHABLE && !entry->is_static &&
        now >= entry->reachable_until_ns)
        entry->state = MR_NEIGHBOUR_STALE;
}

static enum mr_neighbour_answer answer_of(struct mr_neighbours *table, struct entry *entry,
                                          uint64_t now)
{
    age(entry, now);

    switch ((enum mr_neighbour_state)entry->state) {
    case MR_NEIGHBOUR_STALE:
        begin(table, entry, MR_NEIGHBOUR_PROBE, now);
        return MR_NEIGHBOUR_KNOWN;
    case MR_NEIGHBOUR_REACHABLE:
    case MR_NEIGHBOUR_PROBE:
        return MR_NEIGHBOUR_KNOWN;
    case MR_NEIGHBOUR_INCOMPLETE:
        return MR_NEIGHBOUR_WAIT;
    case MR_NEIGHBOUR_FAILED:
        if (now < entry->reachable_until_ns)
            return MR_NEIGHBOUR_UNKNOWN;
        break;
    case MR_NEIGHBOUR_NONE:
        break;
    }
    begin(table, entry, MR_NEIGHBOUR_INCOMPLETE, now);
    return MR_NEIGHBOUR_WAIT;
}

enum mr_neighbour_answer mr_neighbour_resolve(struct mr_neighbours *table, const struct mr_ip *ip,
                                              struct mr_mac *mac_out, uint64_t now)
{
    struct entry *entry = find(table, ip);

    if (entry == NULL && is_allowed(table, now))
        entry = enter(table, ip);
    if (entry == NULL)
        return MR_NEIGHBOUR_FULL;

    entry->used_ns = now;
    enum mr_neighbour_answer answer = answer_of(table, entry, now);
    if (answer == MR_NEIGHBOUR_KNOWN)
        *mac_out = entry->mac;
    return answer;
}

/* ---- waiting packets ---- */

static uint32_t released_count(const struct mr_neighbours *table)
{
    return table->released_end - table->released_begin;
}

bool mr_neighbour_wait(struct mr_neighbours *table, const struct mr_ip *ip, void *packet)
{
    struct entry *entry = find(table, ip);

    MR_DASSERT(entry != NULL);
    MR_DASSERT(entry->state == MR_NEIGHBOUR_INCOMPLETE);
    if (entry->waiting_count == MR_NEIGHBOUR_WAITING_MAX ||
        table->waiting + released_count(table) == table->limits.waiting_max)
        return false;
    entry->waiting[entry->waiting_count++] = packet;
    table->waiting++;
    return true;
}

/* The wait of an entry's packets is over. */
static void release(struct mr_neighbours *table, struct entry *entry, bool is_resolved)
{
    for (uint32_t i = 0; i < entry->waiting_count; i++)
        table->released[table->released_end++ % table->limits.waiting_max] =
            (struct mr_neighbour_released){
                .packet = entry->waiting[i],
                .mac = entry->mac,
                .is_resolved = is_resolved,
            };
    table->waiting -= entry->waiting_count;
    entry->waiting_count = 0;
}

bool mr_neighbour_take_released(struct mr_neighbours *table,
                                struct mr_neighbour_released *released_out)
{
    if (released_count(table) == 0)
        return false;
    *released_out = table->released[table->released_begin++ % table->limits.waiting_max];
    return true;
}

void mr_neighbour_release_all(struct mr_neighbours *table)
{
    for (uint32_t i = 0; i < table->limits.entries_max; i++)
        release(table, &table->entries[i], false);
}

/* ---- learning ---- */

/* Tell the other shards. */
static void push_update(struct mr_neighbours *table, const struct mr_ip *ip,
                        const struct mr_mac *mac)
{
    if (table->updates_end - table->updates_begin == MR_NEIGHBOUR_UPDATES_MAX)
        return; /* they will ask themselves */
    table->updates[table->updates_end++ % MR_NEIGHBOUR_UPDATES_MAX] =
        (struct mr_neighbour_update){.ip = *ip, .mac = *mac};
}

static bool is_asking(const struct entry *entry)
{
    return entry->state == MR_NEIGHBOUR_INCOMPLETE || entry->state == MR_NEIGHBOUR_PROBE;
}

/* Believe it. */
static void accept(struct mr_neighbours *table, struct entry *entry, const struct mr_mac *mac,
                   enum mr_neighbour_state state, uint64_t now)
{
    bool knew = entry->state == MR_NEIGHBOUR_STALE || entry->state == MR_NEIGHBOUR_PROBE;

    if (knew && !mr_mac_equal(&entry->mac, mac)) {
        table->generation++;
        mr_net_count(&table->counters->net_neighbour_changed, 1);
    }
    if (!knew)
        mr_net_count(&table->counters->net_neighbour_learned, 1);
    entry->mac = *mac;
    entry->state = (uint8_t)state;
    entry->probes = 0;
    entry->reachable_until_ns = now + MR_NEIGHBOUR_REACHABLE_NS;
    set_due(table, entry, NEVER);
    release(table, entry, true);
}

/* What is known is contradicted: everybody is asked again. */
static void doubt(struct mr_neighbours *table, struct entry *entry, uint64_t now)
{
    if (entry->state != MR_NEIGHBOUR_REACHABLE || !is_allowed(table, now))
        return;
    begin(table, entry, MR_NEIGHBOUR_PROBE, now);
    entry->is_doubted = true;
}

/* Somebody says so whom we did not ask. */
static void hear(struct mr_neighbours *table, struct entry *entry, const struct mr_mac *mac,
                 enum mr_neighbour_source source, uint64_t now)
{
    bool is_open = entry->state == MR_NEIGHBOUR_INCOMPLETE || entry->state == MR_NEIGHBOUR_STALE ||
                   entry->state == MR_NEIGHBOUR_FAILED;

    if (is_open && !entry->is_gateway) {
        accept(table, entry, mac, MR_NEIGHBOUR_STALE, now);
    } else if (entry->state == MR_NEIGHBOUR_NONE || !mr_mac_equal(&entry->mac, mac)) {
        mr_net_count(&table->counters->net_neighbour_refused, 1);
        if (source != MR_NEIGHBOUR_TRAFFIC)
            doubt(table, entry, now);
    }
}

/* An address that is not known yet enters by its own request or packet. */
static struct entry *enter_heard(struct mr_neighbours *table, const struct mr_ip *ip,
                                 enum mr_neighbour_source source, uint64_t now)
{
    if (source != MR_NEIGHBOUR_REQUEST && source != MR_NEIGHBOUR_TRAFFIC)
        return NULL;
    if (!is_allowed(table, now))
        return NULL;
    struct entry *entry = enter(table, ip);
    if (entry != NULL) {
        entry->state = MR_NEIGHBOUR_FAILED; /* nothing was known: accept() counts it as learned */
        entry->used_ns = now;
    }
    return entry;
}

void mr_neighbour_learn(struct mr_neighbours *table, const struct mr_ip *ip,
                        const struct mr_mac *mac, enum mr_neighbour_source source, uint64_t now)
{
    struct entry *entry = find(table, ip);
    bool is_answer = source == MR_NEIGHBOUR_ANSWER || source == MR_NEIGHBOUR_SHARED;

    if (mr_mac_is_multicast(mac) || mr_mac_is_zero(mac) || !mr_ip_is_unicast(ip)) {
        mr_net_count(&table->counters->net_neighbour_refused, 1);
        return;
    }
    if (source == MR_NEIGHBOUR_ANSWER)
        push_update(table, ip, mac); /* even if we did not ask: another shard may have */
    if (entry == NULL)
        entry = enter_heard(table, ip, source, now);
    if (entry == NULL)
        return;

    age(entry, now);
    if (entry->is_static) {
        if (!mr_mac_equal(&entry->mac, mac))
            mr_net_count(&table->counters->net_neighbour_refused, 1);
    } else if (is_answer && is_asking(entry)) {
        accept(table, entry, mac, MR_NEIGHBOUR_REACHABLE, now);
    } else if (source != MR_NEIGHBOUR_TRAFFIC || entry->state != MR_NEIGHBOUR_STALE) {
        hear(table, entry, mac, source, now);
    }
}

bool mr_neighbour_set_static(struct mr_neighbours *table, const struct mr_ip *ip,
                             const struct mr_mac *mac)
{
    struct entry *entry = find(table, ip);

    if (entry == NULL)
        entry = enter(table, ip);
    if (entry == NULL)
        return false;
    entry->mac = *mac;
    entry->is_static = true;
    entry->state = MR_NEIGHBOUR_REACHABLE;
    set_due(table, entry, NEVER);
    release(table, entry, true);
    table->generation++;
    return true;
}

bool mr_neighbour_set_gateway(struct mr_neighbours *table, const struct mr_ip *ip)
{
    struct entry *entry = find(table, ip);

    if (entry == NULL)
        entry = enter(table, ip);
    if (entry == NULL)
        return false;
    entry->is_gateway = true;
    return true;
}

/* ---- time ---- */

/* Nobody answered. */
static void give_up(struct mr_neighbours *table, struct entry *entry, uint64_t now)
{
    if (entry->state == MR_NEIGHBOUR_PROBE) {
        table->generation++; /* what was given out is wrong now */
        forget(table, entry);
        return;
    }
    entry->state = MR_NEIGHBOUR_FAILED;
    entry->reachable_until_ns = now + MR_NEIGHBOUR_FAILED_NS;
    set_due(table, entry, NEVER);
    release(table, entry, false);
}

void mr_neighbour_expire(struct mr_neighbours *table, uint64_t now)
{
    uint64_t next = NEVER;

    if (now < table->next_due_ns)
        return;
    for (uint32_t i = 0; i < table->limits.entries_max; i++) {
        struct entry *entry = &table->entries[i];

        if (table->due_ns[i] <= now) {
            if (entry->probes == MR_NEIGHBOUR_PROBES_MAX)
                give_up(table, entry, now);
            else
                ask(table, entry, now);
        }
        next = MR_MIN(next, table->due_ns[i]);
    }
    table->next_due_ns = next == NEVER ? NEVER : MR_MAX(next, now + MR_NEIGHBOUR_TICK_NS);
}

uint64_t mr_neighbour_deadline(const struct mr_neighbours *table)
{
    return table->next_due_ns;
}

/* ---- taking ---- */

bool mr_neighbour_take_solicit(struct mr_neighbours *table,
                               struct mr_neighbour_solicit *solicit_out)
{
    while (table->solicits_begin != table->solicits_end) {
        uint32_t at = table->solicits_begin++ & (table->limits.entries_max - 1);
        struct entry *entry = &table->entries[table->solicits[at]];

        entry->is_queued = false;
        if (!is_asking(entry))
            continue; /* answered, or evicted, meanwhile */
        *solicit_out = (struct mr_neighbour_solicit){
            .ip = entry->ip,
            .mac = entry->mac,
            .is_unicast = entry->state == MR_NEIGHBOUR_PROBE && !entry->is_doubted,
        };
        return true;
    }
    return false;
}

bool mr_neighbour_take_update(struct mr_neighbours *table, struct mr_neighbour_update *update_out)
{
    if (table->updates_begin == table->updates_end)
        return false;
    *update_out = table->updates[table->updates_begin++ % MR_NEIGHBOUR_UPDATES_MAX];
    return true;
}

uint32_t mr_neighbour_generation(const struct mr_neighbours *table)
{
    return table->generation;
}

enum mr_neighbour_state mr_neighbour_state(const struct mr_neighbours *table,
                                           const struct mr_ip *ip)
{
    const struct entry *entry = find(table, ip);

    return entry == NULL ? MR_NEIGHBOUR_NONE : (enum mr_neighbour_state)entry->state;
}

uint32_t mr_neighbour_count(const struct mr_neighbours *table)
{
    return table->used;
}

uint32_t mr_neighbour_waiting_count(const struct mr_neighbours *table)
{
    return table->waiting + released_count(table);
}

/* ---- invariants ---- */

static void check_entry(const struct mr_neighbours *table, const struct entry *entry)
{
    MR_ASSERT(find(table, &entry->ip) == entry); /* in its set, and there once */
    MR_ASSERT(entry->state <= MR_NEIGHBOUR_FAILED);
    MR_ASSERT(entry->waiting_count <= MR_NEIGHBOUR_WAITING_MAX);
    MR_ASSERT(entry->waiting_count == 0 || entry->state == MR_NEIGHBOUR_INCOMPLETE);
    MR_ASSERT(entry->probes <= MR_NEIGHBOUR_PROBES_MAX);
    MR_ASSERT(!entry->is_static || entry->state == MR_NEIGHBOUR_REACHABLE);
    MR_ASSERT(is_asking(entry) == (table->due_ns[index_of(table, entry)] != NEVER));
    MR_ASSERT(table->due_ns[index_of(table, entry)] >= table->next_due_ns ||
              table->due_ns[index_of(table, entry)] + MR_NEIGHBOUR_TICK_NS >= table->next_due_ns);
}

void mr_neighbour_check(const struct mr_neighbours *table)
{
    uint32_t used = 0;
    uint32_t waiting = 0;
    uint32_t queued = 0;

    for (uint32_t i = 0; i < table->limits.entries_max; i++) {
        const struct entry *entry = &table->entries[i];

        queued += entry->is_queued;
        if (is_free(entry)) {
            MR_ASSERT(table->due_ns[i] == NEVER);
            MR_ASSERT(entry->waiting_count == 0);
            continue;
        }
        check_entry(table, entry);
        used++;
        waiting += entry->waiting_count;
    }
    MR_ASSERT(used == table->used);
    MR_ASSERT(waiting == table->waiting);
    MR_ASSERT(queued == table->solicits_end - table->solicits_begin);
    MR_ASSERT(waiting + released_count(table) <= table->limits.waiting_max);
    MR_ASSERT(table->updates_end - table->updates_begin <= MR_NEIGHBOUR_UPDATES_MAX);
}
