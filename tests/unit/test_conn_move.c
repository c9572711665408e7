/* Tests of quic/conn_move.h: a connection moves between three shards while it transfers. */
#include "quic/conn_move.h"

#include <errno.h>
#include <stdlib.h>

#include "quic/conn.h"
#include "tests/support/move_app.h"
#include "tests/unit/harness.h"

enum {
    SEEDS = 24,      /* of each way to roam, with $MR_SEED_STEP each so-many-th */
    LEFT_MAX = 1200, /* objects that an import needs free: early data wants a reserve */
    DATAGRAM_ROOM = 1200
};

static struct move_config plain(uint64_t seed, enum mr_role role)
{
    return (struct move_config){
        .seed = seed, .role = role, .streams = 4, .bytes = 60000, .datagrams = 8};
}

static struct mr_endpoint *owner(const struct move_world *w)
{
    return w->node[w->app[0].node].ep;
}

static struct mr_conn *owned(const struct move_world *w)
{
    return mr_conn_of_handle(owner(w), w->app[0].conn);
}

static struct mr_conn *peers(const struct move_world *w)
{
    return mr_conn_of_handle(w->node[MOVE_PEER].ep, w->app[1].conn);
}

static uint64_t counted(const struct move_world *w, size_t offset)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < MOVE_SHARDS; i++) {
        uint64_t value;
        memcpy(&value, (const uint8_t *)mr_endpoint_counters(w->node[i].ep) + offset,
               sizeof(value));
        sum += value;
    }
    return sum;
}

#define COUNTED(w, field) counted(w, offsetof(struct mr_counters, field))

/* Nothing went wrong, at either side, and everything was given back. */
static void finish(struct move_world *w)
{
    CU_ASSERT(move_world_is_done(w));
    move_world_run(w, MR_SECOND);
    bool is_lossy = w->config.loss > 0 || w->config.is_cut_off;
    bool is_abridged = w->config.wants_resets; /* it may be done before all were sent */
    CU_ASSERT(w->app[0].datagrams_received <= w->app[1].datagrams_sent);
    CU_ASSERT(w->app[1].datagrams_received <= w->app[0].datagrams_sent);
    CU_ASSERT(is_lossy || move_world_has_all_datagrams(w));
    CU_ASSERT(is_abridged || w->app[0].datagrams_sent >= w->config.datagrams);
    CU_ASSERT(is_abridged || w->app[1].datagrams_sent >= w->config.datagrams);
    CU_ASSERT_EQUAL(COUNTED(w, datagram_frames_too_big), 0);
    CU_ASSERT_EQUAL(COUNTED(w, limit_datagram_chunks), 0);
    move_world_finish(w);
    for (int side = 0; side < 2; side++) {
        CU_ASSERT_EQUAL(w->app[side].wrong, 0);
        if (w->app[side].wrong > 0)
            printf("# seed %lu: %s\n", (unsigned long)w->config.seed, w->app[side].first_wrong);
        CU_ASSERT(w->app[side].is_closed);
        bool is_close_lost = side == 0 && w->config.loss > 0; /* and nobody asks again */
        CU_ASSERT(w->app[side].error == 42 || (is_close_lost && w->app[side].error == 0));
        CU_ASSERT_EQUAL(w->app[side].stream_count, w->config.streams);
    }
    CU_ASSERT_EQUAL(COUNTED(w, acks_of_unsent), 0);
    CU_ASSERT_EQUAL(COUNTED(w, protocol_errors), 0);
    CU_ASSERT_EQUAL(COUNTED(w, moves_in), COUNTED(w, moves_out));
    for (uint32_t i = 0; i < MOVE_NODES; i++)
        CU_ASSERT_EQUAL(mr_endpoint_conn_count(w->node[i].ep), 0);
    CU_ASSERT_EQUAL(move_world_close(w), 0);
}

/* Run until all is transferred. */
static void transfer(struct move_world *w)
{
    uint64_t until = w->now + 300 * MR_SECOND;

    while (w->now < until && !move_world_is_done(w) && move_world_step(w)) {
    }
}

/* ------------------------------------------------------------------ at random */

/* Transfer while the connection moves all the time.  Returns how often it did. */
static uint32_t roam(const struct move_config *config)
{
    struct move_world *w = move_world_open(config);
    uint64_t until = w->now + 600 * MR_SECOND;

    CU_ASSERT(move_world_connect(w));
    while (w->now < until && (!move_world_is_done(w) || w->phase != MOVE_NONE) &&
           move_world_step(w)) {
        CU_ASSERT(move_world_roam(w));
    }
    uint32_t moved = w->moved;
    CU_ASSERT_EQUAL(w->moved, w->app[0].moves);
    CU_ASSERT_EQUAL(COUNTED(w, moves_failed), w->came_back);
    finish(w);
    return moved;
}

static uint32_t seed_step(void)
{
    const char *told = getenv("MR_SEED_STEP");

    return told == NULL ? 1 : (uint32_t)strtoul(told, NULL, 10);
}

static void roam_seeds(enum mr_role role, bool is_slow_reader, bool wants_resets, bool is_bbr)
{
    uint32_t moved = 0;
    uint32_t step = seed_step();

    for (uint64_t seed = 1; seed <= SEEDS; seed += step) {
        struct move_config config = plain(seed, role);

        config.loss = (double)(seed % 4) * 0.03;
        config.reorder = (double)(seed % 3) * 0.2;
        config.streams = 1 + (uint32_t)(seed * 7 % 20);
        config.bytes = (20000 + seed * 7919) * (wants_resets ? 5 : 1);
        config.is_bbr = is_bbr;
        config.datagrams = is_bbr ? 8 : MOVE_DATAGRAMS_MAX;
        config.is_slow_reader = is_slow_reader;
        config.wants_resets = wants_resets;
        config.is_cut_off = seed % 5 < 2;
        moved += roam(&config);
    }
    CU_ASSERT(moved > (wants_resets || is_bbr ? SEEDS : 4 * SEEDS) / step);
    printf("# %u moves\n", moved);
}

static void a_servers_connection_roams(void)
{
    roam_seeds(MR_SERVER, false, false, false);
    roam_seeds(MR_SERVER, false, false, true);
}

static void a_clients_connection_roams(void)
{
    roam_seeds(MR_CLIENT, false, false, false);
}

static void unread_data_travels(void)
{
    roam_seeds(MR_SERVER, true, false, false);
    roam_seeds(MR_CLIENT, true, false, false);
}

static void resets_travel(void)
{
    roam_seeds(MR_SERVER, true, true, false);
    roam_seeds(MR_CLIENT, false, true, false);
}

/* ------------------------------------------------------------------ one move */

/* A world in the middle of a transfer. */
static struct move_world *busy_world(const struct move_config *config)
{
    struct move_world *w = move_world_open(config);

    CU_ASSERT(move_world_connect(w));
    return w;
}

/* Run until the connection can move again. */
static void await_move(struct move_world *w)
{
    uint64_t until = w->now + 20 * MR_SECOND;

    while (w->now < until && mr_conn_can_move(owner(w), w->app[0].conn, w->now) != 0 &&
           move_world_step(w)) {
    }
}

static void old_cids_retire(void)
{
    struct move_config config = plain(1, MR_SERVER);
    config.bytes = 4000000;
    struct move_world *w = busy_world(&config);
    uint64_t first_new = owned(w)->issued_next_sequence;

    CU_ASSERT_EQUAL(move_world_move(w, 2), 0);
    CU_ASSERT_EQUAL(owned(w)->issued_prior_to, first_new);
    move_world_run(w, 30 * MR_MS);
    const struct mr_conn *conn = owned(w);
    uint32_t live = 0;
    for (uint32_t i = 0; i < MR_CIDS_SLOTS; i++) {
        if (conn->issued.key[i] == 0)
            continue;
        CU_ASSERT(conn->issued.sequence[i] >= first_new);
        CU_ASSERT_EQUAL(mr_cid_owner((const uint8_t *)&conn->issued.key[i], MR_LOCAL_CID_SIZE,
                                     &owner(w)->config.cid),
                        2);
        live++;
    }
    CU_ASSERT_EQUAL(live, conn->issued_limit);
    CU_ASSERT_EQUAL(mr_endpoint_counters(owner(w))->cids_retired, conn->issued_limit);

    const struct mr_peer_cid *used = &peers(w)->peer_cids[peers(w)->peer_cid_current];
    CU_ASSERT(used->sequence >= first_new);
    CU_ASSERT_EQUAL(mr_cid_owner(used->cid.bytes, used->cid.size, &owner(w)->config.cid), 2);
    transfer(w);
    finish(w);
}

/* Connection IDs that the peer never heard of are told again, or they would never be retired. */
static void lost_announcements_are_repeated(void)
{
    struct move_config config = plain(10, MR_SERVER);
    config.is_cut_off = true;
    struct move_world *w = move_world_open(&config);

    CU_ASSERT(move_world_connect(w));
    CU_ASSERT_NOT_EQUAL(owned(w)->issued_known & 0xff, 0xff);
    for (uint32_t i = 0; i < 6; i++) {
        CU_ASSERT_EQUAL(move_world_move(w, (w->app[0].node + 1) % MOVE_SHARDS), 0);
        await_move(w);
    }
    CU_ASSERT_EQUAL(w->moved, 6);
    transfer(w);
    finish(w);
}

static void forwarding_ends(void)
{
    struct move_config config = plain(2, MR_SERVER);
    struct move_world *w = busy_world(&config);
    struct mr_endpoint *old = owner(w);
    uint8_t packet[60] = {0x40};

    transfer(w);
    move_world_run(w, MR_SECOND);
    memcpy(packet + 1, &owned(w)->issued.key[0], MR_LOCAL_CID_SIZE);
    uint64_t three_pto = 3 * mr_rtt_pto(&owned(w)->path.rtt, MR_SPACE_APP);
    owned(w)->idle_timeout_ns = 86400 * MR_SECOND; /* however long: */
    CU_ASSERT_EQUAL(move_world_move(w, 1), 0);
    CU_ASSERT_EQUAL(old->forwarding_count, 1);
    CU_ASSERT_EQUAL(mr_endpoint_conn_count(old), 0);
    CU_ASSERT(mr_endpoint_deadline(old) <= w->now + three_pto);

    struct mr_buf buf = {0};
    struct mr_datagram d = {.data = packet, .buf = &buf, .size = sizeof(packet)};
    d.path.remote.port = 5000;
    for (uint8_t hops = 0; hops <= MR_HOPS_MAX; hops++) {
        d.hops = hops;
        mr_endpoint_receive(old, &d, 1, w->now + three_pto - MR_MS);
        CU_ASSERT_EQUAL(d.redirect, hops < MR_HOPS_MAX ? 1 : MR_STAY);
        mr_endpoint_take_released(old);
    }
    CU_ASSERT_EQUAL(mr_endpoint_counters(old)->dropped_hops, 1);
    CU_ASSERT_EQUAL(old->forwarding_count, 1);

    d.hops = 0;
    move_world_run(w, three_pto + 20 * MR_MS);
    if (old->forwarding_count > 0) /* nothing happened in between */
        mr_endpoint_expire(old, w->now = MR_MAX(w->now, mr_endpoint_deadline(old)));
    CU_ASSERT_EQUAL(old->forwarding_count, 0);
    CU_ASSERT_EQUAL(old->cids.core.count, 0);
    mr_endpoint_receive(old, &d, 1, w->now);
    CU_ASSERT_EQUAL(d.redirect, MR_STAY);
    mr_endpoint_take_released(old);
    CU_ASSERT_EQUAL(mr_endpoint_counters(old)->stateless_resets_sent, 0);
    CU_ASSERT_EQUAL(mr_endpoint_counters(old)->resets_withheld, 1);
    CU_ASSERT_FALSE(mr_endpoint_wants_send(old));

    uint64_t late = w->now + 600 * MR_SECOND; /* nobody has such a connection any more */
    uint8_t other[60] = {0x40};               /* of a connection that never was here */
    memcpy(other + 1, mr_endpoint_new_cid(old).bytes, MR_LOCAL_CID_SIZE);
    for (uint64_t sent = 1; sent <= 2; sent++) {
        d.data = sent == 1 ? other : packet;
        mr_endpoint_receive(old, &d, 1, sent == 1 ? w->now : late);
        mr_endpoint_take_released(old);
        CU_ASSERT_EQUAL(mr_endpoint_counters(old)->stateless_resets_sent, sent);
    }
    finish(w);
}

static void a_third_shard_finds_it(void)
{
    struct move_config config = plain(3, MR_SERVER);
    config.bytes = 1000000;
    struct move_world *w = busy_world(&config);

    w->rss = 1;
    move_world_run(w, 40 * MR_MS);
    CU_ASSERT_EQUAL(move_world_move(w, 2), 0);
    move_world_run(w, 8 * MR_MS); /* what was under way: 1 -> 0 by its bits, -> 2 */
    CU_ASSERT_EQUAL(w->longest_way, 2);
    CU_ASSERT(mr_endpoint_counters(w->node[0].ep)->datagrams_forwarded > 0);
    transfer(w);
    CU_ASSERT_EQUAL(w->longest_way, 2);
    finish(w);
}

static void numbers_and_windows_go_on(void)
{
    struct move_config config = plain(4, MR_SERVER);
    config.bytes = 4000000;
    struct move_world *w = busy_world(&config);

    move_world_run(w, 40 * MR_MS);
    struct mr_conn before = *owned(w);
    CU_ASSERT(before.path.cc.in_flight > 0);
    CU_ASSERT_EQUAL(mr_stream_set_priority(owner(w), w->app[0].streams[0].handle,
                                           (struct mr_priority){6, false}),
                    0);
    CU_ASSERT_EQUAL(move_world_export(w, 1), 0);
    CU_ASSERT_EQUAL(move_world_import(w), 0);
    const struct mr_conn *conn = mr_conn_of_handle(w->node[1].ep, w->new_conn);
    CU_ASSERT_EQUAL(conn->app.sent.next, before.app.sent.next);
    CU_ASSERT_EQUAL(conn->app.sent.largest_acked, before.app.sent.largest_acked);
    CU_ASSERT_EQUAL(conn->key_state.sealed_count, before.key_state.sealed_count);
    CU_ASSERT_EQUAL(conn->key_state.open_failed_count, before.key_state.open_failed_count);
    CU_ASSERT_EQUAL(conn->app.received.range[0].hi, before.app.received.range[0].hi);
    CU_ASSERT_EQUAL(mr_cc_window(&conn->path.cc), mr_cc_window(&before.path.cc));
    CU_ASSERT_EQUAL(conn->path.cc.in_flight, 0);
    CU_ASSERT_EQUAL(conn->path.cc.ops, before.path.cc.ops);
    CU_ASSERT_EQUAL(conn->path.rtt.smoothed_ns, before.path.rtt.smoothed_ns);
    CU_ASSERT_EQUAL(conn->path.mtu, before.path.mtu);
    CU_ASSERT_EQUAL(conn->flow_send.used, before.flow_send.used);
    CU_ASSERT_EQUAL(conn->flow_recv.received, before.flow_recv.received);
    for (uint32_t i = conn->stream_head; i != MR_NONE;
         i = mr_stream_at(w->node[1].ep, i)->conn_next)
        CU_ASSERT_EQUAL(mr_stream_at(w->node[1].ep, i)->urgency == 6,
                        mr_stream_at(w->node[1].ep, i)->id == w->app[0].streams[0].id);
    move_world_tell(w);
    move_world_arrive(w);
    transfer(w);
    CU_ASSERT_EQUAL(COUNTED(w, congestion_events), 0);
    finish(w);
}

/* ------------------------------------------------------------------ datagrams, name */

/* At least `count` datagrams arrive at the shards' side, and nobody is told. */
static void receive_unread(struct move_world *w, uint32_t count)
{
    w->is_deaf = true;
    w->app[0].has_datagrams = false;
    while (owned(w)->datagrams_in.count < count) {
        CU_ASSERT_FATAL(w->app[1].datagrams_sent < MOVE_DATAGRAMS_MAX);
        move_app_send_datagram(w, &w->app[1]);
        move_world_run(w, 5 * MR_MS);
    }
}

/* The first that waits, by hand: the rest begins in the middle of a chunk. */
static void read_first(struct move_world *w)
{
    uint8_t bytes[DATAGRAM_ROOM];
    uint32_t number;

    CU_ASSERT(mr_conn_receive_datagram(owner(w), w->app[0].conn, bytes, sizeof(bytes)) > 0);
    memcpy(&number, bytes, sizeof(number));
    CU_ASSERT_EQUAL(number, 0);
    w->app[0].has_come[number] = true;
    w->app[0].datagrams_received++;
}

/* Nothing in the record says where in the old shard anything was. */
static void expect_no_places(const struct move_world *w)
{
    const struct mr_conn *copy = (const struct mr_conn *)(const void *)(w->record + 1);

    CU_ASSERT_EQUAL(copy->name, MR_NONE);
    CU_ASSERT_EQUAL(copy->datagrams_in.head, MR_NONE);
    CU_ASSERT_EQUAL(copy->datagrams_in.count, 0);
    CU_ASSERT_EQUAL(copy->datagrams_out.tail, MR_NONE);
    CU_ASSERT_EQUAL(copy->datagrams_out.chunk_count, 0);
    CU_ASSERT_EQUAL(copy->keys, MR_NONE);
    CU_ASSERT_EQUAL(copy->stream_head, MR_NONE);
}

/* Datagrams wait either way, and one more was refused. */
static void pending_datagrams_travel(bool is_undone)
{
    struct move_config config = plain(11, MR_SERVER);
    config.datagrams = 0;
    struct move_world *w = busy_world(&config);

    receive_unread(w, 6);
    read_first(w);
    while (move_app_send_datagram(w, &w->app[0])) {
    }
    struct mr_conn before = *owned(w);
    CU_ASSERT(before.datagrams_in.count >= 5);
    CU_ASSERT(before.datagrams_out.count >= 4);
    CU_ASSERT_EQUAL(move_world_export(w, 1), 0);
    expect_no_places(w);
    CU_ASSERT_EQUAL(mr_conn_receive_datagram(w->node[0].ep, w->old_conn, NULL, 0), -ESTALE);
    if (is_undone) {
        w->is_deaf = false;
        CU_ASSERT_EQUAL(move_world_undo(w), 0);
    } else {
        CU_ASSERT_EQUAL(move_world_import(w), 0);
        const struct mr_conn *conn = mr_conn_of_handle(w->node[1].ep, w->new_conn);
        CU_ASSERT_EQUAL(conn->datagrams_in.count, before.datagrams_in.count);
        CU_ASSERT_EQUAL(conn->datagrams_out.count, before.datagrams_out.count);
        CU_ASSERT_EQUAL(w->node[0].ep->datagram_chunks.used,
                        (uint32_t)before.datagrams_in.chunk_count +
                            before.datagrams_out.chunk_count);
        move_world_tell(w);
        CU_ASSERT_EQUAL(w->node[0].ep->datagram_chunks.used, 0);
        w->is_deaf = false;
        move_world_arrive(w);
    }
    CU_ASSERT_EQUAL(w->app[0].datagrams_received, before.datagrams_in.count + 1u);
    transfer(w);
    CU_ASSERT_FALSE(w->app[0].is_datagram_refused);
    CU_ASSERT(w->app[1].datagrams_received >= before.datagrams_out.count);
    finish(w);
}

static void pending_datagrams_go_along(void)
{
    pending_datagrams_travel(false);
    pending_datagrams_travel(true);
}

static void expect_name(const struct move_world *w)
{
    struct mr_conn_info info;

    CU_ASSERT_EQUAL(mr_conn_info(owner(w), w->app[0].conn, &info), 0);
    CU_ASSERT_STRING_EQUAL(info.server_name, "localhost");
}

/* It has another number in each shard. */
static void name_travels(enum mr_role role)
{
    struct move_config config = plain(12, role);
    struct move_world *w = busy_world(&config);
    struct mr_names *names[2] = {&w->node[0].ep->names, &w->node[1].ep->names};

    expect_name(w);
    mr_name_drop(names[0], owned(w)->name);
    uint32_t another = mr_name_keep(names[0], "another.example");
    owned(w)->name = mr_name_keep(names[0], "localhost");
    CU_ASSERT_EQUAL(move_world_move(w, 1), 0);
    expect_name(w);
    CU_ASSERT_EQUAL(owned(w)->name, another);
    CU_ASSERT_EQUAL(names[0]->pool.used, 1);
    CU_ASSERT_EQUAL(names[1]->pool.used, 1);
    mr_name_drop(names[0], another);
    await_move(w);
    CU_ASSERT_EQUAL(move_world_move(w, 2), 0);
    expect_name(w);
    CU_ASSERT_EQUAL(names[1]->pool.used, 0);
    transfer(w);
    expect_name(w);
    finish(w);
}

static void the_name_goes_along(void)
{
    name_travels(MR_SERVER);
    name_travels(MR_CLIENT);
}

/* ------------------------------------------------------------------ events */

static void no_two_shards_tell(void)
{
    struct move_config config = plain(5, MR_SERVER);
    config.bytes = 400000;
    struct move_world *w = busy_world(&config);
    struct mr_event event;

    move_world_run(w, 20 * MR_MS);
    mr_handle stream = w->app[0].streams[0].handle;
    CU_ASSERT(w->app[0].stream_count > 0 && !w->app[0].streams[0].is_closed);
    CU_ASSERT_EQUAL(move_world_export(w, 1), 0);
    CU_ASSERT_EQUAL(mr_endpoint_events(w->node[0].ep, &event, 1), 0);
    CU_ASSERT_EQUAL(mr_stream_send(w->node[0].ep, stream, NULL, 0, 0), -ESTALE);
    CU_ASSERT_EQUAL(mr_stream_release(w->node[0].ep, stream, 0), -ESTALE);
    CU_ASSERT_EQUAL(move_world_import(w), 0);
    uint64_t before = mr_endpoint_counters(w->node[1].ep)->stream_bytes_received;
    move_world_run(w, 60 * MR_MS); /* the new shard receives, and is silent */
    CU_ASSERT(mr_endpoint_counters(w->node[1].ep)->stream_bytes_received > before);
    CU_ASSERT_EQUAL(mr_endpoint_events(w->node[1].ep, &event, 1), 0);
    CU_ASSERT_EQUAL(mr_conn_arrive(w->node[0].ep, w->old_conn), -ESTALE);
    move_world_tell(w);
    move_world_run(w, 20 * MR_MS);
    CU_ASSERT_EQUAL(mr_endpoint_events(w->node[1].ep, &event, 1), 0);

    CU_ASSERT_EQUAL(mr_conn_arrive(w->node[1].ep, w->new_conn), 0);
    CU_ASSERT_EQUAL(mr_endpoint_events(w->node[1].ep, &event, 1), 1); /* alone */
    CU_ASSERT_EQUAL(event.kinds & MR_EVENT_MOVED_IN, MR_EVENT_MOVED_IN);
    CU_ASSERT_EQUAL(event.conn, w->new_conn);
    CU_ASSERT_EQUAL((mr_handle)event.result, w->old_conn);
    CU_ASSERT_EQUAL(event.error, 0);
    CU_ASSERT_EQUAL(mr_conn_arrive(w->node[1].ep, w->new_conn), -ESTALE);
    CU_ASSERT_EQUAL(w->app[0].wrong, 0);
    mr_endpoint_close_all(w->node[1].ep, 0, w->now);
    move_world_close(w);
}

/* The connection ends while its events are held: MOVED_IN, its streams' ends, and its own. */
static void the_end_is_held_too(void)
{
    struct move_config config = plain(6, MR_SERVER);
    config.bytes = 400000;
    struct move_world *w = busy_world(&config);

    CU_ASSERT_EQUAL(move_world_export(w, 2), 0);
    CU_ASSERT_EQUAL(move_world_import(w), 0);
    CU_ASSERT(move_app_send_datagram(w, &w->app[1]));
    move_world_run(w, 30 * MR_MS);
    uint32_t datagrams = w->app[1].datagrams_sent;
    CU_ASSERT(w->app[0].datagrams_received < datagrams);
    mr_conn_close(w->node[MOVE_PEER].ep, w->app[1].conn, 42, "enough", w->now);
    w->app[1].has_asked_close = true;
    move_world_settle(w);
    move_world_run(w, 5 * MR_SECOND);
    CU_ASSERT_FALSE(w->app[0].is_closed);
    move_world_tell(w);
    move_world_arrive(w);
    move_world_settle(w);
    CU_ASSERT(w->app[0].is_closed);
    CU_ASSERT_EQUAL(w->app[0].error, 42);
    CU_ASSERT_EQUAL(w->app[0].closed_count, w->app[0].stream_count);
    CU_ASSERT_EQUAL(w->app[0].datagrams_received, datagrams);
    CU_ASSERT_EQUAL(w->app[0].wrong, 0);
    move_world_finish(w);
    CU_ASSERT_EQUAL(move_world_close(w), 0);
}

/* Events that nobody has fetched go along, the ends of streams among them. */
static void untold_events_travel(bool is_undone)
{
    struct move_config config = plain(9, MR_SERVER);
    struct move_world *w = move_world_open(&config);
    struct mr_event event;

    CU_ASSERT(move_world_connect(w));
    w->is_deaf = true;
    move_world_run(w, 2 * MR_SECOND);
    CU_ASSERT_EQUAL(w->app[0].closed_count, 0);
    CU_ASSERT_EQUAL(w->node[0].ep->dirty_count, config.streams + 1);
    CU_ASSERT_EQUAL(move_world_export(w, 1), 0);
    CU_ASSERT_EQUAL(w->node[0].ep->dirty_count, 0);
    CU_ASSERT_EQUAL(mr_endpoint_events(w->node[0].ep, &event, 1), 0);
    if (is_undone) {
        CU_ASSERT_EQUAL(move_world_undo(w), 0);
        CU_ASSERT_EQUAL(w->node[0].ep->dirty_count, config.streams + 1);
        w->is_deaf = false;
    } else {
        CU_ASSERT_EQUAL(move_world_import(w), 0);
        move_world_tell(w);
        w->is_deaf = false;
        CU_ASSERT_EQUAL(w->app[0].closed_count, 0);
        move_world_arrive(w);
    }
    move_world_settle(w);
    CU_ASSERT_EQUAL(w->app[0].closed_count, config.streams);
    transfer(w);
    finish(w);
}

static void untold_events_go_along(void)
{
    untold_events_travel(false);
    untold_events_travel(true);
}

/* ------------------------------------------------------------------ failures */

/* Take all objects of a pool but `left`. */
static uint32_t exhaust(struct mr_pool *pool, uint32_t left, uint32_t *taken)
{
    uint32_t count = 0;

    while (mr_pool_free_count(pool) > left)
        taken[count++] = mr_pool_get(pool);
    return count;
}

static void put_back(struct mr_pool *pool, const uint32_t *taken, uint32_t count)
{
    while (count > 0)
        mr_pool_put(pool, taken[--count]);
}

/* Objects in use of the pools that an import takes from. */
static uint32_t held_by(const struct mr_endpoint *ep)
{
    return ep->conns.used + ep->streams.used + ep->segments.used + ep->ranges.used +
           ep->chunks.used + ep->blocks.used + ep->datagram_chunks.used + ep->names.pool.used;
}

static struct mr_pool *pool_at(struct mr_endpoint *ep, size_t offset)
{
    return (struct mr_pool *)(void *)((uint8_t *)ep + offset);
}

/* Import with ever more objects of a pool, until it works; each time back in between. */
static uint32_t starve(struct move_world *w, uint32_t to, size_t pool_offset)
{
    static uint32_t taken[8192];
    uint32_t failures = 0;
    uint32_t kept = held_by(w->node[to].ep);
    struct mr_pool *pool = pool_at(w->node[to].ep, pool_offset);
    int answer = -ENOMEM;

    for (uint32_t left = 0; answer == -ENOMEM && left < LEFT_MAX; left++) {
        CU_ASSERT_EQUAL(move_world_export(w, to), 0);
        uint32_t blocks = w->node[to].ep->blocks.used;
        uint32_t count = exhaust(pool, left, taken);
        uint32_t used = pool->used;
        answer = mr_conn_import(w->node[to].ep, w->record, w->now, &w->new_conn);
        if (answer != 0) {
            mr_endpoint_take_released(w->node[to].ep);
            CU_ASSERT_EQUAL(pool->used, used);
            CU_ASSERT_EQUAL(w->node[to].ep->streams.used,
                            pool == &w->node[to].ep->streams ? used : 0);
            CU_ASSERT_EQUAL(w->node[to].ep->cids.core.count, 0);
            put_back(pool, taken, count);
            mr_endpoint_check(w->node[to].ep);
            CU_ASSERT_EQUAL(w->node[to].ep->blocks.used, blocks);
            CU_ASSERT_EQUAL(held_by(w->node[to].ep), kept);
            CU_ASSERT_EQUAL(move_world_undo(w), 0);
            failures++;
            continue;
        }
        put_back(pool, taken, count);
        w->phase = MOVE_IMPORTED;
        w->is_deaf = false;
        move_world_tell(w);
        move_world_arrive(w);
    }
    CU_ASSERT_EQUAL(answer, 0);
    return failures;
}

static void a_short_pool_rolls_back(void)
{
    static const struct {
        const char *name;
        size_t offset;
    } pools[] = {
        {"connections", offsetof(struct mr_endpoint, conns)},
        {"streams", offsetof(struct mr_endpoint, streams)},
        {"segments", offsetof(struct mr_endpoint, segments)},
        {"ranges", offsetof(struct mr_endpoint, ranges)},
        {"chunks", offsetof(struct mr_endpoint, chunks)},
        {"blocks", offsetof(struct mr_endpoint, blocks)},
        {"datagram chunks", offsetof(struct mr_endpoint, datagram_chunks)},
        {"names", offsetof(struct mr_endpoint, names.pool)},
    };

    for (size_t i = 0; i < MR_COUNT_OF(pools); i++) {
        struct move_config config = plain(20 + i, MR_SERVER);
        config.bytes = 150000;
        config.loss = 0.05;
        config.is_slow_reader = true;
        struct move_world *w = busy_world(&config);

        move_world_run(w, 60 * MR_MS);
        while (pool_at(owner(w), pools[i].offset)->used == 0 && move_world_step(w)) {
        }
        receive_unread(w, 3);
        uint32_t failures = starve(w, 1, pools[i].offset);
        printf("# %s: %u imports failed\n", pools[i].name, failures);
        CU_ASSERT(failures > 0);
        CU_ASSERT_EQUAL(COUNTED(w, moves_failed), failures);
        transfer(w);
        finish(w);
    }
}

static void refusals(void)
{
    struct move_config config = plain(7, MR_CLIENT);
    config.bytes = 400000;
    struct move_world *w = move_world_open(&config);
    mr_handle conn;

    CU_ASSERT_EQUAL(move_world_export(w, 1), -ESTALE); /* there is none */
    CU_ASSERT(move_world_connect(w));
    CU_ASSERT(w->now >= MR_CLIENT_TICKET_WAIT); /* a client waits for tickets first */
    CU_ASSERT_EQUAL(move_world_export(w, w->app[0].node), -EINVAL);

    /* A record that is too small changes nothing. */
    struct mr_conn_export small = {.record = w->record, .shard = 1};
    size_t needed = mr_conn_record_size(owner(w), w->app[0].conn);
    for (small.room = 0; small.room < needed; small.room += 8) {
        uint8_t *end = (uint8_t *)w->record + small.room;
        memset(end, 0xa5, 8);
        CU_ASSERT_EQUAL(mr_conn_export(owner(w), w->app[0].conn, &small, w->now), -ENOBUFS);
        CU_ASSERT(memcmp(end, "\xa5\xa5\xa5\xa5\xa5\xa5\xa5\xa5", 8) == 0);
    }
    CU_ASSERT_EQUAL(mr_conn_can_move(owner(w), w->app[0].conn, w->now), 0);

    CU_ASSERT_EQUAL(move_world_export(w, 1), 0);
    CU_ASSERT_EQUAL(mr_conn_can_move(w->node[0].ep, w->old_conn, w->now), -ESTALE);
    CU_ASSERT_EQUAL(mr_conn_close(w->node[0].ep, w->old_conn, 1, "", w->now), -ESTALE);
    CU_ASSERT_EQUAL(mr_stream_send(w->node[0].ep, w->app[0].streams[0].handle, NULL, 0, 0),
                    -ESTALE);
    CU_ASSERT_EQUAL(mr_conn_import(w->node[2].ep, w->record, w->now, &conn), -EINVAL);
    struct mr_conn_record *r = w->record;
    r->version++;
    CU_ASSERT_EQUAL(mr_conn_import(w->node[1].ep, r, w->now, &conn), -EINVAL);
    r->version--;
    r->conn_size += 8;
    CU_ASSERT_EQUAL(mr_conn_import(w->node[1].ep, r, w->now, &conn), -EINVAL);
    r->conn_size -= 8;
    r->stream_size -= 8;
    CU_ASSERT_EQUAL(mr_conn_import(w->node[1].ep, r, w->now, &conn), -EINVAL);
    r->stream_size += 8;
    uint64_t size = r->size;
    r->size = sizeof(*r);
    CU_ASSERT_EQUAL(mr_conn_import(w->node[1].ep, r, w->now, &conn), -EINVAL);
    r->size = size;
    r->magic ^= 1;
    CU_ASSERT_EQUAL(mr_conn_import(w->node[1].ep, r, w->now, &conn), -EINVAL);
    r->magic ^= 1;
    CU_ASSERT_EQUAL(move_world_import(w), 0);
    CU_ASSERT_EQUAL(r->magic, 0); /* wiped */
    move_world_tell(w);
    CU_ASSERT_EQUAL(mr_conn_moved(w->node[0].ep, w->old_conn, w->now), -ESTALE);
    move_world_arrive(w);
    CU_ASSERT_EQUAL(move_world_export(w, 2), -EBUSY); /* so soon again */
    transfer(w);
    finish(w);
}

static CU_TestInfo tests[] = {
    {"Q17 a server's connection roams: no byte is lost, doubled or out of order",
     a_servers_connection_roams},
    {"Q17 a client's connection roams", a_clients_connection_roams},
    {"Q17 data that was not read yet travels", unread_data_travels},
    {"Q17 resets and stops travel", resets_travel},
    {"Q17 new connection IDs take the place of the old ones", old_cids_retire},
    {"Q17 connection IDs that the peer has not heard of are told again",
     lost_announcements_are_repeated},
    {"Q18 events that were not told go along, or stay", untold_events_go_along},
    {"Q17 forwarding ends after 3 PTO, and no stateless reset follows but to others",
     forwarding_ends},
    {"Q17 a third shard's datagram finds the new owner", a_third_shard_finds_it},
    {"Q17 packet numbers, key counters and windows go on", numbers_and_windows_go_on},
    {"Q18 the new shard is silent until the old one has told its last", no_two_shards_tell},
    {"Q18 the end of a connection waits, too", the_end_is_held_too},
    {"Q17 datagrams that wait go along, both ways, or stay", pending_datagrams_go_along},
    {"Q17 the server's name goes along", the_name_goes_along},
    {"Q17 a short pool takes nothing, and the way back needs nothing", a_short_pool_rolls_back},
    {"refuses what cannot move, and records that are not for it", refusals},
    CU_TEST_INFO_NULL,
};

CU_SuiteInfo mr_suites[] = {
    {.pName = "quic/conn_move", .pTests = tests},
    CU_SUITE_INFO_NULL,
};
