/* dataplane/app_check.c - invariants of the shard's end of rings; see app_host.h. */
#include "dataplane/app_internal.h"

#define KIN         offsetof(struct mr_app_object, kin)
#define LIST(which) (offsetof(struct mr_app_object, lists) + (which) * sizeof(struct mr_app_link))
#define SEND_LINK   offsetof(struct mr_app_send, link)
#define TIMER_LINK  offsetof(struct mr_app_timer, link)
#define IN_LISTENER offsetof(struct mr_app_accept, in_listener)
#define IN_RING     offsetof(struct mr_app_accept, in_ring)

/* What the objects of all rings add up to. */
struct census {
    uint32_t objects;
    uint32_t sends[MR_APP_RINGS_MAX]; /* by whose memory it is */
    uint32_t objects_of[MR_APP_RINGS_MAX];
    uint32_t conns_of[MR_APP_RINGS_MAX];
    uint32_t opened_of[MR_APP_RINGS_MAX];
    uint32_t connecting_of[MR_APP_RINGS_MAX];
    uint32_t held_of[MR_APP_RINGS_MAX];
    uint32_t listed_of[MR_APP_RINGS_MAX][MR_APP_LISTS];
};

/* A stream's SENDs come in the order of their bytes. */
static uint64_t check_sends(const struct mr_app_host *host, const struct mr_app_chain *chain,
                            uint64_t end, struct census *sum)
{
    mr_app_chain_check(chain, &host->sends, SEND_LINK);
    for (uint32_t i = chain->head; i != MR_NONE;) {
        const struct mr_app_send *send = mr_pool_at(&host->sends, i);

        MR_ASSERT(send->end - send->size >= end);
        end = send->end;
        sum->sends[send->ring]++;
        i = send->link.next;
    }
    return end;
}

/* Nothing is told of what leaves or arrives; each move is of a connection. */
static void check_move(const struct mr_app_host *host, const struct mr_app_object *object)
{
    if (mr_app_is_frozen(host, object)) {
        MR_ASSERT(!object->is_listed[MR_APP_NEWS]);
        MR_ASSERT(!object->is_listed[MR_APP_HUNGRY]);
    }
    if (object->move == 0)
        return;
    const struct mr_app_move *move = &host->moves[object->move - 1];
    MR_ASSERT(!object->is_stream);
    MR_ASSERT(move->conn == object->index);
    MR_ASSERT(object->is_frozen == (move->state != MR_APP_MOVE_ASKED));
}

static void check_object(const struct mr_app_host *host, const struct mr_app_object *object,
                         struct census *sum)
{
    const struct mr_app_ring *ring = &host->rings[object->ring];

    MR_ASSERT(object->ring < MR_APP_RINGS_MAX);
    MR_ASSERT(mr_app_is_active(host, object->ring));
    MR_ASSERT(object->handle == MR_HANDLE_NONE ||
              mr_table8_find(&host->by_handle, object->handle) == object->index);
    check_move(host, object);
    MR_ASSERT(mr_app_chain_check(&object->kindred, &host->objects, KIN) == object->streams);
    MR_ASSERT(check_sends(host, &object->waiting, check_sends(host, &object->sends, 0, sum), sum) <=
              object->given_to);
    MR_ASSERT(object->released_to <= object->told_to);
    MR_ASSERT(ring->is_by_reference || object->released_to == object->told_to);
    if (object->alias != 0)
        MR_ASSERT(ring->aliases[object->alias - 1] == object->index);
    if (object->is_stream)
        MR_ASSERT(mr_app_object_at(host, object->conn)->ring == object->ring);
    sum->objects++;
    sum->objects_of[object->ring]++;
    sum->conns_of[object->ring] += !object->is_stream;
    sum->connecting_of[object->ring] += object->is_connecting;
    sum->opened_of[object->ring] += !object->is_stream && object->listener == MR_NONE;
    sum->held_of[object->ring] += object->held;
    for (uint32_t which = 0; which < MR_APP_LISTS; which++)
        sum->listed_of[object->ring][which] += object->is_listed[which];
}

/* Slots are free or held; those that objects hold are among them. */
static void check_slots(const struct mr_app_ring *ring, uint32_t held)
{
    uint32_t taken = 0;

    for (uint32_t i = 0; i < ring->region.sizes.slot_count; i++)
        taken += ring->slots[i].object != MR_NONE;
    MR_ASSERT(taken + ring->free_count == ring->region.sizes.slot_count);
    for (uint32_t i = 0; i < ring->free_count; i++)
        MR_ASSERT(ring->slots[ring->free_slots[i]].object == MR_NONE);
    MR_ASSERT(held <= taken);
}

static void check_aliases(const struct mr_app_host *host, const struct mr_app_ring *ring)
{
    for (uint32_t i = 0; i < ring->region.sizes.alias_count; i++)
        if (ring->aliases[i] != MR_NONE) {
            const struct mr_app_object *object = mr_app_object_at(host, ring->aliases[i]);

            MR_ASSERT((object->generation & 1) != 0);
            MR_ASSERT(object->ring == ring->index);
            MR_ASSERT(object->alias == i + 1);
        }
}

static void check_ring(const struct mr_app_host *host, const struct mr_app_ring *ring,
                       const struct census *sum)
{
    uint32_t i = ring->index;

    MR_ASSERT(ring->objects == sum->objects_of[i]);
    MR_ASSERT(ring->objects <= ring->config.objects_max);
    MR_ASSERT(ring->conn_count == sum->conns_of[i]);
    MR_ASSERT(ring->opened == sum->opened_of[i]);
    MR_ASSERT(ring->connecting == sum->connecting_of[i]);
    MR_ASSERT(ring->conn_count == mr_app_chain_check(&ring->conns, &host->objects, KIN) +
                                      mr_app_chain_check(&ring->buried, &host->objects, KIN));
    MR_ASSERT(ring->sends == sum->sends[i]);
    MR_ASSERT(ring->sends <= ring->config.sends_max);
    MR_ASSERT(ring->timers <= ring->config.timers_max);
    MR_ASSERT(ring->timers == mr_app_chain_check(&ring->running, &host->timers, TIMER_LINK) +
                                  mr_app_chain_check(&ring->fired, &host->timers, TIMER_LINK));
    MR_ASSERT(ring->accept_count == mr_app_chain_check(&ring->accepts, &host->accepts, IN_RING));
    for (uint32_t which = 0; which < MR_APP_LISTS; which++)
        MR_ASSERT(mr_app_chain_check(&ring->lists[which], &host->objects, LIST(which)) ==
                  sum->listed_of[i][which]);
    check_slots(ring, sum->held_of[i]);
    check_aliases(host, ring);
    mr_outbox_check(&ring->completions);
    mr_inbox_check(&ring->submissions);
}

void mr_app_host_check(const struct mr_app_host *host)
{
    struct census sum = {0};
    uint32_t sends = 0;
    uint32_t timers = 0;
    uint32_t accepts = 0;

    for (uint32_t i = 0; i < host->objects.fresh; i++) {
        const struct mr_app_object *object = mr_app_object_at(host, i);

        if ((object->generation & 1) != 0)
            check_object(host, object, &sum);
    }
    for (uint32_t i = 0; i < MR_APP_RINGS_MAX; i++) {
        const struct mr_app_ring *ring = &host->rings[i];

        if (!mr_app_is_active(host, i))
            continue;
        check_ring(host, ring, &sum);
        sends += ring->sends;
        timers += ring->timers;
    }
    for (uint32_t i = 0; i < MR_LISTENERS_MAX; i++)
        accepts += mr_app_chain_check(&host->accepting[i], &host->accepts, IN_LISTENER);
    MR_ASSERT(sum.objects == host->objects.used);
    MR_ASSERT(sends == host->sends.used);
    MR_ASSERT(timers == host->timers.used);
    MR_ASSERT(timers >= host->wheel.set_count);
    MR_ASSERT(accepts == host->accepts.used);
    mr_pool_check(&host->sends);
    mr_pool_check(&host->objects);
    mr_table8_check(&host->by_handle);
}
