/* tests/sim/sim_network.c - see sim_network.h. */
#include "tests/sim/sim_network.h"

#include <stdlib.h>
#include <string.h>

void sim_network_init(struct sim_network *net, const struct sim_link link[2], uint64_t seed)
{
    memset(net, 0, sizeof(*net));
    net->link[0][0] = link[0];
    net->link[0][1] = link[1];
    mr_random_init_number(&net->random, seed);
    net->digest = UINT64_C(14695981039346656037);
}

void sim_network_fini(struct sim_network *net)
{
    while (net->count > 0)
        free(sim_network_take(net));
}

static bool chance(struct sim_network *net, double p)
{
    return p > 0 && (double)(mr_random_u64(&net->random) >> 11) < p * 9007199254740992.0;
}

static bool is_before(const struct sim_packet *a, const struct sim_packet *b)
{
    return a->arrival_ns != b->arrival_ns ? a->arrival_ns < b->arrival_ns : a->order < b->order;
}

static void push(struct sim_network *net, struct sim_packet *packet)
{
    uint32_t at = net->count++;

    while (at > 0 && is_before(packet, net->heap[(at - 1) / 2])) {
        net->heap[at] = net->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    net->heap[at] = packet;
}

struct sim_packet *sim_network_take(struct sim_network *net)
{
    struct sim_packet *first = net->heap[0];
    struct sim_packet *last = net->heap[--net->count];
    uint32_t at = 0;

    for (uint32_t child; (child = 2 * at + 1) < net->count; at = child) {
        if (child + 1 < net->count && is_before(net->heap[child + 1], net->heap[child]))
            child++;
        if (!is_before(net->heap[child], last))
            break;
        net->heap[at] = net->heap[child];
    }
    if (net->count > 0)
        net->heap[at] = last;
    return first;
}

void sim_network_postpone(struct sim_network *net, uint64_t at)
{
    struct sim_packet *packet = sim_network_take(net);

    packet->arrival_ns = at;
    push(net, packet);
}

uint64_t sim_network_next(const struct sim_network *net)
{
    return net->count == 0 ? MR_NEVER : net->heap[0]->arrival_ns;
}

static void add_to_digest(struct sim_network *net, const struct mr_outgoing *out)
{
    for (uint32_t i = 0; i < out->size; i++)
        net->digest = (net->digest ^ out->data[i]) * UINT64_C(1099511628211);
}

/* The ECN bits of a packet that went out with `ecn`; false: it is lost for them. */
static bool pass_ecn(const struct sim_link *link, uint8_t *ecn)
{
    if (*ecn == MR_ECN_NOT_ECT)
        return true;
    switch (link->ecn) {
    case SIM_ECN_BLEACHED:
        *ecn = MR_ECN_NOT_ECT;
        return true;
    case SIM_ECN_DROPPED:
        return false;
    case SIM_ECN_SWAPPED:
        *ecn = *ecn == MR_ECN_ECT0 ? MR_ECN_ECT1 : MR_ECN_ECT0;
        return true;
    case SIM_ECN_ALL_CE:
        *ecn = MR_ECN_CE;
        return true;
    default:
        return true;
    }
}

/* When it arrives; MR_NEVER: the rate's queue is full.  A long wait marks it. */
static uint64_t arrival(struct sim_network *net, struct sim_way way, uint32_t size, uint8_t *ecn,
                        uint64_t now)
{
    const struct sim_link *link = &net->link[way.path][way.direction];
    uint64_t *busy_until_ns = &net->busy_until_ns[way.path][way.direction];
    uint64_t leaves = now;

    if (link->rate_bps > 0) {
        uint64_t starts = *busy_until_ns > now ? *busy_until_ns : now;

        if (starts - now > link->queue_ns)
            return MR_NEVER;
        if (link->mark_ns > 0 && starts - now > link->mark_ns && *ecn != MR_ECN_NOT_ECT)
            *ecn = MR_ECN_CE;
        leaves = starts + (uint64_t)(size + 28) * 8 * MR_SECOND / link->rate_bps;
        *busy_until_ns = leaves;
    }
    uint64_t extra =
        chance(net, link->reorder) ? mr_random_below(&net->random, link->jitter_ns + 1) : 0;
    return leaves + link->delay_ns + extra;
}

static void enqueue(struct sim_network *net, struct sim_way way, const struct mr_outgoing *out,
                    const struct mr_path_addr *path, uint64_t now)
{
    uint8_t ecn = out->ecn;
    const struct sim_link *link = &net->link[way.path][way.direction];
    uint64_t at = arrival(net, way, out->size, &ecn, now);
    if (!pass_ecn(link, &ecn) || at == MR_NEVER || net->count == SIM_IN_FLIGHT_MAX)
        return;

    net->seen.reordered += at < net->last_arrival_ns[way.path][way.direction];
    if (at > net->last_arrival_ns[way.path][way.direction])
        net->last_arrival_ns[way.path][way.direction] = at;
    struct sim_packet *packet = malloc(sizeof(*packet));
    packet->arrival_ns = at;
    packet->order = net->order++;
    packet->size = out->size;
    packet->direction = way.direction;
    packet->ecn = ecn;
    packet->path = *path;
    memcpy(packet->bytes, out->data, out->size);
    if (chance(net, link->corrupt)) {
        packet->bytes[mr_random_below(&net->random, out->size)] ^=
            (uint8_t)(1 + mr_random_below(&net->random, 255));
        net->seen.corrupted++;
    }
    push(net, packet);
}

/* What the first byte shows (RFC 9000, Sections 17.2 and 17.3.1). */
static void look(struct sim_network *net, uint8_t direction, uint8_t first)
{
    bool spin = (first & 0x20) != 0;

    net->seen.greased += (first & 0x40) == 0;
    if (direction != 0 || (first & 0x80) != 0)
        return;
    net->seen.spins += spin != net->spin;
    net->spin = spin;
}

void sim_network_send(struct sim_network *net, struct sim_way way, const struct mr_outgoing *out,
                      const struct mr_path_addr *path, uint64_t now)
{
    const struct sim_link *link = &net->link[way.path][way.direction];

    add_to_digest(net, out);
    net->datagrams++;
    net->bytes[way.path][way.direction] += out->size;
    look(net, way.direction, out->data[0]);
    if (net->is_down[way.path] || out->size > link->mtu || chance(net, link->loss)) {
        net->seen.lost++;
        return;
    }
    enqueue(net, way, out, path, now);
    if (chance(net, link->duplicate))
        enqueue(net, way, out, path, now);
}
