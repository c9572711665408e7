/*
 * dataplane/app_control.c - what the control thread does while the shard runs; see app_host.h.
 *
 *     control thread                              shard
 *       ring's memory, state ATTACHING
 *       command {ring, attach}   --spsc-->          ATTACHED
 *       command {ring, detach}   --spsc-->          LETTING_GO ... DRAINED
 *       forget: memory back, FREE  <--state--
 *
 * A ring is the control thread's while it is FREE or DRAINED, else the shard's; its state says so.
 */
#include <errno.h>
#include <stdlib.h>

#include "dataplane/app_internal.h"

/* acquire: pairs with the release in set_state of app_ring.c */
static enum mr_app_ring_state state_of(const struct mr_app_ring *ring)
{
    return (enum mr_app_ring_state)atomic_load_explicit(&ring->state, memory_order_acquire);
}

static void command(struct mr_app_host *host, uint32_t ring, bool is_detach)
{
    uint64_t word = (uint64_t)ring << 1 | is_detach;
    uint32_t pushed = mr_spsc_push(&host->commands, &word, 1);

    MR_ASSERT(pushed == 1); /* a ring has two at most */
}

/* ------------------------------------------------------------------ attaching */

/* What the ring may have, zeros filled in. */
static struct mr_app_ring_config fill_in(const struct mr_app_host *host,
                                         const struct mr_app_ring_config *config)
{
    struct mr_app_ring_config out = *config;
    const struct mr_ring_sizes *sizes = &config->region.sizes;

    if (out.objects_max == 0)
        out.objects_max = sizes->objects_max;
    if (out.objects_max == 0)
        out.objects_max = host->config.objects_max / MR_APP_RINGS_MAX;
    if (out.sends_max == 0)
        out.sends_max = sizes->sends_max;
    if (out.sends_max == 0)
        out.sends_max = host->config.sends_max / MR_APP_RINGS_MAX;
    if (out.timers_max == 0)
        out.timers_max = host->config.timers_max / MR_APP_RINGS_MAX;
    return out;
}

/* Nobody is promised what another has. */
static bool fits(const struct mr_app_host *host, const struct mr_app_ring_config *config)
{
    return config->objects_max <= host->config.objects_max - host->promised_objects &&
           config->sends_max <= host->config.sends_max - host->promised_sends &&
           config->timers_max <= host->config.timers_max - host->promised_timers;
}

/* Slots, their free ones, aliases. */
static bool make_memory(struct mr_app_ring *ring)
{
    uint32_t slots = ring->region.sizes.slot_count;
    uint32_t aliases = ring->region.sizes.alias_count;
    size_t slot_bytes = slots * sizeof(*ring->slots);
    uint8_t *memory =
        malloc(slot_bytes + slots * sizeof(*ring->free_slots) + aliases * sizeof(*ring->aliases));

    if (memory == NULL)
        return false;
    ring->memory = memory;
    ring->slots = (struct mr_app_slot *)(void *)memory;
    ring->free_slots = (uint32_t *)(void *)(memory + slot_bytes);
    ring->aliases = ring->free_slots + slots;
    for (uint32_t i = 0; i < slots; i++) {
        ring->slots[i].object = MR_NONE;
        ring->free_slots[i] = slots - 1 - i;
    }
    for (uint32_t i = 0; i < aliases; i++)
        ring->aliases[i] = MR_NONE;
    ring->free_count = slots;
    return true;
}

/* Everything but its state: the struct is the control thread's alone. */
static bool make_ring(struct mr_app_ring *ring, uint32_t index,
                      const struct mr_app_ring_config *config)
{
    struct mr_mailbox submissions = mr_ring_submissions(&config->region);
    struct mr_mailbox completions = mr_ring_completions(&config->region);

    *ring = (struct mr_app_ring){
        .config = *config,
        .region = config->region,
        .index = index,
        .lists = {MR_APP_CHAIN_EMPTY, MR_APP_CHAIN_EMPTY, MR_APP_CHAIN_EMPTY},
        .conns = MR_APP_CHAIN_EMPTY,
        .buried = MR_APP_CHAIN_EMPTY,
        .running = MR_APP_CHAIN_EMPTY,
        .fired = MR_APP_CHAIN_EMPTY,
        .accepts = MR_APP_CHAIN_EMPTY,
        .is_by_reference = (config->region.sizes.flags & MR_RING_BY_REFERENCE) != 0};
    mr_inbox_init(&ring->submissions, &submissions);
    mr_outbox_init(&ring->completions, &completions);
    return make_memory(ring);
}

int mr_app_host_attach(struct mr_app_host *host, const struct mr_app_ring_config *config)
{
    struct mr_app_ring_config filled = fill_in(host, config);
    uint32_t index = 0;

    while (index < MR_APP_RINGS_MAX && state_of(&host->rings[index]) != MR_APP_RING_FREE)
        index++;
    if (index == MR_APP_RINGS_MAX || !fits(host, &filled))
        return -ENOSPC;
    struct mr_app_ring *ring = &host->rings[index];
    if (!make_ring(ring, index, &filled))
        return -ENOMEM;
    host->promised_objects += filled.objects_max;
    host->promised_sends += filled.sends_max;
    host->promised_timers += filled.timers_max;
    /* relaxed: only the control thread looks; the command's release is what the shard sees */
    atomic_store_explicit(&ring->state, MR_APP_RING_ATTACHING, memory_order_relaxed);
    if (!filled.is_held)
        command(host, index, false);
    return (int)index;
}

void mr_app_host_begin(struct mr_app_host *host, uint32_t index)
{
    MR_ASSERT(index < MR_APP_RINGS_MAX);
    struct mr_app_ring *ring = &host->rings[index];

    MR_ASSERT(ring->config.is_held && !ring->is_detaching);
    ring->config.is_held = false;
    command(host, index, false);
}

void mr_app_host_detach(struct mr_app_host *host, uint32_t index)
{
    MR_ASSERT(index < MR_APP_RINGS_MAX);
    struct mr_app_ring *ring = &host->rings[index];
    enum mr_app_ring_state state = state_of(ring);

    if (state == MR_APP_RING_FREE || state == MR_APP_RING_DRAINED || ring->is_detaching)
        return;
    ring->is_detaching = true;
    if (!ring->config.is_held) {
        command(host, index, true);
        return;
    }
    /* the shard knows nothing of it.  relaxed: only the control thread looks */
    atomic_store_explicit(&ring->state, MR_APP_RING_DRAINED, memory_order_relaxed);
}

enum mr_app_ring_state mr_app_host_ring_state(const struct mr_app_host *host, uint32_t ring)
{
    return ring < MR_APP_RINGS_MAX ? state_of(&host->rings[ring]) : MR_APP_RING_FREE;
}

void mr_app_host_forget(struct mr_app_host *host, uint32_t index)
{
    MR_ASSERT(index < MR_APP_RINGS_MAX);
    struct mr_app_ring *ring = &host->rings[index];

    MR_ASSERT(state_of(ring) == MR_APP_RING_DRAINED);
    host->promised_objects -= ring->config.objects_max;
    host->promised_sends -= ring->config.sends_max;
    host->promised_timers -= ring->config.timers_max;
    free(ring->memory);
    ring->memory = NULL;
    atomic_store_explicit(&ring->state, MR_APP_RING_FREE, memory_order_relaxed);
}

/* ------------------------------------------------------------------ the policy */

int mr_app_host_set_policy(struct mr_app_host *host, const struct mr_handoff *policy)
{
    const struct mr_app_policy *newest = atomic_load_explicit(&host->newest, memory_order_relaxed);
    uint64_t epoch = newest == NULL ? 0 : newest->epoch;

    /* acquire: pairs with the release in take_policy of app_ring.c */
    if (atomic_load_explicit(&host->epoch_seen, memory_order_acquire) != epoch)
        return -EBUSY;
    struct mr_app_policy *copy = malloc(sizeof(*copy));
    if (copy == NULL)
        return -ENOMEM;
    *copy = (struct mr_app_policy){.epoch = epoch + 1, .handoff = *policy};
    free((void *)(uintptr_t)host->previous);
    host->previous = newest;
    /* release: pairs with the acquire in take_policy */
    atomic_store_explicit(&host->newest, copy, memory_order_release);
    return 0;
}

/* ------------------------------------------------------------------ figures */

static uint64_t count_of(const uint64_t *field)
{
    return atomic_load_explicit((const _Atomic uint64_t *)field, memory_order_relaxed);
}

static uint32_t gauge_of(const uint32_t *field)
{
    return atomic_load_explicit((const _Atomic uint32_t *)field, memory_order_relaxed);
}

void mr_app_host_ring_stats(const struct mr_app_host *host, uint32_t index,
                            struct mr_app_ring_stats *stats_out)
{
    MR_ASSERT(index < MR_APP_RINGS_MAX);
    const struct mr_app_ring_stats *stats = &host->rings[index].stats;

    *stats_out = (struct mr_app_ring_stats){.submissions = count_of(&stats->submissions),
                                            .completions = count_of(&stats->completions),
                                            .wakes = count_of(&stats->wakes),
                                            .bytes_received = count_of(&stats->bytes_received),
                                            .bytes_sent = count_of(&stats->bytes_sent),
                                            .bytes_copied = count_of(&stats->bytes_copied),
                                            .bad_submissions = count_of(&stats->bad_submissions),
                                            .conns = gauge_of(&stats->conns),
                                            .objects = gauge_of(&stats->objects),
                                            .sends = gauge_of(&stats->sends),
                                            .slots_held = gauge_of(&stats->slots_held)};
}

const struct mr_app_host_stats *mr_app_host_stats(const struct mr_app_host *host)
{
    return &host->stats;
}
