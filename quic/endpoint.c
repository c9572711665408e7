/*
 * quic/endpoint.c - an endpoint's memory, its lists of connections and objects, and its events.
 *
 * Layout, life cycle, timers.
 */
#include "quic/endpoint.h"

#include <stddef.h>

#include "base/bytes.h"
#include "quic/bbr.h"
#include "quic/chunk.h"
#include "quic/conn_ack_frequency.h"
#include "quic/conn_bits.h"
#include "quic/conn_multipath.h"
#include "quic/conn_sleep.h"
#include "quic/conn_undo.h"

/* ------------------------------------------------------------------ memory */

/* Memory handed out piece by piece; with base NULL it only counts. */
struct arena {
    uint8_t *base;
    size_t used;
};

static void *take(struct arena *arena, size_t size)
{
    size_t at = (arena->used + MR_CACHE_LINE - 1) & ~(size_t)(MR_CACHE_LINE - 1);

    arena->used = at + size;
    return arena->base == NULL ? NULL : arena->base + at;
}

/* The pools: where each is in the endpoint, which limit counts it, what it holds. */
/* clang-format off */
static const struct pool_row {
    size_t pool;  /* offset in struct mr_endpoint */
    size_t limit; /* offset in struct mr_limits */
    size_t size;
    size_t align;
} pool_rows[] = {
#define ROW(pool, limit, size, align) {offsetof(struct mr_endpoint, pool), offsetof(struct mr_limits, limit), size, align}
    ROW(numbers,      connections_max, sizeof(struct mr_number),  sizeof(uint64_t)),
    ROW(stream_numbers, stream_numbers_max, sizeof(struct mr_number), sizeof(uint64_t)),
    ROW(conns,        awake_max,       sizeof(struct mr_conn),         MR_CACHE_LINE),
    ROW(sleepers,     sleepers_max,    sizeof(struct mr_sleeper),      MR_CACHE_LINE),
    ROW(handshakes,   handshakes_max,  sizeof(struct mr_handshake),    MR_CACHE_LINE),
    ROW(streams,      streams_max,     sizeof(struct mr_stream),       MR_CACHE_LINE),
    ROW(segments,     segments_max,    sizeof(struct mr_send_segment), 16),
    ROW(ranges,       ranges_max,      MR_RECV_NODE_SIZE,              16),
    ROW(chunks,       chunks_max,      MR_CHUNK_SIZE,                  MR_CACHE_LINE),
    ROW(frame_blocks, chunks_max,      sizeof(struct mr_sent_block),   MR_CACHE_LINE),
    ROW(blocks,       compact_max,     sizeof(struct mr_compact),      MR_CACHE_LINE),
    ROW(keys,         active_keys_max, sizeof(struct mr_conn_keys),    MR_CACHE_LINE),
    ROW(datagram_chunks, datagram_chunks_max, MR_CHUNK_SIZE,           MR_CACHE_LINE),
    ROW(extras,       extras_max,      sizeof(struct mr_conn_extra),   MR_CACHE_LINE),
    ROW(multipaths,   multipaths_max,  sizeof(struct mr_multipath),    MR_CACHE_LINE),
    ROW(path_records, path_records_max, sizeof(struct mr_path_record), MR_CACHE_LINE),
    ROW(models,       models_max,      sizeof(struct mr_bbr),          MR_CACHE_LINE),
    ROW(names.pool,   names_max,       sizeof(struct mr_name),         16),
#undef ROW
};
/* clang-format on */

_Static_assert(sizeof(struct mr_conn) <= 3520, "an idle connection takes at most 4 KiB in all");
_Static_assert(sizeof(struct mr_range_node) <= MR_RECV_NODE_SIZE,
               "one pool serves ranges and reassembly");

/* Count the pools' memory; lay them out in `ep` unless it is NULL. */
static void lay_out_pools(struct arena *arena, struct mr_endpoint *ep,
                          const struct mr_limits *limits)
{
    for (size_t i = 0; i < MR_COUNT_OF(pool_rows); i++) {
        const struct pool_row *row = &pool_rows[i];
        uint32_t count;

        memcpy(&count, (const uint8_t *)limits + row->limit, sizeof(count));
        void *mem = take(arena, mr_pool_footprint(count, row->size, row->align));
        if (ep != NULL)
            mr_pool_init((struct mr_pool *)(void *)((uint8_t *)ep + row->pool), mem, count,
                         row->size, row->align);
    }
}

static uint32_t cid_capacity(const struct mr_limits *limits)
{
    return limits->connections_max * MR_CIDS_ISSUED_MAX +
           limits->path_records_max * 2 * MR_PATH_CIDS + 64;
}

/* One of the peer's for each path. */
static uint32_t token_capacity(const struct mr_limits *limits)
{
    return limits->connections_max + limits->path_records_max;
}

static uint32_t name_capacity(const struct mr_limits *limits)
{
    return MR_MAX(limits->names_max, 1u);
}

/* Of each connection, and of the hand that puts them to sleep. */
static uint32_t timer_count(const struct mr_limits *limits)
{
    return limits->connections_max + 1;
}

struct tables {
    void *cids;
    void *initial_cids;
    void *reset_tokens;
    void *stream_ids;
    void *names;
    struct mr_wheel_node *wheel_nodes;
};

static struct tables lay_out_tables(struct arena *arena, const struct mr_limits *limits)
{
    struct tables t;

    t.cids = take(arena, mr_table8_footprint(cid_capacity(limits)));
    t.initial_cids = take(arena, mr_table_footprint(limits->handshakes_max + 1));
    t.reset_tokens = take(arena, mr_table_footprint(token_capacity(limits)));
    t.stream_ids = take(arena, mr_table8_footprint(limits->streams_max));
    t.names = take(arena, mr_table8_footprint(name_capacity(limits)));
    t.wheel_nodes = take(arena, sizeof(struct mr_wheel_node) * timer_count(limits));
    return t;
}

size_t mr_endpoint_footprint(const struct mr_limits *limits)
{
    const struct mr_limits resolved = mr_limits_resolved(limits);
    struct arena arena = {.base = NULL, .used = 0};

    take(&arena, sizeof(struct mr_endpoint));
    lay_out_pools(&arena, NULL, &resolved);
    lay_out_tables(&arena, &resolved);
    return arena.used + MR_CACHE_LINE;
}

static struct mr_siphash_key table_key(struct mr_endpoint *ep)
{
    uint64_t k0 = mr_endpoint_secret_random(ep);

    return (struct mr_siphash_key){.k0 = k0, .k1 = mr_endpoint_secret_random(ep)};
}

static void init_tables(struct mr_endpoint *ep, const struct tables *t, uint64_t now)
{
    struct mr_siphash_key key = table_key(ep);

    mr_table8_init(&ep->cids, t->cids, cid_capacity(&ep->limits), &key);
    key = table_key(ep);
    mr_table_init(&ep->initial_cids, t->initial_cids, ep->limits.handshakes_max + 1, &key);
    key = table_key(ep);
    mr_table_init(&ep->reset_tokens, t->reset_tokens, token_capacity(&ep->limits), &key);
    key = table_key(ep);
    mr_table8_init(&ep->stream_ids, t->stream_ids, ep->limits.streams_max, &key);
    key = table_key(ep);
    mr_table8_init(&ep->names.table, t->names, name_capacity(&ep->limits), &key);
    ep->names.key = table_key(ep);
    ep->departed.key = table_key(ep);
    mr_wheel_init(&ep->wheel, t->wheel_nodes, timer_count(&ep->limits), now);
}

static void init_lists(struct mr_endpoint *ep)
{
    ep->few = ep->bulk = (struct mr_ready_list){.head = MR_NONE, .tail = MR_NONE};
    ep->dirty_head = ep->dirty_tail = MR_NONE;
    ep->job_head = ep->job_tail = MR_NONE;
    ep->ticket_wait_head = ep->ticket_wait_tail = MR_NONE;
    for (uint32_t i = 0; i < MR_JOBS; i++)
        ep->jobs[i].conn = ep->jobs[i].handshake = MR_NONE;
    mr_buf_list_init(&ep->released);
    ep->send_pools = (struct mr_send_pools){
        .segments = &ep->segments, .ranges = &ep->ranges, .chunks = &ep->chunks};
    ep->recv_pools = (struct mr_recv_pools){.nodes = &ep->ranges, .blocks = &ep->blocks};
}

struct mr_endpoint *mr_endpoint_init(void *mem, const struct mr_limits *limits,
                                     const struct mr_endpoint_config *config, uint64_t now)
{
    uintptr_t start = ((uintptr_t)mem + MR_CACHE_LINE - 1) & ~(uintptr_t)(MR_CACHE_LINE - 1);
    struct arena arena = {.base = (uint8_t *)start, .used = 0};
    struct mr_endpoint *ep = take(&arena, sizeof(*ep));

    MR_ASSERT(mr_cid_format_is_valid(&config->cid));
    MR_ASSERT(config->payload_max >= MR_INITIAL_MIN);
    memset(ep, 0, sizeof(*ep));
    ep->config = *config;
    ep->limits = mr_limits_resolved(limits);
    ep->now = now;
    ep->aead = config->aead;
    memcpy(ep->static_key, config->static_key, MR_STATIC_KEY);
    ep->config.static_key = ep->static_key;
    mr_random_init(&ep->random, config->seed);
    memcpy(&ep->secret_key.k0, ep->static_key, sizeof(uint64_t));
    memcpy(&ep->secret_key.k1, ep->static_key + 8, sizeof(uint64_t));
    ep->secret_key.k0 ^= config->seed[0];
    ep->secret_key.k1 ^= config->seed[1] + config->cid.shard;

    if (!mr_endpoint_set_cid_config(ep, config->cid.config, config->cid_key))
        return NULL;
    ep->config.cid_key = NULL;
    lay_out_pools(&arena, ep, &ep->limits);
    struct tables tables = lay_out_tables(&arena, &ep->limits);
    init_tables(ep, &tables, now);
    init_lists(ep);
    mr_sleep_init(ep);
    ep->config.tokens = NULL;
    if (config->tokens != NULL ? !mr_token_keys_load(&ep->tokens, config->tokens)
                               : !mr_token_keys_init(&ep->tokens, ep->static_key)) {
        mr_endpoint_forget_cid_configs(ep);
        return NULL;
    }
    return ep;
}

uint64_t mr_endpoint_secret_random(struct mr_endpoint *ep)
{
    uint64_t number = ep->secret_counter++;

    return mr_siphash24(&ep->secret_key, &number, sizeof(number));
}

void mr_endpoint_fini(struct mr_endpoint *ep)
{
    for (uint32_t i = 0; i < ep->conns.fresh; i++) {
        struct mr_conn *conn = mr_conn_at(ep, i);

        if ((conn->generation & 1) != 0)
            mr_conn_free(ep, conn);
    }
    mr_sleep_fini(ep);
    mr_token_keys_wipe(&ep->tokens);
    mr_endpoint_forget_cid_configs(ep);
    for (uint32_t i = 0; i < MR_JOBS; i++)
        mr_tls_job_wipe(&ep->jobs[i].job);
}

void mr_endpoint_swap_token_key(struct mr_endpoint *ep, uint8_t number, struct mr_token_key *key)
{
    mr_token_keys_swap(&ep->tokens, number, key);
}

void mr_endpoint_write_tokens_with(struct mr_endpoint *ep, uint8_t number)
{
    mr_token_keys_write_with(&ep->tokens, number);
}

struct mr_buf *mr_endpoint_take_released(struct mr_endpoint *ep)
{
    if (ep->released.head == NULL)
        return NULL;

    mr_count_add(&ep->counters.buffers_released, ep->released.count);
    return mr_compact_reclaim(&ep->blocks, mr_buf_list_take(&ep->released));
}

const struct mr_counters *mr_endpoint_counters(const struct mr_endpoint *ep)
{
    return &ep->counters;
}

uint32_t mr_endpoint_conn_count(const struct mr_endpoint *ep)
{
    return ep->numbers.used - ep->forwarding_count;
}

/* ------------------------------------------------------------------ connections */

void mr_space_init(struct mr_endpoint *ep, struct mr_pn_space *space)
{
    mr_ack_ranges_init(&space->received);
    mr_sent_init(&space->sent, &ep->chunks, &ep->frame_blocks);
    space->largest_at_ns = 0;
    space->ack_deadline_ns = MR_NEVER;
    space->ecn = (struct mr_ecn_counts){0};
    space->ecn_reports = (struct mr_ecn_reports){0};
    space->has_ecn = false;
    space->wants = 0;
    space->unacked_count = 0;
    space->probes = 0;
    space->undo = MR_NONE;
    space->is_discarded = false;
}

/* Of 25 KB, those that are read before they are set. */
static void init_handshake(struct mr_endpoint *ep, struct mr_handshake *hs, uint64_t now)
{
    memset(hs, 0, offsetof(struct mr_handshake, open));
    mr_handshake_init_keys(hs);
    hs->started_ns = now;
    hs->paused_before_ns = ep->paused_ns;
    hs->ticket_wait_until_ns = hs->early_until_ns = MR_NEVER;
    for (int i = 0; i < 2; i++)
        mr_space_init(ep, &hs->space[i]);
    for (int i = 0; i < 3; i++)
        mr_crypto_stream_init(&hs->crypto[i], MR_CRYPTO_RECV_LIMIT);
}

static void init_path(struct mr_endpoint *ep, struct mr_conn *conn, const struct mr_path_addr *addr,
                      uint64_t now)
{
    struct mr_path *path = &conn->path;

    path->addr = *addr;
    path->is_validated = conn->role == MR_CLIENT;
    mr_spin_restart(ep, conn);
    mr_path_start(ep, path, now);
    mr_ack_frequency_init(conn);
    mr_mtu_search_init(&conn->mtu_search);
}

void mr_conn_init_links(struct mr_conn *conn)
{
    conn->keys = conn->trace = MR_NONE;
    conn->ready_next = conn->ready_previous = conn->dirty_next = MR_NONE;
    mr_schedule_init(&conn->sendable);
    conn->controlled = (struct mr_stream_list){.head = MR_NONE, .tail = MR_NONE};
    conn->last_stream = MR_NONE;
    conn->stream_head = MR_NONE;
    conn->name = MR_NONE;
    conn->extra = conn->multipath = MR_NONE;
    mr_datagram_queue_init(&conn->datagrams_out);
    mr_datagram_queue_init(&conn->datagrams_in);
    conn->armed_ns = MR_NEVER;
    conn->pacing_until_ns = MR_NEVER;
    conn->path_due_ns = MR_NEVER;
    conn->tell_window = MR_NEVER;
    conn->key_state.other_until_ns = MR_NEVER;
}

void mr_conn_init_limits(struct mr_endpoint *ep, struct mr_conn *conn)
{
    const struct mr_endpoint_config *config = &ep->config;
    uint64_t window = MR_MIN(config->conn_window_max, MR_CONN_WINDOW_FIRST);

    mr_flow_recv_init(&conn->flow_recv, window, config->conn_window_max);
    mr_flow_send_init(&conn->flow_send, 0);
    mr_streams_recv_init(&conn->streams_recv[0], config->streams_bidi_max);
    mr_streams_recv_init(&conn->streams_recv[1], config->streams_uni_max);
    mr_streams_send_init(&conn->streams_send[0], 0);
    mr_streams_send_init(&conn->streams_send[1], 0);
    conn->idle_timeout_ns = config->idle_timeout_ns;
    conn->peer_payload_max = MR_UDP_PAYLOAD_MAX;
    conn->peer_ack_delay_exponent = MR_ACK_DELAY_EXPONENT;
    conn->issued_limit = 2;
}

struct mr_conn *mr_conn_take(struct mr_endpoint *ep)
{
    bool is_fresh = ep->numbers.free_head == MR_NONE;

    if (mr_pool_free_count(&ep->numbers) == 0) {
        mr_count(&ep->counters.limit_connections);
        return NULL;
    }
    if (mr_pool_free_count(&ep->conns) == 0) {
        mr_count(&ep->counters.limit_awake);
        return NULL;
    }
    uint32_t number = mr_pool_get(&ep->numbers);
    uint32_t index = mr_pool_get(&ep->conns);

    struct mr_conn *conn = mr_conn_at(ep, index);
    struct mr_number *entry = mr_conn_number_at(ep, number);
    entry->generation = is_fresh ? 1 : (entry->generation + 1) | 1;
    entry->place = index;
    memset(conn, 0, sizeof(*conn));
    conn->index = index;
    conn->number = number;
    conn->generation = entry->generation;
    mr_conn_init_links(conn);
    mr_sleep_on_taken(ep);
    return conn;
}

/* Clients that only wait for tickets keep nobody from a handshake: the oldest gives its memory up.
 */
static void end_a_ticket_wait(struct mr_endpoint *ep)
{
    for (uint32_t i = ep->ticket_wait_head; i != MR_NONE;) {
        struct mr_conn *conn = mr_conn_at(ep, i);
        const struct mr_handshake *hs = mr_conn_handshake(ep, conn);

        i = hs->ticket_wait_next;
        if (hs->job == NULL) {
            mr_conn_end_handshake(ep, conn);
            return;
        }
    }
}

/* The object that is taken next, which is cleared then: while this one's keys are made there is
 * time for its lines to come. */
static void fetch_next(const struct mr_pool *pool, size_t size)
{
    if (pool->free_head == MR_NONE)
        return;
    const uint8_t *object = mr_pool_at(pool, pool->free_head);
    for (size_t at = 0; at < size; at += MR_CACHE_LINE)
        MR_PREFETCH_WRITE(object + at);
}

struct mr_conn *mr_conn_new(struct mr_endpoint *ep, enum mr_role role,
                            const struct mr_path_addr *path, uint64_t now)
{
    if (mr_pool_free_count(&ep->handshakes) == 0)
        end_a_ticket_wait(ep);
    uint32_t hs = mr_pool_get(&ep->handshakes);
    if (hs == MR_NONE) {
        mr_count(&ep->counters.limit_handshakes);
        return NULL;
    }
    struct mr_conn *conn = mr_conn_take(ep);
    if (conn == NULL) {
        mr_pool_put(&ep->handshakes, hs);
        return NULL;
    }
    conn->role = (uint8_t)role;
    conn->state = MR_CONN_HANDSHAKE;
    conn->cid_config = ep->config.cid.config;
    conn->cids_due_ns = mr_cid_due(ep, now);
    conn->handshake = hs;
    conn->last_received_ns = conn->idle_base_ns = now;
    mr_conn_init_limits(ep, conn);
    init_path(ep, conn, path, now);
    init_handshake(ep, mr_pool_at(&ep->handshakes, hs), now);
    mr_space_init(ep, &conn->app);
    mr_loss_init(&conn->loss, role, now);
    conn->skip_pn = 64 + mr_random_below(&ep->random, 1024);
    ep->handshakes_in_flight++;
    if (!mr_cid_issue(ep, conn)) {
        mr_conn_free(ep, conn);
        return NULL;
    }
    fetch_next(&ep->conns, sizeof(struct mr_conn));
    fetch_next(&ep->handshakes, offsetof(struct mr_handshake, open));
    return conn;
}

static void clear_level_key(struct mr_endpoint *ep, struct mr_level_key *key)
{
    if (!key->is_set)
        return;
    mr_aead_key_clear(ep->aead, &key->aead);
    mr_hp_key_clear(ep->aead, &key->hp);
    key->is_set = false;
}

void mr_conn_discard_space(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_space which,
                           uint64_t now)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);

    if (hs == NULL || hs->space[which].is_discarded)
        return;

    struct mr_pn_space *space = &hs->space[which];
    if (mr_conn_is_traced(conn) && mr_conn_is_alive(conn))
        mr_trace_keys_discarded(ep, conn, which);
    mr_cc_on_discarded(&conn->path.cc, mr_sent_discard(&space->sent));
    mr_loss_on_discarded(&conn->loss, which, now);
    mr_crypto_stream_clear(&hs->crypto[which], &ep->send_pools);
    clear_level_key(ep, &hs->open[which]);
    clear_level_key(ep, &hs->seal[which]);
    if (which == MR_SPACE_INITIAL)
        clear_level_key(ep, &hs->open_original);
    space->wants = 0;
    space->ack_deadline_ns = MR_NEVER;
    space->is_discarded = true;
}

static void forget_initial_cid(struct mr_endpoint *ep, struct mr_handshake *hs)
{
    if (hs->has_initial_key)
        mr_table_remove(&ep->initial_cids, hs->initial_key, hs->initial_key_size);
    hs->has_initial_key = false;
}

static void unlink_job_request(struct mr_endpoint *ep, struct mr_conn *conn,
                               struct mr_handshake *hs)
{
    if (!hs->wants_job)
        return;

    uint32_t previous = MR_NONE;
    for (uint32_t i = ep->job_head; i != conn->index;) {
        previous = i;
        i = mr_conn_handshake(ep, mr_conn_at(ep, i))->job_next;
    }
    if (previous == MR_NONE)
        ep->job_head = hs->job_next;
    else
        mr_conn_handshake(ep, mr_conn_at(ep, previous))->job_next = hs->job_next;
    if (ep->job_tail == conn->index)
        ep->job_tail = previous;
    hs->wants_job = false;
}

void mr_conn_wait_for_ticket(struct mr_endpoint *ep, const struct mr_conn *conn,
                             struct mr_handshake *hs, uint64_t until_ns)
{
    hs->ticket_wait_until_ns = until_ns;
    hs->waits_for_ticket = true;
    hs->ticket_wait_prev = ep->ticket_wait_tail;
    hs->ticket_wait_next = MR_NONE;
    if (ep->ticket_wait_tail == MR_NONE)
        ep->ticket_wait_head = conn->index;
    else
        mr_conn_handshake(ep, mr_conn_at(ep, ep->ticket_wait_tail))->ticket_wait_next = conn->index;
    ep->ticket_wait_tail = conn->index;
}

static void leave_ticket_waits(struct mr_endpoint *ep, const struct mr_handshake *hs)
{
    if (!hs->waits_for_ticket)
        return;
    if (hs->ticket_wait_prev == MR_NONE)
        ep->ticket_wait_head = hs->ticket_wait_next;
    else
        mr_conn_handshake(ep, mr_conn_at(ep, hs->ticket_wait_prev))->ticket_wait_next =
            hs->ticket_wait_next;
    if (hs->ticket_wait_next == MR_NONE)
        ep->ticket_wait_tail = hs->ticket_wait_prev;
    else
        mr_conn_handshake(ep, mr_conn_at(ep, hs->ticket_wait_next))->ticket_wait_prev =
            hs->ticket_wait_prev;
}

void mr_conn_end_handshake(struct mr_endpoint *ep, struct mr_conn *conn)
{
    struct mr_handshake *hs = mr_conn_handshake(ep, conn);

    if (hs == NULL)
        return;

    unlink_job_request(ep, conn, hs);
    leave_ticket_waits(ep, hs);
    for (uint32_t i = 0; i < hs->pending_count; i++)
        mr_buf_drop(hs->pending[i].datagram.buf, &ep->released);
    forget_initial_cid(ep, hs);
    mr_conn_discard_space(ep, conn, MR_SPACE_INITIAL, conn->last_received_ns);
    mr_conn_discard_space(ep, conn, MR_SPACE_HANDSHAKE, conn->last_received_ns);
    mr_crypto_stream_clear(&hs->crypto[MR_SPACE_APP], &ep->send_pools);
    clear_level_key(ep, &hs->early);
    if (!conn->is_confirmed)
        ep->handshakes_in_flight--;
    if (hs->job != NULL) { /* TLS is at work elsewhere: its slot gives the rest back */
        struct mr_job_slot *slot = MR_CONTAINER_OF(hs->job, struct mr_job_slot, job);
        slot->conn = MR_NONE;
        slot->handshake = conn->handshake;
    } else {
        mr_tls_free(&hs->tls);
        mr_pool_put(&ep->handshakes, conn->handshake);
    }
    conn->handshake = MR_NONE;
}

void mr_conn_free(struct mr_endpoint *ep, struct mr_conn *conn)
{
    conn->state = MR_CONN_DEAD;
    if (mr_conn_is_traced(conn))
        mr_trace_end(ep, conn, MR_TRACE_OVER);
    while (conn->stream_head != MR_NONE)
        mr_stream_free(ep, mr_stream_at(ep, conn->stream_head));
    mr_conn_end_handshake(ep, conn);
    mr_multipath_drop(ep, conn);
    mr_sent_discard(&conn->app.sent);
    mr_conn_undo_drop(ep, conn);
    mr_datagram_queue_clear(&conn->datagrams_out, &ep->datagram_chunks);
    mr_datagram_queue_clear(&conn->datagrams_in, &ep->datagram_chunks);
    mr_name_drop(&ep->names, conn->name);
    mr_conn_extra_drop(ep, conn);
    mr_path_end_control(ep, &conn->path);
    mr_keys_drop(ep, conn);
    mr_cid_forget_all(ep, conn);
    mr_cid_untrack_token(ep, conn);
    mr_conn_unready(ep, conn);
    mr_wheel_clear(&ep->wheel, conn->number);
    mr_secret_wipe(&conn->key_state.seal_secret);
    mr_secret_wipe(&conn->key_state.open_secret);
    mr_secret_wipe(&conn->key_state.next_open_secret);
    mr_key_material_wipe(&conn->key_state.seal);
    mr_key_material_wipe(&conn->key_state.open);
    mr_key_material_wipe(&conn->key_state.other);
    conn->generation = (conn->generation | 1) + 1; /* even: free */
    mr_conn_number_at(ep, conn->number)->generation = conn->generation;
    if (conn->is_forwarding)
        ep->forwarding_count--;
    else
        mr_count(&ep->counters.connections_closed);
    mr_pool_put(&ep->numbers, conn->number);
    mr_pool_put(&ep->conns, conn->index);
}

void mr_conn_touch(struct mr_endpoint *ep, struct mr_conn *conn)
{
    if (conn->is_touched)
        return;
    MR_ASSERT(ep->touched_count < MR_COUNT_OF(ep->touched));
    conn->is_touched = true;
    ep->touched[ep->touched_count++] = conn->index;
}

/* ------------------------------------------------------------------ timers, for the shard */

uint64_t mr_endpoint_deadline(const struct mr_endpoint *ep)
{
    return ep->too_big_count > 0 ? 0 : mr_wheel_next(&ep->wheel);
}

#define DUE_AHEAD 3 /* connections whose lines are on their way while another is handled */

/* Ask for the lines of a connection that its deadlines are in: among many it is in no cache. */
static void ask_for_deadlines(const struct mr_endpoint *ep, uint32_t number)
{
    static const uint16_t lines[] = {
        0,
        offsetof(struct mr_conn, idle_base_ns),
        offsetof(struct mr_conn, app.ack_deadline_ns),
        offsetof(struct mr_conn, app.wants),
        offsetof(struct mr_conn, path.rtt),
        offsetof(struct mr_conn, loss),
        offsetof(struct mr_conn, key_state.other_until_ns),
        offsetof(struct mr_conn, path_due_ns),
    };

    if (number == ep->limits.connections_max)
        return;
    uint32_t place = mr_conn_number_at(ep, number)->place;
    if ((place & MR_PLACE_ASLEEP) != 0)
        return;
    const uint8_t *conn = (const uint8_t *)mr_conn_at(ep, place);
    for (size_t i = 0; i < MR_COUNT_OF(lines); i++)
        __builtin_prefetch(conn + lines[i]);
}

void mr_endpoint_expire(struct mr_endpoint *ep, uint64_t now)
{
    uint32_t due[MR_BURST];

    ep->now = now;
    mr_trace_clock(ep, now);
    uint32_t count = mr_wheel_expire(&ep->wheel, due, MR_COUNT_OF(due), now);

    for (uint32_t i = 1; i < count; i++) {
        if (due[i] != ep->limits.connections_max)
            __builtin_prefetch(mr_conn_number_at(ep, due[i]));
    }
    for (uint32_t i = 1; i < MR_MIN(count, (uint32_t)DUE_AHEAD); i++)
        ask_for_deadlines(ep, due[i]);
    for (uint32_t i = 0; i < count; i++) {
        if (i + DUE_AHEAD < count)
            ask_for_deadlines(ep, due[i + DUE_AHEAD]);
        if (due[i] == ep->limits.connections_max) {
            mr_sleep_expire(ep);
            continue;
        }
        const struct mr_number *entry = mr_conn_number_at(ep, due[i]);
        struct mr_conn *conn = (entry->place & MR_PLACE_ASLEEP) == 0
                                   ? mr_conn_at(ep, entry->place)
                                   : mr_conn_rouse(ep, due[i], true);
        if (conn == NULL) {
            mr_wheel_set(&ep->wheel, due[i], now + MR_SLEEP_RETRY_NS);
            continue;
        }
        conn->armed_ns = MR_NEVER;
        mr_conn_expire(ep, conn, now);
    }
    if (ep->too_big_count > 0)
        mr_endpoint_expire_too_big(ep, now);
}

void mr_endpoint_paused(struct mr_endpoint *ep, uint64_t pause_ns)
{
    ep->paused_ns += pause_ns;
}

bool mr_endpoint_wants_send(const struct mr_endpoint *ep)
{
    return ep->few.head != MR_NONE || ep->bulk.head != MR_NONE || ep->reply_count > 0;
}

void mr_endpoint_close_all(struct mr_endpoint *ep, uint64_t code, uint64_t now)
{
    for (uint32_t i = 0; i < ep->conns.fresh; i++) {
        struct mr_conn *conn = mr_conn_at(ep, i);

        if ((conn->generation & 1) != 0 && mr_conn_is_alive(conn))
            mr_conn_close(ep, mr_conn_handle(conn), code, "", now);
    }
    mr_sleep_close_all(ep, code);
    /* Their peers come again at once, as if something had happened to one connection. */
    ep->is_ending = true;
}

size_t mr_endpoint_take_keylog(struct mr_endpoint *ep, char *dst, size_t room)
{
    size_t size = ep->keylog_size;

    if (size == 0 || size > room)
        return 0;
    memcpy(dst, ep->keylog, size);
    ep->keylog_size = 0;
    return size;
}

/* ------------------------------------------------------------------ invariants */

static void check_conn(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    uint32_t streams = 0;

    const struct mr_number *entry = mr_conn_number_at(ep, conn->number);

    MR_ASSERT(entry->place == conn->index && entry->generation == conn->generation);
    MR_ASSERT(conn->state <= MR_CONN_MOVED);
    MR_ASSERT(!conn->is_touched);
    mr_ack_ranges_check(&conn->app.received);
    mr_conn_timer_check(ep, conn);
    mr_multipath_check(ep, conn);
    for (uint32_t i = conn->stream_head; i != MR_NONE; i = mr_stream_at(ep, i)->conn_next) {
        const struct mr_stream *stream = mr_stream_at(ep, i);

        MR_ASSERT((stream->generation & 1) != 0 && stream->conn == conn->index);
        MR_ASSERT((mr_stream_number_at(ep, mr_stream_number_of(stream->handle))->place &
                   ~MR_PLACE_AWAY) == i);
        mr_send_queue_check(&stream->send, &ep->send_pools);
        mr_recv_queue_check(&stream->recv, &ep->recv_pools);
        MR_ASSERT(stream->flow_recv.consumed <= stream->flow_recv.received);
        streams++;
    }
    MR_ASSERT(streams == conn->streams_open);
    MR_ASSERT(conn->flow_recv.consumed <= conn->flow_recv.received);
    mr_datagram_queue_check(&conn->datagrams_out, &ep->datagram_chunks);
    mr_datagram_queue_check(&conn->datagrams_in, &ep->datagram_chunks);
    MR_ASSERT(conn->datagrams_out.count == 0 || (conn->app.wants & MR_WANT_DATAGRAM) != 0);
    uint64_t in_flight = conn->path.cc.in_flight;
    MR_ASSERT(in_flight == 0 || conn->app.sent.in_flight_count > 0 || conn->handshake != MR_NONE ||
              !mr_conn_is_alive(conn));
}

/* Connections of which only the connection IDs are left. */
static void check_forwarding(const struct mr_endpoint *ep)
{
    uint32_t forwarding = 0;

    for (uint32_t i = 0; i < ep->conns.fresh; i++) {
        const struct mr_conn *conn = mr_conn_at(ep, i);

        if ((conn->generation & 1) == 0 || !conn->is_forwarding)
            continue;
        forwarding++;
        MR_ASSERT(conn->streams_open == 0 && !conn->is_ready && !conn->is_dirty);
        MR_ASSERT(conn->keys == MR_NONE);
    }
    MR_ASSERT(forwarding == ep->forwarding_count);
}

void mr_endpoint_check(const struct mr_endpoint *ep)
{
    mr_endpoint_check_ready(ep);
    check_forwarding(ep);
    mr_wheel_check(&ep->wheel);
    mr_sleep_check(ep);
    for (uint32_t i = 0; i < ep->conns.fresh; i++) {
        const struct mr_conn *conn = mr_conn_at(ep, i);

        if ((conn->generation & 1) != 0)
            check_conn(ep, conn);
    }
    if (ep->numbers.used > 0)
        return;
    MR_ASSERT(ep->conns.used == 0 && ep->sleepers.used == 0);
    MR_ASSERT(ep->streams.used == 0 && ep->stream_numbers.used == 0);
    MR_ASSERT(ep->segments.used == 0);
    MR_ASSERT(ep->ranges.used == 0);
    MR_ASSERT(ep->chunks.used == 0);
    MR_ASSERT(ep->frame_blocks.used == 0);
    MR_ASSERT(ep->keys.used == 0);
    MR_ASSERT(ep->extras.used == 0);
    MR_ASSERT(ep->multipaths.used == 0);
    MR_ASSERT(ep->path_records.used == 0);
    MR_ASSERT(ep->models.used == 0);
    MR_ASSERT(ep->datagram_chunks.used == 0);
    MR_ASSERT(ep->names.pool.used == 0 && ep->names.table.core.count == 0);
    MR_ASSERT(ep->cids.core.count == 0);
    MR_ASSERT(ep->initial_cids.core.count == 0);
    MR_ASSERT(ep->reset_tokens.core.count == 0);
}
