/*
 * dataplane/app_move.c - connections of attached applications that move between shards.
 *
 *     old shard's host                                  application
 *     ask() --ASKED--> EVENT MOVED  ----------------->
 *       nothing is told of it from here on               (what it has begun, it ends)
 *     ACKED <---------------------------  MOVE_ACK  ---
 *       ready? --DUE--> `move` of the transport
 *     ask() again: it goes
 *     pack() --AWAY--> baggage --> new shard's host: offer(), take()
 *     MR_EVENT_MOVED: its objects are forgotten          (MR_EVENT_MOVED_IN there) EVENT MOVED_IN
 *       < 0: it stays ---------------------------------> EVENT MOVED, < 0
 *
 * What goes along is a copy of the objects and of the SENDs that are not acknowledged.  These name
 * memory of the ring that they were submitted to, which counts them until they are done.  Receive
 * slots stay behind: they are that ring's, and come back to it.
 */
#include <errno.h>

#include "dataplane/app_internal.h"
#include "dataplane/app_move.h"
#include "dataplane/app_send.h"
#include "quic/counters.h"

#define SEND_LINK offsetof(struct mr_app_send, link)

/* What goes along: this, the connection, its streams, then the SENDs of each in order. */
struct baggage {
    uint64_t attachment;
    uint32_t stream_count;
    uint32_t send_count;
    struct mr_app_object conn;
};

/* A stream, and how many of the SENDs are its. */
struct packed_stream {
    struct mr_app_object object;
    uint32_t sent;
    uint32_t waiting;
};

struct packed_send {
    struct mr_app_send send;
};

#define BAGGAGE_MAX (MR_MOVE_BAGGAGE_MAX - 64u) /* whoever is in front of us has some, too */

_Static_assert(sizeof(struct baggage) % 8 == 0, "what follows is aligned");
_Static_assert(sizeof(struct packed_stream) % 8 == 0, "what follows is aligned");
_Static_assert(sizeof(struct packed_send) % 8 == 0, "what follows is aligned");
_Static_assert(MR_APP_MOVE_STREAMS * sizeof(struct mr_moved_stream) <= MR_APP_SCRATCH,
               "the map of its streams fits");

static struct mr_app_move *move_of(struct mr_app_host *host, const struct mr_app_object *conn)
{
    return conn->move == 0 ? NULL : &host->moves[conn->move - 1];
}

static struct mr_app_send *send_at(const struct mr_app_host *host, uint32_t index)
{
    return mr_pool_at(&host->sends, index);
}

static uint64_t now_of(const struct mr_app_host *host)
{
    return host->transport->ops->now(host->transport);
}

/* ------------------------------------------------------------------ freezing */

/* From here on nothing is told of it. */
static void freeze(struct mr_app_host *host, struct mr_app_object *conn)
{
    conn->is_frozen = true;
    mr_app_list_drop(host, conn, MR_APP_NEWS);
    mr_app_list_drop(host, conn, MR_APP_HUNGRY);
    for (uint32_t i = conn->kindred.head; i != MR_NONE; i = mr_app_object_at(host, i)->kin.next) {
        mr_app_list_drop(host, mr_app_object_at(host, i), MR_APP_NEWS);
        mr_app_list_drop(host, mr_app_object_at(host, i), MR_APP_HUNGRY);
    }
}

/* What has happened meanwhile is told, the connection's first. */
static void thaw(struct mr_app_host *host, struct mr_app_object *conn)
{
    conn->is_frozen = false;
    mr_app_object_mark(host, conn, 0);
    for (uint32_t i = conn->kindred.head; i != MR_NONE; i = mr_app_object_at(host, i)->kin.next)
        mr_app_object_mark(host, mr_app_object_at(host, i), 0);
}

/* The move is over, one way or the other. */
static void end_move(struct mr_app_host *host, struct mr_app_object *conn)
{
    host->moves[conn->move - 1].conn = MR_NONE;
    host->move_count--;
    conn->move = 0;
}

/* ------------------------------------------------------------------ asking */

/* Shards to which the application may be asked to let it go. */
static uint64_t targets_of(const struct mr_app_host *host, const struct mr_app_object *conn)
{
    const struct mr_app_ring *ring = &host->rings[conn->ring];
    const uint32_t not_yet = MR_EVENT_CONNECTED | MR_EVENT_MOVED_IN | MR_EVENT_CLOSED;
    bool may_go = ring->is_attached && (ring->region.sizes.flags & MR_RING_MOVES) != 0 &&
                  ring->config.attachment != 0 && (conn->kinds & not_yet) == 0 &&
                  !conn->is_accept_due && !conn->is_frozen && conn->stays == 0 &&
                  conn->streams <= MR_APP_MOVE_STREAMS;

    return may_go ? ring->config.siblings : 0;
}

static uint64_t targets(void *context, mr_handle handle)
{
    const struct mr_app_host *host = context;
    const struct mr_app_object *conn = mr_app_object_of(host, handle);

    return conn == NULL || conn->is_stream ? 0 : targets_of(host, conn);
}

static enum mr_move_verdict begin(struct mr_app_host *host, struct mr_app_object *conn, uint32_t to)
{
    uint32_t free = 0;

    while (free < MR_APP_MOVES && host->moves[free].conn != MR_NONE)
        free++;
    if (free == MR_APP_MOVES || to >= 64 || (targets_of(host, conn) >> to & 1) == 0)
        return MR_MOVE_STAYS;
    host->moves[free] = (struct mr_app_move){.conn = conn->index,
                                             .to = to,
                                             .number = ++host->last_move,
                                             .until = now_of(host) + host->config.move_ns,
                                             .state = MR_APP_MOVE_ASKED};
    host->move_count++;
    conn->move = free + 1;
    mr_app_object_mark(host, conn, 0);
    mr_count_add(&host->stats.moves_begun, 1);
    return MR_MOVE_LATER;
}

static enum mr_move_verdict ask(void *context, mr_handle handle, uint32_t to, bool is_own)
{
    struct mr_app_host *host = context;
    struct mr_app_object *conn = mr_app_object_of(host, handle);

    if (conn == NULL || conn->is_stream)
        return MR_MOVE_STAYS;
    const struct mr_app_move *move = move_of(host, conn);
    if (move == NULL)
        return is_own ? MR_MOVE_STAYS : begin(host, conn, to);
    return is_own && move->state == MR_APP_MOVE_DUE && move->to == to ? MR_MOVE_GOES
                                                                      : MR_MOVE_LATER;
}

bool mr_app_move_tell(struct mr_app_host *host, struct mr_app_ring *ring,
                      struct mr_app_object *conn)
{
    struct mr_app_move *move = move_of(host, conn);

    if (move == NULL || move->state != MR_APP_MOVE_ASKED)
        return true;
    if (!mr_app_has_room(ring))
        return false;
    struct mr_cqe cqe = mr_app_about(host, conn, MR_CQE_EVENT);
    cqe.kinds = MR_EVENT_MOVED;
    cqe.value = move->number;
    cqe.address = ring->config.first_shard + move->to;
    mr_app_complete(host, ring, &cqe);
    move->state = MR_APP_MOVE_TOLD;
    freeze(host, conn);
    return true;
}

/* A SEND was refused that is to be submitted again: at the ring that its memory is of. */
static bool has_refused(const struct mr_app_host *host, const struct mr_app_object *conn)
{
    for (uint32_t i = conn->kindred.head; i != MR_NONE;) {
        const struct mr_app_object *stream = mr_app_object_at(host, i);

        if (stream->is_refusing && stream->send_error == 0 && !stream->has_fin)
            return true;
        i = stream->kin.next;
    }
    return false;
}

int mr_app_move_ack(struct mr_app_host *host, struct mr_app_object *conn, uint64_t number)
{
    struct mr_app_move *move = move_of(host, conn);

    if (move == NULL || move->state != MR_APP_MOVE_TOLD || move->number != number)
        return -ECANCELED;
    if (has_refused(host, conn)) {
        mr_app_move_stays(host, conn, -EBUSY);
        return -ECANCELED;
    }
    move->state = MR_APP_MOVE_ACKED;
    return 0;
}

/* ------------------------------------------------------------------ staying */

void mr_app_move_stays(struct mr_app_host *host, struct mr_app_object *conn, int error)
{
    const struct mr_app_move *move = move_of(host, conn);

    if (move == NULL)
        return;
    if (move->state != MR_APP_MOVE_ASKED)
        conn->stays = error;
    host->stayed = conn->handle;
    host->stayed_error = error;
    end_move(host, conn);
    thaw(host, conn);
    mr_count_add(&host->stats.moves_stayed, 1);
}

bool mr_app_move_tell_stays(struct mr_app_host *host, struct mr_app_ring *ring,
                            struct mr_app_object *conn)
{
    if (conn->stays == 0)
        return true;
    if (!mr_app_has_room(ring))
        return false;
    struct mr_cqe cqe = mr_app_about(host, conn, MR_CQE_EVENT);
    cqe.kinds = MR_EVENT_MOVED;
    cqe.result = conn->stays;
    mr_app_complete(host, ring, &cqe);
    conn->stays = 0;
    return true;
}

void mr_app_moves_cancel(struct mr_app_host *host, const struct mr_app_ring *ring)
{
    for (uint32_t i = 0; i < MR_APP_MOVES; i++) {
        if (host->moves[i].conn == MR_NONE || host->moves[i].state == MR_APP_MOVE_AWAY)
            continue;
        struct mr_app_object *conn = mr_app_object_at(host, host->moves[i].conn);

        if (conn->ring == ring->index)
            mr_app_move_stays(host, conn, -ECANCELED);
    }
}

/* ------------------------------------------------------------------ going */

static uint32_t count_sends(const struct mr_app_host *host, const struct mr_app_chain *chain)
{
    uint32_t count = 0;

    for (uint32_t i = chain->head; i != MR_NONE; i = send_at(host, i)->link.next)
        count++;
    return count;
}

/* Nothing of it is the application's to look at any more that goes when it goes, and it fits. */
static bool is_ready(const struct mr_app_host *host, const struct mr_app_object *conn)
{
    size_t size = sizeof(struct baggage);

    for (uint32_t i = conn->kindred.head; i != MR_NONE;) {
        const struct mr_app_object *stream = mr_app_object_at(host, i);

        if (host->rings[conn->ring].is_by_reference && stream->told_to != stream->released_to &&
            !stream->is_stopped)
            return false;
        size += sizeof(struct packed_stream) +
                sizeof(struct packed_send) * ((size_t)count_sends(host, &stream->sends) +
                                              count_sends(host, &stream->waiting));
        i = stream->kin.next;
    }
    return size <= BAGGAGE_MAX && conn->streams <= MR_APP_MOVE_STREAMS;
}

static void go(struct mr_app_host *host, struct mr_app_move *move)
{
    struct mr_app_object *conn = mr_app_object_at(host, move->conn);
    const struct mr_transport_ops *ops = host->transport->ops;

    if (!is_ready(host, conn))
        return;
    int answer =
        ops->move == NULL ? -EOPNOTSUPP : ops->move(host->transport, conn->handle, move->to);
    if (answer == 0)
        move->state = MR_APP_MOVE_DUE;
    else if (answer != -EBUSY && answer != -ENOMEM) /* else it can perhaps in a moment */
        mr_app_move_stays(host, conn, answer);
}

uint32_t mr_app_moves_poll(struct mr_app_host *host)
{
    uint32_t count = 0;
    uint64_t now = host->move_count == 0 ? 0 : now_of(host);

    for (uint32_t i = 0; i < MR_APP_MOVES && host->move_count > 0; i++) {
        struct mr_app_move *move = &host->moves[i];

        if (move->conn == MR_NONE || move->state == MR_APP_MOVE_AWAY)
            continue;
        if (now >= move->until)
            mr_app_move_stays(host, mr_app_object_at(host, move->conn), -ETIMEDOUT);
        else if (move->state == MR_APP_MOVE_ACKED)
            go(host, move);
        count++;
    }
    return count;
}

/* ------------------------------------------------------------------ packing */

/* The SENDs of a chain, and whose memory they name. */
static uint32_t pack_sends(struct mr_app_host *host, const struct mr_app_chain *chain, uint8_t **at)
{
    uint32_t count = 0;

    for (uint32_t i = chain->head; i != MR_NONE; count++) {
        const struct mr_app_send *send = send_at(host, i);
        struct packed_send packed = {.send = *send};

        if (send->home == NULL) {
            packed.send.home = &host->rings[send->ring].foreign;
            mr_app_ring_hold(packed.send.home);
        }
        memcpy(*at, &packed, sizeof(packed));
        *at += sizeof(packed);
        i = send->link.next;
    }
    return count;
}

static void pack(void *context, mr_handle handle, void *baggage)
{
    struct mr_app_host *host = context;
    struct mr_app_object *conn = mr_app_object_of(host, handle);
    struct baggage head = {.attachment = host->rings[conn->ring].config.attachment,
                           .stream_count = conn->streams,
                           .conn = *conn};
    struct packed_stream *streams = (void *)((uint8_t *)baggage + sizeof(head));
    uint8_t *at = (uint8_t *)(streams + conn->streams);

    for (uint32_t i = conn->kindred.head; i != MR_NONE; streams++) {
        const struct mr_app_object *stream = mr_app_object_at(host, i);

        streams->object = *stream;
        streams->sent = pack_sends(host, &stream->sends, &at);
        streams->waiting = pack_sends(host, &stream->waiting, &at);
        head.send_count += streams->sent + streams->waiting;
        i = stream->kin.next;
    }
    memcpy(baggage, &head, sizeof(head));
    move_of(host, conn)->state = MR_APP_MOVE_AWAY;
    conn->is_away = true;
}

/* ------------------------------------------------------------------ taking */

/* The attachment's ring here; NULL: it has none any more. */
static struct mr_app_ring *ring_of(struct mr_app_host *host, uint64_t attachment)
{
    for (uint32_t i = 0; i < MR_APP_RINGS_MAX; i++) {
        struct mr_app_ring *ring = &host->rings[i];

        if (mr_app_is_active(host, i) && ring->is_attached && ring->config.attachment == attachment)
            return ring;
    }
    return NULL;
}

static bool has_place(const struct mr_app_host *host, const struct mr_app_ring *ring,
                      const struct baggage *head)
{
    uint32_t objects = 1 + head->stream_count;
    uint32_t listener = head->conn.listener;

    if (host->policy != NULL && listener < host->policy->handoff.listener_count) {
        uint32_t most = host->policy->handoff.listener[listener].conns_max;

        if (most != 0 && ring->conn_count >= most)
            return false;
    }
    if (listener == MR_NONE && !mr_app_may_open_conn(host, ring))
        return false;
    return ring->config.objects_max - ring->objects >= objects &&
           mr_pool_free_count(&host->objects) >= objects &&
           ring->config.sends_max - ring->sends >= head->send_count &&
           mr_pool_free_count(&host->sends) >= head->send_count;
}

static int offer(void *context, const void *baggage)
{
    struct mr_app_host *host = context;
    const struct baggage *head = baggage;
    const struct mr_app_ring *ring = ring_of(host, head->attachment);

    if (ring == NULL)
        return -ECANCELED;
    return has_place(host, ring, head) ? 0 : -ENOMEM;
}

/* A new object with the old one's values. */
static struct mr_app_object *unpack(struct mr_app_host *host, struct mr_app_ring *ring,
                                    const struct mr_app_object *from, mr_handle handle,
                                    struct mr_app_object *conn)
{
    struct mr_app_object *object = mr_app_object_new(host, ring, handle, conn);

    MR_ASSERT(object != NULL); /* offer() has counted */
    object->user_data = from->user_data;
    object->given_to = from->given_to;
    object->told_to = object->released_to = from->released_to;
    object->acked_to = from->acked_to;
    object->error = from->error;
    object->id = from->id;
    object->listener = from->listener;
    object->kinds = from->kinds;
    object->lasting = from->lasting;
    object->send_error = from->send_error;
    object->has_reset_at = from->has_reset_at;
    object->is_reset_at_done = from->is_reset_at_done;
    object->reliable = from->reliable;
    object->reset_code = from->reset_code;
    object->is_reliable = from->is_reliable;
    object->old_name = mr_app_handle(from);
    object->is_application = from->is_application;
    object->is_remote = from->is_remote;
    object->is_inherited = from->is_inherited;
    object->is_refusing = from->is_refusing;
    object->has_fin = from->has_fin;
    object->is_fin_told = from->is_fin_told;
    object->is_fin_due = from->is_fin_due;
    object->is_stopped = from->is_stopped;
    object->is_readable = object->is_stream ? !from->is_fin_told && !from->is_fin_due &&
                                                  !from->is_stopped && handle != MR_HANDLE_NONE
                                            : from->is_readable;
    return object;
}

static void unpack_sends(struct mr_app_host *host, struct mr_app_ring *ring,
                         const struct mr_app_object *from, struct mr_app_chain *chain,
                         const uint8_t **at, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = mr_pool_get(&host->sends);
        struct packed_send packed;

        MR_ASSERT(index != MR_NONE);
        memcpy(&packed, *at, sizeof(packed));
        *at += sizeof(packed);
        struct mr_app_send *send = send_at(host, index);
        *send = packed.send;
        send->is_silent = send->is_silent || send->ring != from->ring;
        send->ring = ring->index;
        mr_app_chain_push(chain, &host->sends, SEND_LINK, index);
        ring->sends++;
    }
}

/* What the transport calls a stream now, MR_HANDLE_NONE: it has it no more.  Both lists have nearly
 * the same order: the search begins where the last one ended. */
static mr_handle find_new(const struct mr_moved_stream *map, uint32_t count, uint32_t *hand,
                          mr_handle old)
{
    for (uint32_t i = 0; i < count && old != MR_HANDLE_NONE; i++) {
        uint32_t at = (*hand + i) % count;

        if (map[at].old_stream != old)
            continue;
        *hand = at + 1;
        return map[at].stream;
    }
    return MR_HANDLE_NONE;
}

static void take(void *context, mr_handle handle, const void *baggage)
{
    struct mr_app_host *host = context;
    const struct baggage *head = baggage;
    const struct packed_stream *streams = (const void *)(head + 1);
    const uint8_t *at = (const uint8_t *)(streams + head->stream_count);
    struct mr_moved_stream *map = (void *)host->scratch;
    struct mr_app_ring *ring = ring_of(host, head->attachment);
    uint32_t hand = 0;

    MR_ASSERT(ring != NULL);
    int64_t count = host->transport->ops->moved_streams(host->transport, handle, map,
                                                        MR_APP_SCRATCH / sizeof(*map));
    struct mr_app_object *conn = unpack(host, ring, &head->conn, handle, NULL);
    conn->is_frozen = true;
    ring->opened += conn->listener == MR_NONE;
    for (uint32_t i = 0; i < head->stream_count; i++) {
        const struct mr_app_object *from = &streams[i].object;
        mr_handle new = find_new(map, (uint32_t)MR_MAX(count, 0), &hand, from->handle);
        struct mr_app_object *stream = unpack(host, ring, from, new, conn);

        unpack_sends(host, ring, from, &stream->sends, &at, streams[i].sent);
        unpack_sends(host, ring, from, &stream->waiting, &at, streams[i].waiting);
    }
}

/* ------------------------------------------------------------------ afterwards */

/* It went: what was counted for it elsewhere is counted there.  It came back: it is not. */
static void settle_sends(struct mr_app_host *host, const struct mr_app_chain *chain, bool is_gone)
{
    for (uint32_t i = chain->head; i != MR_NONE;) {
        struct mr_app_send *send = send_at(host, i);

        if (is_gone)
            send->home = NULL;
        else if (send->home == NULL)
            mr_app_ring_let(&host->rings[send->ring].foreign);
        i = send->link.next;
    }
}

/* It is not on its way any more. */
static void settle(struct mr_app_host *host, struct mr_app_object *conn, bool is_gone)
{
    conn->is_away = false;
    for (uint32_t i = conn->kindred.head; i != MR_NONE;) {
        struct mr_app_object *stream = mr_app_object_at(host, i);

        settle_sends(host, &stream->sends, is_gone);
        settle_sends(host, &stream->waiting, is_gone);
        if (!is_gone)
            mr_app_send_waiting(host, stream);
        i = stream->kin.next;
    }
}

void mr_app_move_over(struct mr_app_host *host, struct mr_app_object *conn, int64_t result)
{
    const struct mr_app_move *move = move_of(host, conn);

    if (move == NULL)
        return; /* it was given up before it began */
    if (move->state == MR_APP_MOVE_AWAY)
        settle(host, conn, result == 0);
    if (result == 0) {
        end_move(host, conn);
        mr_app_ring_free_conn(host, conn);
        mr_count_add(&host->stats.moves_out, 1);
        return;
    }
    mr_app_move_stays(host, conn, (int)result);
}

void mr_app_move_arrived(struct mr_app_host *host, struct mr_app_object *conn, uint64_t from)
{
    struct mr_app_ring *ring = &host->rings[conn->ring];

    conn->old_shard = ring->config.first_shard + (uint32_t)from;
    conn->kinds |= MR_EVENT_MOVED_IN;
    for (uint32_t i = conn->kindred.head; i != MR_NONE;) {
        struct mr_app_object *stream = mr_app_object_at(host, i);

        stream->old_shard = conn->old_shard;
        if ((stream->kinds & MR_EVENT_STREAM_OPENED) == 0)
            stream->kinds |= MR_EVENT_MOVED_IN;
        mr_app_send_waiting(host, stream);
        i = stream->kin.next;
    }
    thaw(host, conn);
    mr_count_add(&host->stats.moves_in, 1);
}

static int is_leaving(void *context, mr_handle handle)
{
    struct mr_app_host *host = context;
    const struct mr_app_object *conn = mr_app_object_of(host, handle);

    if (conn != NULL && conn->move != 0)
        return 1;
    return handle == host->stayed ? host->stayed_error : 0;
}

static uint64_t owner(void *context, mr_handle handle)
{
    const struct mr_app_host *host = context;
    const struct mr_app_object *conn = mr_app_object_of(host, handle);

    return conn == NULL ? 0 : host->rings[conn->ring].config.attachment;
}

void mr_app_moves_init(struct mr_app_host *host)
{
    for (uint32_t i = 0; i < MR_APP_MOVES; i++)
        host->moves[i].conn = MR_NONE;
    host->hooks = (struct mr_move_hooks){.context = host,
                                         .ask = ask,
                                         .targets = targets,
                                         .pack = pack,
                                         .offer = offer,
                                         .take = take,
                                         .is_leaving = is_leaving,
                                         .owner = owner};
}

const struct mr_move_hooks *mr_app_host_move_hooks(struct mr_app_host *host)
{
    return &host->hooks;
}
