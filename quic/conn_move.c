/* quic/conn_move.c - see conn_move.h. */
#include "quic/conn_move.h"

#include <errno.h>

#include "quic/conn_multipath.h"
#include "quic/conn_sleep.h"
#include "quic/conn_undo.h"
#include "quic/datagram_record.h"
#include "quic/stream_record.h"

/* How long a connection ID that left gets no stateless resets: for the idle timeout, if there is
 * one and no peer has stretched it to what no NAT holds. */
#define QUIET_DEFAULT_NS (30 * MR_SECOND)
#define QUIET_MAX_NS     (600 * MR_SECOND)

_Static_assert(sizeof(struct mr_conn_record) % MR_RECORD_ALIGN == 0, "what follows is aligned");
_Static_assert(_Alignof(struct mr_conn) <= MR_RECORD_ALIGN, "read where it lies in the record");
_Static_assert(_Alignof(struct mr_stream) <= MR_RECORD_ALIGN, "read where it lies in the record");
_Static_assert(MR_CIDS_SLOTS >= 2 * MR_CIDS_ISSUED_MAX, "old and new connection IDs fit");
_Static_assert(MR_CIDS_SLOTS <= 16, "one bit each in issued_announced");

static uint64_t three_ptos(const struct mr_conn *conn)
{
    return 3 * mr_rtt_pto(&conn->path.rtt, MR_SPACE_APP);
}

/* The stream that was opened first; MR_NONE. */
static uint32_t oldest_stream(const struct mr_endpoint *ep, const struct mr_conn *conn)
{
    uint32_t oldest = MR_NONE;

    for (uint32_t i = conn->stream_head; i != MR_NONE; i = mr_stream_at(ep, i)->conn_next)
        oldest = i;
    return oldest;
}

/* ------------------------------------------------------------------ writing */

void mr_conn_detach(struct mr_conn *copy)
{
    struct mr_sent sent = {.next = copy->app.sent.next,
                           .largest_acked = copy->app.sent.largest_acked,
                           .skipped = copy->app.sent.skipped,
                           .packet_threshold = copy->app.sent.packet_threshold};

    copy->app.sent = sent;
    copy->app.undo = MR_NONE;
    copy->path.cc.ops = NULL;
    copy->is_ready = copy->is_touched = copy->is_dirty = copy->is_token_tracked = false;
    copy->keys = copy->name = copy->extra = copy->trace = MR_NONE;
    copy->app.wants &= ~(uint32_t)MR_WANT_PATH_RESPONSE; /* a peer asks again */
    copy->side_packets = 0;
    copy->ready_next = copy->ready_previous = copy->dirty_next = MR_NONE;
    mr_schedule_init(&copy->sendable);
    copy->controlled = (struct mr_stream_list){.head = MR_NONE, .tail = MR_NONE};
    copy->last_stream = copy->stream_head = MR_NONE;
    copy->streams_open = 0;
    copy->armed_ns = copy->pacing_until_ns = MR_NEVER;
    mr_datagram_queue_init(&copy->datagrams_out);
    mr_datagram_queue_init(&copy->datagrams_in);
}

/* Validations that run, and what is known of the path to go back to. */
static void write_paths(struct mr_record_writer *w, const struct mr_endpoint *ep,
                        const struct mr_conn *conn)
{
    const struct mr_conn_extra *extra = mr_conn_extra(ep, conn);
    uint64_t has_paths = extra != NULL && (extra->uses & MR_EXTRA_TRAVELS) != 0;
    uint64_t kind = mr_side_has_control(ep, conn) ? mr_cc_kind_of(&extra->kept.cc) : MR_CC_KINDS;
    size_t at;

    mr_record_put(w, &has_paths, sizeof(has_paths));
    if (has_paths == 0)
        return;
    mr_record_put(w, &kind, sizeof(kind));
    at = w->used;
    mr_record_put(w, extra, sizeof(*extra));
    if (w->bytes == NULL || w->used > w->room)
        return;
    struct mr_conn_extra *copy = (struct mr_conn_extra *)(void *)(w->bytes + at);
    copy->uses &= MR_EXTRA_TRAVELS;
    copy->path_response_count = 0;
    copy->kept.cc.ops = NULL;
}

/* What the connection keeps in the endpoint's pools, beside its streams. */
static void write_kept(struct mr_record_writer *w, const struct mr_endpoint *ep,
                       const struct mr_conn *conn)
{
    const char *name = mr_name_text(&ep->names, conn->name);
    uint64_t name_size = conn->name == MR_NONE ? 0 : strlen(name) + 1;

    mr_record_put(w, &name_size, sizeof(name_size));
    mr_record_put(w, name, (size_t)name_size);
    mr_datagram_record_write(w, &conn->datagrams_out, &ep->datagram_chunks);
    mr_datagram_record_write(w, &conn->datagrams_in, &ep->datagram_chunks);
    write_paths(w, ep, conn);
}

static void write_stream(struct mr_record_writer *w, const struct mr_endpoint *ep,
                         const struct mr_stream *stream)
{
    mr_record_put(w, stream, sizeof(*stream));
    mr_stream_record_write_send(w, &stream->send, &ep->send_pools);
    mr_stream_record_write_recv(w, &stream->recv, &ep->recv_pools);
}

static void write_record(struct mr_record_writer *w, const struct mr_endpoint *ep,
                         const struct mr_conn *conn, const struct mr_conn_record *head)
{
    mr_record_put(w, head, sizeof(*head));
    size_t at = w->used;
    mr_record_put(w, conn, sizeof(*conn));
    if (w->bytes != NULL && w->used <= w->room)
        mr_conn_detach((struct mr_conn *)(void *)(w->bytes + at));
    write_kept(w, ep, conn);
    for (uint32_t i = oldest_stream(ep, conn); i != MR_NONE;) {
        write_stream(w, ep, mr_stream_at(ep, i));
        i = mr_stream_at(ep, i)->conn_previous;
    }
}

size_t mr_conn_record_size(const struct mr_endpoint *ep, mr_handle handle)
{
    struct mr_conn copy;
    const struct mr_conn *conn = mr_conn_look(ep, handle, &copy);
    struct mr_record_writer w = {.bytes = NULL};
    struct mr_conn_record head = {.magic = MR_RECORD_MAGIC};

    if (conn == NULL)
        return 0;
    write_record(&w, ep, conn, &head);
    if (mr_conn_is_asleep(ep, handle)) {
        struct mr_sleep_walk walk;
        struct mr_stream stream;

        mr_sleep_walk_begin(ep, (uint32_t)handle, &walk);
        while (mr_sleep_walk_next(ep, &walk, &stream))
            write_stream(&w, ep, &stream);
        mr_sleep_walk_end(&walk);
    }
    return w.used;
}

void mr_conn_record_wipe(struct mr_conn_record *record)
{
    struct mr_conn *copy = (struct mr_conn *)(void *)(record + 1);

    if (record->magic != MR_RECORD_MAGIC || record->conn_size != sizeof(*copy))
        return;
    mr_secret_wipe(&copy->key_state.seal_secret);
    mr_secret_wipe(&copy->key_state.open_secret);
    mr_secret_wipe(&copy->key_state.next_open_secret);
    mr_key_material_wipe(&copy->key_state.seal);
    mr_key_material_wipe(&copy->key_state.open);
    mr_key_material_wipe(&copy->key_state.other);
    record->magic = 0;
}

/* ------------------------------------------------------------------ leaving */

static bool can_move(const struct mr_conn *conn, uint64_t now)
{
    return conn->state == MR_CONN_OPEN && conn->is_confirmed && conn->handshake == MR_NONE &&
           conn->multipath == MR_NONE && !conn->is_touched && !conn->is_held &&
           now >= conn->move_again_ns &&
           mr_cid_has_retired_all(conn); /* it need not hold more of them than for one move */
}

int mr_conn_can_move(const struct mr_endpoint *ep, mr_handle handle, uint64_t now)
{
    struct mr_conn copy;
    const struct mr_conn *conn = mr_conn_look(ep, handle, &copy);

    if (conn == NULL)
        return -ESTALE;
    return can_move(conn, now) ? 0 : -EBUSY;
}

uint64_t mr_conn_settled_ns(const struct mr_endpoint *ep, mr_handle handle, uint64_t now)
{
    struct mr_conn copy;
    const struct mr_conn *conn = mr_conn_look(ep, handle, &copy);

    if (conn == NULL || now < conn->move_again_ns)
        return 0;
    return conn->move_again_ns == 0 ? UINT64_MAX : now - conn->move_again_ns;
}

uint64_t mr_object_user_data(const struct mr_endpoint *ep, mr_handle handle)
{
    struct mr_conn copy;
    const struct mr_conn *conn = mr_conn_look(ep, handle, &copy);

    return conn == NULL ? 0 : conn->user_data;
}

static void set_away(struct mr_endpoint *ep, struct mr_conn *conn, bool is_away)
{
    for (uint32_t i = conn->stream_head; i != MR_NONE; i = mr_stream_at(ep, i)->conn_next) {
        const struct mr_stream *stream = mr_stream_at(ep, i);

        mr_stream_number_at(ep, mr_stream_number_of(stream->handle))->place =
            i | (is_away ? MR_PLACE_AWAY : 0);
    }
}

/* Its peer may use the old connection IDs for as long as it is not idle for too long. */
static void remember_cids(struct mr_endpoint *ep, const struct mr_conn *conn, uint64_t now)
{
    uint64_t idle_ns = MR_MAX(ep->config.idle_timeout_ns, conn->idle_timeout_ns);
    uint64_t until_ns = now + (idle_ns == 0 ? QUIET_DEFAULT_NS : MR_MIN(idle_ns, QUIET_MAX_NS));

    for (uint32_t i = 0; i < MR_CIDS_SLOTS; i++) {
        if (conn->issued.key[i] != 0)
            mr_departed_add(&ep->departed, conn->issued.key[i], until_ns, now);
    }
}

/* Nothing of it is done here any more; everything stays where it is. */
static void leave(struct mr_endpoint *ep, struct mr_conn *conn, uint32_t shard, uint64_t now)
{
    mr_conn_undirty(ep, conn);
    mr_conn_unready(ep, conn);
    mr_wheel_clear(&ep->wheel, conn->number);
    conn->armed_ns = MR_NEVER;
    conn->close_until_ns = MR_NEVER;
    mr_keys_drop(ep, conn);
    mr_cid_untrack_token(ep, conn);
    set_away(ep, conn, true);
    conn->moved_to = shard;
    conn->state = MR_CONN_MOVED;
    remember_cids(ep, conn, now);
}

int mr_conn_export(struct mr_endpoint *ep, mr_handle handle, const struct mr_conn_export *to,
                   uint64_t now)
{
    struct mr_conn *conn = mr_conn_of_handle(ep, handle);
    int answer = conn == NULL ? mr_conn_absence(ep, handle) : mr_conn_can_move(ep, handle, now);

    if (answer != 0)
        return answer;
    if (to->shard == ep->config.cid.shard || to->shard >= MR_CID_SHARDS)
        return -EINVAL;

    struct mr_record_writer w = {.bytes = (uint8_t *)to->record, .room = to->room};
    struct mr_conn_record head = {.magic = MR_RECORD_MAGIC,
                                  .version = MR_RECORD_VERSION,
                                  .conn_size = sizeof(*conn),
                                  .stream_size = sizeof(struct mr_stream),
                                  .from_shard = ep->config.cid.shard,
                                  .to_shard = to->shard,
                                  .conn = handle,
                                  .id = ++ep->export_count,
                                  .stream_count = conn->streams_open,
                                  .cc_kind = mr_cc_kind_of(&conn->path.cc)};
    write_record(&w, ep, conn, &head);
    if (w.used > w.room) {
        if (w.room >= sizeof(head) + sizeof(*conn))
            mr_conn_record_wipe(to->record);
        return -ENOBUFS;
    }
    to->record->size = w.used;
    to->record->flags = w.has_references ? MR_RECORD_HAS_REFERENCES : 0;
    if (mr_conn_is_traced(conn))
        mr_trace_leave(ep, conn, &to->record->trace);
    conn->move_id = head.id;
    leave(ep, conn, to->shard, now);
    return 0;
}

/* The connection behind the handle it had before it left, as long as all of it is here. */
static struct mr_conn *find_leaving(const struct mr_endpoint *ep, mr_handle handle)
{
    struct mr_conn *conn = mr_conn_of_number(ep, handle);

    return conn != NULL && conn->state == MR_CONN_MOVED && !conn->is_forwarding ? conn : NULL;
}

int mr_conn_moved(struct mr_endpoint *ep, mr_handle handle, uint64_t now)
{
    struct mr_conn *conn = find_leaving(ep, handle);

    if (conn == NULL)
        return -ESTALE;
    while (conn->stream_head != MR_NONE)
        mr_stream_free(ep, mr_stream_at(ep, conn->stream_head));
    mr_sent_discard(&conn->app.sent);
    mr_conn_undo_drop(ep, conn);
    mr_path_end_control(ep, &conn->path);
    conn->path.cc.in_flight = 0;
    mr_datagram_queue_clear(&conn->datagrams_out, &ep->datagram_chunks);
    mr_datagram_queue_clear(&conn->datagrams_in, &ep->datagram_chunks);
    mr_name_drop(&ep->names, conn->name);
    conn->name = MR_NONE;
    mr_conn_extra_drop(ep, conn);
    conn->is_forwarding = true;
    ep->forwarding_count++;
    conn->close_until_ns = now + three_ptos(conn);
    mr_conn_timer_update(ep, conn);
    mr_count(&ep->counters.moves_out);
    return 0;
}

/* ------------------------------------------------------------------ back */

static int resume(struct mr_endpoint *ep, const struct mr_conn_record *record, mr_handle *conn_out)
{
    struct mr_conn *conn = find_leaving(ep, record->conn);

    if (conn == NULL || conn->move_id != record->id)
        return -ESTALE;
    conn->state = MR_CONN_OPEN;
    mr_trace_arrive(ep, conn, &record->trace);
    conn->follow = (struct mr_follow){.count = 0};
    set_away(ep, conn, false);
    mr_cid_track_token(ep, conn);
    mr_conn_redirty(ep, conn);
    mr_conn_wake(ep, conn);
    mr_conn_timer_update(ep, conn);
    mr_count(&ep->counters.moves_failed);
    *conn_out = record->conn;
    return 0;
}

/* ------------------------------------------------------------------ arriving */

/* The new object gets the old one's values.  Its connection IDs come later, with their places in
 * the table. */
static void place(struct mr_conn *conn, const struct mr_conn *copy)
{
    uint32_t index = conn->index;
    uint32_t number = conn->number;
    uint32_t generation = conn->generation;

    *conn = *copy;
    conn->index = index;
    conn->number = number;
    conn->generation = generation;
    memset(&conn->issued, 0, sizeof(conn->issued));
    conn->follow = (struct mr_follow){.count = 0};
}

/*
 * The window goes on.  A model does not travel: BBR begins anew, with half of the window it had so
 * that its first gain does not overflow the path; CUBIC in its place starts where it stood.
 */
static void restart_control(struct mr_endpoint *ep, struct mr_path *path, enum mr_cc_kind kind,
                            uint64_t now)
{
    struct mr_cc before = path->cc;

    if (kind != MR_CC_BBR) {
        mr_cc_attach(&path->cc, kind);
        mr_cc_on_discarded(&path->cc, path->cc.in_flight);
        return;
    }
    mr_path_begin_control(ep, path, now);
    mr_cc_set_datagram_size(&path->cc, before.datagram_size);
    path->cc.has_begun = true;
    mr_cc_set_window(&path->cc, before.window / 2);
    if (mr_cc_kind_of(&path->cc) != MR_CC_BBR)
        path->cc.ssthresh = path->cc.window;
}

void mr_conn_attach(struct mr_endpoint *ep, struct mr_conn *conn, enum mr_cc_kind kind,
                    uint64_t now)
{
    struct mr_sent before = conn->app.sent;
    struct mr_sent *sent = &conn->app.sent;

    mr_sent_init(sent, &ep->chunks, &ep->frame_blocks);
    sent->base = sent->scan = sent->next = before.next;
    sent->largest_acked = before.largest_acked;
    sent->skipped = before.skipped;
    sent->packet_threshold = before.packet_threshold;
    conn->loss.space[MR_SPACE_APP].ack_eliciting_count = 0;
    conn->loss.space[MR_SPACE_APP].loss_time_ns = MR_NEVER;
    restart_control(ep, &conn->path, kind, now);
    conn->key_state.seal_burst = ep->burst - 1;
}

/* Something may still be on its way from the old shard. */
static void empty_pacer(struct mr_path *path, uint64_t now)
{
    path->pacer.tokens = MR_MIN(path->pacer.tokens, (int64_t)0);
    path->pacer.last_ns = now;
}

/* The shards' clocks are one, but are read at different times: nothing lies in the future. */
static void clamp_times(struct mr_conn *conn, uint64_t now)
{
    conn->app.largest_at_ns = MR_MIN(conn->app.largest_at_ns, now);
    conn->last_received_ns = MR_MIN(conn->last_received_ns, now);
    conn->idle_base_ns = MR_MIN(conn->idle_base_ns, now);
}

/* The connection ID is forwarded from here still, from an earlier stay: it is the connection's
 * again. */
static void take_from_forwarding(struct mr_endpoint *ep, uint64_t key)
{
    uint32_t index = mr_table8_find(&ep->cids, key);

    if (index >= MR_CID_OF_PATH || mr_conn_at(ep, index)->state != MR_CONN_MOVED)
        return;
    struct mr_conn *forwarding = mr_conn_at(ep, index);
    for (uint32_t i = 0; i < MR_CIDS_SLOTS; i++) {
        if (forwarding->issued.key[i] == key)
            forwarding->issued.key[i] = 0;
    }
    mr_table8_remove(&ep->cids, key);
}

/* The old connection IDs lead here until the peer has retired them.  It is told again of those that
 * it may not have heard of, or it never would.  New ones take their place. */
static bool renew_cids(struct mr_endpoint *ep, struct mr_conn *conn, const struct mr_conn *copy,
                       uint64_t now)
{
    for (uint32_t i = 0; i < MR_CIDS_SLOTS; i++) {
        uint64_t key = copy->issued.key[i];

        if (key == 0)
            continue;
        take_from_forwarding(ep, key);
        if (mr_table8_insert(&ep->cids, key, conn->index) != MR_TABLE_ADDED)
            return false;
        conn->issued.key[i] = key;
        conn->issued.sequence[i] = copy->issued.sequence[i];
    }
    conn->issued_announced = copy->issued_known;
    conn->issued_prior_to = conn->issued_next_sequence;
    conn->cid_config = ep->config.cid.config;
    conn->cids_due_ns = mr_cid_due(ep, now);
    mr_cid_issue_all(ep, conn);
    return conn->issued_next_sequence > conn->issued_prior_to;
}

/* Control frames that may have been lost are owed again; data waits in the queue. */
static void owe_again(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_stream *stream)
{
    stream->flow_send.blocked_at = UINT64_MAX;
    if (stream->is_gone)
        return;
    stream->wants_reset |= stream->send_state == MR_SEND_RESET_SENT;
    stream->wants_reset_at |=
        stream->has_reliable_out && stream->is_reset_at_due && !stream->is_reset_at_acked;
    stream->wants_stop |=
        stream->recv.is_discarding && mr_recv_state_wants_stop(stream->recv_state);
    stream->wants_max_data |=
        stream->flow_recv.updated_ns != 0 && mr_recv_state_wants_credit(stream->recv_state);
    if (stream->wants_reset || stream->wants_reset_at || stream->wants_stop ||
        stream->wants_max_data || stream->wants_blocked)
        mr_stream_control(ep, conn, stream);
    if (mr_send_queue_wants(&stream->send, UINT64_MAX))
        mr_stream_schedule(ep, conn, stream);
}

/* The same for what the connection owes. */
static void conn_owe_again(struct mr_conn *conn)
{
    static const uint32_t max_streams[2] = {MR_WANT_MAX_STREAMS_BIDI, MR_WANT_MAX_STREAMS_UNI};
    static const uint32_t blocked[2] = {MR_WANT_STREAMS_BLOCKED_BIDI, MR_WANT_STREAMS_BLOCKED_UNI};
    uint32_t wants = MR_WANT_ACK; /* of the retirements above all, before there are more */

    if (conn->role == MR_SERVER && !conn->is_handshake_done_acked)
        wants |= MR_WANT_HANDSHAKE_DONE;
    if (conn->flow_recv.updated_ns != 0)
        wants |= MR_WANT_MAX_DATA;
    conn->flow_send.blocked_at = UINT64_MAX;
    for (int is_uni = 0; is_uni < 2; is_uni++) {
        struct mr_streams_send *send = &conn->streams_send[is_uni];

        if (conn->streams_recv[is_uni].limit > conn->streams_recv[is_uni].open_max)
            wants |= max_streams[is_uni];
        send->blocked_at = UINT64_MAX;
        if (mr_streams_send_wants_blocked(send))
            wants |= blocked[is_uni];
    }
    conn->retire_waiting = (1u << conn->retire_count) - 1;
    if (conn->retire_count > 0)
        wants |= MR_WANT_RETIRE_CID;
    if (conn->ack_request.is_in_flight)
        wants |= MR_WANT_ACK_FREQUENCY;
    if (conn->observes)
        wants |= MR_WANT_OBSERVED_ADDRESS;
    if (conn->mtu_search.is_in_flight)
        wants |= MR_WANT_MTU_PROBE;
    conn->mtu_search.is_in_flight = false;
    conn->app.wants |= wants;
}

static bool read_streams(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_record_reader *r,
                         uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct mr_stream *from = mr_record_take(r, sizeof(*from));
        struct mr_stream *stream = from == NULL ? NULL : mr_stream_adopt(ep, conn, from);

        if (stream == NULL ||
            !mr_stream_record_read_send(r, &stream->send, &ep->send_pools, &from->send) ||
            !mr_stream_record_read_recv(r, &stream->recv, &ep->recv_pools, &ep->released,
                                        &from->recv))
            return false;
        if (stream->recv.is_discarding) /* what was shown of it is gone */
            mr_stream_consumed(ep, conn, stream,
                               stream->flow_recv.received - stream->flow_recv.consumed);
        owe_again(ep, conn, stream);
    }
    return true;
}

static bool read_name(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_record_reader *r)
{
    const uint64_t *size = mr_record_take(r, sizeof(*size));
    if (size == NULL || *size == 0)
        return size != NULL;

    const char *name = mr_record_take(r, (size_t)*size);
    if (name == NULL || name[*size - 1] != '\0')
        return false;
    conn->name = mr_name_keep(&ep->names, name);
    if (conn->name == MR_NONE)
        mr_count(&ep->counters.limit_names);
    return conn->name != MR_NONE;
}

static bool read_paths(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_record_reader *r,
                       uint64_t now)
{
    const uint64_t *has_paths = mr_record_take(r, sizeof(*has_paths));
    const struct mr_conn_extra *from;

    if (has_paths == NULL || *has_paths == 0)
        return has_paths != NULL;
    const uint64_t *kind = mr_record_take(r, sizeof(*kind));
    from = kind == NULL ? NULL : mr_record_take(r, sizeof(*from));
    struct mr_conn_extra *extra =
        from == NULL ? NULL : mr_conn_extra_use(ep, conn, MR_EXTRA_PATH_CHECK);
    if (extra == NULL)
        return false;
    *extra = *from;
    if (*kind < MR_CC_KINDS)
        restart_control(ep, &extra->kept, (enum mr_cc_kind) * kind, now);
    return true;
}

/* What lay in the old endpoint's pools.  DATAGRAM is told where datagrams wait, whoever was told
 * before: no other follows until they are read. */
static bool read_kept(struct mr_endpoint *ep, struct mr_conn *conn, struct mr_record_reader *r,
                      uint64_t now)
{
    if (!read_name(ep, conn, r) ||
        !mr_datagram_record_read(r, &conn->datagrams_out, &ep->datagram_chunks) ||
        !mr_datagram_record_read(r, &conn->datagrams_in, &ep->datagram_chunks) ||
        !read_paths(ep, conn, r, now))
        return false;
    if (conn->datagrams_in.count > 0)
        conn->pending_events |= MR_EVENT_DATAGRAM;
    return true;
}

/* Give back what an import took that failed: no connection was closed. */
static void drop(struct mr_endpoint *ep, struct mr_conn *conn)
{
    conn->is_forwarding = true;
    ep->forwarding_count++;
    mr_conn_free(ep, conn);
}

static bool is_readable(const struct mr_conn_record *record)
{
    return record->magic == MR_RECORD_MAGIC && record->version == MR_RECORD_VERSION &&
           record->conn_size == sizeof(struct mr_conn) &&
           record->stream_size == sizeof(struct mr_stream) && record->cc_kind < MR_CC_KINDS &&
           record->size >= sizeof(*record) + sizeof(struct mr_conn);
}

int mr_conn_import(struct mr_endpoint *ep, const struct mr_conn_record *record, uint64_t now,
                   mr_handle *conn_out)
{
    if (!is_readable(record))
        return -EINVAL;
    if (record->from_shard == ep->config.cid.shard)
        return resume(ep, record, conn_out);
    if (record->to_shard != ep->config.cid.shard)
        return -EINVAL;
    struct mr_conn *conn = mr_conn_take(ep);
    if (conn == NULL)
        return -ENOMEM;

    struct mr_record_reader r = {.bytes = (const uint8_t *)record, .size = record->size};
    mr_record_take(&r, sizeof(*record));
    const struct mr_conn *copy = mr_record_take(&r, sizeof(*copy));
    place(conn, copy);
    mr_conn_attach(ep, conn, (enum mr_cc_kind)record->cc_kind, now);
    empty_pacer(&conn->path, now);
    clamp_times(conn, now);
    conn_owe_again(conn);
    if (!read_kept(ep, conn, &r, now) || !read_streams(ep, conn, &r, record->stream_count) ||
        !renew_cids(ep, conn, copy, now)) {
        drop(ep, conn);
        return -ENOMEM;
    }
    mr_path_update_due(ep, conn); /* with its streams: a client awaits their data */
    mr_trace_arrive(ep, conn, &record->trace);
    conn->moved_from = record->conn;
    conn->moved_from_shard = record->from_shard;
    conn->move_again_ns = now + three_ptos(conn);
    conn->is_held = true;
    mr_cid_track_token(ep, conn);
    mr_conn_wake(ep, conn);
    mr_conn_timer_update(ep, conn);
    mr_count(&ep->counters.moves_in);
    *conn_out = mr_conn_handle(conn);
    return 0;
}

int mr_conn_arrive(struct mr_endpoint *ep, mr_handle handle)
{
    struct mr_conn *conn = mr_conn_of_handle(ep, handle);

    if (conn == NULL || !conn->is_held || conn->is_dirty)
        return -ESTALE;
    mr_conn_event_arrival(ep, conn);
    return 0;
}

/* What the stream is called there and here, as far as there is room and it has moved. */
static size_t tell_moved(const struct mr_stream *stream, struct mr_moved_stream *out, size_t count,
                         size_t room)
{
    if (stream->moved_from == MR_HANDLE_NONE || count == room)
        return count;
    out[count] = (struct mr_moved_stream){
        .old_stream = stream->moved_from, .stream = stream->handle, .user_data = stream->user_data};
    return count + 1;
}

static size_t moved_asleep(const struct mr_endpoint *ep, uint32_t number,
                           struct mr_moved_stream *out, size_t room)
{
    struct mr_sleep_walk walk;
    struct mr_stream stream;
    size_t count = 0;

    mr_sleep_walk_begin(ep, number, &walk);
    while (mr_sleep_walk_next(ep, &walk, &stream))
        count = tell_moved(&stream, out, count, room);
    mr_sleep_walk_end(&walk);
    return count;
}

int64_t mr_conn_moved_streams(const struct mr_endpoint *ep, mr_handle handle,
                              struct mr_moved_stream *out, size_t room)
{
    const struct mr_conn *conn = mr_conn_of_number(ep, handle);
    size_t count = 0;

    if (mr_conn_is_asleep(ep, handle))
        return (int64_t)moved_asleep(ep, (uint32_t)handle, out, room);
    if (conn == NULL || conn->state == MR_CONN_MOVED)
        return -ESTALE;
    for (uint32_t i = oldest_stream(ep, conn); i != MR_NONE && count < room;) {
        const struct mr_stream *stream = mr_stream_at(ep, i);

        count = tell_moved(stream, out, count, room);
        i = stream->conn_previous;
    }
    return (int64_t)count;
}

/* ------------------------------------------------------------------ following datagrams */

mr_handle mr_endpoint_note_arrival(struct mr_endpoint *ep, uint32_t number, uint32_t at)
{
    MR_ASSERT(number < ep->slot_count);
    uint32_t index = ep->slots[number].conn;
    if (index == MR_NONE || at == ep->config.cid.shard)
        return MR_HANDLE_NONE;

    struct mr_conn *conn = mr_conn_at(ep, index);
    if ((conn->generation & 1) == 0 || conn->state != MR_CONN_OPEN || conn->app.received.count == 0)
        return MR_HANDLE_NONE;
    return mr_follow_note(&conn->follow, (uint16_t)at, conn->app.received.range[0].hi)
               ? mr_conn_handle(conn)
               : MR_HANDLE_NONE;
}
