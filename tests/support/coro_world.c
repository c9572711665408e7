/* tests/support/coro_world.c - see coro_world.h. */
#include "tests/support/coro_world.h"

#include "tests/support/ring_world.h"

static void set(uint32_t *value, uint32_t wanted)
{
    if (wanted != 0)
        *value = wanted;
}

struct coro_world *coro_world_new(const struct coro_world_config *config)
{
    struct ring_world_config c = ring_world_config_default(config->seed == 0 ? 1 : config->seed);

    set(&c.sizes.submit_count, config->entries);
    set(&c.sizes.complete_count, config->entries);
    set(&c.sizes.objects_max, config->objects);
    set(&c.sizes.alias_count, config->objects);
    set(&c.sizes.sends_max, config->sends);
    set(&c.sizes.slot_size, config->slot_size);
    set(&c.sizes.slot_count, config->slot_count);
    if (config->send_bytes != 0)
        c.sizes.send_bytes = config->send_bytes;
    if (config->is_by_reference)
        c.sizes.flags |= MR_RING_BY_REFERENCE;
    set(&c.loop.bidi_max, config->bidi_max);
    c.loop.datagram_max = config->datagram_max;
    c.loop.datagram_queue_max = 4;
    c.loop.datagram_lost_percent = 0;
    c.loop.has_early = config->has_early;
    if (config->objects * 2 > c.host.objects_max)
        c.host.objects_max = config->objects * 2;
    c.moves_percent = config->moves_percent;
    c.has_thread = config->has_thread;
    return (struct coro_world *)ring_world_new(&c);
}

static struct ring_world *rings_of(struct coro_world *world)
{
    return (struct ring_world *)world;
}

void coro_world_free(struct coro_world *world)
{
    ring_world_free(rings_of(world));
}

struct mr_attachment *coro_world_attach(struct coro_world *world, bool is_server, uint32_t rings)
{
    return ring_world_attach(rings_of(world), is_server ? RING_WORLD_SERVER : RING_WORLD_CLIENT,
                             rings);
}

bool coro_world_step(struct coro_world *world)
{
    return ring_world_step(rings_of(world));
}

void coro_world_let_go(struct coro_world *world, const struct mr_attachment *attachment)
{
    ring_world_let_go(rings_of(world), attachment);
}

void coro_world_die(struct coro_world *world, const struct mr_attachment *attachment)
{
    ring_world_die(rings_of(world), attachment);
}

void coro_world_go_away(struct coro_world *world, bool is_server)
{
    loop_go_away(ring_world_loop(rings_of(world)),
                 is_server ? RING_WORLD_SERVER : RING_WORLD_CLIENT);
}

void coro_world_confirm(struct coro_world *world)
{
    loop_confirm(ring_world_loop(rings_of(world)));
}

void coro_world_cut(struct coro_world *world)
{
    loop_cut(ring_world_loop(rings_of(world)));
}

uint32_t coro_world_moves(struct coro_world *world, bool has_gone)
{
    uint32_t count = 0;

    for (unsigned side = 0; side < 2; side++) {
        const struct mr_app_host *hosts[] = {ring_world_host(rings_of(world), side),
                                             ring_world_second_host(rings_of(world), side)};

        for (unsigned i = 0; i < 2; i++) {
            const struct mr_app_host_stats *stats = mr_app_host_stats(hosts[i]);

            count += (uint32_t)(has_gone ? stats->moves_in : stats->moves_stayed);
        }
    }
    return count;
}

uint32_t coro_world_streams(struct coro_world *world)
{
    return loop_stream_count(ring_world_loop(rings_of(world)));
}

uint32_t coro_world_conns(struct coro_world *world)
{
    return loop_conn_count(ring_world_loop(rings_of(world)));
}
